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
SELECT model, architecture, parameters FROM gpt_models ORDER BY model;
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

-- each answer of a conversation is learnt after all that stands before it, which the encoder reads, in training as in use
CREATE TABLE talk AS SELECT i, jsonb_build_array('{"role": "user", "content": "hi"}'::jsonb, '{"role": "assistant", "content": "yo"}'::jsonb,
	jsonb_build_object('role', 'user', 'content', w), jsonb_build_object('role', 'assistant', 'content', reverse(w))) AS messages
FROM unnest('{one,two,ten,six}'::text[]) w, generate_series(1, 25) i;
\set talk '"chat_template": {"user": "U{content}#", "assistant": "A{content}#"}, "layers": 1, "encoder_layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "batch_size": 16, "learning_rate": 0.01'
SELECT gpt_train('talk_decoder', 'SELECT messages FROM talk', ('{"validation_fraction": 0, "steps": 1, ' || replace(:'talk', '"encoder_layers": 1, ', '') || '}')::jsonb) AS decoder,
	gpt_train('talk_prefix', 'SELECT messages FROM talk', ('{"validation_fraction": 0, "steps": 1, "architecture": "prefix", ' || replace(:'talk', '"encoder_layers": 1, ', '') || '}')::jsonb) AS prefix,
	gpt_train('talk_both', 'SELECT messages FROM talk', ('{"validation_query": "SELECT messages FROM talk WHERE i < 5", "steps": 150, "architecture": "encoder_decoder", ' || :'talk' || '}')::jsonb) AS both \gset
SELECT gpt_wait(:decoder), gpt_wait(:prefix), gpt_wait(:both);
SELECT j.model, (conditions ->> 'training_tokens')::int / 100 AS tokens, length('Uhi#Ayo#') - 1 AS first, length('Uhi#Ayo#Uone#Aeno#') - 1 AS second FROM gpt_jobs j
WHERE job IN (:decoder, :prefix, :both) ORDER BY job;
SELECT w, gpt_chat('talk_both', jsonb_build_array(messages -> 0, messages -> 1, messages -> 2), temperature => 0) AS answer FROM unnest('{one,six}'::text[]) w, talk
WHERE i = 1 AND messages #>> '{2,content}' = w ORDER BY w;
SELECT abs(m.validation_loss - e.value) < 1e-4 AS same_loss FROM gpt_models m, gpt_evaluate('talk_both', 'SELECT messages FROM talk WHERE i < 5', '{"generate": false}') e
WHERE m.model = 'talk_both' AND metric = 'loss';
SELECT gpt_finetune('talk_both', 'SELECT messages FROM talk', '{"steps": 1, "validation_fraction": 0, "context": 12}') AS job \gset
SELECT gpt_wait(:job);
SELECT (conditions ->> 'training_tokens')::int / 100 AS tokens FROM gpt_jobs WHERE job = :job;

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
DROP TABLE pair, label, talk;
