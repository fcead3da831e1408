-- weights that were altered or are gone: always an error, never another text; for as long as there is no image of them, which is why
-- nothing here uses them while they are whole
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('victim', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT weights, size, lo_get(weights) AS good FROM gpt_models WHERE model = 'victim' \gset

-- no time goes into compressing it, and other objects are compressed as ever, by the session that wrote weights too
SELECT gpt_copy_model('victim', 'copy');
SELECT bool_and(pg_column_size(data) > octet_length(data)) AS plain FROM pg_largeobject, gpt_models WHERE loid = weights;
SELECT lo_from_bytea(0, convert_to(repeat('x', 2048), 'UTF8')) AS other \gset
SELECT pg_column_size(data) < 200 AS compressed FROM pg_largeobject WHERE loid = :other;
SELECT lo_unlink(:other);
SELECT gpt_drop_model('copy');

-- one byte of the data, of the header, of its size
SELECT lo_put(:weights, :size - 1, '\x55');
SELECT gpt_score('victim', 'x');
-- the image that was begun is not there
SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false) file, gpt_version WHERE model = 'victim' AND file ~ left(encode(sha256, 'hex'), 32);
SELECT lo_put(:weights, 0, :'good');
\c
SELECT lo_put(:weights, 300, '\x00');
SELECT gpt_score('victim', 'x');
SELECT lo_put(:weights, 0, :'good');
SELECT lo_put(:weights, 7, '\x01');
SELECT gpt_score('victim', 'x');
SELECT lo_put(:weights, 0, :'good');
SELECT lo_put(:weights, 0, '\xff');
SELECT gpt_generate('victim', 'x');
SELECT lo_put(:weights, 0, :'good');

-- too long, too short
SELECT lo_put(:weights, :size, '\x00');
SELECT gpt_score('victim', 'x');
BEGIN;
SELECT lo_truncate64(lo_open(:weights, 131072), :size - 1);
COMMIT;
SELECT gpt_score('victim', 'x');
BEGIN;
SELECT lo_truncate64(lo_open(:weights, 131072), 100);
COMMIT;
SELECT gpt_score('victim', 'x');
BEGIN;
SELECT lo_truncate64(lo_open(:weights, 131072), 0);
COMMIT;
SELECT gpt_score('victim', 'x');

-- an object of the same number that is another run's is not the model; without an object there is none
SELECT lo_put(:weights, 0, replace(encode(:'good', 'escape'), (SELECT run_id::text FROM gpt_version WHERE model = 'victim'), gen_random_uuid()::text)::bytea);
SELECT gpt_score('victim', 'x');
SELECT count(*) FROM gpt_models WHERE model = 'victim';
SELECT lo_unlink(:weights);
SELECT gpt_score('victim', 'x');
SELECT count(*) FROM gpt_models WHERE model = 'victim';

-- its rows can be cleared away by a superuser
SELECT gpt_drop_model('victim');
SELECT count(*) FROM gpt_version WHERE model = 'victim';

-- reading weights leaves nothing open, in whatever way the transaction goes on
SELECT gpt_train('victim', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
BEGIN;
SELECT gpt_score('victim', 'x') > 0 AS scored;
SAVEPOINT s;
SELECT 1 / (gpt_score('victim', 'x') - gpt_score('victim', 'x'));
ROLLBACK TO s;
SELECT lo_from_bytea(0, '\x00') AS other \gset
SELECT lo_put(:other, 0, '\x01');
SELECT lo_unlink(:other);
COMMIT;
SELECT gpt_drop_model('victim');

-- a file of anybody: places of n-grams that are out of range are refused, and large weights make an error that names the model, or a finite number
SELECT gpt_train('victim', 'SELECT body || body || body FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8, "ngrams": true,
	"validation_fraction": 0.4}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE FUNCTION filled(file bytea, tensor text, value float4) RETURNS oid LANGUAGE plpgsql AS $$
DECLARE
	size int := get_byte(file, 0) + 256 * get_byte(file, 1);
	header jsonb := convert_from(substr(file, 9, size), 'UTF8')::jsonb;
	first int := 9 + size + (header #>> ARRAY[tensor, 'data_offsets', '0'])::int;
	last int := 9 + size + (header #>> ARRAY[tensor, 'data_offsets', '1'])::int;
	bytes bytea := float4send(value);
BEGIN
	bytes := substr(bytes, 4, 1) || substr(bytes, 3, 1) || substr(bytes, 2, 1) || substr(bytes, 1, 1);
	RETURN lo_from_bytea(0, overlay(file PLACING decode(repeat(encode(bytes, 'hex'), (last - first) / 4), 'hex') FROM first));
END $$;
SELECT weights, gpt_export('victim', 'safetensors') AS export FROM gpt_models WHERE model = 'victim' \gset
SELECT lo_get(:weights) AS own, lo_get(:export) AS network \gset
SELECT gpt_import('x', filled(:'own', 'ngram.tokens', 257), '{"tokenizer": "victim"}');
SELECT gpt_import('x', filled(:'own', 'ngram.tokens', 'NaN'), '{"tokenizer": "victim"}');
SELECT gpt_import('x', filled(:'own', 'ngram.order', -1), '{"tokenizer": "victim"}');
SELECT gpt_import('x', filled(:'own', 'ngram.weights', 'Infinity'), '{"tokenizer": "victim"}');
SELECT gpt_import('same', filled(:'own', 'ngram.tokens', 256), '{"tokenizer": "victim"}');
SELECT gpt_import('large', filled(:'network', 'model.norm.weight', 1e38), '{"tokenizer": "victim"}'), gpt_import('nan', filled(:'network', 'model.norm.weight', 'NaN'), '{"tokenizer": "victim"}');
SELECT gpt_score('large', 'line');
SELECT gpt_perplexity('large', body) FROM line;
SELECT gpt_score('large', ARRAY['line']);
SELECT gpt_score('large', 'line', 'logprob') BETWEEN -1e40 AND -1e30 AS finite;
SELECT metric FROM gpt_evaluate('large', 'SELECT body FROM line');
SELECT gpt_score('nan', 'line', 'logprob');
SELECT gpt_generate('nan', 'line');
SELECT count(gpt_drop_model(model)) FROM gpt_models WHERE model IN ('victim', 'same', 'large', 'nan');
DROP FUNCTION filled;
DROP TABLE line;
