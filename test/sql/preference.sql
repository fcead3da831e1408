-- answers of which one is better: columns prompt, chosen and rejected
SET client_min_messages = warning;
CREATE TABLE pair_answer AS SELECT i, 'question ' || i AS prompt, (ARRAY['yes', 'no', 'maybe'])[1 + i % 3] || ' of course' AS good,
	(ARRAY['yes', 'no', 'maybe'])[1 + i / 3 % 3] || ' not at all' AS bad FROM generate_series(1, 120) i;
CREATE FUNCTION pair_base(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"layers": 1, "heads": 2, "channels": 32, "context": 32, "steps": 40, "batch_size": 16, "tokenizer": "bytes", "learning_rate": 0.01}'::jsonb || more $$;
CREATE FUNCTION pair_more(more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"steps": 20, "batch_size": 16, "learning_rate": 0.002, "validation_fraction": 0.2}'::jsonb || more $$;
CREATE VIEW pair_log AS SELECT job, step, loss, validation_loss, validation_bits_per_byte, (measures ->> 'reward_margin')::float8 AS margin,
	(measures ->> 'preference_accuracy')::float8 AS accuracy, (measures ->> 'validation_reward_margin')::float8 AS validation_margin,
	(measures ->> 'validation_preference_accuracy')::float8 AS validation_accuracy, (measures ->> 'kl_per_token')::float8 AS kl FROM gpt_train_log;
SELECT gpt_train('plain', 'SELECT prompt, CASE i % 2 WHEN 0 THEN good ELSE bad END AS completion FROM pair_answer', pair_base()) AS job \gset
SELECT gpt_wait(:job, '300 s');

-- DPO: at first the model is its base, then it prefers the chosen answers, and leads away
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "dpo"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, regexp_replace(note, '[0-9.]+(e-?[0-9]+)?', 'N', 'g') AS note FROM gpt_jobs WHERE job = :job;
SELECT task FROM gpt_versions WHERE model = 'dpo';
SELECT jsonb_object_keys(report -> 'measures') AS measures FROM gpt_jobs WHERE job = :job;
SELECT abs(validation_loss - ln(2)) < 1e-4 AS chance, abs(validation_margin) < 1e-4 AS no_margin, margin, kl FROM pair_log WHERE job = :job AND step = 0;
SELECT loss < 0.5 AS less, validation_loss < 0.5 AS validated, validation_bits_per_byte AS bits, margin > 0.5 AS margin, accuracy > 0.9 AS accuracy,
	validation_margin > 0.5 AS validation_margin, validation_accuracy > 0.9 AS validation_accuracy, kl > 0.001 AS away FROM pair_log WHERE job = :job AND step = 20;
SELECT avg(gpt_logprob('dpo', prompt, good) - gpt_logprob('dpo', prompt, bad) - gpt_logprob('plain', prompt, good) + gpt_logprob('plain', prompt, bad)) > 5 AS prefers FROM pair_answer;

-- the same rows give the same model, in any order and cut into micro-batches of any size; an adapter's base is what it rests on
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer ORDER BY i DESC', pair_more('{"into": "again", "threads": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT count(DISTINCT validation_loss) AS models FROM gpt_versions WHERE model IN ('dpo', 'again');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "parts", "batch_size": 8, "accumulate": 2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT max(validation_loss) - min(validation_loss) < 0.01 AS near FROM gpt_versions WHERE model IN ('dpo', 'parts');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "light", "method": "lora", "learning_rate": 0.02}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT abs(validation_loss - ln(2)) < 1e-4 AS chance FROM pair_log WHERE job = :job AND step = 0;
SELECT validation_loss < 0.6 AS learnt, kl > 0.001 AS away FROM pair_log WHERE job = :job AND step = 20;

-- by default one epoch, or three of a few rows, with a beta that is kept
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"into": "usual"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT round((conditions ->> 'epochs')::numeric) AS epochs, conditions -> 'beta' AS beta, conditions -> 'patience' AS patience, conditions ->> 'ended' AS ended
	FROM gpt_jobs WHERE job = :job;
SELECT config -> 'preference' AS kept FROM gpt_version WHERE model = 'usual';
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer, generate_series(1, 9)', '{"into": "many"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT round((conditions ->> 'epochs')::numeric) AS epochs FROM gpt_jobs WHERE job = :job;

-- a small beta leads further away; half of the pairs swapped would say nothing
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "loose", "beta": 0.01}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT loose.validation_loss > dpo.validation_loss AS other FROM gpt_versions loose, gpt_versions dpo WHERE loose.model = 'loose' AND dpo.model = 'dpo';
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "noisy", "label_smoothing": 0.2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT abs(validation_loss - ln(2)) < 1e-4 AS chance FROM pair_log WHERE job = :job AND step = 0;
SELECT validation_loss BETWEEN 0.5 AND 0.69 AS smoothed FROM pair_log WHERE job = :job AND step = 20;

-- ORPO needs no base; with one it says how far it leads away
SELECT gpt_train('orpo', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_base('{"validation_fraction": 0.2, "beta": 0.2}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT validation_accuracy > 0.9 AS accuracy, kl FROM pair_log WHERE job = :job AND step = 40;
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_more('{"into": "odds", "preference": "orpo", "beta": 0.5}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT validation_accuracy > 0.9 AS accuracy, kl > 0.001 AS away FROM pair_log WHERE job = :job AND step = 20;

-- answers may be longer than the context, and prompts may be missing
SELECT gpt_finetune('plain', $$SELECT nullif(prompt, 'question 7') AS prompt, repeat(good, 5) AS chosen, bad AS rejected FROM pair_answer$$, pair_more('{"into": "long"}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, documents, skipped, regexp_replace(note, '; ended.*', '') AS note FROM gpt_jobs WHERE job = :job;

-- rows whose answers are equal prefer neither: they are skipped and counted, in training and in evaluation
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, CASE i % 4 WHEN 0 THEN good ELSE bad END AS rejected FROM pair_answer', pair_more('{"into": "equal", "steps": 1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, skipped, report -> 'skipped' AS reasons FROM gpt_jobs WHERE job = :job;
SELECT metric, value FROM gpt_evaluate('dpo', 'SELECT prompt, good AS chosen, CASE i % 4 WHEN 0 THEN good ELSE bad END AS rejected FROM pair_answer', '{"generate": false}')
	WHERE metric IN ('documents', 'skipped');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, good AS rejected FROM pair_answer', '{"into": "none"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT state, error FROM gpt_jobs WHERE job = :job;
SELECT * FROM gpt_evaluate('dpo', 'SELECT prompt, good AS chosen, good AS rejected FROM pair_answer');

-- gpt_evaluate measures any rows, by default against the version that the model started from
CREATE FUNCTION pair_measures(model text, options jsonb DEFAULT '{}', OUT metrics text, OUT loss float8, OUT margin float8, OUT accuracy float8, OUT kl float8)
	LANGUAGE sql AS $$ SELECT string_agg(metric, ' ' ORDER BY metric), max(value) FILTER (WHERE metric = 'loss'), max(value) FILTER (WHERE metric = 'reward_margin'),
	max(value) FILTER (WHERE metric = 'preference_accuracy'), max(value) FILTER (WHERE metric = 'kl')
	FROM gpt_evaluate(model, 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer WHERE i <= 30', options) $$;
SELECT metrics, loss < 0.5 AS learnt, margin > 0.5 AS margin, accuracy > 0.9 AS accuracy, kl > 0.001 AS away FROM pair_measures('dpo');
SELECT abs(loss - ln(2)) < 1e-6 AS chance, margin = 0 AS none, accuracy, kl FROM pair_measures('dpo', '{"base": "dpo"}');
SELECT loss > ln(2) AS swapped, accuracy < 0.1 AS wrong FROM pair_measures('plain', '{"base": "dpo"}');
SELECT two.margin / one.margin BETWEEN 1.99 AND 2.01 AS twice FROM pair_measures('light', '{"beta": 0.1, "generate": false}') one, pair_measures('light', '{"beta": 0.2, "generate": false}') two;
SELECT metrics, accuracy > 0.9 AS accuracy FROM pair_measures('orpo');
SELECT metrics FROM pair_measures('orpo', '{"base": "plain"}');
-- by the beta of its training, which the version keeps until another training
CREATE FUNCTION pair_beta(model text, options jsonb DEFAULT '{}') RETURNS float8 LANGUAGE sql AS $$ SELECT value
	FROM gpt_evaluate(model, 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer WHERE i <= 5', '{"generate": false}'::jsonb || options)
	WHERE metric = 'beta' $$;
SELECT pair_beta('loose') AS loose, pair_beta('loose', '{"beta": 0.2}') AS given, pair_beta('dpo') AS dpo, pair_beta('odds') AS not_orpo, pair_beta('orpo') AS orpo,
	pair_beta('plain', '{"base": "dpo"}') AS plain;
SELECT conditions -> 'beta' AS beta, report -> 'choices' -> 'beta' AS chosen FROM gpt_jobs WHERE model = 'loose';
SELECT gpt_finetune('loose', 'SELECT prompt, good AS completion FROM pair_answer', pair_more('{"steps": 1}')) AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT pair_beta('loose@1') AS kept, pair_beta('loose') AS by_default;
CREATE ROLE pair_reader;
GRANT SELECT ON pair_answer TO pair_reader;
SELECT gpt_grant('dpo', 'pair_reader');
SET ROLE pair_reader;
SET client_min_messages = notice;
SELECT metrics, accuracy > 0.5 AS accuracy FROM pair_measures('dpo');
SELECT pair_measures('dpo', '{"base": "plain"}');
SET client_min_messages = warning;
RESET ROLE;
DROP OWNED BY pair_reader;
DROP ROLE pair_reader;

-- what cannot be
SELECT gpt_train('x', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', pair_base('{"preference": "dpo"}'));
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"label_smoothing": 0.5}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"preference": "orpo", "label_smoothing": 0.1}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS completion FROM pair_answer', '{"preference": "dpo"}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"preference": "ppo"}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"beta": 0}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"documents": "joined"}');
SELECT gpt_finetune('plain', 'SELECT prompt, good AS chosen, bad AS rejected FROM pair_answer', '{"batch_size": 1}');

SELECT count(gpt_drop_model(model)) AS dropped FROM gpt_models WHERE base IS NOT NULL;
SELECT count(gpt_drop_model(model)) AS dropped FROM gpt_models;
