#!/bin/sh
# Brings the real servers that the end-to-end tests run: the system's packages, unpacked below the folder given.
# Nothing is installed, no service starts, no user is added; works with and without root.
set -eu

into=$1
servers="prometheus prometheus-pushgateway"
# Tests use it where it is, and a fake of ours where it is not.
welcome="docker-registry"
by_hand="install the servers by hand: apt-get install $servers"

# A folder that holds them all, the same ones in the same order as the tests look.
found() {
    for folder in "${SLUICE_SERVERS:-}" "$into/usr/bin" $(echo "$PATH" | tr ':' ' '); do
        [ -n "$folder" ] || continue
        for server in $servers; do [ -x "$folder/$server" ] || continue 2; done
        echo "$folder"
        return 0
    done
    return 1
}

# Older ones know remote write only behind a feature flag.
is_recent() {
    "$1/prometheus" --help 2>&1 | grep -q 'web.enable-remote-write-receiver'
}

# With package lists of our own: the system's may be empty, and are root's.
download() {
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    own="-o Dir::State::Lists=$1/lists -o Dir::Cache=$1 -o APT::Sandbox::User="
    apt-get update -qq $own && (cd "$1" && apt-get download -qq $own $servers) || return 1
    (cd "$1" && apt-get download -qq $own $welcome) || true
}

if ! found >/dev/null; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "no apt-get here; $by_hand" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    echo "downloading $servers ..."
    download "$work" 2>"$work/log" || {
        echo "cannot download: $(grep '^E:' "$work/log" | tail -n 1); $by_hand" >&2
        exit 1
    }
    mkdir -p "$into"
    for package in "$work"/*.deb; do dpkg -x "$package" "$into"; done
fi

folder=$(found) || { echo "still no servers; $by_hand" >&2; exit 1; }
is_recent "$folder" || { echo "$folder/prometheus is older than 2.33; install a newer one" >&2; exit 1; }
echo "servers: $folder"
