#!/bin/bash
# make-root.sh DIR: the root filesystem of the MariaDB image, from Debian's packages. Needs root.
# DEBIAN_MIRROR names another mirror than debootstrap's own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?usage: make-root.sh DIR}
suite=bookworm

trap '[[ $? == 0 ]] || rm -rf --one-file-system "$root"' EXIT
[[ ! -e $root ]] || { echo "make-root.sh: $root exists" >&2; exit 1; }
mkdir -p "$(dirname "$root")"
echo "mariadb: Debian $suite with the server's packages (about a minute)" >&2
debootstrap --variant=minbase --include=mariadb-server-core,mariadb-client-core,mariadb-common,gosu \
  "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$root.log" 2>&1 \
  || { tail -5 "$root.log" >&2; exit 1; }
rm -f "$root.log"

chroot "$root" groupadd --gid 999 mysql
chroot "$root" useradd --uid 999 --gid 999 --home-dir /var/lib/mysql --no-create-home --shell /usr/sbin/nologin mysql
install -d -o 999 -g 999 -m 755 "$root/var/lib/mysql" "$root/run/mysqld"
install -d "$root/docker-entrypoint-initdb.d"
install -m 755 "$here/entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"
install -m 755 "$here/healthcheck.sh" "$root/usr/local/bin/healthcheck.sh"
install -D -m 644 "$here/server.cnf" "$root/etc/mysql/mariadb.conf.d/99-container.cnf"

# What no server reads: package lists and archives, documentation, translations.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
  "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/*
