#!/bin/bash
#
# bench/kills.sh - kill -9 of processes of three servers that train one model: bench/kills.pl in private clusters, with
# its variables TRIALS, STEPS, SYNC, ON_LOSS, DATA, FIRST and BATCH. "make check" installs the packages that it needs.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster.sh
. scripts/cluster.sh
work=$(mktemp -d /tmp/gpt-kills-XXXXXX)
chmod 755 "$work"
trap 'cluster_stop_all "$work"; rm -rf "$work"' EXIT
cluster_tree "$work" .
mkdir "$work/perl"
chown "$(server_user)" "$work/perl"
cp -r bench/kills.pl test/t "$work/"
pgxs=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
as_server env PATH="$(cluster_bin "$work"):$PATH" PERL5LIB="$pgxs/test/perl:$work/t" PG_REGRESS="$pgxs/test/regress/pg_regress" \
	TESTDIR="$work/perl" TMPDIR="$work/perl" LC_ALL=C.UTF-8 \
	TRIALS="${TRIALS:-60}" STEPS="${STEPS:-300}" SYNC="${SYNC:-\"step\"}" ON_LOSS="${ON_LOSS:-wait}" DATA="${DATA:-dealt}" SEED="${SEED:-1}" FIRST="${FIRST:-0}" BATCH="${BATCH:-8}" \
	perl "$work/kills.pl" 3>&1 >"$work/perl/out" 2>&1 || {
	tail -n 20 "$work/perl/out" "$work"/perl/tmp_check/log/*.log
	exit 1
}
