#!/bin/bash
#
# bench/commits.sh - what other sessions' commits cost while a job with gpt.nice = idle trains and publishes, on a
# machine whose cores others keep busy: the longest commit and the 99.9th percentile of CLIENTS sessions, with and
# without a job in turn (ROUNDS times two phases of SECONDS).
#
# CLIENTS (2), BUSY (as many as cores: processes that keep one busy each), ROUNDS (3), SECONDS_EACH (20), PRESET (small:
# 11 million parameters, of which each job makes one small step and publishes them; jobs follow one another), NICE
# (idle). Nothing waits for a disk (fsync is off): what is measured are processors and locks.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
clients=${CLIENTS:-2} n_busy=${BUSY:-$(nproc)} rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-20}

start_server commits <<SETTINGS
gpt.nice = ${NICE:-idle}
fsync = off
max_wal_size = '8GB'
checkpoint_timeout = '1h'
SETTINGS
psql+=(-At)
pids=()
# shellcheck disable=SC2154
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true; cluster_stop "$work"; cluster_stop_all "$work"; rm -rf "$work"' EXIT
"${psql[@]}" -c 'CREATE TABLE event (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())' \
	-c "CREATE TABLE line AS SELECT 'line ' || i || ' of ' || md5(i::text) AS body FROM generate_series(1, 2000) i"
# Rows that are added: gpt_wait holds a snapshot, beside which the versions of an updated row would pile up.
echo 'INSERT INTO event DEFAULT VALUES;' >"$work/insert.sql"
for _ in $(seq "$n_busy"); do
	setsid bash -c 'while :; do :; done' &
	pids+=($!)
done

# Jobs one after another until the file is gone; counts those that have published.
jobs()
{
	while [ -e "$work/jobs" ]; do
		"${psql[@]}" <<SQL >>"$work/published"
SELECT gpt_train('m', 'SELECT body FROM line', '{"preset": "${PRESET:-small}", "tokenizer": "bytes", "steps": 1, "batch_size": 1, "context": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_drop_model(model) FROM gpt_models \g /dev/null
SQL
	done
}
# measure NAME: pgbench's log of latencies becomes a line.
measure()
{
	rm -f "$work"/latency.*
	(cd "$work" && "$(cluster_bin "$work")/pgbench" -h "$(cat socket)" -U postgres -n -M prepared -c "$clients" -j "$clients" -T "$seconds" -f insert.sql -l --log-prefix=latency postgres) >/dev/null 2>&1
	cat "$work"/latency.* | awk '{ print $3 / 1000 }' | sort -n | awk -v name="$1" -v jobs="$2" '{ a[NR] = $1 }
		END { printf "| %s | %d | %.2f | %.2f | %.1f | %s |\n", name, NR, a[int(NR / 2) + 1], a[int(NR * 0.999) + 1], a[NR], jobs }'
}

echo '| phase | commits | median, ms | 99.9 %, ms | longest, ms | jobs published |'
echo '|---|---|---|---|---|---|'
for _ in $(seq "$rounds"); do
	measure 'no job' 0
	: >"$work/published"
	touch "$work/jobs"
	jobs &
	runner=$!
	measure 'jobs' '' | sed "s/|  |$/| JOBS |/" >"$work/row"
	n=$(grep -c succeeded "$work/published" || true)
	sed "s/JOBS/$n/" "$work/row"
	rm "$work/jobs"
	"${psql[@]}" -c "SELECT gpt_cancel(job) FROM gpt_jobs WHERE state IN ('queued', 'running')" >/dev/null
	wait "$runner" || true
done
