-- jobs: waiting, cancelling, resuming, transactions

CREATE TABLE speech AS SELECT 'speaker ' || i % 7 || ' says ' || repeat('word' || i % 13 || ' ', 3 + i % 5) AS body FROM generate_series(1, 100) i;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 2, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}'::jsonb || further $$;
\set endless '{"steps": 1000000000}'
\set VERBOSITY sqlstate

-- arguments
SELECT gpt_wait(NULL);
SELECT gpt_cancel(NULL);
SELECT gpt_resume(NULL);
SELECT gpt_wait(-1);
SELECT gpt_cancel(-1);
SELECT gpt_resume(-1);

-- a job that its own transaction waits for
BEGIN;
SELECT gpt_train('own', 'SELECT body FROM speech', tiny()) AS job \gset
SELECT gpt_wait(:job);
ROLLBACK;
SELECT gpt_wait(:job);

-- a savepoint that is rolled back takes its job with it
BEGIN;
SAVEPOINT one;
SELECT gpt_train('undone', 'SELECT body FROM speech', tiny()) AS undone \gset
ROLLBACK TO one;
SELECT gpt_train('kept', 'SELECT body FROM speech', tiny()) AS kept \gset
COMMIT;
SELECT gpt_wait(:kept, '300 s');
SELECT gpt_wait(:undone);
SELECT gpt_drop_model('kept');

-- a transaction with a job cannot be prepared
BEGIN;
SELECT gpt_train('prepared', 'SELECT body FROM speech', tiny()) > 0 AS submitted;
PREPARE TRANSACTION 'p';
SELECT count(*) AS jobs FROM gpt_jobs WHERE model = 'prepared';

-- a time-out gives the present state
SELECT gpt_train('long', 'SELECT body FROM speech', tiny(:'endless')) AS job \gset
SELECT gpt_wait(:job, '100 ms') IN ('queued', 'running') AS goes_on;
SELECT gpt_wait(:job, '-1 s') IN ('queued', 'running') AS goes_on;
SELECT gpt_resume(:job) AS resumed_while_running;

-- the name is taken while the job lives
SELECT gpt_train('long', 'SELECT body FROM speech', tiny());

-- cancelling acts at once, also in a transaction that sees the past, or that rolls back
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS snapshot FROM gpt_jobs;
SELECT gpt_cancel(:job) AS cancelled;
SELECT gpt_wait(:job, '300 s');
SELECT gpt_cancel(:job) AS cancelled_again;
ROLLBACK;
SELECT state, error FROM gpt_jobs WHERE job = :job;

-- with one slot the second job waits its turn; a queued job is cancelled without having run
SELECT gpt_train('first', 'SELECT body FROM speech', tiny(:'endless')) AS first \gset
SELECT gpt_train('second', 'SELECT body FROM speech', tiny()) AS second \gset
SELECT gpt_train('third', 'SELECT body FROM speech', tiny()) AS third \gset
-- in a read-only transaction nothing is written, and no error shows how
\set VERBOSITY default
BEGIN READ ONLY;
SAVEPOINT s;
SELECT gpt_train('fourth', 'SELECT body FROM speech');
ROLLBACK TO s;
SELECT gpt_finetune('fourth', 'SELECT body FROM speech');
ROLLBACK TO s;
SELECT gpt_cancel(:second);
ROLLBACK TO s;
SELECT gpt_resume(:second);
ROLLBACK TO s;
SELECT gpt_wait(:second, '0 s');
ROLLBACK;
\set VERBOSITY sqlstate
SELECT gpt_cancel(:second) AS cancelled;
SELECT gpt_wait(:second, '300 s');
SELECT started_at IS NULL AS never_started FROM gpt_jobs WHERE job = :second;
SELECT gpt_cancel(:first) AS cancelled;
SELECT gpt_wait(:first, '300 s');
SELECT gpt_wait(:third, '300 s');

-- what was cancelled can be begun anew; what has succeeded cannot
SELECT gpt_resume(:second) AS resumed;
SELECT gpt_wait(:second, '300 s');
SELECT gpt_resume(:second) AS resumed;
SELECT gpt_cancel(:second) AS cancelled;

-- what would happen to them after a restart is no note of theirs any more
SELECT DISTINCT note FROM gpt_jobs WHERE job IN (:first, :second, :third);

SELECT gpt_drop_model('second'), gpt_drop_model('third');
DROP TABLE speech;
DROP FUNCTION tiny;
