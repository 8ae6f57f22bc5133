#!/bin/sh
# Builds the image's binary: static, for the machine named, on any machine.
#
#   deploy/image/build.sh amd64|arm64 [cargo's arguments]
#
# Needs clang and musl's headers for that machine (Debian: clang, musl-dev:amd64, musl-dev:arm64; the headers elsewhere:
# MUSL_INCLUDE). C code (TLS's cryptography) is compiled by clang; Rust brings musl itself and the linker.
set -eu

case ${1:-} in
    amd64 | x86_64) machine=x86_64 ;;
    arm64 | aarch64) machine=aarch64 ;;
    *) echo "usage: $0 amd64|arm64 [cargo's arguments]" >&2; exit 2 ;;
esac
shift
target=$machine-unknown-linux-musl
include=${MUSL_INCLUDE:-/usr/include/$machine-linux-musl}

command -v clang >/dev/null || { echo "no clang: apt-get install clang" >&2; exit 1; }
[ -f "$include/stdio.h" ] || { echo "no $include/stdio.h: apt-get install musl-dev, or set MUSL_INCLUDE" >&2; exit 1; }
for wanted in "$target" wasm32-unknown-unknown; do
    [ -d "$(rustc --print target-libdir --target "$wanted")" ] || rustup target add "$wanted"
done

# Cargo's and cc's variables, by target: in capitals, and with underscores.
small=$(echo "$target" | tr - _)
capital=$(echo "$small" | tr '[:lower:]' '[:upper:]')
export "CC_$small=clang"
export "CFLAGS_$small=--target=$machine-linux-musl -nostdlibinc -isystem $include"
export "CARGO_TARGET_${capital}_LINKER=rust-lld"
export "CARGO_TARGET_${capital}_RUSTFLAGS=-C target-feature=+crt-static"

cd "$(dirname "$0")/../.."
exec "${CARGO:-cargo}" build --locked --package sluice --bin sluice --target "$target" "$@"
