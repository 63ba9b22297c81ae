# What scripts that run tests under an emulator share; they stand in the repository's folder.

# Sets $all to yes or no: the only option is --all.
parse_all() { # ARGUMENTS...
    local argument
    all=no
    for argument; do
        case $argument in
            --all) all=yes ;;
            *) echo "usage: run.sh [--all]" >&2; exit 2 ;;
        esac
    done
}

# A heading, and after the command how long it took.
step() {
    local start=$SECONDS
    echo "-- $1"
    shift
    "$@"
    echo "-- done in $((SECONDS - start)) s"
}

install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "this needs the packages $*; root gets them with apt-get" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# Puts into $emulator which one to use for an instruction set. Before version 8 each memory that
# wasm reserves costs it 36 MB for good, too much for tests that make hundreds: then Debian's newer
# one, unpacked into the target directory.
find_emulator() { # ARCH
    local folder=target/emulator name=qemu-$1 version
    version=$($name --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge 8 ]; then
        emulator=$(command -v $name)
        return
    fi
    emulator=$PWD/$folder/usr/bin/$name
    [ ! -x "$emulator" ] || return 0
    mkdir -p $folder/lists/partial $folder/archives/partial
    # From where this machine has its other packages, without a change to its settings.
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' 'Codename: bookworm' |
        sed -n '1s/.*/deb & bookworm-backports main/p' >$folder/sources.list
    local private=(
        -o "Dir::Etc::sourcelist=$PWD/$folder/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$PWD/$folder/lists" -o "Dir::Cache=$PWD/$folder"
        -o APT::Sandbox::User=
    )
    apt-get "${private[@]}" update -qq
    (cd $folder && apt-get "${private[@]}" -qq download qemu-user/bookworm-backports)
    dpkg -x $folder/qemu-user_*.deb $folder
    [ -x "$emulator" ]
}
