-- adapters: versions that store small matrices beside a base that they share
SET client_min_messages = warning;
CREATE TABLE speech AS SELECT 'the cat sat on mat ' || i AS body FROM generate_series(1, 200) i;
CREATE TABLE news AS SELECT 'a dog ran in the park ' || i AS body FROM generate_series(1, 200) i;
SELECT gpt_train('talk', 'SELECT body FROM speech',
	'{"layers": 2, "heads": 2, "channels": 32, "context": 32, "vocabulary": 280, "steps": 60, "batch_size": 16}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- an adapter knows the new rows better, and is small
SELECT gpt_finetune('talk', 'SELECT body FROM news',
	'{"method": "lora", "rank": 4, "steps": 80, "batch_size": 16, "learning_rate": 0.02, "into": "dog"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, error, base, base_version, conditions->>'method' AS method, conditions->>'rank' AS rank, conditions->>'alpha' AS alpha,
	conditions->>'targets' AS targets, conditions->>'lora_dropout' AS lora_dropout FROM gpt_jobs WHERE job = :job;
SELECT model, version, state, base, architecture FROM gpt_versions ORDER BY model, version;
SELECT model, base FROM gpt_models ORDER BY model;
SELECT a.size < b.size / 3 AS small, a.parameters AS adapter, b.parameters AS base FROM gpt_models a, gpt_models b
	WHERE a.model = 'dog' AND b.model = 'talk';
SELECT gpt_score('dog', 'a dog ran in the park') < 0.7 * gpt_score('talk', 'a dog ran in the park') AS learnt;
SELECT length(gpt_generate('dog', 'a dog', 8, temperature => 0)) > 0 AS generated, cardinality(gpt_embed('dog', 'a dog')) AS embedded;

-- at first it adds nothing: a step of no length leaves B zero
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "into": "none"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT abs(gpt_score('none', 'a dog ran') / gpt_score('talk', 'a dog ran') - 1) < 1e-5 AS same;
SELECT gpt_drop_model('none');

-- options
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"rank": 4}');
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "full", "lora_dropout": 0.1}');
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "targets": "attention, head"}');
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "targets": ""}');
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "rank": 1025}');
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "optimizer": "muon"}');
SELECT gpt_train('x', 'SELECT body FROM news', '{"method": "lora"}');
SELECT gpt_finetune('dog', 'SELECT body FROM news', '{"method": "lora", "rank": 8}');
SELECT gpt_finetune('dog', 'SELECT body FROM news', '{"method": "lora", "alpha": 1}');
SELECT gpt_finetune('dog', 'SELECT body FROM news', '{"method": "lora", "targets": "up"}');

-- an adapter of an adapter: its matrices go on, beside the same base
SELECT gpt_finetune('dog', 'SELECT body FROM news', '{"method": "lora", "steps": 5, "batch_size": 16, "learning_rate": 0.002}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT base, base_version, conditions->>'rank' AS rank FROM gpt_jobs WHERE job = :job;
SELECT version, base FROM gpt_versions WHERE model = 'dog' ORDER BY version;
SELECT gpt_score('dog', 'a dog ran') < 1.1 * gpt_score('dog@1', 'a dog ran') AS goes_on;

-- all weights, from an adapter: it is folded in first
SELECT gpt_finetune('dog@1', 'SELECT body FROM news', '{"steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "whole"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT base IS NULL AS full, abs(gpt_score('whole', 'a dog ran') / gpt_score('dog@1', 'a dog ran') - 1) < 1e-4 AS same FROM gpt_models WHERE model = 'whole';
SELECT gpt_drop_model('whole');

-- merged: the same model without a base
SELECT gpt_merge('talk');
SELECT gpt_merge('nobody');
SELECT gpt_merge('dog@1');
SELECT gpt_merge('dog@2');
SELECT version, base FROM gpt_versions WHERE model = 'dog' ORDER BY version;
SELECT version, loss = (SELECT loss FROM gpt_versions WHERE model = 'dog' AND version = 2) AS same_loss FROM gpt_models WHERE model = 'dog';
SELECT bool_and(abs(gpt_logprob('dog@3', 'a dog', ' ran in the park ' || i) - gpt_logprob('dog@1', 'a dog', ' ran in the park ' || i)) < 1e-3) AS same_1,
	bool_and(abs(gpt_logprob('dog@4', 'a dog', ' ran in the park ' || i) - gpt_logprob('dog@2', 'a dog', ' ran in the park ' || i)) < 1e-3) AS same_2
	FROM generate_series(1, 20) i;
SELECT gpt_generate('dog@4', 'a dog', 12, temperature => 0) = gpt_generate('dog@2', 'a dog', 12, temperature => 0) AS same_text;
SELECT gpt_merge('dog');
BEGIN;
SELECT gpt_merge('dog@1');
ROLLBACK;
SELECT version FROM gpt_models WHERE model = 'dog';
SELECT gpt_finetune('talk', 'SELECT body FROM news', '{"method": "lora", "rank": 1024, "steps": 1, "into": "wide"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SET gpt.max_memory = '2MB';
SELECT gpt_merge('wide');
RESET gpt.max_memory;
SELECT gpt_merge(NULL);
SELECT gpt_drop_model('wide');

-- a classifier: its head belongs to the adapter, whatever the base is
CREATE TABLE animal AS SELECT CASE WHEN i % 2 = 0 THEN 'the cat sat on mat ' || i ELSE 'a dog ran in the park ' || i END AS body,
	CASE WHEN i % 2 = 0 THEN 'cat' ELSE 'dog' END AS label FROM generate_series(1, 200) i;
SELECT gpt_finetune('talk', 'SELECT body, label FROM animal', '{"method": "lora", "steps": 40, "into": "which"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_classify('which', 'the cat sat on mat 7'), gpt_classify('which', 'a dog ran in the park 8'), cardinality(gpt_embed('which', 'a cat'));
SELECT gpt_merge('which');
SELECT version, base FROM gpt_versions WHERE model = 'which' ORDER BY version;
SELECT gpt_finetune('which@2', 'SELECT body, label FROM animal',
	'{"method": "lora", "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "beside"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('which@1', 'SELECT body, label FROM animal',
	'{"method": "lora", "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "further"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, base FROM gpt_models WHERE model IN ('beside', 'further') ORDER BY model;
SELECT m AS model, bool_and(abs(a.probability - b.probability) < 0.2) AS same FROM unnest('{which@2,beside,further}'::text[]) m,
	gpt_classify_probs('which@1', 'the dog sat in the park') a, gpt_classify_probs(m, 'the dog sat in the park') b WHERE a.label = b.label GROUP BY m ORDER BY m;
SELECT gpt_finetune('which@1', 'SELECT body FROM animal', '{"method": "lora", "steps": 1}');
SELECT gpt_drop_model('which');
SELECT gpt_drop_model('which', true), gpt_drop_model('further');
DROP TABLE animal;

-- the base cannot go while adapters rest on it
SELECT gpt_drop_model('talk');
SELECT gpt_drop_model('talk', false);
SELECT gpt_copy_model('dog@1', 'twin');
SELECT model, version, base FROM gpt_versions WHERE model = 'twin';
SELECT gpt_score('twin', 'a dog ran') = gpt_score('dog@1', 'a dog ran') AS same;
SELECT gpt_rename_model('talk', 'speaker');
SELECT model, version, base FROM gpt_versions WHERE base IS NOT NULL ORDER BY model, version;
SELECT gpt_score('twin', 'a dog ran') > 0 AS scored;

-- nor be left behind by keep_versions
SELECT gpt_finetune('speaker', 'SELECT body FROM news', '{"steps": 2, "keep_versions": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('speaker', 'SELECT body FROM news', '{"steps": 2, "keep_versions": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT version FROM gpt_versions WHERE model = 'speaker' ORDER BY version;

-- an adapter in a new version of its own base
SELECT gpt_finetune('speaker', 'SELECT body FROM news', '{"method": "lora", "steps": 2, "keep_versions": 1, "targets": "attention,down", "lora_dropout": 0.1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT version, base FROM gpt_versions WHERE model = 'speaker' ORDER BY version;
SELECT gpt_score('speaker', 'a dog ran') > 0 AS scored;
SELECT config->>'lora_targets' AS targets FROM gpt_version WHERE model = 'speaker' AND version = 4;

-- a base with other weights, or none, is an error and reported
BEGIN;
UPDATE gpt_version SET base_sha256 = sha256 WHERE model = 'twin';
SELECT gpt_score('twin', 'a dog ran');
ROLLBACK;
BEGIN;
DELETE FROM gpt_version WHERE model = 'speaker' AND version = 1;
SELECT kind, object, detail FROM gpt_check() WHERE kind = 'missing base' ORDER BY object;
SELECT gpt_score('twin', 'a dog') > 0 AS loaded_before;
ROLLBACK;
\c
SET client_min_messages = warning;
BEGIN;
DELETE FROM gpt_version WHERE model = 'speaker' AND version = 1;
SELECT gpt_score('twin', 'a dog ran');
ROLLBACK;
SELECT kind, object FROM gpt_check();

-- whoever may use the adapter may use it with its base
CREATE ROLE regress_gpt_lora LOGIN;
GRANT CREATE ON SCHEMA public TO regress_gpt_lora;
GRANT EXECUTE ON FUNCTION gpt_finetune TO regress_gpt_lora;
GRANT SELECT ON news TO regress_gpt_lora;
SELECT gpt_grant('twin', 'regress_gpt_lora');
SET ROLE regress_gpt_lora;
SELECT gpt_score('twin', 'a dog ran') > 0 AS scored;
SELECT gpt_score('speaker', 'a dog ran');
SELECT gpt_merge('twin');
SELECT gpt_finetune('twin', 'SELECT body FROM news', '{"method": "lora", "steps": 2, "into": "hers"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, base, owner FROM gpt_models WHERE model = 'hers';
SELECT gpt_merge('hers');
SELECT version, base FROM gpt_models WHERE model = 'hers';
RESET ROLE;

-- 32 adapters share the image of their base
CREATE VIEW loaded AS SELECT count(*) AS models, sum(total_bytes) AS bytes FROM pg_backend_memory_contexts WHERE ident = 'gpt model';
\set ECHO none
\o /dev/null
SELECT CASE WHEN half = 1 THEN format('SELECT gpt_finetune(''speaker@1'', ''SELECT body FROM news'', ''{"method": "lora", "rank": 1, "targets": "attention", "steps": 1, "batch_size": 1, "seed": %s, "into": "many%s"}'')', i, i)
	ELSE 'SELECT gpt_wait(max(job), ''300 s'') FROM gpt_jobs' END FROM generate_series(1, 32) i, generate_series(1, 2) half ORDER BY i, half \gexec
\o
\set ECHO all
SELECT count(*) AS succeeded FROM gpt_jobs WHERE model LIKE 'many%' AND state = 'succeeded';
SELECT count(DISTINCT sha256) AS contents FROM gpt_version WHERE model LIKE 'many%';
\c
SET client_min_messages = warning;
SELECT gpt_score('speaker@1', 'x') > 0 AS scored;
SELECT bytes AS base_bytes FROM loaded \gset
SELECT size AS image_bytes FROM gpt_images WHERE model = 'speaker' AND version = 1 \gset
SELECT count(*) FILTER (WHERE gpt_score('many' || i, 'x') > 0) AS scored FROM generate_series(1, 32) i;
SELECT models, (bytes - :base_bytes) / 32 < :image_bytes / 4 AS small FROM loaded;

-- where memory is short the room that a text needs goes with each use, and the adapters stay
\c
SET client_min_messages = warning;
SET gpt.max_memory = '1MB';
SELECT count(*) FILTER (WHERE gpt_score('many' || i, 'x') > 0) AS scored FROM generate_series(1, 32) i;
SELECT models = 33 AS all_stay FROM loaded;
RESET gpt.max_memory;

-- all of them go with the base, of whatever owner
SELECT gpt_drop_model('speaker', cascade => true);
SELECT model, version, base FROM gpt_versions ORDER BY model, version;
SELECT kind, object FROM gpt_check();
SELECT gpt_drop_model('dog'), gpt_drop_model('hers');
SELECT count(*) FROM gpt_version;
DROP VIEW loaded;
REVOKE ALL ON FUNCTION gpt_finetune FROM regress_gpt_lora;
REVOKE CREATE ON SCHEMA public FROM regress_gpt_lora;
DROP TABLE speech, news;
DROP ROLE regress_gpt_lora;
