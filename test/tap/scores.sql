-- test/tap/scores.sql - what must hold of scores.
-- One schema is enough: the file tests numbers, and others call the same functions in the second schema.
SELECT no_plan();

CREATE TABLE line AS SELECT 'line ' || i || ' says: the quick brown fox jumps over the lazy dog' AS body FROM generate_series(1, 200) i;
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 2, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 100, "batch_size": 16, "seed": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a small model is trained');
CREATE FUNCTION near(a float8, b float8) RETURNS boolean LANGUAGE SQL AS $$ SELECT abs(a - b) <= 1e-9 * greatest(1, abs(a)) $$;

-- metrics are of one another
CREATE TEMP TABLE input (input text);
INSERT INTO input VALUES ('a'), ('line 7 says'), ('Grüße 🙂'), (repeat('the quick brown fox ', 30));
SELECT is(gpt_score('m', input, 'tokens'), octet_length(input)::float8, 'every byte is scored once') FROM input;
SELECT ok(near(gpt_score('m', input, 'mean_logprob'), gpt_score('m', input, 'logprob') / gpt_score('m', input, 'tokens')), 'mean_logprob is logprob / tokens') FROM input;
SELECT ok(near(gpt_score('m', input), exp(-gpt_score('m', input, 'mean_logprob'))), 'perplexity is exp(-mean_logprob)') FROM input;
SELECT ok(near(gpt_score('m', input, 'bits_per_byte'), -gpt_score('m', input, 'logprob') / ln(2::float8) / octet_length(input)), 'bits_per_byte is of the text''s bytes') FROM input;
SELECT ok(gpt_score('m', input, 'max_surprise') >= -gpt_score('m', input, 'mean_logprob'), 'the largest surprise is no less than the mean') FROM input;
SELECT ok(gpt_score('m', input, 'logprob') < 0, 'a text is not certain') FROM input;

-- probabilities
SELECT ok(abs(sum(exp(gpt_score('m', chr(i), 'logprob'))) - 1) < 1, 'first bytes have probabilities') FROM generate_series(1, 127) i;
SELECT ok(gpt_score('m', 'line 1 says', 'logprob') > gpt_score('m', 'line 1 says: more', 'logprob'), 'a longer text is less likely');
SELECT ok(gpt_score('m', 'line 300 says: the quick brown fox') < gpt_score('m', 'fox brown quick the :says 300 line'), 'what was learnt is more likely than its words in another order');
SELECT ok(gpt_score('m', 'line 300 says: the quick brown fox') < gpt_score('m', 'SELECT * FROM pg_class'), 'and than another language');
SELECT ok(gpt_score('m', '<|endoftext|>', 'tokens') = 13, 'the name of a special token is text');

-- nothing else plays a role
SELECT gpt_score('m', 'line 7') AS alone \gset
SELECT is(gpt_score('m', 'line 7'), :'alone'::float8, 'the same text has the same score');
SELECT is(gpt_score('m@1', 'line 7'), :'alone'::float8, 'the current version has a number');
SET gpt.threads = 2;
SELECT is(gpt_score('m', 'line 7'), :'alone'::float8, 'two threads give the same bits');
RESET gpt.threads;
SELECT ok(bool_and(score = :'alone'::float8), 'between other texts the score is the same')
FROM (SELECT i % 3 AS i, gpt_score('m', CASE i % 3 WHEN 0 THEN 'line 7' WHEN 1 THEN 'line 70' ELSE repeat('x', 300) END) AS score FROM generate_series(1, 30) i) s WHERE i = 0;

-- parallel workers
CREATE TABLE many AS SELECT 'line ' || i AS body FROM generate_series(1, 500) i;
SELECT sum(gpt_score('m', body, 'logprob')::numeric) AS total FROM many \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE many SET (parallel_workers = 2);
SELECT is(sum(gpt_score('m', body, 'logprob')::numeric), :'total'::numeric, 'parallel workers give the same scores') FROM many;

-- one statement sees one version, a transaction what it may see
CREATE FUNCTION drop_between() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gpt_drop_model('m');
	RETURN 'dropped';
END $$;
BEGIN;
SELECT ok(bool_and(score IS NOT NULL), 'a statement goes on with the model that it began with')
FROM (SELECT CASE WHEN i = 2 THEN length(drop_between())::float8 ELSE gpt_score('m', 'x') END AS score FROM generate_series(1, 4) i) s;
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, '42704', 'model "m" does not exist', 'the next one does not find it');
ROLLBACK;
SELECT is(gpt_score('m', 'line 7'), :'alone'::float8, 'after a rollback it is there again');

SELECT * FROM finish();
