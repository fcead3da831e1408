#!/bin/bash
#
# bench/clauses.sh - a classifier in WHERE beside a cheap predicate, over a million short rows, with gpt.batching and
# without (some minutes).
#
# ROWS (1,000,000) rows of three to six words. In the table `repeated` they are drawn from TEXTS (100,000) by Zipf's law
# (exponent 1), as names and queries are; in `alone` each differs from all others. The cheap predicate takes one row in
# PART (8). The classifier has 2 layers and 64 channels, with its linear part. ROUNDS (1) of each statement with
# gpt.batching and without in turn, in new sessions; SHARE (1) of the rows. Prints the processor's time of the session,
# calls, whether the rows are the same, and the ratio.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rows=${ROWS:-1000000} texts=${TEXTS:-100000} part=${PART:-8} rounds=${ROUNDS:-1}

start_server clauses <<SETTINGS
gpt.nice = 0
gpt.threads = 1
fsync = off
max_wal_size = '4GB'
max_parallel_workers_per_gather = 0
SETTINGS
psql+=(-At)

"${psql[@]}" >/dev/null <<SQL
SELECT setseed(0.5);
CREATE TABLE text AS SELECT i AS rank, (SELECT string_agg(translate(left(md5(((i * k * 7919 + k * 104729) % 1997)::text), 5), '0123456789', 'ghijklmnop'), ' ')
	FROM generate_series(1, 3 + i % 4) k) AS body FROM generate_series(1::bigint, $texts) i;
UPDATE text SET body = body || ' ' || rank WHERE rank % 2 = 0;
CREATE UNIQUE INDEX ON text (rank);
ANALYZE text;
CREATE TABLE repeated AS SELECT i AS id, body FROM (SELECT i, least(floor(exp(random() * ln($texts + 1)))::bigint, $texts) AS rank FROM generate_series(1, $rows) i) r
	JOIN text USING (rank) ORDER BY i;
CREATE TABLE alone AS SELECT i AS id, body || ' ' || i AS body FROM generate_series(1, $rows) i JOIN text ON rank = i % $texts + 1 ORDER BY i;
SELECT gpt_train('c', 'SELECT body AS text, rank % 3 AS label FROM text WHERE rank <= 3000', '{"layers": 2, "heads": 2, "channels": 64, "vocabulary": 2048, "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job);
VACUUM ANALYZE repeated, alone;
SQL

# run BATCHING TABLE: nanoseconds of the processor, calls, and a hash of the rows
run()
{
	"${psql[@]}" <<SQL | paste -sd' ' | awk '{ print $2 - $1, $4, $3 }'
SET gpt.batching = $1;
\o /dev/null
SELECT gpt_classify('c', 'a');
SELECT gpt_stat_reset();
\o
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
CREATE TEMP TABLE found AS SELECT id FROM $2 WHERE id % $part = 0 AND gpt_classify('c', body) = '1';
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SELECT md5(string_agg(id::text, ' ')) || '/' || count(*) FROM found;
SELECT sum(calls) FROM gpt_stat_models;
SQL
}

for ((round = 0; round < rounds; round++)); do
	for table in repeated alone; do
		if ((round % 2 == 0)); then
			on=$(run on "$table") off=$(run off "$table")
		else
			off=$(run off "$table") on=$(run on "$table")
		fi
		awk -v table="$table" '{ printf "%s: %.2f s and %d calls with gpt.batching, %.2f s and %d without, %.2f; rows %s\n", table, $1 / 1e9, $2, $4 / 1e9, $5, $4 / $1,
			$3 == $6 ? "the same" : "DIFFER" }' <<<"$on $off"
	done
done
