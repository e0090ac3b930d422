# shellcheck shell=bash
# What the scripts share: messages, a look at the tools, processes in the background that end with the script.

# Says that something could not be had and was left out; neither success nor failure.
# shellcheck disable=SC2034
readonly EXIT_SKIPPED=3
readonly EXIT_USAGE=64
readonly EXIT_MISSING=69

# Directory of the sourcing script for its files and logs.
work=${work:-}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
usage_error() {
    printf 'error: %s\n\n' "$*" >&2
    usage >&2
    exit "$EXIT_USAGE"
}

# Names every missing tool at once, with the line that brings it. Installs nothing.
need_build_tools() {
    local tool missing=()
    for tool in cc c++ make perl pkg-config; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if ! command -v cargo >/dev/null; then
        printf 'error: cargo is missing; Rust %s or newer comes from https://rustup.rs\n' \
            "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")" >&2
        missing+=(cargo)
    fi
    [ ${#missing[@]} -eq 0 ] && return
    printf 'error: missing: %s (needed to build librdkafka and OpenSSL from source)\n' "${missing[*]}" >&2
    printf 'hint: on Debian and Ubuntu: sudo apt-get install -y build-essential perl pkg-config\n' >&2
    exit "$EXIT_MISSING"
}

# Directory in which cargo puts the binaries of a profile.
profile_directory() {
    local target=${CARGO_TARGET_DIR:-$root/target}
    case $1 in
        dev | test) say "$target/debug" ;;
        *) say "$target/$1" ;;
    esac
}

# Builds loader and sandbox with the profile in $1; the directory of the binaries is then in $bin.
# The whole workspace is named, so that every command of this repository asks for the same features and nothing is
# compiled twice.
build() {
    local profile=$1
    bin=$(profile_directory "$profile")
    if [ ! -x "$bin/loadlock" ]; then
        say "the first build compiles librdkafka and OpenSSL and takes some minutes"
    fi
    (cd "$root" && cargo build --locked --workspace --bins --examples --profile "$profile")
}

# --- background processes -------------------------------------------------------------------------------------------
# Only processes that this shell has started and not yet waited for are ever signalled, by their ids.

started=()

# start NAME COMMAND…: runs a command in the background, its output in $work/NAME.log; process id in $pid.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    started+=("$pid")
}

# True while the child lives.
alive() { kill -0 "$1" 2>/dev/null; }

# stop PID SECONDS: asks a child to end, forces it after a while; the exit code is the child's (137 if forced).
stop() {
    local child=$1 tries=$(($2 * 10)) code=0 other left=()
    kill -TERM "$child" 2>/dev/null || true
    while alive "$child" && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    if alive "$child"; then
        kill -KILL "$child" 2>/dev/null || true
    fi
    wait "$child" || code=$?
    for other in "${started[@]}"; do
        [ "$other" = "$child" ] || left+=("$other")
    done
    started=("${left[@]}")
    return "$code"
}

# Ends all children, the last one first.
stop_all() {
    while [ ${#started[@]} -gt 0 ]; do
        stop "${started[-1]}" 15 || true
    done
}

# until_true SECONDS COMMAND…: repeats the command until it succeeds; fails after the deadline.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# await_file SECONDS FILE PID NAME: waits until a program has written its ready file; shows its log if it ends instead.
await_file() {
    local deadline=$((SECONDS + $1)) file=$2 child=$3 name=$4
    until [ -s "$file" ]; do
        if ! alive "$child"; then
            show_log "$name"
            die "$name ended before it was ready"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            show_log "$name"
            die "$name was not ready in time"
        fi
        sleep 0.1
    done
}

# Last lines of a background process's output.
show_log() {
    printf -- '--- last lines of %s\n' "$1" >&2
    tail -n 20 "$work/$1.log" >&2 || true
    printf -- '---\n' >&2
}

# json_value FILE KEY: a string or number out of a JSON object, lists left out.
json_value() {
    tr -d '\n' <"$1" | sed 's/\[[^]]*\]//g' | sed -n "s/.*\"$2\"[[:space:]]*:[[:space:]]*\"\{0,1\}\([^\",}]*\).*/\1/p" \
        | tr -d '[:space:]'
}

# random_key: a key for AES-128 in base64.
random_key() { head -c 16 /dev/urandom | base64; }
