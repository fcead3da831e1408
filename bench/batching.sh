#!/bin/bash
#
# bench/batching.sh - what gpt.batching gains for each function, by the length of rows (some minutes).
#
# A model of 12 layers and 768 channels (GPT-2's shape, a vocabulary of 8,192, random weights) with a bfloat16 image,
# one thread; SHAPE="6 6 384" for a smaller one. ROUNDS (2), LENGTHS ("4 16 64" tokens a row), ROWS (64; generation
# takes half of them, 8 tokens for each). In each round, in turn, one statement with gpt.batching and one without. It
# compares the processor time of the session, which other processes on the cores leave nearly as it is. Prints tokens a
# second of that time, and the median of the ratios.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-2} lengths=${LENGTHS:-4 16 64} rows=${ROWS:-64}
read -r layers heads channels <<<"${SHAPE:-12 12 768}"

start_server batching <<SETTINGS
gpt.nice = 0
gpt.threads = 1
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
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body, i % 2 AS label FROM generate_series(1, 20) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 128, "family": "gpt2", "optimizer": "adamw", "tokenizer": "t",
	"steps": 1, "learning_rate": 1e-9, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('c', 'SELECT body, label FROM line', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 128, "family": "gpt2", "optimizer": "adamw", "tokenizer": "t",
	"steps": 1, "learning_rate": 1e-9, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_set_image_type('m', 'bfloat16'), gpt_set_image_type('c', 'bfloat16');
CREATE TABLE word AS SELECT row_number() OVER () AS i, w FROM (SELECT gpt_detokenize('t', ARRAY[id]) AS w FROM generate_series(256, 8191) id) s WHERE w ~ '^ [a-z]{2,5}\$';
CREATE FUNCTION words(n int) RETURNS text AS \$\$ SELECT string_agg(w, '') FROM (SELECT (random() * (SELECT count(*) - 1 FROM word))::int + 1 AS k
	FROM generate_series(1, n)) r JOIN word ON i = k \$\$ LANGUAGE sql VOLATILE;
CREATE TABLE input AS SELECT n, i, words(n) AS body FROM unnest(string_to_array('$lengths', ' ')::int[]) n, generate_series(1, $rows) i;
SELECT gpt_score('m', 'a'), gpt_classify('c', 'a');
SQL

# seconds BATCHING QUERY: of the session's processor time, in a new session that has the models
seconds()
{
	"${psql[@]}" <<SQL | tail -n 2 | paste -sd' ' | awk '{ print ($2 - $1) / 1e9 }'
SET gpt.batching = $1;
SELECT gpt_score('m', 'a'), gpt_classify('c', 'a');
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
\o /dev/null
$2;
\o
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
}

for ((round = 0; round < rounds; round++)); do
	for n in $lengths; do
		for name in generate score classify embed; do
			count=$rows
			case $name in
			generate) count=$((rows / 2)) call="gpt_generate('m', body, 8, temperature => 1, seed => 1)" ;;
			score) call="gpt_score('m', body)" ;;
			classify) call="gpt_classify('c', body)" ;;
			embed) call="gpt_embed('m', body)" ;;
			esac
			query="SELECT $call FROM input WHERE n = $n AND i <= $count"
			if ((round % 2 == 0)); then
				on=$(seconds on "$query") off=$(seconds off "$query")
			else
				off=$(seconds off "$query") on=$(seconds on "$query")
			fi
			awk -v what="$name $n" -v on="$on" -v off="$off" -v count="$count" \
				'BEGIN { printf "%s: %.0f rows/s with gpt.batching, %.0f without, %.2f\n", what, count / on, count / off, off / on }' | tee -a "$work/lines"
		done
	done
done
echo "medians:"
for name in generate score classify embed; do
	for n in $lengths; do
		grep "^$name $n:" "$work/lines" | awk '{ print $NF }' | sort -n | awk -v what="$name, rows of $n tokens" '{ a[NR] = $1 } END { print what ": " a[int((NR + 1) / 2)] }'
	done
done
