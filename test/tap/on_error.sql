-- test/tap/on_error.sql - reasons of NULLs come from parallel workers to the session; and from the plan node.
SELECT no_plan();
SET client_min_messages = error;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained');
CREATE TABLE named AS SELECT i, CASE WHEN i % 10 = 0 THEN 'none' ELSE 'm' END AS model, CASE WHEN i % 25 = 0 THEN 'wrong' ELSE 'tokens' END AS metric
	FROM generate_series(1, 100) i;
ALTER TABLE named SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
SET gpt.on_error = 'null';
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || query; END $$;
SELECT ok(EXISTS (SELECT FROM plan_of('SELECT count(gpt_score(model, ''line'', metric)) FROM named') l WHERE l ~ 'Gather'), 'the plan is parallel');

SELECT is(count(gpt_score(model, 'line', metric)), 88::bigint, 'of 100 rows 10 have no model, and of the others 2 no metric') FROM named;
SELECT results_eq($$SELECT sum(count)::bigint, message FROM gpt_errors() GROUP BY 2 ORDER BY 2$$,
	$$VALUES (4::bigint, 'metric "wrong" does not exist'), (8, 'model "none" does not exist')$$, 'the session has the reasons of its workers');
SELECT count(gpt_score(model, 'line', metric)) FROM named;
SELECT is((SELECT sum(count) FROM gpt_errors(reset => true)), 24::numeric, 'and adds those of the next statement');
SELECT is_empty('SELECT * FROM gpt_errors()', 'until it forgets them');

-- what a transaction that fails has left is not another session's
BEGIN;
SELECT count(gpt_score(model, 'line', metric)) FROM named;
ROLLBACK;
SELECT is_empty('SELECT * FROM gpt_errors()', 'reasons of workers go with a transaction that is rolled back before they are read');

-- the node calls the function again for a row with an error, which counts once
SET max_parallel_workers_per_gather = 0;
SELECT ok(EXISTS (SELECT FROM plan_of('SELECT gpt_score(model, ''line'', metric) FROM named') l WHERE l ~ 'GptBatch'), 'the plan has the node');
SELECT is((SELECT count(s) FROM (SELECT gpt_score(model, 'line', metric) AS s FROM named OFFSET 0) x), 88::bigint, 'rows together are the same');
SELECT results_eq($$SELECT sum(count)::bigint, message FROM gpt_errors() GROUP BY 2 ORDER BY 2$$,
	$$VALUES (4::bigint, 'metric "wrong" does not exist'), (8, 'model "none" does not exist')$$, 'and so are the reasons');
SELECT gpt_drop_model('m');
SELECT * FROM finish();
