-- recomputation of activations changes memory and time, not the weights

CREATE TABLE speech (id int, body text);
INSERT INTO speech SELECT i, 'speaker ' || i % 7 || ' says: ' || repeat('word' || i % 13 || ' ', 3 + i % 5) || i FROM generate_series(1, 300) i;
CREATE FUNCTION small(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 8, "heads": 4, "channels": 64, "context": 128, "tokenizer": "bytes", "steps": 2, "batch_size": 32, "dropout": 0.1, "precision": "float32"}'::jsonb || further $$;
CREATE VIEW chosen AS SELECT model, state, conditions -> 'recompute' AS recompute, (conditions ->> 'memory_mb')::float8 < 100 AS little FROM gpt_jobs WHERE model LIKE 'memory%';

SELECT gpt_train('memory_kept', 'SELECT body FROM speech', small()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('memory_spared', 'SELECT body FROM speech', small('{"recompute": true}')) AS job \gset
SELECT gpt_wait(:job, '300 s');

-- auto, where the limit asks for it
-- how much depends on the processor: its own kernels take copies
CREATE PROCEDURE needs_memory(query text, options jsonb) LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM gpt_train('m', query, options);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%, %', regexp_replace(SQLERRM, '\d+ MB', 'n MB'), regexp_replace(hint, 'with ".*\. A', 'with …. A');
END $$;
SET gpt.max_memory = '100MB';
SELECT gpt_train('memory_limited', 'SELECT body FROM speech', small('{"recompute": "auto"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
CALL needs_memory('SELECT body FROM speech', small('{"recompute": false}'));
RESET gpt.max_memory;
DROP PROCEDURE needs_memory;

SELECT * FROM chosen ORDER BY model;
SELECT count(*) AS models, count(DISTINCT substring(lo_get(weights) FROM 20000)) AS weights FROM gpt_models WHERE model IN ('memory_kept', 'memory_spared', 'memory_limited');
SELECT gpt_train('m', 'SELECT body FROM speech', '{"recompute": "often"}');
SELECT gpt_train('m', 'SELECT body FROM speech', '{"recompute": 1}');

SELECT gpt_drop_model(model) FROM (VALUES ('memory_kept'), ('memory_spared'), ('memory_limited')) v (model);
DROP TABLE speech;
DROP FUNCTION small;
DROP VIEW chosen;
