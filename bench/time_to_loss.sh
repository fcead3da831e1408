#!/bin/bash
#
# bench/time_to_loss.sh SAMPLE - how much sooner gpt_train reaches the losses of the nanoGPT recipe (about half an
# hour).
#
# SAMPLE is tinyshakespeare.txt: the first 90 % of its bytes to train on, the last 10 % to be measured on. PyTorch
# trains model S for 1,000 steps; its losses at 250 and 1,000 steps, in nats a byte, are the goals. gpt_train gets the
# paragraphs of the first part (with their blank lines) as rows, RECIPE_250 and RECIPE_1000, three seeds each. Its time
# is that of the whole job: reading, tokenizer, training, validation, publication. Its loss is that of gpt_score over
# all paragraphs of the last part, which see at most 256 bytes to their left, and nothing of the paragraph before.
#
# TORCH=FILE takes PyTorch's lines from a file, as an earlier run printed them.
set -euo pipefail

sample=$(realpath "${1:?the sample text is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

# The defaults, but for the time, the threads and a context that stays below 256 bytes.
recipe_250=${RECIPE_250:-'"minutes": 0.3, "context": 64'}
recipe_1000=${RECIPE_1000:-'"minutes": 2.5, "context": 64'}

start_server loss <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

torch=$work/torch.txt
if [ -n "${TORCH:-}" ]; then
	cp "$TORCH" "$torch"
else
	LD_LIBRARY_PATH=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1) \
		/usr/bin/python3 bench/time_to_loss.py "$sample" | tee "$torch"
fi

"${psql[@]}" <<SQL
\set content \`cat '$sample'\`
CREATE TABLE part AS SELECT length(:'content') * 9 / 10 AS cut, rtrim(:'content', '') AS content;
CREATE TABLE train AS SELECT body FROM part, regexp_split_to_table(left(content, cut), E'(?<=\\n\\n)') body;
CREATE TABLE held AS SELECT body FROM part, regexp_split_to_table(substr(content, cut + 1), E'(?<=\\n\\n)') body;
SQL
bytes=$("${psql[@]}" -c "SELECT sum(octet_length(body)) FROM held")

# run NAME RECIPE SEED: "nats_per_byte seconds longest_left_context"
run()
{
	local started seconds

	started=$(date +%s.%N)
	"${psql[@]}" -c "SELECT gpt_train('$1', 'SELECT body FROM train', '{$2, \"seed\": $3}')" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ]
	seconds=$(echo "$(date +%s.%N) - $started" | bc)
	"${psql[@]}" -F ' ' <<SQL
SELECT round((-sum(gpt_score('$1', body, 'logprob')) / $bytes)::numeric, 4), round($seconds, 1),
	(SELECT max(octet_length(gpt_detokenize('$1', ids[i:i + m.context - 1])))
		FROM (SELECT gpt_tokenize('$1', body) AS ids FROM held) t, gpt_models m, generate_series(1, greatest(1, cardinality(ids) - m.context + 1)) i
		WHERE m.model = '$1')
FROM held;
SQL
}

for step in 250 1000; do
	recipe=recipe_$step
	read -r _ wanted torch_seconds < <(grep "^$step " "$torch")
	losses=() times=()
	for seed in 1 2 3; do
		read -r loss seconds left < <(run "at_${step}_$seed" "${!recipe}" "$seed")
		echo "step $step, seed $seed: $loss nats a byte ($wanted wanted) after $seconds s ($torch_seconds s), $left bytes of left context at most"
		losses+=("$loss") times+=("$seconds")
	done
	loss=$(printf '%s\n' "${losses[@]}" | sort -n | sed -n 2p) seconds=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 2p)
	awk -v step="$step" -v loss="$loss" -v wanted="$wanted" -v ours="$seconds" -v theirs="$torch_seconds" -v recipe="${!recipe}" 'BEGIN {
		printf "step %d: median %.4f of %.4f nats a byte (%s), %.1f of %.1f s: 1/%.1f of the time; {%s}\n",
			step, loss, wanted, loss <= wanted ? "reached" : "not reached", ours, theirs, theirs / ours, recipe }'
done
