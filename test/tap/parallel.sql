-- test/tap/parallel.sql - every view and every function of the extension in parallel plans: in a worker, for each row in the workers, in a
-- subquery that the leader runs while the plan is parallel, and above Gather. Each gives there what it gives in a serial plan.
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
CREATE TABLE many AS SELECT n FROM generate_series(1, 60) n;
ALTER TABLE many SET (parallel_workers = 2);
GRANT SELECT ON line, many TO gpt_reader;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 262) AS vocabulary \gset
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 2, "batch_size": 8, "seed": 1}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a model is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, label FROM line', '{"into": "c", "steps": 2}') AS classifier \gset
SELECT is(gpt_wait(:classifier, '60 s'), 'succeeded', 'a classifier is trained');
SELECT gpt_finetune('m', 'SELECT body FROM line', '{"into": "a", "steps": 2, "method": "lora", "rank": 2}') AS adapter \gset
SELECT is(gpt_wait(:adapter, '60 s'), 'succeeded', 'an adapter is trained');
SELECT count(gpt_grant(model, 'gpt_reader')::text) AS granted FROM gpt_models \gset
SELECT gpt_score('m', 'line') AS score \gset

-- Functions and views: what is declared (volatility, strictness, parallel safety, who may execute), and a call: scalars as they are, rows and
-- views as an item of FROM. Triggers and the parts of gpt_perplexity cannot be called.
CREATE TABLE called (signature text, declared text, scalar text, rows text);
INSERT INTO called VALUES
	('gpt_generate(model text, prompt text, max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint)', 'volatile, called on null, safe, public',
		$$gpt_generate('m', 'line', 3, seed => 1)$$, NULL),
	('gpt_generate(model text, prompt text[], max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint)', 'volatile, called on null, safe, public',
		$$gpt_generate('m', ARRAY['line', 'x'], 3, seed => 1)$$, NULL),
	('gpt_stream(model text, prompt text, max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint, OUT "position" integer, OUT token integer, OUT text text)', 'volatile, called on null, safe, public',
		NULL, $$gpt_stream('m', 'line', 3, seed => 1)$$),
	('gpt_score(model text, input text, metric text, include_end boolean)', 'stable, called on null, safe, public', $$gpt_score('a', 'line')$$, NULL),
	('gpt_score(model text, input text[], metric text, include_end boolean)', 'stable, called on null, safe, public',
		$$gpt_score('m', ARRAY['line', 'x'])$$, NULL),
	('gpt_logprob(model text, prompt text, completion text, include_end boolean)', 'stable, called on null, safe, public',
		$$gpt_logprob('m', 'line', ' 1')$$, NULL),
	('gpt_classify(model text, input text)', 'stable, strict, safe, public', $$gpt_classify('c', 'line 1')$$, NULL),
	('gpt_classify(model text, input text[])', 'stable, strict, safe, public', $$gpt_classify('c', ARRAY['line 1', 'x'])$$, NULL),
	('gpt_classify_probs(model text, input text, OUT label text, OUT probability real)', 'stable, strict, safe, public',
		NULL, $$gpt_classify_probs('c', 'line 1')$$),
	('gpt_choose(model text, prompt text, choices text[])', 'stable, strict, safe, public', $$gpt_choose('m', 'line', ARRAY[' 1', ' 2'])$$, NULL),
	('gpt_embed(model text, input text, pooling text, normalized boolean)', 'stable, called on null, safe, public', $$gpt_embed('m', 'line')$$, NULL),
	('gpt_embed(model text, input text[], pooling text, normalized boolean)', 'stable, called on null, safe, public',
		NULL, $$gpt_embed('m', ARRAY['line', 'x'])$$),
	('gpt_perplexity(model text, input text)', NULL, NULL, $$(SELECT gpt_perplexity('m', 'line ' || n) FROM many)$$),
	('gpt_perplexity(model text, input text, include_end boolean)', NULL, NULL, $$(SELECT gpt_perplexity('m', 'line ' || n, true) FROM many)$$),
	('gpt_tokenize(model_or_tokenizer text, input text)', 'stable, strict, safe, public', $$gpt_tokenize('m', 'line')$$, NULL),
	('gpt_detokenize(model_or_tokenizer text, tokens integer[])', 'stable, strict, safe, public', $$gpt_detokenize('m', ARRAY[70])$$, NULL),
	('gpt_count_tokens(model_or_tokenizer text, input text)', 'stable, strict, safe, public', $$gpt_count_tokens('m', 'line')$$, NULL),
	('gpt_options(function text, OUT option text, OUT type text, OUT default_value text, OUT minimum text, OUT maximum text, OUT description text)', 'stable, called on null, safe, public',
		NULL, 'gpt_options()'),
	('gpt_version()', 'stable, called on null, safe, public', 'gpt_version()', NULL),
	('gpt_can_use(object oid, run_id uuid)', 'stable, called on null, safe, public',
		format('gpt_can_use(%s)', (SELECT weights FROM gpt_models WHERE model = 'm')), NULL),
	('gpt_object_owner(object oid)', 'stable, strict, safe, public',
		format('gpt_object_owner(%s)', (SELECT weights FROM gpt_models WHERE model = 'm')), NULL),
	('gpt_job_owner(owner oid, system_identifier bigint)', 'stable, strict, safe, public',
		format('gpt_job_owner(10, %s)', (SELECT system_identifier FROM pg_control_system())), NULL),
	('gpt_job_note(state text, note text)', 'stable, called on null, restricted, public', $$gpt_job_note('queued', 'note')$$, NULL),
	('gpt_progress_rows()', 'stable, called on null, restricted, public', NULL, 'gpt_progress_rows()'),
	('gpt_image_rows(OUT model text, OUT version integer, OUT type text, OUT size bigint, OUT created_at timestamp with time zone, OUT last_used_at timestamp with time zone)', 'volatile, called on null, restricted, public',
		NULL, '(SELECT model, version, type, size FROM gpt_image_rows())'),
	('gpt_train(model text, query text, options jsonb)', 'volatile, called on null, unsafe, granted',
		$$gpt_train('new', 'SELECT body FROM line') > 0$$, NULL),
	('gpt_finetune(model text, query text, options jsonb)', 'volatile, called on null, unsafe, granted',
		$$gpt_finetune('m', 'SELECT body FROM line', '{"into": "new"}') > 0$$, NULL),
	('gpt_wait(job bigint, timeout interval)', 'volatile, called on null, unsafe, public', format('gpt_wait(%s)', :classifier), NULL),
	('gpt_cancel(job bigint)', 'volatile, called on null, unsafe, public', format('gpt_cancel(%s)', :classifier), NULL),
	('gpt_resume(job bigint)', 'volatile, called on null, unsafe, public', format('gpt_resume(%s)', :classifier), NULL),
	('gpt_forget_jobs(older_than interval)', 'volatile, called on null, unsafe, public', $$gpt_forget_jobs('1 year')$$, NULL),
	('gpt_evaluate(model text, query text, options jsonb, OUT metric text, OUT label text, OUT predicted text, OUT value double precision)', 'volatile, called on null, unsafe, public',
		NULL, $$gpt_evaluate('m', 'SELECT body FROM line')$$),
	('gpt_train_tokenizer(name text, query text, vocabulary integer, options jsonb)', 'volatile, called on null, unsafe, granted',
		$$gpt_train_tokenizer('new', 'SELECT body FROM line', 262)$$, NULL),
	('gpt_import_tokenizer(name text, json text)', 'volatile, called on null, unsafe, public', $$gpt_import_tokenizer('new', '{}')$$, NULL),
	('gpt_drop_tokenizer(name text)', 'volatile, called on null, unsafe, public', $$gpt_drop_tokenizer('t')$$, NULL),
	('gpt_drop_model(model text)', 'volatile, called on null, unsafe, public', $$gpt_drop_model('c')$$, NULL),
	('gpt_drop_model(model text, cascade boolean)', 'volatile, called on null, unsafe, public', $$gpt_drop_model('m', true)$$, NULL),
	('gpt_drop_version(model text, version integer)', 'volatile, called on null, unsafe, public', $$gpt_drop_version('m', 1)$$, NULL),
	('gpt_merge(model text)', 'volatile, called on null, unsafe, public', $$gpt_merge('a')$$, NULL),
	('gpt_rollback(model text, version integer)', 'volatile, called on null, unsafe, public', $$gpt_rollback('m', 1)$$, NULL),
	('gpt_rename_model(model text, new_name text)', 'volatile, called on null, unsafe, public', $$gpt_rename_model('m', 'new')$$, NULL),
	('gpt_copy_model(model text, new_name text)', 'volatile, called on null, unsafe, public', $$gpt_copy_model('m', 'new')$$, NULL),
	('gpt_grant(model text, role text)', 'volatile, called on null, unsafe, public', $$gpt_grant('m', 'gpt_reader')$$, NULL),
	('gpt_revoke(model text, role text)', 'volatile, called on null, unsafe, public', $$gpt_revoke('m', 'gpt_reader')$$, NULL),
	('gpt_set_image_type(model text, type text)', 'volatile, called on null, unsafe, public', $$gpt_set_image_type('m', 'int8')$$, NULL),
	('gpt_check(verify boolean, OUT kind text, OUT object text, OUT detail text)', 'volatile, called on null, unsafe, public', NULL, 'gpt_check(true)'),
	('gpt_perplexity_step(state internal, model text, input text)', 'stable, called on null, safe, granted', NULL, NULL),
	('gpt_perplexity_step(state internal, model text, input text, include_end boolean)', 'stable, called on null, safe, granted', NULL, NULL),
	('gpt_perplexity_combine(state internal, other internal)', 'stable, called on null, safe, granted', NULL, NULL),
	('gpt_perplexity_serialize(state internal)', 'stable, strict, safe, granted', NULL, NULL),
	('gpt_perplexity_deserialize(bytes bytea, state internal)', 'stable, strict, safe, granted', NULL, NULL),
	('gpt_perplexity_value(state internal)', 'stable, called on null, safe, granted', NULL, NULL),
	('gpt_copied_job_trigger()', 'volatile, called on null, unsafe, granted', NULL, NULL),
	('gpt_drop_extension_trigger()', 'volatile, called on null, unsafe, granted', NULL, NULL),
	('gpt_models', NULL, NULL, 'gpt_models'), ('gpt_versions', NULL, NULL, 'gpt_versions'), ('gpt_tokenizers', NULL, NULL, 'gpt_tokenizers'),
	('gpt_images', NULL, NULL, '(SELECT model, version, type, size FROM gpt_images)'), ('gpt_jobs', NULL, NULL, 'gpt_jobs'), ('gpt_train_log', NULL, NULL, 'gpt_train_log'), ('gpt_stat_progress_train', NULL, NULL, 'gpt_stat_progress_train');

CREATE VIEW found AS
	SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS signature, p.prokind, concat_ws(', ',
		CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END,
		CASE WHEN proisstrict THEN 'strict' ELSE 'called on null' END,
		CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
		CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'public' ELSE 'granted' END) AS declared,
		p.proparallel::text AS hazard,
		p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.proname NOT LIKE 'gpt\_perplexity\__%' AS callable
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
CREATE TABLE place (place text, of_scalar text, of_rows text, settings text, wanted text);
INSERT INTO place VALUES
	('in a worker', 'SELECT (%s)::text FROM (VALUES (1)) v (n)', $$SELECT string_agg(x::text, ',' ORDER BY x::text) FROM %s x$$, format('SET LOCAL %s = on', :'force'), '%Gather%'),
	('for each row in the workers', $$SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM (SELECT CASE WHEN n > 0 THEN (%s)::text END AS v FROM many) s$$,
		$$SELECT count(*) || ' ' || min(x::text) || ' ' || max(x::text) FROM many LEFT JOIN %s x ON n > 0$$, 'SET LOCAL parallel_leader_participation = off', '%Gather%Partial Aggregate%many%'),
	('in a subquery of the leader', $$SELECT count(*) || ' ' || min(v) FROM (SELECT n, (SELECT (%s)::text FROM (VALUES (1)) v (n) OFFSET 0) AS v FROM many) s WHERE v > '' OR n > 0$$,
		$$SELECT count(*) || ' ' || min(v) FROM (SELECT n, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM %s x) AS v FROM many) s WHERE v > '' OR n > 0$$,
		'SET LOCAL parallel_leader_participation = on', '%Gather%many%'),
	('above Gather', $$SELECT n || ' ' || (%s)::text FROM (SELECT count(*)::integer AS n FROM many) s$$,
		$$SELECT n || ' ' || string_agg(x::text, ',' ORDER BY x::text) FROM (SELECT count(*)::integer AS n FROM many) s, %s x GROUP BY n$$,
		'SET LOCAL parallel_leader_participation = on', '%Gather%many%');
CREATE VIEW trial AS
	SELECT m.name, m.hazard, p.place, p.wanted, p.settings || '; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; '
			'SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL max_parallel_workers_per_gather = 2' AS settings,
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
