-- gpt.batching: calls are answered for many rows together, with the results of single calls
LOAD 'gpt';
SET max_parallel_workers_per_gather = 0;
SET gpt.batching = off;
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' || repeat(' more', i % 9) AS body, i % 7 = 0 AS odd FROM generate_series(1, 1000) i;
UPDATE line SET body = NULL WHERE id = 10;
UPDATE line SET body = '' WHERE id = 11;
ANALYZE line;
SELECT gpt_train('batch', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('labels', $$SELECT body AS text, id % 3 AS label FROM line WHERE body <> ''$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 5, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- every plan of the query, without what varies
CREATE FUNCTION plan_of(query text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (' || options || ') ' || query LOOP
		line := regexp_replace(line, '(Tokens|Tokens Computed|Tokens per Second): [1-9]\d*', '\1: N');
		-- 18 prints "rows=7.00"
		RETURN NEXT regexp_replace(line, '(rows=\d+)\.00', '\1');
	END LOOP;
END $$;
CREATE FUNCTION is_batched(query text) RETURNS boolean LANGUAGE sql AS $$SELECT string_agg(p, '') LIKE '%GptBatch%' FROM plan_of(query) p$$;

-- 1,000 rows: batching on or off, text[] or single, parallel workers 0 or 2, one thread or two
CREATE TABLE result (way text, id integer, score float8, other float8, text text, label text, embedding real[]);
CREATE FUNCTION collect(way text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$INSERT INTO result SELECT %L, id, gpt_score('batch', body),
		gpt_logprob('batch', 'line', body, NOT odd) + gpt_score('batch', body, 'logprob', odd),
		gpt_generate('batch', body, 1 + id %% 12, temperature => id %% 3, top_p => 0.9, stop => '{e}', seed => id),
		gpt_classify('labels', body), gpt_embed('batch', body, CASE WHEN odd THEN 'last' END, NOT odd) FROM line$q$, way);
END $$;
SELECT collect('single');
SET gpt.batching = on;
SELECT collect('batched');
SET gpt.batch_rows = 1000;
SELECT collect('all at once');
RESET gpt.batch_rows;
SET gpt.threads = 2;
SELECT collect('two threads');
SET gpt.batching = off;
SELECT collect('single, two threads');
RESET gpt.threads;
SELECT way, count(*) FROM result GROUP BY way ORDER BY way;
SELECT count(*) AS different FROM (SELECT id, score, other, text, label, embedding FROM result GROUP BY 1, 2, 3, 4, 5, 6 HAVING count(*) <> 5) d;
SELECT array_agg(score ORDER BY id) = gpt_score('batch', (SELECT array_agg(body ORDER BY id) FROM line)) AS arrays,
	array_agg(label ORDER BY id) = gpt_classify('labels', (SELECT array_agg(body ORDER BY id) FROM line)) AS labels FROM result WHERE way = 'single';
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL gpt.batching = on;
ALTER TABLE line SET (parallel_workers = 2);
-- each worker of a parallel plan batches
SELECT plan_of($$SELECT id, gpt_score('batch', body) FROM line$$);
SELECT count(*) AS different FROM (SELECT id, gpt_score('batch', body) AS score FROM line) p JOIN result r USING (id) WHERE r.way = 'single' AND r.score IS DISTINCT FROM p.score;
ROLLBACK;

-- plans
SET gpt.batching = on;
SET max_parallel_workers_per_gather = 0;
SELECT plan_of($$SELECT id, gpt_score('batch', body) FROM line ORDER BY 2 DESC LIMIT 20$$);
SELECT plan_of($$SELECT id, round(gpt_score('batch', body || '!')::numeric, 2) FROM line WHERE odd$$, 'COSTS OFF, VERBOSE');
SELECT plan_of($$SELECT gpt_score('batch', body), gpt_generate('batch', body, 3, seed => 1) FROM line WHERE id <= 150$$, 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
SELECT plan_of($$SELECT gpt_score('batch', body) FROM line WHERE id <= 150$$, 'COSTS OFF, ANALYZE, BUFFERS OFF, SUMMARY OFF') LIKE '%Tokens per Second: N%' AS speed
ORDER BY 1 DESC LIMIT 1;
-- LIMIT reads ahead no more than its bound
SELECT plan_of($$SELECT gpt_score('batch', body) FROM line LIMIT 5 OFFSET 3$$, 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
PREPARE limited(bigint) AS SELECT gpt_score('batch', body) > 0 AS good FROM line LIMIT $1;
SET plan_cache_mode = force_generic_plan;
SELECT plan_of('EXECUTE limited(7)', 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
-- one that changes when it is computed is computed once
CREATE TEMP SEQUENCE wanted START 3;
SELECT gpt_score('batch', body) > 0 AS good FROM line LIMIT nextval('wanted');
SELECT nextval('wanted');
EXECUTE limited(2);
EXECUTE limited(0);
EXECUTE limited(-1);
SELECT count(*) FROM (SELECT gpt_score('batch', body) FROM line LIMIT NULL) x;
RESET plan_cache_mode;

-- what is batched, and what is left alone
SELECT is_batched(q) AS batched, q AS query FROM unnest(ARRAY[
	$$SELECT gpt_generate('batch', body) FROM line$$,
	$$SELECT gpt_score('batch', string_agg(body, ' ')) FROM line GROUP BY odd$$,
	$$SELECT gpt_score('batch', a.body) FROM line a JOIN line b USING (id)$$,
	$$SELECT DISTINCT gpt_classify('labels', body) FROM line$$,
	$$SELECT gpt_score('batch', body), row_number() OVER (ORDER BY id) FROM line$$,
	$$INSERT INTO result (score) SELECT gpt_score('batch', body) FROM line$$,
	$$INSERT INTO result (score) SELECT gpt_score('batch', body) FROM line ORDER BY id LIMIT 10$$,
	$$CREATE TABLE made AS SELECT gpt_score('batch', body) FROM line$$,
	$$SELECT gpt_score('batch', body, CASE WHEN odd THEN 'tokens' ELSE 'logprob' END) FROM line$$,
	$$SELECT gpt_score(CASE WHEN odd THEN 'batch' END, body) FROM line$$,
	$$SELECT id FROM line WHERE gpt_score('batch', body) > 3$$,
	$$SELECT CASE WHEN odd THEN gpt_score('batch', body) END FROM line$$,
	$$SELECT coalesce(id, gpt_score('batch', body)) FROM line$$,
	$$SELECT sum(gpt_score('batch', body)) FROM line$$,
	$$SELECT gpt_score('batch', body), random() FROM line$$,
	$$SELECT gpt_score('batch', gpt_generate('batch', body)) FROM line$$,
	$$SELECT gpt_score('batch', body), (SELECT count(*) FROM line b WHERE b.id = a.id) FROM line a$$,
	$$SELECT (SELECT gpt_score('batch', body)) FROM line$$,
	$$SELECT gpt_score('batch', body) FROM line FOR UPDATE$$,
	$$SELECT gpt_score('batch', body), generate_series(1, 2) FROM line$$,
	$$SELECT gpt_score('batch', ARRAY[body]) FROM line$$,
	$$UPDATE line SET body = gpt_generate('batch', body)$$,
	$$SELECT gpt_score('batch', 'x')$$]) q;

-- a row that fails raises its error when it is handed on
BEGIN;
DECLARE failing CURSOR FOR SELECT id, gpt_generate('batch', body, CASE WHEN id = 5 THEN -1 ELSE 3 END, seed => 1) IS NULL AS none FROM line WHERE id < 20 ORDER BY id;
FETCH 4 FROM failing;
FETCH 1 FROM failing;
ROLLBACK;
SELECT count(*) FROM (SELECT gpt_generate('batch', body, CASE WHEN id = 5 THEN -1 ELSE 3 END, seed => 1) FROM line WHERE id < 20 ORDER BY id LIMIT 4) x;
SELECT gpt_score('nobody', body) FROM line;
SELECT gpt_score('labels', body) FROM line;
SELECT gpt_score('batch', body, 'perplex') FROM line LIMIT 1;
SELECT 1 / (id - 3), gpt_score('batch', body) FROM line WHERE id < 5;
SET statement_timeout = '300ms';
SELECT gpt_score('batch', repeat(body, 100000)) FROM line;
RESET statement_timeout;
SELECT gpt_score('batch', body) IS NOT NULL AS works_after FROM line WHERE id = 1;

-- cursors: forward, from the beginning again, and scrollable ones
BEGIN;
DECLARE onward CURSOR FOR SELECT id, gpt_score('batch', body) = (SELECT 0) AS zero FROM line ORDER BY id;
FETCH 2 FROM onward;
FETCH 2 FROM onward;
MOVE ABSOLUTE 1 IN onward;
ROLLBACK;
BEGIN;
DECLARE scrolled SCROLL CURSOR FOR SELECT id, gpt_score('batch', body) > 0 AS good FROM line ORDER BY id;
FETCH 2 FROM scrolled;
FETCH PRIOR FROM scrolled;
DECLARE held CURSOR WITH HOLD FOR SELECT id, gpt_score('batch', body) > 0 AS good FROM line WHERE id < 200 ORDER BY id;
FETCH 1 FROM held;
COMMIT;
FETCH 2 FROM held;
CLOSE held;

-- prepared statements, also after the model has a new version
PREPARE scored(integer) AS SELECT gpt_score('batch', body) = (SELECT score FROM result WHERE way = 'single' AND id = $1) AS same FROM line WHERE id = $1;
EXECUTE scored(1);
EXECUTE scored(2);
SET plan_cache_mode = force_generic_plan;
EXECUTE scored(3);
BEGIN;
SELECT gpt_rename_model('batch', 'renamed');
EXECUTE scored(3);
ROLLBACK;
EXECUTE scored(3);
RESET plan_cache_mode;

-- row security and privileges are those of single calls
CREATE ROLE batch_reader;
GRANT SELECT ON line TO batch_reader;
ALTER TABLE line ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON line TO batch_reader USING (id IN (3, 5));
SET ROLE batch_reader;
SELECT id, gpt_score('batch', body) FROM line;
RESET ROLE;
SELECT gpt_grant('batch', 'batch_reader');
SET ROLE batch_reader;
SELECT id, gpt_score('batch', body) > 0 AS good FROM line ORDER BY id;
RESET ROLE;
ALTER TABLE line DISABLE ROW LEVEL SECURITY;
SELECT gpt_revoke('batch', 'batch_reader');
DROP POLICY few ON line;
REVOKE SELECT ON line FROM batch_reader;
DROP ROLE batch_reader;

-- triggers see the rows in order, with their results
CREATE TABLE target (id integer, score float8);
CREATE TABLE seen (id integer, so_far bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen SELECT NEW.id, count(*) FROM target;
	RETURN NEW;
END $$;
CREATE TRIGGER noting BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO target SELECT id, gpt_score('batch', body) FROM line WHERE id BETWEEN 20 AND 120 ORDER BY id;
SELECT count(*), bool_and(so_far = id - 20) AS in_order FROM seen;
SELECT bool_and(t.score = r.score) AS same FROM target t JOIN result r USING (id) WHERE way = 'single';
CREATE TABLE made AS SELECT id, gpt_score('batch', body) AS score FROM line;
SELECT count(*), bool_and(m.score IS NOT DISTINCT FROM r.score) AS same FROM made m JOIN result r USING (id) WHERE way = 'single';

-- without a seed each row draws its own; a prompt that is too long is told once
SELECT count(DISTINCT t) > 5 AS differ FROM (SELECT gpt_generate('batch', 'same', 30 + id % 1) AS t FROM line LIMIT 20) x;
SELECT count(t) FROM (SELECT gpt_generate('batch', repeat(body, 10), 1, seed => 1) AS t FROM line WHERE id BETWEEN 100 AND 300) x;

-- nothing stays of queries that ended early: by an error, by the end of their cursor
SELECT gpt_score('batch', body) > 0 AS good FROM line WHERE id = 1;
SELECT used_bytes AS before FROM pg_backend_memory_contexts WHERE name = 'gpt engine' \gset
DO $$
BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			PERFORM id, gpt_generate('batch', body, CASE WHEN id = 70 THEN -1 ELSE 2 END) FROM line ORDER BY id;
		EXCEPTION WHEN invalid_parameter_value THEN
			NULL;
		END;
	END LOOP;
END $$;
BEGIN;
DECLARE first CURSOR FOR SELECT gpt_score('batch', body) FROM line;
DECLARE second CURSOR FOR SELECT gpt_score('batch', body) FROM line;
MOVE 3 IN first;
MOVE 70 IN second;
CLOSE first;
COMMIT;
SELECT used_bytes - :before AS left_behind FROM pg_backend_memory_contexts WHERE name = 'gpt engine';

-- ties, conditions on window functions, and columns that were dropped
CREATE TABLE tied AS SELECT id, id / 4 AS quarter, body FROM line WHERE id BETWEEN 1 AND 40;
CREATE TABLE best AS SELECT id, gpt_score('batch', body) AS score FROM tied ORDER BY quarter FETCH FIRST 2 ROWS WITH TIES;
SELECT count(*) FROM best;
CREATE TABLE ranked AS SELECT * FROM (SELECT body, gpt_score('batch', body) AS score, row_number() OVER w AS number, sum(quarter) OVER w AS total
	FROM tied WINDOW w AS (ORDER BY id)) q WHERE number <= 10;
SELECT count(*), max(number) FROM ranked;
CREATE TABLE short (id integer, old integer, score float8);
ALTER TABLE short DROP COLUMN old;
INSERT INTO short (id, score) SELECT id, gpt_score('batch', body) FROM tied;
SELECT count(*), bool_and(s.score IS NOT DISTINCT FROM r.score) AS same FROM short s JOIN result r USING (id) WHERE way = 'single';
DROP TABLE tied, best, ranked, short;

-- two models of one statement share gpt.max_memory, which each of them alone could fill
SELECT gpt_train('wide one', 'SELECT body FROM line', '{"layers": 2, "heads": 2, "channels": 64, "context": 256, "tokenizer": "bytes", "steps": 1, "batch_size": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('wide two', 'SELECT body FROM line', '{"layers": 2, "heads": 2, "channels": 64, "context": 256, "tokenizer": "bytes", "steps": 1, "batch_size": 2, "seed": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE TABLE wide AS SELECT id, repeat(body, 12) AS body FROM line WHERE id <= 100;
SET gpt.max_memory = '4MB';
CREATE TABLE pair AS SELECT id, gpt_score('wide one', body) AS one, gpt_score('wide two', body) AS two FROM wide;
RESET gpt.max_memory;
SET gpt.batching = off;
SELECT count(*), bool_and(b.one IS NOT DISTINCT FROM gpt_score('wide one', body) AND b.two IS NOT DISTINCT FROM gpt_score('wide two', body)) AS same
FROM pair b JOIN wide USING (id);
SET gpt.batching = on;
DROP TABLE wide, pair;
SELECT gpt_drop_model('wide one'), gpt_drop_model('wide two');

-- an array from the toast table
CREATE TABLE stopped (id integer, stop text[]);
ALTER TABLE stopped ALTER stop SET STORAGE EXTERNAL;
INSERT INTO stopped SELECT i, ARRAY['e', repeat('x' || i, 2000)] FROM generate_series(1, 20) i;
SELECT pg_relation_size(reltoastrelid) > 0 AS toasted FROM pg_class WHERE relname = 'stopped';
CREATE TABLE ended AS SELECT id, gpt_generate('batch', 'line ' || id, 8, stop => stop, seed => id) AS text FROM stopped;
SET gpt.batching = off;
SELECT count(*), bool_and(e.text = gpt_generate('batch', 'line ' || id, 8, stop => stop, seed => id)) AS same FROM ended e JOIN stopped USING (id);
SET gpt.batching = on;
DROP TABLE stopped, ended;

-- what calls cost is no reason to compile expressions
SELECT is_batched('SELECT gpt_generate(''batch'', body) FROM line') AS batched, count(*) AS compiled
	FROM plan_of('SELECT gpt_generate(''batch'', body) FROM line', 'COSTS ON') p WHERE p LIKE '%JIT%';
SET gpt.batching = off;
SELECT count(*) AS compiled_without
	FROM plan_of('SELECT gpt_generate(''batch'', body) FROM line', 'COSTS ON') p WHERE p LIKE '%JIT%';
SET gpt.batching = on;

-- off, nothing of it is there
SET gpt.batching = off;
SELECT is_batched($$SELECT gpt_score('batch', body) FROM line$$);
SET gpt.batch_rows = 0;

SELECT gpt_drop_model('batch'), gpt_drop_model('labels');
DROP TABLE line, result, target, seen, made;
DROP FUNCTION plan_of, is_batched, collect, note;
