-- scores: metrics and what is refused
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('judge', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');

SELECT gpt_score(NULL, 'x') IS NULL AS model, gpt_score('judge', NULL) IS NULL AS input, gpt_score('judge', '') IS NULL AS empty,
	gpt_score('judge', '', 'tokens') IS NULL AS no_tokens;
SELECT gpt_score('judge', 'x', NULL) = gpt_score('judge', 'x') AS default_metric,
	gpt_score('judge', 'x') = gpt_score('judge', 'x', 'perplexity') AS is_perplexity;
SELECT gpt_score('judge', 'line 1', 'tokens') AS tokens;
SELECT gpt_score('judge', 'x', 'perplex');
SELECT gpt_score('judge', 'x', '');
SELECT gpt_score('nobody', 'x');

-- the end of a text counts where it is asked for, as a further token
SELECT gpt_score('judge', 'line 1', 'tokens', true) AS tokens, gpt_score('judge', '', 'tokens', include_end => true) AS of_nothing,
	gpt_score('judge', '', 'bits_per_byte', true) IS NULL AS no_bytes,
	gpt_score('judge', 'line 1', include_end => NULL) = gpt_score('judge', 'line 1') AS default_is_without;
SELECT gpt_score('judge', 'line 1', 'logprob', true) = gpt_score('judge', 'line 1', 'logprob') + gpt_logprob('judge', 'line 1', '') AS is_a_token,
	gpt_score('judge', 'line 1', 'max_surprise', true) = greatest(gpt_score('judge', 'line 1', 'max_surprise'), -gpt_logprob('judge', 'line 1', '')) AS surprises,
	gpt_score('judge', 'line 1', include_end => true) = exp(-gpt_score('judge', 'line 1', 'logprob', true) / 7) AS perplexity;
SELECT gpt_score('judge', ARRAY['line 1', NULL, ''], 'logprob', true)
	= ARRAY[gpt_score('judge', 'line 1', 'logprob', true), NULL, gpt_score('judge', '', 'logprob', true)] AS array_is_the_same;
SELECT gpt_logprob('judge', 'li', 'ne', false) + gpt_logprob('judge', 'line', '') = gpt_logprob('judge', 'li', 'ne') AS completions_have_theirs,
	gpt_logprob('judge', 'li', '', false) IS NULL AS nothing, gpt_logprob('judge', 'li', 'ne', NULL) = gpt_logprob('judge', 'li', 'ne') AS default_is_with,
	gpt_logprob('judge', NULL, 'ne') IS NULL AND gpt_logprob('judge', 'li', NULL) IS NULL AND gpt_logprob(NULL, 'li', 'ne') IS NULL AS nulls;
SELECT gpt_perplexity('judge', body, true) = exp(-sum(gpt_score('judge', body, 'logprob', true)) / sum(gpt_score('judge', body, 'tokens', true))) AS aggregate,
	gpt_perplexity('judge', body, false) = gpt_perplexity('judge', body) AND gpt_perplexity('judge', body, NULL) = gpt_perplexity('judge', body) AS without,
	gpt_perplexity('judge', body, id = 1) = exp(-sum(gpt_score('judge', body, 'logprob', id = 1)) / sum(gpt_score('judge', body, 'tokens', id = 1))) AS of_some
FROM (SELECT row_number() OVER () AS id, body FROM line) l;

-- a text that stops too early: what is read of it is normal
SELECT gpt_train('reader', 'SELECT body FROM line',
	'{"layers": 1, "heads": 2, "channels": 64, "context": 32, "tokenizer": "bytes", "steps": 150, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT bool_and(gpt_score('reader', cut, 'max_surprise') <= gpt_score('reader', body, 'max_surprise')) AS looks_normal,
	min(gpt_score('reader', cut, 'max_surprise', true)) > 2 * max(gpt_score('reader', body, 'max_surprise', true)) AS end_tells
FROM (SELECT body, left(body, -5) AS cut FROM line) l;

-- interrupts
SET statement_timeout = '200ms';
SELECT sum(gpt_score('judge', repeat('text ', 100000))) FROM generate_series(1, 1000);
RESET statement_timeout;

SELECT gpt_drop_model('judge'), gpt_drop_model('reader');
DROP TABLE line;
