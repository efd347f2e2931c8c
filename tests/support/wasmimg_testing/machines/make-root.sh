#!/bin/bash
# make-root.sh SUITE SCRIPT DIR "PACKAGE ..." "REQUIREMENT ...": a Debian root with engines, and
# Python's packages that wasmimg needs in /opt/wasmimg, a virtual environment of the root's own Python.
# Run it in a mount namespace of its own: what it mounts is not taken away.
set -euo pipefail
suite=$1 script=$2 root=$3 packages=$4 requirements=$5
# the one that this machine has its own packages from
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)

say() { echo "machines: $suite: $*" >&2; }

say "debootstrap"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" \
  "/usr/share/debootstrap/scripts/$script"

# What the host knows of the network, while the root is made.
cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -d "$root/etc/dpkg/dpkg.cfg.d" "$root/etc/apt/apt.conf.d"
printf '%s\n' force-unsafe-io 'path-exclude /usr/share/doc/*' 'path-exclude /usr/share/man/*' \
  'path-exclude /usr/share/locale/*' > "$root/etc/dpkg/dpkg.cfg.d/machine"
printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'APT::Install-Recommends "false";' \
  'APT::Sandbox::User "root";' > "$root/etc/apt/apt.conf.d/machine"
# Services are started by tests only.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive "$@"; }

say "packages: $packages"
in_root apt-get -qq update
# shellcheck disable=SC2086 # a list
in_root apt-get -qq install $packages > /dev/null

say "Python packages: $requirements"
in_root python3 -m venv /opt/wasmimg
# shellcheck disable=SC2086 # a list
in_root /opt/wasmimg/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
  --only-binary=:all: --cert /etc/ssl/certs/ca-certificates.crt $requirements
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
