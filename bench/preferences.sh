#!/bin/bash
#
# bench/preferences.sh TEXT - DPO on synthetic preferences with a known rule (minutes a seed).
#
# TEXT is a file of paragraphs (../shared/data/corpora/tinystories_sample.txt). A language model is trained on its paragraphs (STEPS), and
# draws two continuations of the beginning of each paragraph. Rule "shorter" prefers the one with fewer words, rule "word" the one with more
# occurrences of WORD ("the"); pairs that the rule leaves equal are dropped. PAIRS (2000) rows of each rule (RULES) are learnt by DPO with options
# FINETUNE, and gpt_evaluate measures HELD (400) other rows, of prompts that were not trained on. SEEDS (1 2 3), THREADS (2).
set -euo pipefail

text=$(realpath "${1:?the text is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
pairs=${PAIRS:-2000} held=${HELD:-400} word=${WORD:-the} threads=${THREADS:-2}
finetune=${FINETUNE:-}

start_server preferences <<SETTINGS
gpt.train_threads = $threads
gpt.threads = $threads
gpt.nice = 0
SETTINGS
psql+=(-At)

run()
{
	"${psql[@]}" -c "SELECT $1" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
}

"${psql[@]}" -c "CREATE TABLE line (body text)" -c "\\copy line FROM PROGRAM 'tr ''\\t\\\\'' ''  '' <$text' (DELIMITER E'\\x01', ENCODING 'UTF8')"
"${psql[@]}" -q <<SQL
CREATE TABLE paragraph AS SELECT row_number() OVER (ORDER BY md5(body)) AS id, body FROM (SELECT DISTINCT body FROM line WHERE length(body) BETWEEN 60 AND 260) l;
CREATE TABLE prompt AS SELECT row_number() OVER (ORDER BY md5(prompt)) AS id, prompt FROM (SELECT DISTINCT substring(body FROM '^(?:\S+\s+){6}\S+') AS prompt
	FROM paragraph) p WHERE prompt IS NOT NULL;
CREATE FUNCTION words(answer text) RETURNS integer LANGUAGE sql IMMUTABLE AS \$\$ SELECT count(*)::integer FROM regexp_split_to_table(trim(answer), '\s+') \$\$;
CREATE FUNCTION hits(answer text) RETURNS integer LANGUAGE sql IMMUTABLE AS \$\$ SELECT count(*)::integer FROM regexp_matches(answer, '\m$word\M', 'gi') \$\$;
SQL

for seed in ${SEEDS:-1 2 3}; do
	started=$(date +%s)
	run "gpt_train('base', 'SELECT body FROM paragraph', '{\"seed\": $seed, \"steps\": ${STEPS:-600}, \"threads\": $threads${TRAIN:+, $TRAIN}}')"
	"${psql[@]}" -q <<-SQL
		DROP TABLE IF EXISTS drawn;
		CREATE TABLE drawn AS SELECT id, prompt, half, (answers.a)[i] AS answer FROM (SELECT half, array_agg(id ORDER BY id) AS ids, array_agg(prompt ORDER BY id) AS prompts,
			gpt_generate('base', array_agg(prompt ORDER BY id), max_tokens => 96, temperature => 1, seed => 2 * $seed + half) AS a
			FROM prompt, generate_series(0, 1) half GROUP BY half, id / 600) answers, unnest(ids, prompts) WITH ORDINALITY u (id, prompt, i);
	SQL
	middle=$(date +%s)
	for rule in ${RULES:-shorter}; do
		score=$([ "$rule" = shorter ] && echo "-words(answer)" || echo "hits(answer)")
		"${psql[@]}" -q <<-SQL
			DROP TABLE IF EXISTS pair;
			CREATE TABLE pair AS SELECT row_number() OVER (ORDER BY a.id) AS n, a.prompt, CASE WHEN a.score > b.score THEN a.answer ELSE b.answer END AS chosen,
				CASE WHEN a.score > b.score THEN b.answer ELSE a.answer END AS rejected FROM (SELECT *, $score AS score FROM drawn WHERE half = 0) a
				JOIN (SELECT *, $score AS score FROM drawn WHERE half = 1) b USING (id) WHERE a.score <> b.score AND a.answer <> '' AND b.answer <> '';
		SQL
		learnt="SELECT prompt, chosen, rejected FROM pair WHERE n > $held AND n <= $((pairs + held))"
		run "gpt_finetune('base', '$learnt', '{\"into\": \"liked\", \"seed\": $seed, \"threads\": $threads${finetune:+, $finetune}}')"
		"${psql[@]}" -c "WITH m AS (SELECT jsonb_object_agg(metric, value) AS m FROM gpt_evaluate('liked', 'SELECT prompt, chosen, rejected FROM pair WHERE n <= $held'))
			SELECT format('%s, seed $seed: accuracy %s, margin %s, loss %s of %s held-out rows, KL %s nats a token; %s rows learnt in %s steps, %s + %s s; %s', '$rule',
			round((m ->> 'preference_accuracy')::numeric, 4), round((m ->> 'reward_margin')::numeric, 3), round((m ->> 'loss')::numeric, 4), m ->> 'documents',
			round((m ->> 'kl')::numeric, 4), j.documents, j.step, $middle - $started, round(extract(epoch FROM j.finished_at - j.started_at)), j.note)
			FROM m, gpt_jobs j ORDER BY j.job DESC LIMIT 1"
		"${psql[@]}" -c "SELECT avg($score)::numeric(8, 2) || ' is the mean of the rule in texts of the base, ' || (SELECT avg($score)::numeric(8, 2) FROM
			(SELECT unnest(gpt_generate('liked', array_agg(prompt), max_tokens => 96, temperature => 1, seed => 7)) AS answer FROM prompt WHERE id <= 200) l) ||
			' in those of the fine-tuned model' FROM drawn"
		"${psql[@]}" -c "SELECT gpt_drop_model('liked')" >/dev/null
	done
	"${psql[@]}" -c "SELECT gpt_drop_model('base')" >/dev/null
done
