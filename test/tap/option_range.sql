-- test/tap/option_range.sql - both ends of the range of every option, as gpt_options() lists them: the ends are taken, what is beyond them is
-- refused by a message that names the option, the range and the value.
-- One schema is enough: the file tests ranges of options, and others call the same functions in the second schema.
SELECT no_plan();
SET client_min_messages = error;
SELECT set_config('gpt.max_memory', '2GB', false) AS limited \gset

CREATE TABLE line AS SELECT 'line ' || i AS body, i FROM generate_series(1, 60) i;
SELECT gpt_train('m', 'SELECT body, i FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 16, "tokenizer": "bytes", "steps": 1, "watermark": "i"}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained');

-- What the function says of an option's value: taken, or the error. Other options are such that the value is the only question.
CREATE FUNCTION answer(function text, option text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	options jsonb := CASE
		WHEN function = 'gpt_evaluate' THEN '{"generate": false}'
		WHEN function = 'gpt_train_tokenizer' THEN '{}'
		WHEN function = 'gpt_report' THEN '{"samples": 0, "sample_tokens": 1}'
		WHEN option IN ('rank', 'alpha', 'lora_dropout') THEN '{"method": "lora", "watermark": "i"}'
		WHEN option = 'publish_tolerance' THEN '{"publish_if": "better", "publish_query": "SELECT body FROM line", "watermark": "i"}'
		WHEN option IN ('sync', 'word_floor') THEN '{"servers": ["east"], "watermark": "i"}'
		WHEN option = 'replay' THEN '{"since": "watermark"}'
		WHEN option = 'heads' THEN jsonb_build_object('channels', 4 * value::numeric, 'layers', 1, 'watermark', 'i')
		WHEN option = 'kv_heads' THEN '{"heads": 1024, "channels": 4096, "layers": 1, "watermark": "i"}'
		WHEN option = 'head_size' THEN '{"position": "learned", "watermark": "i"}'
		WHEN option = 'rotary_size' THEN '{"head_size": 1024, "watermark": "i"}'
		WHEN option = 'window_full' THEN jsonb_build_object('window_period', value::numeric + 1, 'watermark', 'i')
		WHEN option = 'channels' THEN '{"heads": 1, "layers": 1, "position": "learned", "watermark": "i"}'
		WHEN option = 'encoder_layers' THEN '{"architecture": "encoder_decoder", "layers": 1, "heads": 1, "channels": 16, "watermark": "i"}'
		WHEN option = 'min_learning_rate' THEN '{"learning_rate": 1e12, "watermark": "i"}'
		ELSE '{"watermark": "i"}' END || jsonb_build_object(option, value::numeric);
BEGIN
	IF function = 'gpt_evaluate' THEN
		PERFORM gpt_evaluate('m', CASE option WHEN 'beta' THEN 'SELECT body AS prompt, body AS chosen, ''no '' || body AS rejected FROM line LIMIT 1'
			ELSE 'SELECT body AS prompt, body AS completion FROM line LIMIT 1' END, options);
	ELSIF function = 'gpt_report' THEN
		PERFORM gpt_report('m', options);
	ELSIF function = 'gpt_train_tokenizer' THEN
		PERFORM gpt_train_tokenizer('new', 'SELECT body FROM line', options);
	ELSE
		EXECUTE format('SELECT %I($1, $2, $3)', function) USING CASE function WHEN 'gpt_train' THEN 'new' ELSE 'm' END,
			CASE option WHEN 'encoder_layers' THEN 'SELECT body AS prompt, body AS completion, i FROM line'
				WHEN 'temperature' THEN 'SELECT body AS query, body AS positive, i FROM line'
				WHEN 'beta' THEN 'SELECT body AS prompt, body AS chosen, ''no '' || body AS rejected, i FROM line'
				ELSE 'SELECT body, i FROM line' END, options;
	END IF;
	RAISE EXCEPTION 'taken back' USING ERRCODE = 'P9999';
EXCEPTION
	WHEN SQLSTATE 'P9999' OR configuration_limit_exceeded THEN RETURN 'taken';
	WHEN OTHERS THEN RETURN sqlerrm;
END $$;

CREATE EXTENSION postgres_fdw;
CREATE SERVER east FOREIGN DATA WRAPPER postgres_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER east;
CREATE TEMP TABLE range AS
	SELECT function, option, minimum, maximum,
		format(CASE option WHEN 'sync' THEN 'an integer between %s and %s, or "step"' ELSE 'between %s and %s' END, minimum, maximum) AS wanted,
		CASE WHEN type = 'integer' THEN (minimum::bigint - 1)::text WHEN minimum = '0' THEN '-1e-100' ELSE (minimum::float8 * 0.999999999)::text END AS below,
		CASE WHEN type = 'integer' THEN (maximum::bigint + 1)::text WHEN maximum IN ('1000000000000', '1000000000') THEN (maximum::float8 + 0.5)::text
			ELSE (maximum::float8 * 1.000000001)::text END AS above
	FROM unnest(ARRAY['gpt_train', 'gpt_finetune', 'gpt_evaluate', 'gpt_train_tokenizer', 'gpt_report']) function, gpt_options(function)
	-- (at most the context of the base: test/sql/finetune.sql)
	WHERE minimum IS NOT NULL AND NOT (function = 'gpt_finetune' AND option = 'context');
SELECT cmp_ok((SELECT count(*) FROM range), '>', 50::bigint, 'options have ranges');
SELECT is(answer(function, option, minimum), 'taken', format('%s takes %s %s', function, option, minimum)) FROM range;
SELECT is(answer(function, option, maximum), 'taken', format('%s takes %s %s', function, option, maximum)) FROM range;
SELECT is(answer(function, option, below), format('option "%s" must be %s, not %s', option, wanted, below),
	format('%s refuses %s %s', function, option, below)) FROM range;
SELECT is(answer(function, option, above), format('option "%s" must be %s, not %s', option, wanted, above),
	format('%s refuses %s %s', function, option, above)) FROM range;

-- a value in words of the option's list is taken, whatever its function
SELECT is_empty($$SELECT function, option, default_value FROM unnest(ARRAY['gpt_train', 'gpt_finetune', 'gpt_evaluate', 'gpt_train_tokenizer', 'gpt_report']) function, gpt_options(function)
	WHERE default_value IS NOT NULL AND minimum IS NOT NULL AND NOT default_value::numeric BETWEEN minimum::numeric AND maximum::numeric$$, 'every default is within its range');

SELECT gpt_drop_model('m');
SELECT * FROM finish();
