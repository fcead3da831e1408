-- fine-tuning on what is new
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE post (id bigint, at timestamptz, body text);
INSERT INTO post SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour', 'the cat sat on mat ' || i FROM generate_series(1, 100) i;

-- a version keeps the largest value of the column
SELECT gpt_train('w', 'SELECT id, body FROM post', '{"watermark": "id", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT version, watermark FROM gpt_versions WHERE model = 'w';

-- nothing is new
SELECT gpt_finetune('w', 'SELECT id, body FROM post', '{"since": "watermark", "steps": 10}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, note, documents, error FROM gpt_jobs WHERE job = :job;
SELECT version FROM gpt_models WHERE model = 'w';

-- what is new is read, and nothing else; comments, semicolons and LIMIT stay what they are
INSERT INTO post SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour', 'a dog ran in park ' || i FROM generate_series(101, 140) i;
SELECT gpt_finetune('w', 'SELECT id, body FROM post ORDER BY id; -- all', '{"since": "watermark", "steps": 10}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, bytes = (SELECT sum(length(body)) FROM post WHERE id > 100) AS bytes, error FROM gpt_jobs WHERE job = :job;
SELECT version, watermark FROM gpt_versions WHERE model = 'w' ORDER BY version;

-- older rows are mixed in: a half
INSERT INTO post SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour', 'one cow ate the grass ' || i FROM generate_series(141, 200) i;
SELECT gpt_finetune('w', 'SELECT id, body FROM post', '{"since": "watermark", "replay": 0.5, "steps": 10, "into": "mixed"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents = 120 AS mixed, documents, error FROM gpt_jobs WHERE job = :job;
SELECT model, version, watermark FROM gpt_versions WHERE model = 'mixed';
-- the same older rows whatever their order
SELECT gpt_finetune('w', 'SELECT id, body FROM post ORDER BY md5(body)', '{"since": "watermark", "replay": 0.5, "steps": 10, "into": "mixed2"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_score('mixed', 'one cow') = gpt_score('mixed2', 'one cow') AS same;

-- the query runs once, replay or not: a third look at one of the 200 rows is an error
CREATE FUNCTION seen(i bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	n int := coalesce(nullif(current_setting('my.seen', true), ''), '0')::int + 1;
BEGIN
	PERFORM set_config('my.seen', n::text, false);
	IF n > 200 THEN
		RAISE 'row % is read again', i;
	END IF;
	RETURN true;
END $$;
SELECT gpt_finetune('w', 'SELECT id, body FROM post WHERE seen(id)', '{"since": "watermark", "replay": 0.5, "steps": 2, "into": "mixed3"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, error FROM gpt_jobs WHERE job = :job;
DROP FUNCTION seen;

-- the watermark goes with the version: a rollback goes back in time, a copy keeps it
SELECT gpt_rollback('w', 1);
SELECT gpt_finetune('w', 'SELECT id, body FROM post', '{"since": "watermark", "watermark": "id", "steps": 10, "into": "back"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents FROM gpt_jobs WHERE job = :job;
SELECT gpt_copy_model('w', 'copied');
SELECT watermark FROM gpt_versions WHERE model = 'copied';

-- times, written so that every setting reads them
SET datestyle = 'SQL, DMY';
SET timezone = 'America/St_Johns';
SELECT gpt_train('t', 'SELECT at AS "the Time", body FROM post WHERE id <= 150', '{"watermark": "the Time", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT watermark FROM gpt_versions WHERE model = 't';
SET datestyle = 'German';
SET timezone = 'Asia/Tokyo';
SELECT gpt_finetune('t', 'SELECT at AS "the Time", body FROM post', '{"since": "watermark", "steps": 10}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, error FROM gpt_jobs WHERE job = :job;
RESET datestyle;
RESET timezone;

-- rows without a value count before there is a watermark, and are not beyond one
SELECT gpt_train('n', 'SELECT NULLIF(id, 7) AS id, body FROM post WHERE id <= 10', '{"watermark": "id", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents FROM gpt_jobs WHERE job = :job;
SELECT gpt_finetune('n', 'SELECT NULLIF(id, 12) AS id, body FROM post WHERE id <= 15', '{"since": "watermark", "steps": 10}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents FROM gpt_jobs WHERE job = :job;

-- values are written and read as their own type, and compared by its operators, whatever stands in search_path
CREATE TYPE place AS (line int, seat text);
CREATE TABLE odd AS SELECT id::int AS i, body, ROW(id, 'a"b\'',(')::place AS place, (CASE WHEN id <= 10 THEN 'pg_type' ELSE 'post' END)::regclass AS relation,
	lpad(id::text, 5)::char(7) AS padded, lpad(id::text, 5)::varchar AS varying, (CASE WHEN id <= 10 THEN id::text ELSE 'NaN' END)::numeric AS number,
	ARRAY[ROW(id, '{"')]::place[] AS places FROM post WHERE id <= 15;
CREATE FUNCTION never(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR > (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = never);
CREATE TABLE tried AS SELECT unnest('{place,relation,padded,varying,number,places}'::text[]) AS col;
SELECT col, gpt_train('of ' || col, format('SELECT %I AS "a""'' \ b", body FROM odd WHERE i <= 10', col),
	'{"watermark": "a\"'' \\ b", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 2, "batch_size": 8}') > 0 AS queued FROM tried;
SELECT col, gpt_wait(max(job), '300 s') FROM tried, gpt_jobs WHERE model = 'of ' || col GROUP BY col ORDER BY col;
SELECT col, gpt_finetune('of ' || col, format('SELECT %I AS "a""'' \ b", body FROM odd', col), '{"since": "watermark", "steps": 2}') > 0 AS queued FROM tried;
SELECT col, gpt_wait(max(job), '300 s') FROM tried, gpt_jobs WHERE model = 'of ' || col GROUP BY col ORDER BY col;
SELECT model, documents, error FROM gpt_jobs WHERE model LIKE 'of %' AND kind = 'finetune' ORDER BY model;
SELECT model, version, watermark->>'value' AS value FROM gpt_versions WHERE model LIKE 'of %' AND model <> 'of relation' ORDER BY model, version;
SELECT gpt_train('y', 'SELECT ROW(id, 1) AS id, body FROM post', '{"watermark": "id"}');
SELECT gpt_drop_model(model) FROM gpt_models WHERE model LIKE 'of %';
DROP OPERATOR > (varchar, varchar);
DROP FUNCTION never;
DROP TABLE odd, tried;
DROP TYPE place;

-- labels of old rows count against the size of the temporary file, too
SELECT gpt_train('l', 'SELECT id, body FROM post WHERE id <= 40', '{"watermark": "id", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SET gpt.max_corpus_size = '1MB';
SELECT gpt_finetune('l', 'SELECT id, body, CASE WHEN id <= 40 THEN array_fill(repeat(''x'', 200), ARRAY[1000]) ELSE ARRAY[''x''] END AS label FROM post', '{"since": "watermark", "replay": 0.1, "steps": 2}') AS job \gset
RESET gpt.max_corpus_size;
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
-- those that fit come back as they were
SELECT gpt_finetune('l', 'SELECT id, body, CASE WHEN id = 40 THEN ARRAY[''y'', NULL, ''x'', repeat(''z'', 255)] ELSE ARRAY[''x''] END AS label FROM post WHERE id IN (40, 41)', '{"since": "watermark", "replay": 0.5, "steps": 2, "into": "l2"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, error FROM gpt_jobs WHERE job = :job;
SELECT array_agg(label || ' ' || length(label) ORDER BY label COLLATE "C") = ARRAY['x 1', 'y 1', repeat('z', 255) || ' 255'] AS same FROM gpt_versions, unnest(labels) label WHERE model = 'l2';

-- mistakes
SELECT gpt_train('x', 'SELECT id, body FROM post');
SELECT gpt_train('x', 'SELECT body FROM post', '{"watermark": "id"}');
SELECT gpt_train('x', 'SELECT id, body FROM post', '{"since": "watermark"}');
SELECT gpt_finetune('w', 'SELECT at, body FROM post', '{"since": "watermark", "watermark": "at"}');
SELECT gpt_finetune('w', 'SELECT at, body FROM post', '{"since": "watermark"}');
SELECT gpt_finetune('w', 'SELECT id, body FROM post', '{"since": "yesterday"}');
SELECT gpt_finetune('w', 'SELECT id, body FROM post', '{"replay": 0.2}');
SELECT gpt_train('x', 'SELECT body FROM post WHERE id < 10', '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('x', 'SELECT id, body FROM post', '{"since": "watermark"}');
SELECT gpt_train('y', 'SELECT point(id, id) AS id, body FROM post', '{"watermark": "id"}');
SELECT gpt_train('y', 'SELECT repeat(body, 100) AS id, body FROM post', '{"watermark": "id", "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;

SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('w', 'mixed', 'mixed2', 'mixed3', 'back', 'copied', 't', 'n', 'x', 'l', 'l2');
DROP TABLE post;
