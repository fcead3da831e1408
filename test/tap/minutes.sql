-- test/tap/minutes.sql - time ends a training: how long a job takes, how far its learning rate falls, what its note says.
-- One schema is enough: the file tests time, and others call the same functions in the second schema.
-- On a busy machine a job takes longer than its time to begin and to end: a job of three steps says how long that is.
SELECT no_plan();
SET client_min_messages = warning;

CREATE TABLE line AS SELECT 'line ' || i || ' of ' || md5(i::text) AS body FROM generate_series(1, 20) i;
CREATE FUNCTION tiny(further jsonb) RETURNS jsonb LANGUAGE sql AS
	$$SELECT '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "batch_size": 4, "validation_fraction": 0.2, "seed": 1}'::jsonb || further$$;
CREATE FUNCTION seconds(job bigint) RETURNS float8 LANGUAGE sql AS
	$$SELECT extract(epoch FROM finished_at - started_at) FROM gpt_jobs j WHERE j.job = $1$$;

SELECT gpt_train('by_steps', 'SELECT body FROM line', tiny('{"steps": 3}')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job with steps');
SELECT matches(note, '^ended by steps(;|$)', 'ends after them') FROM gpt_jobs WHERE job = :job;
SELECT seconds(:job) AS short \gset

-- 1.8 s: twenty epochs of these rows take a small part of it
SELECT gpt_train('m', 'SELECT body FROM line', tiny('{"minutes": 0.03, "patience": 0}')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job with minutes');
SELECT cmp_ok(seconds(:job), '>=', 1.5::float8, 'takes its time');
SELECT cmp_ok(seconds(:job), '<=', (2.6 + 10 * :short)::float8, 'and no more');
SELECT cmp_ok((conditions ->> 'epochs')::float8, '>', 20::float8, 'explicit minutes lift the limit of twenty epochs') FROM gpt_jobs WHERE job = :job;
SELECT alike(note, 'ended by minutes, at step ' || step || '%', 'the note says that time ended it, and after how many steps') FROM gpt_jobs WHERE job = :job;
SELECT is((conditions ->> 'minutes')::float8 || ' ' || (conditions ->> 'steps'), '0.03 ' || step, 'the conditions have the time and the steps done') FROM gpt_jobs WHERE job = :job;
SELECT is(steps, step, 'the steps of the job are those done') FROM gpt_jobs WHERE job = :job;
SELECT cmp_ok((SELECT learning_rate FROM gpt_train_log WHERE job = :job AND learning_rate IS NOT NULL ORDER BY step DESC LIMIT 1), '<=',
	0.15 * (SELECT (conditions ->> 'learning_rate')::float8 FROM gpt_jobs WHERE job = :job), 'the learning rate has fallen by the clock');
SELECT isnt((SELECT validation_loss FROM gpt_train_log WHERE job = :job ORDER BY step DESC LIMIT 1), NULL, 'the last step is validated');

-- what else ends a training
SELECT gpt_train('by_epochs', 'SELECT body FROM line', tiny('{"minutes": 1, "epochs": 1}')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job with minutes and epochs');
SELECT matches(note, '^ended by epochs(;|$)', 'ends with the epochs where they come first') FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('by_default', 'SELECT body FROM line', tiny('{}')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job without either');
SELECT is(split_part(note, ';', 1) || ' ' || round((conditions ->> 'epochs')::numeric), 'ended by epochs 20', 'ends after twenty epochs of little text') FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('by_patience', 'SELECT body FROM line', tiny('{"minutes": 5, "epochs": 60, "learning_rate": 1, "patience": 2, "validation_fraction": 0.3}')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a job whose validation loss does not fall');
SELECT matches(note, '^ended by patience: the validation loss was not below that of step [0-9]+ in 2 validations(; the last weights are published: .*)?$', 'ends by patience') FROM gpt_jobs WHERE job = :job;

-- an interruption: what a job has used of its time counts
ALTER SYSTEM SET gpt.checkpoint_interval = 0;
SELECT pg_reload_conf() AS loaded \gset
SELECT gpt_train('resumed', 'SELECT body FROM line', tiny('{"minutes": 0.06, "patience": 0}')) AS job \gset
CREATE FUNCTION wait_for_time(job bigint, at_least interval) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		IF EXISTS (SELECT FROM gpt_stat_progress_train p WHERE p.job = $1 AND step > 1) AND EXISTS (SELECT FROM gpt_jobs j WHERE j.job = $1 AND clock_timestamp() > started_at + at_least) THEN
			RETURN (SELECT step FROM gpt_jobs j WHERE j.job = $1);
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
	RETURN NULL;
END $$;
SELECT wait_for_time(:job, '1.8 s') AS before \gset
SELECT gpt_cancel(:job) AS cancelled \gset
SELECT is(gpt_wait(:job, '300 s'), 'cancelled', 'a job is interrupted after half of its time');
SELECT clock_timestamp() AS resumed_at, gpt_resume(:job) AS taken_up \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'and taken up');
SELECT cmp_ok(extract(epoch FROM finished_at - :'resumed_at'::timestamptz)::float8, '<=', (2.6 + 10 * :short)::float8, 'it takes the rest of its time') FROM gpt_jobs WHERE job = :job;
SELECT cmp_ok(step, '>', :before::bigint, 'goes on where it was') FROM gpt_jobs WHERE job = :job;
SELECT matches(note, 'ended by minutes, at step ' || step, 'and is ended by time') FROM gpt_jobs WHERE job = :job;
ALTER SYSTEM RESET gpt.checkpoint_interval;
SELECT pg_reload_conf() AS loaded \gset
SELECT * FROM finish();
