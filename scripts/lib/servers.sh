# Redis and PostgreSQL for scripts: found, or installed from Debian's packages. To be sourced; `$0` names the script in messages.

# Installs Debian packages, quietly; fails where that is not possible.
install_packages() {
  command -v apt-get > /dev/null && [ "$(id -u)" = 0 ] || return 1
  echo "installing $* (needed once)"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$@" > /dev/null
}

# need_program PROGRAM PACKAGE WHAT: a program that a package of the same system brings.
need_program() {
  if command -v "$1" > /dev/null; then return; fi
  if ! install_packages "$2" || ! command -v "$1" > /dev/null; then
    echo "$0: $1 is missing: install $3 and run it again" >&2
    return 1
  fi
}

# Bundled C code (SQLite) needs a compiler; everything else is Rust.
need_compiler() {
  if command -v cc > /dev/null || install_packages gcc libc6-dev; then return; fi
  echo "$0: a C compiler is missing (SQLite is built from source): install gcc or clang and run it again" >&2
  return 1
}

need_redis() {
  need_program redis-server redis-server "Redis 7.0 or newer"
}

# Where PostgreSQL's programs are: Debian keeps them out of PATH, a folder for each version; the newest wins.
find_postgres() {
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1)
  if [ -n "$found" ] && [ -x "$found/initdb" ] && [ -x "$found/postgres" ]; then
    postgres_bin=$found
  elif command -v initdb > /dev/null && command -v postgres > /dev/null; then
    postgres_bin=$(dirname "$(readlink -f "$(command -v postgres)")")
  else
    return 1
  fi
}

need_postgres() {
  if find_postgres; then return; fi
  if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    # Without a cluster of the machine's own: who calls makes theirs.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
  fi
  install_packages postgresql || true
  if ! find_postgres; then
    echo "$0: PostgreSQL is missing: install version 14 or newer (initdb and postgres) and run it again" >&2
    return 1
  fi
}

# as_postgres FOLDER: sets `as` to what runs a command as a user that PostgreSQL accepts (it refuses root), and gives it the folder.
as_postgres() {
  as=()
  if [ "$(id -u)" != 0 ]; then return; fi
  local user=nobody
  if id -u postgres > /dev/null 2>&1; then user=postgres; fi
  chown "$user" "$1"
  as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --)
}

# make_cluster DATA LOG [OPTIONS]: an empty cluster below DATA, unless it is there.
make_cluster() {
  local data=$1 log=$2
  shift 2
  if [ -e "$data/cluster/PG_VERSION" ]; then return; fi
  if ! (cd / && "${as[@]}" "$postgres_bin/initdb" -D "$data/cluster" -U bulrush --auth trust --encoding UTF8 --locale C.UTF-8 "$@") \
    > "$log" 2>&1; then
    echo "$0: the private PostgreSQL cluster could not be made:" >&2
    cat "$log" >&2
    return 1
  fi
}

# wait_for PID LOG WHAT COMMAND…: until the command succeeds, while the process lives, for 30 s at most.
wait_for() {
  local pid=$1 log=$2 what=$3
  shift 3
  for _ in $(seq 300); do
    if "$@" > /dev/null 2>&1; then return; fi
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
  echo "$0: $what did not start:" >&2
  cat "$log" >&2
  return 1
}
