#!/bin/bash
#
# bench/prompts.sh - prompts' beginnings that sessions share: computing them against reading them (a minute).
#
# Random weights of two shapes with the tokenizer "bytes" on one thread: 4 blocks of 128 channels (0.9 million
# parameters) and 8 of 512 (26 million). A new session continues a prompt of TOKENS ("70 250 1000") tokens, whose
# beginning two sessions have seen before, by one token: with gpt.prompt_cache off, and on. Prints the median over
# ROUNDS (5) of the processor time of the call in ms, and the size of the largest file.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-5} tokens=${TOKENS:-70 250 1000}

start_server prompts <<SETTINGS
gpt.nice = 0
gpt.threads = 1
fsync = off
SETTINGS
psql+=(-At)
for shape in "small 4 2 128" "base 8 8 512"; do
	read -r model layers heads channels <<<"$shape"
	job=$("${psql[@]}" -c "SELECT gpt_train('$model', 'SELECT ''line '' || i AS body FROM generate_series(1, 20) i',
		'{\"layers\": $layers, \"heads\": $heads, \"channels\": $channels, \"context\": 1024, \"tokenizer\": \"bytes\", \"steps\": 1,
		\"batch_size\": 1, \"learning_rate\": 1e-9, \"ngrams\": false}')")
	"${psql[@]}" -c "SELECT gpt_wait($job, '10 min')" >/dev/null
done

# ms MODEL TOKENS END SETTING: of the call, in a new session that has loaded the model
ms()
{
	"${psql[@]}" <<SQL | tail -n 3 | paste -sd' ' | awk '{ printf "%.2f", ($3 - $1) / 1e6 }'
SET gpt.prompt_cache = $4;
SELECT length(gpt_generate('$1', 'a', 1));
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SELECT length(gpt_generate('$1', repeat(chr(65 + length('$2')), $2) || '$3', 1, 0));
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
}

median() { sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }

for model in small base; do
	for n in $tokens; do
		ms $model "$n" x role >/dev/null
		ms $model "$n" y role >/dev/null
		for ((round = 0; round < rounds; round++)); do
			echo "off $(ms $model "$n" $round off)"
			echo "on $(ms $model "$n" $round role)"
		done >"$work/times"
		size=$("${psql[@]}" -c "SELECT max(size) FROM pg_ls_dir('base/pgsql_tmp') name,
			pg_stat_file('base/pgsql_tmp/' || name) WHERE name LIKE '%gpt_prompt\_%'")
		echo "$model, $n tokens: computed $(grep ^off "$work/times" | cut -d' ' -f2 | median) ms," \
			"read $(grep ^on "$work/times" | cut -d' ' -f2 | median) ms, largest file $size bytes"
	done
done
