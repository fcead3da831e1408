#!/bin/bash
#
# bench/compare.sh FOLDER - how often intervals of gpt_compare have the truth, and how p of equal models is distributed.
#
# FOLDER has sms_spam.{train,test}.csv (columns label, text). A tenth of the rows trains language models and
# classifiers, two of each with different seeds; the others are a pool. Samples of ROWS rows (300) are drawn from the
# pool with replacement:
#   int4    TRIALS times (400) a language model is compared with its copy with an image of int4. Prints for each metric
#           the share of the
#           samples whose interval has the difference over the whole pool.
#   equal   half as often the two models of different seeds, of each task, are compared, on a part of the pool from
#           which rows were left out until both are equally good. Prints how p is distributed: the share below 0.05, the
#           distance from the uniform distribution (Kolmogorov and Smirnov), and the probability of such a distance.
set -euo pipefail

folder=$(realpath "${1:?the folder with the CSV files is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
trials=${TRIALS:-400}

start_server compare <<SETTINGS
gpt.train_threads = 1
gpt.nice = 0
SETTINGS
psql+=(-At)

"${psql[@]}" -c 'CREATE TABLE loaded (label text, body text)'
cat "$folder"/sms_spam.{train,test}.csv | grep -vx 'label,text' | "${psql[@]}" -c '\copy loaded FROM STDIN (FORMAT csv)'
"${psql[@]}" <<'SQL' >/dev/null
CREATE TABLE row AS SELECT label, left(body, 60) AS body, abs(hashtext(body)) % 10 = 0 AS trains
	FROM (SELECT DISTINCT label, body FROM loaded) l WHERE body <> '';
-- numbered from 1 in each part, so that a sample is a join
CREATE TABLE pool (part text, id int, label text, body text, PRIMARY KEY (part, id));
INSERT INTO pool SELECT 'int4', row_number() OVER (ORDER BY md5(body)), label, body FROM row WHERE NOT trains;
CREATE FUNCTION draw(part text, n int, trial int, OUT label text, OUT body text) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT p.label, p.body FROM generate_series(1, n) k,
		LATERAL (SELECT 1 + abs(hashint8extended(k, trial)) % (SELECT count(*) FROM pool q WHERE q.part = draw.part) AS id) d,
		LATERAL (SELECT * FROM pool q WHERE q.part = draw.part AND q.id = d.id) p $$;
CREATE TABLE found (test text, kind text, trial int, metric text, difference float8, low float8, high float8, p float8);
CREATE PROCEDURE measure(test text, kind text, a text, b text, part text, n int, trials int) LANGUAGE plpgsql AS $$
DECLARE
	columns text := CASE kind WHEN 'class' THEN 'body, label' ELSE 'body' END;
BEGIN
	INSERT INTO found SELECT measure.test, measure.kind, 0, c.metric, c.difference
		FROM gpt_compare(a, b, format('SELECT %s FROM pool WHERE part = %L', columns, part), '{"resamples": 0}') c;
	FOR trial IN 1 .. trials LOOP
		INSERT INTO found SELECT measure.test, measure.kind, trial, c.metric, c.difference, c.low, c.high, c.p
			FROM gpt_compare(a, b, format('SELECT %s FROM draw(%L, %s, %s)', columns, part, n, trial)) c WHERE c.p IS NOT NULL;
		COMMIT;
	END LOOP;
END $$;
SQL
for kind in text class; do
	for seed in 1 2; do
		"${psql[@]}" <<SQL >/dev/null
SELECT gpt_train('${kind}_$seed', 'SELECT body$([ $kind = class ] && echo ", label") FROM row WHERE trains',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": ${STEPS:-60},
		"batch_size": 16, "seed": $seed}') AS job \gset
SELECT gpt_wait(:job);
SQL
	done
done
"${psql[@]}" -c "SELECT gpt_copy_model('text_1', 'text_int4'), gpt_set_image_type('text_int4', 'int4')" >/dev/null
"${psql[@]}" <<'SQL' >/dev/null
-- Rows leave in the order of a hash, of those on the side that is ahead, until the sums are equal up to one row.
CREATE FUNCTION equal_rows(part text, query text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	surplus float8;
	r record;
BEGIN
	EXECUTE 'CREATE TEMP TABLE lead AS ' || query;
	SELECT sum(ahead) INTO surplus FROM lead;
	FOR r IN SELECT * FROM lead WHERE sign(ahead) = sign(surplus) ORDER BY md5(body || id) LOOP
		CONTINUE WHEN abs(surplus - r.ahead) > abs(surplus);
		surplus := surplus - r.ahead;
		DELETE FROM lead WHERE id = r.id;
	END LOOP;
	INSERT INTO pool SELECT part, row_number() OVER (ORDER BY id), label, body FROM lead;
	DROP TABLE lead;
END $$;
-- bits a byte: the sum of differences is 0; accuracy: as many rows are right by one alone as by the other
SELECT equal_rows('equal text', $$SELECT id, label, body, 
	gpt_score('text_1', body, 'logprob') - gpt_score('text_2', body, 'logprob') AS ahead FROM pool WHERE part = 'int4'$$);
SELECT equal_rows('equal class', $$SELECT id, label, body, 
	((gpt_classify('class_1', body) = label)::int - (gpt_classify('class_2', body) = label)::int)::float8 AS ahead FROM pool WHERE part = 'int4'$$);
SQL
"${psql[@]}" -c "CALL measure('int4', 'text', 'text_1', 'text_int4', 'int4', ${ROWS:-300}, $trials)"
"${psql[@]}" -A -F ' ' -P tuples_only=off <<'SQL'
SELECT s.kind, s.metric, t.difference AS truth, count(*) AS trials, 
	round(avg((t.difference BETWEEN s.low AND s.high)::int), 3) AS inside, round(avg((s.p < 0.05)::int), 3) AS significant
FROM found s JOIN found t ON t.test = s.test AND t.kind = s.kind AND t.metric = s.metric AND t.trial = 0
WHERE s.test = 'int4' AND s.trial > 0 GROUP BY s.kind, s.metric, t.difference ORDER BY 1, 2;
SQL
for kind in text class; do
	"${psql[@]}" -c "CALL measure('equal', '$kind', '${kind}_1', '${kind}_2', 'equal $kind', ${ROWS:-300},
		$((trials / 2)))"
done
"${psql[@]}" -A -F ' ' -P tuples_only=off <<'SQL'
WITH ranked AS (SELECT kind, metric, p, rank() OVER w - 1 AS below, 
	count(*) OVER (PARTITION BY kind, metric ORDER BY p) AS upto, count(*) OVER (PARTITION BY kind, metric) AS n
		FROM found WHERE test = 'equal' AND trial > 0 WINDOW w AS (PARTITION BY kind, metric ORDER BY p)),
	distance AS (SELECT kind, metric, max(n)::float8 AS n, avg((p < 0.05)::int) AS small,
		max(greatest(upto::float8 / n - p, p - below::float8 / n)) AS d FROM ranked GROUP BY kind, metric)
SELECT d.kind, d.metric, t.difference AS truth, d.n AS trials, round(d.small, 3) AS below_5_percent,
	round(d::numeric, 3) AS distance,
	(SELECT round(least(1, 2 * sum((-1) ^ (j - 1) * exp(greatest(-2 * j * j * d * d * n, -700))))::numeric, 3)
		FROM generate_series(1, 100) j) AS probability
FROM distance d JOIN found t ON t.test = 'equal' AND t.kind = d.kind AND t.metric = d.metric AND t.trial = 0
	ORDER BY 1, 2;
SQL
