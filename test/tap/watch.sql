-- test/tap/watch.sql - waiting for a model by its name; the metric of each task in the log.
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

-- metrics
CREATE TABLE kind AS SELECT CASE WHEN i % 3 = 0 THEN 'good ' ELSE 'bad ' END || i AS text, CASE WHEN i % 3 = 0 THEN 'yes' ELSE 'no' END AS label, (i % 7)::float8 AS number
	FROM generate_series(1, 120) i;
SELECT gpt_train('labels', 'SELECT text, label FROM kind', tiny()) AS job \gset
SELECT gpt_train('sets', 'SELECT text, ARRAY[label, (number > 3)::text] AS label FROM kind', tiny()) AS sets_job \gset
SELECT gpt_train('numbers', 'SELECT text, number AS label FROM kind', tiny()) AS numbers_job \gset
SELECT gpt_train('texts', 'SELECT text FROM kind', tiny()) AS texts_job \gset
SELECT is(gpt_wait('labels', '60 s') || gpt_wait('sets', '60 s') || gpt_wait('numbers', '60 s') || gpt_wait('texts', '60 s'), repeat('succeeded', 4), 'models are trained');
SELECT results_eq('SELECT model, metric, validation_metric BETWEEN 0 AND 1 OR metric = $$r2$$ AND validation_metric < 1
		FROM gpt_train_log JOIN gpt_jobs j USING (job) WHERE gpt_train_log.step = 3 ORDER BY job',
	$$VALUES ('labels', 'accuracy', true), ('sets', 'micro_f1', true), ('numbers', 'r2', true), ('texts', 'token_accuracy', true)$$, 'each task has its metric');
SELECT is_empty('SELECT * FROM gpt_train_log WHERE (validation_metric IS NULL) <> (validation_loss IS NULL)', 'with each validation');
SELECT ok(abs((measures->>'validation_rmse')::float8 ^ 2 / validation_loss - (measures->>'rmse')::float8 ^ 2 / loss) < 1e-4, 'the squared error is the loss, in the unit of the label')
	FROM gpt_train_log WHERE job = :numbers_job AND step = 3;
SELECT is((SELECT note FROM gpt_jobs WHERE job = :job) LIKE '%accuracy%', false, 'a note of the network alone would mislead');
DROP TABLE kind;

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

DROP TABLE line;
DROP OWNED BY gpt_watcher, gpt_elsewhere;
DROP ROLE gpt_watcher, gpt_elsewhere;
SELECT * FROM finish();
