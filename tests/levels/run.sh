#!/usr/bin/env bash
# Runs on x86-64 processors of all ages, under an emulator, on x86-64 Debian 12.
#
#   run.sh [--all]
#
# An entry for a level that a processor lacks is never executed, and the reason names what the
# processor lacks; of several entries the best one that it can run is taken; and code for the
# baseline runs where nothing else does: the programs, and groups of the specification's tests.
# --all adds the other groups.
#
# What is missing is installed by root (the emulator).
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(uname -m)" = x86_64 ] || { echo "this needs an x86-64 machine" >&2; exit 1; }
begin=$SECONDS
. tests/support/emulate.sh
parse_all "$@"

# Processors, and the best of the levels below that each of them has.
processors=("qemu64 x86-64" "core2duo x86-64" "Nehalem x86-64-v2" "Haswell x86-64-v3")
levels=(x86-64 x86-64-v2 x86-64-v3 x86-64-v4)
# Something that each of them has and the one before does not.
news=("" sse4.1 avx2 avx512f)
hello=fixtures/programs/hello/hello.wasm

build() {
    cargo build --locked -p precompile-cli
    cargo test --locked --no-run -p tests --test spec --test programs
}

# The path of a test's program.
test_program() { # NAME
    cargo test --locked --no-run -p tests --test "$1" 2>&1 | sed -n 's/.*(\(target[^)]*\))$/\1/p'
}

# The command line as a program like any other, for the tests that start it.
wrap() {
    export PRECOMPILE_BIN=$scratch/precompile
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$emulator" "$PWD/$precompile" >"$PRECOMPILE_BIN"
    chmod +x "$PRECOMPILE_BIN"
}

# Each entry by itself on each processor; then all of them at once.
entries() {
    local level processor model best i ends code said
    for level in "${levels[@]}"; do
        $precompile -q --cpu $level --out "$scratch/$level" $hello
        $precompile -q --cpu $level --out "$scratch/all" $hello
    done
    for processor in "${processors[@]}"; do
        read -r model best <<<"$processor"
        export QEMU_CPU=$model
        ends=no
        for i in "${!levels[@]}"; do
            level=${levels[i]} code=0
            said=$("$PRECOMPILE_BIN" run --require-hit --cache-dir "$scratch/$level" $hello 2>&1) ||
                code=$?
            if [ $ends = no ]; then
                [ $code = 0 ]
                grep -q '^hello' <<<"$said"
            else
                [ $code = 124 ]
                grep -q "this processor lacks .*${news[i]}" <<<"$said"
                code=0
                said=$("$PRECOMPILE_BIN" run --cpu $level --cache-dir "$scratch/$level" $hello 2>&1) ||
                    code=$?
                [ $code = 125 ]
                grep -q "which needs .*${news[i]}.*: this processor" <<<"$said"
                echo "$model: $level is refused: ${said##*: the engine}"
            fi
            [ $level != $best ] || ends=yes
        done
        said=$("$PRECOMPILE_BIN" run -v --require-hit --cache-dir "$scratch/all" $hello 2>&1)
        said=$(sed -n 's/.*hit dir //p' <<<"$said")
        $precompile inspect "$said" | grep -q "^  cpu = $best\$"
        echo "$model: takes the entry for $best"
    done
    unset QEMU_CPU
}

# Programs that are compiled on an old processor run on it.
programs() {
    QEMU_CPU=qemu64 "$(test_program programs)" -q programs_of_our_own
}

specification() {
    local groups=(--exact mutable_global reference_types simd proposals::tail_call
        proposals::relaxed_simd)
    [ $all = no ] || groups=()
    local program
    program=$(test_program spec)
    cd tests
    QEMU_CPU=qemu64 TEST_RUNNER=$emulator "$emulator" "../$program" -q "${groups[@]}"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
precompile=target/debug/precompile
step "tools" find_emulator x86_64
"$emulator" --version | sed -n 1p
step "build" build
wrap
step "entries" entries
step "programs" programs
step "specification" specification
echo "levels: all passed, after $((SECONDS - begin)) s"
