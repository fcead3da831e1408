-- test/tap/weights_types.sql - a version's tensors can have types of their own: equal values give equal results, whatever type they
-- have in the file; and a file whose types do not fit is an error. One schema is enough, as for weights.sql.
SELECT no_plan();
SET client_min_messages = error;

CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 32, "context": 32, "family": "gpt2", "tokenizer": "bytes", "steps": 1, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a small model is trained');

-- A value is a small whole number of a 512th part: exact in every type.
CREATE FUNCTION number(of_tensor bigint, i integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT (i * 7919 + of_tensor * 31)::integer % 255 - 127 $$;
CREATE FUNCTION little(bytes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
	$$ SELECT string_agg(substr(bytes, i, 1), NULL ORDER BY i DESC) FROM generate_series(1, octet_length(bytes)) i $$;
CREATE FUNCTION half(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN n = 0 THEN 0 ELSE (CASE WHEN n < 0 THEN 32768 ELSE 0 END) + ((e + 6) << 10) + ((abs(n) - (1 << e)) << (10 - e)) END
	FROM (SELECT CASE WHEN n = 0 THEN 0 ELSE floor(log(2, abs(n)))::integer END AS e) e $$;
CREATE FUNCTION encoded(n integer, type text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE type WHEN 'F32' THEN little(float4send((n / 512.0)::real)) WHEN 'BF16' THEN substr(little(float4send((n / 512.0)::real)), 3)
		WHEN 'F16' THEN little(int2send(((half(n) + 32768) % 65536 - 32768)::smallint))
		WHEN 'Q8_0' THEN set_byte('\x00', 0, (n + 256) % 256) END $$;

-- the file of m with other values, its matrices in a type
CREATE FUNCTION file_of(type text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	file bytea := lo_get(weights) FROM gpt_models WHERE model = 'm';
	size bigint := get_byte(file, 0) + 256 * get_byte(file, 1);
	header text := '';
	blocks text := '';
	data bytea := '';
	entry record;
	own text;
	piece bytea;
	count integer;
BEGIN
	FOR entry IN SELECT * FROM json_each(convert_from(substr(file, 9, size::integer), 'UTF8')::json) WITH ORDINALITY e(key, value, number) LOOP
		CONTINUE WHEN entry.key = '__metadata__';
		own := CASE WHEN type = 'Q8_0' AND json_array_length(entry.value -> 'shape') = 1 THEN 'BF16' ELSE type END;
		count := (entry.value -> 'shape' ->> 0)::integer * coalesce((entry.value -> 'shape' ->> 1)::integer, 1);
		SELECT string_agg(CASE WHEN own = 'Q8_0' AND i % 32 = 0 THEN '\x0018'::bytea ELSE '' END || encoded(number(entry.number, i), own), NULL ORDER BY i)
			INTO piece FROM generate_series(0, count - 1) i;
		header := header || format(', %s: {"dtype": "%s", "shape": [%s], "data_offsets": [%s, %s]}', to_json(entry.key),
			CASE own WHEN 'Q8_0' THEN 'U8' ELSE own END,
			concat_ws(',', entry.value -> 'shape' ->> 0, (entry.value -> 'shape' ->> 1)::integer * CASE own WHEN 'Q8_0' THEN 34 ELSE 32 END / 32),
			octet_length(data), octet_length(data) + octet_length(piece));
		data := data || piece;
		IF own = 'Q8_0' THEN
			blocks := blocks || CASE blocks WHEN '' THEN '{' ELSE ',' END || to_json(entry.key) || ':"Q8_0"';
		END IF;
	END LOOP;
	header := format('{"__metadata__": {"format": "pt", "gpt_run_id":"%s"%s}%s}', (SELECT run_id FROM gpt_version WHERE model = 'm'),
		CASE blocks WHEN '' THEN '' ELSE ', "gpt.blocks": ' || to_json(blocks || '}') END, header);
	header := rpad(header, octet_length(header) + 63 - (octet_length(header) + 7) % 64);
	RETURN little(int8send(octet_length(header))) || convert_to(header, 'UTF8') || data;
END $$;

-- version 1 of a copy of m becomes that file
CREATE FUNCTION put(model_name text, file bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE gpt_version SET weights = lo_from_bytea(0, file), size = octet_length(file), sha256 = pg_catalog.sha256(file) WHERE model = model_name;
END $$;

CREATE TABLE kept AS SELECT lower(type) AS model, type, file_of(type) AS file FROM unnest('{F32,BF16,F16,Q8_0}'::text[]) type;
SELECT lives_ok(format('SELECT gpt_copy_model(''m'', %L)', model), 'a copy for ' || type) FROM kept;
SELECT put(model, file) FROM kept;
SELECT cmp_ok(gpt_score('f32', 'line 7'), '>', 0::float8, 'other values are a model too');
SELECT is(gpt_score(model, 'line 7'), gpt_score('f32', 'line 7'), type || ' gives the scores of the same values in float32') FROM kept;
SELECT is((SELECT round(size / 100.0) FROM gpt_models WHERE model = 'q8_0'), (SELECT round(octet_length(file) / 100.0) FROM kept WHERE type = 'Q8_0'),
	'a model takes the bytes of its types');

-- what is made of it
SELECT lives_ok('SELECT gpt_copy_model(''q8_0'', ''again'')', 'a quantised model can be copied');
SELECT is(gpt_score('again', 'line 7'), gpt_score('f32', 'line 7'), 'and the copy is the same');
CREATE FUNCTION trained(model text, options jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT gpt_finetune(model, 'SELECT body FROM line', '{"steps": 2, "batch_size": 4, "validation_fraction": 0}' || options)::text $$;
SELECT string_agg(trained(model, '{"into": "more"}'::jsonb || jsonb_build_object('into', model || '_more')), ',') AS jobs FROM kept WHERE type IN ('F32', 'Q8_0') \gset
SELECT is(gpt_wait(job, '300 s'), 'succeeded', 'it is fine-tuned') FROM unnest(ARRAY[:jobs]) job;
SELECT is(gpt_score('q8_0_more', 'line 7'), gpt_score('f32_more', 'line 7'), 'from the same weights');

-- an adapter leaves its base in memory as the file has it, 16 bits or 8; of these types those with 16 bits are exact
SELECT string_agg(trained(model, '{"method": "lora", "rank": 2}'::jsonb || jsonb_build_object('into', model || '_adapter')), ',') AS jobs FROM kept \gset
SELECT is(gpt_wait(job, '300 s'), 'succeeded', 'an adapter is trained') FROM unnest(ARRAY[:jobs]) job;
SELECT is(conditions ->> 'base_type', word, 'its base is kept as ' || type)
FROM kept JOIN gpt_jobs j ON j.model = kept.model || '_adapter' JOIN (VALUES ('F32', NULL), ('BF16', 'bfloat16'), ('F16', 'float16'), ('Q8_0', 'int8')) w(t, word) ON t = type;
SELECT is(gpt_score(model || '_adapter', 'line 7'), gpt_score('f32_adapter', 'line 7'), type || ' trains the same adapter') FROM kept WHERE type LIKE '%F%';
SELECT cmp_ok(abs(gpt_score('q8_0_adapter', 'line 7') / gpt_score('f32_adapter', 'line 7') - 1), '<', 0.02::float8, 'and one of 8 bits nearly so');
SELECT gpt_rename_model('q8_0_adapter', 'adapter');
SELECT trained('f32', '{"method": "lora", "rank": 2, "base_type": "int8", "into": "eight"}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'the type of the base can be given');
SELECT is(conditions ->> 'base_type', 'int8', 'and is taken') FROM gpt_jobs WHERE job = :job;
SELECT cmp_ok(abs(gpt_score('eight', 'line 7') / gpt_score('f32_adapter', 'line 7') - 1), '<', 0.02::float8, 'with nearly the same result');
SELECT throws_ok($$SELECT trained('f32', '{"base_type": "int8"}')$$, '22023', 'option "base_type" needs option "method" to be "lora"', 'it is an adapter''s');
SELECT gpt_train('narrow', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 1, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model whose rows are shorter than a group');
SELECT throws_ok($$SELECT trained('narrow', '{"method": "lora", "base_type": "int8"}')$$, '22023', 'option "base_type" cannot be "int8" for this model', 'cannot have it');
SELECT gpt_score('adapter', 'line 7') AS score \gset
SELECT gpt_merge('adapter');
SELECT cmp_ok(abs(gpt_score('adapter', 'line 7') - :score), '<', 1e-4::float8, 'and folded into it');
SELECT gpt_merge(model || '_adapter') FROM unnest('{f32,bf16}'::text[]) model;
SELECT is(gpt_score('bf16_adapter', 'line 7'), gpt_score('f32_adapter', 'line 7'), 'what a merge gives does not depend on the type either');
SELECT cmp_ok((SELECT size FROM gpt_models WHERE model = 'bf16_adapter'), '<', (SELECT size - 18000 FROM gpt_models WHERE model = 'f32_adapter'),
	'tensors that it does not change keep their type');

-- the file that was published, but not one that fits
CREATE FUNCTION refused("from" text, "to" text, OUT message text) LANGUAGE plpgsql AS $$
DECLARE
	file bytea := k.file FROM kept k WHERE type = 'Q8_0';
	place integer := position(convert_to("from", 'UTF8') IN file);
	detail text;
BEGIN
	IF place = 0 OR octet_length("from") <> octet_length("to") THEN
		RETURN;
	END IF;
	PERFORM put('again', overlay(file PLACING convert_to("to", 'UTF8') FROM place));
	BEGIN
		PERFORM gpt_score('again', 'x');
		message := 'none';
	EXCEPTION WHEN data_corrupted THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		message := detail;
	END;
END $$;
SELECT is(refused("from", "to"), wanted, wanted || ' ' || "to") FROM (VALUES
	('\"Q8_0\"', '\"Q8_9\"', 'A tensor has a type of blocks that is not known.'),
	('\"Q8_0\"', '\"BF16\"', 'A tensor has a type of blocks that is not known.'),
	('\"Q8_0\"', '\"Q4_0\"', 'A tensor''s rows are not whole blocks.'),
	('\"Q8_0\"', '\"Q8_0\\', 'Its types of blocks are not a JSON object.'),
	('{\"transformer.wte.weight\"', '[\"transformer.wte.weight\"', 'Its types of blocks are not a JSON object.'),
	('\"transformer.wte.weight\"', '\"transformer.wpe.weight\"', 'A tensor has a type of blocks that is not known.'),
	('gpt.blocks', 'gpt_blocks', 'A tensor has a type of blocks that is not known.'),
	('"shape": [257,34]', '"shape": [257,35]', 'A tensor''s rows are not whole blocks.'),
	('"shape": [257,34]', '"shape": [257,68]', 'The shape of a tensor does not fit its offsets.'),
	('"shape": [257,34]', '"shape": [34,257]', 'A tensor''s rows are not whole blocks.'),
	('"U8"', '"I8"', 'A tensor has a type that is not known.'),
	('"U8"', '"F8"', 'A tensor has a type that is not known.'),
	('"dtype": "U8", "shape": [257,34]', '"dtype": "F16","shape": [257,17]', 'Tensor 0 does not fit "transformer.wte.weight" of the configuration.'),
	('"dtype": "U8", "shape": [257,34]', '"dtype": "F32","shape": [257,34]', 'The shape of a tensor does not fit its offsets.')
) v("from", "to", wanted);

SELECT * FROM finish();
