-- the extension: in a schema with an odd name, and how it goes
SELECT gpt_version() ~ ('^gpt ' || extversion || ', ') AS version FROM pg_extension WHERE extname = 'gpt';
CREATE DATABASE gpt_odd;
\c gpt_odd
CREATE SCHEMA "Odd Name";
CREATE EXTENSION gpt SCHEMA "Odd Name";
SELECT unnest(extconfig::regclass[]) FROM pg_extension WHERE extname = 'gpt';
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT "Odd Name".gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "vocabulary": 260, "steps": 3, "batch_size": 8}') AS job \gset
SELECT "Odd Name".gpt_wait(:job, '300 s');
SELECT model, version FROM "Odd Name".gpt_models;
SELECT "Odd Name".gpt_score('m', 'line') > 0 AS scored, "Odd Name".gpt_count_tokens('m', 'line') > 0 AS counted;

-- tables of the same names in front in the search path are not the extension's
CREATE SCHEMA trap;
CREATE TABLE trap.gpt_model (model text PRIMARY KEY, version integer);
CREATE TABLE trap.gpt_version (model text, version integer, PRIMARY KEY (model, version));
SET search_path = trap, public;
SELECT "Odd Name".gpt_score('m', 'line') > 0 AS scored;
RESET search_path;

-- the schema of the extension cannot be changed
ALTER EXTENSION gpt SET SCHEMA public;

-- nobody but its owner drops it; then its large objects go too
CREATE ROLE regress_gpt_other;
SET ROLE regress_gpt_other;
DROP EXTENSION gpt;
RESET ROLE;
SELECT count(*) FROM pg_largeobject_metadata;
BEGIN;
DROP EXTENSION gpt;
SELECT count(*) FROM pg_largeobject_metadata;
ROLLBACK;
SELECT "Odd Name".gpt_score('m', 'line') > 0 AS scored;
BEGIN;
SET LOCAL session_replication_role = replica;
DROP EXTENSION gpt;
SELECT count(*) FROM pg_largeobject_metadata;
ROLLBACK;
DROP EXTENSION IF EXISTS no_such_extension, gpt;
SELECT count(*) FROM pg_largeobject_metadata;
\c regression
DROP DATABASE gpt_odd;
DROP ROLE regress_gpt_other;
