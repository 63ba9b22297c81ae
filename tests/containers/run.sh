#!/usr/bin/env bash
# Builds the Dockerfiles of docs/containers/ and README.md, and runs the images as a cluster would,
# without a container daemon, on x86-64 Debian 12.
#
#   run.sh [--from-source]
#
# The files are built as they are, by buildah; but the base images are stand-ins: empty but for a
# user and, where the program is not static, its libraries. So that it is quick, two stages are
# handed in as well (--build-context), and what their commands do is not tested: `precompile` and
# `app` are images of what cargo has built here from the same sources, unoptimised.
#
# With --from-source they are not, and all commands are run: in an image of Debian's packages and the
# toolchain that rustup gets, with this machine's cargo registry. That takes an hour or two and 8 GB
# in TMPDIR, which has to be on a file system that overlayfs can write to.
#
# Each image is unpacked and run in a chroot: read-only, as user 65532, with nothing but the
# environment and the command that the image names. Those for 64-bit Arm and older x86-64
# processors run under an emulator.
#
# What is missing is installed by root, which this has to be (buildah, umoci, skopeo, mmdebstrap, an
# emulator, Rust's standard library for musl).
set -euo pipefail
cd "$(dirname "$0")/../.."

case $* in
    "") from_source= ;;
    --from-source) from_source=yes ;;
    *) echo "usage: run.sh [--from-source]" >&2; exit 2 ;;
esac
[ "$(uname -m)" = x86_64 ] || { echo "this needs an x86-64 machine" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "this needs root, to mount and to become another user" >&2; exit 1; }
begin=$SECONDS
. tests/support/emulate.sh
. tests/containers/build.sh

declare -A machines=([amd64]=x86_64 [arm64]=aarch64)
declare -A emulators=()

# Unlike `!`, ends the script where the command succeeds.
not() { ! "$@"; }

tools() {
    local missing=() tool arch
    for tool in buildah umoci skopeo ${from_source:+mmdebstrap}; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
    for arch in "${arches[@]}"; do
        find_emulator "${machines[$arch]}"
        if ldd "$emulator" >/dev/null 2>&1 && ldd "$emulator" | grep -q '=>'; then
            echo "$emulator needs libraries, which images do not have" >&2
            return 1
        fi
        emulators[$arch]=$emulator
    done
    buildah --version
}

# Unpacks the image for ARCH into $scratch/NAME-ARCH.
unpack() { # NAME ARCH
    local to=$scratch/$1-$2
    [ -d "$scratch/$1.oci" ] ||
        images manifest push -q --all "localhost/$1" "oci:$scratch/$1.oci:all" >/dev/null
    skopeo copy -q --override-os linux --override-arch "$2" "oci:$scratch/$1.oci:all" \
        "oci:$to.oci:one"
    umoci unpack --image "$to.oci:one" "$to" >/dev/null 2>&1
    # Where to mount things, as a runtime makes it.
    mkdir -p "$to/rootfs/proc" "$to/rootfs/cache"
    touch "$to/rootfs/emulator"
}

# Runs what the image names, in the image. $processor is to be emulated, if it is not empty;
# $changes are changes of the environment.
processor='' changes=()
run_image() { # NAME ARCH ARGUMENT...
    local bundle=$scratch/$1-$2 emulator='' program='' config
    [ "$2" = amd64 ] && [ -z "$processor" ] || emulator=${emulators[$2]} program=/emulator
    shift 2
    mapfile -t config < <(python3 - "$bundle/config.json" <<'PYTHON'
import json, sys
process = json.load(open(sys.argv[1]))["process"]
print(process["user"]["uid"], process["user"]["gid"], sep=":")
print(*(text for text in process["env"] if not text.startswith("TERM=")), "--", *process["args"], sep="\n")
PYTHON
    )
    [ "${config[0]}" = 65532:65532 ] || { echo "the image's user is ${config[0]}" >&2; return 1; }
    local variables=() i=1
    while [ "${config[i]}" != -- ]; do variables+=("${config[i]}"); i=$((i + 1)); done
    # shellcheck disable=SC2016
    unshare -m sh -c '
        root=$1 emulator=$2
        shift 2
        mount --bind "$root" "$root" &&
        mount -t proc proc "$root/proc" &&
        { [ -z "$emulator" ] || mount --bind "$emulator" "$root/emulator"; } &&
        { [ ! -d "$root.cache" ] || mount --bind "$root.cache" "$root/cache"; } &&
        mount -o remount,ro,bind "$root" && ! touch "$root/usr/written" 2>/dev/null &&
        exec env -i "$@"' \
        sh "$bundle/rootfs" "$emulator" "${variables[@]}" "${changes[@]}" \
        ${processor:+QEMU_CPU=$processor} \
        /usr/sbin/chroot --userspec=65532:65532 --groups= "$bundle/rootfs" $program \
        "${config[@]:i+1}" "$@"
}

# The app's output is what it is elsewhere, and nothing was compiled: there is no compiler.
app_image() {
    local arch root
    built docs/containers/Dockerfile plugins --platform $platforms
    built docs/containers/Dockerfile plugins-again --platform $platforms
    same plugins plugins-again
    cat fixtures/programs/{hello,simd}/cases/plain/stdout >"$scratch/expected"
    grep -q cranelift_codegen "$program"
    for arch in "${arches[@]}"; do
        unpack plugins "$arch"
        root=$scratch/plugins-$arch/rootfs
        not grep -q cranelift_codegen "$root/usr/bin/app"
        # Two modules, three levels of one instruction set and one of the other.
        [ "$(find "$root/usr/share/precompile" -mindepth 2 -type f -user root -perm 0644 | wc -l)" = \
            "$([ "$arch" = amd64 ] && echo 6 || echo 2)" ]
        [ -z "$(find "$root/usr" -perm /022 ! -type l)" ]
    done
    runs arm64 aarch64
    runs amd64 "$(best_level)"
}

# The best level of this processor, as the kernel sees it.
best_level() {
    local flags level
    flags=" $(grep -m 1 ^flags /proc/cpuinfo) "
    for level in "x86-64-v4 avx512f avx512bw avx512cd avx512dq avx512vl" \
        "x86-64-v3 avx2 fma bmi1 bmi2" "x86-64-v2 sse4_2 popcnt"; do
        # The names are words.
        # shellcheck disable=SC2086
        if has ${level#* }; then echo "${level%% *}"; return; fi
    done
    return 1
}

has() { # FLAG..., of $flags
    local flag
    for flag; do [[ $flags == *" $flag "* ]] || return 1; done
}

runs() { # ARCH LEVEL
    run_image plugins "$1" >"$scratch/stdout" 2>"$scratch/stderr" || { cat "$scratch/stderr"; return 1; }
    diff "$scratch/expected" "$scratch/stdout"
    grep -q '^compiles: 0$' "$scratch/stderr"
    diff <(sed -n 's/^.*[.]wasm: //p' "$scratch/stderr") <(printf '%s\n%s\n' "$2" "$2")
    echo "$1 ${processor:-here}: runs, read-only, as 65532: 0 compiles, $2"
}

# Each processor takes what it can run, and the best of it.
levels() {
    processor=Nehalem
    runs amd64 x86-64-v2
    processor=Haswell
    runs amd64 x86-64-v3
    processor=qemu64
    not run_image plugins amd64 >"$scratch/told" 2>&1
    grep -q 'this processor lacks .*sse4.1.* for x86-64-v2' "$scratch/told"
    echo "qemu64: $(grep -o 'this processor lacks.*' "$scratch/told")"
    processor=
    # No emulator has AVX-512.
    if [ "$(best_level)" = x86-64-v4 ]; then
        runs amd64 x86-64-v4
    else
        echo "SKIPPED: x86-64-v4, which this processor is not"
    fi
}

# A directory as emptyDir makes it is not used, which changes no result; the way out is named.
empty_dir() {
    local folder=$scratch/plugins-amd64/rootfs.cache
    mkdir "$folder"
    chmod 0777 "$folder"
    changes=(PRECOMPILE_CACHE_DIR=/cache PRECOMPILE_CACHE_MODE=auto)
    runs amd64 "$(best_level)"
    grep 'untrusted cache path /cache: its mode 0777 .*explicitly' "$scratch/stderr"
    [ -z "$(ls -A "$folder")" ]
    # One that belongs to the user is.
    chmod 0755 "$folder"
    chown 65532:65532 "$folder"
    runs amd64 "$(best_level)"
    not grep -q warning "$scratch/stderr"
    # There it is remembered what was checked.
    [ -n "$(ls -A "$folder")" ]
    rm -r "$folder"
    changes=()
}

# What the app needs and what was compiled differ in one setting: the image does not build.
changed() {
    local fuel=(--build-context app=container-image://localhost/app-with-fuel)
    if [ -z "$from_source" ]; then
        refused "opt-level is none, this engine needs speed" --build-arg SETTINGS="--opt-level none"
        refused "epoch-interruption is on, this engine needs off" \
            --build-arg SETTINGS="--epoch-interruption"
    else
        # One line more in the app.
        context=$scratch/changed fuel=()
        mkdir "$context"
        git ls-files -z | xargs -0 cp -d --parents -t "$context"
        sed -i 's/let mut config = Config::new();/& config.consume_fuel(true);/' \
            "$context/docs/containers/app/src/main.rs"
    fi
    refused "fuel is off, this engine needs on" --build-arg SETTINGS= "${fuel[@]}"
    # With the app's own word for both, the changed app is what is compiled for.
    built docs/containers/Dockerfile with-fuel --platform linux/amd64 "${fuel[@]}"
    context=.
}

refused() { # MESSAGE OPTION...
    local message=$1 code try
    shift
    for try in 1 2 3; do
        code=0
        build docs/containers/Dockerfile --platform linux/amd64 --manifest localhost/refused "$@" ||
            code=$?
        if [ $code != 4 ]; then
            cat "$scratch/log"
            echo "it ends with $code, although $message" >&2
            return 1
        fi
        # Under load buildah may end before it has copied what a command said last.
        ! grep -q "Missing .*hello.wasm" "$scratch/log" || break
        echo "the command's output is not there, after build $try"
    done
    grep -o 'precompile check .*exit status 4$' "$scratch/log" &&
        grep -o "Missing .*hello.wasm .*x86-64-v2.*$message" "$scratch/log" ||
        { cat "$scratch/log"; echo "it does not say that $message" >&2; return 1; }
    not images manifest inspect localhost/refused >/dev/null 2>&1
}

# README.md's image without an app: `precompile run`.
readme_image() {
    local file=$scratch/README.Dockerfile two=$scratch/two.Dockerfile with=("${handed[@]}")
    # From source, the program is compiled once more, to the same bytes.
    [ -z "$from_source" ] || handed=("${only_bases[@]}")
    built "$file" readme --platform linux/amd64
    handed=("${with[@]}")
    built "$file" readme-again --platform linux/amd64
    same readme readme-again
    unpack readme amd64
    cmp "$program" "$scratch/readme-amd64/rootfs/usr/bin/precompile"
    # What is behind the image's command is for the module. It never compiles, as the image says.
    run_image readme amd64 you >"$scratch/stdout"
    diff "$scratch/stdout" <(printf 'hello, world\narg 1: [you]\n')
    echo "README.md: runs, read-only, as 65532"
    # As its comment says, for two kinds of processors.
    sed 's,--out,--platform linux/amd64/v3\,linux/arm64 &,
        s,precompile check,& --platform linux/amd64/v3\,linux/arm64,' "$file" >"$two"
    [ "$(grep -c '^RUN .*linux/amd64/v3,linux/arm64' "$two")" = 2 ]
    built "$two" two --platform linux/amd64
    unpack two amd64
    [ "$(find "$scratch/two-amd64/rootfs/usr/share/precompile" -mindepth 2 -type f | wc -l)" = 2 ]
}

scratch=$(mktemp -d)
trap remove_scratch EXIT
awk '/^```dockerfile$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$scratch/README.Dockerfile"
# It is shown there as it stands in the other file.
cmp "$scratch/README.Dockerfile" docs/containers/run.Dockerfile
step "tools" tools
if [ -n "$from_source" ]; then
    step "an image with Rust" rust_image
    step "the program" compiled_stage
else
    step "the program and the app" built_stages
fi
step "bases" bases
step "app" app_image
step "levels" levels
step "emptyDir" empty_dir
step "another setting" changed
step "README.md" readme_image
echo "containers: all passed${from_source:+, from source}, after $((SECONDS - begin)) s"
