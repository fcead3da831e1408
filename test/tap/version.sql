-- test/tap/version.sql - library and installed extension must fit: each function says so where they do not.
SELECT no_plan();
SET client_min_messages = error;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained');
SELECT default_version AS version, replace(default_version, '0.', '0.0.') AS older, '9' || default_version AS newer
FROM pg_available_extensions WHERE name = 'gpt' \gset
SELECT is((SELECT extversion FROM pg_extension WHERE extname = 'gpt'), :'version', 'the installed version is that of gpt.control');
SELECT ok(gpt_version() LIKE 'gpt ' || :'version' || ', %', 'so is that of the library');

SELECT current_setting('server_version_num')::int >= 180000 AS lists_modules \gset
\if :lists_modules
SELECT is(version, :'version', 'pg_get_loaded_modules says it too') FROM pg_get_loaded_modules() WHERE module_name = 'gpt';
\endif

CREATE FUNCTION as_version(number text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	UPDATE pg_extension SET extversion = number WHERE extname = 'gpt';
	EXECUTE command;
	RAISE EXCEPTION USING message = 'no error', errcode = 'P0001';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN sqlstate || ' ' || sqlerrm || ' | ' || hint;
END $$;

SELECT is(as_version(:'older', command),
	format('55000 extension "gpt" is at version %s, but the library needs %s | Call ALTER EXTENSION gpt UPDATE.', :'older', :'version'),
	command || ' with tables of an older version')
FROM (VALUES
	($$SELECT gpt_score('m', 'x')$$), ($$SELECT gpt_generate('m', 'x')$$), ($$SELECT gpt_tokenize('m', 'x')$$),
	($$SELECT gpt_detokenize('m', '{1}')$$), ($$SELECT gpt_count_tokens('m', 'x')$$), ($$SELECT * FROM gpt_models$$), ($$SELECT * FROM gpt_jobs$$),
	($$SELECT gpt_tokenize('bytes', 'x')$$), ($$SELECT * FROM gpt_options()$$), ($$SELECT gpt_train('x', 'SELECT body FROM line')$$),
	($$SELECT gpt_finetune('m', 'SELECT body FROM line')$$), ($$SELECT gpt_wait(1)$$), ($$SELECT gpt_cancel(1)$$),
	($$SELECT gpt_resume(1)$$), ($$SELECT gpt_forget_jobs()$$), ($$SELECT gpt_drop_model('m')$$), ($$SELECT gpt_drop_tokenizer('x')$$),
	($$SELECT gpt_train_tokenizer('x', 'SELECT body FROM line')$$), ($$SELECT gpt_rename_model('m', 'x')$$),
	($$SELECT gpt_copy_model('m', 'x')$$), ($$SELECT gpt_rollback('m', 1)$$), ($$SELECT gpt_drop_version('m', 1)$$), ($$SELECT gpt_merge('m')$$), ($$SELECT gpt_drop_model('m', true)$$), ($$SELECT gpt_grant('m', 'postgres')$$)) c(command);
SELECT is(as_version(:'newer', $$SELECT gpt_score('m', 'x')$$),
	format('55000 extension "gpt" is at version %s, but the library needs %s | '
		'Start a new session, and where the server preloads gpt, restart the server.', :'newer', :'version'),
	'with tables of a newer version it is the library that is to be changed');
SELECT ok(gpt_score('m', 'x') > 0, 'afterwards all is well');

-- a worker that meets another version ends, and leaves the job as it is
SELECT gpt_train('busy', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 1000000000}') AS busy \gset
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM gpt_stat_progress_train WHERE step > 0) LOOP PERFORM pg_sleep(0.02); COMMIT; END LOOP; END $$;
UPDATE pg_extension SET extversion = '0.0.0' WHERE extname = 'gpt';
DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'gpt trainer' AND datname = current_database()) LOOP
	PERFORM pg_sleep(0.02); COMMIT; END LOOP; END $$;
SELECT throws_ok(format('SELECT gpt_resume(%s)', :'busy'), '55000', NULL, 'nor is a job started');
UPDATE pg_extension SET extversion = :'version' WHERE extname = 'gpt';
SELECT is((SELECT state FROM gpt_jobs WHERE job = :busy), 'running', 'the worker has ended, its job is cut off');
SELECT ok(gpt_cancel(:busy), 'and can be cancelled');

SELECT gpt_drop_model('m');
SELECT * FROM finish();
