-- a gate for new versions: published only if they are not worse than the current one on the same rows
SET client_min_messages = warning;
CREATE TABLE gate_line AS SELECT i, 'the cat sat on mat ' || i % 20 AS body, CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END AS label FROM generate_series(1, 200) i;
CREATE TABLE gate_noise AS SELECT i, md5(i::text) AS body FROM generate_series(1, 200) i;
CREATE FUNCTION gate(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"steps": 20, "batch_size": 8, "learning_rate": 0.003, "publish_if": "better", "publish_query": "SELECT body FROM gate_line WHERE i <= 20"}'::jsonb || more $$;
CREATE VIEW gate_job AS SELECT job, state, regexp_replace(note, '[0-9]\.[0-9]+', 'N', 'g') AS note, report -> 'publish_if' ->> 'published' AS published,
	report -> 'publish_if' ->> 'current_version' AS current, (report -> 'publish_if' ->> 'value')::float8 < (report -> 'publish_if' ->> 'current_value')::float8 AS less,
	regexp_replace(error, E'\n.*', '') AS error FROM gpt_jobs;
CREATE VIEW gate_version AS SELECT model, version, current, state FROM gpt_versions ORDER BY model, version;
SELECT gpt_train('gated', 'SELECT body FROM gate_line', '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "vocabulary": 280, "steps": 40, "batch_size": 16, "weight_decay": 0.1}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- worse weights stay a candidate: reachable, never current
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, published, current, less, note FROM gate_job WHERE job = :job;
SELECT * FROM gate_version;
SELECT version FROM gpt_models WHERE model = 'gated';
SELECT gpt_score('gated@2', 'the cat sat') > gpt_score('gated', 'the cat sat') AS worse, gpt_score('gated', 'the cat sat') = gpt_score('gated@1', 'the cat sat') AS current;
SELECT options ? 'publish_query' AS shown, options ? 'publish_query_sha256' AS hashed FROM gpt_versions WHERE model = 'gated' AND version = 2;

-- better ones are published, and so are slightly worse ones within the tolerance
SELECT gpt_finetune('gated', 'SELECT body FROM gate_line', gate()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, published, current, less, note FROM gate_job WHERE job = :job;
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"publish_tolerance": 100}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT published, current, less FROM gate_job WHERE job = :job;
SELECT * FROM gate_version;

-- gpt_rollback passes over candidates, and makes one current that is named
SELECT gpt_rollback('gated');
SELECT gpt_rollback('gated');
SELECT gpt_rollback('gated', 2);
SELECT * FROM gate_version;
SELECT gpt_rollback('gated', 3);
SELECT * FROM gate_version;

-- the version that is current stays, however many candidates are kept
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"keep_versions": 1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT * FROM gate_version;
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"keep_versions": 2, "publish_metric": "perplexity"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT * FROM gate_version;
SELECT gpt_drop_version('gated', (SELECT max(version) FROM gate_version));

-- another model: without a version there is nothing to compare with, then its own current version counts; adapters have a gate too
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"into": "other"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT published, note FROM gate_job WHERE job = :job;
SELECT gpt_finetune('gated', 'SELECT body FROM gate_line', gate('{"into": "other", "method": "lora", "learning_rate": 0.01}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT published, current, less FROM gate_job WHERE job = :job;
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"into": "other", "method": "lora", "learning_rate": 0.01}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT published, current, less FROM gate_job WHERE job = :job;
SELECT * FROM gate_version WHERE model = 'other';

-- a classifier by its accuracy, on the rows of validation_query
SELECT gpt_finetune('gated', 'SELECT body AS text, label FROM gate_line', '{"into": "kind", "steps": 60, "batch_size": 8, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('kind', $$SELECT body AS text, CASE label WHEN 'odd' THEN 'even' ELSE 'odd' END AS label FROM gate_line$$,
	'{"steps": 60, "batch_size": 8, "publish_if": "better", "publish_metric": "accuracy", "validation_query": "SELECT body AS text, label FROM gate_line", "publish": "last", "patience": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT published, less, note ~ 'kept as a candidate: accuracy is' AS noted FROM gate_job WHERE job = :job;

-- an error in the query or the metric shows before the training
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"publish_query": "SELECT nothing FROM nowhere"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, step, error FROM gpt_jobs JOIN gate_job USING (job, state, error) WHERE job = :job;
SELECT state, error FROM gate_job WHERE job = :job;
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"publish_metric": "accuracy"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gate_job WHERE job = :job;
SELECT count(*) FROM gpt_train_log WHERE job = :job;

-- what cannot be
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', '{"publish_if": "better"}');
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', '{"publish_query": "SELECT 1"}');
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', '{"publish_tolerance": 1}');
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', '{"publish_metric": "bleu"}');
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"publish_metric": "beauty"}'));
SELECT gpt_finetune('gated', 'SELECT body FROM gate_noise', gate('{"publish_tolerance": -1}'));
SELECT gpt_train('x', 'SELECT body FROM gate_noise', '{"publish_if": "better"}');

SELECT count(gpt_drop_model(model)) AS dropped FROM gpt_models WHERE base IS NOT NULL;
SELECT count(gpt_drop_model(model)) AS dropped FROM gpt_models;
