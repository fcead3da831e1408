-- test/tap/drift.sql - what a version keeps of its rows (evaluation, profile), and gpt_drift: rows of the same kind are stable, others have drifted,
-- few rows say nothing; which rows cannot be compared.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset
CREATE ROLE gpt_drift_reader;
GRANT USAGE ON SCHEMA :schema, public TO gpt_drift_reader;

CREATE FUNCTION rows_of(first int, n int, OUT i int, OUT body text, OUT label text, OUT number float8) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT i, CASE i % 3 WHEN 0 THEN 'good ' ELSE 'bad ' END || 'thing ' || left(md5(i::text), 1 + i % 7), CASE i % 3 WHEN 0 THEN 'good' ELSE 'bad' END, i % 5
	FROM generate_series(first, first + n - 1) i $$;
\set options '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "steps": 4, "batch_size": 8, "tokenizer": "bytes", "validation_fraction": 0.2}'
SELECT gpt_train('text', 'SELECT body FROM rows_of(1, 240)', :'options'::jsonb || '{"ngrams": false}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a language model');
-- rule: fewer than 256 rows begin alike, which are as many as n-grams look at
SELECT gpt_train('grams', 'SELECT body FROM rows_of(1, 240)', :'options'::jsonb || '{"ngrams": true}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'one with n-grams, which have the held-out rows in the end');
SELECT gpt_train('class', 'SELECT body, label FROM rows_of(1, 240)', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a classifier');
SELECT gpt_train('number', 'SELECT body, number AS label FROM rows_of(1, 240)', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a regression model');
SELECT gpt_train('prompt', 'SELECT body AS prompt, label AS completion FROM rows_of(1, 240)', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model of completions');
SELECT gpt_train('pair', 'SELECT body, label AS other, i % 2 = 0 AS label FROM rows_of(1, 240)', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model of pairs');
SELECT gpt_train('set', 'SELECT body, ARRAY[label] AS label FROM rows_of(1, 240)', :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a multi-label classifier');
SELECT gpt_train('chat', $$SELECT jsonb_build_array(jsonb_build_object('role', 'user', 'content', body), jsonb_build_object('role', 'assistant', 'content', label)) AS messages
	FROM rows_of(1, 50)$$, :'options') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model of conversations');
SELECT is((SELECT count(*) FROM gpt_jobs WHERE note LIKE '%not measured%'), 0::bigint, 'nothing went wrong while they were measured');

-- evaluation
CREATE VIEW metric AS SELECT model, key AS metric, (value->>'value')::float8 AS value, (value->>'low')::float8 AS low, (value->>'high')::float8 AS high
	FROM gpt_versions, jsonb_each(evaluation->'metrics');
SELECT is((SELECT string_agg(metric, ' ' ORDER BY metric) FROM metric WHERE model = m), metrics, 'metrics of model ' || m) FROM (VALUES
	('text', 'bits_per_byte loss perplexity'), ('class', 'accuracy loss macro_f1'), ('number', 'mae r2 rmse'), ('prompt', 'bits_per_byte loss perplexity'),
	('pair', 'accuracy loss macro_f1'), ('set', 'accuracy loss micro_f1'), ('chat', NULL)) AS v (m, metrics);
SELECT is_empty('SELECT * FROM metric WHERE NOT (value BETWEEN low AND high) OR low > high', 'intervals have the value inside');
SELECT is((evaluation->>'rows')::int, (SELECT sum(c::int)::int FROM jsonb_array_elements(evaluation->'confusion'->'counts') r, jsonb_array_elements_text(r) c),
	'the confusion matrix has each held-out row') FROM gpt_versions WHERE model = 'class';
SELECT is((evaluation->>'rows')::int, (SELECT sum((c->>'rows')::int)::int FROM jsonb_array_elements(evaluation->'calibration') c), 'so have the parts of the calibration')
	FROM gpt_versions WHERE model = 'class';
SELECT results_eq($$SELECT DISTINCT jsonb_array_length(evaluation->'surprising'), (SELECT bool_and(r->>'text' IN (SELECT body FROM rows_of(1, 240))) FROM jsonb_array_elements(evaluation->'surprising') r)
	FROM gpt_versions WHERE model IN ('text', 'class', 'number')$$, 'VALUES (5, true)', 'the most surprising rows are held-out rows');
SELECT ok(abs((r->>'score')::float8 - gpt_score('text', r->>'text', 'bits_per_byte')) < 1e-4, 'their score is that of gpt_score')
	FROM gpt_versions, jsonb_array_elements(evaluation->'surprising') r WHERE model = 'text' LIMIT 1;
SELECT gpt_grant('class', 'gpt_drift_reader');
SET ROLE gpt_drift_reader;
SELECT results_eq($$SELECT model, evaluation ? 'metrics', evaluation ? 'surprising', profile ? 'tokens' FROM gpt_versions$$, $$VALUES ('class'::text COLLATE "C", true, false, true)$$,
	'a role that the model is granted to sees numbers, and no texts');
SELECT is((SELECT count(*) FROM gpt_drift('class', $$SELECT 'good thing'::text AS body$$) WHERE measure = 'tokens'), 1::bigint, 'and compares rows of its own');
RESET ROLE;

-- gpt_drift
CREATE VIEW same AS SELECT * FROM rows_of(1000, 300);
CREATE VIEW other AS SELECT i, 'worse ' || body AS body, 'worse' AS label, number + 3 AS number FROM rows_of(1000, 300) WHERE label = 'bad';
CREATE FUNCTION verdicts(model text, query text, reference text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(measure || ' ' || verdict, ', ' ORDER BY n) FROM (SELECT measure, max(CASE verdict WHEN 'drifted' THEN 3 WHEN 'moderate' THEN 2 ELSE 1 END) AS worst, min(n) AS n
		FROM gpt_drift(model, query, reference) WITH ORDINALITY d (measure, item, test, reference, current, statistic, p_value, verdict, n) WHERE verdict IS NOT NULL GROUP BY measure) d,
		LATERAL (SELECT (ARRAY['stable', 'moderate', 'drifted'])[worst] AS verdict) v $$;
SELECT is(verdicts(model, query), wanted, 'rows of the same kind are stable: ' || model) FROM (VALUES
	('text', 'SELECT body FROM same', 'surprisal stable, length stable, tokens stable, scripts stable'),
	('grams', 'SELECT body FROM same', 'surprisal stable, length stable, tokens stable, scripts stable'),
	('class', 'SELECT body, label FROM same', 'confidence stable, length stable, predictions stable, labels stable, tokens stable, scripts stable'),
	('class', 'SELECT body FROM same', 'confidence stable, length stable, predictions stable, tokens stable, scripts stable'),
	('set', 'SELECT body, ARRAY[label] AS label FROM same', 'confidence stable, length stable, predictions stable, labels stable, tokens stable, scripts stable'),
	('number', 'SELECT body, number AS label FROM same', 'prediction stable, label stable, length stable, tokens stable, scripts stable'),
	('prompt', 'SELECT body AS prompt, label AS completion FROM same', 'surprisal stable, length stable, tokens stable, scripts stable'),
	('pair', 'SELECT body, label AS other, NULL::text AS label FROM same', 'confidence stable, length stable, predictions stable, tokens stable, scripts stable')) v (model, query, wanted);
SELECT is(verdicts('text', 'SELECT body FROM other'), 'surprisal drifted, length drifted, tokens drifted, scripts stable', 'others have drifted');
SELECT matches(verdicts('class', 'SELECT body, label FROM other'), 'length drifted.*labels drifted.*tokens drifted', 'labels that the model does not know are a drift');
SELECT matches(verdicts('number', 'SELECT body, number AS label FROM other'), 'label drifted', 'so are other numbers');
SELECT matches(verdicts('text', $$SELECT 'плохо ' || i AS body FROM same$$), 'scripts drifted', 'so is another script');
SELECT is((SELECT string_agg(item, ' ') FROM gpt_drift('class', 'SELECT body, label FROM other') WHERE measure = 'labels' AND item IS NOT NULL), '(others) bad good', 'items are what has moved');
SELECT unalike(verdicts('text', 'SELECT body FROM same LIMIT 8'), '%moderate%', 'a few rows are no drift');
SELECT unalike(verdicts('text', 'SELECT body FROM same LIMIT 8'), '%drifted%', 'whatever their index');
SELECT ok(statistic > 0.25 AND p_value > 0.001, 'though it is large') FROM gpt_drift('text', 'SELECT body FROM same LIMIT 8') WHERE measure = 'surprisal' AND test = 'psi';
SELECT is(verdicts('text', 'SELECT body FROM other', reference => 'SELECT body FROM other'), 'surprisal stable, length stable, tokens stable, scripts stable', 'a query is the reference');
SELECT results_eq($$SELECT reference::int, current::int FROM gpt_drift('text', 'SELECT body FROM same UNION ALL SELECT NULL', reference => 'SELECT body FROM same LIMIT 20') WHERE measure = 'rows'$$,
	'VALUES (20, 300)', 'rows without a text do not count');

-- what cannot be compared
SELECT throws_ok($$SELECT gpt_drift('chat', 'SELECT ''x''::text AS body')$$, '55000', 'version 1 of model "chat" has no profile of its rows', 'a model of conversations has no profile');
SELECT throws_ok($$SELECT gpt_drift('text', 'SELECT body, label FROM same')$$, '42809', 'model "text" is not a classifier', 'labels are for classifiers');
SELECT throws_ok($$SELECT gpt_drift('prompt', 'SELECT body FROM same')$$, '42809', 'model "prompt" was trained on prompts', 'prompts are wanted');
SELECT throws_ok($$SELECT gpt_drift('text', 'SELECT body AS prompt, label AS completion FROM same')$$, '42809', 'model "text" was not trained on prompts', 'or not');
SELECT throws_ok($$SELECT gpt_drift('pair', 'SELECT body FROM same')$$, '42809', 'model "pair" judges two texts together', 'a pair has two texts');
SELECT throws_ok($$SELECT gpt_drift('text', 'SELECT body AS query, label AS positive FROM same')$$, '0A000', 'gpt_drift does not compare rows of task "retrieval"', 'texts to find are not compared');
SELECT throws_ok($$SELECT gpt_drift('text', 'SELECT NULL::text AS body')$$, 'P0002', 'query returned no text', 'no text');
SELECT throws_ok($$SELECT gpt_drift('text', 'SELECT body FROM same', reference => 'SELECT body FROM same LIMIT 0')$$, 'P0002', 'reference returned no text', 'no reference');
SELECT throws_ok($$SELECT gpt_drift(NULL, 'SELECT 1')$$, '22004', NULL, 'no model');
SELECT throws_ok($$SELECT gpt_drift('text', NULL)$$, '22004', NULL, 'no query');
SELECT throws_ok($$SELECT gpt_drift('text', 'DELETE FROM pg_class')$$, NULL, NULL, 'a query that writes');

-- versions go by their name, too
SELECT gpt_finetune('text', 'SELECT body FROM same', '{"steps": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a second version');
SELECT throws_ok($$SELECT gpt_drop_version('text')$$, '22023', '"text" names a model, not one of its versions', 'a name is no version');
SELECT throws_ok($$SELECT gpt_drop_version('text@2')$$, '55006', 'version 2 of model "text" is the current one', 'the current version stays');
SELECT throws_ok($$SELECT gpt_drop_version('text@x')$$, '42704', NULL, 'a number is wanted');
SELECT gpt_drop_version('text@1');
SELECT is((SELECT string_agg(version::text, ' ') FROM gpt_versions WHERE model = 'text'), '2', 'another one goes');

DROP OWNED BY gpt_drift_reader;
DROP ROLE gpt_drift_reader;
SELECT * FROM finish();
