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

-- functions; test/tap/parallel.sql has what is declared of each
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
	('gpt_train_log', 'job, step, loss, validation_loss, validation_bits_per_byte, learning_rate, grad_norm, tokens_per_second, at, measures'),
	('gpt_stat_progress_train', 'job, pid, model, phase, step, steps, loss, validation_loss, validation_bits_per_byte, tokens_per_second, seconds_left'),
	('gpt_models', 'model, version, current, task, labels, owner, architecture, parameters, context, vocabulary, tokenizer, loss, validation_loss, validation_bits_per_byte, job, query_sha256, options, watermark, base, image_type, size, weights, created_at'),
	('gpt_images', 'model, version, type, size, created_at, last_used_at'),
	('gpt_settings', 'name, setting, unit, effective, source, reason, context, description'),
	('gpt_stat_models', 'model, version, calls, rows, errors, tokens_in, tokens_out, tokens_computed, batches, seconds, first_tokens, first_token_seconds, '
		'prefix_hits, prefix_misses, prefix_tokens, draft_tokens, draft_accepted, image_hits, image_misses, last_used_at, stats_reset, scope'),
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

-- settings, and what they come to
SELECT set_eq('SELECT name FROM gpt_settings', $$SELECT name FROM pg_settings WHERE name LIKE 'gpt.%'$$, 'gpt_settings has each setting');
SELECT is_empty($$SELECT name FROM gpt_settings WHERE effective IS NULL OR description IS NULL$$, 'with what it comes to, and what it does');
SET gpt.max_memory = 0;
SELECT results_eq($$SELECT effective, reason FROM gpt_settings WHERE name = 'gpt.max_memory'$$,
	$$SELECT current_setting('gpt.max_memory'), 'a quarter of the machine''s memory'$$, '0 is a quarter of the memory');
SELECT isnt(current_setting('gpt.max_memory'), '0', 'which SHOW says too');
SET gpt.max_memory = '1GB';
SET gpt.read_timeout = 0;
SELECT results_eq($$SELECT name, setting, unit, effective, source, reason FROM gpt_settings WHERE name IN ('gpt.max_memory', 'gpt.read_timeout') ORDER BY name$$,
	$$VALUES ('gpt.max_memory', '1024', 'MB', '1GB', 'session', NULL), ('gpt.read_timeout', '0', 's', 'no limit', 'session', NULL)$$,
	'a value of the session is what it is, or what its 0 means');
RESET gpt.max_memory;
RESET gpt.read_timeout;
SELECT results_eq($$SELECT effective, reason FROM gpt_settings WHERE name = 'gpt.autostart'$$, $$VALUES ('on', NULL)$$, 'with preload jobs start again');
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset
CREATE ROLE gpt_nobody;
GRANT USAGE ON SCHEMA :schema TO gpt_nobody;
SET ROLE gpt_nobody;
SELECT is_empty($$SELECT name FROM gpt_settings WHERE name = 'gpt.blas_library'$$, 'a setting that a role may not see is hidden from it');
RESET ROLE;
REVOKE USAGE ON SCHEMA :schema FROM gpt_nobody;
DROP ROLE gpt_nobody;
SELECT is_empty($$SELECT name FROM pg_settings WHERE name LIKE 'gpt.%' AND short_desc !~ '^[A-Z][a-z]+s .*\.$'$$,
	'the description of every setting is a sentence that starts with a verb');
SELECT set_eq($$SELECT name, context FROM pg_settings WHERE name LIKE 'gpt.%'$$, $$VALUES
	('gpt.max_workers', 'sighup'), ('gpt.max_maintain_workers', 'sighup'), ('gpt.train_threads', 'superuser'), ('gpt.threads', 'superuser'), ('gpt.max_memory', 'superuser'), ('gpt.max_image_size', 'sighup'),
	('gpt.nice', 'sighup'), ('gpt.gradient_address', 'sighup'), ('gpt.peer_timeout', 'sighup'), ('gpt.read_timeout', 'superuser'), ('gpt.max_corpus_size', 'superuser'), ('gpt.autostart', 'sighup'), ('gpt.checkpoint_interval', 'sighup'), ('gpt.checkpoint_retention', 'sighup'), ('gpt.publish_interval', 'sighup'),
	('gpt.blas_library', 'superuser'), ('gpt.batching', 'user'), ('gpt.batch_rows', 'user'), ('gpt.prompt_cache', 'user'), ('gpt.on_error', 'user')$$, 'settings and who may change them');

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
