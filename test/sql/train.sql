-- a table of text becomes a model

CREATE TABLE speech (id int, body text);
INSERT INTO speech SELECT i, 'speaker ' || i % 7 || ' says: ' || repeat('word' || i % 13 || ' ', 3 + i % 5) || i FROM generate_series(1, 300) i;
INSERT INTO speech VALUES (301, NULL), (302, '');

-- tiny models, the same in every test below
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 2, "channels": 16, "context": 32, "vocabulary": 300, "steps": 20, "batch_size": 8}'::jsonb || further $$;

SELECT gpt_train('plain', 'SELECT body FROM speech', tiny()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, step, steps, documents, skipped, bytes > 0 AS bytes, corpus_tokens > 0 AS tokens, tries, error,
	started_at >= created_at AS started, finished_at >= started_at AS finished
FROM gpt_jobs WHERE job = :job;

-- the log has the first and the last step, validations, and a loss that falls
SELECT min(step), max(step), count(validation_loss) > 1 AS validated FROM gpt_train_log WHERE job = :job;
SELECT first.loss > last.loss AS fallen, first.learning_rate > 0 AS rate, last.grad_norm > 0 AS norm, last.tokens_per_second > 0 AS speed
FROM gpt_train_log first, gpt_train_log last WHERE first.job = :job AND last.job = :job AND first.step = 1 AND last.step = 20;
SELECT count(*) AS progress FROM gpt_stat_progress_train WHERE job = :job;

-- the model is there, and its numbers are those of the log
SELECT model, version, architecture, context, vocabulary <= 300 AS vocabulary, parameters > 0 AS parameters, size > 0 AS size
FROM gpt_models WHERE model = 'plain';
SELECT m.validation_loss = l.validation_loss AS best FROM gpt_models m, gpt_train_log l
WHERE m.model = 'plain' AND l.job = :job ORDER BY l.validation_loss LIMIT 1;
SELECT conditions ->> 'layers' AS layers, conditions ->> 'steps' AS steps, conditions ->> 'precision' IN ('float32', 'bfloat16') AS precision,
	conditions ->> 'optimizer' AS optimizer, conditions ? 'cpu' AS cpu, conditions ? 'kernels' AS kernels, conditions ? 'threads' AS threads
FROM gpt_jobs WHERE job = :job;

-- the name is taken now
SELECT gpt_train('plain', 'SELECT body FROM speech', tiny());

-- the same rows in another order give the same weights
CREATE TABLE speech_again AS SELECT * FROM speech ORDER BY md5(id::text);
SELECT gpt_train('again', 'SELECT body FROM speech_again', tiny()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('other_seed', 'SELECT body FROM speech_again', tiny('{"seed": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE FUNCTION weights(name text) RETURNS bytea LANGUAGE SQL AS
	$$ SELECT sha256(substring(lo_get(weights) FROM 1 + 8 + (get_byte(lo_get(weights, 0, 2), 0) + 256 * get_byte(lo_get(weights, 0, 2), 1)))) FROM gpt_models WHERE model = name $$;
SELECT weights('plain') = weights('again') AS same_weights, weights('plain') = weights('other_seed') AS same_with_other_seed;

-- tokenizers, documents and sides
SELECT gpt_train('bytes', 'SELECT body FROM speech', tiny('{"tokenizer": "bytes", "vocabulary": null}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('chars', 'SELECT body FROM speech', tiny('{"tokenizer": "chars", "vocabulary": null, "documents": "joined"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('column', 'SELECT body, id % 10 = 0 AS is_validation FROM speech', tiny('{"publish": "last", "position": "sinusoidal"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('query', 'SELECT body FROM speech WHERE id <= 250 ORDER BY id',
	tiny('{"shuffle": false, "vocabulary": 290, "validation_query": "SELECT body FROM speech WHERE id > 250"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
-- the modern family, a switch of it taken back, trained on and generating
SELECT gpt_train('modern', 'SELECT body FROM speech', tiny('{"family": "modern", "optimizer": "muon", "mlp": "gelu"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT config -> 'norm' AS norm, config -> 'position' AS position, config -> 'mlp' AS mlp, config -> 'qk_norm' AS qk_norm, config -> 'bias' AS bias,
	config -> 'architecture' AS architecture FROM gpt_version WHERE model = 'modern';
SELECT gpt_finetune('modern', 'SELECT body FROM speech', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_score('modern', 'the king') BETWEEN 1 AND 1000 AS scores, length(gpt_generate('modern', 'the king', max_tokens => 20, seed => 1)) > 0 AS generates;
SELECT gpt_train('none', 'SELECT body FROM speech', tiny('{"validation_fraction": 0, "bias": false, "tie_embeddings": false, "mlp": "gelu", "dropout": 0.1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('single', 'SELECT string_agg(body, E''\n'' ORDER BY id) AS body FROM speech', tiny('{"documents": "joined", "accumulate": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, vocabulary, validation_loss IS NOT NULL AS validated, validation_bits_per_byte > 0 AS bits, loss > 0 AS loss
FROM gpt_models WHERE model IN ('bytes', 'chars', 'column', 'query', 'none', 'single') ORDER BY model;
SELECT j.model, j.documents, j.skipped FROM gpt_jobs j WHERE j.model IN ('query', 'single') ORDER BY model;

-- epochs instead of steps
SELECT gpt_train('epochs', 'SELECT body FROM speech', tiny('{"steps": null, "epochs": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT steps > 20 AS more_steps, round((conditions ->> 'epochs')::numeric) AS epochs FROM gpt_jobs WHERE job = :job;

SELECT gpt_drop_model(model) FROM gpt_models ORDER BY model;
DROP TABLE speech, speech_again;
DROP FUNCTION tiny, weights;
