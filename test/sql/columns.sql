-- the columns of a query say what is learnt
SET client_min_messages = warning;
CREATE TABLE faq (id int, prompt text, completion text, weight numeric, n int, label text);

-- what has no meaning is refused, with what has
SELECT gpt_train('c', 'SELECT prompt, label FROM faq');
SELECT gpt_train('c', 'SELECT prompt, completion, label FROM faq');
SELECT gpt_train('c', 'SELECT id AS prompt, completion FROM faq');
SELECT gpt_train('c', 'SELECT prompt, completion, label AS weight FROM faq');
SELECT gpt_train('c', 'SELECT prompt, completion, n FROM faq');
SELECT gpt_train('c', 'SELECT prompt AS body, true AS weight FROM faq');
SELECT gpt_train_tokenizer('c', 'SELECT prompt, completion FROM faq');
SELECT gpt_train_tokenizer('c', 'SELECT prompt AS body, weight FROM faq');

-- columns that have a meaning only together name the one that is missed
SELECT gpt_train('c', 'SELECT prompt, completion AS chosen FROM faq');
SELECT gpt_train('c', 'SELECT prompt, completion AS rejected, label FROM faq');
SELECT gpt_train('c', 'SELECT prompt AS chosen, completion AS rejected FROM faq');
SELECT gpt_train('c', 'SELECT prompt AS query, completion AS negative FROM faq');
SELECT gpt_train('c', 'SELECT prompt AS positive, completion AS negative FROM faq');
SELECT gpt_train('c', 'SELECT prompt, completion, label AS chosen FROM faq');
SELECT gpt_train('c', 'SELECT prompt AS query, completion AS positive, id AS negative FROM faq');

SELECT gpt_train('c', 'SELECT prompt, completion AS chosen, completion AS rejected, label FROM faq');
-- options of a task need its columns
SELECT gpt_train('c', 'SELECT prompt AS body FROM faq', '{"beta": 0.3}');
SELECT gpt_train('c', 'SELECT prompt AS body FROM faq', '{"temperature": 0.7}');
CREATE FUNCTION faq_refused(call text, query text, option text, value jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT %s(%L, %L, %L)', call, 'nobody', query, jsonb_build_object(option, value));
	RAISE 'accepted';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlerrm LIKE format('option "%s" needs %%', option);
END $$;
CREATE TABLE faq_rows (name text, query text);
INSERT INTO faq_rows VALUES ('texts', 'SELECT prompt AS body FROM faq'), ('prompts', 'SELECT prompt, completion FROM faq'), ('chats', 'SELECT ''{}''::jsonb AS messages'),
	('preferences', 'SELECT prompt, completion AS chosen, prompt AS rejected FROM faq'), ('retrieval', 'SELECT prompt AS query, completion AS positive FROM faq'),
	('labels', 'SELECT prompt AS body, label FROM faq'), ('numbers', 'SELECT prompt AS body, 1.5 AS label FROM faq');
SELECT call, option, value, string_agg(name, ' ' ORDER BY name) FILTER (WHERE faq_refused(call, query, option, value)) AS refused_by
FROM faq_rows, (VALUES ('gpt_train', 'preference', '"orpo"'::jsonb), ('gpt_train', 'beta', '0.3'), ('gpt_train', 'temperature', '1'), ('gpt_train', 'ngrams', 'true'), ('gpt_train', 'ngrams', 'false'),
	('gpt_train', 'label_smoothing', '0.1'), ('gpt_train', 'label_smoothing', '0'), ('gpt_train', 'prompt_template', '"none"'), ('gpt_train', 'chat_template', '"chatml"'),
	('gpt_train', 'logit_softcap', '30'), ('gpt_train', 'preset', '"nano"'), ('gpt_evaluate', 'base', '"other"'), ('gpt_evaluate', 'beta', '0.3'), ('gpt_evaluate', 'max_tokens', '9'),
	('gpt_evaluate', 'beams', '2'), ('gpt_evaluate', 'length_penalty', '0'), ('gpt_evaluate', 'length_penalty', '1'), ('gpt_evaluate', 'include_end', 'true'), ('gpt_evaluate', 'generate', 'false')) o (call, option, value)
GROUP BY call, option, value ORDER BY call DESC, option, value;
SELECT gpt_train('c', 'SELECT prompt AS body, label FROM faq', '{"prompt_template": "none"}');
SELECT gpt_evaluate('c', 'SELECT prompt AS body, label FROM faq', '{"max_tokens": 9}');
DROP TABLE faq_rows;
DROP FUNCTION faq_refused;
-- the rows to validate on have the same columns
SELECT gpt_train('c', 'SELECT prompt, completion FROM faq', '{"validation_query": "SELECT prompt AS body FROM faq"}');
SELECT gpt_train('c', 'SELECT prompt AS body FROM faq', '{"validation_query": "SELECT prompt, completion FROM faq"}');
SELECT gpt_train('c', 'SELECT prompt AS body FROM faq', '{"validation_query": "SELECT prompt AS body, true AS is_validation FROM faq"}');

SELECT gpt_train('c', 'SELECT prompt AS body, n AS label FROM faq', '{"validation_query": "SELECT prompt AS body, weight AS label FROM faq"}');

-- one stream of all rows has neither prompts nor weights
SELECT gpt_train('c', 'SELECT prompt, completion FROM faq', '{"documents": "joined"}');
SELECT gpt_train('c', 'SELECT prompt AS body, weight FROM faq', '{"documents": "joined"}');

-- all of these are accepted
BEGIN;
SELECT gpt_train('c1', 'SELECT completion, prompt FROM faq') > 0 AS submitted;
SELECT gpt_train('c2', 'SELECT prompt, completion, n AS weight, n > 1 AS is_validation FROM faq') > 0 AS submitted;
SELECT gpt_train('c3', 'SELECT prompt AS body, weight FROM faq') > 0 AS submitted;
SELECT gpt_train('c4', 'SELECT prompt, completion, n::real AS weight FROM faq',
	'{"validation_query": "SELECT prompt, completion, 2::bigint AS weight FROM faq"}') > 0 AS submitted;
ROLLBACK;

-- only the completion is learnt: of the prompts, which are random, nothing can be foretold
INSERT INTO faq SELECT i, md5(i::text), CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'no' END FROM generate_series(1, 200) i;
SELECT gpt_train('answer', 'SELECT prompt || right((id % 2)::text, 1) AS prompt, completion FROM faq',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 150, "batch_size": 8,
	  "learning_rate": 0.01, "validation_fraction": 0.2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, skipped, bytes = (SELECT sum(length(prompt) + 1 + length(completion)) FROM faq) AS bytes, error FROM gpt_jobs WHERE job = :job;
SELECT validation_loss < 0.3 AS learnt, validation_bits_per_byte BETWEEN validation_loss / ln(2) AND 3 * validation_loss / ln(2) AS of_completions
FROM gpt_models WHERE model = 'answer';
SELECT gpt_generate('answer', md5('x') || '1', temperature => 0) AS odd, gpt_generate('answer', md5('x') || '0', temperature => 0) AS even;
SELECT gpt_score('answer', md5('y')) > 20 AS nothing_of_prompts;

-- a prompt that does not fit the context keeps its end, and a completion that does not is learnt whole
SELECT gpt_train('long', $$SELECT repeat(md5(id::text), 10) || (id % 2) AS prompt, repeat(completion, 40) AS completion FROM faq$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 150, "batch_size": 8, "learning_rate": 0.01}') AS job \gset
SELECT gpt_wait(:job, '300 s');
-- per row: the end tokens, 321 bytes of prompt, the separator, 80 or 120 bytes of completion
SELECT corpus_tokens = 200 * (2 + 321 + 1) + 100 * (80 + 120) AS all_tokens, error FROM gpt_jobs WHERE job = :job;
SELECT validation_loss < 0.3 AS learnt FROM gpt_models WHERE model = 'long';

-- weights: of what follows "q" nine parts in ten say x; what weighs nothing is skipped
SELECT gpt_train('weighed', $$SELECT body, weight FROM (VALUES ('qx', 9.0), ('qy', NULL), ('qz', 0)) v (body, weight), generate_series(1, 50)$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 150, "batch_size": 8, "learning_rate": 0.01,
	  "dropout": 0.2, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, skipped, error FROM gpt_jobs WHERE job = :job;
SELECT exp(gpt_score('weighed', 'qx', 'logprob') - gpt_score('weighed', 'qy', 'logprob')) BETWEEN 6 AND 13 AS nine_to_one,
	gpt_score('weighed', 'qz', 'logprob') < -4 AS not_seen;

-- of rows with one prompt some are held out too
SELECT gpt_train('sides', $$SELECT 'q' AS prompt, i::text AS completion FROM generate_series(1, 50) i$$,
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 2, "validation_fraction": 0.5}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT validation_loss > 0 AS measured, conditions->'validation_documents' AS held_out, COALESCE(note LIKE '%holds out%', false) AS noted FROM gpt_models m, gpt_jobs j WHERE m.model = 'sides' AND j.job = :job;

-- what a row says is checked when it is read
SELECT gpt_train('bad', $$SELECT 'a' AS body, -1 AS weight$$, '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('bad', $$SELECT 'a' AS body, 'nan'::real AS weight$$, '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('bad', $$SELECT NULL AS prompt, 'b' AS completion UNION ALL SELECT 'a', '' UNION ALL SELECT 'a', NULL$$, '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;

-- documents without a token to predict are skipped, on both sides, and a validation that has none is noted
SELECT gpt_train_tokenizer('endless', 'SELECT prompt FROM faq', '{"vocabulary": 300}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT replace(convert_from(lo_get(object), 'UTF8'), '<|endoftext|>', '<|pad|>') AS json FROM gpt_tokenizers WHERE tokenizer = 'endless' \gset
SELECT gpt_import_tokenizer('endless', :'json');
CREATE TABLE short AS SELECT '?' AS body, true AS is_validation UNION ALL SELECT '!', false UNION ALL SELECT prompt, false FROM faq WHERE id <= 20;
SELECT gpt_train('short', 'SELECT body, is_validation FROM short', '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "endless", "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents = (SELECT count(*) - 2 FROM short) AS documents, skipped, note, error FROM gpt_jobs WHERE job = :job;
SELECT validation_loss FROM gpt_models WHERE model = 'short';
INSERT INTO short VALUES ('longer than that', true), (NULL, true), ('', true);
SELECT gpt_train('noticed', 'SELECT body, is_validation FROM short', '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "endless", "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents = (SELECT count(*) - 4 FROM short) AS documents, skipped, COALESCE(note LIKE '%holds out%', false) AS noted, error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('noted', 'SELECT prompt, NULLIF(completion, $$no$$) AS completion, completion = $$no$$ AS is_validation FROM faq', '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents + skipped = (SELECT count(*) FROM faq) AS counted, skipped >= 100 AS empty, note, error FROM gpt_jobs WHERE job = :job;
SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('short', 'noticed', 'noted');
SELECT gpt_drop_tokenizer('endless');
DROP TABLE short;

-- a fine-tune takes the same columns
SELECT gpt_finetune('answer', $$SELECT prompt || (id % 2) AS prompt, 'maybe' AS completion FROM faq$$, '{"steps": 60, "learning_rate": 0.01, "into": "doubt"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_generate('doubt', md5('x') || '1', temperature => 0) AS odd;

SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('answer', 'long', 'weighed', 'sides', 'doubt');
DROP TABLE faq;
