-- Classification: rows of a text and a label; gpt_classify, gpt_classify_probs, gpt_evaluate.
CREATE EXTENSION IF NOT EXISTS gpt;
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE review AS
SELECT i AS id, CASE WHEN i % 3 = 0 THEN 'the soup was ' || g || ' and warm ' || i ELSE 'we found it ' || g || ', number ' || i END AS body,
	CASE WHEN g IN ('good', 'fine', 'lovely') THEN 'glad' ELSE 'sad' END::mood AS mood
FROM (SELECT i, (ARRAY['good', 'bad', 'fine', 'awful', 'lovely', 'cold'])[1 + i % 6] AS g FROM generate_series(1, 300) i) s;
SELECT gpt_train('moods', 'SELECT body, mood AS label FROM review', '{"preset": "nano", "layers": 1, "channels": 32, "tokenizer": "bytes", "steps": 150, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_classify('moods', 'the soup was lovely and warm 7'), gpt_classify('moods', 'we found it awful, number 8');
SELECT label, probability > 0.5 AS likely FROM gpt_classify_probs('moods', 'we found it awful, number 8');
SELECT round(sum(probability)::numeric, 5) FROM gpt_classify_probs('moods', '');
SELECT metric, label, predicted, round(value::numeric, 2) AS value FROM gpt_evaluate('moods', 'SELECT body, mood AS label FROM review WHERE id <= 60') WHERE metric NOT IN ('loss', 'best_threshold');
SELECT validation_loss < 0.2 AS learnt, validation_bits_per_byte FROM gpt_versions WHERE model = 'moods';

-- Fine-tuning from a language model, with labels of any kind; from a classifier its labels stay.
SELECT gpt_train('texts', 'SELECT body FROM review', '{"preset": "nano", "layers": 1, "channels": 32, "tokenizer": "bytes", "steps": 20, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_finetune('texts', 'SELECT body AS text, mood = ''sad'' AS label, 2 AS weight FROM review', '{"into": "sad", "steps": 80, "learning_rate": 0.003, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_classify('sad', 'the soup was bad and warm 3'), gpt_classify('sad', 'we found it fine, number 4');
-- a further label joins the others, which stay
SELECT gpt_finetune('moods', $$SELECT 'furious fuming ' || id AS body, 'angry' AS label FROM review WHERE id < 50 UNION ALL SELECT body, mood::text FROM review WHERE id < 20$$,
	'{"steps": 2, "seed": 1, "into": "moods3"}') AS job \gset
SELECT gpt_wait(:job);
SELECT label FROM gpt_classify_probs('moods3', 'a') ORDER BY label;
SELECT gpt_classify('moods3', 'furious fuming 77'), bool_and(gpt_classify('moods3', body) = mood::text) AS others_stay FROM review;
-- from a language model to a classifier of another name, and a further label into a third one
SELECT gpt_finetune('sad', $$SELECT 'furious fuming ' || id AS body, 'angry' AS label FROM review WHERE id < 50 UNION ALL SELECT body, (mood = 'sad')::text FROM review WHERE id < 20$$,
	'{"steps": 2, "seed": 1, "into": "sad3"}') AS job \gset
SELECT gpt_wait(:job);
SELECT labels, (SELECT (report->'classifier'->>'linear_factor')::float8 > 0 FROM gpt_jobs WHERE job = :job) AS has_linear_part FROM gpt_models WHERE model = 'sad3';
SELECT gpt_classify('sad3', 'furious fuming 77'), bool_and(gpt_classify('sad3', body) = (mood = 'sad')::text) AS others_stay FROM review;
SELECT gpt_classify('sad', 'we found it fine, number 4'), gpt_score('texts', 'the soup was') > 0 AS still_a_language_model;
-- below the threshold there is no answer
SELECT gpt_classify('moods', body, 0.5) = mood::text AS sure, gpt_classify('moods', body, 1) IS NULL AS never_sure, gpt_classify('moods', ARRAY[body, NULL], 1) AS many
FROM review WHERE id = 60;
SELECT gpt_classify('moods', 'a', NULL) IS NULL AS null_threshold;
SELECT gpt_classify('moods', 'a', 1.5);
SELECT gpt_classify('moods', 'a', 'NaN'::float8);
SELECT gpt_finetune('moods', 'SELECT body, ''sad'' AS label FROM review WHERE id < 50', '{"steps": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT label FROM gpt_classify_probs('moods', 'a') ORDER BY label;
SELECT gpt_finetune('moods', 'SELECT body FROM review', '{"steps": 2}');
SELECT gpt_train('alone', 'SELECT body, 1 AS label FROM review', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job);
SELECT error FROM gpt_jobs WHERE job = :job;

-- Typed wrong.
SELECT gpt_classify('texts', 'a');
SELECT gpt_generate('moods', 'the soup');
SELECT gpt_score('moods', 'the soup');
SELECT gpt_choose('moods', 'the soup', '{a,b}');
SELECT cardinality(gpt_embed('moods', 'the soup'));
SELECT gpt_classify('moods', NULL) IS NULL, (SELECT count(*) FROM gpt_classify_probs('moods', NULL));
SELECT * FROM gpt_evaluate('moods', 'SELECT body FROM review');
SELECT * FROM gpt_evaluate('texts', 'SELECT body, mood AS label FROM review');
SELECT * FROM gpt_evaluate('moods', $$SELECT body, 'angry' AS label FROM review$$);
SELECT gpt_train('wrong', 'SELECT body, now() AS label FROM review');
SELECT gpt_train('wrong', 'SELECT body, body AS other, body AS third, mood AS label FROM review');
SELECT gpt_train('wrong', 'SELECT mood AS label FROM review');
SELECT gpt_train('wrong', 'SELECT body, mood AS label FROM review', '{"documents": "joined"}');
SELECT gpt_train('wrong', 'SELECT body, mood AS label FROM review', '{"validation_query": "SELECT body FROM review"}');
SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('moods', 'moods3', 'texts', 'sad', 'sad3') ORDER BY model;
DROP TABLE review;
DROP TYPE mood;
