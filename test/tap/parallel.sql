-- test/tap/parallel.sql - every view and every function of the extension in parallel plans: in a worker, for each row in the workers, in a
-- subquery that the leader runs while the plan is parallel, and above Gather. Each gives there what it gives in a serial plan.
-- One schema is enough: a worker finds the schema as a session does, and matrix.sql calls every function in the second schema.
SELECT no_plan();
SET client_min_messages = error;
SET jit = off;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_reader;
CREATE SCHEMA gpt_parallel;
GRANT USAGE, CREATE ON SCHEMA gpt_parallel, :schema TO gpt_reader;
SET search_path = gpt_parallel, :schema, public;

-- A language model, a classifier, an adapter, a named tokenizer and an image.
CREATE TABLE line AS SELECT 'line ' || i AS body, (ARRAY['even', 'odd'])[i % 2 + 1] AS label FROM generate_series(1, 40) i;
CREATE TABLE many AS SELECT n FROM generate_series(1, 20) n;
ALTER TABLE many SET (parallel_workers = 2);
GRANT SELECT ON line, many TO gpt_reader;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 262}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a tokenizer is trained');
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 2, "batch_size": 8, "seed": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, label FROM line', '{"into": "c", "steps": 2}') AS classifier \gset
SELECT is(gpt_wait(:classifier, '300 s'), 'succeeded', 'a classifier is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, length(label)::float8 AS label FROM line', '{"into": "n", "steps": 2}') AS number \gset
SELECT is(gpt_wait(:number, '300 s'), 'succeeded', 'a regression model is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, label AS other, label FROM line', '{"into": "p", "steps": 2}') AS pairs \gset
SELECT is(gpt_wait(:pairs, '300 s'), 'succeeded', 'a classifier of pairs is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, label AS other, 1.5 AS label FROM line', '{"into": "q", "steps": 2}') AS pair_numbers \gset
SELECT is(gpt_wait(:pair_numbers, '300 s'), 'succeeded', 'and a regression model of pairs');
SELECT gpt_finetune('m', 'SELECT body FROM line', '{"into": "a", "steps": 2, "method": "lora", "rank": 2}') AS adapter \gset
SELECT is(gpt_wait(:adapter, '300 s'), 'succeeded', 'an adapter is trained');
SELECT count(gpt_grant(model, 'gpt_reader')::text) AS granted FROM gpt_models \gset
UPDATE gpt_version SET config = config || '{"chat": "chatml"}' WHERE model = 'm';
SELECT gpt_score('m', 'line') AS score \gset

\ir calls.psql
UPDATE called SET scalar = replace(replace(replace(scalar, 'WEIGHTS', (SELECT weights FROM gpt_models WHERE model = 'm')::text), 'JOB', :'classifier'),
	'SYSTEM', (SELECT system_identifier FROM pg_control_system())::text);
CREATE VIEW found AS
	-- 17 quotes json, which is a keyword there
	SELECT p.proname || '(' || replace(pg_get_function_identity_arguments(p.oid), '"json"', 'json') || ')' AS signature, p.prokind, concat_ws(', ',
		CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END,
		CASE WHEN proisstrict THEN 'strict' ELSE 'called on null' END,
		CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
		CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'public' ELSE 'granted' END) AS declared,
		p.proparallel::text AS hazard,
		p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.proname NOT LIKE 'gpt\_perplexity\__%'
			AND p.proname NOT LIKE 'gpt\_texts\__%' AND p.proargtypes[0] IS DISTINCT FROM 'internal'::regtype AS callable
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'gpt';
SELECT is(found.declared, called.declared, signature || ' is ' || called.declared)
FROM called LEFT JOIN found USING (signature) WHERE called.declared IS NOT NULL ORDER BY signature;
SELECT is_empty($$SELECT signature FROM found WHERE prokind = 'f' EXCEPT SELECT signature FROM called WHERE declared IS NOT NULL$$,
	'no other function belongs to the extension');

CREATE TABLE member AS
	SELECT signature AS name, c.scalar, c.rows, m.hazard FROM called c FULL JOIN (
		SELECT signature, hazard FROM found WHERE callable
		UNION ALL
		SELECT c.relname, CASE WHEN EXISTS (SELECT FROM pg_depend r JOIN pg_rewrite w ON w.oid = r.objid JOIN pg_proc p ON p.oid = r.refobjid
				WHERE r.classid = 'pg_rewrite'::regclass AND w.ev_class = c.oid AND r.refclassid = 'pg_proc'::regclass AND p.proparallel <> 's') THEN 'r' ELSE 's' END
		FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
			JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'gpt'
		WHERE c.relkind = 'v') m USING (signature)
	WHERE m.signature IS NOT NULL OR c.scalar IS NOT NULL OR c.rows IS NOT NULL;
SELECT is(ARRAY(SELECT name FROM member WHERE scalar IS NULL AND rows IS NULL OR hazard IS NULL), '{}', 'each function and each view is called here, and is there');

-- Runs a query with settings and undoes what it did; its answer or its error, and its plan.
CREATE FUNCTION try(query text, settings text, OUT answer text, OUT plan text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	EXECUTE settings;
	plan := '';
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	BEGIN
		EXECUTE query INTO answer;
		RAISE EXCEPTION 'undone' USING ERRCODE = 'UN000';
	EXCEPTION
		WHEN SQLSTATE 'UN000' THEN
			NULL;
		WHEN OTHERS THEN
			answer := sqlstate || ' ' || sqlerrm;
	END;
END $$;

SELECT CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END AS force \gset
-- At their own cost, one call outweighs the whole scan, and the planner may give both to a single worker.
ALTER FUNCTION gpt_choose_probs(text, text, text[], text, boolean, text) COST 1000;
ALTER FUNCTION gpt_choose_probs(gpt_model_version, text, text[], text, boolean, text) COST 1000;
ALTER FUNCTION gpt_explain COST 1000;
ALTER FUNCTION gpt_generate_many COST 1000;
ALTER FUNCTION gpt_attention COST 1000;
-- Where the workers compute nothing of ours, one is enough.
CREATE TABLE place (place text, of_scalar text, of_rows text, settings text, wanted text);
INSERT INTO place VALUES
	('in a worker', 'SELECT (%s)::text FROM (VALUES (1)) v (n)', $$SELECT string_agg(x::text, ',' ORDER BY x::text) FROM %s x$$, format('SET LOCAL %s = on; SET LOCAL max_parallel_workers_per_gather = 1', :'force'), '%Gather%'),
	('for each row in the workers', $$SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM (SELECT CASE WHEN n > 0 THEN (%s)::text END AS v FROM many) s$$,
		$$SELECT count(*) || ' ' || min(x::text) || ' ' || max(x::text) FROM many LEFT JOIN %s x ON n > 0$$, 'SET LOCAL parallel_leader_participation = off; SET LOCAL max_parallel_workers_per_gather = 2', '%Gather%Partial Aggregate%many%'),
	('in a subquery of the leader', $$SELECT count(*) || ' ' || min(v) FROM (SELECT n, (SELECT (%s)::text FROM (VALUES (1)) v (n) OFFSET 0) AS v FROM many) s WHERE v > '' OR n > 0$$,
		$$SELECT count(*) || ' ' || min(v) FROM (SELECT n, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM %s x) AS v FROM many) s WHERE v > '' OR n > 0$$,
		'SET LOCAL parallel_leader_participation = on; SET LOCAL max_parallel_workers_per_gather = 1', '%Gather%many%'),
	('above Gather', $$SELECT n || ' ' || (%s)::text FROM (SELECT count(*)::integer AS n FROM many) s$$,
		$$SELECT n || ' ' || string_agg(x::text, ',' ORDER BY x::text) FROM (SELECT count(*)::integer AS n FROM many) s, %s x GROUP BY n$$,
		'SET LOCAL parallel_leader_participation = on; SET LOCAL max_parallel_workers_per_gather = 1', '%Gather%many%');
CREATE VIEW trial AS
	SELECT m.name, m.hazard, p.place, p.wanted, p.settings || '; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; '
			'SET LOCAL min_parallel_table_scan_size = 0' AS settings,
		CASE WHEN m.scalar IS NOT NULL THEN format(p.of_scalar, m.scalar) ELSE format(p.of_rows, m.rows) END AS query
	FROM member m, place p WHERE m.hazard <> 'u' OR p.place IN ('in a worker', 'in a subquery of the leader');
GRANT SELECT ON trial TO gpt_reader;

CREATE FUNCTION check_trials(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t record;
	parallel record;
	serial record;
BEGIN
	FOR t IN SELECT * FROM trial WHERE who = 'the owner' OR hazard <> 'u' AND place IN ('in a worker', 'in a subquery of the leader') ORDER BY name, place LOOP
		parallel := try(t.query, t.settings);
		serial := try(t.query, 'SET LOCAL max_parallel_workers_per_gather = 0');
		RETURN NEXT is(parallel.answer, serial.answer, format('%s, %s: %s gives what it gives in a serial plan', who, t.place, t.name));
		IF t.hazard <> 'u' THEN
			RETURN NEXT doesnt_match(coalesce(serial.answer, ''), '^[0-9A-Z]{5} [a-z]', 'which is no error');
		END IF;
		-- What the planner spreads of a view, or of a query with two aggregates, is its choice.
		IF t.hazard = 'u' THEN
			RETURN NEXT unalike(parallel.plan, '%Gather%', 'and the plan was serial');
		ELSIF t.place IN ('in a subquery of the leader', 'above Gather') THEN
			RETURN NEXT alike(parallel.plan, '%Gather%many%', 'and the plan was the one to be tested');
		ELSIF t.hazard = 's' THEN
			RETURN NEXT alike(parallel.plan, CASE WHEN t.name ~ '[(]' AND t.name !~ 'perplexity' THEN t.wanted ELSE '%Gather%' END,
				'and the plan was the one to be tested');
		END IF;
	END LOOP;
END $$;

-- For the time of this transaction a job runs, as far as the views can see.
BEGIN;
UPDATE :schema.gpt_job SET state = 'running' WHERE job = :job;
INSERT INTO :schema.gpt_progress (job, pid, phase, step, updated_at) VALUES (:job, 1, 'training', 1, now())
	ON CONFLICT (job) DO UPDATE SET phase = excluded.phase;
SELECT isnt((SELECT min(job) FROM gpt_stat_progress_train), NULL, 'a view of running jobs has a row');
SELECT isnt((SELECT min(model) FROM gpt_images), NULL, 'and so has that of images');
SELECT check_trials('the owner');
SET LOCAL ROLE gpt_reader;
SELECT check_trials('another role');
RESET ROLE;
UPDATE :schema.gpt_job SET state = 'succeeded' WHERE job = :job;
COMMIT;

DROP OWNED BY gpt_reader CASCADE;
DROP ROLE gpt_reader;
SELECT * FROM finish();
