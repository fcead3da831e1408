-- test/tap/other_cluster.sql - rows of jobs that were written in another cluster, as a restore brings them: the number of their owner
-- is a role's here that has nothing to do with them.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_dora LOGIN;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_dora;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO gpt_dora;
SET ROLE gpt_dora;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 20) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "steps": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job of this cluster');
RESET ROLE;

-- Of another cluster: one that ended long ago, one that failed with a file, one that runs. And the same of this cluster.
CREATE FUNCTION insert_job(of_model text, of_state text, elsewhere bigint) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO gpt_job (model, kind, state, owner, query, options, settings, run_id, system_identifier, database, finished_at)
	SELECT of_model, 'train', of_state, 'gpt_dora'::regrole, 'SELECT secret', '{}', '{}', gen_random_uuid(), c.system_identifier + elsewhere, d.oid,
		CASE WHEN of_state <> 'running' THEN now() - interval '100 days' END
	FROM pg_control_system() c, pg_database d WHERE d.datname = current_database() RETURNING job $$;
SELECT insert_job('old', 'succeeded', 1) AS theirs, insert_job('old', 'succeeded', 0) AS ours, insert_job('m', 'failed', 1) AS failed,
	insert_job('gone', 'failed', 1) AS gone, insert_job('x', 'running', 1) AS running \gset
INSERT INTO gpt_progress (job, pid, phase) VALUES (:theirs, 1, 'training'), (:running, 1, 'training'), (:ours, 1, 'training');
INSERT INTO gpt_job_log (job, step, loss) VALUES (:theirs, 1, 2), (:ours, 1, 2);
-- a file of the failed one's run, as another database of this cluster may have it
SELECT current_setting('data_directory') || '/gpt/pgsql_tmp_' || run_id || '.ckpt' AS file FROM gpt_job WHERE job = :failed \gset
COPY (SELECT 'not a checkpoint') TO :'file';

SET ROLE gpt_dora;
SELECT set_eq('SELECT job FROM gpt_jobs', ARRAY[:job, :ours]::bigint[], 'the role sees the jobs of this cluster only');
SELECT set_eq('SELECT DISTINCT job FROM gpt_train_log', ARRAY[:job, :ours]::bigint[], 'and their losses');
SELECT set_eq('SELECT job FROM gpt_progress_rows()', ARRAY[:ours]::bigint[], 'and their progress');
SELECT is_empty('SELECT * FROM gpt_stat_progress_train', 'also in the view');
SELECT throws_ok(format('SELECT %s(%s)', function, job), '42704', format('job %s does not exist, or belongs to another role', job), function)
FROM (VALUES ('gpt_wait'), ('gpt_cancel'), ('gpt_resume')) f(function), (VALUES (:theirs), (:running)) j(job);
SELECT throws_like('SELECT gpt_score(''gone'', ''x'')', 'model "gone" does not exist', 'a model that its job did not make does not exist');
SELECT is(gpt_forget_jobs('1 day'), 1::bigint, 'it forgets the old job of this cluster');
SELECT lives_ok('SELECT gpt_drop_model(''m'')', 'it drops its model');
RESET ROLE;
SELECT set_eq('SELECT job FROM gpt_job', ARRAY[:job, :theirs, :failed, :gone, :running]::bigint[], 'and the others are there as before');
SELECT is((SELECT count(*) FROM gpt_job_log WHERE job = :theirs), 1::bigint, 'with their log');
SELECT isnt(pg_stat_file(:'file', true), NULL, 'and the file of one');
SELECT is(gpt_forget_jobs('1 day'), 3::bigint, 'a superuser forgets them');
SELECT pg_catalog.format('rm %L', :'file') AS command \gset
COPY (SELECT 1) TO PROGRAM :'command';

DELETE FROM gpt_progress;
DELETE FROM gpt_job;
DROP OWNED BY gpt_dora;
DROP ROLE gpt_dora;
SELECT * FROM finish();
