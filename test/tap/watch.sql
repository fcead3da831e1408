-- test/tap/watch.sql - waiting for a model by its name; the metric of each task in the log; charts.
-- One schema is enough: other files call functions of the same kinds in the second schema.
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
SELECT is(gpt_wait('labels', '300 s') || gpt_wait('sets', '300 s') || gpt_wait('numbers', '300 s') || gpt_wait('texts', '300 s'), repeat('succeeded', 4), 'models are trained');
SELECT results_eq('SELECT model, metric, validation_metric BETWEEN 0 AND 1 OR metric = $$r2$$ AND validation_metric < 1
		FROM gpt_train_log JOIN gpt_jobs j USING (job) WHERE gpt_train_log.step = 3 ORDER BY job',
	$$VALUES ('labels', 'accuracy', true), ('sets', 'micro_f1', true), ('numbers', 'r2', true), ('texts', 'token_accuracy', true)$$, 'each task has its metric');
SELECT is_empty('SELECT * FROM gpt_train_log WHERE (validation_metric IS NULL) <> (validation_loss IS NULL)', 'with each validation');
SELECT ok(abs((measures->>'validation_rmse')::float8 ^ 2 / validation_loss - (measures->>'rmse')::float8 ^ 2 / loss) < 1e-4, 'the squared error is the loss, in the unit of the label')
	FROM gpt_train_log WHERE job = :numbers_job AND step = 3;
SELECT is((SELECT note FROM gpt_jobs WHERE job = :job) LIKE '%accuracy%', false, 'a note of the network alone would mislead');
DROP TABLE kind;

-- charts
SELECT matches(gpt_plot('labels'), format('^job %s, succeeded, step 3: model labels\n.*⣀ loss .* ● validation_loss ', :job), 'a chart has both losses');
SELECT matches(gpt_plot(:numbers_job, 'metric'), '⣀ r2 .* ● validation_r2 ', 'the metric of the task');
SELECT matches(gpt_plot(:numbers_job, 'rmse'), '⣀ rmse .* ● validation_rmse ', 'any measure');
SELECT is(gpt_plot('labels', 'bits_per_byte'), format('Job %s (succeeded) has no values of bits_per_byte in its log.', :job), 'without values there is a sentence');
SELECT is((SELECT max(length(line)) || ' ' || count(*) FROM regexp_split_to_table(gpt_plot('labels', width => w, height => h), '\n') line), w || ' ' || h, 'a chart is ' || w || ' by ' || h)
	FROM (VALUES (30, 8), (400, 100)) size(w, h);
SELECT is(said(format('SELECT gpt_plot(%s, %L)', :job, 'los')),
	'metric "los" does not exist, or the job does not measure it | Metrics of this job are loss, bits_per_byte, learning_rate, grad_norm, tokens_per_second, metric, accuracy.',
	'an unknown metric gets those that there are');
SELECT is(said($$SELECT gpt_plot('labels', width => 29)$$), 'width is out of range: 29 | It must be between 30 and 400.', 'a width out of range is an error');
SELECT is(said($$SELECT gpt_plot('labels', height => 101)$$), 'height is out of range: 101 | It must be between 8 and 100.', 'a height, too');
SELECT is(said('SELECT gpt_plot(NULL::text)'), 'model must not be null', 'and NULL');
DELETE FROM gpt_job_log WHERE job = :texts_job;
SELECT is(gpt_plot(:texts_job), format('Job %s (succeeded) has no values of loss in its log.', :texts_job), 'an empty log is said');
INSERT INTO gpt_job_log (job, step, loss, validation_loss)
	SELECT :texts_job, i, CASE i WHEN 30 THEN 'NaN' WHEN 40 THEN NULL WHEN 50 THEN 'Infinity' ELSE 1 + 4 * exp(-i / 20.0) END, CASE WHEN i % 40 = 0 THEN 2 + i / 200.0 END
	FROM generate_series(0, 100, 5) i;
UPDATE gpt_job SET model = E'\u202Ea' WHERE job = :texts_job;
SELECT is(gpt_plot(:texts_job, width => 44, height => 10), format($$job %s, succeeded, step 100: model [U+202E]a
6 ┤
  │⠑⠤⡀
4 ┤  ⠈⠒⢄⡀
2 ┤●    ⠈⠑⠢⠤⣀⣀     ●               ●
  │           ⠉⠉⠒⠒⠒⠤⠤⠤⠤⠤⠤⠤⠤⠤⢄⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
0 ┤
  └┬───────┬───────┬───────┬───────┬───────┬
   0      20      40      60      80     100
⣀ loss 1.027   ● validation_loss 2.4$$, :texts_job), 'a chart leaves out what is no number, and shows no hidden character');
INSERT INTO gpt_job_log (job, step, loss) SELECT :texts_job, i, 2 FROM generate_series(101, 20000) i;
SELECT matches(gpt_plot(:texts_job), 'step 20000: .*⣀ loss 2 ', 'a long log is drawn in parts');
UPDATE gpt_job SET model = 'texts' WHERE job = :texts_job;

-- waiting by name
SET ROLE gpt_watcher;
SELECT gpt_train('seen', 'SELECT body FROM line', tiny()) AS first \gset
SELECT is(gpt_wait('seen', '300 s'), 'succeeded', 'gpt_wait waits for a model by its name');
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
SELECT is(said(format('SELECT gpt_plot(%s)', :first)),
	format('job %s does not exist, or belongs to another role | The view gpt_jobs lists the jobs that you may see.', :first), 'or draws one');
SELECT is(said($$SELECT gpt_wait('seem')$$), 'model "seem" does not exist | The view gpt_models lists the models that you may use.', 'and their names stay theirs');
SELECT is(said(format('SELECT gpt_wait(%s)', :first)),
	format('job %s does not exist, or belongs to another role | The view gpt_jobs lists the jobs that you may see.', :first), 'their numbers too');
RESET ROLE;

DROP TABLE line;
DROP OWNED BY gpt_watcher, gpt_elsewhere;
DROP ROLE gpt_watcher, gpt_elsewhere;
SELECT * FROM finish();
