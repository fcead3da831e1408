#!/bin/bash
#
# bench/pinned.sh - lookups by an index on what a fixed version says of a text, and by a generated column, beside a
# plain column with the same values (five minutes on an idle machine).
#
# ROWS (20,000) rows of about 20 tokens, a language model and a classifier of 500 labels, both of one layer. The time of
# CREATE INDEX alone and with two parallel workers. Then ROUNDS (3; 0: only the last part) of LOOKUPS (1,000), one
# client: by the score, which finds one row, and by the class, which finds some; planned each time (simple) and
# prepared. Microseconds of the session a lookup, ratios to the plain column, and instructions of the processor, counted
# by valgrind.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh disable=SC2154
. bench/server.sh
rounds=${ROUNDS:-3} lookups=${LOOKUPS:-1000} rows=${ROWS:-20000}

start_server pinned <<SETTINGS
autovacuum = off
jit = off
SETTINGS
bin=$(cluster_bin "$work")
client=(-h "$(cat "$work/socket")" -U postgres)
psql=("$bin/psql" "${client[@]}" -d postgres -X -q -v ON_ERROR_STOP=1)
ticks=$(getconf CLK_TCK)

"${psql[@]}" -v rows="$rows" >/dev/null <<'SQL'
CREATE TABLE review AS SELECT i AS id, 'the soup was ' || (ARRAY['good', 'bad', 'fine', 'cold'])[1 + i % 4] || ', number ' || md5(i::text) AS body
	FROM generate_series(1, :rows) i;
SELECT gpt_train('reviews', 'SELECT body FROM review LIMIT 2000', '{"layers": 1, "channels": 32, "heads": 1, "context": 64, "steps": 20, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('classes', 'SELECT body, id % 500 AS label FROM review LIMIT 5000', '{"layers": 1, "channels": 32, "heads": 1, "context": 64, "steps": 20, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SQL
for workers in 0 2; do
	"${psql[@]}" -c "SET max_parallel_maintenance_workers = $workers" -c "ALTER TABLE review SET (parallel_workers = 2)" -c '\timing on' \
		-c "CREATE INDEX review_score_$workers ON review (gpt_score('reviews@1'::gpt_model_version, body))" | sed "s/^/CREATE INDEX, $workers workers: /"
done
"${psql[@]}" <<'SQL'
DROP INDEX review_score_2;
CREATE INDEX review_class ON review (gpt_classify('classes@1'::gpt_model_version, body));
CREATE TABLE stored (id integer, body text, score float8 GENERATED ALWAYS AS (gpt_score('reviews@1'::gpt_model_version, body)) STORED,
	class text GENERATED ALWAYS AS (gpt_classify('classes@1'::gpt_model_version, body)) STORED);
INSERT INTO stored SELECT id, body FROM review;
CREATE INDEX ON stored (score);
CREATE INDEX ON stored (class);
CREATE TABLE plain AS SELECT * FROM stored;
CREATE INDEX ON plain (score);
CREATE INDEX ON plain (class);
VACUUM ANALYZE review, stored, plain;
SQL
declare -A condition=(
	[index.score]="FROM review WHERE gpt_score('reviews@1'::gpt_model_version, body)" [index.class]="FROM review WHERE gpt_classify('classes@1'::gpt_model_version, body)"
	[generated.score]="FROM stored WHERE score" [generated.class]="FROM stored WHERE class" [plain.score]="FROM plain WHERE score" [plain.class]="FROM plain WHERE class")
declare -A type=([score]=float8 [class]=text)
for kind in score class; do
	# values that are there, in the order of a hash
	"${psql[@]}" -At -c "SELECT $kind FROM plain ORDER BY md5(id::text) LIMIT $lookups" >"$work/values"
	for way in index generated plain; do
		sed "s/.*/SELECT id, body ${condition[$way.$kind]} = '&'::${type[$kind]};/" "$work/values" >"$work/$way.$kind.simple"
		sed "s/.*/EXECUTE lookup('&');/" "$work/values" >"$work/$way.$kind.prepared"
		echo "SELECT 1;" >"$work/prepare.$way.$kind.simple"
		echo "PREPARE lookup(${type[$kind]}) AS SELECT id, body ${condition[$way.$kind]} = \$1;" >"$work/prepare.$way.$kind.prepared"
		echo "SET plan_cache_mode = force_generic_plan;" >>"$work/prepare.$way.$kind.prepared"
		"${psql[@]}" -At -c "EXPLAIN (COSTS OFF) $(head -n 1 "$work/$way.$kind.simple")" | head -n 1
	done
done

# measure WAY.KIND PROTOCOL: microseconds of the session a lookup, by its own ticks. So many repetitions that a tick
# does not matter.
measure()
{
	local n=10 files=()

	for ((i = 0; i < n; i++)); do files+=(-f "$work/$1.$2"); done
	{
		"${psql[@]}" -At -f "$work/prepare.$1.$2" -c "SELECT 'ticks ' || pg_read_file('/proc/self/stat')" "${files[@]}" \
			-c "SELECT 'ticks ' || pg_read_file('/proc/self/stat')"
	} | sed -n 's/^ticks .*) //p' | awk -v ticks="$ticks" -v n="$((lookups * n))" '{ last = now; now = $12 + $13 } END { printf "%.2f\n", (now - last) / ticks / n * 1e6 }'
}

# instructions WAY.KIND PROTOCOL: of a lookup, counted by valgrind in a server of one session, as the difference of two
# runs
instructions()
{
	for n in 200 400; do
		{ cat "$work/prepare.$1.$2" && head -n "$n" "$work/$1.$2"; } >"$work/statements"
		chmod a+r "$work/statements"
		as_server valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin/postgres" --single -D "$work/data" postgres \
			<"$work/statements" 2>&1 >/dev/null | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
	done | paste -sd' ' | awk 'NF == 2 { print ($2 - $1) / 200 }'
}

for kind in score class; do
	for protocol in simple prepared; do
		((rounds > 0)) || continue
		for ((round = 0; round < rounds; round++)); do
			echo "$(measure index.$kind $protocol) $(measure generated.$kind $protocol) $(measure plain.$kind $protocol)"
		done >"$work/measured"
		sed "s/^/$kind, $protocol, microseconds: index, generated, plain /" "$work/measured"
		for column in 1 2; do
			awk -v c=$column '{ print $c / $3 }' "$work/measured" | sort -n |
				awk -v name="$kind, $protocol, $( ((column == 1)) && echo 'expression index' || echo 'generated column')" \
					'{ a[NR] = $1 } END { printf "%s / plain: median %.3f of %.3f to %.3f\n", name, a[int((NR + 1) / 2)], a[1], a[NR] }'
		done
	done
done
"${psql[@]}" -At -c "REINDEX TABLE review" -c "SELECT 'same rows after REINDEX: ' || (SELECT count(*) FROM plain p WHERE EXISTS (SELECT FROM review r
	WHERE gpt_score('reviews@1'::gpt_model_version, r.body) = p.score AND r.id = p.id)) || ' of ' || count(*) FROM plain"
cluster_stop "$work"
for kind in score class; do
	for protocol in simple prepared; do
		echo "$kind, $protocol, instructions: index, generated, plain $(instructions index.$kind $protocol) $(instructions generated.$kind $protocol) $(instructions plain.$kind $protocol)"
	done
done
