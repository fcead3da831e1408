#!/bin/bash
#
# bench/corpora.sh FOLDER [OPTIONS] - what a first run with the defaults gives on five corpora (about an hour).
#
# FOLDER holds tinyshakespeare.txt, war-and-peace.txt, tinystories_sample.txt, tang_poems_2000.txt and names.txt. Each
# becomes a table (a row a paragraph, a name or a poem); gpt_train gets OPTIONS (a JSON object, default '{}'). Prints
# a row a corpus from the views, and a text from each model. JOBS (2) run at once, with one thread each.
set -euo pipefail

corpora=$(realpath "${1:?the folder of the corpora is missing}")
options=${2:-'{}'}
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

start_server corpora <<SETTINGS
gpt.max_workers = ${JOBS:-2}
gpt.train_threads = 1
max_worker_processes = 16
SETTINGS

# The text of a file as psql's variable, cut into rows by a regular expression.
load()
{
	local name=$1 file=$2 separator=$3

	{
		echo "CREATE TABLE corpus_$name (body text);"
		printf "\\\\set content \`cat '%s'\`\n" "$corpora/$file"
		echo "INSERT INTO corpus_$name SELECT r FROM regexp_split_to_table(:'content', E'$separator') r WHERE btrim(r, E' \\n') <> '';"
		echo "SELECT gpt_train('$name', 'SELECT body FROM corpus_$name', :'options');"
	} | "${psql[@]}" -v options="$options" -At >/dev/null
}

load shakespeare tinyshakespeare.txt '\\n\\n+'
load tolstoy war-and-peace.txt '\\n\\n+'
load stories tinystories_sample.txt '\\n\\n+'
load tang tang_poems_2000.txt '\\n\\n+'
load names names.txt '\\n'
"${psql[@]}" <<'SQL'
SET client_min_messages = warning;
\o /dev/null
SELECT gpt_wait(job) FROM gpt_jobs;
\o
\x off
SELECT j.model, j.state, j.documents, j.bytes, j.corpus_tokens, m.parameters, m.vocabulary, m.context, j.steps,
	round(m.validation_loss::numeric, 3) AS nats_per_token, round(m.validation_bits_per_byte::numeric, 3) AS bits_per_byte,
	date_trunc('second', j.finished_at - j.started_at) AS took, j.error
FROM gpt_jobs j LEFT JOIN gpt_models m USING (model) ORDER BY j.job;
SELECT j.model, l.step, round(l.loss::numeric, 3) AS loss, round(l.validation_loss::numeric, 3) AS validation_loss
FROM gpt_jobs j JOIN gpt_train_log l USING (job) WHERE l.validation_loss IS NOT NULL ORDER BY j.job, l.step;
SELECT job, model, conditions FROM gpt_jobs ORDER BY job;
SELECT model, gpt_generate(model, '', max_tokens => 60, seed => 1) AS text FROM gpt_models;
SQL
