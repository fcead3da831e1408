-- gpt_check: a whole database gives no rows, and each defect gives its own
SELECT * FROM gpt_check();
CREATE DATABASE gpt_checked;
\c gpt_checked
CREATE EXTENSION gpt;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 260}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 3, "batch_size": 8}') AS job \gset m_
SELECT gpt_wait(:m_job, '300 s');
SELECT * FROM gpt_check();
SELECT * FROM gpt_check(verify => true);
SELECT * FROM gpt_check(NULL);
SELECT weights, size FROM gpt_models \gset
SELECT object FROM gpt_tokenizers \gset
-- numbers of objects and roles differ from run to run
CREATE VIEW findings AS SELECT kind, regexp_replace(object, 'large object \d+', 'large object N') AS object,
	regexp_replace(detail, '(arge object) \d+', '\1 N') AS detail FROM gpt_check();
CREATE VIEW verified AS SELECT kind, regexp_replace(object, 'large object \d+', 'large object N') AS object,
	regexp_replace(detail, '(arge object) \d+', '\1 N') AS detail FROM gpt_check(true);

-- altered: a byte, which only the hash tells; the length; the header
BEGIN;
SELECT lo_put(:weights, :size - 1, '\x55');
SELECT * FROM findings;
SELECT * FROM verified;
SELECT lo_put(:weights, :size, '\x00');
SELECT * FROM findings;
ROLLBACK;
BEGIN;
SELECT lo_put(:weights, 0, decode(repeat('20', 2048), 'hex'));
SELECT lo_put(:object, 0, '\x20');
SELECT * FROM findings;
SELECT * FROM verified;
ROLLBACK;

-- missing, and taken by another run
BEGIN;
SELECT lo_unlink(:object);
SELECT lo_get(:weights) AS file \gset
SELECT lo_unlink(:weights);
SELECT * FROM findings;
SELECT lo_from_bytea(:weights, replace(encode(:'file', 'escape'), (SELECT run_id::text FROM gpt_version), '00000000-0000-4000-8000-000000000000')::bytea) = :weights AS taken;
SELECT * FROM findings;
ROLLBACK;

-- rows without their rows, objects without a row
BEGIN;
DELETE FROM gpt_tokenizer;
SELECT * FROM findings;
DELETE FROM gpt_model;
SELECT * FROM findings;
ROLLBACK;
BEGIN;
DELETE FROM gpt_version;
SELECT * FROM findings;
ROLLBACK;
BEGIN;
DROP EXTENSION gpt CASCADE;
ROLLBACK;

-- a schema that is dropped with its extension leaves its objects
CREATE DATABASE gpt_checked_too;
\c gpt_checked_too
CREATE SCHEMA s;
CREATE EXTENSION gpt SCHEMA s;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT s.gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT s.gpt_wait(:job, '300 s');
SET client_min_messages = warning;
DROP SCHEMA s CASCADE;
RESET client_min_messages;
CREATE EXTENSION gpt;
SELECT kind, regexp_replace(object, '\d+', 'N') AS object, detail FROM gpt_check() ORDER BY detail;
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
SELECT * FROM gpt_check();
\c gpt_checked
DROP DATABASE gpt_checked_too;

-- who may overwrite an object
CREATE ROLE regress_gpt_checked;
GRANT UPDATE ON LARGE OBJECT :weights TO regress_gpt_checked;
GRANT UPDATE ON LARGE OBJECT :object TO PUBLIC;
SELECT * FROM findings;
REVOKE UPDATE ON LARGE OBJECT :weights FROM regress_gpt_checked;
REVOKE UPDATE ON LARGE OBJECT :object FROM PUBLIC;

-- an object is read for those who would be told of it: for another role none, for a superuser all
BEGIN;
CREATE VIEW reads AS SELECT idx_scan FROM pg_stat_xact_sys_tables WHERE relname = 'pg_largeobject';
GRANT SELECT ON reads TO regress_gpt_checked;
SET LOCAL ROLE regress_gpt_checked;
SELECT idx_scan FROM reads \gset before_
SELECT count(*) FROM gpt_check(true);
SELECT idx_scan - :before_idx_scan AS reads FROM reads;
RESET ROLE;
SELECT count(*) FROM gpt_check(true);
SELECT idx_scan - :before_idx_scan > 0 AS reads FROM reads;
ROLLBACK;

-- jobs: stopped, copied
BEGIN;
INSERT INTO gpt_job (model, kind, state, owner, query, options, settings, run_id, system_identifier, database)
	SELECT 'stopped', kind, 'running', owner, query, options, settings, gen_random_uuid(), system_identifier, database FROM gpt_job WHERE job = :m_job;
UPDATE gpt_job SET system_identifier = c.system_identifier FROM pg_control_system() c WHERE model = 'stopped';
INSERT INTO gpt_job (model, kind, state, owner, query, options, settings, run_id, system_identifier, database)
	SELECT 'copied', kind, 'running', owner, query, options, settings, gen_random_uuid(), system_identifier + 1, database FROM gpt_job WHERE model = 'stopped';
SELECT kind, regexp_replace(object, '\d+', 'N') AS object, detail FROM gpt_check();
ROLLBACK;

-- files: of a job that succeeded, of none at all, of a job that failed
UPDATE gpt_job SET run_id = '11111111-1111-4111-8111-111111111111' WHERE job = :m_job;
SELECT current_setting('data_directory') AS folder \gset
\set file :folder '/gpt/pgsql_tmp_11111111-1111-4111-8111-111111111111.tokens'
COPY (SELECT 1) TO :'file';
\set other :folder '/gpt/other'
COPY (SELECT 1) TO :'other';
SELECT kind, object, detail FROM gpt_check() ORDER BY object;
UPDATE gpt_job SET state = 'failed', finished_at = now() WHERE job = :m_job;
SELECT kind, object, detail FROM gpt_check();
UPDATE gpt_job SET finished_at = now() - interval '8 days' WHERE job = :m_job;
SELECT kind, object, detail FROM gpt_check() ORDER BY object;

-- what is removed with the model: the files of its failed job, when the transaction commits
BEGIN;
SELECT gpt_drop_model('m');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT gpt_drop_model('m');
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM gpt_check() WHERE object ~ 'tokens$';
BEGIN;
SAVEPOINT s;
SELECT gpt_drop_model('m');
RELEASE s;
COMMIT;
SELECT count(*) FROM gpt_check() WHERE object ~ 'tokens$';
\set command 'cat >/dev/null; rm ' :other
COPY (SELECT 1) TO PROGRAM :'command';

-- the setting
SET lo_compat_privileges = on;
SELECT * FROM gpt_check();
RESET lo_compat_privileges;
SELECT * FROM gpt_check();
\c regression
DROP DATABASE gpt_checked;
DROP ROLE regress_gpt_checked;

-- after DROP OWNED the rows of a lost model, and of its tokenizer of which another role has a copy, go with gpt_drop_model
CREATE ROLE regress_gpt_lost LOGIN;
GRANT USAGE ON SCHEMA public TO regress_gpt_lost;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO regress_gpt_lost;
\set options '{"steps": 1, "layers": 1, "channels": 8, "heads": 1, "context": 8, "batch_size": 1, "tokenizer": "bytes"}'
SET ROLE regress_gpt_lost;
SELECT gpt_train('lost', $$SELECT 'text ' || i FROM generate_series(1, 20) i$$, :'options') AS job \gset
SELECT gpt_wait(:job);
RESET ROLE;
SELECT object FROM gpt_tokenizer t JOIN gpt_version v ON v.tokenizer = t.sha256 WHERE v.model = 'lost' AND gpt_object_owner(object) = 'regress_gpt_lost'::regrole \gset
DROP OWNED BY regress_gpt_lost;
DROP ROLE regress_gpt_lost;
SELECT gpt_train('kept', $$SELECT 'text ' || i FROM generate_series(1, 20) i$$, :'options') AS job \gset
SELECT gpt_wait(:job);
SELECT kind, replace(object, :'object', 'N') AS object FROM gpt_check() WHERE object IN ('model lost@1', 'tokenizer of large object ' || :object) ORDER BY 2;
SELECT gpt_drop_model('lost');
SELECT kind FROM gpt_check() WHERE object IN ('model lost@1', 'tokenizer of large object ' || :object);
SELECT gpt_count_tokens('kept', 'text');
SELECT gpt_drop_model('kept');
