-- fine-tunes: versions of a model from the rows that are new
SET client_min_messages = warning;
CREATE TABLE speech AS SELECT 'the cat sat on mat ' || i AS body FROM generate_series(1, 200) i;
CREATE TABLE news AS SELECT 'a dog ran in the park ' || i AS body FROM generate_series(1, 200) i;
SELECT gpt_train('talk', 'SELECT body FROM speech',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "vocabulary": 280, "steps": 60, "batch_size": 16}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- a new version of the same shape and tokenizer, which knows the new rows better
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"steps": 60, "batch_size": 16, "learning_rate": 0.003}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, kind, base, base_version, state, error FROM gpt_jobs WHERE job = :job;
SELECT model, version, state FROM gpt_versions ORDER BY version;
SELECT version FROM gpt_models WHERE model = 'talk';
SELECT count(DISTINCT (parameters, context, vocabulary)) AS shapes FROM gpt_versions;
SELECT gpt_tokenize('talk@1', 'the dog') = gpt_tokenize('talk@2', 'the dog') AS same_tokens;
SELECT gpt_score('talk', 'a dog ran in the park') < 0.7 * gpt_score('talk@1', 'a dog ran in the park') AS learnt;

-- the weights are those of the base at first: one step of no length changes nothing
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "copy"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT base, base_version FROM gpt_jobs WHERE job = :job;
SELECT version FROM gpt_models WHERE model = 'copy';
SELECT abs(gpt_score('copy', 'a dog ran') / gpt_score('talk', 'a dog ran') - 1) < 1e-4 AS same;

-- windows of training may be shorter than the context, which stays
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"steps": 2, "context": 16, "batch_size": 4, "into": "short"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT conditions -> 'context' AS window, context FROM gpt_jobs j JOIN gpt_models m ON m.model = 'short' WHERE j.job = :job;
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"context": 64}');
SELECT gpt_train('long', 'SELECT body FROM speech', '{"layers": 1, "heads": 1, "channels": 8, "context": 2048, "tokenizer": "bytes", "steps": 1, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('long', 'SELECT body FROM news', '{"steps": 1, "batch_size": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT conditions -> 'context' AS window, context FROM gpt_jobs j JOIN gpt_models m ON m.model = 'long' WHERE j.job = :job;
SELECT gpt_drop_model('short'), gpt_drop_model('long');

-- the newest stay
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"steps": 2, "keep_versions": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT version FROM gpt_versions WHERE model = 'talk' ORDER BY version;

-- from a version that was made current again
SELECT gpt_rollback('talk', 2);
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT base_version FROM gpt_jobs WHERE job = :job;
SELECT version FROM gpt_models WHERE model = 'talk';

SELECT gpt_drop_model('talk'), gpt_drop_model('copy');
DROP TABLE speech, news;
