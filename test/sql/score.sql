-- scores: metrics and what is refused
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('judge', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '60 s');

SELECT gpt_score(NULL, 'x') IS NULL AS model, gpt_score('judge', NULL) IS NULL AS input, gpt_score('judge', '') IS NULL AS empty,
	gpt_score('judge', '', 'tokens') IS NULL AS no_tokens;
SELECT gpt_score('judge', 'x', NULL) = gpt_score('judge', 'x') AS default_metric,
	gpt_score('judge', 'x') = gpt_score('judge', 'x', 'perplexity') AS is_perplexity;
SELECT gpt_score('judge', 'line 1', 'tokens') AS tokens;
SELECT gpt_score('judge', 'x', 'perplex');
SELECT gpt_score('judge', 'x', '');
SELECT gpt_score('nobody', 'x');

-- interrupts
SET statement_timeout = '200ms';
SELECT sum(gpt_score('judge', repeat('text ', 100000))) FROM generate_series(1, 1000);
RESET statement_timeout;

SELECT gpt_drop_model('judge');
DROP TABLE line;
