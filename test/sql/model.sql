-- models: what is shown, their objects, and how they go
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
\set options '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "family": "gpt2", "tokenizer": "bytes", "steps": 3, "batch_size": 8}'
SELECT gpt_train('one', 'SELECT body FROM line', :'options') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, version, owner = current_user AS mine, architecture, parameters, context, vocabulary, tokenizer, loss > 0 AS loss
	FROM gpt_models WHERE model = 'one';
SELECT model, version, state FROM gpt_versions WHERE model = 'one';
SELECT description FROM pg_description d JOIN gpt_models m ON d.objoid = m.weights AND d.classoid = 'pg_largeobject'::regclass;

-- the object is a safetensors file: its size and hash are those of the row, its data begin at a multiple of 64
SELECT length(file) = size AS size, sha256(file) = (SELECT sha256 FROM gpt_version WHERE model = 'one') AS sha256,
	header_size, (header_size + 8) % 64 AS remainder
	FROM (SELECT lo_get(weights) AS file, size,
			('x' || encode((SELECT string_agg(substring(lo_get(weights) FROM 9 - i FOR 1), '' ORDER BY i) FROM generate_series(1, 8) i), 'hex'))::bit(64)::bigint AS header_size
		FROM gpt_models WHERE model = 'one') f;
CREATE TABLE header AS
	SELECT convert_from(substring(lo_get(weights) FROM 9 FOR (get_byte(lo_get(weights), 0) + 256 * get_byte(lo_get(weights), 1))), 'UTF8')::json AS header
	FROM gpt_models WHERE model = 'one';
SELECT header -> '__metadata__' ->> 'format' AS format, (header -> '__metadata__' ->> 'gpt_run_id')::uuid = (SELECT run_id FROM gpt_version WHERE model = 'one') AS run_id,
	(header -> '__metadata__' ->> 'gpt_config')::jsonb = (SELECT config FROM gpt_version WHERE model = 'one') AS config
	FROM header;
SELECT key AS tensor, value ->> 'dtype' AS dtype, value ->> 'shape' AS shape, value ->> 'data_offsets' AS offsets
	FROM header, json_each(header) WHERE key <> '__metadata__';

-- names
\set VERBOSITY terse
SELECT gpt_train('a@b', 'SELECT body FROM line', :'options');
SELECT gpt_train('', 'SELECT body FROM line', :'options');
SELECT gpt_train(E'a\tb', 'SELECT body FROM line', :'options');
SELECT gpt_train(repeat('n', 64), 'SELECT body FROM line', :'options');
SELECT gpt_train('one', 'SELECT body FROM line', :'options');
\set VERBOSITY default

-- dropping
SELECT gpt_drop_model(NULL);
SELECT gpt_drop_model('two');
SELECT gpt_drop_model('one@1');
BEGIN;
SELECT gpt_drop_model('one');
SELECT count(*) FROM gpt_models WHERE model = 'one';
SELECT gpt_score('one', 'x');
ROLLBACK;
SELECT count(*) FROM gpt_models WHERE model = 'one';
DECLARE before CURSOR WITH HOLD FOR SELECT gpt_score('one', 'x') > 0 AS scored;
FETCH before;
SELECT weights FROM gpt_models WHERE model = 'one' \gset
SELECT gpt_drop_model('one');
SELECT count(*) FROM gpt_versions WHERE model = 'one';
SELECT gpt_score('one', 'x');
CLOSE before;
\set VERBOSITY sqlstate
SELECT lo_get(:weights);
\set VERBOSITY default

-- a model that is being trained cannot be dropped
SELECT gpt_train('three', 'SELECT body FROM line', :'options'::jsonb || '{"steps": 1000000000}') AS job \gset
\set VERBOSITY sqlstate
SELECT gpt_drop_model('three');
\set VERBOSITY default
SELECT gpt_cancel(:job);
SELECT gpt_wait(:job, '300 s');

DROP TABLE line, header;
