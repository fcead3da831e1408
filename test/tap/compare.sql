-- test/tap/compare.sql - gpt_compare: the same rows through two models; intervals, the area under the ROC curve and thresholds of gpt_evaluate.
-- test/unit/test_resample.c has the statistics, bench/compare.sh how often intervals have the truth.
SELECT no_plan();
SET client_min_messages = error;

CREATE FUNCTION rows_of(first int, n int, OUT i int, OUT body text, OUT label text, OUT number float8) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT i, CASE i % 3 WHEN 0 THEN 'good ' ELSE 'bad ' END || 'thing ' || left(md5(i::text), 1 + i % 7), CASE WHEN (i % 3 = 0) <> (i % 11 = 0) THEN 'good' ELSE 'bad' END, i % 5
	FROM generate_series(first, first + n - 1) i $$;
CREATE FUNCTION train(model text, query text, more jsonb) RETURNS bigint LANGUAGE sql AS $$
	SELECT gpt_train(model, query, '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "steps": 4, "batch_size": 8, "tokenizer": "bytes", "threads": 1}' || more) $$;
SELECT train('text', 'SELECT body FROM rows_of(1, 200)', '{}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a language model');
SELECT gpt_finetune('text', 'SELECT body FROM rows_of(1, 200)', '{"steps": 40, "learning_rate": 0.01, "threads": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'its version 2');
SELECT train('chars', 'SELECT body FROM rows_of(1, 200)', '{"tokenizer": "chars", "clean": {"case": "lower", "min_length": 11}}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'one with another tokenizer, and cleaning');
SELECT train('class', 'SELECT body, label FROM rows_of(1, 200)', '{}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a classifier');
SELECT gpt_finetune('class', 'SELECT body, label FROM rows_of(1, 40)', '{"steps": 2, "learning_rate": 0.01, "threads": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'its version 2');
SELECT train('number', 'SELECT body, number AS label FROM rows_of(1, 200)', '{}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a regression model');
SELECT train('set', 'SELECT body, ARRAY[label] AS label FROM rows_of(1, 200)', '{}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a multi-label classifier');

-- values are those of gpt_evaluate
CREATE TABLE compared (a text, b text, query text, metrics text);
INSERT INTO compared VALUES
	('text@1', 'text@2', 'SELECT body FROM rows_of(300, 90)', 'documents loss perplexity bits_per_byte'),
	('text@1', 'text@2', 'SELECT left(body, 4) AS prompt, substr(body, 5) AS completion, 1 + i % 2 AS weight FROM rows_of(300, 30)',
		'documents loss perplexity bits_per_byte exact_match rouge_l bleu chrf'),
	('text@1', 'text@2', 'SELECT body AS prompt, label AS chosen, left(label, 1) AS rejected FROM rows_of(300, 30)', 'documents loss reward_margin preference_accuracy'),
	('text@1', 'text@2', 'SELECT body AS query, left(body, 8) AS positive FROM rows_of(300, 30)', 'documents recall_at_1 recall_at_10 mean_reciprocal_rank'),
	('class@1', 'class@2', 'SELECT body, label FROM rows_of(300, 90)', 'documents loss accuracy calibration_error macro_f1 roc_auc'),
	('class@1', 'class@2', 'SELECT body, label, i % 3 AS weight FROM rows_of(300, 90)', 'documents loss accuracy calibration_error macro_f1 roc_auc'),
	('set', 'set@1', 'SELECT body, ARRAY[label] AS label FROM rows_of(300, 90)', 'documents loss accuracy calibration_error macro_f1 micro_f1 roc_auc'),
	('number', 'number@1', 'SELECT body, number AS label FROM rows_of(300, 90)', 'documents loss rmse mae r2 spearman');
CREATE TABLE found AS SELECT c.a AS model_a, c.b AS model_b, c.query, c.metrics, r.* FROM compared c, gpt_compare(c.a, c.b, c.query)
	WITH ORDINALITY r (metric, a, b, difference, low, high, p, n);
SELECT is(string_agg(metric, ' ' ORDER BY n), metrics, 'metrics of ' || query) FROM found GROUP BY query, metrics;
SELECT is_empty($$SELECT f.query, f.metric, f.a, e.value FROM found f LEFT JOIN LATERAL gpt_evaluate(f.model_a, f.query) e ON e.metric = f.metric AND e.label IS NULL
	WHERE (abs(f.a - e.value) <= 1e-9 * (1 + abs(f.a))) IS NOT TRUE$$, 'a is what gpt_evaluate says of the first model');
SELECT is_empty($$SELECT f.query, f.metric, f.b, e.value FROM found f LEFT JOIN LATERAL gpt_evaluate(f.model_b, f.query) e ON e.metric = f.metric AND e.label IS NULL
	WHERE (abs(f.b - e.value) <= 1e-9 * (1 + abs(f.b))) IS NOT TRUE$$, 'and b of the second');
SELECT is_empty('SELECT * FROM found WHERE difference <> b - a OR NOT difference BETWEEN low - 1e-12 AND high + 1e-12 OR NOT p BETWEEN 0 AND 1', 'differences lie in their intervals');
SELECT is_empty($$SELECT * FROM found WHERE (low IS NULL) <> (metric IN ('documents', 'spearman')) OR (p IS NULL) <> (low IS NULL)$$, 'all but counts and ranks have intervals');
SELECT is((SELECT count(*) FROM found WHERE split_part(model_a, '@', 1) = model_b OR model_b = model_a || '@1'), 13::bigint, 'the same model twice');
SELECT is_empty($$SELECT * FROM found WHERE model_b = model_a || '@1' AND (difference <> 0 OR low <> 0 OR high <> 0 OR p <> 1)$$, 'has no difference');
SELECT ok(p < 0.005 AND high < 0, 'ten times the steps are a better language model') FROM found WHERE query LIKE 'SELECT body FROM%' AND metric = 'loss';

-- the same for the same seed, in whatever order rows come
SELECT is_empty($$(SELECT metric, low, high, p FROM gpt_compare('text@1', 'text@2', 'SELECT body FROM rows_of(300, 90)'))
	EXCEPT (SELECT metric, low, high, p FROM gpt_compare('text@1', 'text@2', 'SELECT body FROM rows_of(300, 90) ORDER BY md5(body)'))$$, 'the order of rows does not matter');
SELECT ok((SELECT low FROM found WHERE query LIKE 'SELECT body FROM%' AND metric = 'loss') <> low AND abs(high - low) < 1, 'another seed draws other samples')
	FROM gpt_compare('text@1', 'text@2', 'SELECT body FROM rows_of(300, 90)', '{"seed": 2}') WHERE metric = 'loss';
SELECT ok(low IS NULL AND difference < 0, 'and without samples there are no intervals') FROM gpt_compare('text@1', 'text@2', 'SELECT body FROM rows_of(300, 90)', '{"resamples": 0}') WHERE metric = 'loss';

-- each model reads rows in its own way, and both the same rows
CREATE VIEW longer AS SELECT body FROM rows_of(300, 90) WHERE length(body) >= 11;
SELECT results_eq($$SELECT metric, abs(a - ea) < 1e-9, abs(b - eb) < 1e-9 FROM gpt_compare('text', 'chars', 'SELECT upper(body) AS body FROM rows_of(300, 90) UNION ALL SELECT NULL') c,
		(SELECT value AS ea FROM gpt_evaluate('text', 'SELECT upper(body) AS body FROM longer') WHERE metric = 'bits_per_byte') x,
		(SELECT value AS eb FROM gpt_evaluate('chars', 'SELECT upper(body) AS body FROM longer') WHERE metric = 'bits_per_byte') y WHERE metric <> 'documents'$$,
	$$VALUES ('bits_per_byte', true, true)$$,
	'models with different tokenizers are compared by bits a byte, on rows that neither skips');

-- mistakes
CREATE FUNCTION written(body text) RETURNS text LANGUAGE plpgsql AS $$BEGIN CREATE TABLE not_here (); RETURN body; END$$;
SELECT throws_ok($$SELECT gpt_compare('class', 'text', 'SELECT body, label FROM rows_of(1, 9)')$$, '42809', 'models "class" and "text" have different tasks', 'models of different tasks');
SELECT throws_ok($$SELECT gpt_compare('class', 'number', 'SELECT body FROM rows_of(1, 9)')$$, '42809', 'models "class" and "number" have different tasks', 'whatever the query has');
SELECT throws_ok($$SELECT gpt_compare('text', 'text', 'SELECT body, label FROM rows_of(1, 9)')$$, '42809', 'model "text" is not a classifier', 'rows of another task');
SELECT throws_ok($$SELECT gpt_compare('class', 'class', $q$SELECT body, 'ugly' AS label FROM rows_of(1, 9)$q$)$$, '22023', 'label "ugly" is not a label of the model', 'a label of neither');
SELECT throws_ok($$SELECT gpt_compare('text', 'text', 'SELECT written(body) AS body FROM rows_of(1, 9)')$$, '25006', NULL, 'a query that writes');
SELECT throws_ok($$SELECT gpt_compare('text', 'text', 'SELECT body FROM rows_of(1, 9) WHERE false')$$, 'P0002', 'query returned no text', 'no rows');
SELECT throws_ok($$SELECT gpt_compare(NULL, 'text', 'SELECT 1')$$, '22004', 'model_a must not be null', 'no first model');
SELECT throws_ok($$SELECT gpt_compare('text', NULL, 'SELECT 1')$$, '22004', 'model_b must not be null', 'no second model');
SELECT throws_ok($$SELECT gpt_compare('text', 'text', NULL)$$, '22004', 'query must not be null', 'no query');
SELECT throws_ok($$SELECT gpt_compare('text', 'text', 'SELECT 1', '{"steps": 1}')$$, '22023', NULL, 'an option of training');

-- gpt_evaluate
CREATE TABLE given AS SELECT i, r.label = 'good' AS good, p.probability FROM rows_of(300, 90) r, gpt_classify_probs('class@2', body) p WHERE p.label = 'good';
CREATE TABLE evaluated AS SELECT * FROM gpt_evaluate('class@2', 'SELECT body, label FROM rows_of(300, 90)');
SELECT ok(abs(value - (SELECT avg(CASE WHEN g.probability > b.probability THEN 1 WHEN g.probability = b.probability THEN 0.5 ELSE 0 END) FROM given g, given b WHERE g.good AND NOT b.good)) < 1e-6
	AND low < value AND value < high, 'roc_auc is the share of pairs of rows in the right order') FROM evaluated WHERE metric = 'roc_auc';
SELECT is((SELECT round((2.0 * count(*) FILTER (WHERE good) / (count(*) + (SELECT count(*) FROM given WHERE good)))::numeric, 9) FROM given
		WHERE probability >= (SELECT value FROM evaluated WHERE metric = 'best_threshold' AND label = 'good') - 1e-7),
	(SELECT round(value::numeric, 9) FROM evaluated WHERE metric = 'best_f1' AND label = 'good'), 'best_f1 is that of rows from best_threshold on');
SELECT is((SELECT round(value::numeric, 9) FROM evaluated WHERE metric = 'best_f1' AND label = 'good'),
	(SELECT round(max(f1), 9) FROM (SELECT 2.0 * count(*) FILTER (WHERE o.good) / (count(*) + (SELECT count(*) FROM given WHERE good)) AS f1
		FROM given t JOIN given o ON o.probability >= t.probability GROUP BY t.i) s), 'and no other threshold has a better one');
SELECT is_empty($$SELECT * FROM evaluated WHERE (low IS NULL) <> (label IS NOT NULL OR metric NOT IN ('loss', 'accuracy', 'macro_f1', 'roc_auc')) OR NOT value BETWEEN low AND high$$,
	'values lie in their intervals');
SELECT is((SELECT count(*) FROM gpt_evaluate('class@2', 'SELECT body, label FROM rows_of(300, 90)', '{"resamples": 0}') WHERE low IS NOT NULL AND metric <> 'roc_auc'), 0::bigint, 'without samples there are none');
SELECT is((SELECT string_agg(metric, ' ') FROM gpt_evaluate(m)), metrics, 'what was kept of model ' || m) FROM (VALUES
	('text', 'training_loss loss perplexity bits_per_byte'), ('class', 'training_loss loss accuracy macro_f1'), ('number', 'training_loss loss rmse mae r2'),
	('set', 'training_loss loss accuracy micro_f1')) v (m, metrics);
SELECT ok(low < value AND value < high, 'with the intervals of the training') FROM gpt_evaluate('class@1') WHERE metric = 'accuracy';

SELECT count(gpt_drop_model(model)) AS dropped FROM gpt_models \gset
SELECT * FROM finish();
