# What tests/containers/run.sh builds images with; it stands in the repository's folder, and sets
# $from_source, and $scratch.

arches=(amd64 arm64)
declare -A targets=([amd64]=x86_64-unknown-linux-musl [arm64]=aarch64-unknown-linux-musl)
platforms=linux/amd64,linux/arm64
# The folder that images are built from, the program that is in them, and what is handed in.
context=. program=target/debug/precompile handed=() only_bases=()

# The store that copies files needs no more than a folder, but large images take it minutes.
images() {
    local driver=vfs
    [ -z "$from_source" ] || driver=overlay
    nice buildah --storage-driver $driver --root "$scratch/store" --runroot "$scratch/state" "$@"
}

# The store's overlays are mounted.
remove_scratch() {
    ! mountpoint -q "$scratch/store/overlay" || umount -R "$scratch/store/overlay"
    rm -rf "$scratch"
}

hand_in() { # NAME IMAGE
    handed+=(--build-context "$1=container-image://localhost/$2")
}

# Images of folders, one a platform: FOLDER/amd64 and FOLDER/arm64.
image_of() { # NAME FOLDER
    # shellcheck disable=SC2016
    printf 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n' |
        images bud -q --isolation chroot --timestamp 0 --platform $platforms \
            --manifest "localhost/$1" -f - "$2" >/dev/null
}

# What runs on the builder, whatever the image is for, also under the other platform's name: a
# replaced stage is looked for by buildah under the platform of the image.
both_platforms() { # NAME IMAGE
    local container
    container=$(images from --pull-never "localhost/$2")
    images config --arch arm64 "$container"
    images commit -q --rm "$container" "localhost/$2-arm64" >/dev/null
    images manifest create "localhost/$1" >/dev/null
    images manifest add "localhost/$1" "localhost/$2" >/dev/null
    images manifest add "localhost/$1" "localhost/$2-arm64" >/dev/null
}

# The files of shared libraries, and the loader, that programs need.
libraries() { # PROGRAM...
    ldd "$@" | grep -o '/[^ :]* (' | sed 's/ ($//' | sort -u
}

# The images that the last stages are from.
bases() {
    local base=$scratch/base library
    mkdir -p "$base/amd64/etc"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$base/amd64/etc/passwd"
    cp -r "$base/amd64" "$base/arm64"
    image_of static "$base"
    libraries "$program" | while read -r library; do
        install -D "$library" "$base/amd64$library"
    done
    image_of cc "$base"
    hand_in gcr.io/distroless/static-debian12:nonroot static
    hand_in gcr.io/distroless/cc-debian12:nonroot cc
    only_bases=("${handed[@]}")
    hand_in precompile precompile
    [ -n "$from_source" ] || hand_in app app
}

# The stages that compile, of what cargo builds here.
built_stages() {
    local tool=$scratch/tool app=$scratch/app library arch
    rustup target add "${targets[@]}"
    cargo build --locked -p precompile-cli
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    cargo build --locked -p app --target "${targets[amd64]}" --target "${targets[arm64]}" \
        --target-dir target/containers
    mkdir -p "$tool/amd64/usr/local/bin"
    cp $program "$tool/amd64/usr/local/bin/"
    libraries /usr/bin/dash /usr/bin/cat $program | while read -r library; do
        install -D "$library" "$tool/amd64$library"
    done
    mkdir -p "$tool/amd64/bin"
    cp /usr/bin/dash "$tool/amd64/bin/sh"
    cp /usr/bin/cat "$tool/amd64/bin/"
    cp -r "$tool/amd64" "$tool/arm64"
    image_of precompile "$tool"
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

# The image with Rust that the Dockerfiles name, of Debian's packages, rustup and what rustup gets.
# How this machine reaches the network, and what cargo has fetched, comes along.
rust_image() {
    local name version suite folder=$scratch/rust mirror
    name=$(grep -ho 'rust:[0-9.]*-[a-z]*' docs/containers/*Dockerfile "$scratch/README.Dockerfile" |
        sort -u)
    version=${name#rust:} suite=${name#*-}
    version=${version%-*}
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' "Codename: $suite" | head -n 1)
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$suite" "$folder" "deb $mirror $suite main"
    cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
    local cargo=$folder/usr/local/cargo tool
    mkdir -p "$cargo/bin" "$cargo/registry" "$folder/usr/local/rustup"
    RUSTUP_HOME=$folder/usr/local/rustup CARGO_HOME=$cargo \
        rustup -q toolchain install "$version" --profile minimal --no-self-update
    cp "$(command -v rustup)" "$cargo/bin/rustup"
    for tool in cargo rustc; do
        ln -sf rustup "$cargo/bin/$tool"
    done
    cargo fetch --locked
    cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/{cache,index} "$cargo/registry/"
    {
        echo 'FROM scratch'
        echo 'COPY . /'
        echo 'ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo'
        echo 'ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    } | images bud -q --isolation chroot -t localhost/toolchain -f - "$folder" >/dev/null
    rm -r "$folder"
    both_platforms rust toolchain
    hand_in "$name" rust
    echo "$name: $(images images --format '{{.Size}}' localhost/toolchain)"
}

# The stage that compiles the program, once; the other one is part of each build.
compiled_stage() {
    local container
    build docs/containers/Dockerfile --platform linux/amd64 --target precompile -t localhost/compiled ||
        { cat "$scratch/log"; return 1; }
    program=$scratch/precompile
    both_platforms precompile compiled
    container=$(images from --pull-never localhost/compiled)
    cp "$(images mount "$container")/usr/local/bin/precompile" "$program"
    images rm "$container" >/dev/null
}

# Builds a Dockerfile from nothing. What `RUN --mount=type=cache` keeps is in TMPDIR.
build() { # DOCKERFILE OPTION...
    local file=$1 code=0
    shift
    mkdir "$scratch/tmp"
    TMPDIR=$scratch/tmp images bud --isolation chroot --no-cache --pull-never --timestamp 0 \
        "${handed[@]}" -f "$file" "$@" "$context" >"$scratch/log" 2>&1 || code=$?
    rm -r "$scratch/tmp"
    return $code
}

# The same, which must not fail.
built() { # DOCKERFILE NAME OPTION...
    local file=$1 name=$2
    shift 2
    build "$file" --manifest "localhost/$name" "$@" ||
        { cat "$scratch/log"; echo "$file does not build"; return 1; }
}

ids() { images manifest inspect "localhost/$1" | grep '"digest"' | sort; }

# Two builds have the same images.
same() { # NAME OTHER
    [ -n "$(ids "$1")" ]
    diff <(ids "$1") <(ids "$2")
    echo "$1: the same images twice: $(ids "$1" | grep -o 'sha256:.\{12\}' | tr '\n' ' ')"
}
