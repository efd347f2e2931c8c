#!/bin/bash
# healthcheck.sh [--connect] [--innodb_initialized]: exit 0 if the server of this container answers
# so over TCP; while the database is made it listens on its socket only, and is not healthy.
set -euo pipefail

query() {
  mariadb --defaults-file=/var/lib/mysql/.my-healthcheck.cnf --protocol=tcp --host=127.0.0.1 \
    --connect-timeout=3 --skip-column-names --batch -e "$1"
}

[[ $# -gt 0 ]] || set -- --connect
for test in "$@"; do
  case $test in
    --connect) query 'SELECT 1' > /dev/null ;;
    --innodb_initialized)
      [[ $(query "SELECT 1 FROM information_schema.ENGINES WHERE engine='innodb' AND support IN ('YES','DEFAULT','ENABLED')") == 1 ]] ;;
    --su-mysql | --no-defaults) ;;
    *) echo "healthcheck.sh: unknown test $test" >&2; exit 1 ;;
  esac
done
