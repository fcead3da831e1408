#!/bin/bash
#
# bench/text_to_sql.sh - questions about geography to SQL, exact queries of greedy generation (eleven minutes a seed).
#
# The rows are ../shared/data/sql/geography.json (or GPT_TEST_DATA/sql), with the names of the questions as variables,
# as the file has them, in both of its splits (Finegan-Dollak et al. 2018, "Improving text-to-SQL evaluation
# methodology"):
#   questions  598 questions to learn, 279 to measure, most of them with a query that was learnt
#   queries    695 questions to learn, 182 to measure, whose queries were not learnt: the unseen SQL
# gpt_train with RECIPE for at most MINUTES (5) on THREADS threads (2), then gpt_evaluate by BEAMS (1). SEEDS (1 2 3),
# SPLITS ("questions queries"). TEST=dev measures on the development rows, which are then left out of training: for
# choosing options. STEPS instead of MINUTES makes a run repeatable.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
data=$(realpath "${GPT_TEST_DATA:-../shared/data}/sql/geography.json")
recipe=${RECIPE-'"epochs": 100, "dropout": 0.3, "validation_fraction": 0'}
length=${STEPS:+\"steps\": $STEPS}
length=${length:-\"minutes\": ${MINUTES:-5}}

start_server text_to_sql <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

{ echo "CREATE TABLE file (content jsonb); COPY file FROM STDIN;" && tr -d '\n' <"$data" | sed 's/\\/\\\\/g' && printf '\n\\.\n'; } | "${psql[@]}"
"${psql[@]}" <<SQL
CREATE VIEW geography AS
SELECT sentence ->> 'text' AS prompt, query -> 'sql' ->> 0 AS completion, sentence ->> 'question-split' AS questions, query ->> 'query-split' AS queries
FROM file, jsonb_array_elements(content) query, jsonb_array_elements(query -> 'sentences') sentence;
SQL

seeds=(${SEEDS:-1 2 3})
for split in ${SPLITS:-questions queries}; do
	learnt="SELECT prompt, completion FROM geography WHERE $split = 'train' OR $split = 'dev' AND '${TEST:-test}' = 'test'"
	measured="SELECT prompt, completion FROM geography WHERE $split = '${TEST:-test}'"
	for seed in "${seeds[@]}"; do
		started=$(date +%s)
		"${psql[@]}" -c "SELECT gpt_train('${split}_$seed', \$\$$learnt\$\$, '{$length, \"seed\": $seed${recipe:+, $recipe}}')" >/dev/null
		[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
			{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
		"${psql[@]}" <<SQL
SELECT format('$split, seed $seed: %s %% of %s exact, loss %s; %s, %s M parameters, %s rows, %s steps, %s epochs, $(($(date +%s) - started)) s; {%s}',
	round(100 * (max(value) FILTER (WHERE metric = 'exact_match'))::numeric, 1), max(value) FILTER (WHERE metric = 'documents'),
	round((max(value) FILTER (WHERE metric = 'loss'))::numeric, 4), m.architecture, round(m.parameters / 1e6, 1), j.documents, j.step,
	j.report -> 'choices' ->> 'epochs', \$\$$length${recipe:+, $recipe}\$\$)
FROM gpt_evaluate('${split}_$seed', \$\$$measured\$\$, '{"beams": ${BEAMS:-1}}'), gpt_models m, gpt_jobs j
WHERE m.model = '${split}_$seed' AND j.model = m.model GROUP BY m.architecture, m.parameters, j.documents, j.step, j.report;
SQL
	done
	"${psql[@]}" -F ' | ' <<SQL
SELECT prompt, completion, generated FROM (SELECT *, gpt_generate('${split}_${seeds[0]}', prompt, temperature => 0, max_tokens => 300) AS generated
	FROM ($measured) m LIMIT 60) g WHERE generated <> completion LIMIT 3;
SQL
done
