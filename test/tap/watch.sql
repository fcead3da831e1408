-- test/tap/watch.sql - waiting for a model by its name.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_watcher LOGIN;
CREATE ROLE gpt_elsewhere LOGIN;
GRANT USAGE ON SCHEMA :schema, public TO gpt_watcher, gpt_elsewhere;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb) TO gpt_watcher;
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' AS body FROM generate_series(1, 60) i;
GRANT SELECT ON line TO PUBLIC;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "threads": 1}'::jsonb || further $$;
-- The message, detail and hint of the error of a command.
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

-- waiting by name
SET ROLE gpt_watcher;
SELECT gpt_train('seen', 'SELECT body FROM line', tiny()) AS first \gset
SELECT is(gpt_wait('seen', '60 s'), 'succeeded', 'gpt_wait waits for a model by its name');
SELECT gpt_finetune('seen', 'SELECT body FROM line WHERE false', '{"steps": 3}') AS second \gset
SELECT is(gpt_wait('seen'), 'failed', 'for its newest job');
SELECT is(gpt_wait(:'first'), 'succeeded', 'a number in quotes is a job');
SELECT is(gpt_wait(model => 'seen'), 'failed', 'and the argument is called model');
SELECT is(said($$SELECT gpt_wait('seem')$$),
	'model "seem" does not exist | The nearest name is "seen"; the view gpt_models lists the models that you may use.', 'an unknown name gets the nearest one');
SELECT is(said($$SELECT gpt_wait('seen@1')$$), '"seen@1" names one version of a model | The function takes the name of the model, "seen".', 'a version has no job to wait for');
SELECT is(said('SELECT gpt_wait(NULL::text)'), 'model must not be null', 'nor has NULL');
SELECT is(said('SELECT gpt_wait(999999)'),
	format('job 999999 does not exist, or belongs to another role | The view gpt_jobs lists the jobs that you may see; the newest is %s.', :second), 'an unknown job gets the newest');
SET ROLE gpt_elsewhere;
SELECT is(said($$SELECT gpt_wait('seen')$$),
	'no job of model "seen" is known | It was imported or copied, its jobs were forgotten, or they belong to another role. | The view gpt_jobs lists the jobs that you may see.',
	'nobody waits for a job of others');
SELECT is(said($$SELECT gpt_wait('seem')$$), 'model "seem" does not exist | The view gpt_models lists the models that you may use.', 'and their names stay theirs');
SELECT is(said(format('SELECT gpt_wait(%s)', :first)),
	format('job %s does not exist, or belongs to another role | The view gpt_jobs lists the jobs that you may see.', :first), 'their numbers too');
RESET ROLE;

SELECT * FROM finish();
DROP TABLE line;
DROP OWNED BY gpt_watcher, gpt_elsewhere;
DROP ROLE gpt_watcher, gpt_elsewhere;
