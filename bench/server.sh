#!/bin/bash
#
# bench/server.sh - sourced by the benchmarks that need a server: a private cluster with the build of this tree.

# shellcheck source=scripts/cluster.sh
. scripts/cluster.sh

# start_server NAME <SETTINGS: starts it with gpt preloaded and created. Sets `psql`, the command that asks it; it goes
# when the script ends.
start_server()
{
	work=$(mktemp -d "/tmp/gpt-$1-XXXXXX")
	chmod 755 "$work"
	trap 'cluster_stop "$work"; cluster_stop_all "$work"; rm -rf "$work"' EXIT
	cluster_tree "$work" .
	[ "$(id -u)" != 0 ] || chown "$(server_user)" "$work"
	{ echo "shared_preload_libraries = 'gpt'" && cat; } | cluster_init "$work"
	cluster_start "$work"
	psql=("$(cluster_bin "$work")/psql" -h "$(cat "$work/socket")" -U postgres -d postgres -X -q -v ON_ERROR_STOP=1)
	"${psql[@]}" -c 'CREATE EXTENSION gpt'
}
