#!/bin/bash
#
# scripts/cluster.sh COMMAND FOLDER - private PostgreSQL clusters for the tests and the demo.
#
#   tree FOLDER SOURCE   copies the server's programs to FOLDER/tree and installs the extension built in SOURCE there;
#                        the server finds its files relative to its own program, so the system's stay untouched
#   init FOLDER          makes a cluster in FOLDER/data: UTF8, no TCP port, superuser "postgres"; further settings are
#                        read from standard input
#   start FOLDER         starts it; the socket lies in a short folder of its own, whose name FOLDER/socket holds
#   stop FOLDER          stops it, and removes the folder of the socket
#   stop-all FOLDER      stops every server that runs anywhere below FOLDER, at once
#
# As root everything but "tree" is done as the user that server_user names: PostgreSQL refuses to run as root.
# check.sh and demo.sh source this file for its functions.

PG_CONFIG=${PG_CONFIG:-pg_config}

server_user()
{
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
		echo "$SUDO_USER"
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

as_server()
{
	if [ "$(id -u)" = 0 ]; then
		(cd / && HOME=/ runuser -u "$(server_user)" -- "$@")
	else
		"$@"
	fi
}

# Prints the folder of the server's programs in the tree.
cluster_bin()
{
	echo "$1/tree$("$PG_CONFIG" --bindir)"
}

cluster_tree()
{
	local folder=$1 source=$2 from

	for from in "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
		mkdir -p "$folder/tree$from" &&
			tar -C "$from" --exclude=./bitcode --exclude=./pgxs -cf - . | tar -C "$folder/tree$from" -xf - || return 1
	done
	make -s -C "$source" install PG_CONFIG="$PG_CONFIG" DESTDIR="$(cd "$folder" && pwd)/tree"
}

cluster_init()
{
	local folder=$1

	as_server "$(cluster_bin "$folder")/initdb" -D "$folder/data" -U postgres --auth=trust --encoding=UTF8 \
		--locale=C.UTF-8 --no-sync >"$folder/initdb.log" || return 1
	{
		echo "listen_addresses = ''"
		echo "log_line_prefix = '%m [%p] %b '"
		cat
	} | as_server tee -a "$folder/data/postgresql.conf" >/dev/null
}

# The socket has a folder of its own because its path may have no more than 107 bytes.
cluster_start()
{
	local folder=$1 socket

	socket=$(as_server mktemp -d /tmp/gpt-XXXXXX) || return 1
	echo "$socket" >"$folder/socket"
	as_server "$(cluster_bin "$folder")/pg_ctl" -D "$folder/data" -l "$folder/data/server.log" -o "-k $socket" -t 60 \
		-w -s start
}

cluster_stop()
{
	local folder=$1

	if [ -f "$folder/data/postmaster.pid" ]; then
		as_server "$(cluster_bin "$folder")/pg_ctl" -D "$folder/data" -m fast -t 30 -w -s stop ||
			cluster_stop_all "$folder"
	fi
	if [ -f "$folder/socket" ]; then
		as_server rm -rf "$(cat "$folder/socket")"
		rm -f "$folder/socket"
	fi
}

# Whether process $1 is the server of data directory $2, in which a server works: a file left behind by a crash may name
# somebody else's process by now.
is_server()
{
	[ "$(readlink "/proc/$1/cwd")" = "$(realpath "$2")" ]
}

# The first line of postmaster.pid is the server's process; SIGQUIT is an immediate shutdown.
cluster_stop_all()
{
	local file pid

	while IFS= read -r file; do
		pid=$(head -n 1 "$file" 2>/dev/null) && [ -n "$pid" ] || continue
		is_server "$pid" "${file%/*}" || continue
		kill -QUIT "$pid"
		for _ in $(seq 200); do
			is_server "$pid" "${file%/*}" || continue 2
			sleep 0.05
		done
		kill -KILL "$pid"
	done < <(find "$1" -name postmaster.pid 2>/dev/null)
	while IFS= read -r file; do
		rm -rf "$(cat "$file")"
	done < <(find "$1" -maxdepth 2 -name socket -type f 2>/dev/null)
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	command=${1:?command is missing} folder=${2:?folder is missing}
	shift
	case $command in
		tree | init | start | stop) "cluster_$command" "$@" ;;
		stop-all) cluster_stop_all "$folder" ;;
		*) sed -n '3,14s/^# \?//p' "$0" >&2 && exit 2 ;;
	esac
fi
