#!/usr/bin/env bash
# Builds the Dockerfiles of docs/containers/ and runs the images as a cluster would, without a
# container daemon, on x86-64 Debian 12.
#
# The files are built as they are, by buildah; but what they would fetch or compile for half an hour
# is handed in (--build-context): the stages `precompile` and `app` are images of what cargo has
# built here from the same sources, unoptimised, and the base images are empty but for a user and,
# where the program is not static, its libraries. So what the commands in these two stages do is
# not tested here.
#
# Each image is unpacked and run in a chroot: read-only, as user 65532, with nothing but the
# environment and the command that the image names. Those for 64-bit Arm and older x86-64
# processors run under an emulator.
#
# What is missing is installed by root, which this has to be (buildah, umoci, skopeo, an emulator,
# Rust's standard library for musl).
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 0 ] || { echo "usage: run.sh" >&2; exit 2; }
[ "$(uname -m)" = x86_64 ] || { echo "this needs an x86-64 machine" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "this needs root, to mount and to become another user" >&2; exit 1; }
begin=$SECONDS
. tests/support/emulate.sh

arches=(amd64 arm64)
declare -A targets=([amd64]=x86_64-unknown-linux-musl [arm64]=aarch64-unknown-linux-musl)
declare -A machines=([amd64]=x86_64 [arm64]=aarch64)
declare -A emulators=()
platforms=linux/amd64,linux/arm64

# Unlike `!`, ends the script where the command succeeds.
not() { ! "$@"; }

tools() {
    local missing=() tool arch
    for tool in buildah umoci skopeo; do
        command -v $tool >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
    rustup target add "${targets[@]}"
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

build() {
    cargo build --locked -p precompile-cli
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    cargo build --locked -p app --target "${targets[amd64]}" --target "${targets[arm64]}" \
        --target-dir target/containers
}

images() { buildah --storage-driver vfs --root "$scratch/store" --runroot "$scratch/state" "$@"; }

# Images of folders, one a platform: FOLDER/amd64 and FOLDER/arm64.
image_of() { # NAME FOLDER
    # shellcheck disable=SC2016
    printf 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n' |
        images bud -q --isolation chroot --timestamp 0 --platform $platforms \
            --manifest "localhost/$1" -f - "$2" >/dev/null
}

# What is handed in.
parts() {
    local base=$scratch/base tool=$scratch/tool app=$scratch/app library arch
    mkdir -p "$base/amd64/etc"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$base/amd64/etc/passwd"
    cp -r "$base/amd64" "$base/arm64"
    image_of static "$base"
    # The program runs on the builder, whatever the image is for. A replaced stage is looked for
    # by buildah under the image's platform, so it gets two names.
    mkdir -p "$tool/amd64/usr/local/bin"
    cp target/debug/precompile "$tool/amd64/usr/local/bin/"
    libraries /usr/bin/dash /usr/bin/cat target/debug/precompile | while read -r library; do
        install -D "$library" "$tool/amd64$library"
    done
    mkdir -p "$tool/amd64/bin"
    cp /usr/bin/dash "$tool/amd64/bin/sh"
    cp /usr/bin/cat "$tool/amd64/bin/"
    cp -r "$tool/amd64" "$tool/arm64"
    image_of precompile "$tool"
    libraries target/debug/precompile | while read -r library; do
        install -D "$library" "$base/amd64$library"
    done
    image_of cc "$base"
    for arch in "${arches[@]}"; do
        mkdir -p "$app/$arch/out"
        cp "target/containers/${targets[$arch]}/debug/app" "$app/$arch/out/"
        # As in the Dockerfile: the builder's own app says it.
        "target/containers/${targets[amd64]}/debug/app" --settings >"$app/$arch/out/app.settings"
    done
    image_of app "$app"
    # An app that was changed, and says so.
    for arch in "${arches[@]}"; do
        sed -i 's/^fuel = off$/fuel = on/' "$app/$arch/out/app.settings"
    done
    image_of app-with-fuel "$app"
}

# The files of shared libraries, and the loader, that programs need.
libraries() { # PROGRAM...
    ldd "$@" | grep -o '/[^ :]* (' | sed 's/ ($//' | sort -u
}

# Builds a Dockerfile of docs/containers/ from nothing. What `RUN --mount=type=cache` keeps is in
# TMPDIR.
build_image() { # DOCKERFILE NAME OPTION...
    local file=docs/containers/$1 name=$2
    shift 2
    mkdir "$scratch/tmp"
    local code=0
    TMPDIR=$scratch/tmp images bud --isolation chroot --no-cache --timestamp 0 \
        --build-context precompile=container-image://localhost/precompile \
        --build-context app=container-image://localhost/app \
        --build-context gcr.io/distroless/static-debian12:nonroot=container-image://localhost/static \
        --build-context gcr.io/distroless/cc-debian12:nonroot=container-image://localhost/cc \
        --manifest "localhost/$name" -f "$file" "$@" . >"$scratch/log" 2>&1 || code=$?
    rm -r "$scratch/tmp"
    return $code
}

built() { # DOCKERFILE NAME OPTION...
    build_image "$@" || { cat "$scratch/log"; echo "$1 does not build"; return 1; }
}

ids() { images manifest inspect "localhost/$1" | grep '"digest"' | sort; }

# Two builds have the same images.
reproducible() { # DOCKERFILE NAME OPTION...
    local file=$1 name=$2
    shift 2
    built "$file" "$name" "$@"
    built "$file" "$name-again" "$@"
    [ -n "$(ids "$name")" ]
    diff <(ids "$name") <(ids "$name-again")
    echo "$file: the same images twice: $(ids "$name" | grep -o 'sha256:.\{12\}' | tr '\n' ' ')"
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
        mount -o remount,ro,bind "$root" && exec env -i "$@"' \
        sh "$bundle/rootfs" "$emulator" "${variables[@]}" "${changes[@]}" \
        ${processor:+QEMU_CPU=$processor} \
        /usr/sbin/chroot --userspec=65532:65532 --groups= "$bundle/rootfs" $program \
        "${config[@]:i+1}" "$@"
}

# The app's output is what it is elsewhere, and nothing was compiled: there is no compiler.
app_image() {
    local arch root
    reproducible Dockerfile plugins --platform $platforms
    cat fixtures/programs/{hello,simd}/cases/plain/stdout >"$scratch/expected"
    grep -q cranelift_codegen target/debug/precompile
    for arch in "${arches[@]}"; do
        unpack plugins "$arch"
        runs "$arch"
        root=$scratch/plugins-$arch/rootfs
        not grep -q cranelift_codegen "$root/usr/bin/app"
        # Two modules, three levels of one instruction set and one of the other.
        [ "$(find "$root/usr/share/precompile" -mindepth 2 -type f -user root -perm 0644 | wc -l)" = \
            "$([ "$arch" = amd64 ] && echo 6 || echo 2)" ]
        [ -z "$(find "$root/usr" -perm /022 ! -type l)" ]
    done
}

runs() { # ARCH
    run_image plugins "$1" >"$scratch/stdout" 2>"$scratch/stderr" || { cat "$scratch/stderr"; return 1; }
    diff "$scratch/expected" "$scratch/stdout"
    grep -q '^compiles: 0$' "$scratch/stderr"
    echo "$1 ${processor:-here}: runs, read-only, as 65532: 0 compiles," \
        "$(sed -n 's/^.*hello.wasm: //p' "$scratch/stderr")"
}

# Older processors take what they can run, and the best of it.
levels() {
    local level
    for level in "Nehalem x86-64-v2" "Haswell x86-64-v3"; do
        processor=${level% *}
        runs amd64 | tee "$scratch/told"
        grep -q "${level#* }\$" "$scratch/told"
    done
    processor=qemu64
    not run_image plugins amd64 >"$scratch/told" 2>&1
    grep -q 'this processor lacks .*sse4.1.* for x86-64-v2' "$scratch/told"
    echo "qemu64: $(grep -o 'this processor lacks.*' "$scratch/told")"
    processor=
}

# A directory as emptyDir makes it is not used, which changes no result; the way out is named.
empty_dir() {
    local folder=$scratch/plugins-amd64/rootfs.cache
    mkdir "$folder"
    chmod 0777 "$folder"
    changes=(PRECOMPILE_CACHE_DIR=/cache PRECOMPILE_CACHE_MODE=auto)
    runs amd64
    grep 'untrusted cache path /cache: its mode 0777 .*explicitly' "$scratch/stderr"
    [ -z "$(ls -A "$folder")" ]
    # One that belongs to the user is.
    chmod 0755 "$folder"
    chown 65532:65532 "$folder"
    runs amd64
    not grep -q warning "$scratch/stderr"
    # There it is remembered what was checked.
    [ -n "$(ls -A "$folder")" ]
    rm -r "$folder"
    changes=()
}

# What the app needs and what was compiled differ in one setting: the image does not build.
changed() {
    refused "opt-level is none, this engine needs speed" \
        --build-arg SETTINGS="--opt-level none"
    refused "epoch-interruption is on, this engine needs off" \
        --build-arg SETTINGS="--epoch-interruption"
    refused "fuel is off, this engine needs on" \
        --build-arg SETTINGS= --build-context app=container-image://localhost/app-with-fuel
    # With the app's own word for both, the changed app is what is compiled for.
    built Dockerfile with-fuel --platform $platforms \
        --build-context app=container-image://localhost/app-with-fuel
}

refused() { # MESSAGE OPTION...
    local message=$1 code=0
    shift
    build_image Dockerfile refused --platform linux/amd64 "$@" || code=$?
    if [ $code != 4 ]; then
        cat "$scratch/log"
        echo "it ends with $code, although $message" >&2
        return 1
    fi
    grep -o 'precompile check .*exit status 4$' "$scratch/log"
    grep -o "Missing .*hello.wasm .*x86-64-v2.*$message" "$scratch/log"
    not images manifest inspect localhost/refused >/dev/null 2>&1
}

# The image without an app: `precompile run`.
run_image_of_the_program() {
    reproducible run.Dockerfile program --platform linux/amd64
    unpack program amd64
    # What is behind the image's command is for the module. It never compiles, as the image says.
    run_image program amd64 you >"$scratch/stdout"
    diff "$scratch/stdout" <(printf 'hello, world\narg 1: [you]\n')
    echo "program: runs, read-only, as 65532"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
step "tools" tools
step "build" build
step "parts" parts
step "app" app_image
step "levels" levels
step "emptyDir" empty_dir
step "another setting" changed
step "program" run_image_of_the_program
echo "containers: all passed, after $((SECONDS - begin)) s"
