-- switches of the model family: trained, generating, scored, fine-tuned
SET client_min_messages = warning;
CREATE TABLE speech AS SELECT 'the king of the hill ' || i AS body FROM generate_series(1, 200) i;
CREATE FUNCTION tiny(more jsonb) RETURNS jsonb LANGUAGE SQL AS
	$$ SELECT '{"layers": 2, "heads": 4, "channels": 32, "context": 32, "vocabulary": 280, "steps": 20, "batch_size": 8}'::jsonb || more $$;
-- the switches of Llama, of Gemma and of GPT-NeoX
SELECT gpt_train('llama', 'SELECT body FROM speech', tiny('{"mlp": "swiglu", "kv_heads": 2, "head_size": 16, "qk_norm": false, "qkv_bias": "yes"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('gemma', 'SELECT body FROM speech', tiny('{"mlp": "geglu", "kv_heads": 1, "post_norm": true, "embedding_scale": 5.5,
	"attention_scale": 0.3, "attention_softcap": 50, "logit_softcap": 30, "window": 8, "window_period": 2, "window_full": 1, "rope_local_base": 100}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('neox', 'SELECT body FROM speech', tiny('{"mlp": "gelu", "norm": "layernorm", "bias": true, "rotary_size": 4, "parallel_residual": true, "nope_period": 2, "optimizer": "adamw"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, config -> 'mlp' AS mlp, config -> 'mlp_channels' AS mlp_channels, config -> 'kv_heads' AS kv_heads, config -> 'head_size' AS head_size, config -> 'qkv_bias' AS qkv_bias,
	config -> 'rotary_size' AS rotary_size, config -> 'nope_period' AS nope_period, config -> 'window' AS window, config -> 'window_period' AS period, config -> 'window_full' AS "full"
FROM gpt_version ORDER BY model;
SELECT model, config -> 'rope_local_base' AS rope_local_base, config -> 'parallel_residual' AS parallel_residual, config -> 'post_norm' AS post_norm, config -> 'embedding_scale' AS embedding_scale,
	config -> 'attention_scale' AS attention_scale, config -> 'attention_softcap' AS attention_softcap, config -> 'logit_softcap' AS logit_softcap, config -> 'architecture' AS architecture
FROM gpt_version ORDER BY model;
SELECT model, gpt_score(model, 'the king of the hill') < gpt_score(model, 'hill king the of') AS learnt, length(gpt_generate(model, 'the king', max_tokens => 20, seed => 1)) > 0 AS generates
FROM gpt_models ORDER BY model;
-- a fine-tune has the shape of its base: steps of no length leave the scores; an adapter starts as its base
SELECT gpt_finetune('gemma', 'SELECT body FROM speech', '{"steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "copy_gemma"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('llama', 'SELECT body FROM speech', '{"steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "copy_llama"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('neox', 'SELECT body FROM speech', '{"steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0, "into": "copy_neox"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('gemma', 'SELECT body FROM speech', '{"method": "lora", "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "into": "lora_gemma"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('llama', 'SELECT body FROM speech', '{"method": "lora", "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "into": "lora_llama"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT a.model, abs(gpt_score(a.model, 'the king of the hill') / gpt_score(b.model, 'the king of the hill') - 1) < 1e-4 AS same
FROM gpt_models a JOIN gpt_models b ON a.model LIKE '%\_' || b.model ORDER BY a.model;
-- an architecture that Transformers does not have
SELECT gpt_export_file('neox', 'config.json');
-- sizes that do not go together
SELECT gpt_train('wrong', 'SELECT body FROM speech', tiny('{"kv_heads": 3}'));
SELECT gpt_train('wrong', 'SELECT body FROM speech', tiny('{"rotary_size": 5}'));
SELECT gpt_train('wrong', 'SELECT body FROM speech', tiny('{"parallel_residual": true, "post_norm": true}'));
SELECT gpt_drop_model(model) FROM (SELECT model FROM gpt_models ORDER BY model DESC) models;
DROP TABLE speech;
DROP FUNCTION tiny;
