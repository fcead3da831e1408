-- test/tap/functions.sql - what is declared about the extension's functions, tables and views.
SELECT no_plan();

CREATE TEMP VIEW member AS
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gpt');

CREATE TEMP VIEW member_function AS
	SELECT p.*, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS signature
	FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid AND p.prokind = 'f';

CREATE TEMP VIEW member_relation AS
	SELECT c.* FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- functions: volatility, strictness, parallel safety, who may execute
CREATE TEMP TABLE wanted (signature text, declared text);
INSERT INTO wanted VALUES
	('gpt_train(model text, query text, options jsonb)', 'volatile, called on null, unsafe, granted'),
	('gpt_finetune(model text, query text, options jsonb)', 'volatile, called on null, unsafe, granted'),
	('gpt_wait(job bigint, timeout interval)', 'volatile, called on null, unsafe, public'),
	('gpt_cancel(job bigint)', 'volatile, called on null, unsafe, public'),
	('gpt_resume(job bigint)', 'volatile, called on null, unsafe, public'),
	('gpt_forget_jobs(older_than interval)', 'volatile, called on null, unsafe, public'),
	('gpt_options(function text, OUT option text, OUT type text, OUT default_value text, OUT minimum text, OUT maximum text, OUT description text)',
		'stable, called on null, safe, public'),
	('gpt_generate(model text, prompt text, max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint)', 'volatile, called on null, safe, public'),
	('gpt_generate(model text, prompt text[], max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint)', 'volatile, called on null, safe, public'),
	('gpt_stream(model text, prompt text, max_tokens integer, temperature double precision, top_k integer, top_p double precision, '
		|| 'min_p double precision, repetition_penalty double precision, stop text[], seed bigint, OUT "position" integer, OUT token integer, OUT text text)',
		'volatile, called on null, safe, public'),
	('gpt_score(model text, input text, metric text, include_end boolean)', 'stable, called on null, safe, public'),
	('gpt_score(model text, input text[], metric text, include_end boolean)', 'stable, called on null, safe, public'),
	('gpt_classify(model text, input text[])', 'stable, strict, safe, public'),
	('gpt_embed(model text, input text[], pooling text, normalized boolean)', 'stable, called on null, safe, public'),
	('gpt_perplexity_step(state internal, model text, input text)', 'stable, called on null, safe, granted'),
	('gpt_perplexity_step(state internal, model text, input text, include_end boolean)', 'stable, called on null, safe, granted'),
	('gpt_perplexity_combine(state internal, other internal)', 'stable, called on null, safe, granted'),
	('gpt_perplexity_serialize(state internal)', 'stable, strict, safe, granted'),
	('gpt_perplexity_deserialize(bytes bytea, state internal)', 'stable, strict, safe, granted'),
	('gpt_perplexity_value(state internal)', 'stable, called on null, safe, granted'),
	('gpt_classify(model text, input text)', 'stable, strict, safe, public'),
	('gpt_classify_probs(model text, input text, OUT label text, OUT probability real)', 'stable, strict, safe, public'),
	('gpt_choose(model text, prompt text, choices text[])', 'stable, strict, safe, public'),
	('gpt_embed(model text, input text, pooling text, normalized boolean)', 'stable, called on null, safe, public'),
	('gpt_logprob(model text, prompt text, completion text, include_end boolean)', 'stable, called on null, safe, public'),
	('gpt_evaluate(model text, query text, options jsonb, OUT metric text, OUT label text, OUT predicted text, OUT value double precision)',
		'volatile, called on null, unsafe, public'),
	('gpt_tokenize(model_or_tokenizer text, input text)', 'stable, strict, safe, public'),
	('gpt_detokenize(model_or_tokenizer text, tokens integer[])', 'stable, strict, safe, public'),
	('gpt_count_tokens(model_or_tokenizer text, input text)', 'stable, strict, safe, public'),
	('gpt_train_tokenizer(name text, query text, vocabulary integer, options jsonb)', 'volatile, called on null, unsafe, granted'),
	('gpt_import_tokenizer(name text, json text)', 'volatile, called on null, unsafe, public'),
	('gpt_drop_tokenizer(name text)', 'volatile, called on null, unsafe, public'),
	('gpt_drop_model(model text)', 'volatile, called on null, unsafe, public'),
	('gpt_drop_model(model text, cascade boolean)', 'volatile, called on null, unsafe, public'),
	('gpt_drop_version(model text, version integer)', 'volatile, called on null, unsafe, public'),
	('gpt_merge(model text)', 'volatile, called on null, unsafe, public'),
	('gpt_rollback(model text, version integer)', 'volatile, called on null, unsafe, public'),
	('gpt_rename_model(model text, new_name text)', 'volatile, called on null, unsafe, public'),
	('gpt_copy_model(model text, new_name text)', 'volatile, called on null, unsafe, public'),
	('gpt_grant(model text, role text)', 'volatile, called on null, unsafe, public'),
	('gpt_revoke(model text, role text)', 'volatile, called on null, unsafe, public'),
	('gpt_set_image_type(model text, type text)', 'volatile, called on null, unsafe, public'),
	('gpt_image_rows(OUT model text, OUT version integer, OUT type text, OUT size bigint, OUT created_at timestamp with time zone, OUT last_used_at timestamp with time zone)',
		'volatile, called on null, restricted, public'),
	('gpt_check(verify boolean, OUT kind text, OUT object text, OUT detail text)', 'volatile, called on null, unsafe, public'),
	('gpt_version()', 'stable, called on null, safe, public'),
	('gpt_can_use(object oid, run_id uuid)', 'stable, called on null, safe, public'),
	('gpt_object_owner(object oid)', 'stable, strict, safe, public'),
	('gpt_job_note(state text, note text)', 'stable, called on null, restricted, public'),
	('gpt_job_owner(owner oid, system_identifier bigint)', 'stable, strict, safe, public'),
	('gpt_progress_rows()', 'stable, called on null, restricted, public'),
	('gpt_copied_job_trigger()', 'volatile, called on null, unsafe, granted'),
	('gpt_drop_extension_trigger()', 'volatile, called on null, unsafe, granted');

CREATE TEMP VIEW found AS
	SELECT signature, concat_ws(', ',
		CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END,
		CASE WHEN proisstrict THEN 'strict' ELSE 'called on null' END,
		CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
		CASE WHEN has_function_privilege('public', oid, 'EXECUTE') THEN 'public' ELSE 'granted' END) AS declared
	FROM member_function;

SELECT is(found.declared, wanted.declared, wanted.signature || ' is ' || wanted.declared)
FROM wanted LEFT JOIN found USING (signature) ORDER BY signature;
SELECT is_empty('SELECT signature FROM found EXCEPT SELECT signature FROM wanted', 'no other function belongs to the extension');
SELECT is_empty('SELECT signature FROM member_function WHERE prosecdef', 'no function is SECURITY DEFINER');
SELECT results_eq($$SELECT p.oid::regprocedure::text || ' ' || p.proparallel::text FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
	WHERE p.prokind = 'a' ORDER BY 1$$, $$SELECT regexp_replace('gpt_perplexity(text,text)'::regprocedure::text, '\(.*', '') || arguments
	FROM (VALUES ('(text,text) s'), ('(text,text,boolean) s')) v (arguments) ORDER BY 1$$, 'the aggregates are gpt_perplexity, parallel safe');
SELECT is_empty($$SELECT signature FROM member_function f JOIN pg_language l ON l.oid = f.prolang WHERE lanname <> 'c'$$,
	'every function is written in C');
SELECT is_empty('SELECT signature FROM member_function WHERE prosrc <> proname', 'every function is the C function of its name');
SELECT is_empty($$SELECT signature FROM member_function
	WHERE pronargs > 0 AND (proargnames IS NULL OR '' = ANY (proargnames))$$, 'every argument has a name');

-- tables and views
SELECT is_empty($$SELECT relname FROM member_relation r
	WHERE relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = r.oid AND indisprimary)$$,
	'every table has a primary key');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind IN ('r', 'S') AND has_table_privilege('public', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')$$,
	'nobody but the owner has a privilege on a table');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind = 'v' AND NOT has_table_privilege('public', oid, 'SELECT')$$, 'everybody may read the views');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind = 'v' AND has_table_privilege('public', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')$$,
	'nobody may write through the views');
SELECT is_empty('SELECT relname FROM member_relation WHERE relrowsecurity', 'no table has row security');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind = 'v' AND NOT 'security_barrier=true' = ANY (coalesce(reloptions, '{}'))$$, 'every view is a security barrier');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind IN ('r', 'S') AND relpersistence = 'p'
		AND oid <> ALL ((SELECT extconfig FROM pg_extension WHERE extname = 'gpt')::oid[])$$,
	'pg_dump dumps the rows of every logged table and the state of every sequence');
SELECT is_empty($$SELECT relname FROM member_relation WHERE relname !~ '^gpt_'$$, 'every relation has the prefix gpt_');

-- names that scripts rely on
SELECT is((SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = w.view::regclass AND attnum > 0 AND attnum <= cardinality(string_to_array(w.columns, ', '))),
	w.columns, 'the first columns of ' || w.view)
FROM (VALUES
	('gpt_jobs', 'job, model, kind, state, owner, step, steps, documents, skipped, bytes, corpus_tokens, tries, error, created_at, started_at, finished_at'),
	('gpt_train_log', 'job, step, loss, validation_loss, validation_bits_per_byte, learning_rate, grad_norm, tokens_per_second, at'),
	('gpt_stat_progress_train', 'job, pid, model, phase, step, steps, loss, validation_loss, validation_bits_per_byte, tokens_per_second, seconds_left'),
	('gpt_models', 'model, version, current, task, labels, owner, architecture, parameters, context, vocabulary, tokenizer, loss, validation_loss, validation_bits_per_byte, job, query_sha256, options, watermark, base, image_type, size, weights, created_at'),
	('gpt_images', 'model, version, type, size, created_at, last_used_at'),
	('gpt_versions', 'model, version, current, state, task, labels, owner, architecture, parameters, context, vocabulary, tokenizer, loss, validation_loss, validation_bits_per_byte, job, query_sha256, options, watermark, base, size, weights, created_at')
) AS w(view, columns);

-- comments
SELECT is_empty($$SELECT signature FROM member_function WHERE obj_description(oid, 'pg_proc') IS NULL$$, 'every function has a comment');
SELECT is_empty($$SELECT relname FROM member_relation
	WHERE relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL$$, 'every table and view has a comment');
SELECT is_empty($$SELECT relname || '.' || attname FROM member_relation r JOIN pg_attribute a ON a.attrelid = r.oid
	WHERE relkind = 'v' AND attnum > 0 AND col_description(r.oid, attnum) IS NULL$$, 'every column of a view has a comment');
SELECT is_empty($$SELECT evtname FROM pg_event_trigger t JOIN member m ON m.objid = t.oid
	WHERE m.classid = 'pg_event_trigger'::regclass AND obj_description(t.oid, 'pg_event_trigger') IS NULL$$,
	'every event trigger has a comment');

-- settings
SELECT is_empty($$SELECT name FROM pg_settings WHERE name LIKE 'gpt.%' AND short_desc !~ '^[A-Z][a-z]+s .*\.$'$$,
	'the description of every setting is a sentence that starts with a verb');
SELECT set_eq($$SELECT name, context FROM pg_settings WHERE name LIKE 'gpt.%'$$, $$VALUES
	('gpt.max_workers', 'sighup'), ('gpt.train_threads', 'superuser'), ('gpt.threads', 'superuser'), ('gpt.max_memory', 'superuser'), ('gpt.max_image_size', 'sighup'),
	('gpt.nice', 'sighup'), ('gpt.read_timeout', 'superuser'), ('gpt.max_corpus_size', 'superuser'), ('gpt.autostart', 'sighup'), ('gpt.checkpoint_interval', 'sighup'), ('gpt.checkpoint_retention', 'sighup'), ('gpt.publish_interval', 'sighup'),
	('gpt.blas_library', 'superuser'), ('gpt.batching', 'user'), ('gpt.batch_rows', 'user')$$, 'settings and who may change them');

-- what 0 stands for is shown, of the default too; 0 is still what was asked for
SELECT cmp_ok(pg_size_bytes(current_setting(name)), '>', 1000000::bigint, name || ' shows the value in force')
FROM unnest(ARRAY['gpt.max_memory', 'gpt.max_image_size']) name;
SELECT cmp_ok(current_setting('gpt.train_threads')::integer, '>=', 1, 'gpt.train_threads shows the value in force');
SELECT is_empty($$SELECT name FROM pg_settings WHERE name IN ('gpt.max_memory', 'gpt.max_image_size', 'gpt.train_threads')
	AND (setting::bigint < 1 OR setting <> reset_val OR boot_val <> '0' OR pg_size_bytes(setting || coalesce(unit, '')) <> pg_size_bytes(current_setting(name)))$$,
	'pg_settings says the same, with the unit of the setting');
SELECT current_setting('gpt.max_memory') AS by_default \gset
SET gpt.max_memory = '123MB';
SELECT is(current_setting('gpt.max_memory'), '123MB', 'a value that is given is shown');
SET gpt.max_memory = 0;
SELECT is(current_setting('gpt.max_memory'), :'by_default', '0 is what the machine gives');
CREATE ROLE gpt_zero;
ALTER ROLE gpt_zero SET gpt.max_memory = 0;
SELECT is((SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = 'gpt_zero'::regrole), '{gpt.max_memory=0}', 'what is kept for a role, and dumped, is the 0');
DROP ROLE gpt_zero;

SELECT * FROM finish();
