-- test/tap/jobs.sql - jobs: who may forget them, copied rows, roles that change, notifications, transactions.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_alice LOGIN;
CREATE ROLE gpt_bob LOGIN;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_alice, gpt_bob;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb) TO gpt_alice, gpt_bob;
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' AS body FROM generate_series(1, 60) i;
GRANT SELECT ON line TO PUBLIC;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3}'::jsonb || further $$;
CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
DECLARE
	met boolean;
BEGIN
	FOR i IN 1 .. 1500 LOOP
		EXECUTE 'SELECT ' || condition INTO met;
		COMMIT;
		EXIT WHEN met;
		PERFORM pg_sleep(0.02);
	END LOOP;
END $$;

-- notifications: each change of state
LISTEN gpt_job;
SELECT gpt_train('m', 'SELECT body FROM line', tiny()) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job runs');
UNLISTEN gpt_job;

-- forgetting
SELECT throws_ok($$SELECT gpt_forget_jobs('-1 day')$$, '22023', 'older_than must not be negative: -1 days', 'a negative interval is an error');
SET ROLE gpt_alice;
SELECT gpt_train('alices', 'SELECT body FROM line', tiny()) AS alices \gset
SELECT is(gpt_wait(:alices, '300 s'), 'succeeded', 'another role has a job');
SELECT ok((SELECT count(*) > 0 FROM gpt_train_log WHERE job = :alices), 'with a log');
SET ROLE gpt_bob;
SELECT is(gpt_forget_jobs('0'), 0::bigint, 'a stranger forgets no jobs of others');
SET ROLE gpt_alice;
SELECT is(gpt_forget_jobs(), 0::bigint, 'what has just ended is not older than 30 days');
SELECT is(gpt_forget_jobs('0'), 1::bigint, 'a role forgets its own');
SELECT is_empty('SELECT * FROM gpt_jobs', 'then the row is gone');
SELECT ok(gpt_score('alices', 'line') > 0, 'the model stays');
SELECT gpt_drop_model('alices');
RESET ROLE;
SELECT is((SELECT count(*) FROM gpt_job_log WHERE job = :alices), 0::bigint, 'and the log is gone');
SELECT gpt_train('busy', 'SELECT body FROM line', tiny('{"steps": 1000000000}')) AS busy \gset
CALL until($$EXISTS (SELECT FROM gpt_stat_progress_train WHERE step > 0)$$);
SELECT gpt_train('waits', 'SELECT body FROM line', tiny()) AS waits \gset
SELECT is(gpt_forget_jobs('0'), 1::bigint, 'a superuser forgets anybody''s');
SELECT is((SELECT string_agg(state, ' ' ORDER BY job) FROM gpt_jobs), 'running queued', 'but none that is queued or running');

-- cancelling in a transaction that has read the row before
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(state, 'queued', 'a transaction reads the row') FROM gpt_jobs WHERE job = :waits;
SELECT ok(gpt_cancel(:waits), 'REPEATABLE READ cancels a queued job');
COMMIT;
SELECT is((SELECT state FROM gpt_jobs WHERE job = :waits), 'cancelled', 'which then is cancelled');
SELECT ok(gpt_resume(:waits), 'it is queued again');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) > 0 FROM gpt_jobs;
SELECT ok(gpt_cancel(:waits), 'SERIALIZABLE cancels a queued job');
SELECT ok(gpt_cancel(:busy), 'and a running one');
COMMIT;
SELECT is(gpt_wait(:busy, '300 s'), 'cancelled', 'which ends');
SELECT is(gpt_wait(:waits, '300 s'), 'cancelled', 'both do');

-- PL/pgSQL: a block with an exception handler that is undone takes its job with it
DO $$
BEGIN
	BEGIN
		PERFORM gpt_train('undone', 'SELECT body FROM line', tiny());
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	BEGIN
		PERFORM gpt_train('done', 'SELECT body FROM line', tiny());
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
END $$;
SELECT is((SELECT string_agg(model, ' ') FROM gpt_jobs WHERE model IN ('undone', 'done')), 'done', 'only the block that was kept submitted its job');
SELECT is((SELECT gpt_wait(job, '300 s') FROM gpt_jobs WHERE model = 'done'), 'succeeded', 'and it runs');

-- copied rows: of another database, of another cluster
INSERT INTO gpt_job (model, kind, owner, query, options, settings, run_id, system_identifier, database, state)
	SELECT model || '_copy', kind, owner, query, options, settings, gen_random_uuid(), system_identifier, (database::bigint + delta)::oid, copy
	FROM gpt_job, (VALUES (0, 'queued'), (1, 'queued'), (0, 'running'), (1, 'running')) c(delta, copy) WHERE model = 'done';
SELECT is((SELECT count(*) FROM gpt_job WHERE model = 'done_copy' AND system_identifier = 0), 4::bigint, 'a copied row that waits or runs is marked');
UPDATE gpt_job SET system_identifier = c.system_identifier FROM pg_control_system() c 
	WHERE model = 'done_copy' AND database <> (SELECT oid FROM pg_database WHERE datname = current_database());
SELECT gpt_train('after', 'SELECT body FROM line', tiny()) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job runs beside copied rows');
SELECT gpt_train('after2', 'SELECT body FROM line', tiny()) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'and another');
SELECT results_eq($$SELECT state FROM gpt_jobs WHERE model = 'done_copy' ORDER BY job$$, ARRAY['queued', 'queued', 'running', 'running'],
	'none of the copies has been started or changed');
SELECT throws_ok(format('SELECT gpt_resume(%s)', job), '55000', NULL, 'gpt_resume of a copy is an error') FROM gpt_jobs WHERE model = 'done_copy' ORDER BY job;
SELECT is(gpt_train('done_copy', 'SELECT body FROM line', tiny()) > 0, true, 'a copy keeps no name') FROM (SELECT 1) s;
SELECT is((SELECT gpt_wait(max(job), '300 s') FROM gpt_jobs WHERE model = 'done_copy'), 'succeeded', 'a job of that name runs');
SELECT ok(gpt_cancel(job), 'a copy can be cancelled') FROM gpt_jobs WHERE model = 'done_copy' AND state IN ('queued', 'running') ORDER BY job;
SELECT is((SELECT count(*) FROM gpt_jobs WHERE model = 'done_copy' AND state = 'cancelled'), 4::bigint, 'so that it can be forgotten');

-- options of a queued job that are not valid any more
SELECT gpt_train('busy', 'SELECT body FROM line', tiny('{"steps": 1000000000}')) AS busy \gset
CALL until($$EXISTS (SELECT FROM gpt_stat_progress_train WHERE step > 0)$$);
SELECT gpt_train('old', 'SELECT body FROM line', tiny()) AS old \gset
SELECT gpt_train('settings', 'SELECT body FROM line', tiny()) AS settings \gset
SELECT gpt_train('good', 'SELECT body FROM line', tiny()) AS good \gset
UPDATE gpt_job SET options = '{"colour": 7}' WHERE job = :old;
UPDATE gpt_job SET settings = '{"TimeZone": "Nowhere/Never"}' WHERE job = :settings;

-- an owner who may not connect any more, and one who is gone
CREATE ROLE gpt_carol LOGIN;
GRANT USAGE ON SCHEMA :schema TO gpt_carol;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO gpt_carol;
SET ROLE gpt_bob;
SELECT gpt_train('nologin', 'SELECT body FROM line', tiny()) AS nologin \gset
SET ROLE gpt_carol;
SELECT gpt_train('gone', 'SELECT body FROM line', tiny()) AS gone \gset
SET ROLE gpt_alice;
SELECT gpt_train('unread', 'SELECT body FROM line', tiny()) AS unread \gset
SELECT gpt_train('fine', 'SELECT id::text AS body FROM line', tiny()) AS fine \gset
RESET ROLE;
ALTER ROLE gpt_bob NOLOGIN;
DROP OWNED BY gpt_carol;
DROP ROLE gpt_carol;
REVOKE SELECT ON line FROM PUBLIC;
GRANT SELECT (id) ON line TO gpt_alice;
REVOKE EXECUTE ON FUNCTION gpt_train(text, text, jsonb) FROM gpt_alice;
SELECT ok(gpt_cancel(:busy), 'the slot becomes free');
SELECT is(gpt_wait(:fine, '300 s'), 'succeeded', 'the last job runs, as EXECUTE is not needed any more');
SELECT is((SELECT state || ': ' || split_part(error, E'\n', 1) FROM gpt_jobs WHERE job = :old), 'failed: option "colour" does not exist', 'invalid options fail the job');
SELECT matches((SELECT state || ': ' || error FROM gpt_jobs WHERE job = :settings), '^failed: invalid value for parameter "TimeZone"', 'so do invalid settings');
SELECT is((SELECT state FROM gpt_jobs WHERE job = :good), 'succeeded', 'and hold up nobody');
SELECT is((SELECT state || ': ' || error FROM gpt_jobs WHERE job = :nologin), 'failed: its owner "gpt_bob" is not permitted to log in', 'an owner without LOGIN');
SELECT matches((SELECT state || ': ' || error FROM gpt_jobs WHERE job = :gone), '^failed: its owner, the role with OID \d+, does not exist', 'an owner who is gone');
SELECT is((SELECT state || ': ' || error FROM gpt_jobs WHERE job = :unread), 'failed: permission denied for table line', 'an owner who may not read the table any more');
SELECT is_empty($$SELECT model FROM gpt_models WHERE model IN ('old', 'settings', 'nologin', 'gone', 'unread')$$, 'none of them made a model');

-- queries that try to be somebody else
GRANT SELECT ON line TO gpt_alice;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO gpt_alice;
CREATE TABLE secret AS SELECT 'secret ' || i AS body FROM generate_series(1, 50) i;
SET ROLE gpt_alice;
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; RETURN ''; END $$;
RESET ROLE;
CREATE TEMP TABLE attempt (n serial, command text, job bigint);
GRANT ALL ON attempt TO gpt_alice;
GRANT USAGE ON SEQUENCE attempt_n_seq TO gpt_alice;
INSERT INTO attempt (command) VALUES ('SET ROLE postgres'), ('SET SESSION AUTHORIZATION postgres'), ($$SELECT set_config('role', 'postgres', false)$$),
	($$SELECT set_config('session_authorization', 'postgres', false)$$), ('RESET ROLE; SELECT count(*) FROM secret'),
	('RESET SESSION AUTHORIZATION; SELECT count(*) FROM secret'), ('SET ROLE NONE; SELECT count(*) FROM secret'), ('CREATE TABLE t ()'),
	('DELETE FROM line');
SET ROLE gpt_alice;
UPDATE attempt SET job = gpt_train('attempt' || n, format('SELECT body || try(%L) AS body FROM line', command), tiny());
SELECT is(gpt_wait(job, '300 s'), 'failed', command || ' in the query fails the job') FROM attempt ORDER BY n;
SELECT is(tries, 1, 'at the first try') FROM gpt_jobs JOIN attempt USING (job) ORDER BY job;
RESET ROLE;
SELECT set_eq($$SELECT DISTINCT substring(error FROM '^[a-z]+ [a-z]+') FROM gpt_jobs JOIN attempt USING (job)$$,
	ARRAY['permission denied', 'cannot execute'], 'with the reason of the server');
SELECT is((SELECT count(*) FROM line), 60::bigint, 'and changes nothing');

-- row-level security applies as for the owner
ALTER TABLE line ENABLE ROW LEVEL SECURITY;
CREATE POLICY half ON line TO gpt_alice USING (id <= 30);
SET ROLE gpt_alice;
SELECT gpt_train('half', 'SELECT body FROM line', tiny()) AS half \gset
SELECT is(gpt_wait(:half, '300 s'), 'succeeded', 'a table with row security is read');
SELECT is((SELECT documents FROM gpt_jobs WHERE job = :half), 30::bigint, 'as far as its owner may');
RESET ROLE;
ALTER TABLE line DISABLE ROW LEVEL SECURITY;

-- an owner who is dropped while his job runs
CREATE ROLE gpt_dave LOGIN;
GRANT USAGE ON SCHEMA :schema TO gpt_dave;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO gpt_dave;
GRANT SELECT ON line TO gpt_dave;
SET ROLE gpt_dave;
SELECT gpt_train('daves', 'SELECT body FROM line', tiny('{"steps": 300}')) AS daves \gset
RESET ROLE;
CALL until(format($$EXISTS (SELECT FROM gpt_stat_progress_train WHERE job = %s) OR EXISTS (SELECT FROM gpt_jobs WHERE job = %1$s AND state NOT IN ('queued', 'running'))$$, :'daves'));
DROP OWNED BY gpt_dave;
DROP ROLE gpt_dave;
SELECT is(gpt_wait(:daves, '300 s'), 'failed', 'the job of a role that is dropped while it runs fails');
SELECT is_empty($$SELECT * FROM gpt_models WHERE model = 'daves'$$, 'and makes no model');

SELECT gpt_drop_model(model) FROM gpt_models;
SELECT ok(gpt_forget_jobs('0') > 0, 'all is forgotten');
SELECT is_empty('SELECT * FROM gpt_job', 'no job is left');
SELECT is_empty('SELECT * FROM gpt_job_log', 'nor a log');
SELECT is_empty($$SELECT * FROM pg_largeobject_metadata$$, 'nor an object');
DROP OWNED BY gpt_alice, gpt_bob;
DROP ROLE gpt_alice, gpt_bob;
SELECT * FROM finish();
