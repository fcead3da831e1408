-- prefixes and encoders: training, fine-tunes, and what they exclude
SET client_min_messages = warning;
CREATE TABLE pair AS SELECT 'say ' || w || ' ' || i AS prompt, reverse(w) || ' ' || i AS completion
FROM unnest('{one,two,three,four}'::text[]) w, generate_series(1, 50) i;
CREATE TABLE label AS SELECT prompt AS text, left(completion, 1) AS label FROM pair;
\set shape '"layers": 2, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 16, "steps": 10'

-- options that exclude one another
SELECT gpt_train('no', 'SELECT * FROM pair', '{"encoder_layers": 2}');
SELECT gpt_train('no', 'SELECT * FROM pair', '{"architecture": "encoder"}');
SELECT gpt_train('no', 'SELECT * FROM pair', '{"architecture": "prefix", "window": 8}');
SELECT gpt_train('no', 'SELECT * FROM pair', '{"architecture": "encoder_decoder", "documents": "joined"}');
SELECT gpt_train('no', 'SELECT * FROM pair', '{"architecture": "encoder_decoder", "parallel_residual": true}');
SELECT gpt_train('no', 'SELECT prompt AS body FROM pair', '{"architecture": "encoder_decoder"}');
SELECT gpt_train('no', 'SELECT * FROM label', '{"architecture": "encoder_decoder"}');

-- each architecture trains, and says what it is
SELECT gpt_train('decoder', 'SELECT * FROM pair', ('{"architecture": "decoder", ' || :'shape' || '}')::jsonb) AS decoder,
	gpt_train('prefix', 'SELECT * FROM pair', ('{"architecture": "prefix", ' || :'shape' || '}')::jsonb) AS prefix,
	gpt_train('both', 'SELECT * FROM pair', ('{"architecture": "encoder_decoder", "encoder_layers": 3, ' || :'shape' || '}')::jsonb) AS both,
	gpt_train('labels', 'SELECT * FROM label', ('{"architecture": "prefix", ' || :'shape' || '}')::jsonb) AS labels \gset
SELECT gpt_wait(:decoder), gpt_wait(:prefix), gpt_wait(:both), gpt_wait(:labels);
SELECT model, conditions -> 'architecture' AS architecture, conditions -> 'layers' AS layers, conditions -> 'encoder_layers' AS encoder_layers
FROM gpt_jobs WHERE job IN (:decoder, :prefix, :both, :labels) ORDER BY job;
SELECT model, parameters FROM gpt_models ORDER BY model;
SELECT config ->> 'architecture' AS architecture, config -> 'encoder_layers' AS encoder_layers FROM gpt_version WHERE model = 'both';

-- the same seed gives the same weights
SELECT gpt_train('again', 'SELECT * FROM pair', ('{"architecture": "encoder_decoder", "encoder_layers": 3, ' || :'shape' || '}')::jsonb) AS job \gset
SELECT gpt_wait(:job);
SELECT count(DISTINCT validation_loss) FROM gpt_version WHERE model IN ('both', 'again');

-- a decoder becomes prefix, since the weights are the same; nothing else changes its architecture
SELECT gpt_finetune('decoder', 'SELECT * FROM pair', '{"architecture": "prefix", "steps": 2, "into": "turned"}') AS job \gset
SELECT gpt_wait(:job);
SELECT config ->> 'architecture' AS architecture FROM gpt_version WHERE model = 'turned';
SELECT gpt_finetune('both', 'SELECT * FROM pair', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job);
SELECT version, config ->> 'architecture' AS architecture FROM gpt_version WHERE model = 'both' ORDER BY 1;
SELECT gpt_finetune('prefix', 'SELECT * FROM pair', '{"architecture": "decoder"}');
SELECT gpt_finetune('decoder', 'SELECT * FROM pair', '{"architecture": "encoder_decoder"}');
SELECT gpt_finetune('decoder', 'SELECT * FROM pair', '{"architecture": "prefix", "method": "lora"}');
SELECT gpt_finetune('both', 'SELECT * FROM label', '{"into": "labels2"}');
SELECT gpt_finetune('both', 'SELECT prompt AS body FROM pair', '{"into": "texts"}');

-- adapters, copies, merges; other programs do not know these models
SELECT gpt_finetune('both', 'SELECT * FROM pair', '{"method": "lora", "steps": 2, "into": "adapter"}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_merge('adapter');
SELECT gpt_copy_model('both', 'copy');
SELECT config ->> 'architecture' AS architecture, model FROM gpt_version WHERE model IN ('adapter', 'copy') ORDER BY model, version;
SELECT gpt_export('both');
SELECT gpt_export('prefix', 'gguf');
SELECT gpt_import('imported', weights, '{"tokenizer": "both"}') FROM gpt_models WHERE model = 'both';
SELECT gpt_drop_model('adapter');
SELECT count(gpt_drop_model(model)) FROM gpt_models;
DROP TABLE pair, label;
