-- against over-fitting: a table whose rows can only be learnt by heart
SET client_min_messages = notice;
CREATE TABLE noise AS SELECT md5(i::text) AS body FROM generate_series(1, 200) i;
SELECT gpt_train('rote', 'SELECT body FROM noise',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "epochs": 400, "batch_size": 16, "learning_rate": 0.01,
	  "validation_fraction": 0.2, "patience": 4, "dropout": 0}') AS job \gset
\set VERBOSITY sqlstate
SELECT gpt_wait(:job, '300 s');
\set VERBOSITY default
-- it stopped by itself, published the best, and says what happened
SELECT step < steps AS early, conditions->>'ended' AS ended, overfit_since BETWEEN 1 AND step - 1 AS overfit FROM gpt_jobs WHERE job = :job;
SELECT m.validation_loss = (SELECT min(validation_loss) FROM gpt_train_log WHERE job = :job) AS best,
	m.validation_loss = (SELECT validation_loss FROM gpt_train_log l WHERE l.job = :job AND step = j.overfit_since) AS of_that_step
FROM gpt_models m JOIN gpt_jobs j USING (model) WHERE model = 'rote';

-- explicit epochs end early too, unless patience is 0
CREATE FUNCTION few(further jsonb) RETURNS jsonb LANGUAGE SQL AS $$SELECT '{"layers": 1, "heads": 2, "channels": 64, "context": 32, "tokenizer": "bytes",
	"epochs": 60, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0.2, "dropout": 0}'::jsonb || further$$;
SELECT gpt_train('patient', 'SELECT body FROM noise LIMIT 100', few('{}')) AS one \gset
SELECT gpt_train('stubborn', 'SELECT body FROM noise LIMIT 100', few('{"patience": 0}')) AS two \gset
SET client_min_messages = warning;
SELECT gpt_wait(:one, '300 s'), gpt_wait(:two, '300 s');
SET client_min_messages = notice;
SELECT model, step < steps AS early, (conditions->>'patience')::integer AS patience, round((conditions->>'epochs')::numeric) AS epochs
FROM gpt_jobs WHERE job IN (:one, :two) ORDER BY job;

-- what a few rows say is chance: no notice, and the last weights
SELECT gpt_train('few', 'SELECT body FROM noise LIMIT 30',
	'{"layers": 1, "heads": 2, "channels": 64, "context": 32, "tokenizer": "bytes", "steps": 150, "batch_size": 16, "learning_rate": 0.01, "patience": 2, "dropout": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT step = steps AS to_the_end, overfit_since, note LIKE '%the validation rows are too few to choose the best version or to detect over-fitting: the last weights are published%' AS noted FROM gpt_jobs WHERE job = :job;
SELECT max(validation_loss) > 1.2 * min(validation_loss) AS rose, max(step) = 150 AS all_steps FROM gpt_train_log WHERE job = :job AND step > 0;
SELECT m.validation_loss = l.validation_loss AS last FROM gpt_models m, gpt_train_log l WHERE model = 'few' AND l.job = :job AND l.step = 150;

-- a job that did not says nothing
SELECT gpt_train('plain', $$SELECT 'the cat sat on mat ' || i AS body FROM generate_series(1, 100) i$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 40, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT overfit_since FROM gpt_jobs WHERE job = :job;

-- smoothed labels: the model is less sure of what it learnt
SELECT gpt_train('sure', $$SELECT repeat('a', 16) AS body FROM generate_series(1, 40)$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 300, "batch_size": 16, "dropout": 0, "learning_rate": 0.01}') AS one \gset
SELECT gpt_train('unsure', $$SELECT repeat('a', 16) AS body FROM generate_series(1, 40)$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 300, "batch_size": 16, "dropout": 0, "learning_rate": 0.01, "label_smoothing": 0.2}') AS two \gset
SELECT gpt_wait(:one, '300 s'), gpt_wait(:two, '300 s');
-- 0.2 spread over 257 tokens: the target keeps 0.8008
SELECT abs(exp(gpt_score('unsure', 'aaaaaaaa', 'mean_logprob')) - 0.8008) < 0.02 AS smoothed, exp(gpt_score('sure', 'aaaaaaaa', 'mean_logprob')) > 0.97 AS sharp;
SELECT gpt_train('bad', 'SELECT body FROM noise', '{"label_smoothing": 1}');

SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('rote', 'few', 'patient', 'stubborn', 'plain', 'sure', 'unsure');
DROP FUNCTION few;
DROP TABLE noise;
