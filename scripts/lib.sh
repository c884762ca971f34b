# shellcheck shell=bash
# What the scripts share. Sourced, not run.

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# The last Rust that is too old is one below.
rust_needed=1.95

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "run it as root: $1"
}

have() { command -v "$1" >/dev/null 2>&1; }

# Tells whether a Debian package is installed.
installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs what is missing of the packages that come in on standard input, one a line, each with
# the reason behind it; notes in the file $1, if given, which those were.
install_packages() {
    local package why missing=()
    while read -r package why; do
        if [ -z "$package" ] || installed "$package"; then
            continue
        fi
        say "installing $package: $why"
        missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    have apt-get || die "no apt-get here: install ${missing[*]} or what your system calls them"
    apt_install "${missing[@]}"
    if [ -n "${1:-}" ]; then
        # shellcheck disable=SC2174 # folders above it are not ours to close
        mkdir -p -m 0711 "$(dirname -- "$1")"
        printf '%s\n' "${missing[@]}" >>"$1"
    fi
}

apt_install() {
    local log
    log=$(mktemp)
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } \
        </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install $*"
    fi
    rm -f "$log"
}

packages_to_build() {
    cat <<'END'
gcc compiles the C parts of dependencies
libc6-dev has the headers they need
pkg-config finds libseccomp
libseccomp-dev compiles the system call filter of the guests
END
}

packages_to_run() {
    cat <<'END'
nftables sets up the bridges' address translation
dnsmasq-base gives the guests addresses and names
squashfs-tools packs and unpacks images
mmdebstrap builds Debian images from their signed packages
debian-archive-keyring has the keys that those are checked with
END
}

packages_to_test() {
    cat <<'END'
acl sets ACLs in archives that tests unpack
attr sets extended attributes in them
busybox-static is the smallest guest
bzip2 packs test images
e2fsprogs makes disks of the tests' own
iproute2 takes a test's bridge away
libcap2-bin sets file capabilities in archives that tests unpack
lxd-client has the client of LXD, which is tried at our socket
python3 cuts the power of a disk in a file
strace counts what an operation asks of the kernel
util-linux has setsid, for tests with a terminal
xz-utils packs test images
zstd packs test images
END
}

# Finds cargo and checks that the Rust toolchain is new enough.
check_rust() {
    have cargo || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    have cargo || die "no Rust toolchain: install Rust $rust_needed or newer from https://rustup.rs and run this again"
    local version
    version=$(cd "$top" && rustc --version | cut -d' ' -f2)
    printf '%s\n%s\n' "$rust_needed" "$version" | sort --check=quiet --version-sort ||
        die "Rust $version is too old: run 'rustup update stable' to have $rust_needed or newer"
}

target_dir() { printf '%s' "${CARGO_TARGET_DIR:-$top/target}"; }

# Puts what runs in virtual machines into the folder $1, without what only debuggers read.
programs_for_machines() {
    local program from
    from=$(target_dir)/debug
    mkdir -p "$1"
    for program in sc scd host-snapshot; do
        [ -x "$from/$program" ] || die "no program $from/$program: scripts/test --vm builds it"
        strip -o "$1/$program" "$from/$program"
    done
}
