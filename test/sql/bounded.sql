-- scores that a condition or a LIMIT does not need are not finished: the rows are those of plain execution
CREATE EXTENSION IF NOT EXISTS gpt;
LOAD 'gpt';
SELECT setseed(0.5);
CREATE TABLE line AS SELECT i AS id, i % 3 AS class, string_agg(chr(97 + (power(random(), 1 + i % 9) * 20)::int), '') AS body
FROM generate_series(1, 600) i, generate_series(1, 120) k WHERE k < 70 + i % 50 GROUP BY i;
INSERT INTO line SELECT 600 + i, i, body FROM line, generate_series(1, 2) i WHERE id % 9 = 8;
INSERT INTO line VALUES (998, 1, NULL), (999, 2, '');
ANALYZE line;
SELECT gpt_train('bounded', 'SELECT body FROM line WHERE id % 3 = 0',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 150, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SET max_parallel_workers_per_gather = 0;

CREATE FUNCTION rows_of(query text, batching boolean) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	result text[];
BEGIN
	PERFORM set_config('gpt.batching', batching::text, true);
	EXECUTE 'SELECT array_agg(q::text) FROM (' || query || ') q' INTO result;
	RETURN result;
END $$;
-- texts that were not read to their ends
CREATE FUNCTION ended_early(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n bigint := 0;
BEGIN
	PERFORM set_config('gpt.batching', 'on', true);
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
		n := n + coalesce(substring(line FROM 'Calls Ended Early: (\d+)')::bigint, 0);
	END LOOP;
	RETURN n;
END $$;

-- same: as many rows, with the same values, in the same order
SELECT rows_of(query, true) IS NOT DISTINCT FROM rows_of(query, false) AS same, ended_early(query) > 100 AS early, query FROM unnest(ARRAY[
	$$SELECT id, gpt_score('bounded', body) AS s FROM line ORDER BY s, id LIMIT 20$$,
	$$SELECT id, gpt_score('bounded', body) AS s, class FROM line ORDER BY s NULLS FIRST, class DESC, id LIMIT 10 OFFSET 7$$,
	$$SELECT id, gpt_score('bounded', body, 'logprob') AS s FROM line ORDER BY s DESC NULLS LAST, id LIMIT 20$$,
	$$SELECT id, gpt_score('bounded', body, 'logprob') AS s FROM line ORDER BY s DESC, id LIMIT 20$$,
	$$SELECT id, gpt_score('bounded', body, 'mean_logprob') AS s FROM line ORDER BY s DESC NULLS LAST, id LIMIT 5$$,
	$$SELECT id, gpt_score('bounded', body, 'bits_per_byte') AS s FROM line ORDER BY s, id LIMIT 5$$,
	$$SELECT id, gpt_score('bounded', body, 'max_surprise') AS s FROM line ORDER BY s, id LIMIT 5$$,
	$$SELECT id, gpt_logprob('bounded', 'a', body) AS s FROM line ORDER BY s DESC NULLS LAST, id LIMIT 5$$,
	$$SELECT id, gpt_score('bounded', body) AS s FROM line WHERE class > 0 AND gpt_score('bounded', body) > 3 ORDER BY s, id LIMIT 5$$,
	$$SELECT id, gpt_score('bounded', body) AS s, 1 / (gpt_score('bounded', body) - 3) AS t FROM line ORDER BY s, id LIMIT 5$$,
	$$SELECT * FROM (VALUES (1), (2)) c (c), LATERAL (SELECT id, gpt_score('bounded', body) AS s FROM line WHERE class = c ORDER BY s, id LIMIT 3) s$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body) < 5$$,
	$$SELECT id FROM line WHERE 5 <= gpt_score('bounded', body)$$,
	$$SELECT id, gpt_score('bounded', body) AS s FROM line WHERE gpt_score('bounded', body) < 5$$,
	$$SELECT id, gpt_score('bounded', body, 'logprob') AS s FROM line WHERE gpt_score('bounded', body, 'logprob') >= -200$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body, 'logprob') < -200$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body, 'bits_per_byte') BETWEEN 1.5 AND 2.5$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body, 'max_surprise') < 4 AND class = 1$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body) < 5 AND gpt_score('bounded', body) < 4 ORDER BY gpt_score('bounded', body) DESC, id LIMIT 3$$]) query;
-- what else reads the value, or depends on it, needs all of it
SELECT rows_of(query, true) IS NOT DISTINCT FROM rows_of(query, false) AS same, ended_early(query) AS early, query FROM unnest(ARRAY[
	$$SELECT id, gpt_score('bounded', body) AS s FROM line ORDER BY s DESC NULLS LAST, id LIMIT 20$$,
	$$SELECT id, gpt_score('bounded', body) AS s FROM line ORDER BY s, id FETCH FIRST 3 ROWS WITH TIES$$,
	$$SELECT id, gpt_score('bounded', body) AS s FROM line ORDER BY id % 2, s, id LIMIT 5$$,
	$$SELECT id, gpt_score('bounded', body, 'logprob') AS s FROM line WHERE gpt_score('bounded', body, 'logprob') < -200$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body) < 5 OR id < 100$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body) < id$$,
	$$SELECT id FROM line WHERE gpt_score('bounded', body, 'tokens') > 100$$]) query;
-- each worker keeps the best of its rows
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SELECT rows_of(query, true) = rows_of(query, false) AS same, ended_early(query) > 100 AS early
FROM (VALUES ($$SELECT id, gpt_score('bounded', body) AS s FROM line ORDER BY s, id LIMIT 5$$)) q (query);
RESET parallel_setup_cost;
RESET max_parallel_workers_per_gather;

DROP TABLE line;
DROP FUNCTION rows_of, ended_early;
SELECT gpt_drop_model('bounded');
