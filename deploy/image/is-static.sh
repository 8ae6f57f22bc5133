#!/bin/sh
# Whether a program needs nothing beside itself: deploy/image/is-static.sh PROGRAM
# The kernel alone starts an ELF file that names no interpreter (a program header of type 3, PT_INTERP).
set -eu
program=$1

number() { # offset, bytes
    od -A n -t "u$2" -j "$1" -N "$2" "$program" | tr -d ' '
}

[ "$(od -A n -t x1 -N 6 "$program" | tr -d ' ')" = 7f454c460201 ] || { echo "$program: not a 64-bit ELF file" >&2; exit 1; }
headers=$(number 32 8)
size=$(number 54 2)
count=$(number 56 2)
index=0
while [ "$index" -lt "$count" ]; do
    if [ "$(number $((headers + index * size)) 4)" = 3 ]; then
        echo "$program: names an interpreter, so it is not static" >&2
        exit 1
    fi
    index=$((index + 1))
done
echo "$program: static"
