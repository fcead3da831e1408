#!/bin/bash
#
# scripts/demo.sh [stop] - trains a model on the bundled sample in a private cluster, shows what it can do, and checks
# it. Exits with 0 when every verdict of examples/verdicts.sql holds.
#
# The cluster lies in a folder of its own (GPT_DEMO, by default under TMPDIR or /tmp), is made anew by each run, and
# runs on after the demo until "make demo-stop". Interrupted, the demo stops it.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/cluster.sh
folder=${GPT_DEMO:-${TMPDIR:-/tmp}/gpt-demo-$(id -un)}
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGDATA MAKEFLAGS MAKELEVEL MFLAGS

if [ "${1:-}" = stop ]; then
	[ ! -d "$folder" ] || cluster_stop "$folder"
	rm -rf "$folder"
	echo "The demo's cluster is stopped and removed."
	exit
fi

# shellcheck disable=SC2317 # called by trap
interrupted()
{
	trap '' INT TERM EXIT
	set +e
	cluster_stop_all "$folder"
	rm -rf "$folder"
	echo
	echo "demo: stopped, nothing is left running" >&2
	exit 1
}

sql()
{
	"$(cluster_bin "$folder")/psql" -X -h "$(cat "$folder/socket")" -U postgres -d shakespeare -P pager=off -v ON_ERROR_STOP=1 "$@"
}

# The folder's name can be guessed: one that somebody else made is not used.
prepare()
{
	if [ -e "$folder" ] && [ ! -O "$folder" ] && [ "$(stat -c %U "$folder")" != "$(server_user)" ]; then
		echo "demo: $folder belongs to somebody else; set GPT_DEMO to another folder" >&2
		exit 1
	fi
	[ ! -d "$folder" ] || cluster_stop "$folder"
	rm -rf "$folder"
	mkdir -p "$folder"
	trap interrupted INT TERM EXIT
	chown "$(server_user)" "$folder"
}

start()
{
	make -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG"
	cluster_tree "$folder" .
	printf '%s\n' "shared_preload_libraries = 'gpt'" "gpt.train_threads = $(nproc)" "gpt.nice = 0" "max_connections = 20" |
		cluster_init "$folder"
	cluster_start "$folder"
	sql -q -d postgres -c 'CREATE DATABASE shakespeare'
}

# One line that is written over on a terminal, a line every few seconds elsewhere.
watch()
{
	local job=$1 line state end='\n' pause=5

	if [ -t 1 ]; then
		end='\r' pause=1
	fi
	while state=$(sql -Atc "SELECT state FROM gpt_jobs WHERE job = $job") && [[ $state = queued || $state = running ]]; do
		line=$(sql -At -c "SELECT format('%s: step %s of %s, loss %s, validation loss %s, %s tokens/s, %s s left', phase, step,
			coalesce(steps::text, '?'), coalesce(round(loss::numeric, 3)::text, '-'),
			coalesce(round(validation_loss::numeric, 3)::text, '-'), coalesce(round(tokens_per_second)::text, '-'),
			coalesce(round(seconds_left)::text, '?')) FROM gpt_stat_progress_train WHERE job = $job")
		printf "%-110s$end" "${line:-$state}"
		sleep "$pause"
	done
	printf '%-110s\n' "job $job $state"
	if [ "$state" != succeeded ]; then
		sql -Atc "SELECT error FROM gpt_jobs WHERE job = $job" >&2
		return 1
	fi
}

verdicts()
{
	local verdict holds numbers failed=0

	while IFS='|' read -r verdict holds numbers; do
		if [ "$holds" = t ]; then
			echo "PASS  $verdict: $numbers"
		else
			echo "FAIL  $verdict: $numbers"
			failed=1
		fi
	done < <(sql -At -f examples/verdicts.sql || echo "the verdicts could not be computed|f|see above")
	return "$failed"
}

scripts/packages.sh build
prepare
start
echo "== A table of speeches"
sql -q -v file="$PWD/examples/tinyshakespeare.txt" -f examples/load.sql
echo "== Training in a background worker: $(grep -v '^--' examples/train.sql)"
watch "$(sql -At -f examples/train.sql)"
sql -c "SELECT model, version, architecture, parameters, context, vocabulary, pg_size_pretty(size) AS size FROM gpt_models"
sql -q -f examples/show.sql
echo "== Verdicts"
verdicts && status=0 || status=$?
trap - INT TERM EXIT

echo
echo "The cluster runs on. Connect with:  psql -h $(cat "$folder/socket") -U postgres -d shakespeare"
echo "Stop and remove it with:            make demo-stop"
exit "$status"
