#!/bin/bash
#
# bench/completions.sh - what a model learns of prompts and completions in five minutes (about ten minutes a seed).
#
# Three tasks, each with up to 100,000 rows to learn and 1,000 that are none of them: dates from one format to another,
# and additions and subtractions of numbers of up to three digits, whose pairs of operands are held out. gpt_train with
# the tokenizer "bytes" and RECIPE; exact matches by gpt_evaluate. SEEDS (1), THREADS (2), TASKS ("dates sums").
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
recipe=${RECIPE:-'"minutes": 4.5, "epochs": 30, "tokenizer": "bytes", "preset": "nano", "family": "modern", "optimizer": "muon", "dropout": 0'}

start_server completions <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

"${psql[@]}" <<'SQL'
SELECT setseed(0.5);
-- Days of 1900 to 2099; each day in one of four formats, asked for in another one.
CREATE TABLE dates_all AS
SELECT to_char(day, f[1 + n % 4]) || ' as ' || names[1 + (n + 1 + m) % 4] || ': ' AS prompt, to_char(day, f[1 + (n + 1 + m) % 4]) AS completion,
	hashint4(day - date '1900-01-01') % 25 = 0 AS test
FROM (SELECT day::date, (random() * 1e6)::int AS n, (random() * 1e6)::int % 3 AS m
		FROM generate_series(date '1900-01-01', date '2099-12-31', '1 day') day) d,
	(VALUES (ARRAY['YYYY-MM-DD', 'FMMonth FMDD, YYYY', 'DD.MM.YYYY', 'FMDD Mon YYYY'], ARRAY['iso', 'long', 'german', 'short'])) v (f, names);
CREATE TABLE dates AS SELECT prompt, completion FROM dates_all WHERE NOT test;
CREATE TABLE dates_test AS SELECT prompt, completion FROM dates_all WHERE test ORDER BY random() LIMIT 1000;
-- Operands are drawn from 0 to 999; a pair of them is held out for both signs. For three in ten of the rows to learn the number of
-- digits of each operand is drawn first: of numbers drawn evenly, only a tenth have fewer than three.
CREATE TABLE sums_all AS
SELECT a || sign || b || '=' AS prompt, CASE sign WHEN '+' THEN a + b ELSE a - b END::text AS completion, hashint4(a * 1000 + b) % 20 = 0 AS test
FROM (SELECT (random() * 999)::int AS a, (random() * 999)::int AS b, CASE WHEN random() < 0.5 THEN '+' ELSE '-' END AS sign
		FROM generate_series(1, 105000)) s;
CREATE TABLE sums_short AS
SELECT a || sign || b || '=' AS prompt, CASE sign WHEN '+' THEN a + b ELSE a - b END::text AS completion, hashint4(a * 1000 + b) % 20 = 0 AS test
FROM (SELECT floor(random() * 10 ^ ceil(random() * 3))::int AS a, floor(random() * 10 ^ ceil(random() * 3))::int AS b,
		CASE WHEN random() < 0.5 THEN '+' ELSE '-' END AS sign FROM generate_series(1, 32000)) s;
CREATE TABLE sums AS (SELECT prompt, completion FROM sums_all WHERE NOT test LIMIT 70000) UNION ALL
	(SELECT prompt, completion FROM sums_short WHERE NOT test LIMIT 30000);
CREATE TABLE sums_test AS SELECT DISTINCT prompt, completion FROM sums_all WHERE test ORDER BY 1 LIMIT 1000;
SQL

for task in ${TASKS:-dates sums}; do
	for seed in ${SEEDS:-1}; do
		started=$(date +%s.%N)
		"${psql[@]}" -c "SELECT gpt_train('${task}_$seed', 'SELECT prompt, completion FROM $task', '{$recipe, \"seed\": $seed}')" >/dev/null
		[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ]
		seconds=$(echo "$(date +%s.%N) - $started" | bc)
		"${psql[@]}" -F ' ' <<SQL
SELECT format('%s, seed $seed: %s %% of %s rows exact after %s s, loss %s; %s rows, %s parameters, %s steps; {%s}', '$task',
	round(100 * (max(value) FILTER (WHERE metric = 'exact_match'))::numeric, 1), max(value) FILTER (WHERE metric = 'documents'), round($seconds),
	round((max(value) FILTER (WHERE metric = 'loss'))::numeric, 4), j.documents, m.parameters, j.step, \$\$$recipe\$\$)
FROM gpt_evaluate('${task}_$seed', 'SELECT prompt, completion FROM ${task}_test') e, gpt_models m, gpt_jobs j
WHERE m.model = '${task}_$seed' AND j.model = m.model GROUP BY j.documents, m.parameters, j.step;
SELECT '  ' || prompt || completion || ' but ' || g FROM (SELECT *, gpt_generate('${task}_$seed', prompt, temperature => 0, max_tokens => 30) AS g
	FROM ${task}_test LIMIT 200) s WHERE g <> completion LIMIT 5;
SQL
	done
done
