-- gpt.batching in every clause: rows, errors and calls of single calls
LOAD 'gpt';
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' || repeat(' more', i % 9) AS body, i % 7 = 0 AS odd, i % 5 AS class FROM generate_series(1, 300) i;
UPDATE line SET body = NULL WHERE id = 10;
UPDATE line SET body = '' WHERE id = 11;
CREATE TABLE class AS SELECT i AS class, 'class ' || i AS name FROM generate_series(0, 4) i;
ANALYZE line, class;
SELECT gpt_train('clauses', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '60 s');
SELECT gpt_train('labels', $$SELECT body AS text, id % 3 AS label FROM line WHERE body <> ''$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 5, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '60 s');

-- the rows of a query, or its error
CREATE FUNCTION rows_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := '';
	line record;
BEGIN
	FOR line IN EXECUTE query LOOP
		result := result || line::text || E'\n';
	END LOOP;
	RETURN result;
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
	plan text;
	rows text;
BEGIN
	SET LOCAL gpt.batching = off;
	rows := rows_of(query);
	plan := (SELECT string_agg(p, E'\n') FROM plan_of(query, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF') p);
	calls := (regexp_match(plan, '\n +Calls: (\d+)'))[1];
	batches := (regexp_match(plan, '\n +Texts: \d+\n +Batches: (\d+)'))[1];
	SET LOCAL gpt.batching = on;
	same := rows = rows_of(query);
	plan := (SELECT string_agg(p, E'\n') FROM plan_of(query, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF') p);
	calls := calls || ' ' || (regexp_match(plan, '\n +Calls: (\d+)'))[1];
	batches := batches || ' ' || (regexp_match(plan, '\n +Texts: \d+\n +Batches: (\d+)'))[1];
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
	$$SELECT CASE WHEN random() < 2 THEN gpt_score('clauses', body) END FROM line$$,
	$$SELECT greatest(gpt_score('clauses', body), 1.3), ARRAY[gpt_score('clauses', body)], ROW(gpt_classify('labels', body), id), gpt_score('clauses', body) IS NULL FROM line$$]) q, compare(q) c;

SELECT gpt_drop_model('clauses'), gpt_drop_model('labels');
DROP TABLE line, class;
DROP FUNCTION rows_of, plan_of, compare;
