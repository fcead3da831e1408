-- "if_running": what gpt_train and gpt_finetune do while another job makes the same model

CREATE TABLE speech AS SELECT 'speaker ' || i % 7 || ' says ' || repeat('word' || i % 13 || ' ', 3 + i % 5) AS body FROM generate_series(1, 100) i;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$ SELECT '{"layers": 1, "heads": 2, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 20, "batch_size": 8}'::jsonb || further $$;
\set endless '{"steps": 1000000000}'

-- without another job each of them submits one
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny('{"if_running": "skip", "steps": 1000000000}')) AS first \gset
\set VERBOSITY sqlstate
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny());
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny('{"if_running": "error"}'));
SET client_min_messages = warning;
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny('{"if_running": "skip"}')) = :first AS skipped;
RESET client_min_messages;
SELECT count(*) AS jobs FROM gpt_jobs WHERE model = 'kin';

-- a transaction sees its own job
BEGIN;
SELECT gpt_train('own', 'SELECT body FROM speech', tiny('{"if_running": "queue"}')) AS one \gset
SELECT gpt_train('own', 'SELECT body FROM speech', tiny('{"if_running": "queue"}')) AS two \gset
SELECT :two > :one AS in_order;
ROLLBACK;

-- queue: one after another; what comes too late for a new name fails when it begins
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny('{"if_running": "queue"}')) AS second \gset
SELECT gpt_train('kin', 'SELECT body FROM speech', tiny('{"if_running": "queue"}')) AS third \gset
SELECT gpt_train('n', 'SELECT body FROM speech', tiny()) AS other \gset
SELECT gpt_wait(:second, '0 s');
SELECT gpt_cancel(:first) AS cancelled;
SELECT gpt_wait(:second, '300 s'), gpt_wait(:third, '300 s'), gpt_wait(:other, '300 s');
SELECT state, error FROM gpt_jobs WHERE job = :third;
SELECT s.started_at >= f.finished_at AND t.started_at >= s.finished_at AS one_after_another
FROM gpt_jobs f, gpt_jobs s, gpt_jobs t WHERE f.job = :first AND s.job = :second AND t.job = :third;

-- a queued predecessor that is cancelled makes way, when that is committed
SELECT gpt_train('busy', 'SELECT body FROM speech', tiny(:'endless')) AS busy \gset
SELECT gpt_train('k', 'SELECT body FROM speech', tiny()) AS first \gset
SELECT gpt_train('k', 'SELECT body FROM speech', tiny('{"if_running": "queue"}')) AS second \gset
SELECT gpt_cancel(:first) AS cancelled;
SELECT gpt_resume(:first);
SELECT gpt_cancel(:busy) AS cancelled;
SELECT gpt_wait(:second, '300 s');

-- a fine-tune: privileges and names are checked at submission
SELECT gpt_train('busy', 'SELECT body FROM speech', tiny(:'endless')) AS busy \gset
SELECT gpt_finetune('nobody', 'SELECT body FROM speech');
SELECT gpt_finetune('kin', 'SELECT nothing FROM speech');
SELECT gpt_finetune(NULL, 'SELECT body FROM speech');
SELECT gpt_finetune('kin', NULL);
SELECT gpt_finetune('kin', 'SELECT body FROM speech', '{"into": "kin@1"}');
SELECT gpt_finetune('kin', 'SELECT body FROM speech', '{"into": "busy"}');
BEGIN;
SELECT gpt_finetune('kin', 'SELECT body FROM speech') AS one \gset
SELECT gpt_finetune('kin@1', 'SELECT body FROM speech', '{"if_running": "queue"}') AS two \gset
SELECT gpt_finetune('kin', 'SELECT body FROM speech', '{"into": "n", "keep_versions": 3}') AS three \gset
SELECT gpt_finetune('kin', 'SELECT body FROM speech', '{"into": "fresh"}') AS four \gset
SELECT model, kind, state, base, base_version FROM gpt_jobs WHERE job IN (:one, :two, :three, :four) ORDER BY job;
ROLLBACK;
SELECT gpt_cancel(:busy) AS cancelled;
SELECT gpt_wait(:busy, '300 s');

-- fine-tunes queue up and each makes a version, in order
SELECT gpt_finetune('kin', 'SELECT body FROM speech', '{"steps": 3, "if_running": "queue"}') AS one,
	gpt_finetune('kin', 'SELECT body FROM speech', '{"steps": 3, "if_running": "queue"}') AS two,
	gpt_finetune('kin', 'SELECT body FROM speech', '{"steps": 3, "into": "fresh"}') AS three \gset
SELECT gpt_wait(:three, '300 s'), gpt_wait(:two, '300 s'), gpt_wait(:one, '300 s');
SELECT job - :one AS nth, model, base, base_version FROM gpt_jobs WHERE job IN (:one, :two) ORDER BY job;
SELECT model, max(version) AS version FROM gpt_versions WHERE model IN ('kin', 'fresh') GROUP BY model ORDER BY model;

SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('fresh', 'k', 'kin', 'n');
DROP TABLE speech;
DROP FUNCTION tiny;
