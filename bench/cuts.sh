#!/bin/bash
#
# bench/cuts.sh SAMPLE - prompts that end anywhere (some minutes).
#
# SAMPLE is a text of paragraphs, such as tinyshakespeare.txt. gpt_train with RECIPE on nine of ten paragraphs; the
# others are cut at CUTS (1,000) places, drawn from all characters, at as many between two tokens of the paragraph, and
# at as many of these before a space. Prints how often greedy continuation begins with the 1, 3 and 5 characters that
# were cut off, and how often it is empty; with healing, and without: the model's row then says that it learnt
# completions of prompts, whose tokens are never healed.
set -euo pipefail

sample=$(realpath "${1:?the text is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
recipe=${RECIPE:-'"steps": 300, "preset": "nano", "family": "modern", "optimizer": "muon", "context": 128, "seed": 1'}

start_server cuts <<SETTINGS
gpt.train_threads = ${THREADS:-1}
gpt.nice = 0
SETTINGS
psql+=(-At -F '  ')

awk -v RS= -v ORS='\n' '{ gsub(/\\/, "\\\\"); gsub(/\n/, "\\n"); gsub(/\t/, "\\t"); print }' "$sample" >"$work/paragraphs"
chmod 644 "$work/paragraphs"
"${psql[@]}" -c 'CREATE TABLE paragraph (id int GENERATED ALWAYS AS IDENTITY, body text)'
"${psql[@]}" -c '\copy paragraph (body) FROM STDIN' <"$work/paragraphs"
"${psql[@]}" <<SQL
SET client_min_messages = warning;
SELECT gpt_train('m', 'SELECT body FROM paragraph WHERE id % 10 <> 0', '{$recipe}') AS job \gset
SELECT gpt_wait(:job) AS state \gset
SELECT 'trained: ' || :'state' || ', validation loss ' || round(validation_loss::numeric, 3) || ', vocabulary ' || vocabulary FROM gpt_models;
SELECT setseed(0.5);
CREATE TABLE held AS SELECT id, left(body, 300) AS body FROM paragraph WHERE id % 10 = 0 AND length(body) > 60;
-- where tokens of the paragraph end, in characters
CREATE TABLE token_end AS
	SELECT id, length(gpt_detokenize('m', tokens[:k])) AS n
	FROM (SELECT id, gpt_tokenize('m', body) AS tokens FROM held) t, generate_series(1, cardinality(tokens) - 1) k;
CREATE TABLE cut AS
	SELECT kind, body, n FROM (SELECT 'between tokens' AS kind, body, n FROM held JOIN token_end USING (id) WHERE n BETWEEN 20 AND length(body) - 8 ORDER BY random() LIMIT ${CUTS:-1000}) t
	UNION ALL
	SELECT kind, body, n FROM (SELECT 'between words' AS kind, body, n FROM held JOIN token_end USING (id) WHERE n BETWEEN 20 AND length(body) - 8 AND substr(body, n + 1, 1) ~ '\s' ORDER BY random() LIMIT ${CUTS:-1000}) t
	UNION ALL
	SELECT CASE WHEN EXISTS (SELECT FROM token_end e WHERE e.id = c.id AND e.n = c.n) THEN 'anywhere: there a token ended'
		WHEN substr(body, n, 1) ~ '\s' THEN 'anywhere: behind a space' ELSE 'anywhere: within a word' END, body, n
	FROM (SELECT id, body, n FROM held, generate_series(20, length(body) - 8) n ORDER BY random() LIMIT ${CUTS:-1000}) c;
CREATE TABLE result (healed boolean, kind text, cut text, found text);
SET gpt.batching = on;
INSERT INTO result SELECT true, kind, substr(body, n + 1, 5), gpt_generate('m', left(body, n), 5, temperature => 0) FROM cut;
UPDATE gpt_version SET task = 'completion';
INSERT INTO result SELECT false, kind, substr(body, n + 1, 5), gpt_generate('m', left(body, n), 5, temperature => 0) FROM cut;
SELECT CASE WHEN healed THEN 'healed' ELSE 'without' END, k.kind, count(*),
	round(avg((left(found, 1) = left(cut, 1))::int), 3), round(avg((left(found, 3) = left(cut, 3))::int), 3), round(avg((left(found, 5) = cut)::int), 3),
	'empty', count(*) FILTER (WHERE found = '')
FROM result r, LATERAL (SELECT r.kind UNION ALL SELECT 'anywhere: all' WHERE r.kind LIKE 'anywhere%') k GROUP BY healed, k.kind ORDER BY 1, 2;
SQL
