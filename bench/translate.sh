#!/bin/bash
#
# bench/translate.sh - translation of Multi30k, English to German, beside torch.nn.Transformer, in the same minutes.
#
# The pairs are ../shared/data/mt (or GPT_TEST_DATA/mt): 29,000 to learn, 1,014 of "val" to measure. Ours by SQL alone:
# gpt_train with RECIPE for MINUTES (15) on THREADS threads (2), then gpt_evaluate, greedy and by BEAMS (4) beams;
# PyTorch's by bench/translate.py with the same minutes and threads. SEEDS (1 2 3), SIDES ("ours theirs"). TEST=train
# measures on every 29th pair to learn, which is then left out of training: for choosing options. STEPS instead of
# MINUTES makes ours repeatable.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
data=$(realpath "${GPT_TEST_DATA:-../shared/data}/mt")
minutes=${MINUTES:-15}
recipe=${RECIPE:-}
beams=${BEAMS:-4}
length=${STEPS:+\"steps\": $STEPS}
length=${length:-\"minutes\": $minutes}

start_server translate <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

for part in train val; do
	"${psql[@]}" -c "CREATE TABLE $part (id serial, en text, de text)"
	paste -d '\t' <(zcat "$data/$part.en.gz" | sed 's/\\/\\\\/g; s/\t/ /g') <(zcat "$data/$part.de.gz" | sed 's/\\/\\\\/g; s/\t/ /g') | "${psql[@]}" -c "COPY $part (en, de) FROM STDIN"
done
"${psql[@]}" <<SQL
CREATE VIEW learnt AS SELECT en AS prompt, de AS completion FROM train WHERE '${TEST:-val}' = 'val' OR id % 29 <> 1;
CREATE VIEW measured AS SELECT en AS prompt, de AS completion FROM val WHERE '${TEST:-val}' = 'val'
	UNION ALL SELECT en, de FROM train WHERE '${TEST:-val}' <> 'val' AND id % 29 = 1;
SQL

for seed in ${SEEDS:-1 2 3}; do
	for side in ${SIDES:-ours theirs}; do
		if [ "$side" = theirs ]; then
			openmp=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1)
			env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE LD_LIBRARY_PATH="$openmp" SIDE="${TEST:-val}" SEED="$seed" MINUTES="$minutes" \
				THREADS="${THREADS:-2}" BEAMS="$beams" /usr/bin/python3 bench/translate.py "$data"
			continue
		fi
		started=$(date +%s)
		"${psql[@]}" -c "SELECT gpt_train('en_de_$seed', 'SELECT * FROM learnt', '{$length, \"seed\": $seed${recipe:+, $recipe}}')" >/dev/null
		[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
			{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
		"${psql[@]}" -c "SELECT format('ours, seed $seed: %s, %s M parameters, %s steps, %s epochs, $(($(date +%s) - started)) s; {%s}', m.architecture,
			round(m.parameters / 1e6, 1), j.step, j.report->'choices'->>'epochs', \$\$$length${recipe:+, $recipe}\$\$)
			FROM gpt_jobs j JOIN gpt_models m USING (model) WHERE model = 'en_de_$seed'"
		for n in $(printf '%s\n' 1 "$beams" | sort -nu); do
			"${psql[@]}" -c "SELECT format('ours, seed $seed, $n beams: BLEU %s, chrF %s, %s %% exact, loss %s of %s rows',
				round((max(value) FILTER (WHERE metric = 'bleu'))::numeric, 2), round((max(value) FILTER (WHERE metric = 'chrf'))::numeric, 2),
				round(100 * (max(value) FILTER (WHERE metric = 'exact_match'))::numeric, 1),
				round((max(value) FILTER (WHERE metric = 'loss'))::numeric, 4), max(value) FILTER (WHERE metric = 'documents'))
				FROM gpt_evaluate('en_de_$seed', 'SELECT * FROM measured', '{\"beams\": $n}')"
		done
		"${psql[@]}" -F ' | ' -c "SELECT prompt, completion, gpt_generate('en_de_$seed', prompt, temperature => 0) FROM measured LIMIT 5"
	done
done
