#!/bin/bash
#
# bench/preferences.sh TEXT - DPO on synthetic preferences with a known rule (minutes a seed).
#
# TEXT is a file of paragraphs (../shared/data/corpora/tinystories_sample.txt). A language model is trained on its
# paragraphs for STEPS (250) with options TRAIN (3 layers of 96 channels), and continues the first seven words of each
# paragraph six times. Of each two continuations, rule "word" prefers the one that contains WORD ("was"), rule "shorter"
# the one with fewer words; pairs that the rule does not tell apart are dropped. PAIRS (2000) rows of each rule (RULES)
# are learnt by DPO with options FINETUNE (none: the defaults), and gpt_evaluate measures HELD (400) other rows. SEEDS
# (1 2 3), THREADS (2).
set -euo pipefail

text=$(realpath "${1:?the text is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
pairs=${PAIRS:-2000} held=${HELD:-400} word=${WORD:-was} threads=${THREADS:-2}
finetune=${FINETUNE:-}
shape='"layers": 3, "channels": 96, "heads": 3, "batch_size": 16, "context": 128, "vocabulary": 1024, "dropout": 0'
train=${TRAIN:-$shape}

start_server preferences <<SETTINGS
gpt.train_threads = $threads
gpt.threads = $threads
gpt.nice = 0
client_min_messages = warning
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
CREATE TABLE paragraph AS SELECT DISTINCT body FROM line WHERE length(body) BETWEEN 60 AND 260;
CREATE TABLE prompt AS SELECT row_number() OVER (ORDER BY md5(prompt)) AS id, prompt
	FROM (SELECT DISTINCT substring(body FROM '^(?:\S+\s+){6}\S+') AS prompt FROM paragraph) p WHERE prompt IS NOT NULL;
-- what a rule counts
CREATE FUNCTION shorter(answer text) RETURNS integer LANGUAGE sql IMMUTABLE AS
	\$\$ SELECT -count(*)::integer FROM regexp_split_to_table(trim(answer), '\s+') \$\$;
CREATE FUNCTION word(answer text) RETURNS integer LANGUAGE sql IMMUTABLE AS \$\$ SELECT (answer ~* '\m$word\M')::integer \$\$;
SQL

for seed in ${SEEDS:-1 2 3}; do
	started=$(date +%s)
	run "gpt_train('base', 'SELECT body FROM paragraph', '{\"seed\": $seed, \"steps\": ${STEPS:-250},
		\"threads\": $threads, $train}')"
	"${psql[@]}" -q <<-SQL
		DROP TABLE IF EXISTS drawn;
		CREATE TABLE drawn AS SELECT id, prompt, draw, (a)[i] AS answer FROM (SELECT draw, array_agg(id ORDER BY id) AS ids, array_agg(prompt ORDER BY id) AS prompts,
			gpt_generate('base', array_agg(prompt ORDER BY id), max_tokens => 96, temperature => 0.7,
				seed => 6 * $seed + draw) AS a
			FROM prompt, generate_series(0, 5) draw GROUP BY draw, id / 600) answers,
				unnest(ids, prompts) WITH ORDINALITY u (id, prompt, i);
	SQL
	middle=$(date +%s)
	for rule in ${RULES:-word}; do
		"${psql[@]}" -q <<-SQL
			DROP TABLE IF EXISTS pair;
			CREATE TABLE pair AS SELECT row_number() OVER (ORDER BY a.id, a.draw) AS n, a.prompt, CASE WHEN $rule(a.answer) > $rule(b.answer) THEN a.answer
				ELSE b.answer END AS chosen, CASE WHEN $rule(a.answer) > $rule(b.answer) THEN b.answer ELSE a.answer END AS rejected
				FROM drawn a JOIN drawn b ON b.id = a.id AND b.draw = a.draw + 1 AND a.draw IN (0, 2, 4)
				WHERE $rule(a.answer) <> $rule(b.answer) AND a.answer <> '' AND b.answer <> '';
		SQL
		run "gpt_finetune('base', 'SELECT prompt, chosen, rejected FROM pair WHERE n > $held AND n <= $((pairs + held))',
			'{\"into\": \"liked\", \"seed\": $seed, \"threads\": $threads${finetune:+, $finetune}}')"
		"${psql[@]}" -c "WITH m AS (SELECT jsonb_object_agg(metric, value) AS m FROM gpt_evaluate('liked', 'SELECT prompt, chosen, rejected FROM pair WHERE n <= $held'))
			SELECT format('%s, seed $seed: beta %s, accuracy %s, margin %s, loss %s of %s held-out rows, KL %s nats a completion, %s a token; %s rows learnt in %s steps, %s + %s s; note: %s', '$rule',
			m ->> 'beta', round((m ->> 'preference_accuracy')::numeric, 4), round((m ->> 'reward_margin')::numeric, 3),
				round((m ->> 'loss')::numeric, 4), m ->> 'documents',
			round((m ->> 'kl')::numeric, 3), round((m ->> 'kl_per_token')::numeric, 4), j.documents, j.step, $middle - $started, round(extract(epoch FROM j.finished_at - j.started_at)), j.note)
			FROM m, gpt_jobs j ORDER BY j.job DESC LIMIT 1"
		"${psql[@]}" -c "SELECT format('%s, seed $seed: mean of the rule in texts of the base %s, of the fine-tuned model %s', '$rule', round(avg($rule(answer)), 2), (SELECT round(avg($rule(answer)), 2)
			FROM (SELECT unnest(gpt_generate('liked', array_agg(prompt), max_tokens => 96, temperature => 0.7, seed => 7)) AS answer FROM prompt WHERE id <= 200) l)) FROM drawn"
		"${psql[@]}" -c "SELECT gpt_drop_model('liked')" >/dev/null
	done
	"${psql[@]}" -c "SELECT gpt_drop_model('base')" >/dev/null
done
