-- measures of a model on the rows of a query
SET client_min_messages = warning;
CREATE TABLE sum_up AS SELECT i AS id, i % 10 || '+' || i / 10 || '=' AS prompt, (i % 10 + i / 10)::text AS completion FROM generate_series(0, 99) i;
SELECT gpt_train('adder', 'SELECT prompt, completion FROM sum_up',
	'{"architecture": "decoder", "layers": 1, "heads": 2, "channels": 64, "context": 16, "tokenizer": "bytes", "steps": 600, "batch_size": 32, "learning_rate": 0.01,
	  "validation_query": "SELECT prompt, completion FROM sum_up WHERE id % 10 = 3", "publish": "last", "dropout": 0, "seed": 3}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- what was measured in training
SELECT metric, label, predicted, value > 0 AS positive FROM gpt_evaluate('adder');
SELECT value = validation_loss AS same FROM gpt_evaluate('adder'), gpt_models WHERE metric = 'loss' AND model = 'adder';

-- texts: the measures are those of gpt_score
SELECT metric, label, predicted FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up');
SELECT abs(e.value - s.loss) < 1e-9 AS loss, abs(exp(e.value) - p.value) < 1e-6 AS perplexity, abs(b.value - s.bits) < 1e-9 AS bits, t.value AS tokens
FROM (SELECT -sum(gpt_score('adder', prompt, 'logprob')) / sum(gpt_score('adder', prompt, 'tokens')) AS loss,
		-sum(gpt_score('adder', prompt, 'logprob')) / ln(2) / sum(octet_length(prompt)) AS bits FROM sum_up) s,
	gpt_evaluate('adder', 'SELECT prompt FROM sum_up') e, gpt_evaluate('adder', 'SELECT prompt FROM sum_up') p,
	gpt_evaluate('adder', 'SELECT prompt FROM sum_up') b, gpt_evaluate('adder', 'SELECT prompt FROM sum_up') t
WHERE e.metric = 'loss' AND p.metric = 'perplexity' AND b.metric = 'bits_per_byte' AND t.metric = 'tokens';

-- completions: their loss alone, and whether the model finds them
CREATE TABLE measured AS SELECT * FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM sum_up');
SELECT metric, value FROM measured WHERE metric IN ('documents', 'skipped', 'tokens');
SELECT abs(value + (SELECT sum(gpt_logprob('adder', prompt, completion)) / sum(octet_length(completion) + 1) FROM sum_up)) < 1e-9 AS loss
FROM measured WHERE metric = 'loss';
-- the end of a completion counts, as in training, and not that of a text, unless it is said
SELECT abs(value - validation_loss) < 1e-4 AS as_in_training
FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM sum_up WHERE id % 10 = 3'), gpt_models WHERE metric = 'loss' AND model = 'adder';
SELECT abs(value + (SELECT sum(gpt_logprob('adder', prompt, completion, false)) / sum(octet_length(completion)) FROM sum_up)) < 1e-9 AS loss_without
FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM sum_up', '{"include_end": false, "generate": false}') WHERE metric = 'loss';
SELECT abs(ln(value) - ln(p)) < 1e-9 AS perplexity_with
FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up', '{"include_end": true}'), (SELECT gpt_perplexity('adder', prompt, true) AS p FROM sum_up) s WHERE metric = 'perplexity';
SELECT value = (SELECT avg((gpt_generate('adder', prompt, temperature => 0, max_tokens => 20) = completion)::int) FROM sum_up) AS exact,
	value > 0.8 AS learnt
FROM measured WHERE metric = 'exact_match';
SELECT value = (SELECT avg((gpt_generate('adder', prompt, beams => 3, length_penalty => 1.5, max_tokens => 20) = completion)::int) FROM sum_up) AS beams
FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM sum_up', '{"max_tokens": 20, "beams": 3, "length_penalty": 1.5}') WHERE metric = 'exact_match';
SELECT value = (SELECT value FROM measured WHERE metric = 'exact_match') AS numbers_are_one_word FROM measured WHERE metric = 'rouge_l';
-- BLEU and chrF are sacreBLEU's: a perfect model has 100, a corpus of single words has no n-grams of four words
SELECT metric, round(value::numeric, 6) AS value FROM gpt_evaluate('adder', $$SELECT prompt, gpt_generate('adder', prompt, temperature => 0) AS completion FROM sum_up$$) WHERE metric IN ('exact_match', 'bleu', 'chrf');
SELECT metric FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM sum_up', '{"generate": false}');

-- rows weigh, and are skipped, as in training
SELECT metric, value FROM gpt_evaluate('adder', $$SELECT prompt, completion, CASE id WHEN 3 THEN NULL WHEN 4 THEN 0 ELSE 2 END AS weight
	FROM (SELECT id, NULLIF(prompt, '1+0=') AS prompt, completion FROM sum_up) s$$, '{"max_tokens": 4}')
WHERE metric IN ('documents', 'skipped', 'tokens');
SELECT abs(e.value + (SELECT (gpt_logprob('adder', '1+1=', '2') * 3 + gpt_logprob('adder', '2+2=', '5')) / 8)) < 1e-9 AS weighed
FROM gpt_evaluate('adder', $$SELECT * FROM (VALUES ('1+1=', '2', 3), ('2+2=', '5', 1)) v (prompt, completion, weight)$$) e
WHERE metric = 'loss';

-- a completion behind its prompt is the rest of the two together, where they are encoded alike
SELECT abs(gpt_logprob('adder', '1+2=', '3', false) - (gpt_score('adder', '1+2=3', 'logprob') - gpt_score('adder', '1+2=', 'logprob'))) < 1e-4 AS rest,
	gpt_logprob('adder', repeat('x', 100), repeat('y', 100)) < -100 AS long, gpt_logprob('adder', 'x', '', false) IS NULL AS nothing, gpt_logprob('adder', NULL, 'x') IS NULL AS null;

-- it may read the session's own tables
CREATE TEMPORARY TABLE mine AS SELECT prompt, completion FROM sum_up;
SELECT e.value = m.value AS same FROM gpt_evaluate('adder', 'SELECT prompt, completion FROM mine') e JOIN measured m USING (metric) WHERE metric = 'loss';
DROP TABLE mine;

-- the query writes nothing, and the transaction may afterwards
CREATE FUNCTION written(prompt text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO measured VALUES (prompt); RETURN prompt; END$$;
SELECT * FROM gpt_evaluate('adder', 'SELECT written(prompt) AS prompt FROM sum_up');
BEGIN;
SELECT count(*) FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up');
SAVEPOINT before;
SELECT * FROM gpt_evaluate('adder', 'SELECT written(prompt) AS prompt FROM sum_up');
ROLLBACK TO before;
SELECT written('here');
SELECT current_setting('transaction_read_only');
ROLLBACK;
DROP FUNCTION written;

-- mistakes
SELECT * FROM gpt_evaluate(NULL);
SELECT * FROM gpt_evaluate('nobody');
SELECT * FROM gpt_evaluate('nobody', 'SELECT prompt FROM sum_up');
SELECT * FROM gpt_evaluate('adder', 'SELECT id FROM sum_up');
SELECT * FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up WHERE false');
SELECT * FROM gpt_evaluate('adder', 'DELETE FROM sum_up');
SELECT * FROM gpt_evaluate('adder', 'SELECT prompt, -1 AS weight FROM sum_up');
SELECT * FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up', '{"max_token": 3}');
SELECT * FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up', '{"steps": 3}');
SELECT * FROM gpt_evaluate('adder', 'SELECT prompt FROM sum_up', '{"include_end": "sometimes"}');
SELECT gpt_train('other', 'SELECT prompt FROM sum_up', '{"generate": true}');
SELECT option, type, default_value FROM gpt_options('gpt_evaluate');

SELECT gpt_drop_model('adder');
DROP TABLE sum_up, measured;
