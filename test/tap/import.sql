-- test/tap/import.sql - model files of other projects become versions, or errors that name what is wrong.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

-- files are made here: a tiny GPT-2 of four letters, as safetensors and as GGUF
CREATE FUNCTION reversed(b bytea) RETURNS bytea LANGUAGE sql AS
	$$SELECT coalesce(string_agg(substr(b, i, 1), ''::bytea ORDER BY i DESC), '') FROM generate_series(1, length(b)) i$$;
CREATE FUNCTION floats(x real[]) RETURNS bytea LANGUAGE sql AS
	$$SELECT string_agg(reversed(float4send(v)), ''::bytea ORDER BY o) FROM unnest(x) WITH ORDINALITY u(v, o)$$;
-- bfloat16 is the upper half of a float; floats that it holds are numbers of eighths here
CREATE FUNCTION halves(x real[]) RETURNS bytea LANGUAGE sql AS
	$$SELECT string_agg(reversed(substr(float4send(v), 1, 2)), ''::bytea ORDER BY o) FROM unnest(x) WITH ORDINALITY u(v, o)$$;
CREATE FUNCTION transposed(x real[], n_rows int, n_columns int) RETURNS real[] LANGUAGE sql AS
	$$SELECT array_agg(x[r * n_columns + c + 1] ORDER BY c, r) FROM generate_series(0, n_rows - 1) r, generate_series(0, n_columns - 1) c$$;
CREATE TYPE tensor AS (name text, shape int[], x real[], dtype text);
CREATE TABLE gpt2 OF tensor;
INSERT INTO gpt2 SELECT 'transformer.' || name, shape, (SELECT array_agg(round(sin(i * 12.9898 + length(name)) * 8) / 8 + (CASE WHEN name LIKE '%ln%weight' THEN 1 ELSE 0 END))
		FROM generate_series(1, shape[1] * coalesce(shape[2], 1)) i), 'F32'
	FROM (VALUES ('wte.weight', '{4,4}'::int[]), ('wpe.weight', '{8,4}'), ('h.0.ln_1.weight', '{4}'), ('h.0.ln_1.bias', '{4}'), ('h.0.attn.c_attn.weight', '{4,12}'),
		('h.0.attn.c_attn.bias', '{12}'), ('h.0.attn.c_proj.weight', '{4,4}'), ('h.0.attn.c_proj.bias', '{4}'), ('h.0.ln_2.weight', '{4}'), ('h.0.ln_2.bias', '{4}'),
		('h.0.mlp.c_fc.weight', '{4,16}'), ('h.0.mlp.c_fc.bias', '{16}'), ('h.0.mlp.c_proj.weight', '{16,4}'), ('h.0.mlp.c_proj.bias', '{4}'), ('ln_f.weight', '{4}'), ('ln_f.bias', '{4}'))
		t(name, shape);
CREATE FUNCTION bytes_of(t tensor) RETURNS bytea LANGUAGE sql AS $$SELECT CASE WHEN (t).dtype = 'BF16' THEN halves((t).x) ELSE floats((t).x) END$$;
CREATE FUNCTION safetensors(query text) RETURNS oid LANGUAGE plpgsql AS $$
DECLARE
	t tensor;
	header text := '{"__metadata__": {"format": "pt"}';
	data bytea := '';
	b bytea;
BEGIN
	FOR t IN EXECUTE query LOOP
		b := bytes_of(t);
		header := header || format(', "%s": {"dtype": "%s", "shape": %s, "data_offsets": [%s, %s]}', t.name, t.dtype, to_json(t.shape), length(data), length(data) + length(b));
		data := data || b;
	END LOOP;
	header := header || '}';
	RETURN lo_from_bytea(0, reversed(int8send(length(header))) || convert_to(header, 'UTF8') || data);
END $$;
CREATE FUNCTION config(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
	$$SELECT '{"model_type": "gpt2", "vocab_size": 4, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2, "eos_token_id": 3}' || more$$;
CREATE FUNCTION options(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
	$$SELECT jsonb_build_object('config', config(more), 'tokenizer', 'abcd')$$;
CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
	RETURN sqlstate || ' ' || message || coalesce(nullif(': ' || detail, ': '), '');
END $$;
CREATE FUNCTION tokenizer(letters text) RETURNS text LANGUAGE sql AS
	$$SELECT jsonb_build_object('pre_tokenizer', '{"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}'::jsonb,
		'decoder', '{"type": "Fuse"}'::jsonb, 'added_tokens', '[]'::jsonb,
		'model', jsonb_build_object('type', 'WordLevel', 'unk_token', '<|unknown|>', 'vocab', (SELECT jsonb_object_agg(substr(letters, i, 1), i - 1) FROM generate_series(1, length(letters)) i)))$$;
SELECT is(gpt_import_tokenizer('abcd', tokenizer('abcd')), 4, 'a tokenizer of four letters');

-- one file
SELECT safetensors('SELECT * FROM gpt2') AS file \gset
SELECT is(gpt_import('m', :file, options()), 1, 'a file becomes version 1');
SELECT is((SELECT (config->'source') || jsonb_build_object('end', config->'end_tokens') FROM gpt_version WHERE model = 'm'),
	'{"format": "safetensors", "quantization": "F32", "end": [3]}', 'its row says where it came from, and what ends a text');
SELECT is((SELECT architecture || context || vocabulary || ' ' || parameters || ' ' || owner FROM gpt_models WHERE model = 'm'), 'gpt284 300 postgres', 'the view shows it');
SELECT gpt_score('m', 'abcdabcd') AS score \gset
SELECT ok(:score BETWEEN 1 AND 10000, 'it scores a text');
SELECT is(gpt_import('m', ARRAY[:file]::oid[], options()), 2, 'a further import is version 2');
SELECT is(gpt_score('m', 'abcdabcd'), :score::float8, 'of the same score');
SELECT is((SELECT count(*) FROM gpt_versions v JOIN gpt_versions w USING (model, size) WHERE v.version = 1 AND w.version = 2 AND v.weights <> w.weights), 1::bigint, 'with an object of its own');
SELECT lo_unlink(:file);
SELECT is(gpt_score('m', 'abcdabcd'), :score::float8, 'the file is not needed any more');

-- the same in other files
SELECT is(gpt_import('parts', ARRAY[safetensors($$SELECT * FROM gpt2 WHERE name LIKE '%.h.%'$$), safetensors($$SELECT * FROM gpt2 WHERE name NOT LIKE '%.h.%'$$)], options()), 1,
	'a file in two parts');
SELECT is(gpt_score('parts', 'abcdabcd'), :score::float8, 'has the same score');
SELECT is(gpt_import('short', safetensors($$SELECT replace(name, 'transformer.', ''), shape, x, dtype FROM gpt2 UNION ALL SELECT 'h.0.attn.bias', '{1,1,2,2}', '{1,0,1,1}', 'I32'
	UNION ALL SELECT 'lm_head.weight', shape, x, dtype FROM gpt2 WHERE name LIKE '%wte%'$$), options()), 1, 'names without their beginning, a mask, a second copy of the embeddings');
SELECT is(gpt_score('short', 'abcdabcd'), :score::float8, 'have the same score');
SELECT is(gpt_import('head', safetensors($$SELECT replace(name, 'transformer.wte', 'lm_head'), shape, x, dtype FROM gpt2$$), options()), 1, 'embeddings under the name of the head');
SELECT is(gpt_score('head', 'abcdabcd'), :score::float8, 'have the same score');
SELECT is(gpt_import('bf16', safetensors($$SELECT name, shape, x, 'BF16' FROM gpt2$$), options()), 1, 'bfloat16 is kept');
SELECT is(gpt_import('wide', safetensors($$SELECT name, shape, x, 'BF16' FROM gpt2$$), options() || '{"type": "float32"}'), 1, 'or becomes float32');
SELECT set_eq($$SELECT model, image_type FROM gpt_models WHERE model IN ('wide', 'bf16')$$, $$VALUES ('wide', 'float32'), ('bf16', 'bfloat16')$$,
	'images have the type of the file');
SELECT ok((SELECT size FROM gpt_models WHERE model = 'wide') - (SELECT size FROM gpt_models WHERE model = 'bf16') BETWEEN 500 AND 700, 'which is larger by half of it');
SELECT is(gpt_score('wide', 'abcdabcd'), :score::float8, 'and has the same score');
SELECT is(gpt_import('narrow', safetensors('SELECT * FROM gpt2'), options() || '{"type": "bfloat16", "context": 5}'), 1, 'float32 becomes bfloat16, with fewer positions');
SELECT is((SELECT context FROM gpt_models WHERE model = 'narrow'), 5, 'the context is the smaller one');
SELECT is(gpt_score('narrow', 'abcd'), gpt_score('bf16', 'abcd'), 'the score is that of bfloat16');
SELECT is(gpt_import('padded', safetensors('SELECT * FROM gpt2'), options() || jsonb_build_object('tokenizer', tokenizer('abc'))), 1, 'a tokenizer of three tokens for a model of four');
SELECT is((SELECT vocabulary FROM gpt_models WHERE model = 'padded') || gpt_detokenize('padded', '{0,2,3}'), '4ac', 'gets a special one, which has no text');

-- a version's object is a file, too
SELECT weights FROM gpt_models WHERE model = 'bf16' \gset
SELECT is(gpt_import('again', :weights, '{"tokenizer": "m"}'), 1, 'the object of a version has its configuration');
SELECT is(gpt_score('again', 'abcdabcd'), gpt_score('bf16', 'abcdabcd'), 'and the same score');

-- GGUF: not transposed, in another order, with metadata
CREATE FUNCTION le(n bigint, size int) RETURNS bytea LANGUAGE sql AS $$SELECT substr(reversed(int8send(n)), 1, size)$$;
CREATE FUNCTION gguf_text(t text) RETURNS bytea LANGUAGE sql AS $$SELECT le(octet_length(t), 8) || convert_to(t, 'UTF8')$$;
CREATE FUNCTION gguf_token(t text) RETURNS bytea LANGUAGE sql AS $$SELECT le(octet_length(t), 4) || convert_to(t, 'UTF8')$$;
CREATE FUNCTION gguf_names(name text) RETURNS text LANGUAGE sql AS $$SELECT CASE name WHEN 'transformer.wte.weight' THEN 'token_embd.weight' WHEN 'transformer.wpe.weight' THEN 'position_embd.weight'
	ELSE replace(replace(replace(replace(replace(replace(replace(replace(replace(name, 'transformer.', ''), 'h.0', 'blk.0'), 'ln_1', 'attn_norm'), 'ln_2', 'ffn_norm'), 'attn.c_attn', 'attn_qkv'),
		'attn.c_proj', 'attn_output'), 'mlp.c_fc', 'ffn_up'), 'mlp.c_proj', 'ffn_down'), 'ln_f', 'output_norm') END$$;
CREATE FUNCTION gguf(query text, more bytea DEFAULT '', n_more int DEFAULT 0, heads int DEFAULT 2) RETURNS oid LANGUAGE plpgsql AS $$
DECLARE
	t tensor;
	list bytea := '';
	data bytea := '';
	keys bytea := gguf_text('general.architecture') || le(8, 4) || gguf_text('gpt2');
	n int := 0;
BEGIN
	FOR t IN EXECUTE query LOOP
		list := list || gguf_text(t.name) || le(cardinality(t.shape), 4) || (SELECT string_agg(le(d, 8), ''::bytea ORDER BY o DESC) FROM unnest(t.shape) WITH ORDINALITY u(d, o))
			|| le(CASE t.dtype WHEN 'BF16' THEN 30 ELSE 0 END, 4) || le(length(data), 8);
		data := data || bytes_of(t);
		data := data || decode(repeat('00', (32 - length(data) % 32) % 32), 'hex');
		n := n + 1;
	END LOOP;
	SELECT keys || string_agg(gguf_text('gpt2.' || k) || le(4, 4) || le(v, 4), ''::bytea) INTO keys
	FROM (VALUES ('context_length', 8), ('embedding_length', 4), ('block_count', 1), ('feed_forward_length', 16), ('attention.head_count', heads)) u(k, v);
	keys := keys || gguf_text('gpt2.attention.layer_norm_epsilon') || le(6, 4) || reversed(float4send(1e-5)) || more;
	list := convert_to('GGUF', 'UTF8') || le(3, 4) || le(n, 8) || le(7 + n_more, 8) || keys || list;
	RETURN lo_from_bytea(0, list || decode(repeat('00', (32 - length(list) % 32) % 32), 'hex') || data);
END $$;
CREATE TABLE gguf_gpt2 AS SELECT gguf_names(name) AS name, CASE WHEN name LIKE '%.h.%weight' AND cardinality(shape) = 2 THEN ARRAY[shape[2], shape[1]] ELSE shape END AS shape,
	CASE WHEN name LIKE '%.h.%weight' AND cardinality(shape) = 2 THEN transposed(x, shape[1], shape[2]) ELSE x END AS x, dtype FROM gpt2 ORDER BY name DESC;
SELECT is(gpt_import('gguf', gguf('SELECT * FROM gguf_gpt2'), '{"tokenizer": "abcd"}'), 1, 'a GGUF file needs no configuration');
SELECT is(gpt_score('gguf', 'abcdabcd'), :score::float8, 'and has the same score');
SELECT is(gpt_import('gguf16', gguf($$SELECT name, shape, x, 'BF16' FROM gguf_gpt2$$), '{"tokenizer": "abcd"}'), 1, 'bfloat16 in GGUF');
SELECT is(gpt_score('gguf16', 'abcdabcd'), gpt_score('bf16', 'abcdabcd'), 'has the score of bfloat16');

-- tokenizer.bin of llama2.c: scores of SentencePiece
CREATE FUNCTION tokens_bin(more bytea DEFAULT '') RETURNS oid LANGUAGE sql AS
	$$SELECT lo_from_bytea(0, le(7, 4) || string_agg(reversed(float4send(score)) || gguf_token(token), ''::bytea ORDER BY o) || more)
	FROM (VALUES (0, '<unk>', 0), (1, E'\n<s>\n', 0), (2, E'\n</s>\n', 0), (3, 'a', -9), (4, 'b', -9), (5, ' ', -9), (6, ' a', -1), (7, 'ab', -2)) t(o, token, score)$$;
SELECT is(gpt_import('bin', safetensors($$SELECT name, CASE WHEN name LIKE '%wte%' THEN '{8,4}' ELSE shape END, CASE WHEN name LIKE '%wte%' THEN x || x ELSE x END, dtype FROM gpt2$$),
	jsonb_build_object('config', config('{"vocab_size": 8}'), 'tokenizer', tokens_bin())), 1, 'a tokenizer in a large object');
SELECT is(gpt_tokenize('bin', 'ab'), '{6,4}', 'merges by its scores');
SELECT is(gpt_detokenize('bin', '{1,6,4,2}'), 'ab', 'and knows its ends');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), jsonb_build_object('config', config(), 'tokenizer', tokens_bin('\x00000000ff000000'))), '22000',
	NULL, 'a tokenizer.bin that ends too early');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), jsonb_build_object('config', config(), 'tokenizer', 1)), '42704', 'large object 1 does not exist',
	'a tokenizer in no object');

-- tensors that do not fit
CREATE FUNCTION refused(query text, expected text, more jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE sql AS
	$$SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors(query), options(more))), expected, expected)$$;
SELECT refused($$SELECT * FROM gpt2 WHERE name NOT LIKE '%ln_2.bias'$$, '42704 tensor "transformer.h.0.ln_2.bias" is missing: The configuration has 16 tensors, the files have 15.');
SELECT refused($$SELECT * FROM gpt2 UNION ALL SELECT 'transformer.h.1.ln_1.bias', '{4}', '{1,2,3,4}', 'F32'$$,
	'22023 tensor "transformer.h.1.ln_1.bias" does not belong to the configuration: A model of model_type "gpt" with this configuration has no such parameter.');
SELECT refused('SELECT * FROM gpt2', '22023 tensor "transformer.wte.weight" does not have the shape of the configuration: It has the shape [4, 4], the configuration has [5, 4].', '{"vocab_size": 5}');
SELECT refused($$SELECT name, CASE WHEN name LIKE '%ln_f.bias' THEN '{2,2}' ELSE shape END, x, dtype FROM gpt2$$,
	'22023 tensor "transformer.ln_f.bias" does not have the shape of the configuration: It has 2 dimensions and 2 rows, the configuration has 1 dimension and 4 rows.');
SELECT refused($$SELECT * FROM gpt2 UNION ALL SELECT 'lm_head.weight', shape, (SELECT array_agg(v + 1) FROM unnest(x) v), dtype FROM gpt2 WHERE name LIKE '%wte%'$$,
	'22023 tensor "lm_head.weight" differs from the token embeddings: The configuration has "tie_word_embeddings": true, so that both are one matrix.');
SELECT refused($$SELECT name, shape, x, CASE WHEN name LIKE '%wte%' THEN 'I32' ELSE dtype END FROM gpt2$$, '0A000 tensor "transformer.wte.weight" has type "I32": Supported are F32, F16 and BF16.');
SELECT refused($$SELECT name, shape, x[1:4], dtype FROM gpt2$$, '22P03 safetensors file is not valid: tensor "transformer.wte.weight" has 64 bytes by type and shape, its offsets are 0 and 16.');
SELECT refused($$SELECT name, shape, x, CASE WHEN name LIKE '%wte%' THEN 'Q4' ELSE dtype END FROM gpt2$$, '22P03 safetensors file is not valid: tensor "transformer.wte.weight" has dtype "Q4", which is not read.');
SELECT refused('SELECT * FROM gpt2 UNION ALL SELECT * FROM gpt2 WHERE name LIKE ''%wte%''', '22P03 safetensors file is not valid: the file has two tensors "transformer.wte.weight".');
SELECT is(outcome(format('SELECT gpt_import(%L, ARRAY[%s, %s], %L)', 'bad', safetensors('SELECT * FROM gpt2'), safetensors('SELECT * FROM gpt2 LIMIT 1'), options())),
	'22P03 tensor "transformer.wte.weight" occurs twice', 'a tensor in two files');

-- configurations outside the family
CREATE FUNCTION outside(more jsonb, expected text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', (SELECT weights FROM gpt_models WHERE model = 'bf16'), options(more))),
		'0A000 configuration is outside the supported family: ' || expected, expected)$$;
SELECT outside('{"model_type": "bert"}', 'Field "model_type" is "bert". Supported are: gpt2, gpt_neo, gpt_neox, llama, mistral, qwen2, qwen3, smollm3, gemma2, gemma3_text.');
SELECT outside('{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}, "vision_config": {"image_size": 896}}',
	'Field "vision_config" is an object of 1 field. Models that see images are not supported; a GGUF file of the model has its text part alone.');
SELECT outside('{"num_experts": 8}', 'Field "num_experts" is 8. gpt does not know how the field changes the results of "gpt2".');
SELECT outside('{"quantization_config": {"bits": 4}}', 'Field "quantization_config" is an object of 1 field. gpt does not know how the field changes the results of "gpt2".');
SELECT outside('{"scale_attn_by_inverse_layer_idx": true}', 'Field "scale_attn_by_inverse_layer_idx" is true. gpt does not know how the field changes the results of "gpt2".');
SELECT outside('{"activation_function": "mish"}', 'Field "activation_function" is "mish". Supported are: gelu, gelu_new, gelu_pytorch_tanh, relu2.');
SELECT outside('{"n_embd": "4"}', 'Field "n_embd" is "4". It must be a number.');
SELECT outside('{"n_embd": 4.5}', 'Field "n_embd" is 4.5. It must be an integer above 0.');
SELECT outside('{"n_embd": null}', 'Field "n_embd" is null. It must be a number.');
SELECT outside('{"n_head": 0}', 'Field "n_head" is 0. It must be an integer above 0.');
SELECT outside('{"model_type": "gemma2", "num_attention_heads": 0, "head_dim": 0, "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}', 'Field "num_attention_heads" is 0. It must be an integer above 0.');
SELECT outside('{"tie_word_embeddings": 1}', 'Field "tie_word_embeddings" is 1. It must be true or false.');
SELECT outside('{"model_type": "llama", "rope_scaling": {"type": "longrope", "factor": 2}, "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}',
	'Field "rope_type" is "longrope". Supported are: default, linear, llama3, yarn.');
SELECT outside('{"model_type": "llama", "attention_bias": true, "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}', 'Field "mlp_bias" is missing. It must be as "attention_bias" is.');
SELECT outside('{"model_type": "llama", "hidden_act": "relu", "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}', 'Field "hidden_act" is "relu". Supported are: silu, swish, gelu_pytorch_tanh.');
SELECT outside('{"model_type": "smollm3", "num_hidden_layers": 4, "no_rope_layers": [1, 0, 1, 1], "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}',
	'Field "no_rope_layers" is an array of 4 values. Supported is every n-th layer without positions.');
SELECT outside('{"model_type": "gemma2", "num_hidden_layers": 4, "layer_types": ["full_attention", "full_attention", "full_attention", "sliding_attention"], "n_positions": 0, "n_embd": 0,
	"n_layer": 0, "n_head": 0}', 'Field "layer_types" is an array of 4 values. Supported is every n-th layer without a window, or none.');
SELECT outside('{"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["global"], 3]], "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}',
	'Field "attention_types" is an array of 1 values. It must have global or local for each layer.');
SELECT outside('{"model_type": "gpt_neox", "attention_bias": false, "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}', 'Field "attention_bias" is false. GPT-NeoX is supported with biases.');
SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"config": {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 16}}')),
	'22023 configuration has sizes out of range: It has 32 layers, 16 heads and 8 channels; at most 512 layers are possible.', 'more heads than channels');
SELECT outside('{"model_type": "gemma3_text", "rope_parameters": {"full_attention": "x"}, "n_positions": 0, "n_embd": 0, "n_layer": 0, "n_head": 0}',
	'Field "rope_parameters.full_attention" is "x". It must be an object.');
SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, options('{"n_head": 3}'))), '22023 configuration is outside the supported family: channels 4 is not a multiple of heads 3.',
	'sizes that do not fit');
SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', gguf('SELECT * FROM gguf_gpt2', gguf_text('gpt2.expert_count') || le(4, 4) || le(8, 4), 1), '{"tokenizer": "abcd"}')),
	'0A000 GGUF file is outside the supported family: Key "gpt2.expert_count" is 8. gpt does not know how the key changes the results of "gpt2".', 'experts in GGUF');

SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', gguf('SELECT * FROM gguf_gpt2', heads => 0), '{"tokenizer": "abcd"}')),
	'0A000 GGUF file is outside the supported family: Key "gpt2.attention.head_count" is 0. It must be an integer above 0.', 'no heads in GGUF');

-- arguments
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"tokenizer": "abcd", "colour": 1}'), '22023', 'option "colour" does not exist', 'another option');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"type": "int8"}'), '22023', 'option "type" must be keep, float32 or bfloat16', 'another type');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"context": 0}'), '22023', 'option "context" must be an integer from 1 to 262144', 'no positions');
SELECT throws_ok(format('SELECT gpt_import(%L, %s)', 'bad', :weights), '22023', 'the tokenizer of the model is missing', 'no tokenizer');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"tokenizer": "none"}'), '42704', 'tokenizer or model "none" does not exist', 'a tokenizer that does not exist');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, jsonb_build_object('tokenizer', tokenizer('abcde'))), '22023', 'tokenizer has 5 tokens, the model has 4', 'too many tokens');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), '{"tokenizer": "abcd"}'), '22023', 'the configuration of the model is missing', 'no configuration');
SELECT throws_ok($$SELECT gpt_import('bad', 1)$$, '42704', 'large object 1 does not exist', 'no object');
SELECT throws_ok($$SELECT gpt_import('bad', '{}'::oid[])$$, '22023', 'objects must be a list of large objects, without null', 'an empty list');
SELECT throws_ok($$SELECT gpt_import('bad', '{1,1}'::oid[])$$, '22023', 'large object 1 is given twice', 'an object twice');
SELECT throws_ok($$SELECT gpt_import(NULL, 1)$$, '22004', 'model must not be null', 'no model');
SELECT throws_ok($$SELECT gpt_import('bad@1', 1)$$, '42704', '"bad@1" names one version of a model', 'a version');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'bad', lo_from_bytea(0, content), options()), '22P03', NULL, 'no model file: ' || left(encode(content, 'escape'), 20))
FROM (VALUES (''::bytea), ('GGUF'), ('hello'), ('\x0800000000000000'::bytea || '{"a": 1}'), ('\xff00000000000000'::bytea || '{}'), (convert_to(repeat('x', 100), 'UTF8'))) c(content);
CREATE FUNCTION hint_of(statement text) RETURNS text LANGUAGE plpgsql AS
	$$DECLARE hint text; BEGIN EXECUTE statement; RETURN NULL; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT; RETURN hint; END$$;
SELECT matches(hint_of(format('SELECT gpt_import(%L, %s)', 'bad', lo_from_bytea(0, content))), hint, hint)
FROM (VALUES ('version https://git-lfs.github.com/spec/v1'::bytea, 'git lfs pull'), ('\xff00000000000000'::bytea || '{}', 'may be cut off')) c(content, hint);
SELECT matches(hint_of(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, '{"tokenizer": "tokenizer.json"}')), 'gpt_tokenizers', 'a name of a file as a tokenizer');
SELECT matches(hint_of(format('SELECT gpt_import(%L, %s, %L)', 'bad', :weights, jsonb_build_object(option, option || '.json'))), 'the text of ' || option || '.json, not the name', option)
FROM unnest(ARRAY['config', 'generation_config', 'tokenizer_config']) option;
SELECT matches(hint_of(format('SELECT gpt_import(%L, %s)', 'bad', :weights)), 'large object with tokenizer.model', 'no tokenizer');
SELECT is((SELECT count(*) FROM gpt_versions WHERE model = 'bad'), 0::bigint, 'nothing is left of what failed');

-- how to talk with it: the chat template, by its text, and the sampling of generation_config.json
CREATE FUNCTION talks(model text) RETURNS jsonb LANGUAGE sql AS
	$$SELECT jsonb_strip_nulls(jsonb_build_object('chat', config->'chat', 'sampling', config->'sampling', 'end', config->'end_tokens')) FROM gpt_version v WHERE v.model = talks.model ORDER BY version DESC LIMIT 1$$;
SELECT is(gpt_import('t', safetensors('SELECT * FROM gpt2'), options() || $${"tokenizer_config": {"chat_template": "{{ '<|im_start|>' + m.role }}"},
	"generation_config": {"do_sample": true, "temperature": 0.5, "top_k": 2, "top_p": 0.9, "repetition_penalty": 1.1, "max_length": 9, "eos_token_id": [2, 3]}}$$), 1, 'a template in tokenizer_config.json');
SELECT is(talks('t'), '{"chat": "chatml", "sampling": {"temperature": 0.5, "top_k": 2, "top_p": 0.9, "repetition_penalty": 1.1}, "end": [2, 3]}', 'is known');
SELECT is(gpt_import('t', safetensors('SELECT * FROM gpt2'), options() || $${"tokenizer_config": {"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "{{ '<start_of_turn>' }}"}]},
	"generation_config": {"do_sample": false, "temperature": 0.5}}$$), 2, 'the default one of several, and a model that does not sample');
SELECT is(talks('t'), '{"chat": {"template": "gemma", "begin": ""}, "sampling": {"temperature": 0}, "end": [3]}', 'has a temperature of 0');
SELECT is(gpt_import('t', safetensors('SELECT * FROM gpt2'), options() || $${"chat_template": {"user": "a{content}b", "assistant": "c{content}d"}}$$), 3, 'a template described');
SELECT is(talks('t'), '{"chat": {"user": "a{content}b", "assistant": "c{content}d"}, "end": [3]}', 'is kept');
SELECT is(gpt_chat_tokens('t', '"dab"'), '{0,3,0,1,1,2}', 'and written');
SELECT is(gpt_import('t', gguf('SELECT * FROM gguf_gpt2', gguf_text('tokenizer.chat_template') || le(8, 4) || gguf_text($$"[INST] " + x + "[/INST]" + bos_token$$), 1), '{"tokenizer": "abcd"}'), 4, 'a template in GGUF');
SELECT is(talks('t'), '{"chat": "mistral-v3"}', 'is known');
SELECT ok(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), options() || '{"tokenizer_config": {"chat_template": "{{ x }}"}}'))
	LIKE '0A000 chat template is not known: The known templates are chatml, %, gemma, %.', 'a template that is not known');
SELECT is(gpt_import('t', safetensors('SELECT * FROM gpt2'), options() || '{"tokenizer_config": {"chat_template": "{{ x }}"}, "chat_template": "none"}'), 5, 'can be left out');
SELECT is(talks('t'), '{"end": [3]}', 'by name');
SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), options() || '{"generation_config": {"top_p": 2}}')),
	'22023 "top_p" of the generation configuration is 2: It must be between 0 and 1.', 'a number out of range');
SELECT is(outcome(format('SELECT gpt_import(%L, %s, %L)', 'bad', safetensors('SELECT * FROM gpt2'), options() || '{"chat_template": 1}')),
	'22023 option "chat_template" must be a text or an object', 'a template that is a number');

-- mutated files: each is an error about the file or a working model
CREATE FUNCTION mutated(d bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE at int; edges text[] := '{00000000,ffffffff,ffffff7f,01000000,0000000000000080,ffffffffffffff7f,ffffffffffffffff}';
BEGIN
	FOR i IN 1 .. 1 + random()::int LOOP
		at := random() * (length(d) - 1) * CASE WHEN random() < 0.3 THEN 0.2 ELSE 1 END;
		CASE (random() * 7)::int
			WHEN 0 THEN d := set_byte(d, at, get_byte(d, at) # (1 << (random() * 7)::int));
			WHEN 1 THEN d := overlay(d PLACING decode(edges[1 + (random() * 6)::int], 'hex') FROM at + 1);
			WHEN 2 THEN d := overlay(d PLACING '' FROM at + 1 FOR (random() * 8)::int);
			WHEN 3 THEN d := overlay(d PLACING substr(d, 1 + (random() * at)::int, (random() * 16)::int) FROM at + 1 FOR (random() * 8)::int);
			ELSE d := set_byte(d, at, (random() * 255)::int);
		END CASE;
	END LOOP;
	RETURN d;
END $$;
CREATE FUNCTION imported(d bytea, o jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gpt_import('mutated', lo_from_bytea(0, d), o);
	PERFORM gpt_score('mutated', 'abcdabcd');
	RAISE EXCEPTION SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN RETURN 'model'; WHEN OTHERS THEN RETURN sqlstate || ' ' || sqlerrm;
END $$;
SELECT safetensors('SELECT * FROM gpt2') AS file, gguf('SELECT * FROM gguf_gpt2') AS gguf \gset
DO $$BEGIN PERFORM setseed(0.18); END$$;
CREATE TABLE mutation AS SELECT format, imported(mutated(data), o) AS outcome FROM generate_series(1, 40), (VALUES ('safetensors', lo_get(:file), options()), ('gguf', lo_get(:gguf), '{"tokenizer": "abcd"}'),
	('llama2.c', (SELECT string_agg(reversed(int4send(v)), ''::bytea ORDER BY o) FROM unnest('{4,6,1,2,1,4,8}'::int[]) WITH ORDINALITY u(v, o)) || floats((SELECT array_agg(sin(i)::real) FROM generate_series(1, 164) i)),
		'{"tokenizer": "abcd"}')) files(format, data, o);
SELECT is_empty($$SELECT format, outcome FROM mutation WHERE outcome !~ '^(model$|22P03|22023|22003|0A000|42704|54000)'$$, '120 mutated files');
SELECT is((SELECT count(DISTINCT format) FROM mutation WHERE outcome = 'model'), 3::bigint, 'some of each format are models');
SELECT is((SELECT count(DISTINCT format) FROM mutation WHERE outcome LIKE '22P03%'), 3::bigint, 'some are not valid');

-- who may
CREATE ROLE gpt_importer LOGIN;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_importer;
SELECT safetensors('SELECT * FROM gpt2') AS file \gset
SET ROLE gpt_importer;
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'mine', :file, options()), '42501', 'permission denied for function gpt_import', 'EXECUTE is needed');
RESET ROLE;
GRANT EXECUTE ON FUNCTION gpt_import(text, oid, jsonb) TO gpt_importer;
SET ROLE gpt_importer;
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'mine', :file, options()), '42501', format('permission denied for large object %s', :file), 'and SELECT on the object');
RESET ROLE;
SET lo_compat_privileges = on;
SET ROLE gpt_importer;
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'mine', :file, options()), '42501', 'permission denied for tokenizer "abcd"', 'unless lo_compat_privileges is on; and the tokenizer');
RESET ROLE;
RESET lo_compat_privileges;
SELECT format('GRANT SELECT ON LARGE OBJECT %s TO gpt_importer', :file) \gexec
SET ROLE gpt_importer;
SELECT is(gpt_import('mine', :file, options() || jsonb_build_object('tokenizer', tokenizer('abcd'))), 1, 'then it imports');
SELECT is((SELECT owner FROM gpt_models WHERE model = 'mine'), 'gpt_importer', 'and owns the model');
SELECT throws_ok(format('SELECT gpt_import(%L, %s, %L)', 'm', :file, options() || jsonb_build_object('tokenizer', tokenizer('abcd'))), '42501', 'must be owner of model "m"', 'not a version of another one''s');
RESET ROLE;
SELECT is_empty('SELECT * FROM gpt_check(true)', 'everything is consistent');

RESET ROLE;
DROP OWNED BY gpt_importer;
DROP ROLE gpt_importer;
SELECT * FROM finish();
