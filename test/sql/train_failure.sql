-- a job that cannot succeed fails with the reason in its row, and leaves nothing

CREATE TABLE speech (id int, body text);
INSERT INTO speech SELECT i, 'speaker ' || i % 7 || ' says ' || repeat('word' || i % 13 || ' ', 3 + i % 5) FROM generate_series(1, 100) i;
CREATE TABLE silence (body text);
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 2, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8, "optimizer": "adamw"}'::jsonb || further $$;
CREATE PROCEDURE fails(query text, options jsonb DEFAULT tiny()) LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
	state text;
BEGIN
	number := gpt_train('failing', query, options);
	COMMIT;
	PERFORM set_config('client_min_messages', 'warning', true);
	state := gpt_wait(number, '300 s');
	PERFORM set_config('client_min_messages', 'notice', true);
	-- how much memory depends on the processor
	RAISE NOTICE '%: %', state, (SELECT regexp_replace(regexp_replace(error, 'required is \d+ MB', 'required is n MB'), '": \d+', '": n', 'g') FROM gpt_jobs WHERE job = number);
	COMMIT;
END $$;

-- no documents
CALL fails('SELECT body FROM silence');
INSERT INTO silence VALUES (NULL), (''), (NULL);
CALL fails('SELECT body FROM silence');
CALL fails('SELECT body, true AS is_validation FROM speech');
CALL fails('SELECT body FROM speech', tiny('{"validation_query": "SELECT body FROM silence"}'));

CALL fails('SELECT body, NULL::text AS label FROM speech');
CALL fails('SELECT body, NULL::text[] AS label FROM speech');
CALL fails('SELECT NULL AS prompt, body AS completion FROM speech');
CALL fails('SELECT body, 0 AS weight FROM speech');
CALL fails('SELECT CASE WHEN id < 3 THEN body END AS body, CASE WHEN id < 2 THEN ''a'' END AS label, 0 AS weight FROM speech');

-- a row with more than a tokenizer, or the memory, takes is named
SELECT gpt_train_tokenizer('failing', 'SELECT body FROM speech UNION ALL SELECT ''xxxx'' FROM speech', '{"vocabulary": 270}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CALL fails('SELECT CASE WHEN i = 7 THEN repeat(''x'', 20000000) ELSE ''text'' || i END AS body FROM generate_series(1, 10) i', tiny('{"tokenizer": "failing"}'));
CALL fails('SELECT body FROM speech', tiny('{"tokenizer": "failing", "validation_query": "SELECT CASE WHEN i = 4 THEN repeat(''x'', 20000000) ELSE ''text'' END AS body FROM generate_series(1, 5) i"}'));
SELECT gpt_drop_tokenizer('failing');
SET gpt.max_memory = '64MB';
CALL fails('SELECT CASE WHEN i = 7 THEN repeat(''x y '', 2000000) ELSE ''text'' END AS body FROM generate_series(1, 10) i');
RESET gpt.max_memory;

-- gpt_wait says why, as often as it is asked; the note of a server without preload goes with the end of the job
SELECT gpt_train('failing', $$SELECT gpt_score('nobody', body) || body AS body FROM speech$$, tiny()) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_wait(:job, '300 s');
SELECT note FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('failing', $$SELECT body FROM speech$$, tiny('{"vocabulary": 20000, "tokenizer": "bpe"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');

-- a query that fails, that is too large, that writes
CALL fails('SELECT (1 / (id - 50))::text AS body FROM speech');
CREATE SEQUENCE counter;
CALL fails('SELECT body || nextval(''counter'') AS body FROM speech');
SET gpt.max_corpus_size = '1MB';
CALL fails('SELECT repeat(body, 10000) AS body FROM speech');
RESET gpt.max_corpus_size;
SET gpt.read_timeout = '1s';
CALL fails('SELECT body || pg_sleep(10)::text AS body FROM speech');
RESET gpt.read_timeout;

-- a vocabulary that the data cannot support
CALL fails('SELECT body FROM speech', tiny('{"tokenizer": null, "vocabulary": 20000}'));

-- numbers that overflow: the step is named
CALL fails('SELECT body FROM speech', tiny('{"family": "gpt2", "learning_rate": 1e12, "warmup_steps": 0, "grad_clip": 0, "validation_fraction": 0}'));

-- memory, when only the corpus tells how much is needed
SET gpt.max_memory = '64MB';
CALL fails('SELECT repeat(body, 20) AS body FROM speech', tiny('{"context": null, "batch_size": 64, "precision": "float32"}'));
RESET gpt.max_memory;

SELECT count(*) AS models FROM gpt_models WHERE model = 'failing';
SELECT DISTINCT state, count(*) FROM gpt_jobs WHERE model = 'failing' GROUP BY state;
SELECT count(*) AS half_written FROM pg_ls_dir('gpt', true, false) f WHERE f LIKE '%.tmp';

DROP PROCEDURE fails;
DROP FUNCTION tiny;
DROP SEQUENCE counter;
DROP TABLE speech, silence;
