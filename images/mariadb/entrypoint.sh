#!/bin/bash
# Entrypoint of the MariaDB image: makes the database on the first start, then runs the server.
# Honours the environment of the official image: MARIADB_* or MYSQL_*, each also with _FILE.
set -euo pipefail

datadir=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

note() { printf '%s [entrypoint] %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }
die() { note "error: $*"; exit 1; }

# setting NAME: the value of MARIADB_NAME, MYSQL_NAME or the file that either's _FILE names.
setting() {
  local prefix var file
  for prefix in MARIADB MYSQL; do
    var="${prefix}_$1"
    file="${var}_FILE"
    if [[ -n ${!var-} && -n ${!file-} ]]; then die "$var and $file are both set"; fi
    if [[ -n ${!var-} ]]; then printf %s "${!var}"; return; fi
    if [[ -n ${!file-} ]]; then cat -- "${!file}"; return; fi
  done
}

# quoted TEXT: TEXT as an SQL string.
quoted() {
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\\\'}"
}

# identifier TEXT: TEXT as an SQL identifier.
identifier() { printf '`%s`' "${1//\`/\`\`}"; }

client() { mariadb --no-defaults --protocol=socket --socket="$socket" -uroot "$@"; }

root_sql() {
  local password=$1 host
  host=$(setting ROOT_HOST)
  host=${host:-%}
  printf 'SET @@SESSION.SQL_LOG_BIN=0;\n'
  # the tables come with password-less root accounts for 127.0.0.1, ::1 and this host's name
  printf "DELETE FROM mysql.global_priv WHERE NOT (User = 'root' AND Host = 'localhost')"
  printf " AND User <> 'mariadb.sys';\nFLUSH PRIVILEGES;\n"
  if [[ $host != localhost ]]; then
    printf 'CREATE USER root@%s IDENTIFIED BY %s;\n' "$(quoted "$host")" "$(quoted "$password")"
    printf 'GRANT ALL ON *.* TO root@%s WITH GRANT OPTION;\n' "$(quoted "$host")"
  fi
}

health_sql() {
  local password host
  password=$(head -c 24 /dev/urandom | base64)
  for host in localhost 127.0.0.1 ::1; do
    printf 'CREATE USER healthcheck@%s IDENTIFIED BY %s;\n' "$(quoted "$host")" "$(quoted "$password")"
  done
  (umask 077; printf '[mariadb-client]\nuser=healthcheck\npassword=%s\n' "$password" \
    > "$datadir/.my-healthcheck.cnf")
}

user_sql() {
  local database user password
  database=$(setting DATABASE) user=$(setting USER) password=$(setting PASSWORD)
  if [[ -n $database ]]; then
    printf 'CREATE DATABASE IF NOT EXISTS %s;\n' "$(identifier "$database")"
  fi
  if [[ -n $user ]]; then
    [[ -n $password ]] || die "a user needs a password: set MARIADB_PASSWORD"
    printf 'CREATE USER %s@"%%" IDENTIFIED BY %s;\n' "$(quoted "$user")" "$(quoted "$password")"
    if [[ -n $database ]]; then
      printf 'GRANT ALL ON %s.* TO %s@"%%";\n' "$(identifier "${database//_/\\_}")" "$(quoted "$user")"
    fi
  fi
}

run_init_files() {
  local file database
  database=$(setting DATABASE)
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) note "running $file"; bash "$file" ;;
      *.sql) note "running $file"; client ${database:+"$database"} < "$file" ;;
      *.sql.gz) note "running $file"; gunzip -c "$file" | client ${database:+"$database"} ;;
    esac
  done
}

root_password() {
  local password
  password=$(setting ROOT_PASSWORD)
  if [[ -z $password && -n $(setting RANDOM_ROOT_PASSWORD) ]]; then
    password=$(head -c 24 /dev/urandom | base64)
    note "GENERATED ROOT PASSWORD: $password"
  fi
  if [[ -z $password && -z $(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD) ]]; then
    die "set MARIADB_ROOT_PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD"
  fi
  printf %s "$password"
}

# first_start: the database is made in place; a marker says that it is not whole yet.
first_start() {
  local password server
  password=$(root_password)
  note "making the database"
  touch "$datadir/.making"
  local log
  log=$(mariadb-install-db --datadir="$datadir" --auth-root-authentication-method=normal \
    --skip-test-db --skip-name-resolve --force 2>&1) || { printf '%s\n' "$log" >&2; die "no database was made"; }
  "$@" --skip-networking --socket="$socket" --skip-log-bin &
  server=$!
  until client -e 'SELECT 1' > /dev/null 2>&1; do
    kill -0 "$server" 2> /dev/null || die "the server ended while the database was made"
    sleep 0.1
  done
  { root_sql "$password"; health_sql; user_sql; } | client
  run_init_files
  printf 'SET PASSWORD FOR root@localhost = PASSWORD(%s);\n' "$(quoted "$password")" | client
  kill "$server"
  wait "$server" || die "the server did not end well after the database was made"
  rm "$datadir/.making"
  note "the database is ready"
}

if [[ ${1-} == -* || $# -eq 0 ]]; then set -- mariadbd "$@"; fi
[[ $1 == mysqld ]] && { shift; set -- mariadbd "$@"; }
if [[ $1 == mariadbd ]]; then
  if [[ $(id -u) == 0 ]]; then
    mkdir -p "$datadir" /run/mysqld
    find "$datadir" /run/mysqld \! -user mysql -exec chown mysql:mysql {} +
    exec gosu mysql "$0" "$@"
  fi
  if [[ -e $datadir/.making ]]; then
    note "an earlier start was interrupted: making the database anew"
    find "$datadir" -mindepth 1 -delete
  fi
  if [[ ! -d $datadir/mysql ]]; then first_start "$@"; fi
fi
exec "$@"
