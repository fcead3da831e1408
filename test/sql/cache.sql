-- memory: what models need beside their shared images stays within gpt.max_memory, those not used for long make room
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
\set options '{"layers": 2, "heads": 2, "channels": 128, "context": 128, "tokenizer": "bytes", "steps": 1, "batch_size": 4}'
SELECT gpt_train('one', 'SELECT body FROM line', :'options') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('two', 'SELECT body FROM line', :'options'::jsonb || '{"seed": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE VIEW loaded AS SELECT count(*) AS models FROM pg_backend_memory_contexts WHERE ident = 'gpt model';

SELECT gpt_score('one', 'x') > 0 AS one, gpt_score('two', 'x') > 0 AS two;
SELECT * FROM loaded;

-- the room that each needs for a text does not fit twice: it goes with the other's use, the models stay
\c
SET gpt.max_memory = '1MB';
SELECT gpt_score('one', 'x') > 0 AS one;
SELECT gpt_score('two', 'x') > 0 AS two;
SELECT * FROM loaded;
SELECT gpt_score('one', 'x') > 0 AS one, gpt_score('two', 'x') > 0 AS two, gpt_score('one', 'x') = gpt_score('one', 'x') AS same;
SELECT * FROM loaded;

-- after an error the model makes room as after a result
DO $$
BEGIN
	PERFORM gpt_score('one', repeat('a', 400000));
EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR configuration_limit_exceeded THEN
	RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+', 'n');
	PERFORM gpt_score('two', 'x');
END $$;
SELECT * FROM loaded;

-- an image that does not fit is not made: an error before anything is allocated, and the next call is as good as the first
RESET gpt.max_memory;
SELECT gpt_train('three', 'SELECT body FROM line', :'options'::jsonb || '{"seed": 3}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SET gpt.max_memory = '2MB';
\set VERBOSITY sqlstate
SELECT gpt_score('three', 'x');
SELECT gpt_generate('three', 'x');
\set VERBOSITY default
SELECT count(*) FROM gpt_images WHERE model = 'three';
SET gpt.max_memory = '100MB';
SELECT gpt_score('one', 'x') > 0 AS one, gpt_score('two', 'x') > 0 AS two, gpt_score('three', 'x') > 0 AS three;
SELECT model, version, type FROM gpt_images ORDER BY model NULLS LAST LIMIT 3;
RESET gpt.max_memory;

-- an image in a file is none of the session's memory, also while it is made
SELECT gpt_train('large', 'SELECT body FROM line',
	'{"layers": 8, "heads": 4, "channels": 256, "context": 16, "tokenizer": "bytes", "steps": 1, "batch_size": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SET gpt.max_memory = '8MB';
SELECT gpt_score('large', 'x') > 0 AS large;
SELECT size > 20e6 AS larger FROM gpt_images WHERE model = 'large';
RESET gpt.max_memory;

-- neither are all weights when an adapter is folded in
SELECT gpt_finetune('large', 'SELECT body FROM line', '{"method": "lora", "rank": 2, "steps": 1, "batch_size": 1, "recompute": true, "into": "small"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
-- the error for an adapter that does not fit names a type of its base with which it would
SELECT set_config('gpt.max_memory', (conditions->>'memory_mb')::float8::int - 3 || 'MB', false) <> '' AS less FROM gpt_jobs WHERE job = :job;
DO $$
DECLARE
	hint text;
	options jsonb := '{"method": "lora", "rank": 2, "steps": 1, "batch_size": 1, "accumulate": 1, "recompute": true, "into": "smaller"}';
BEGIN
	PERFORM gpt_finetune('large', 'SELECT body FROM line', options);
EXCEPTION WHEN configuration_limit_exceeded THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%', hint;
	PERFORM set_config('test.job', gpt_finetune('large', 'SELECT body FROM line', options || '{"base_type": "bfloat16"}')::text, false);
END $$;
SELECT gpt_wait(current_setting('test.job')::bigint, '300 s');
SELECT conditions->>'base_type' AS base_type FROM gpt_jobs WHERE model = 'smaller';
SELECT gpt_drop_model('smaller');
SET gpt.max_memory = '12MB';
SELECT gpt_merge('small');
RESET gpt.max_memory;
SELECT gpt_drop_model('small');
SELECT gpt_drop_model('large');

-- nobody but a superuser raises it
CREATE ROLE regress_gpt_small;
SET ROLE regress_gpt_small;
SET gpt.max_memory = '100GB';
SET gpt.threads = 8;
SET gpt.blas_library = '/tmp/mine.so';
RESET ROLE;
DROP ROLE regress_gpt_small;

-- a library that is none: serving does without any
SET gpt.blas_library = '/nonexistent/libblas.so';
SELECT gpt_score('one', 'x') > 0 AS scored;
SELECT gpt_version();
SET gpt.blas_library = 'none';
SELECT gpt_version() ~ 'built-in' AS built_in, gpt_score('one', 'x') > 0 AS scored;
RESET gpt.blas_library;
SET gpt.nothing = 1;

SELECT gpt_drop_model('one');
SELECT gpt_drop_model('two');
CREATE TABLE cost (type text, perplexity float8);
INSERT INTO cost SELECT 'float32', value FROM gpt_evaluate('three', 'SELECT body FROM line LIMIT 20') WHERE metric = 'perplexity';
DO $$
DECLARE
	types text[] := ARRAY(SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g') m
		WHERE conname = 'gpt_model_image_type_check');
	hint text;
BEGIN
	PERFORM gpt_set_image_type('three', t) FROM unnest(types) t;
	PERFORM gpt_set_image_type('three', 'no_type');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%: the hint names the types of the CHECK: %', SQLERRM,
		hint = format('The types are %s and %s.', array_to_string(types[:cardinality(types) - 1], ', '), types[cardinality(types)]);
END $$;
SELECT ln(gpt_score('three', 'a text to compare')) AS exact \gset
SELECT gpt_set_image_type('three', 'bfloat16');
SELECT image_type, abs(ln(gpt_score('three', 'a text to compare')) - :exact) < 0.02 AS near FROM gpt_models WHERE model = 'three';
INSERT INTO cost SELECT 'bfloat16', value FROM gpt_evaluate('three', 'SELECT body FROM line LIMIT 20') WHERE metric = 'perplexity';
SELECT gpt_set_image_type('three', 'int8');
SELECT image_type, abs(ln(gpt_score('three', 'a text to compare')) - :exact) < 0.05 AS near FROM gpt_models WHERE model = 'three';
INSERT INTO cost SELECT 'int8', value FROM gpt_evaluate('three', 'SELECT body FROM line LIMIT 20') WHERE metric = 'perplexity';
SELECT gpt_set_image_type('three', 'int4');
SELECT image_type, abs(ln(gpt_score('three', 'a text to compare')) - :exact) < 0.2 AS near FROM gpt_models WHERE model = 'three';
INSERT INTO cost SELECT 'int4', value FROM gpt_evaluate('three', 'SELECT body FROM line LIMIT 20') WHERE metric = 'perplexity';
SELECT DISTINCT type FROM gpt_images WHERE model = 'three';
-- gpt_evaluate shows what a type costs
SELECT c.type, c.perplexity <> f.perplexity AS other, c.perplexity / f.perplexity BETWEEN 1 / (1 + most) AND 1 + most AS near
FROM cost c JOIN cost f ON f.type = 'float32' JOIN (VALUES ('bfloat16', 0.01), ('int8', 0.02), ('int4', 0.1)) m (type, most) ON m.type = c.type ORDER BY 1;
SELECT gpt_set_image_type('nothing', 'float32');
SELECT gpt_set_image_type('three', NULL);
SELECT gpt_set_image_type('three', 'float32');
SELECT image_type FROM gpt_models WHERE model = 'three';
SELECT gpt_drop_model('three');
SELECT count(*) FROM gpt_images WHERE model IS NOT NULL;
DROP VIEW loaded;
DROP TABLE line, cost;
