#!/bin/bash
#
# bench/headlines.sh - headlines of texts, ROUGE-L of three ways to train in the same minutes (about ten minutes a task
# and seed).
#
# Two sets made of ../shared/data (or GPT_TEST_DATA):
#   tickets   the subject of a customer's message: texts of banking77 with the words of their label; its own split
#   sections  the heading of a paragraph of Wikipedia: corpora/wikitext2.valid.txt, the articles whose title has a hash
#             divisible by 6 are measured
# Each way has MINUTES (3) on THREADS threads (2) in all:
#   decoder          gpt_train on the texts of the rows to learn for a third of them, then gpt_finetune on the pairs
#   prefix           the same, fine-tuned with "architecture": "prefix"
#   encoder_decoder  gpt_train on the pairs
# RECIPE and FINETUNE are further options of gpt_train and of gpt_finetune. SEEDS (1 2 3), TASKS ("tickets"), WAYS.
# TEST=dev measures on a fifth of the rows to learn, which are then left out of training: for choosing options. STEPS
# instead of MINUTES makes a run repeatable.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
data=$(realpath "${GPT_TEST_DATA:-../shared/data}")
minutes=${MINUTES:-3}

# part SHARE: the option for this share of the time.
part()
{
	if [ -n "${STEPS:-}" ]; then echo "\"steps\": $(echo "$STEPS * $1 / 3" | bc)"; else echo "\"minutes\": $(echo "scale=3; $minutes * $1 / 3" | bc)"; fi
}

start_server headlines <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

# Fails with the job's error.
run()
{
	"${psql[@]}" -c "SELECT $1" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
}

"${psql[@]}" -c "CREATE TABLE ticket (label text, text text, test boolean)" -c "CREATE TABLE line (number serial, text text)"
for side in train test; do
	"${psql[@]}" -c "\\copy ticket (label, text) FROM '$data/classify/banking77.$side.csv' CSV HEADER" -c "UPDATE ticket SET test = '$side' = 'test' WHERE test IS NULL"
done
sed 's/\\/\\\\/g; s/\t/ /g' "$data/corpora/wikitext2.valid.txt" | "${psql[@]}" -c "COPY line (text) FROM STDIN"
"${psql[@]}" <<SQL
CREATE VIEW tickets_all AS SELECT text AS prompt, replace(label, '_', ' ') AS completion, test, hashtext(text) AS hash FROM ticket;
CREATE TABLE sections_all AS
WITH read AS (
	SELECT number, text, (regexp_match(text, '^ = ([^=].*[^=]) = \$'))[1] AS title, (regexp_match(text, '^ (?:= )+([^=].*[^=]) (?:= )+\$'))[1] AS heading FROM line),
counted AS (SELECT *, count(title) OVER w AS article, count(heading) OVER w AS section FROM read WINDOW w AS (ORDER BY number)),
named AS (
	SELECT number, text, title, heading, max(title) OVER (PARTITION BY article) AS of_article, max(heading) OVER (PARTITION BY section) AS of_section FROM counted)
SELECT left(trim(text), 600) AS prompt, trim(of_section) AS completion, abs(hashtext(of_article)) % 6 = 0 AS test, hashtext(of_article) AS hash
FROM named WHERE heading IS NULL AND length(text) > 100 AND of_section <> of_article AND of_section !~ '<unk>' ORDER BY number;
SQL

for task in ${TASKS:-tickets}; do
	"${psql[@]}" <<SQL
CREATE VIEW ${task}_learnt AS SELECT prompt, completion FROM ${task}_all WHERE NOT test AND ('${TEST:-test}' = 'test' OR abs(hash) / 6 % 5 <> 0);
CREATE VIEW ${task}_measured AS SELECT prompt, completion FROM ${task}_all WHERE CASE '${TEST:-test}' WHEN 'test' THEN test ELSE NOT test AND abs(hash) / 6 % 5 = 0 END;
SQL
	for seed in ${SEEDS:-1 2 3}; do
		for way in ${WAYS:-decoder prefix encoder_decoder}; do
			model=${task}_${way}_$seed
			pairs="SELECT prompt, completion FROM ${task}_learnt"
			started=$(date +%s)
			if [ "$way" = encoder_decoder ]; then
				run "gpt_train('$model', '$pairs', '{$(part 3), \"seed\": $seed, \"architecture\": \"$way\"${RECIPE:+, $RECIPE}}')"
			else
				run "gpt_train('$model', 'SELECT prompt AS body FROM ${task}_learnt UNION ALL SELECT completion FROM ${task}_learnt', '{$(part 1), \"seed\": $seed${RECIPE:+, $RECIPE}}')"
				run "gpt_finetune('$model', '$pairs', '{$(part 2), \"seed\": $seed, \"architecture\": \"$way\"${FINETUNE:+, $FINETUNE}}')"
			fi
			"${psql[@]}" <<SQL
SELECT format('$task, $way, seed $seed: ROUGE-L %s, exact %s, chrF %s, loss %s of %s rows; %s M parameters, %s rows, %s steps, $(($(date +%s) - started)) s',
	round((max(value) FILTER (WHERE metric = 'rouge_l'))::numeric, 4), round((max(value) FILTER (WHERE metric = 'exact_match'))::numeric, 4),
	round((max(value) FILTER (WHERE metric = 'chrf'))::numeric, 2), round((max(value) FILTER (WHERE metric = 'loss'))::numeric, 4),
	max(value) FILTER (WHERE metric = 'documents'), round(m.parameters / 1e6, 1), j.documents, j.step)
FROM gpt_evaluate('$model', 'SELECT * FROM ${task}_measured', '{"beams": ${BEAMS:-1}}'), gpt_models m,
	(SELECT * FROM gpt_jobs WHERE model = '$model' ORDER BY job DESC LIMIT 1) j
WHERE m.model = '$model' GROUP BY m.parameters, j.documents, j.step;
SQL
			"${psql[@]}" -c "SELECT gpt_drop_model('$model')" >/dev/null
		done
	done
done
