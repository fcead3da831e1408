-- how a model writes its prompts
SET client_min_messages = notice;
CREATE TABLE pair AS SELECT 'word' || i AS en, 'Wort' || i AS de FROM generate_series(1, 40) i;
CREATE FUNCTION tiny(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$SELECT '{"architecture": "decoder", "layers": 1, "heads": 2, "channels": 32, "context": 32, "steps": 200, "batch_size": 16, "learning_rate": 0.01,
	"validation_fraction": 0, "threads": 1, "seed": 1}'::jsonb || more$$;
CREATE FUNCTION template(name text) RETURNS jsonb LANGUAGE sql AS $$SELECT config -> 'prompt' FROM gpt_version v JOIN gpt_models m USING (model, version) WHERE model = name$$;

-- a special token stands between prompt and completion, and no caller writes it
SELECT gpt_train('en_de', 'SELECT en AS prompt, de AS completion FROM pair', tiny()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('en_de'), vocabulary FROM gpt_models WHERE model = 'en_de';
SELECT gpt_generate('en_de', 'word7', temperature => 0), (SELECT string_agg(text, '') FROM gpt_stream('en_de', 'word7', temperature => 0)) AS stream,
	gpt_generate('en_de', ARRAY['word8', 'word9'], temperature => 0), gpt_logprob('en_de', 'word7', 'Wort7') > -1 AS likely, gpt_choose('en_de', 'word7', '{Wort8,Wort7}');
SELECT metric, value FROM gpt_evaluate('en_de', 'SELECT en AS prompt, de AS completion FROM pair') WHERE metric IN ('exact_match', 'rouge_l', 'tokens') ORDER BY metric;
-- the name of the token in a prompt is text, and an empty prompt has the token behind it, too
SELECT gpt_logprob('en_de', 'word7<|separator|>', 'Wort7') < gpt_logprob('en_de', 'word7', 'Wort7') AS is_text, gpt_logprob('en_de', '', 'Wort7') <> gpt_score('en_de', 'Wort7', 'logprob', true) AS after_it;

-- prompts that end in a sign of the user's have their separator; another prompt gets a notice
SELECT gpt_train('own', 'SELECT en || '' =>'' AS prompt, de AS completion FROM pair', tiny()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('own'), vocabulary FROM gpt_models WHERE model = 'own';
SELECT gpt_generate('own', 'word7 =>', temperature => 0) LIKE 'Wort%' AS continued;
SELECT count(gpt_generate('own', en, temperature => 0, max_tokens => 2)) FROM pair WHERE de LIKE '%7';
SELECT count(*) >= 0 AS streamed FROM gpt_stream('own', 'word7', max_tokens => 2);

-- a template of the user's
SELECT gpt_train('asked', 'SELECT en AS prompt, de AS completion FROM pair', tiny('{"prompt_template": "EN: {prompt} DE: "}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('asked'), gpt_generate('asked', 'word7', temperature => 0) LIKE 'Wort%' AS continued,
	(SELECT bytes FROM gpt_jobs WHERE job = :job) = (SELECT sum(length(en || de)) FROM pair) AS bytes_are_the_rows,
	(SELECT corpus_tokens FROM gpt_jobs WHERE job = :job) = (SELECT sum(length('EN: ' || en || ' DE: ' || de) + 2) FROM pair) AS tokens_are_written;

-- a weights object and an export keep how prompts are written, and how texts are cleaned
SELECT gpt_import('asked_object', weights, '{"tokenizer": "asked"}'), gpt_import('asked_export', gpt_export('asked', 'safetensors'), '{"tokenizer": "asked"}') FROM gpt_models WHERE model = 'asked';
SELECT gpt_import('own_object', weights, '{"tokenizer": "own"}') FROM gpt_models WHERE model = 'own';
SELECT template('asked_object') = template('asked') AS of_object, template('asked_export') = template('asked') AS of_export, template('own_object') = template('own') AS of_end,
	gpt_generate('asked_export', 'word7', temperature => 0) = gpt_generate('asked', 'word7', temperature => 0) AS same_text,
	gpt_generate('own_object', 'word7 =>', temperature => 0) = gpt_generate('own', 'word7 =>', temperature => 0) AS same_end;
SELECT gpt_finetune('asked', 'SELECT en AS prompt, de AS completion FROM pair', '{"steps": 1, "clean": {"case": "lower"}, "into": "asked_clean"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_import('clean_object', weights, '{"tokenizer": "asked"}') FROM gpt_models WHERE model = 'asked_clean';
SELECT count(config -> 'clean') AS kept, count(DISTINCT config -> 'clean') AS cleanings, count(DISTINCT config -> 'prompt') AS prompts FROM gpt_version WHERE model IN ('asked_clean', 'clean_object');
-- a file of anybody may say anything
CREATE FUNCTION says(extras text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	export oid := gpt_export('asked', 'safetensors');
	file bytea := lo_get(export);
	size int := get_byte(file, 0) + 256 * get_byte(file, 1);
	header text := convert_from(substr(file, 9, size), 'UTF8');
	other text := jsonb_set(header::jsonb, '{__metadata__,gpt_extras}', to_jsonb(extras))::text;
BEGIN
	other := rpad(other, (length(other) + 63) / 64 * 64 + 56);
	PERFORM gpt_import('said', lo_from_bytea(0, set_byte(set_byte(substr(file, 1, 8), 0, length(other) % 256), 1, length(other) / 256) || convert_to(other, 'UTF8') || substr(file, 9 + size)),
		'{"tokenizer": "asked"}');
	RETURN template('said');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS other = PG_EXCEPTION_DETAIL;
	RETURN sqlerrm || ' ' || other;
END $$;
SELECT says('{"prompt": {"template": "Q: {prompt} A:"}}');
SELECT DISTINCT says(extras) FROM unnest(ARRAY['{', '[]', '{"prompt": 1}', '{"prompt": {"template": "none"}}', '{"prompt": {"template": "{prompt}' || repeat('x', 1025) || '"}}',
	'{"prompt": {"template": "{prompt}", "end": "' || repeat('x', 65) || '"}}']) extras;
SELECT says('{"clean": {"case": "sideways"}}');
SELECT count(gpt_drop_model(model)) FROM gpt_models WHERE model IN ('asked_object', 'asked_export', 'own_object', 'asked_clean', 'clean_object', 'said');
DROP FUNCTION says;

-- nothing in between: the model may say nothing after other prompts
SELECT gpt_train('bare', 'SELECT en AS prompt, de AS completion FROM pair', tiny('{"prompt_template": "none"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('bare'), gpt_generate('bare', 'word7', temperature => 0);
SELECT gpt_generate('bare', 'word7Wort7', temperature => 0);
-- a model of conversations says nothing after a prompt that is none
BEGIN;
UPDATE gpt_version SET config = config || '{"chat": "chatml"}' WHERE model = 'bare';
SELECT gpt_generate('bare', 'word7Wort7', temperature => 0);
ROLLBACK;
SELECT count(*) FROM gpt_stream('bare', 'word7Wort7', temperature => 0);

-- a fine-tune keeps the template of its base
SELECT gpt_finetune('own', 'SELECT en AS prompt, de AS completion FROM pair', '{"steps": 2, "into": "own2"}') AS own, gpt_finetune('en_de', 'SELECT de || '':'' AS prompt, en AS completion FROM pair', '{"steps": 2}') AS same \gset
SELECT gpt_wait(:own, '300 s'), gpt_wait(:same, '300 s');
SELECT template('own2'), template('en_de'), (SELECT count(*) FROM gpt_versions WHERE model = 'en_de') AS versions;
-- a base of an earlier version, trained on prompts, has none; its rows stay as they were
UPDATE gpt_version SET config = config - 'prompt' WHERE model = 'bare';
SELECT gpt_finetune('bare', 'SELECT en AS prompt, de AS completion FROM pair', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('bare'), corpus_tokens = (SELECT sum(length(en || de) + 2) FROM pair) AS as_before FROM gpt_jobs WHERE job = :job;
-- a base of texts has no token for it but the end
SELECT gpt_train('texts', 'SELECT en || de FROM pair', tiny('{"steps": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('texts', 'SELECT en AS prompt, de AS completion FROM pair', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('texts');

-- the tokenizer is one of its own, by its content
SELECT tokenizer LIKE 'bytes@%' AS of_prompts, (SELECT tokenizer FROM gpt_models WHERE model = 'texts') AS of_texts FROM gpt_models WHERE model = 'en_de';
SELECT gpt_train('again', 'SELECT en AS prompt, de AS completion FROM pair', tiny('{"steps": 2}') || jsonb_build_object('tokenizer', tokenizer)) AS job FROM gpt_models WHERE model = 'en_de' \gset
SELECT gpt_wait(:job, '300 s');
SELECT template('again'), vocabulary FROM gpt_models WHERE model = 'again';

-- errors of the option
SELECT gpt_train('none', 'SELECT en AS prompt, de AS completion FROM pair', '{"prompt_template": "no place"}');
SELECT gpt_train('none', 'SELECT en AS prompt, de AS completion FROM pair', '{"prompt_template": "{prompt}{prompt}"}');
SELECT gpt_train('none', 'SELECT en AS prompt, de AS completion FROM pair', jsonb_build_object('prompt_template', '{prompt}' || repeat('x', 1024)));

SELECT gpt_drop_model(model) FROM (VALUES ('en_de'), ('own'), ('own2'), ('asked'), ('bare'), ('texts'), ('again')) m (model);
DROP TABLE pair;
DROP FUNCTION tiny, template;
