#!/bin/sh
# Makes the two base images of the Dockerfile where no registry is reachable:
#
#   linmemd-base:bookworm   Debian bookworm, minimal           (Dockerfile: RUNTIME_BASE)
#   linmemd-rust:bookworm   the same, gcc, this host's Rust    (Dockerfile: BUILD_BASE)
#
# by debootstrap and `docker import`. The mirrors are those of this host's apt where it knows the
# suite, else Debian's own; security updates are applied where apt has them. The build base also
# gets the certificate authorities that were added to this host, so that cargo reaches its registry
# from inside wherever it does outside. The images keep no mirror, no package cache and no host key.
#
# usage: deploy/base-image.sh [base|rust|both]      as root; needs debootstrap, docker, rustc, cargo
# environment: DOCKER (docker), SUITE (bookworm), WORK (a new temporary folder)
set -eu

what=${1:-both}
docker=${DOCKER:-docker}
suite=${SUITE:-bookworm}
debian=http://deb.debian.org/debian

case $what in
base | rust | both) ;;
*)
    echo "usage: $0 [base|rust|both]" >&2
    exit 2
    ;;
esac
if [ "$(id -u)" != 0 ]; then
    echo "$0: debootstrap needs root" >&2
    exit 1
fi
for tool in debootstrap "$docker" tar chroot; do
    command -v "$tool" >/dev/null || {
        echo "$0: $tool not found (Debian: apt-get install debootstrap docker.io)" >&2
        exit 1
    }
done

if [ -n "${WORK:-}" ]; then
    work=$WORK
    mkdir -p "$work"
else
    work=$(mktemp -d)
    trap 'rm -rf --one-file-system "$work"' EXIT
fi
mkdir -p "$work/debs"

# One "deb URI SUITE main" line for each part of the suite that this host's apt knows.
sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        grep -E "^deb [^ ]+ $suite(-updates|-security)? main\$" | sort -u || true
}
known=$(sources)
mirror=$(printf '%s\n' "$known" | awk -v suite="$suite" '$3 == suite { print $2; exit }')
mirror=${mirror:-$debian}

# rootfs DIR PACKAGES: a minimal Debian with these packages, updated, without caches.
rootfs() {
    debootstrap --variant=minbase --cache-dir="$work/debs" ${2:+--include="$2"} \
        "$suite" "$1" "$mirror" >"$1.log" 2>&1 || {
        tail -n 20 "$1.log" >&2
        exit 1
    }
    if [ -n "$known" ]; then
        printf '%s\n' "$known" >"$1/etc/apt/sources.list"
        chroot "$1" apt-get -qq update
        DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq -y upgrade >>"$1.log" 2>&1
    fi
    printf 'deb %s %s main\n' "$debian" "$suite" >"$1/etc/apt/sources.list"
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/* "$1"/tmp/* \
        "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*
    : >"$1/etc/resolv.conf"
    : >"$1/etc/machine-id"
    echo localhost >"$1/etc/hostname"
}

# import DIR TAG CHANGE...: the folder as an image of one layer.
import() {
    dir=$1
    tag=$2
    shift 2
    tar -C "$dir" --numeric-owner --one-file-system -c . | "$docker" import "$@" - "$tag"
}

if [ "$what" != rust ]; then
    echo "linmemd-base:$suite from $suite"
    rootfs "$work/base" ""
    import "$work/base" "linmemd-base:$suite" --change 'CMD ["/bin/sh"]'
fi

if [ "$what" != base ]; then
    echo "linmemd-rust:$suite from $suite and $(rustc --version)"
    rootfs "$work/rust" gcc,libc6-dev,ca-certificates
    sysroot=$(rustc --print sysroot)
    host=$(rustc -vV | sed -n 's/^host: //p')
    mkdir -p "$work/rust/usr/local/lib/rustlib"
    cp -p "$sysroot/bin/rustc" "$sysroot/bin/cargo" "$work/rust/usr/local/bin/"
    cp -p "$sysroot"/lib/*.so* "$work/rust/usr/local/lib/"
    cp -a "$sysroot/lib/rustlib/$host" "$work/rust/usr/local/lib/rustlib/"
    if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
        cp /usr/local/share/ca-certificates/*.crt "$work/rust/usr/local/share/ca-certificates/"
    fi
    chroot "$work/rust" update-ca-certificates >>"$work/rust.log" 2>&1
    chroot "$work/rust" ldconfig
    import "$work/rust" "linmemd-rust:$suite" --change 'CMD ["/bin/sh"]' \
        --change 'ENV CARGO_HOME=/usr/local/cargo'
fi
