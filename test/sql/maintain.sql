-- gpt_maintain: what it refuses, keys of all kinds, which statements mark rows, and what follows names.
\set VERBOSITY default
SET client_min_messages = warning;

CREATE TABLE note (id integer PRIMARY KEY, body text, n integer, label text, next integer GENERATED ALWAYS AS (n + 1) STORED);

-- what it refuses
SELECT gpt_maintain(NULL, 'label', 'body');
SELECT gpt_maintain('note', 'label', NULL);
SELECT gpt_maintain('note', 'nothing', 'body');
SELECT gpt_maintain('note', 'next', 'n');
SELECT gpt_maintain('note', 'id', 'n');
SELECT gpt_maintain('note', 'n', 'body');
SELECT gpt_maintain('note', 'label', 'label || body');
SELECT gpt_maintain('note', 'label', 'body, n');
SELECT gpt_maintain('note', 'label', 'body FROM note');
SELECT gpt_maintain('note', 'label', 'upper(bodi)');
SELECT gpt_maintain('note', 'label', 'body; DROP TABLE note');
SELECT gpt_maintain('note', 'label', '(SELECT body)');
SELECT gpt_maintain('note', 'label', 'note::text');
SELECT gpt_maintain('note', 'label', 'ctid::text');
SELECT gpt_maintain('note', 'label', 'body', '{"batch_row": 3}');
SELECT gpt_maintain('note', 'label', 'body', '{"batch_rows": 0}');
SELECT gpt_maintain('note', 'label', 'body', '{"existing": "some"}');
SELECT gpt_maintain('note', 'label', 'body', '{"on_error": "raise"}');
SELECT gpt_maintain('pg_class', 'relname', 'relkind::text');
CREATE VIEW note_view AS SELECT * FROM note;
SELECT gpt_maintain('note_view', 'label', 'body');
DROP VIEW note_view;
CREATE TEMP TABLE passing (id integer PRIMARY KEY, v text);
SELECT gpt_maintain('passing', 'v', 'id');
CREATE TABLE keyless (a integer UNIQUE, b integer NOT NULL, v text);
CREATE UNIQUE INDEX ON keyless (b) WHERE b > 0;
CREATE UNIQUE INDEX ON keyless (abs(b));
ALTER TABLE keyless ADD UNIQUE (b) DEFERRABLE;
SELECT gpt_maintain('keyless', 'v', 'a');
DROP TABLE keyless;
SELECT gpt_maintain_wait('note', 'label', '1 s');
SELECT gpt_unmaintain('note', 'label');
SELECT gpt_unmaintain('note', 'lable');
BEGIN;
SET LOCAL client_min_messages = notice;
INSERT INTO note VALUES (1, 'one', 1, 'by hand');
SELECT gpt_maintain('note', 'label', 'upper(body)', '{"existing": "missing"}') > 0 AS maintained;
SELECT gpt_maintain('note', 'label', 'body') > 0 AS maintained;
ROLLBACK;
CREATE TRIGGER mine AFTER INSERT ON note FOR EACH ROW EXECUTE FUNCTION gpt_maintain_trigger();
INSERT INTO note VALUES (1, 'one', 1);
DROP TRIGGER mine ON note;
CREATE TRIGGER mine AFTER INSERT ON note FOR EACH STATEMENT EXECUTE FUNCTION gpt_maintain_trigger();
INSERT INTO note VALUES (1, 'one', 1);
DROP TRIGGER mine ON note;

-- existing rows, and those that are changed
CREATE VIEW marks AS SELECT m.relation, k.key, k.phase FROM gpt_mark k JOIN gpt_maintenance m USING (maintenance);
INSERT INTO note SELECT i, 'body ' || i, i FROM generate_series(1, 100) i;
SELECT gpt_maintain('note', 'label', 'upper(body)', '{"batch_rows": 7}') > 0 AS maintained;
SELECT gpt_maintain_wait('note', 'label', '60 s');
SELECT count(*), count(*) FILTER (WHERE label = upper(body)) AS right FROM note;
BEGIN;
UPDATE note SET n = n + 1;
UPDATE note SET label = 'by hand' WHERE id = 1;
UPDATE note SET body = body;
SELECT count(*) AS marked_by_other_columns FROM marks;
INSERT INTO note VALUES (101, 'inserted'), (1, 'in conflict') ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body;
SELECT key FROM marks ORDER BY key;
UPDATE note SET id = -id WHERE id = 2;
MERGE INTO note USING (VALUES (3), (102)) v (id) ON note.id = v.id WHEN MATCHED THEN UPDATE SET body = 'merged' WHEN NOT MATCHED THEN INSERT (id, body) VALUES (v.id, 'merged');
SAVEPOINT s;
UPDATE note SET body = 'never' WHERE id = 50;
ROLLBACK TO s;
SELECT key, count(*) FROM marks GROUP BY key ORDER BY key;
SAVEPOINT s;
SELECT gpt_maintain_wait('note', 'label', '1 s');
ROLLBACK TO s;
DELETE FROM note WHERE id = 102;
COMMIT;
COPY note (id, body) FROM stdin;
103	copied
\.
SELECT gpt_maintain_wait('note', 'label', '60 s');
SELECT id, body, label FROM note WHERE id NOT BETWEEN 4 AND 100 ORDER BY id;
SELECT count(*) AS wrong FROM note WHERE label <> upper(body);
SELECT count(*) FROM marks;
SELECT column_name, expression, state, waiting, lag, errors, rows, last_error, options FROM gpt_maintained;

-- a BEFORE trigger that changes a column of the expression: of a statement that does not, and of the worker's
CREATE FUNCTION longer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := NEW.body || '.'; RETURN NEW; END $$;
CREATE TRIGGER longer BEFORE UPDATE ON note FOR EACH ROW WHEN (length(NEW.body) < 8) EXECUTE FUNCTION longer();
UPDATE note SET n = 1000 WHERE id = 5;
SELECT gpt_maintain_wait('note', 'label', '60 s');
SELECT body, label FROM note WHERE id = 5;
DROP TRIGGER longer ON note;

-- two columns, of which one reads the other
ALTER TABLE note ADD size integer;
SELECT gpt_maintain('note', 'size', 'length(label)') > 0 AS maintained;
SELECT gpt_maintain_wait('note', 'size', '60 s');
UPDATE note SET body = 'a much longer body' WHERE id = 7;
SELECT gpt_maintain_wait('note', 'label', '60 s'), gpt_maintain_wait('note', 'size', '60 s');
SELECT label, size FROM note WHERE id = 7;

-- names, types and schemas change
CREATE SCHEMA "other place";
ALTER TABLE note RENAME body TO "the body";
ALTER TABLE note RENAME label TO "the label";
ALTER TABLE note RENAME id TO number;
ALTER TABLE note SET SCHEMA "other place";
ALTER TABLE "other place".note RENAME TO "some notes";
UPDATE "other place"."some notes" SET "the body" = 'renamed' WHERE number = 8;
SELECT gpt_maintain_wait('"other place"."some notes"', 'the label', '60 s');
ALTER TABLE "other place"."some notes" ALTER "the body" TYPE varchar(50);
UPDATE "other place"."some notes" SET "the body" = 'of another type' WHERE number = 9;
SELECT gpt_maintain_wait('"other place"."some notes"', 'the label', '60 s');
SELECT number, "the label" FROM "other place"."some notes" WHERE number IN (8, 9) ORDER BY number;
SELECT relation, column_name, expression FROM gpt_maintained ORDER BY 2;
SELECT gpt_maintain_run();

-- truncated, dropped
TRUNCATE "other place"."some notes";
INSERT INTO "other place"."some notes" (number, "the body") VALUES (1, 'after all');
SELECT gpt_maintain_wait('"other place"."some notes"', 'the label', '60 s');
SELECT "the label" FROM "other place"."some notes";
ALTER TABLE "other place"."some notes" DROP size;
SELECT count(*) FROM gpt_maintained;
SELECT gpt_unmaintain('"other place"."some notes"', 'the label'), gpt_unmaintain('"other place"."some notes"', 'the label');
SELECT gpt_maintain('"other place"."some notes"', 'the label', '"the body"') > 0 AS maintained;
DROP SCHEMA "other place" CASCADE;
SELECT gpt_maintain_run();
SELECT count(*) AS maintenances FROM gpt_maintenance;
SELECT count(*) AS marks FROM gpt_mark;

-- keys of several columns, of types whose text depends on settings
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE TABLE keyed (c color, at timestamptz, t text, f float8, body text, v text, PRIMARY KEY (c, at, t, f));
INSERT INTO keyed SELECT (ARRAY['red', 'green', 'blue'])[1 + i % 3]::color, timestamptz '2020-01-01 00:00:00.123+00' + i * interval '1 hour',
	'it''s "{' || i || '}, \', i / 7.0, 'body ' || i FROM generate_series(1, 200) i;
SELECT gpt_maintain('keyed', 'v', 'upper(body)', '{"batch_rows": 30}') > 0 AS maintained;
SELECT gpt_maintain_wait('keyed', 'v', '60 s');
BEGIN;
SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL datestyle = 'German'; SET LOCAL extra_float_digits = -10;
UPDATE keyed SET body = body || '!' WHERE c = 'green';
SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'SQL, DMY'; SET LOCAL extra_float_digits = 3;
UPDATE keyed SET body = body || '?' WHERE c = 'green';
SELECT count(DISTINCT key) AS keys, count(*) AS marks, current_setting('datestyle') FROM marks;
COMMIT;
SELECT gpt_maintain_wait('keyed', 'v', '60 s');
SELECT count(*), count(*) FILTER (WHERE v = upper(body)) AS right FROM keyed;
SELECT rows FROM gpt_maintained;
DROP TABLE keyed;

-- errors of rows
CREATE TABLE faulty (id integer PRIMARY KEY, n integer, v varchar(4));
INSERT INTO faulty SELECT i, CASE WHEN i % 20 <> 0 THEN i END, 'old' FROM generate_series(1, 100) i;
CREATE FUNCTION tenth(n integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	IF n IS NULL THEN RAISE EXCEPTION 'there is no number' USING DETAIL = 'It is null.'; END IF;
	RETURN n::text; END $$;
SELECT gpt_maintain('faulty', 'v', 'tenth(n)', '{"max_tries": 1}') > 0 AS maintained;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
SELECT count(*) AS right FROM faulty WHERE v = n::text;
SELECT key, error, tries, retry_at FROM gpt_maintain_errors ORDER BY key;
UPDATE faulty SET n = 12345 WHERE id = 40;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
UPDATE faulty SET n = 7 WHERE id = 60;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
SELECT key, error FROM gpt_maintain_errors ORDER BY key;
SELECT id, v FROM faulty WHERE id % 20 = 0 ORDER BY id;
SELECT state, waiting, errors, rows FROM gpt_maintained;
-- called again, it tries them again
SELECT gpt_maintain('faulty', 'v', 'tenth(n)', '{"max_tries": 1, "on_error": "null"}') > 0 AS maintained;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
SELECT id, v FROM faulty WHERE id % 20 = 0 ORDER BY id;
SELECT rows FROM gpt_maintained;

-- errors of all rows
DROP FUNCTION tenth(integer);
UPDATE faulty SET n = 1;
DO $$ BEGIN WHILE (SELECT last_error IS NULL OR state <> 'failing' FROM gpt_maintained) LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT state, waiting, errors, last_error FROM gpt_maintained;
UPDATE gpt_maintenance SET failed = true;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
CREATE FUNCTION tenth(n integer) RETURNS text LANGUAGE sql AS $$ SELECT n::text $$;
SELECT gpt_maintain('faulty', 'v', 'tenth(n)') > 0 AS maintained;
SELECT gpt_maintain_wait('faulty', 'v', '60 s');
SELECT state, waiting, errors, last_error FROM gpt_maintained;
SELECT count(*) AS right FROM faulty WHERE v = '1';

-- only rows without a value; none
CREATE TABLE partly (id integer PRIMARY KEY, v text);
INSERT INTO partly SELECT i, CASE WHEN i % 2 = 0 THEN 'kept' END FROM generate_series(1, 40) i;
SELECT gpt_maintain('partly', 'v', $$'n' || id$$, '{"existing": "missing", "batch_rows": 3}') > 0 AS maintained;
SELECT gpt_maintain_wait('partly', 'v', '60 s');
SELECT count(*) FILTER (WHERE v = 'kept') AS kept, count(*) FILTER (WHERE v = 'n' || id) AS filled FROM partly;
SELECT gpt_maintain('partly', 'v', $$'m' || id$$, '{"existing": "none"}') > 0 AS maintained;
INSERT INTO partly VALUES (100);
SELECT gpt_maintain_wait('partly', 'v', '60 s');
SELECT count(*) FILTER (WHERE v = 'kept') AS kept, count(*) FILTER (WHERE v = 'm' || id) AS new FROM partly;
DROP TABLE faulty, partly;
DROP FUNCTION tenth(integer);

-- a column of the key is dropped
CREATE TABLE two_keys (a integer, b integer, v text, PRIMARY KEY (a, b));
INSERT INTO two_keys VALUES (1, 1), (2, 1);
SELECT gpt_maintain('two_keys', 'v', $$'v' || a$$) > 0 AS maintained;
SELECT gpt_maintain_wait('two_keys', 'v', '60 s');
ALTER TABLE two_keys DROP b;
INSERT INTO two_keys VALUES (3);
DO $$ BEGIN WHILE (SELECT state <> 'failing' FROM gpt_maintained) LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT last_error FROM gpt_maintained;
ALTER TABLE two_keys ADD PRIMARY KEY (a);
SELECT gpt_maintain('two_keys', 'v', $$'v' || a$$) > 0 AS maintained;
SELECT gpt_maintain_wait('two_keys', 'v', '60 s');
SELECT a, v FROM two_keys ORDER BY a;
DROP TABLE two_keys;

-- partitions
CREATE TABLE parted (id integer, region integer, body text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 (body text, gone text, v text, id integer NOT NULL, region integer NOT NULL);
ALTER TABLE parted_2 DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
INSERT INTO parted SELECT i, 1 + i % 2, 'body ' || i FROM generate_series(1, 50) i;
SELECT gpt_maintain('parted_1', 'v', 'upper(body)');
SELECT gpt_maintain('parted', 'v', 'upper(body)') > 0 AS maintained;
SELECT gpt_maintain_wait('parted', 'v', '60 s');
INSERT INTO parted_2 (id, region, body) VALUES (100, 2, 'direct');
UPDATE parted SET region = 2, body = 'moved' WHERE id = 2;
UPDATE parted SET body = 'changed' WHERE id IN (3, 4);
SELECT gpt_maintain_wait('parted', 'v', '60 s');
SELECT count(*), count(*) FILTER (WHERE v = upper(body)) AS right FROM parted;
-- a partition that comes later, and one that is attached with rows
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES IN (3);
INSERT INTO parted_3 (id, region, body) VALUES (1, 3, 'not noticed'), (2, 3, 'nor this');
CREATE TABLE parted_4 (LIKE parted);
ALTER TABLE parted RENAME id TO number;
ALTER TABLE parted_4 RENAME id TO number;
INSERT INTO parted_4 VALUES (1, 4, 'attached', NULL), (2, 4, 'with a value', 'kept');
ALTER TABLE parted ATTACH PARTITION parted_4 FOR VALUES IN (4);
SELECT gpt_maintain_run();
SELECT gpt_maintain_wait('parted', 'v', '60 s');
INSERT INTO parted_3 (number, region, body) VALUES (3, 3, 'noticed');
SELECT gpt_maintain_wait('parted', 'v', '60 s');
SELECT number, region, v FROM parted WHERE region > 2 ORDER BY 2, 1;
DROP TABLE parted;
SELECT gpt_maintain_run();
DROP VIEW marks;
DROP TYPE color;
