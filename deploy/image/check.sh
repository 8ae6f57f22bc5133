#!/usr/bin/env bash
# What can be checked of the image without an engine: deploy/image/check.sh PROGRAM
#
# The program is static; it starts in a root that holds nothing else, read-only, as any user; it answers its probe; it
# ends when it is told to. Needs root, or a kernel that lets users have namespaces of their own.
set -euo pipefail
program=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
attempts_max=3000 # a tenth of a second each: an unoptimised build compiles its filters for a minute, on a busy machine for more

"$here/is-static.sh" "$program"

work=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# The image's root, and what a Pod mounts into it: a configuration.
mkdir -p "$work/root/etc/sluice/tenants"
cp "$program" "$work/root/sluice"
chmod 0555 "$work/root/sluice"
cat > "$work/root/etc/sluice/sluice.yaml" <<'CONFIG'
sources: [{name: nobody, url: "http://127.0.0.1:9"}]
tenants: {folder: tenants}
listen: {address: "127.0.0.1:0", debug: "127.0.0.1:0"}
log: {format: text}
CONFIG
chmod -R a+rX "$work"

# A read-only view of that root for one process, as user $1.
inside() {
    local user=$1
    shift
    local own=() as=(--userspec="$user:$user")
    # Who is not root is alone in a namespace of their own, and can only be themselves.
    [ "$(id -u)" = 0 ] || { own=(--map-root-user); as=(); }
    exec unshare "${own[@]}" --mount sh -c '
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 1
        if touch "$1/written" 2>/dev/null; then echo "the root is not read-only" >&2; exit 1; fi
        root=$1; shift
        exec "$@" ' sh "$work/root" chroot "${as[@]}" "$work/root" "${command[@]}"
}

# The status line of a GET.
get() {
    exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
    head -n 1 <&3
    exec 3>&-
}

for user in 65532 12345; do
    command=(/sluice --version)
    (inside "$user") > "$work/version"
    command=(/sluice run --config /etc/sluice/sluice.yaml)
    (inside "$user") > "$work/log" 2>&1 &
    pid=$!
    address=
    for _ in $(seq "$attempts_max"); do
        address=$(sed -n 's/.* public=\([0-9.:]*\).*/\1/p' "$work/log")
        [ -z "$address" ] || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$address" ] || { echo "as user $user it does not start:" >&2; cat "$work/log" >&2; exit 1; }
    status=$(get "$address" /livez)
    case $status in *' 200 '*) ;; *) echo "as user $user /livez says: $status" >&2; exit 1 ;; esac
    # From the parent's side: the shell became the program.
    kill -TERM "$pid"
    wait "$pid" || { echo "as user $user it ends with status $?:" >&2; cat "$work/log" >&2; exit 1; }
    pid=
    echo "as user $user, in an empty read-only root: $(cat "$work/version") starts, answers /livez, ends when told to"
done
