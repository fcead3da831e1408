-- gpt.batching in every clause: rows, errors and calls of single calls
LOAD 'gpt';
SET max_parallel_workers_per_gather = 0;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' || repeat(' more', i % 9) AS body, i % 7 = 0 AS odd, i % 5 AS class FROM generate_series(1, 150) i;
UPDATE line SET body = NULL WHERE id = 10;
UPDATE line SET body = '' WHERE id = 11;
CREATE TABLE class AS SELECT i AS class, 'class ' || i AS name FROM generate_series(0, 4) i;
ANALYZE line, class;
SELECT gpt_train('clauses', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('labels', $$SELECT body AS text, id % 3 AS label FROM line WHERE body <> ''$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 5, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- the rows of a query, or its error; what it changes is undone
CREATE FUNCTION rows_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := '';
	line record;
BEGIN
	FOR line IN EXECUTE query LOOP
		result := result || line::text || E'\n';
	END LOOP;
	RAISE '%', result USING errcode = 'P0099';
EXCEPTION WHEN others THEN
	RETURN sqlerrm;
END $$;
CREATE FUNCTION plan_of(query text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (' || options || ') ' || query;
END $$;
-- whether rows are equal with batching on and off, and the calls and batches of both
CREATE FUNCTION compare(query text, OUT nodes bigint, OUT same boolean, OUT calls text, OUT batches text) LANGUAGE plpgsql AS $$
DECLARE
	explained text := 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query;
	plan text;
	rows text;
BEGIN
	SET LOCAL gpt.batching = off;
	rows := rows_of(query);
	plan := rows_of(explained);
	calls := (regexp_match(plan, '" +Calls: (\d+)'))[1];
	batches := (regexp_match(plan, ' Texts: \d+"\)\n\(" +Batches: (\d+)'))[1];
	SET LOCAL gpt.batching = on;
	same := rows = rows_of(query);
	plan := rows_of(explained);
	calls := calls || ' ' || (regexp_match(plan, '" +Calls: (\d+)'))[1];
	batches := batches || ' ' || (regexp_match(plan, ' Texts: \d+"\)\n\(" +Batches: (\d+)'))[1];
	nodes := (SELECT count(*) FROM regexp_matches(plan, 'GptBatch', 'g'));
END $$;

-- WHERE: a call of a later condition is asked only for rows that passed the earlier ones
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT id FROM line WHERE gpt_classify('labels', body) = '1'$$,
	$$SELECT id FROM line WHERE odd AND gpt_classify('labels', body) = '1'$$,
	$$SELECT id, gpt_classify('labels', body) FROM line WHERE gpt_classify('labels', body) = '1' AND id < 100$$,
	$$SELECT id, gpt_score('clauses', body) FROM line WHERE gpt_classify('labels', body) = '1' AND id < 100$$,
	$$SELECT id FROM line WHERE gpt_classify('labels', body) = '1' AND gpt_score('clauses', body) > 1.3 AND id < 100$$,
	$$SELECT id FROM line WHERE gpt_classify('labels', body) = '1' OR id < 100$$,
	$$SELECT id FROM line WHERE id < 100 OR gpt_classify('labels', body) = '1'$$,
	$$SELECT id FROM line WHERE NOT (id < 100 AND gpt_classify('labels', body) = '1')$$,
	$$SELECT id, gpt_score('clauses', body) FROM line WHERE gpt_classify('labels', body) IN ('0', '1') ORDER BY 2 LIMIT 5$$,
	$$SELECT id FROM line WHERE gpt_classify('labels', body) = '1' LIMIT 5 OFFSET 2$$]) q, compare(q) c;
SET gpt.batching = on;
SELECT plan_of($$SELECT id, gpt_score('clauses', body) FROM line WHERE odd AND gpt_classify('labels', body) = '1'$$, 'COSTS OFF, VERBOSE');
SELECT plan_of($$SELECT id FROM line WHERE gpt_classify('labels', body) = '1' AND odd$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF') LIMIT 8;

-- CASE, COALESCE, AND and OR: only where plain execution makes the call
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT CASE WHEN odd THEN gpt_score('clauses', body) END FROM line$$,
	$$SELECT CASE WHEN odd THEN gpt_score('clauses', body) WHEN id < 50 THEN gpt_score('clauses', body, 'logprob') ELSE id END FROM line$$,
	$$SELECT CASE gpt_classify('labels', body) WHEN '0' THEN gpt_score('clauses', body) WHEN '1' THEN 1 ELSE gpt_score('clauses', body, 'logprob') END FROM line$$,
	$$SELECT CASE id % 3 WHEN 0 THEN gpt_score('clauses', body) WHEN length(gpt_classify('labels', body)) THEN 7 END FROM line$$,
	$$SELECT CASE id % 3 WHEN (CASE odd WHEN true THEN 0 ELSE 1 END) THEN gpt_score('clauses', body) ELSE gpt_score('clauses', 'x' || body) END FROM line$$,
	$$SELECT CASE WHEN id % 3 = 0 THEN NULL ELSE gpt_score('clauses', (1 / (id % 3)) || body) END FROM line$$,
	$$SELECT coalesce(CASE WHEN odd THEN gpt_score('clauses', body) END, gpt_score('clauses', body, 'logprob'), 0) FROM line$$,
	$$SELECT coalesce(nullif(body, ''), gpt_generate('clauses', 'x' || id, 3, seed => id)) FROM line$$,
	$$SELECT odd AND gpt_score('clauses', body) > 1.3 AND gpt_score('clauses', body, 'logprob') > -50 FROM line$$,
	$$SELECT odd OR gpt_score('clauses', body) > 1.3 OR gpt_score('clauses', body, 'logprob') > -50 FROM line$$,
	$$SELECT gpt_score('clauses', gpt_generate('clauses', body, 3, seed => id)) FROM line$$,
	$$SELECT CASE WHEN EXISTS (SELECT FROM class c WHERE c.class = id % 7 OFFSET 0) THEN gpt_score('clauses', body) WHEN id < 30 THEN gpt_score('clauses', body || '!') END FROM line$$,
	$$SELECT id FROM line l WHERE id IN (SELECT c.class * 7 FROM class c WHERE c.class > l.class) OR gpt_score('clauses', body) > 1.3$$,
	$$SELECT CASE WHEN random() < 2 THEN gpt_score('clauses', body) END FROM line$$,
	$$SELECT greatest(gpt_score('clauses', body), 1.3), ARRAY[gpt_score('clauses', body)], ROW(gpt_classify('labels', body), id), gpt_score('clauses', body) IS NULL FROM line$$]) q, compare(q) c;

-- aggregates, groups and windows
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT avg(gpt_score('clauses', body)), count(*) FILTER (WHERE gpt_classify('labels', body) = '1') FROM line$$,
	$$SELECT class, sum(gpt_score('clauses', body)) FILTER (WHERE odd), max(gpt_score('clauses', body)) FROM line GROUP BY class ORDER BY class$$,
	$$SELECT class, sum(gpt_score('clauses', body)) FROM line GROUP BY class HAVING sum(gpt_score('clauses', body)) > 80 ORDER BY class$$,
	$$SELECT class, count(*) FROM line GROUP BY class HAVING gpt_score('clauses', string_agg(body, ' ' ORDER BY id)) > 1 AND class > 1 ORDER BY class$$,
	$$SELECT gpt_classify('labels', body), count(DISTINCT gpt_classify('labels', body || '!')) FROM line GROUP BY 1 ORDER BY 1$$,
	$$SELECT class, odd, avg(gpt_score('clauses', body)) FROM line GROUP BY GROUPING SETS ((class), (odd), ()) ORDER BY 1, 2$$,
	$$SELECT sum(CASE WHEN odd THEN gpt_score('clauses', body) END), array_agg(gpt_classify('labels', body) ORDER BY id) FROM line WHERE id < 90$$,
	$$SELECT id, avg(gpt_score('clauses', body)) OVER (PARTITION BY class ORDER BY id) FROM line ORDER BY id$$,
	$$SELECT id, first_value(gpt_score('clauses', body)) OVER (PARTITION BY class ORDER BY id) FROM line ORDER BY id$$,
	$$SELECT DISTINCT gpt_classify('labels', body) FROM line ORDER BY 1$$,
	$$SELECT class, avg(gpt_score('clauses', body)) FROM line GROUP BY class ORDER BY class LIMIT 2$$]) q, compare(q) c;

-- the list has the numbers of the results
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT body, gpt_classify('labels', gpt_classify('labels', body)) FROM line WHERE id < 9$$]) q, compare(q) c;

-- joins
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT l.id, name FROM line l JOIN class c USING (class) WHERE gpt_classify('labels', l.body || c.name) = '1' ORDER BY 1$$,
	$$SELECT l.id, name FROM line l JOIN class c USING (class) WHERE gpt_classify('labels', l.body) = '1' ORDER BY 1$$,
	$$SELECT l.id, name FROM line l LEFT JOIN class c ON c.class = l.class AND gpt_classify('labels', l.body || c.name) = '1' ORDER BY 1$$,
	$$SELECT l.id, name FROM line l LEFT JOIN class c ON c.class = l.class + 1 WHERE coalesce(gpt_classify('labels', l.body || c.name), '1') = '1' ORDER BY 1$$,
	$$SELECT l.id FROM line l JOIN class c ON c.class::text = gpt_classify('labels', l.body) ORDER BY 1$$,
	$$SELECT l.id FROM line l WHERE EXISTS (SELECT FROM class c WHERE c.class = l.class AND gpt_classify('labels', c.name || l.body) = '1')$$,
	$$SELECT c.name, s.* FROM class c, LATERAL (SELECT id, gpt_score('clauses', body || c.name) FROM line l WHERE l.class = c.class ORDER BY id LIMIT 3) s ORDER BY 1, 2$$,
	$$SELECT l.id, gpt_score('clauses', l.body) FROM line l JOIN class c USING (class) LIMIT 3$$,
	$$SELECT a.id FROM line a JOIN line b ON a.id = b.id AND gpt_score('clauses', a.body) < gpt_score('clauses', b.body || '.') ORDER BY 1$$,
	$$SELECT l.id, gpt_score('clauses', l.body) FROM line l JOIN (SELECT 1 AS class WHERE false OFFSET 0) c USING (class)$$]) q, compare(q) c;

-- subqueries, CTEs and sets
SELECT c.*, q FROM unnest(ARRAY[
	$$WITH scored AS MATERIALIZED (SELECT id, gpt_score('clauses', body) AS score FROM line) SELECT count(*), avg(score), (SELECT max(score) FROM scored) FROM scored$$,
	$$WITH scored AS MATERIALIZED (SELECT id, gpt_score('clauses', body) AS score FROM line) SELECT * FROM scored LIMIT 3$$,
	$$SELECT id, gpt_score('clauses', (SELECT name || repeat('x', 40) || l.body FROM class c WHERE c.class = l.class)) FROM line l ORDER BY 1$$,
	$$SELECT c.name, ARRAY(SELECT gpt_classify('labels', body) FROM line l WHERE id < 5 AND EXISTS (SELECT FROM line k WHERE k.class < c.class)) FROM class c ORDER BY 1$$,
	$$SELECT c.name, (SELECT avg(gpt_score('clauses', body)) FROM line l WHERE l.class = c.class) FROM class c ORDER BY 1$$,
	$$SELECT c.name, (SELECT gpt_score('clauses', body) FROM line l WHERE l.class = c.class ORDER BY id LIMIT 1) FROM class c ORDER BY 1$$,
	$$SELECT name FROM class WHERE class::text IN (SELECT gpt_classify('labels', body) FROM line) ORDER BY 1$$,
	$$SELECT name, ARRAY(SELECT gpt_classify('labels', body) FROM line l WHERE l.class = c.class ORDER BY id) FROM class c ORDER BY 1$$,
	$$SELECT id FROM line l WHERE id < 40 AND EXISTS (SELECT FROM class c WHERE c.class > l.class AND gpt_score('clauses', c.name) > 1 OFFSET 0)$$,
	$$SELECT gpt_score('clauses', body), generate_series(1, 2), id FROM line WHERE id < 70$$,
	$$SELECT EXISTS (SELECT FROM line WHERE gpt_classify('labels', body) = '1')$$,
	$$SELECT gpt_score('clauses', body) FROM line WHERE id < 100 UNION ALL (SELECT gpt_score('clauses', name) FROM class ORDER BY 1)$$,
	$$SELECT gpt_classify('labels', body) FROM line EXCEPT SELECT '1'$$,
	$$WITH RECURSIVE r AS (SELECT 1 AS i, gpt_generate('clauses', 'a', 3, seed => 1) AS t UNION ALL SELECT i + 1, gpt_generate('clauses', t, 3, seed => i) FROM r WHERE i < 5) SELECT * FROM r$$,
	$$SELECT * FROM (SELECT id, gpt_score('clauses', body) AS s FROM line OFFSET 0) q WHERE s > 1.3 LIMIT 4$$,
	$$SELECT id FROM line ORDER BY gpt_score('clauses', body), id LIMIT 5$$,
	$$SELECT id, (SELECT count(*) FROM class WHERE class < l.class AND gpt_score('clauses', name) > 1) FROM line l WHERE id < 20 AND gpt_score('clauses', body) > (SELECT 1)$$]) q, compare(q) c;

-- changes of rows
CREATE TABLE kept (id integer, body text, score float8, label text);
CREATE TABLE part (id integer, body text, label text) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1, 3, 5);
CREATE TABLE part_2 (dropped integer, label text, body text, id integer);
ALTER TABLE part_2 DROP COLUMN dropped;
ALTER TABLE part ATTACH PARTITION part_2 DEFAULT;
INSERT INTO part SELECT id, body FROM line WHERE id <= 40;
INSERT INTO kept SELECT id, body FROM line WHERE id < 70;
SELECT c.*, q FROM unnest(ARRAY[
	$$INSERT INTO kept SELECT id, body, gpt_score('clauses', body), gpt_classify('labels', body) FROM line WHERE id < 70 RETURNING *$$,
	$$INSERT INTO kept SELECT id, body FROM line WHERE id < 70 RETURNING id, gpt_score('clauses', body), gpt_classify('labels', body) || id$$,
	$$UPDATE kept SET label = gpt_classify('labels', body || '.') WHERE gpt_score('clauses', body) > 1.3 AND id < 40 RETURNING id, label$$,
	$$UPDATE part SET label = gpt_classify('labels', body) RETURNING id, tableoid::regclass, gpt_score('clauses', label || body), body$$,
	$$UPDATE part p SET label = gpt_classify('labels', p.body || c.name) FROM class c WHERE c.class = p.id % 5 RETURNING id, name, gpt_score('clauses', name || p.body)$$,
	$$WITH changed AS (UPDATE part SET label = gpt_classify('labels', body) RETURNING id, gpt_score('clauses', label || body) AS s) SELECT count(*), sum(s) FROM changed$$,
	$$WITH changed AS (UPDATE part SET label = gpt_classify('labels', body) RETURNING id, gpt_score('clauses', label || body) AS s) SELECT * FROM changed LIMIT 1$$,
	$$DELETE FROM kept WHERE gpt_score('clauses', body) < 1.4 RETURNING id, gpt_score('clauses', body)$$,
	$$WITH merged AS MATERIALIZED (SELECT id, gpt_classify('labels', body) AS label FROM line WHERE id < 20) SELECT * FROM merged ORDER BY id$$]) q, compare(q) c;
-- actions of MERGE that read the source alone, as far as conditions tell from the source which action it will be
CREATE FUNCTION merged(query text, OUT plan text, OUT rows text) LANGUAGE plpgsql AS $$
BEGIN
	plan := (SELECT string_agg(p, E'\n') FROM plan_of(query, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF') p);
	rows := (SELECT string_agg(p::text, ' ' ORDER BY id) FROM part p);
	RAISE 'undone' USING errcode = 'P0099';
EXCEPTION WHEN SQLSTATE 'P0099' THEN
	NULL;
END $$;
CREATE FUNCTION compare_merge(query text, OUT nodes bigint, OUT same boolean, OUT calls text, OUT batches text) LANGUAGE plpgsql AS $$
DECLARE
	alone record;
	batched record;
BEGIN
	SET LOCAL gpt.batching = off;
	alone := merged(query);
	SET LOCAL gpt.batching = on;
	batched := merged(query);
	nodes := (SELECT count(*) FROM regexp_matches(batched.plan, 'GptBatch', 'g'));
	same := alone.rows = batched.rows;
	calls := (regexp_match(alone.plan, '\n +Calls: (\d+)'))[1] || ' ' || (regexp_match(batched.plan, '\n +Calls: (\d+)'))[1];
	batches := (regexp_match(alone.plan, '\n +Texts: \d+\n +Batches: (\d+)'))[1] || ' ' || (regexp_match(batched.plan, '\n +Texts: \d+\n +Batches: (\d+)'))[1];
END $$;
SELECT c.*, q FROM unnest(ARRAY[
	$$MERGE INTO part p USING (SELECT id, gpt_classify('labels', body) AS label FROM line WHERE id < 50) n ON p.id = n.id
		WHEN MATCHED THEN UPDATE SET label = n.label WHEN NOT MATCHED THEN INSERT VALUES (n.id, 'new', n.label)$$,
	$$MERGE INTO part p USING line l ON l.id = p.id AND l.id < 30 WHEN MATCHED AND l.odd THEN DELETE
		WHEN MATCHED AND gpt_classify('labels', l.body) = '1' THEN UPDATE SET label = gpt_classify('labels', l.body || '!')
		WHEN MATCHED THEN UPDATE SET label = gpt_classify('labels', l.body), body = p.body || gpt_classify('labels', l.body)
		WHEN NOT MATCHED AND l.id > 120 THEN DO NOTHING
		WHEN NOT MATCHED AND gpt_score('clauses', l.body) > 1.3 THEN INSERT VALUES (l.id, l.body, gpt_classify('labels', l.body))
		WHEN NOT MATCHED THEN INSERT VALUES (l.id, 'low', gpt_classify('labels', l.body || '?'))$$,
	$$MERGE INTO part p USING line l ON l.id = p.id WHEN MATCHED AND p.body LIKE '%7%' THEN UPDATE SET label = gpt_classify('labels', l.body)
		WHEN MATCHED THEN UPDATE SET label = gpt_classify('labels', p.body)$$]) q, compare_merge(q) c;
DROP FUNCTION merged, compare_merge;
DROP TABLE kept, part;

-- parallel plans: each process batches its rows
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
ALTER TABLE line SET (parallel_workers = 2);
CREATE FUNCTION parallel(query text, OUT nodes bigint, OUT workers boolean, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
	plan text;
	rows text;
BEGIN
	plan := (SELECT string_agg(p, E'\n') FROM plan_of(query) p);
	nodes := (SELECT count(*) FROM regexp_matches(plan, 'GptBatch', 'g'));
	workers := plan ~ 'Workers Planned: 2';
	rows := rows_of(query);
	SET LOCAL max_parallel_workers_per_gather = 0;
	SET LOCAL gpt.batching = off;
	same := rows = rows_of(query);
	SET LOCAL max_parallel_workers_per_gather = 2;
	SET LOCAL gpt.batching = on;
END $$;
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT count(gpt_score('clauses', body)), max(gpt_score('clauses', body)) FILTER (WHERE odd) FROM line$$,
	$$SELECT id, gpt_score('clauses', body) FROM line WHERE gpt_classify('labels', body) = '1' ORDER BY id$$,
	$$SELECT gpt_classify('labels', body), count(*) FROM line GROUP BY 1 ORDER BY 1$$,
	$$SELECT id, gpt_score('clauses', body) FROM line ORDER BY 2, 1 LIMIT 5$$,
	$$SELECT count(*) FROM line l JOIN class c ON c.class::text = gpt_classify('labels', l.body)$$]) q, parallel(q) c;
ROLLBACK;

-- cursors: the rows that FETCH wants, in any direction, and WHERE CURRENT OF
SET gpt.batching = on;
BEGIN;
DECLARE c CURSOR FOR SELECT id, gpt_score('clauses', body) > 0 AS good FROM line WHERE id <= 5;
SELECT gpt_stat_reset();
FETCH 2 FROM c;
SELECT sum(calls) AS calls FROM gpt_stat_models;
FETCH PRIOR FROM c;
UPDATE line SET body = body WHERE CURRENT OF c RETURNING id;
FETCH PRIOR FROM c;
FETCH ALL FROM c;
FETCH PRIOR FROM c;
DELETE FROM line WHERE CURRENT OF c RETURNING id;
FETCH ABSOLUTE 3 FROM c;
FETCH RELATIVE -2 FROM c;
FETCH BACKWARD ALL FROM c;
FETCH FORWARD 2 FROM c;
MOVE LAST IN c;
FETCH BACKWARD 2 FROM c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id, gpt_classify('labels', body) AS label FROM line WHERE gpt_score('clauses', body) > 0 FOR UPDATE;
FETCH 2 FROM c;
UPDATE line SET body = 'changed' WHERE CURRENT OF c RETURNING id;
ROLLBACK;
-- a loop of PL/pgSQL fetches 10 rows, then 50
CREATE FUNCTION loop(last integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	one record;
BEGIN
	FOR one IN SELECT id, gpt_score('clauses', body) FROM line WHERE id > 20 LOOP
		EXIT WHEN one.id = last;
	END LOOP;
END $$;
SELECT gpt_stat_reset();
SELECT loop(25);
SELECT sum(calls) AS calls, sum(batches) AS batches FROM gpt_stat_models;
SELECT gpt_stat_reset();
SELECT loop(35);
SELECT sum(calls) AS calls, sum(batches) AS batches FROM gpt_stat_models;
-- the answers that a statement keeps belong to it, and go with it
BEGIN;
DECLARE answers CURSOR FOR SELECT gpt_score('clauses', body) FROM line WHERE id > 20;
FETCH answers \g /dev/null
SELECT DISTINCT parent FROM pg_backend_memory_contexts WHERE name = 'gpt batch memo';
CLOSE answers;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'gpt batch memo';
COMMIT;

SELECT gpt_drop_model('clauses'), gpt_drop_model('labels');
DROP TABLE line, class;
DROP FUNCTION rows_of, plan_of, compare, loop;
