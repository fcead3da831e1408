-- values of types: what a model writes always passes the type's input function and the checks that are decided
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('writer', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE DOMAIN plate AS text CHECK (VALUE ~ '^[A-Z]{1,3}-[A-Z]{1,2} \d{1,4}$' AND length(VALUE) <= 9);
CREATE DOMAIN mail AS text CHECK (VALUE LIKE '_%@%.org') CHECK (VALUE SIMILAR TO '[a-z@.]{5,12}');
CREATE DOMAIN grade AS integer CHECK (VALUE BETWEEN 1 AND 6) NOT NULL;
CREATE DOMAIN size AS varchar(3) CHECK (VALUE IN ('S', 'M', 'L', 'XXXL')) CHECK (VALUE <> 'M' OR true);
CREATE DOMAIN share AS numeric(4, 3) CHECK (VALUE > 0 AND 1 >= VALUE);
CREATE DOMAIN even AS integer CHECK (VALUE >= 0 AND VALUE < 100) CHECK (VALUE % 2 = 0);
CREATE TYPE item AS (name varchar(8), price numeric(6, 2), grade grade, moods mood[]);
CREATE TABLE bill (id smallint NOT NULL, day date, items item[], paid boolean NOT NULL);

-- what a model may write
SELECT gpt_schema(NULL::smallint), gpt_schema(NULL::numeric(5, 2)), gpt_schema(NULL::varchar(7)), gpt_schema(NULL::mood);
SELECT gpt_schema(NULL::plate);
SELECT gpt_schema(NULL::share);
SELECT gpt_schema(NULL::mail);
SELECT gpt_schema(NULL::size);
SELECT gpt_schema(NULL::even);
SELECT gpt_schema(NULL::bill);
SELECT gpt_schema(NULL::jsonb), gpt_schema(NULL::numeric(3, -2)), gpt_schema(NULL::numeric(2, 4));
SELECT gpt_schema(NULL::interval);
SELECT gpt_schema(NULL);

-- values of every type, greedy and drawn: none of these raises an error
SELECT pg_typeof(gpt_generate_as('writer', 'x ', NULL::boolean)), pg_typeof(gpt_generate_as('writer', 'x ', NULL::plate)),
	pg_typeof(gpt_generate_as('writer', 'x ', NULL::item)), pg_typeof(gpt_generate_as('writer', 'x ', NULL::date[]));
SELECT count(gpt_generate_as('writer', 'x ', NULL::boolean, 20, 1, i)) AS boolean,
	count(gpt_generate_as('writer', 'x ', NULL::smallint, 20, 1, i)) AS smallint,
	count(gpt_generate_as('writer', 'x ', NULL::integer, 20, 1, i)) AS integer,
	count(gpt_generate_as('writer', 'x ', NULL::bigint, 20, 1, i)) AS bigint,
	count(gpt_generate_as('writer', 'x ', NULL::numeric, 20, 1, i)) AS numeric,
	count(gpt_generate_as('writer', 'x ', NULL::numeric(5, 2), 20, 1, i)) AS numeric_5_2,
	count(gpt_generate_as('writer', 'x ', NULL::real, 20, 1, i)) AS real,
	count(gpt_generate_as('writer', 'x ', NULL::float8, 20, 1, i)) AS float8,
	count(gpt_generate_as('writer', 'x ', NULL::date, 20, 1, i)) AS date,
	count(gpt_generate_as('writer', 'x ', NULL::time, 20, 1, i)) AS time,
	count(gpt_generate_as('writer', 'x ', NULL::timestamp, 30, 1, i)) AS timestamp,
	count(gpt_generate_as('writer', 'x ', NULL::timestamptz, 40, 1, i)) AS timestamptz,
	count(gpt_generate_as('writer', 'x ', NULL::uuid, 40, 1, i)) AS uuid,
	count(gpt_generate_as('writer', 'x ', NULL::text, 20, 1, i)) AS text,
	count(gpt_generate_as('writer', 'x ', NULL::varchar(5), 20, 1, i)) AS varchar,
	count(gpt_generate_as('writer', 'x ', NULL::mood, 20, 1, i)) AS mood,
	count(gpt_generate_as('writer', 'x ', NULL::jsonb, 30, 1, i)) AS jsonb
FROM generate_series(1, 40) i;
SELECT count(gpt_generate_as('writer', 'x ', NULL::plate, 20, 1, i)) AS plate,
	count(gpt_generate_as('writer', 'x ', 1::grade, 20, 1, i)) AS grade,
	count(gpt_generate_as('writer', 'x ', NULL::mail, 20, 1, i)) AS mail,
	count(gpt_generate_as('writer', 'x ', NULL::size, 20, 1, i)) AS size,
	count(gpt_generate_as('writer', 'x ', NULL::share, 20, 1, i)) AS share,
	count(gpt_generate_as('writer', 'x ', NULL::integer[], 30, 1, i)) AS integers,
	count(gpt_generate_as('writer', 'x ', NULL::plate[], 50, 1, i)) AS plates,
	count(gpt_generate_as('writer', 'x ', NULL::item, 100 + i, 1, i)) AS item,
	count(gpt_generate_as('writer', 'x ', NULL::bill, 150 + i, 1, i)) AS bill
FROM generate_series(1, 40) i;
SELECT bool_and(length(v) <= 5) AS short, count(DISTINCT v) > 5 AS many
FROM generate_series(1, 40) i, gpt_generate_as('writer', 'x ', NULL::varchar(5), 20, 1, i) v;
SELECT array_agg(DISTINCT v ORDER BY v) FROM generate_series(1, 60) i, gpt_generate_as('writer', 'x ', 1::grade, 20, 3, i) v;

-- a check that is not decided is checked afterwards: drawn again, or an error
CREATE FUNCTION drawn(seed bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	RETURN gpt_generate_as('writer', 'x ', NULL::even, 20, 1, seed);
EXCEPTION WHEN check_violation THEN
	RETURN NULL;
END $$;
SELECT bool_and(v % 2 = 0 AND v < 100) AS right, count(v) > 28 AS most FROM generate_series(1, 40) i, drawn(i) AS v;
DROP FUNCTION drawn;
CREATE DOMAIN never AS integer CHECK (VALUE + 1 = VALUE);
SELECT gpt_generate_as('writer', 'x ', NULL::never, 1, 0);
\set VERBOSITY terse
SELECT gpt_generate_as('writer', 'x ', NULL::never, 1, 2, 5);
\set VERBOSITY default

SET gpt.on_error = 'null';
SELECT gpt_generate_as('writer', 'x ', NULL::never, 1, 0) IS NULL AS broken, gpt_generate_as('writer', 'x', NULL::uuid, 12) IS NULL AS short;
SELECT function, count, sqlstate, message FROM gpt_errors() ORDER BY message;
RESET gpt.on_error;

-- null gives null; the length is said
SELECT gpt_generate_as(NULL, 'x', NULL::date) IS NULL AS model, gpt_generate_as('writer', NULL, NULL::date) IS NULL AS prompt;
SELECT gpt_generate_as('writer', 'x', NULL::uuid, 12);
SELECT gpt_generate_as('writer', 'x', NULL::interval);
SELECT gpt_generate_as('writer', 'x', NULL);

-- taken from a text
SELECT gpt_extract_prompt('Tea, 2.50 each', NULL::item), gpt_extract_prompt('Call me on May 3', NULL::date);
SELECT count(gpt_extract('writer', 'Tea, 2.50 each', NULL::item, 200, 1, i)) FROM generate_series(1, 20) i;
SELECT gpt_extract('writer', 'x', NULL::mood, seed => 1) = gpt_generate_as('writer', gpt_extract_prompt('x', NULL::mood), NULL::mood, seed => 1)
	AS same, gpt_extract('writer', NULL, NULL::mood) IS NULL AS nothing;
-- what the rows of a table are as completions is what the constraint lets a model write
CREATE TABLE known AS SELECT i AS id, ROW('tea' || i, i * 1.25, 1 + i % 6, ARRAY['sad', 'ok']::mood[])::item AS item
FROM generate_series(1, 9) i;
SELECT bool_and(json_populate_record(NULL::item, to_json(item)) = item) FROM known;

SELECT gpt_drop_model('writer');
DROP TABLE line, bill, known;
DROP TYPE item, mood;
DROP DOMAIN mail, plate, grade, size, share, even, never;
