#!/usr/bin/env bash
# Fuzzes the engine: builds the targets with coverage, and runs them, as many at a time as there
# are processors.
#
#     tests/fuzz/run.sh SECONDS [TARGET...]
#
# Each target gets so many seconds on a processor of its own. Prints a line for each, and exits
# with 1 if one found anything; what it found is in target/fuzz/findings/TARGET, and
#
#     target/fuzz/bin/fuzz-TARGET FILE
#
# runs it again. What is worth keeping stays in target/fuzz/corpus/TARGET between runs.
#
# Coverage of edges, in the code generator as well, is a pass of LLVM that any rustc runs when it is
# told to by `-C`: no nightly compiler and no sanitizer. libFuzzer must not take the signals that
# traps are made of, so its handlers for these are off; a signal that is not wasm's ends the
# process, and is a finding all the same.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -lt 1 ] || ! [ "$1" -gt 0 ] 2>/dev/null; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
seconds=$1
shift
all=(differential optlevels addresses constants artifact compile)
targets=("$@")
if [ $# -eq 0 ]; then targets=("${all[@]}"); fi

host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module"
for option in level=3 inline-8bit-counters pc-table; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
out=target/fuzz
# With `--target`, build scripts and macros are built without these flags.
RUSTFLAGS="$flags" cargo build --locked --profile fuzz -p fuzz-targets --bins \
    --target "$host" --target-dir "$out/build"
mkdir -p "$out/bin"
for target in "${all[@]}"; do
    cp "$out/build/$host/fuzz/fuzz-$target" "$out/bin/"
done

# Fails if the target found anything.
run() { # TARGET
    local target=$1 status=0 length=512 result=ok
    local corpus=$out/corpus/$target findings=$out/findings/$target log=$out/$target.log
    mkdir -p "$corpus" "$findings"
    case $target in
        differential | optlevels | compile) length=4096 ;;
    esac
    local folders=("$corpus")
    if [ -d "tests/fuzz/seeds/$target" ]; then folders+=("tests/fuzz/seeds/$target"); fi
    # Leaks are for a sanitizer; memory is for the engine's limits.
    RUST_BACKTRACE=0 "$out/bin/fuzz-$target" "${folders[@]}" \
        -max_total_time="$seconds" -max_len="$length" -len_control=0 \
        -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$findings/" -print_final_stats=1 \
        -handle_segv=0 -handle_bus=0 -handle_ill=0 -handle_fpe=0 \
        -detect_leaks=0 >"$log" 2>&1 || status=$?
    local runs rate edges kept
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log" | tail -1)
    edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
    kept=$(find "$corpus" -type f | wc -l)
    [ "$status" -eq 0 ] || result="FAILED ($status), see $log"
    printf '%-13s %s: %s runs in %s s, %s a second, %s edges, %s kept\n' \
        "$target" "$result" "${runs:-?}" "$seconds" "${rate:-?}" "${edges:-?}" "$kept"
    [ "$status" -eq 0 ]
}

at_once=$(nproc)
failed=0
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n || failed=1; done
    run "$target" &
done
while [ -n "$(jobs -p)" ]; do
    wait -n || failed=1
done
exit $failed
