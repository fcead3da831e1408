-- What the planner knows of calls of models: costs, rows, statistics, workers, no compiled expressions.
CREATE EXTENSION IF NOT EXISTS gpt;
LOAD 'gpt';
CREATE TABLE dish AS
SELECT i AS id, CASE WHEN i % 3 = 0 THEN 'the soup was ' || g || ' and warm ' || i ELSE 'we found it ' || g || ', number ' || i END AS body,
	CASE WHEN g IN ('good', 'fine', 'lovely', 'great', 'nice') THEN 'glad' WHEN g = 'odd' THEN 'odd' ELSE 'sad' END AS mood, i % 100 AS stars
FROM (SELECT i, (ARRAY['good', 'bad', 'fine', 'awful', 'lovely', 'great', 'nice', 'odd'])[1 + i * i % 29 % 8] AS g FROM generate_series(1, 1200) i) s;
UPDATE dish SET body = NULL WHERE id % 40 = 0;
ANALYZE dish;
SELECT gpt_train('plan_moods', 'SELECT body, mood AS label FROM dish WHERE id % 10 < 3',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 30, "seed": 1, "validation_fraction": 0.3}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('plan_texts', 'SELECT body FROM dish WHERE id % 10 < 3',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 150, "seed": 1, "validation_fraction": 0.3}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('plan_stars', 'SELECT stars || '' of '' || id AS body, stars::float8 AS label FROM dish WHERE id % 10 < 3',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 40, "seed": 1, "validation_fraction": 0.3}') AS job \gset
SELECT gpt_wait(:job);

CREATE FUNCTION plan_text(query text, options text DEFAULT 'COSTS OFF') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (' || options || ') ' || query LOOP
		lines := concat_ws(E'\n', lines, line);
	END LOOP;
	RETURN lines;
END $$;
CREATE FUNCTION planned_rows(query text) RETURNS bigint LANGUAGE sql AS $$SELECT substring(plan_text(query, 'COSTS ON') FROM 'rows=(\d+)')::bigint$$;
CREATE FUNCTION planned_cost(query text) RETURNS float8 LANGUAGE sql AS $$SELECT substring(plan_text(query, 'COSTS ON') FROM '\.\.([0-9.]+) ')::float8$$;
CREATE FUNCTION actual_rows(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || query || ') q' INTO n;
	RETURN n;
END $$;

-- estimated rows are within twice the actual ones
CREATE TABLE part (LIKE dish) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20);
CREATE TABLE part_2 PARTITION OF part DEFAULT;
INSERT INTO part SELECT * FROM dish WHERE id <= 500;
ANALYZE part;
SET max_parallel_workers_per_gather = 0;
SELECT query, planned, actual FROM (SELECT query, planned_rows(query) AS planned, actual_rows(query) AS actual FROM unnest(ARRAY[
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) = 'glad'$$,
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) <> 'glad'$$,
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) IN ('sad', 'odd')$$,
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) = 'odd'$$,
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) IS NULL$$,
	$$SELECT FROM dish WHERE gpt_classify('plan_moods', body) LIKE 'gl%'$$,
	$$SELECT gpt_classify('plan_moods', body) FROM dish GROUP BY 1$$,
	$$SELECT FROM dish d JOIN (VALUES ('sad', 1), ('odd', 2)) v (label, n) ON gpt_classify('plan_moods', body) = label$$,
	$$SELECT FROM part WHERE gpt_classify('plan_moods', body) = 'glad'$$,
	$$SELECT FROM (SELECT body FROM dish UNION ALL SELECT body FROM dish) d WHERE gpt_classify('plan_moods', body) = 'glad'$$,
	$$WITH c AS MATERIALIZED (SELECT id, gpt_classify('plan_moods', body) AS mood FROM dish) SELECT FROM c WHERE mood = 'glad'$$,
	$$SELECT FROM (SELECT id, gpt_classify('plan_moods', body) AS mood FROM dish OFFSET 0) s WHERE mood IN ('glad', 'odd')$$,
	format($$SELECT FROM dish WHERE gpt_score('plan_texts', body) < %s$$, (SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY gpt_score('plan_texts', body)) FROM dish)),
	format($$SELECT FROM dish WHERE gpt_score('plan_texts', body, 'logprob') >= %s$$, (SELECT percentile_cont(0.8) WITHIN GROUP (ORDER BY gpt_score('plan_texts', body, 'logprob')) FROM dish)),
	format($$SELECT FROM dish WHERE gpt_score('plan_texts', body, 'mean_logprob') > %s$$, (SELECT percentile_cont(0.6) WITHIN GROUP (ORDER BY gpt_score('plan_texts', body, 'mean_logprob')) FROM dish)),
	format($$SELECT FROM dish WHERE gpt_score('plan_texts', body, 'bits_per_byte') BETWEEN %s AND %s$$, (SELECT percentile_cont(0.2) WITHIN GROUP (ORDER BY gpt_score('plan_texts', body, 'bits_per_byte')) FROM dish),
		(SELECT percentile_cont(0.7) WITHIN GROUP (ORDER BY gpt_score('plan_texts', body, 'bits_per_byte')) FROM dish)),
	format($$SELECT FROM dish WHERE gpt_predict('plan_stars', stars || ' of ' || id) > %s$$, (SELECT percentile_cont(0.75) WITHIN GROUP (ORDER BY gpt_predict('plan_stars', stars || ' of ' || id)) FROM dish)),
	$$SELECT gpt_classify_probs('plan_moods', body) FROM dish WHERE body IS NOT NULL$$,
	$$SELECT FROM dish, gpt_tokens('plan_texts', body) WHERE id <= 100$$,
	$$SELECT FROM gpt_stream('plan_texts', 'the', 17, seed => 3)$$,
	$$SELECT FROM gpt_embed('plan_texts', '{one,two,three}'::text[])$$,
	$$SELECT FROM gpt_choose_probs('plan_texts', 'it was', ARRAY['warm', 'cold', 'odd', 'good'])$$]) query) q
WHERE planned > 2 * greatest(actual, 1) OR actual > 2 * planned;
-- a threshold leaves texts without a label
SELECT planned_rows($$SELECT FROM dish WHERE gpt_classify('plan_moods', body, 1) IS NULL$$) > 800 AS most;

-- cheap predicates come first, and the model of fewer parameters before the other
SELECT plan_text($$SELECT FROM dish WHERE gpt_classify('plan_moods', body) = 'glad' AND body LIKE '%cold%' AND stars > 3$$);
SELECT planned_cost($$SELECT gpt_score('plan_texts', body) FROM dish$$) < planned_cost($$SELECT gpt_score('plan_texts', repeat(body, 2) || body) FROM dish$$) AS longer_texts_cost_more,
	planned_cost($$SELECT gpt_generate('plan_texts', body, 4) FROM dish$$) < planned_cost($$SELECT gpt_generate('plan_texts', body, 400) FROM dish$$) / 3 AS more_tokens_cost_more,
	planned_cost($$SELECT gpt_score('plan_texts', ARRAY['a', 'b'])$$) < planned_cost($$SELECT gpt_score('plan_texts', ARRAY['a', 'b', 'c', 'd', 'e', 'f'])$$) AS more_texts_cost_more;

-- a model that does not exist, or that the role may not use, has the declared cost and no statistics; no error
SELECT planned_cost($$SELECT FROM dish WHERE gpt_score('no_such_model', body) < 3$$) / planned_cost($$SELECT FROM dish WHERE stars < 3$$) > 1000 AS declared;
SELECT planned_cost($$SELECT gpt_score('@', '@a', NULL), gpt_score(NULL, NULL)$$) > 100 AS declared;
CREATE ROLE gpt_planner;
GRANT SELECT ON dish TO gpt_planner;
CREATE TABLE cost_of AS SELECT planned_cost($$SELECT FROM dish WHERE gpt_score('no_such_model', body) < 3$$) AS declared;
GRANT SELECT ON cost_of TO gpt_planner;
SET ROLE gpt_planner;
SELECT planned_cost($$SELECT FROM dish WHERE gpt_score('plan_texts', body) < 3$$) = declared AS as_declared,
	planned_rows($$SELECT FROM dish WHERE gpt_classify('plan_moods', body) = 'glad'$$) AS without_statistics FROM cost_of;
RESET ROLE;
SELECT gpt_grant('plan_moods', 'gpt_planner');
SET ROLE gpt_planner;
SELECT planned_rows($$SELECT FROM dish WHERE gpt_classify('plan_moods', body) = 'glad'$$) > 400 AS with_statistics;
RESET ROLE;

-- a small table is read in parallel for the calls; not with parallel_workers = 0, or for a few rows
SET max_parallel_workers_per_gather = 2;
SELECT plan_text($$SELECT avg(gpt_score('no_such_model', body)) FROM dish$$);
SELECT plan_text($$SELECT id FROM dish WHERE gpt_score('no_such_model', body) < 3$$);
SELECT plan_text($$SELECT gpt_perplexity('no_such_model', body) FROM dish$$);
SELECT plan_text($$SELECT avg(gpt_score('no_such_model', body)) FROM part$$);
SELECT plan_text($$SELECT avg(gpt_score('no_such_model', body)) FROM dish WHERE stars = 1 AND id = 101$$);
SELECT plan_text($$SELECT gpt_score('no_such_model', body) FROM dish LIMIT 3$$);
SELECT plan_text($$SELECT avg(stars) FROM dish$$);
ALTER TABLE dish SET (parallel_workers = 0);
SELECT plan_text($$SELECT avg(gpt_score('no_such_model', body)) FROM dish$$);
ALTER TABLE dish RESET (parallel_workers);
SELECT count(gpt_score('plan_texts', body)) FROM dish;

-- expressions are not compiled for the costs of calls, wherever they stand
SET jit = on;
SET max_parallel_workers_per_gather = 0;
SELECT query FROM unnest(ARRAY[
	$$SELECT avg(gpt_score('no_such_model', body)) FROM dish$$, $$SELECT FROM dish WHERE gpt_score('no_such_model', body) < 3$$,
	$$SELECT gpt_classify('no_such_model', body), count(*) FROM dish GROUP BY 1$$, $$SELECT gpt_perplexity('no_such_model', body) FROM dish$$,
	$$SELECT id, (SELECT gpt_score('no_such_model', d.body) LIMIT 1) FROM dish d$$, $$SELECT FROM dish a JOIN dish b USING (id) WHERE gpt_score('no_such_model', a.body || b.body) < 3$$,
	$$WITH c AS MATERIALIZED (SELECT gpt_score('no_such_model', body) AS s FROM dish) SELECT FROM c WHERE s < 3$$]) query
WHERE plan_text(query, 'COSTS ON') LIKE '%JIT:%';
RESET jit;
RESET max_parallel_workers_per_gather;

DROP TABLE dish, part, cost_of;
SELECT gpt_drop_model('plan_moods'), gpt_drop_model('plan_texts'), gpt_drop_model('plan_stars');
DROP ROLE gpt_planner;
