#!/bin/bash
#
# bench/serving.sh TOKENIZER - many rows in one statement, a model of M's shape with a bfloat16 image (about twenty
# minutes).
#
# TOKENIZER is GPT-2's tokenizer.json. Weights are random; THREADS (2), ROUNDS (3), SETS
# (row_32 row_256 row_8_to_64; "" leaves scoring out). In each round, in turn:
#
#   scoring     SELECT gpt_score(...) with gpt.batching over rows of 32 tokens, of 256, and of 8 to 64, against PyTorch's forward pass on the
#               same tokens: float32, bfloat16 by autocast, and a model in bfloat16, rows sorted by length and padded; only real tokens count
#   generating  32 tokens, drawn at temperature 1, for each of 32 prompts of 8 to 32 tokens and for each of 128 (two times gpt.batch_rows),
#               gpt.batching on against off; and how much of the time without it is decoding: 32 tokens of one prompt, less one of it
#   a prefix    20 prompts that share all but their last word, one statement without gpt.batching, against 20 that share nothing
#
# The last lines are the medians of the ratios.
set -euo pipefail

tokenizer=$(realpath "$1")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
threads=${THREADS:-2} rounds=${ROUNDS:-3}
openmp=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1)

start_server serving <<SETTINGS
gpt.nice = 0
gpt.threads = $threads
fsync = off
max_wal_size = '4GB'
gpt.max_memory = '8GB'
gpt.max_image_size = '8GB'
SETTINGS
psql+=(-At)

# Words that are one token each: a row has as many tokens as words.
cp "$tokenizer" "$work/tokenizer.json"
"${psql[@]}" >/dev/null <<SQL
\set json \`cat $work/tokenizer.json\`
SELECT gpt_import_tokenizer('t', :'json');
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 20) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": 12, "heads": 12, "channels": 768, "context": 256, "family": "gpt2", "optimizer": "adamw",
	"tokenizer": "t", "steps": 1, "learning_rate": 1e-9,
	"batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_set_image_type('m', 'bfloat16');
SELECT setseed(0.5);
CREATE TABLE word AS SELECT row_number() OVER () AS i, w FROM (SELECT gpt_detokenize('t', ARRAY[id]) AS w FROM generate_series(256, 20000) id) s
	WHERE w ~ '^ [a-z]{3,10}$';
CREATE FUNCTION words(n int) RETURNS text AS \$\$ SELECT string_agg(w, '') FROM (SELECT (random() * (SELECT count(*) - 1 FROM word))::int + 1 AS k
	FROM generate_series(1, n)) r JOIN word ON i = k \$\$ LANGUAGE sql VOLATILE;
CREATE TABLE row_32 AS SELECT words(32) AS body FROM generate_series(1, 96);
CREATE TABLE row_256 AS SELECT words(256) AS body FROM generate_series(1, 16);
CREATE TABLE row_8_to_64 AS SELECT words(8 + i % 57) AS body FROM generate_series(1, 114) i;
CREATE TABLE prompts_32 AS SELECT words(8 + i % 25) AS body FROM generate_series(1, 32) i;
CREATE TABLE prompts_128 AS SELECT words(8 + i % 25) AS body FROM generate_series(1, 128) i;
CREATE TABLE apart AS SELECT words(200) AS body FROM generate_series(1, 20);
CREATE TABLE shared AS SELECT p || words(1) AS body FROM (SELECT words(199) AS p) s, generate_series(1, 20);
SELECT gpt_score('m', 'a') > 0;
SQL
sets="row_32 row_256 row_8_to_64"
for set in $sets; do
	"${psql[@]}" -c "SELECT array_to_string(gpt_tokenize('m', body), ' ') FROM $set" >"$work/$set"
done

# seconds BATCHING QUERY: in a new session that has the model
seconds()
{
	"${psql[@]}" <<SQL | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1 | awk '{ print $1 / 1000 }'
SET gpt.batching = $1;
SELECT gpt_score('m', 'a') > 0;
\timing on
\o /dev/null
$2;
SQL
}

# ratio NAME A B: A / B, kept under the name
ratio()
{
	awk -v a="$2" -v b="$3" 'BEGIN { printf "%.3f\n", a / b }' >>"$work/ratio_$1"
}

for ((round = 0; round < rounds; round++)); do
	for set in ${SETS-$sets}; do
		tokens=$(wc -w <"$work/$set")
		ours=$(awk -v n="$tokens" -v s="$(seconds on "SELECT gpt_score('m', body) FROM $set")" 'BEGIN { printf "%.0f", n / s }')
		theirs=$(env -u OPENBLAS_CORETYPE LD_LIBRARY_PATH="$openmp" THREADS="$threads" /usr/bin/python3 bench/torch_score.py "$work/$set")
		best=$(tr ' ' '\n' <<<"$theirs" | sed -n 's/.*=//p' | sort -n | tail -n 1)
		echo "$set: $ours tokens/s; PyTorch $theirs"
		ratio "scoring_$set" "$ours" "$best"
	done
	for n in 32 128; do
		one=$(seconds off "SELECT gpt_generate('m', 'the', 1, temperature => 1, seed => 1)")
		many=$(seconds off "SELECT gpt_generate('m', 'the', 33, temperature => 1, seed => 1)")
		query="SELECT gpt_generate('m', body, 32, temperature => 1, seed => 1) FROM prompts_$n"
		if ((round % 2 == 0)); then
			on=$(seconds on "$query") off=$(seconds off "$query")
		else
			off=$(seconds off "$query") on=$(seconds on "$query")
		fi
		echo "32 tokens for each of $n prompts: $on s with gpt.batching, $off s without; 32 more tokens of one prompt $(awk -v a="$many" -v b="$one" 'BEGIN { print a - b }') s"
		ratio "batching_$n" "$off" "$on"
		ratio "decoding_$n" "$(awk -v a="$many" -v b="$one" -v n="$n" 'BEGIN { print n * (a - b) }')" "$off"
	done
	shared=$(seconds off "SELECT gpt_generate('m', body, 1, temperature => 0) FROM shared")
	apart=$(seconds off "SELECT gpt_generate('m', body, 1, temperature => 0) FROM apart")
	echo "20 prompts of 200 tokens, one statement without gpt.batching: $shared s where 199 are shared, $apart s where none are"
	ratio prefix "$apart" "$shared"
done
median()
{
	sort -n "$work/ratio_$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}
for set in ${SETS-$sets}; do
	echo "$set: ours / PyTorch's fastest: median $(median "scoring_$set") of $(paste -sd' ' "$work/ratio_scoring_$set")"
done
for n in 32 128; do
	echo "generating for $n prompts, gpt.batching on / off: median $(median "batching_$n"); of the time without, decoding alone: median $(median "decoding_$n")"
done
echo "a shared prefix: median $(median prefix) times as fast"
