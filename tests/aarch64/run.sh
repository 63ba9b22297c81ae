#!/usr/bin/env bash
# Builds for 64-bit Arm and runs there what can be run under an emulator, on x86-64 Debian 12.
#
#   run.sh [--all]
#
# By default a sample: programs through the cache, entries made here and there compared byte by
# byte, groups of the specification's tests, parts of the engine's API, its unsafe floor. --all adds
# the other groups, all of the API, and the tests of artifacts, the cache and the command line.
#
# What is missing is installed by root (an emulator, a cross compiler and its C library, Rust's
# standard library). Builds into target/aarch64, which a later run goes on with. Tests that an
# emulator has no chance with are in skipped.txt, and are told.
#
# Under user emulation this cannot show: weak ordering of memory, stale instruction caches, pages
# of 64 KiB, time.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=aarch64-unknown-linux-gnu
libraries=/usr/aarch64-linux-gnu/lib
begin=$SECONDS

. tests/support/emulate.sh
parse_all "$@"

has_std() {
    local folder
    folder=$("${RUSTC:-rustc}" --print target-libdir --target $target) &&
        compgen -G "$folder/libstd-*" >/dev/null
}

tools() {
    if ! { command -v aarch64-linux-gnu-gcc && ls $libraries/libc.so.6; } >/dev/null 2>&1; then
        install_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    fi
    if ! has_std && ! { rustup target add $target && has_std; }; then
        # Debian's compiler comes with the library for both.
        dpkg --add-architecture arm64
        install_packages rustc-web libstd-rust-web-dev:arm64
        export RUSTC=/usr/bin/rustc
        has_std
    fi
    find_emulator aarch64
    "$emulator" --version | sed -n 1p
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$emulator
    # A process that is emulated starts others as they are: tests ask for the emulator by name.
    export TEST_RUNNER=$emulator
}

# Programs name the cross compiler's own C library, whatever else is installed, so that the
# emulator needs no options, and children none either.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="\
-Clink-arg=-Wl,--dynamic-linker=$libraries/ld-linux-aarch64.so.1 -Clink-arg=-Wl,-rpath,$libraries"
unset QEMU_LD_PREFIX

tests=(--test api --test main-thread --test programs --test spec)
[ $all = no ] || tests+=(--test artifact --test cli)
# cargo for Arm: its verb, then arguments.
arm() {
    local verb=$1
    shift
    cargo "$verb" --locked --target $target --target-dir target/aarch64 "$@"
}

build() {
    cargo build --locked -p precompile-cli
    arm build -p precompile-cli
    arm test --no-run -p tests "${tests[@]}"
    arm test --no-run -p precompile --lib
    [ $all = no ] || arm test --no-run -p precompile-cache
}

# The command line as a program like any other, for the tests that start it.
wrap() {
    local program=$PWD/target/aarch64/$target/debug/precompile
    export PRECOMPILE_BIN=$PWD/target/aarch64/precompile
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$emulator" "$program" >"$PRECOMPILE_BIN"
    chmod +x "$PRECOMPILE_BIN"
}

# Makes the entries of all programs for both processors, two levels each, in FOLDER.
make_entries() { # PROGRAM FOLDER
    "$1" -q --target aarch64-linux --cpu aarch64 --cpu aarch64+lse --out "$2/arm" fixtures/programs
    "$1" -q --target x86_64-linux --cpu x86-64-v2 --cpu x86-64-v3 --out "$2/x86" fixtures/programs
}

# Entries are the same wherever they are made, and hit wherever they are used.
entries() {
    local here=target/debug/precompile there=$PRECOMPILE_BIN hello=fixtures/programs/hello/hello.wasm
    make_entries "$here" "$scratch/here"
    make_entries "$there" "$scratch/there"
    diff -r "$scratch/here" "$scratch/there"
    echo "$(find "$scratch/here" -type f | wc -l) entries are the same"

    "$there" check -q --cache-dir "$scratch/here/arm" fixtures/programs
    "$here" check -q --cache-dir "$scratch/there/x86" fixtures/programs
    "$there" run --require-hit --cache-dir "$scratch/here/arm" $hello | grep '^hello' >/dev/null
    "$here" run --require-hit --cache-dir "$scratch/there/x86" $hello | grep '^hello' >/dev/null

    # A processor without the extension does not take the entry that needs it.
    "$here" -q --target aarch64-linux --cpu aarch64+lse --out "$scratch/lse" $hello
    "$there" run --require-hit --cache-dir "$scratch/lse" $hello | grep '^hello' >/dev/null
    local code=0
    QEMU_CPU=cortex-a57 "$there" run -q --require-hit --cache-dir "$scratch/lse" $hello || code=$?
    [ $code = 124 ]
    QEMU_CPU=cortex-a57 "$there" run --require-hit --cache-dir "$scratch/here/arm" $hello |
        grep '^hello' >/dev/null
}

# Runs a test binary without what skipped.txt has of it.
run_tests() { # LEDGER-NAME CARGO-ARGUMENTS... [-- NAMES...]
    local ledger=$1 skip=()
    shift
    while read -r binary name reason; do
        if [ "$binary" = "$ledger" ]; then
            echo "skipped: $ledger $name: $reason"
            skip+=(--skip "$name")
        fi
    done < <(grep -v '^#' tests/aarch64/skipped.txt)
    local before=() names=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do before+=("$1"); shift; done
    [ $# = 0 ] || { shift; names=("$@"); }
    arm test -q "${before[@]}" -- "${names[@]}" "${skip[@]}"
}

run_all_tests() {
    step "unsafe floor" run_tests engine -p precompile --lib -- runtime::
    local names=(traps:: signals:: memories:: exceptions references:: cache::)
    [ $all = no ] || names=()
    step "engine" run_tests api -p tests --test api -- "${names[@]}"
    step "main thread" run_tests main-thread -p tests --test main-thread
    step "programs" run_tests programs -p tests --test programs -- programs_of_our_own
    if [ $all = yes ]; then
        step "specification" run_tests spec -p tests --test spec
        step "compiler" run_tests engine -p precompile --lib -- abi:: artifact:: compile::
        step "artifacts" run_tests artifact -p tests --test artifact
        step "command line" run_tests cli -p tests --test cli
        step "cache" run_tests cache -p precompile-cache --tests
    else
        step "specification" run_tests spec -p tests --test spec -- --exact \
            core simd reference_types proposals::tail_call proposals::relaxed_simd \
            proposals::exceptions
    fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
step "tools" tools
step "build" build
wrap
step "entries" entries
run_all_tests
echo "64-bit Arm: all passed, after $((SECONDS - begin)) s"
