#!/bin/bash
#
# bench/adapters.sh - rows of many adapters, mixed by a column, against rows of one (some minutes; most of it makes the
# adapters).
#
# A base with random weights (SHAPE="6 6 384": layers, heads, channels; vocabulary 8,192; TYPE=bfloat16, the type of its
# image) and ADAPTERS (64) adapters of RANK (8), one thread. In each of ROUNDS (5), in turn: scores of ROWS (256) rows
# of 32 to 64 tokens, and 32 tokens after each of 64 prompts of 16 tokens, with gpt.batching, of one adapter and of all;
# then the scores without gpt.batching (SINGLE=64 rows). It compares the processor time of the session, which other
# processes on the cores leave nearly as it is. Every result of all adapters together must equal that of its row alone.
# Prints tokens a second of that time, and the median of the ratios.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-5} adapters=${ADAPTERS:-64} rank=${RANK:-8} rows=${ROWS:-256} single=${SINGLE:-64} type=${TYPE:-bfloat16}
read -r layers heads channels <<<"${SHAPE:-6 6 384}"

start_server adapters <<SETTINGS
gpt.nice = 0
gpt.threads = 1
max_parallel_workers_per_gather = 0
gpt.train_threads = 1
fsync = off
max_wal_size = '4GB'
gpt.max_memory = '8GB'
gpt.max_image_size = '8GB'
SETTINGS
psql+=(-At)

# Words that are one token each: a row has as many tokens as words.
"${psql[@]}" >/dev/null <<SQL
SELECT setseed(0.5);
CREATE TABLE heap AS SELECT string_agg(' ' || translate(left(md5((i % 6007)::text), 5), '0123456789', 'ghijklmnop'), '') AS body
	FROM generate_series(1, 60000) i GROUP BY i % 600;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM heap', '{"vocabulary": 8192}') AS job \gset
SELECT gpt_wait(:job);
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 20) i;
SELECT gpt_train('base', 'SELECT body FROM line', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 128, "family": "gpt2", "optimizer": "adamw", "tokenizer": "t",
	"steps": 1, "learning_rate": 1e-9, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT format('SELECT gpt_finetune(''base'', ''SELECT body FROM line'', ''{"method": "lora", "rank": $rank, "steps": 1, "learning_rate": 0.01, "batch_size": 1, "seed": %s, "validation_fraction": 0, "into": "a%s"}'')', i, i)
	FROM generate_series(0, $((adapters - 1))) i \gexec
SELECT gpt_wait(job) FROM gpt_jobs WHERE state IN ('queued', 'running') ORDER BY job;
SELECT gpt_set_image_type(model, '$type') FROM gpt_models;
CREATE TABLE word AS SELECT row_number() OVER () AS i, w FROM (SELECT gpt_detokenize('t', ARRAY[id]) AS w FROM generate_series(256, 8191) id) s WHERE w ~ '^ [a-z]{2,5}\$';
CREATE FUNCTION words(n int) RETURNS text AS \$\$ SELECT string_agg(w, '') FROM (SELECT (random() * (SELECT count(*) - 1 FROM word))::int + 1 AS k
	FROM generate_series(1, n)) r JOIN word ON i = k \$\$ LANGUAGE sql VOLATILE;
CREATE TABLE input AS SELECT i, 'a0' AS one, 'a' || i % $adapters AS many, words(32 + i * 7 % 33) AS body, words(16) AS prompt FROM generate_series(1, $rows) i;
SQL
[ "$("${psql[@]}" -c "SELECT count(*) FROM gpt_models WHERE base = 'base@1'")" = "$adapters" ]

score="SELECT i, gpt_score(MODEL, body) FROM input"
generate="SELECT i, gpt_generate(MODEL, prompt, 32, temperature => 1, seed => i) FROM input WHERE i <= 64"

# seconds BATCHING COLUMN QUERY: of the session's processor time, in a new session that has the models. The kernel
# counts it when the process sleeps.
seconds()
{
	"${psql[@]}" <<SQL | tail -n 3 | sed '2d' | paste -sd' ' | awk '{ print ($2 - $1) / 1e9 }'
SET gpt.batching = $1;
\o /dev/null
SELECT gpt_score('a' || i, 'a') FROM generate_series(0, $((adapters - 1))) i;
${3//MODEL/$2};
SELECT pg_sleep(0.01);
\o
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
\o /dev/null
${3//MODEL/$2};
\o
SELECT pg_sleep(0.01);
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
}

# same QUERY: how many rows with batching have the bits of single calls
same()
{
	"${psql[@]}" <<SQL
SET extra_float_digits = 3;
SET gpt.batching = on;
CREATE TEMP TABLE together AS ${1//MODEL/many};
SET gpt.batching = off;
CREATE TEMP TABLE alone AS ${1//MODEL/many};
SELECT (SELECT count(*) FROM (SELECT * FROM together INTERSECT SELECT * FROM alone) s) || ' of ' || count(*) FROM together;
SQL
}
echo "scores with the bits of single calls: $(same "$score")"
echo "texts with the bits of single calls: $(same "$generate")"

# compare WHAT BATCHING QUERY TOKENS
compare()
{
	local one many
	if ((round % 2 == 0)); then
		one=$(seconds "$2" one "$3") many=$(seconds "$2" many "$3")
	else
		many=$(seconds "$2" many "$3") one=$(seconds "$2" one "$3")
	fi
	awk -v what="$1" -v one="$one" -v many="$many" -v tokens="$4" -v n="$adapters" \
		'BEGIN { printf "%s: %.0f tokens/s of one adapter, %.0f of %d, %.3f\n", what, tokens / one, tokens / many, n, one / many }' | tee -a "$work/lines"
}
scored=$("${psql[@]}" -c "SELECT sum(gpt_count_tokens('t', body)) FROM input")
alone=$("${psql[@]}" -c "SELECT sum(gpt_count_tokens('t', body)) FROM input WHERE i <= $single")
for ((round = 0; round < rounds; round++)); do
	compare "scores" on "$score" "$scored"
	compare "texts" on "$generate" $((64 * 32))
	compare "scores, single calls" off "$score WHERE i <= $single" "$alone"
done
echo "medians ($layers layers, $channels channels, $type, rank $rank):"
for what in "scores" "texts" "scores, single calls"; do
	grep "^$what:" "$work/lines" | awk '{ print $NF }' | sort -n | awk -v what="$what" '{ a[NR] = $1 } END { print what ": " a[int((NR + 1) / 2)] }'
done
