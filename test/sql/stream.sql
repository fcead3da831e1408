-- gpt_stream: a continuation token by token
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('teller', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- all pieces are the text of gpt_generate, for many seeds, beyond the context, with stops
SELECT bool_and(together = whole) AS same, bool_and(numbered) AS numbered FROM (
	SELECT gpt_generate('teller', 'line', 60, seed => i) AS whole,
		(SELECT string_agg(text, '' ORDER BY position) FROM gpt_stream('teller', 'line', 60, seed => i)) AS together,
		(SELECT array_agg(position) = array_agg(n::int) FROM gpt_stream('teller', 'line', 60, seed => i) WITH ORDINALITY AS s (position, token, text, n)) AS numbered
	FROM generate_series(1, 20) i) x;
SELECT bool_and(coalesce(together, '') = whole) AS same FROM (
	SELECT gpt_generate('teller', 'line', 60, stop => ARRAY[chr(97 + i), 'zz'], seed => i) AS whole,
		(SELECT string_agg(text, '' ORDER BY position) FROM gpt_stream('teller', 'line', 60, stop => ARRAY[chr(97 + i), 'zz'], seed => i)) AS together
	FROM generate_series(1, 20) i) x;
-- the ids are those of the text
SELECT gpt_detokenize('teller', array_agg(token ORDER BY position)) LIKE gpt_generate('teller', 'line', 30, temperature => 0) || '%' AS ids
FROM gpt_stream('teller', 'line', 30, temperature => 0);

-- NULL and errors
SELECT count(*) FROM gpt_stream(NULL, 'x');
SELECT count(*) FROM gpt_stream('teller', NULL);
SELECT gpt_stream('teller', 'x', max_tokens => 0);
SELECT gpt_stream('nobody', 'x');
SELECT count(*) FROM gpt_stream('teller', repeat('long ', 20), 2, seed => 1);

-- in the select list tokens come as they are made: a million of them would take longer
SET statement_timeout = '10s';
SELECT count(*) FROM (SELECT gpt_stream('teller', 'x', 1000000, temperature => 0) LIMIT 3) s;
SELECT (s).position FROM (SELECT gpt_stream('teller', 'x', 1000000, temperature => 0) AS s) x LIMIT 3;
BEGIN;
DECLARE told CURSOR FOR SELECT gpt_stream('teller', 'x', 1000000, temperature => 0) AS s;
MOVE 2 IN told;
-- the model serves others in between, and the engine may be started again
SELECT gpt_score('teller', 'line 1') > 0 AS good;
MOVE 2 IN told;
SET LOCAL gpt.threads = 2;
SELECT gpt_score('teller', 'line 1') > 0 AS good;
FETCH 1 FROM told \gset
SELECT :'s' = (SELECT s::text FROM (SELECT gpt_stream('teller', 'x', 5, temperature => 0) AS s) x WHERE (s).position = 5) AS same;
-- also where nobody used the model since
SET LOCAL gpt.threads = 1;
FETCH 1 FROM told \gset
SELECT :'s' = (SELECT s::text FROM (SELECT gpt_stream('teller', 'x', 6, temperature => 0) AS s) x WHERE (s).position = 6) AS same;
CLOSE told;
ROLLBACK;
RESET statement_timeout;
-- two at once
SELECT bool_and((a).text IS NOT DISTINCT FROM (b).text) AS same
FROM (SELECT gpt_stream('teller', 'x', 20, seed => 1) AS a, gpt_stream('teller', 'x', 20, seed => 1) AS b) x;
-- ended by an error, and by a time-out
SELECT 1 / (3 - (s).position) FROM (SELECT gpt_stream('teller', 'x', 1000000, temperature => 0) AS s) x;
SET statement_timeout = '200ms';
SELECT count(*) FROM gpt_stream('teller', 'x', 1000000, temperature => 0);
RESET statement_timeout;

-- nothing of streams that ended early stays: by LIMIT, by an error, by the end of their cursor
SELECT gpt_score('teller', 'x') > 0 AS good;
SELECT used_bytes AS before FROM pg_backend_memory_contexts WHERE name = 'gpt engine' \gset
SELECT count(*) FROM generate_series(1, 200) i, LATERAL (SELECT gpt_stream('teller', 'x' || i, 1000000, temperature => 0) LIMIT 2) s;
DO $$
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			PERFORM 1 / (3 - (s).position) FROM (SELECT gpt_stream('teller', 'x', 1000000, temperature => 0) AS s) x;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END LOOP;
END $$;
BEGIN;
DECLARE first CURSOR FOR SELECT gpt_stream('teller', 'x', 1000000, temperature => 0);
DECLARE second CURSOR FOR SELECT gpt_stream('teller', 'x', 1000000, temperature => 0);
MOVE 3 IN first;
MOVE 3 IN second;
CLOSE first;
COMMIT;
SELECT used_bytes - :before AS left_behind FROM pg_backend_memory_contexts WHERE name = 'gpt engine';

SELECT gpt_drop_model('teller');
DROP TABLE line;
