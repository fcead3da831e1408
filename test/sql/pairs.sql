-- two texts are judged together
SET gpt.batching = off;
SET client_min_messages = warning;
CREATE TABLE word AS SELECT i, (ARRAY['red', 'blue', 'green', 'black', 'white', 'brown', 'pink', 'grey'])[1 + i] AS w FROM generate_series(0, 7) i;
CREATE TABLE pair AS SELECT row_number() OVER (ORDER BY a.i, b.i, n) AS id, format('a %s car %s', a.w, n) AS a, format('%s: the %s one', n, b.w) AS b,
		CASE WHEN a.i = b.i THEN 'same' ELSE 'other' END AS y, abs(a.i - b.i)::real AS d, ARRAY[a.w, b.w] AS set
	FROM word a, word b, generate_series(1, 3) n WHERE a.i = b.i OR (a.i * 3 + b.i + n) % 7 = 0;
SELECT gpt_train('same', 'SELECT a, b, y AS label FROM pair', '{"layers": 1, "heads": 2, "channels": 32, "context": 64, "steps": 150, "batch_size": 32,
	"learning_rate": 0.01, "validation_query": "SELECT a, b, y AS label FROM pair WHERE id % 5 = 0"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT task, labels, validation_loss < 0.3 AS learnt FROM gpt_models;
SELECT metric, value > 0.9 AS learnt FROM gpt_evaluate('same', 'SELECT a, b, y AS label FROM pair') WHERE metric = 'accuracy';
SELECT gpt_classify('same', 'a red car 1', '1: the red one'), gpt_classify('same', 'a red car 1', '1: the white one');
SELECT label, probability > 0.5 AS likely FROM gpt_classify_probs('same', 'a pink car 2', '2: the pink one');
SELECT gpt_classify('same', NULL, 'x') IS NULL AS first, gpt_classify('same', 'x', NULL) IS NULL AS second, gpt_classify('same', '', '') IS NOT NULL AS empty;
-- the order counts, and batching changes nothing
SET gpt.batching = on;
CREATE TEMP TABLE batched AS SELECT id, gpt_classify('same', a, b) AS label FROM pair;
SET gpt.batching = off;
SELECT count(*) FILTER (WHERE p.y = label) > 0.9 * count(*) AS right, bool_and(gpt_classify('same', a, b) = label) AS equal FROM pair p JOIN batched USING (id);

-- numbers and sets of pairs
SELECT gpt_train('far', 'SELECT a, b, d AS label FROM pair', '{"layers": 1, "heads": 2, "channels": 32, "context": 64, "steps": 3}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_predict('far', a, b) BETWEEN -10 AND 10 AS number FROM pair WHERE id = 1;
SELECT metric FROM gpt_evaluate('far', 'SELECT a, b, d AS label FROM pair');
SELECT gpt_train('both', 'SELECT a, b, set AS label FROM pair', '{"layers": 1, "heads": 1, "channels": 16, "context": 64, "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT cardinality(gpt_classify('both', 'a red car', 'the red one')::text[]) >= 0 AS set;
SELECT model, task, cardinality(labels) AS labels FROM gpt_models ORDER BY model;
-- long texts share the context: the end of the first and the beginning of the second
SELECT gpt_train('long', $$SELECT repeat(a || ' ', 20) AS a, repeat(b || ' ', 20) AS b, y AS label FROM pair$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "steps": 2, "tokenizer": "bytes"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, skipped FROM gpt_jobs WHERE job = :job;
SELECT gpt_classify('long', repeat('a red car ', 50), repeat('the red one ', 50)) IS NOT NULL AS judged;

-- mistakes
SELECT gpt_classify('same', 'a red car');
SELECT gpt_predict('far', 'a red car');
SELECT gpt_train('one', 'SELECT a, y AS label FROM pair', '{"layers": 1, "heads": 1, "channels": 16, "steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_classify('one', 'a red car', 'the red one');
SELECT gpt_classify('one', 'a red car', '0.8');
SELECT gpt_classify('one', 'a red car', threshold => '0.8') IS NULL AS unsure, gpt_classify('one', 'a red car', 0) IS NULL AS sure;
SELECT gpt_finetune('one', 'SELECT a, b, y AS label FROM pair');
SELECT gpt_finetune('same', 'SELECT a, y AS label FROM pair');
SELECT * FROM gpt_evaluate('one', 'SELECT a, b, y AS label FROM pair');
SELECT * FROM gpt_evaluate('same', 'SELECT a, y AS label FROM pair');
SELECT gpt_train('empty', $$SELECT a, CASE WHEN id > 10 THEN b ELSE '' END AS b, y AS label FROM pair$$, '{"layers": 1, "heads": 1, "channels": 16, "steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT skipped, report->'rows'->'skipped' AS why FROM gpt_jobs WHERE job = :job;
SELECT gpt_drop_model(model) FROM gpt_models ORDER BY model;
DROP TABLE word, pair;
