-- errors of rows: on_error and gpt.on_error give null and keep the reasons; errors of the statement stay errors
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
-- a tokenizer of two letters: texts with others are errors
SELECT gpt_import_tokenizer('letters', '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, " ": 2, "<|endoftext|>": 3}, "merges": []},
	"added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": true}]}');
SELECT gpt_train('erring', $$SELECT repeat('ab ', 1 + i % 7) AS body FROM generate_series(1, 60) i$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "letters", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('judging', 'SELECT body AS text, left(body, 6) AS label FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE VIEW reasons AS SELECT count, function, model, sqlstate, message, detail, hint FROM gpt_errors() ORDER BY last_at, function, message;
-- some rows with a fault, and some without
CREATE TABLE row AS SELECT * FROM (VALUES
	(1, 'erring', 'ab ', 0.0, 'b'), (2, 'erring', 'ab ', -1.0, 'b'), (3, 'none', 'ab ', 0.0, 'b'), (4, 'judging', 'ab ', 0.0, 'b'),
	(5, 'erring', 'ab ', 0.0, ''), (6, 'erring@9', 'ab ', 0.0, 'b'), (7, 'erring', NULL, 0.0, 'b'), (8, 'erring', 'abc', 0.0, 'b')) v (id, model, prompt, temperature, stop);

-- by default a row's error ends the statement
SELECT id, gpt_generate(model, prompt, 2, temperature, stop => stop, seed => 1) FROM row ORDER BY id;
SELECT * FROM reasons;

-- as an argument
SELECT id, gpt_generate(model, prompt, 2, temperature, stop => stop, seed => 1, on_error => 'null') IS NULL AS is_null FROM row ORDER BY id;
SELECT * FROM reasons;
-- another time they are counted, and one of them is another function's
SELECT count(*), count(gpt_generate(model, prompt, 2, temperature, stop => stop, seed => 1, on_error => 'null')) FROM row;
SELECT id, (SELECT count(*) FROM gpt_stream(model, prompt, 2, temperature, stop => stop, seed => 1, on_error => 'null')) > 0 AS rows,
	(SELECT count(*) FROM gpt_generate_many(model, prompt, 2, 2, temperature, stop => stop, seed => 1, on_error => 'null')) AS samples,
	(SELECT count(*) FROM gpt_generate_detail(model, prompt, 2, temperature, stop => stop, seed => 1, on_error => 'null')) > 0 AS details FROM row ORDER BY id;
SELECT function, sum(count) FROM reasons GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM gpt_errors(reset => true);
SELECT count(*) FROM gpt_errors();

-- as a setting; an argument comes first
SET gpt.on_error = 'null';
SELECT id, gpt_score(model, prompt) IS NULL AS score, gpt_logprob(model, prompt, 'a') IS NULL AS logprob, gpt_embed(model, prompt) IS NULL AS embed,
	gpt_classify(model, prompt) IS NULL AS classify, gpt_similarity(model, prompt, 'a') IS NULL AS similarity, gpt_choose(model, prompt, '{a,b}') IS NULL AS choose,
	(SELECT count(*) FROM gpt_tokens(model, prompt)) AS tokens, (SELECT count(*) FROM gpt_classify_probs(model, prompt)) > 0 AS probs,
	(SELECT count(*) FROM gpt_choose_probs(model, prompt, '{a,b}')) AS choices
FROM row WHERE id IN (1, 3, 4, 8) ORDER BY id;
SELECT function, model, sqlstate, message, hint, sum(count) FROM reasons GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 4;
SELECT gpt_generate(model, prompt, 2, temperature, stop => stop, on_error => 'error') FROM row WHERE id = 2;
-- a metric that a row names
SELECT metric, gpt_score('erring', 'ab', metric) IS NULL AS is_null FROM (VALUES ('tokens'), ('length')) v (metric);
SELECT message FROM gpt_errors(true) WHERE function = 'gpt_score' AND message LIKE '%length%';

-- texts of arrays, of an aggregate, of conversations, and of many rows together; a whole array is null only where its model is missing
SELECT gpt_score('erring', ARRAY['a', 'c', NULL]) = ARRAY[gpt_score('erring', 'a'), NULL, NULL] AS elements, gpt_score(model, ARRAY['a']) IS NULL AS whole,
	ARRAY(SELECT e IS NULL FROM gpt_embed('erring', ARRAY['a', 'c']) e) AS rows, ARRAY(SELECT gpt_embed(model, ARRAY['a'])) AS none
FROM row WHERE id = 3;
SELECT gpt_perplexity('erring', body) = gpt_perplexity('erring', body) FILTER (WHERE body <> 'abc') AS passed_over, gpt_choose('erring', 'a', '{a,c}') IS NULL AS choose
FROM (VALUES ('ab'), ('abc'), ('b')) v (body);
SELECT gpt_chat('erring', messages) IS NULL AS is_null FROM (VALUES (jsonb '"a"'), ('[{"role": "nobody"}]')) v (messages);
SET gpt.batching = on;
SELECT id, gpt_score('erring', prompt) IS NULL AS score, gpt_generate('erring', prompt, 2, temperature, stop => stop, seed => 1) IS NULL AS text FROM row ORDER BY id;
RESET gpt.batching;
SELECT function, message, sum(count) FROM gpt_errors(true) GROUP BY 1, 2 ORDER BY 1, 2;
RESET gpt.on_error;
SELECT gpt_score('erring', ARRAY['a', 'c']) IS NULL AS warned;
SELECT gpt_perplexity('erring', 'c');
SET gpt.on_error = 'null';

-- errors of the statement: a model that is the same for every row, arguments that are, and a word that is none
SELECT gpt_generate('none', prompt) FROM row;
SELECT gpt_score('judging', prompt) FROM row;
SELECT gpt_generate('erring', prompt, temperature => -1) FROM row;
-- what the model's tokens are, each row's model says
SELECT gpt_generate('erring', prompt, logit_bias => '{"ab": 1}') IS NULL AS is_null FROM row WHERE id = 1;
SELECT gpt_generate('erring', prompt, on_error => 'ignore') FROM row;
PREPARE constant(text) AS SELECT gpt_generate($1, 'a', on_error => 'null');
EXECUTE constant('none');
-- a role without privileges on any of the models
CREATE ROLE regress_gpt_erring;
GRANT SELECT ON row TO regress_gpt_erring;
SET ROLE regress_gpt_erring;
SELECT gpt_score('erring', prompt) FROM row;
SELECT count(gpt_score(model, prompt)) FROM row;
SELECT count, model, sqlstate, message FROM gpt_errors(true) WHERE function = 'gpt_score' AND model <> 'none' ORDER BY message;
RESET ROLE;
DROP OWNED BY regress_gpt_erring;
DROP ROLE regress_gpt_erring;
SELECT gpt_evaluate('none', 'SELECT body FROM line');
SET gpt.max_memory = '2MB';
SELECT gpt_generate(model, prompt, banned => (SELECT array_agg(repeat(md5(i::text), 30)) FROM generate_series(1, 1000) i)) FROM row WHERE id = 1;
RESET gpt.max_memory;
SET statement_timeout = '100ms';
SELECT gpt_generate(model, 'a', 1000000, logit_bias => '{"<|endoftext|>": -100}', stop => 'no such text') FROM row, generate_series(1, 1000000) i WHERE id = 1;
RESET statement_timeout;
SELECT count, function, model, message FROM reasons;

-- the last hundred reasons are kept
SELECT count(*) FROM gpt_errors(true);
SELECT count(gpt_score('none ' || i, 'x')) FROM generate_series(1, 250) i;
SELECT count(*), min(model), bool_and(count = 1) FROM gpt_errors() WHERE model > 'none 15';
SELECT count(*), max(length(model)), max(length(message)) FROM (SELECT * FROM gpt_errors(true)) e;
SELECT gpt_score('erring', 'a', repeat('ä', 5000) || i) IS NULL AS is_null FROM generate_series(1, 2) i;
SELECT count, octet_length(message) FROM gpt_errors(true);

-- they outlive the transaction, and functions that catch nothing
BEGIN;
SELECT gpt_score(model, prompt) FROM row WHERE id = 3;
SAVEPOINT s;
SELECT gpt_score(model, prompt) FROM row WHERE id = 3;
ROLLBACK TO s;
ROLLBACK;
SELECT count, message FROM reasons;
-- a job does not take the setting
SELECT gpt_train('erring2', 'SELECT gpt_generate(model, prompt, 2) FROM row', '{"steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
RESET gpt.on_error;
SELECT count(*) FROM gpt_errors(true);

DROP VIEW reasons;
SELECT gpt_drop_model('erring');
SELECT gpt_drop_model('judging');
SELECT gpt_drop_tokenizer('letters');
DROP TABLE line, row;
