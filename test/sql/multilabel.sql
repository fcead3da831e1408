-- Classification with several labels: the column label is an array of text.
CREATE EXTENSION IF NOT EXISTS gpt;
CREATE DOMAIN tags AS varchar(20)[];
CREATE TABLE ticket AS
SELECT i AS id, concat_ws(' ', 'ticket', CASE WHEN i % 2 = 0 THEN 'invoice' ELSE 'hello' END, CASE WHEN i % 3 = 0 THEN 'crash' ELSE 'there' END, i) AS body,
	array_remove(ARRAY[CASE WHEN i % 3 = 0 THEN 'bug' END, CASE WHEN i % 2 = 0 THEN 'to pay' END], NULL) AS tags
FROM generate_series(1, 300) i;
SELECT gpt_train('tagger', 'SELECT body, tags AS label FROM ticket', '{"layers": 1, "heads": 1, "channels": 32, "context": 64, "batch_size": 16, "tokenizer": "bytes", "steps": 50, "learning_rate": 0.01, "ngrams": false, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT validation_loss < 0.1 AS learnt, validation_bits_per_byte FROM gpt_versions WHERE model = 'tagger';

-- a text has several labels, in the order of bytes, one, or none
SELECT gpt_classify('tagger', 'ticket invoice crash 6'), gpt_classify('tagger', 'ticket hello crash 9'), gpt_classify('tagger', 'ticket hello there 7');
SELECT cardinality(gpt_classify('tagger', 'ticket invoice crash 6')::text[]), gpt_classify('tagger', 'ticket invoice there 8')::text[] = '{to pay}';
SELECT label, probability > 0.5 AS likely FROM gpt_classify_probs('tagger', 'ticket invoice there 8');
SELECT sum(probability) > 1.5 AS sums_to_anything FROM gpt_classify_probs('tagger', 'ticket invoice crash 6');
SELECT gpt_classify('tagger', NULL) IS NULL, gpt_classify('tagger', '')::text[] IS NOT NULL;

-- measures: of sets, of labels, of both; no confusion
SELECT metric, label, predicted, round(value::numeric, 2) AS value
FROM gpt_evaluate('tagger', 'SELECT body, tags AS label FROM ticket WHERE id <= 60') WHERE metric NOT IN ('loss', 'best_threshold');
-- 'hello there' with a label that is not given to it, beside one that is right, which weighs three times as much
SELECT metric, label, round(value::numeric, 3) AS value
FROM gpt_evaluate('tagger', $$SELECT body, label, weight FROM (VALUES ('ticket hello there 7', '{bug}'::text[], 1), ('ticket hello crash 9', '{bug}', 3)) v (body, label, weight)$$)
WHERE metric NOT IN ('loss', 'best_threshold');
-- the loss is that of the probabilities
SELECT round((SELECT value FROM gpt_evaluate('tagger', 'SELECT body, tags AS label FROM ticket WHERE id = 6') WHERE metric = 'loss')::numeric, 4)
	= round((SELECT sum(-ln(probability)) FROM gpt_classify_probs('tagger', (SELECT body FROM ticket WHERE id = 6)))::numeric, 4) AS same;
-- duplicates count once, NULLs not at all, {NULL} is no label; NULL is not known and skipped
SELECT metric, value FROM gpt_evaluate('tagger', $$SELECT body, label FROM (VALUES ('ticket invoice crash 6', '{to pay,bug,NULL,bug}'::text[]),
	('ticket hello there 7', '{NULL}'), ('ticket hello there 11', '{}'), ('ticket', NULL)) v (body, label)$$) WHERE metric IN ('documents', 'skipped', 'accuracy');
-- where nothing has a label there is no F1
SELECT metric FROM gpt_evaluate('tagger', $$SELECT body, '{}'::text[] AS label FROM ticket WHERE id = 7$$);

-- the same rows in another order, with labels in another order and twice, give the same model
SELECT gpt_train('tagger2', 'SELECT body, tags || tags AS label FROM ticket ORDER BY id DESC', '{"layers": 1, "heads": 1, "channels": 32, "context": 64, "batch_size": 16, "tokenizer": "bytes", "steps": 50, "learning_rate": 0.01, "ngrams": false, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT count(*), count(DISTINCT value) FROM (SELECT value FROM gpt_evaluate('tagger') WHERE metric = 'training_loss' UNION ALL SELECT value FROM gpt_evaluate('tagger2') WHERE metric = 'training_loss') v;

-- fine-tuning keeps the labels, and knows no others; from a language model it begins anew
SELECT gpt_finetune('tagger', 'SELECT body, ARRAY[''bug'']::tags AS label FROM ticket WHERE id % 6 = 3', '{"steps": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT label FROM gpt_classify_probs('tagger', 'a') ORDER BY label;
SELECT gpt_classify('tagger', 'ticket invoice crash 6');
SELECT gpt_finetune('tagger', 'SELECT body, ''{bug,new}''::text[] AS label FROM ticket WHERE id < 50', '{"steps": 2, "into": "newer", "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT label FROM gpt_classify_probs('newer', 'ticket') ORDER BY label;
SELECT gpt_drop_model('newer');
SELECT gpt_finetune('tagger', 'SELECT body, ''bug'' AS label FROM ticket WHERE id < 50', '{"steps": 2}');
SELECT gpt_train('texts', 'SELECT body FROM ticket', '{"layers": 1, "heads": 1, "channels": 32, "context": 64, "batch_size": 16, "tokenizer": "bytes", "ngrams": false, "steps": 20, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SET client_min_messages = warning;
SELECT gpt_finetune('texts', 'SELECT body, CASE WHEN id % 2 = 0 THEN ''{paid}'' ELSE ''{}'' END::tags AS label, id % 5 = 0 AS is_validation FROM ticket',
	'{"into": "paid", "ngrams": false, "steps": 50, "learning_rate": 0.01, "label_smoothing": 0.1, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
RESET client_min_messages;
SELECT gpt_classify('paid', 'ticket invoice there 8'), gpt_classify('paid', 'ticket hello there 7');

-- one label a row, and arrays, are not the same thing
SELECT gpt_train('lone', 'SELECT body, tags[1] AS label FROM ticket WHERE tags <> ''{}''', '{"layers": 1, "heads": 1, "channels": 32, "context": 64, "batch_size": 16, "tokenizer": "bytes", "ngrams": false, "steps": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT * FROM gpt_evaluate('lone', 'SELECT body, tags AS label FROM ticket');
SELECT * FROM gpt_evaluate('tagger', 'SELECT body, ''bug'' AS label FROM ticket');
SELECT gpt_finetune('lone', 'SELECT body, tags AS label FROM ticket', '{"steps": 2}');
SELECT gpt_train('wrong', 'SELECT body, tags AS label FROM ticket', '{"validation_query": "SELECT body, tags[1] AS label FROM ticket"}');

-- mistakes
SELECT * FROM gpt_evaluate('tagger', $$SELECT body, '{old}'::text[] AS label FROM ticket$$);
SELECT * FROM gpt_evaluate('tagger', $$SELECT body, '{{bug},{to pay}}'::text[] AS label FROM ticket$$);
SELECT * FROM gpt_evaluate('tagger', $$SELECT body, array_fill('bug'::text, '{10001}') AS label FROM ticket$$);
SELECT * FROM gpt_evaluate('tagger', $$SELECT body, ARRAY[repeat('x', 256)] AS label FROM ticket$$);
SELECT gpt_train('wrong', 'SELECT body, ARRAY[id] AS label FROM ticket');
SELECT gpt_train('wrong', 'SELECT tags AS label FROM ticket');
SELECT gpt_train('wrong', 'SELECT body, ''{}''::text[] AS label FROM ticket', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('wrong', 'SELECT body, ARRAY[(id * 60 + i)::text, body] AS label FROM ticket, generate_series(0, 59) i', '{"steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
SELECT gpt_generate('tagger', 'ticket');

-- (a job of minutes, which shortens the fit of so many labels)
-- of 4,000 labels a table of what was taken for what would have 128 MB; what occurs has little: rows come only while the session has less
SELECT gpt_train('many', 'SELECT ''text '' || i AS body, i AS label FROM generate_series(1, 4000) i', '{"layers": 1, "channels": 16, "tokenizer": "bytes", "minutes": 0.01, "batch_size": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT sum(value) FROM gpt_evaluate('many', $$SELECT 'text ' || i AS body, i AS label FROM generate_series(1, 20) i
	WHERE (SELECT sum(total_bytes) FROM pg_backend_memory_contexts) < 100 * 1024 * 1024$$) WHERE metric = 'confusion';
-- an adapter of several labels is one after it was merged
SELECT gpt_finetune('texts', 'SELECT body, tags AS label FROM ticket', '{"method": "lora", "into": "lent", "steps": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_merge('lent');
SELECT (SELECT sum(probability) FROM gpt_classify_probs('lent@1', 'a')) - (SELECT sum(probability) FROM gpt_classify_probs('lent@2', 'a')) BETWEEN -0.001 AND 0.001 AS same,
	cardinality(gpt_classify('lent@2', 'a')::text[]) >= 0 AS is_a_set;
SELECT gpt_drop_model('lent');
SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('tagger', 'tagger2', 'texts', 'paid', 'lone', 'many') ORDER BY model;
DROP TABLE ticket;
DROP DOMAIN tags;
