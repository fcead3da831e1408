#!/bin/bash
#
# scripts/packages.sh [GROUP]... - installs the packages of packages.txt that are missing, of all groups by default.
#
# Asks dpkg first and does nothing when everything is there. Needs root or sudo only to install. PG_MAJOR chooses
# PostgreSQL's version; without it the version that pg_config reports is taken, else Debian's own.
set -euo pipefail

list=$(dirname "$0")/packages.txt
no_cluster=/etc/postgresql-common/createcluster.d/gpt-packages.conf

major_version()
{
	local version

	version=$("${PG_CONFIG:-pg_config}" --version 2>/dev/null | sed -nE 's/^PostgreSQL ([0-9]+).*/\1/p') || true
	if [ -z "$version" ]; then
		version=$(apt-cache depends postgresql 2>/dev/null | sed -nE 's/.*Depends: postgresql-([0-9]+)$/\1/p') || true
	fi
	echo "${version:-15}"
}

# The packages of the groups in the arguments; of every group when there are none.
packages()
{
	awk -v groups=" $* " '
		/^\[/ { group = substr($0, 2, length($0) - 2); next }
		/^[^#]/ && (groups ~ /^ *$/ || index(groups, " " group " ")) { print }' "$list" |
		sed "s/@PG@/${PG_MAJOR:=$(major_version)}/"
}

missing()
{
	local package

	for package in $(packages "$@"); do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
	done
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif ! command -v sudo >/dev/null; then
		echo "packages.sh: installing needs root or sudo; missing: $wanted" >&2
		exit 1
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "packages.sh: not a Debian system, nothing installed; needed: $(packages "$@" | tr '\n' ' ')"
	exit 0
fi

wanted=$(missing "$@" | tr '\n' ' ')
if [ -z "$wanted" ]; then
	echo "packages: nothing is missing"
	exit 0
fi

echo "packages: installing $wanted"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
# apt-get update is what tells a bare machine the version.
wanted=$(missing "$@" | tr '\n' ' ')

# The server package would create and start a cluster for the whole machine; ours are private.
trap 'as_root rm -f "$no_cluster"' EXIT
as_root mkdir -p "${no_cluster%/*}"
as_root sh -c "echo 'create_main_cluster = false' >'$no_cluster'"
# shellcheck disable=SC2086 # a list of words
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
