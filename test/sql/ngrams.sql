-- n-grams beside the network: when a version has them, and that all functions agree on its probabilities

-- a text whose passages return: rare for the network, easy for n-grams
CREATE TABLE book (body text);
INSERT INTO book SELECT string_agg(chr(97 + (i % 89) * (i % 89) % 26) || CASE WHEN i % 7 = 0 THEN ' ' || md5((i % 1013)::text) || E'\n' ELSE '' END, '' ORDER BY i)
	FROM generate_series(1, 6000) i;
CREATE FUNCTION small(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 2, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 8, "batch_size": 8, "precision": "float32"}'::jsonb || further $$;
CREATE VIEW made AS SELECT model, j.state, conditions -> 'ngram_tokens' AS tokens, parameters, round((conditions ->> 'network_validation_loss')::numeric, 2) > round(validation_loss::numeric, 2) AS better
	FROM gpt_jobs j JOIN gpt_models USING (model);

SELECT gpt_train('with_ngrams', 'SELECT body FROM book', small()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('without_ngrams', 'SELECT body FROM book', small('{"ngrams": false}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, state, tokens, better, parameters = min(parameters) OVER () AS same_parameters FROM made ORDER BY model;
SELECT a.validation_loss < 0.8 * b.validation_loss AS lower FROM gpt_models a, gpt_models b WHERE (a.model, b.model) = ('with_ngrams', 'without_ngrams');
-- of text that the job itself held out too, but not of rows that the query holds out
CREATE TABLE sides AS SELECT left(body, -4000) AS body, false AS is_validation FROM book UNION ALL SELECT right(body, 4000), true FROM book;
SELECT gpt_train('by_flag', 'SELECT body, is_validation FROM sides', small('{"steps": 1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, tokens::int = (conditions ->> 'training_tokens')::int + 1 AS of_training, tokens::int = octet_length(body) + 3 AS of_both
	FROM made JOIN gpt_jobs USING (model), book WHERE model IN ('with_ngrams', 'by_flag') ORDER BY model;
SELECT gpt_drop_model('by_flag');
DROP TABLE sides;

-- a row that is read, a prompt and its text, many rows at once
CREATE TABLE line AS SELECT substr(body, 1 + 400 * i, 30 + 7 * i) AS body FROM book, generate_series(0, 11) i;
SELECT bool_and(gpt_score('with_ngrams', body, 'logprob') > gpt_score('without_ngrams', body, 'logprob')) AS likelier,
	bool_and(abs(gpt_score('with_ngrams', body, 'logprob') - gpt_score('with_ngrams', left(body, 9), 'logprob') - gpt_logprob('with_ngrams', left(body, 9), substr(body, 10), false)) < 1e-4) AS prompts,
	bool_and(gpt_score('with_ngrams', body, 'logprob') = (SELECT (gpt_score('with_ngrams', array_agg(l.body ORDER BY l.body), 'logprob'))[array_position(array_agg(l.body ORDER BY l.body), line.body)] FROM line l)) AS many
	FROM line;
SELECT bool_and((SELECT sum(logprob ORDER BY position) FROM gpt_tokens('with_ngrams', body)) = gpt_score('with_ngrams', body, 'logprob')) AS by_token,
	bool_and((SELECT sum(logprob ORDER BY position) FROM gpt_tokens('with_ngrams', substr(body, 10), left(body, 9)))
		= gpt_logprob('with_ngrams', left(body, 9), substr(body, 10), false)) AS after_prompts
	FROM line;
-- the probabilities of all next bytes sum to 1
SELECT round(sum(exp(gpt_logprob('with_ngrams', 'a passage', chr(i))))::numeric, 3) <= 1 AS sums FROM generate_series(1, 127) i;
-- the greedy text is the likeliest byte at each place
SELECT (SELECT chr(i) FROM generate_series(10, 126) i ORDER BY gpt_logprob('with_ngrams', substr(body, 1, 40), chr(i)) DESC LIMIT 1) = text AS likeliest
	FROM book, gpt_generate('with_ngrams', substr(body, 1, 40), max_tokens => 1, temperature => 0) text;
SELECT gpt_generate('with_ngrams', substr(body, 1, 40), max_tokens => 8, beams => 2) <> gpt_generate('without_ngrams', substr(body, 1, 40), max_tokens => 8, beams => 2) AS beams FROM book;

-- in the types of images
SELECT gpt_set_image_type('with_ngrams', 'int8');
SELECT abs(gpt_score('with_ngrams', body, 'mean_logprob') - gpt_score('without_ngrams', body, 'mean_logprob')) > 0.5 AS still_likelier FROM line LIMIT 1;
SELECT gpt_set_image_type('with_ngrams', 'float32');

-- an export is the network alone
SELECT gpt_export('with_ngrams', 'safetensors') AS file \gset
SELECT gpt_import('network', :file, '{"tokenizer": "with_ngrams"}');
SELECT gpt_score('network', body, 'logprob') = gpt_score('without_ngrams', body, 'logprob') AS same FROM line LIMIT 1;
SELECT lo_unlink(:file);

-- further trainings start from the network, and fit n-grams of their own texts; adapters have none
SELECT gpt_finetune('with_ngrams', 'SELECT body FROM book', '{"into": "finetuned", "steps": 1, "learning_rate": 1e-12, "context": 64}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('with_ngrams', 'SELECT body FROM line', '{"into": "of_lines", "steps": 1, "learning_rate": 1e-12}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('with_ngrams', 'SELECT body FROM book', '{"into": "adapter", "method": "lora", "rank": 2, "steps": 1, "learning_rate": 1e-12}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT DISTINCT model, tokens, better FROM made WHERE model IN ('finetuned', 'of_lines', 'adapter') ORDER BY model;
SELECT m, abs(gpt_score(m, body, 'mean_logprob') - gpt_score('without_ngrams', body, 'mean_logprob')) < 1e-3 AS is_network
	FROM unnest('{finetuned,of_lines,adapter}'::text[]) m, (SELECT body FROM line LIMIT 1) l;
SELECT gpt_merge('adapter') > 0 AS merged;
SELECT abs(gpt_score('adapter', body, 'mean_logprob') - gpt_score('without_ngrams', body, 'mean_logprob')) < 1e-3 AS is_network FROM line LIMIT 1;

-- so does a version that passes a gate
SELECT gpt_finetune('finetuned', 'SELECT body FROM book', '{"steps": 1, "learning_rate": 1e-12, "publish_if": "better", "publish_query": "SELECT body FROM line"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT v.version, v.state, config ? 'ngram_tokens' AS ngrams FROM gpt_version g JOIN gpt_versions v USING (model, version) WHERE model = 'finetuned' ORDER BY 1;

-- texts with labels or prompts have none, and no adapter has
SELECT gpt_train('completions', 'SELECT left(body, 9) AS prompt, substr(body, 10) AS completion FROM line', small('{"steps": 1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, tokens FROM made WHERE model = 'completions';
SELECT gpt_train('m', 'SELECT left(body, 9) AS prompt, substr(body, 10) AS completion FROM line', '{"ngrams": true}');
SELECT gpt_finetune('with_ngrams', 'SELECT body FROM book', '{"ngrams": true, "method": "lora"}');
SELECT gpt_train('m', 'SELECT body FROM book', '{"ngrams": "often"}');

SELECT gpt_drop_model('adapter');
SELECT count(gpt_drop_model(model)) FROM gpt_models WHERE model IN ('with_ngrams', 'without_ngrams', 'network', 'finetuned', 'of_lines', 'completions');
DROP VIEW made;
DROP TABLE book, line;
DROP FUNCTION small;
