-- gpt.batching where the model is a column or another expression: rows, errors and counts of single calls
LOAD 'gpt';
SET max_parallel_workers_per_gather = 0;
SET client_min_messages = warning;
CREATE TABLE line AS SELECT i AS id, CASE WHEN i % 10 = 3 THEN NULL WHEN i % 10 = 7 THEN 'other' WHEN i % 10 = 8 THEN 'root' WHEN i % 10 = 9 THEN 'a1@1'
	ELSE 'a' || i / 10 % 3 END AS model, 'j' || i % 2 AS judge, 'line ' || i || ' of the text' || repeat(' more', i % 9) AS body FROM generate_series(1, 200) i;
ANALYZE line;
\set options '{"layers": 2, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 2, "batch_size": 4}'
\o /dev/null
SELECT gpt_train(model, 'SELECT body FROM line', :'options'::jsonb || jsonb_build_object('seed', seed)) FROM (VALUES ('root', 1), ('other', 2)) v (model, seed);
SELECT gpt_wait(max(job), '300 s') FROM gpt_jobs;
SELECT format($$SELECT gpt_finetune('root', 'SELECT body FROM line', '{"method": "lora", "rank": %s, "steps": 2, "learning_rate": 0.05, "batch_size": 4, "seed": %s, "into": "a%s"}')$$,
	i * 10 + 150, i, i) FROM generate_series(0, 2) i
UNION ALL SELECT format($$SELECT gpt_finetune('root', 'SELECT body AS text, id %% %s AS label FROM line', '{"method": "lora", "rank": %s, "steps": 2, "batch_size": 4, "into": "j%s"}')$$,
	2 + i, 1 + i, i) FROM generate_series(0, 1) i \gexec
SELECT gpt_wait(job, '300 s') FROM gpt_jobs ORDER BY job;
\o
SELECT model, version, base FROM gpt_models ORDER BY model;

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
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan text := '';
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END $$;
CREATE FUNCTION compare(query text, OUT rows bigint, OUT same boolean, OUT batches text, OUT same_tokens boolean) LANGUAGE plpgsql AS $$
DECLARE
	plans text[];
	alone text;
BEGIN
	SET LOCAL gpt.batching = off;
	alone := rows_of(query);
	rows := length(alone) - length(replace(alone, E'\n', ''));
	plans[1] := plan_of(query);
	SET LOCAL gpt.batching = on;
	same := alone = rows_of(query);
	plans[2] := plan_of(query);
	batches := (regexp_match(plans[1], ' Batches: (\d+)'))[1] || ' ' || (regexp_match(plans[2], '\n +Texts: \d+\n +Batches: (\d+)'))[1];
	same_tokens := (regexp_match(plans[1], ' Input Tokens: (\d+)'))[1] = (regexp_match(plans[2], ' Input Tokens: (\d+)'))[1];
END $$;
CREATE FUNCTION outcome(query text, OUT same boolean, OUT rows text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL gpt.batching = off;
	rows := rows_of(query);
	SET LOCAL gpt.batching = on;
	same := rows = rows_of(query);
END $$;

-- rule: rows of each base go together with those of its adapters, 64 rows at a time, with the results of single calls
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT id, gpt_score(model, body) FROM line$$,
	$$SELECT id, gpt_score(model, body, 'logprob'), gpt_embed(model, body) FROM line WHERE id < 60$$,
	$$SELECT id, gpt_generate(model, body, max_tokens => 5, seed => id) FROM line WHERE id < 60$$,
	$$SELECT id, gpt_classify(judge, body) FROM line$$,
	$$SELECT id FROM line WHERE gpt_score(CASE WHEN id % 2 = 0 THEN 'a1' ELSE model END, body) > 1.5$$,
	$$SELECT id, gpt_score('a' || gpt_classify(judge, body), body) FROM line$$,
	$$SELECT id, gpt_score(model, body) FROM line LIMIT 30$$,
	$$SELECT id, gpt_score(('a' || id % 3 || '@1')::gpt_model_version, body) FROM line$$
]) q, LATERAL compare(q) c;

-- rule: a model that does not exist, that the role may not use, or of another kind is an error where plain execution reaches its row
CREATE TABLE wrong AS SELECT id, body, CASE id WHEN 20 THEN 'absent' WHEN 30 THEN 'j1' WHEN 40 THEN 'a@b@c' ELSE 'a' || id % 3 END AS model FROM line WHERE id < 50;
CREATE ROLE regress_gpt_batch_models;
GRANT SELECT ON line, wrong TO regress_gpt_batch_models;
SELECT gpt_grant('a1', 'regress_gpt_batch_models');
SELECT c.*, q FROM unnest(ARRAY[
	$$SELECT count(s) FROM (SELECT gpt_score(model, body) AS s FROM wrong WHERE id < 20 OFFSET 0) t$$,
	$$SELECT gpt_score(model, body) FROM wrong WHERE id < 30$$,
	$$SELECT gpt_score(model, body) FROM wrong WHERE id > 20$$,
	$$SELECT gpt_score(model, body) FROM wrong WHERE id > 30$$,
	$$SELECT count(s) FROM (SELECT CASE WHEN model LIKE 'a_' THEN gpt_score(model, body) END AS s FROM wrong OFFSET 0) t$$,
	$$SELECT gpt_score(model, body), 1 / (id - 12) FROM wrong$$
]) q, LATERAL outcome(q) c;
SET gpt.batching = on;
BEGIN;
DECLARE c CURSOR FOR SELECT id, gpt_score(model, body) > 0 AS scored FROM wrong WHERE id > 17;
FETCH 2 FROM c;
FETCH 5 FROM c;
ROLLBACK;
SET ROLE regress_gpt_batch_models;
SELECT count(gpt_score(model, body)) FROM line WHERE model LIKE 'a1%';
SELECT gpt_score(model, body) > 0 AS scored FROM line WHERE model LIKE 'a%' AND id < 3;
RESET ROLE;

-- rule: each version has the counts of its own calls
CREATE VIEW counts AS SELECT model, calls, rows, errors, tokens_in, tokens_out, first_tokens, prefix_hits + prefix_misses AS texts FROM gpt_stat_models
	WHERE calls > 0 ORDER BY model;
SELECT gpt_stat_reset();
SET gpt.batching = off;
SELECT count(gpt_generate(model, body, max_tokens => 2, temperature => 0)) AS together FROM line WHERE id < 40 \gset
CREATE TABLE alone AS SELECT * FROM counts;
SELECT gpt_stat_reset();
SET gpt.batching = on;
SELECT count(gpt_generate(model, body, max_tokens => 2, temperature => 0)) AS together FROM line WHERE id < 40 \gset
SELECT * FROM counts;
SELECT count(*) AS equal FROM counts JOIN alone USING (model, calls, rows, errors, tokens_in, tokens_out, first_tokens, texts);
SELECT sum(tokens_computed) > 0 AS computed, bool_and(seconds > 0) AS seconds, bool_and(first_token_seconds > 0) AS waited FROM gpt_stat_models WHERE calls > 0;

-- rule: where memory is short fewer models go together; more than fit make room for each other
CREATE VIEW loaded AS SELECT count(*) AS models FROM pg_backend_memory_contexts WHERE ident = 'gpt model';
\c
SET client_min_messages = warning;
SET gpt.batching = on;
CREATE TABLE roomy AS SELECT id, gpt_score(model, body) FROM line;
SELECT * FROM loaded;
\c
SET client_min_messages = warning;
SET gpt.batching = on;
SET max_parallel_workers_per_gather = 0;
SET gpt.max_memory = '2400kB';
CREATE TABLE narrow AS SELECT id, gpt_score(model, body) FROM line;
SELECT models < 5 AS fewer FROM loaded;
SELECT count(*) FROM roomy JOIN narrow USING (id) WHERE roomy.gpt_score IS NOT DISTINCT FROM narrow.gpt_score;
RESET gpt.max_memory;

SELECT gpt_drop_model('root', cascade => true), gpt_drop_model('other');
DROP VIEW counts, loaded;
DROP TABLE line, wrong, alone, roomy, narrow;
DROP FUNCTION rows_of, plan_of, compare, outcome;
DROP ROLE regress_gpt_batch_models;
