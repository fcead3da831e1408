-- a label that is a real number is predicted
SET client_min_messages = warning;
CREATE TABLE room (id int, body text, price real, size numeric, kind int);
INSERT INTO room SELECT i, format('a %s room with %s windows, %s', (ARRAY['small', 'large', 'huge'])[1 + i % 3], (ARRAY['no', 'two', 'three'])[1 + i / 3 % 3],
		(ARRAY['quiet', 'loud'])[1 + i / 9 % 2]), 1000 + i % 3 * 50 + i / 3 % 3 * 20 - i / 9 % 2 * 30, i % 3 + i / 1000.0, i % 3
	FROM generate_series(1, 180) i;
SELECT gpt_train('price', 'SELECT body, price AS label FROM room', '{"layers": 1, "heads": 2, "channels": 32, "context": 64, "steps": 120,
	"batch_size": 32, "validation_query": "SELECT body, price AS label FROM room WHERE id % 9 = 0"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT task, labels, validation_loss < 0.05 AS learnt, validation_bits_per_byte FROM gpt_models WHERE model = 'price';
SELECT body, abs(gpt_predict('price', body) - price) < 20 AS near FROM room WHERE id <= 3 ORDER BY id;
SELECT gpt_predict('price', array_agg(body ORDER BY id)) = array_agg(gpt_predict('price', body) ORDER BY id) AS many FROM room WHERE id <= 20;
SELECT gpt_predict('price', NULL::text) IS NULL AS null_text, gpt_predict('price', '{}'::text[]) AS none, gpt_predict('price', '') > 900 AS of_nothing;
SELECT cardinality(gpt_embed('price', 'a room')) AS channels;

-- the measures are those of the numbers that it gives
CREATE TEMP VIEW given AS SELECT price::float8 AS wanted, gpt_predict('price', body) AS found FROM room WHERE id <= 90;
CREATE TEMP VIEW ranked AS SELECT rank() OVER (ORDER BY wanted) + (count(*) OVER (PARTITION BY wanted) - 1) / 2.0 AS wanted,
	rank() OVER (ORDER BY found) + (count(*) OVER (PARTITION BY found) - 1) / 2.0 AS found FROM given;
SELECT metric, value, CASE metric WHEN 'rmse' THEN (SELECT sqrt(avg((wanted - found) ^ 2)) FROM given)
		WHEN 'mae' THEN (SELECT avg(abs(wanted - found)) FROM given)
		WHEN 'r2' THEN (SELECT 1 - avg((wanted - found) ^ 2) / var_pop(wanted) FROM given)
		WHEN 'spearman' THEN (SELECT corr(wanted, found) FROM ranked)
		WHEN 'baseline_rmse' THEN (SELECT sqrt(avg((wanted - (SELECT avg(price) FROM room)) ^ 2)) FROM given)
		WHEN 'loss' THEN (SELECT avg((wanted - found) ^ 2) / (SELECT var_pop(price) FROM room) FROM given) END AS by_hand
	INTO TEMP measured FROM gpt_evaluate('price', 'SELECT body, price AS label FROM room WHERE id <= 90');
SELECT metric, CASE WHEN by_hand IS NULL THEN value::text ELSE (abs(value / by_hand - 1) < 1e-5)::text END AS same FROM measured;
SELECT (SELECT value FROM gpt_evaluate('price', 'SELECT body, price AS label, 1 + id % 2 AS weight FROM room WHERE id <= 90') WHERE metric = m) -
	(SELECT value FROM gpt_evaluate('price', 'SELECT body, price AS label FROM room WHERE id <= 90 UNION ALL SELECT body, price FROM room WHERE id <= 90 AND id % 2 = 1')
		WHERE metric = m) BETWEEN -1e-9 AND 1e-9 AS weighted FROM unnest('{rmse,r2,spearman}'::text[]) m;
SELECT metric FROM gpt_evaluate('price', 'SELECT body, 3.7 AS label FROM room WHERE id <= 90');

-- a fine-tune keeps the mean and the deviation, and takes numbers only
SELECT gpt_finetune('price', 'SELECT body, size AS label FROM room', '{"into": "size", "steps": 2}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT count(DISTINCT (config->'number_mean', config->'number_scale')) AS scales FROM gpt_version;
SELECT gpt_finetune('price', 'SELECT body, kind AS label FROM room');
SELECT gpt_finetune('price', 'SELECT body FROM room');
SELECT gpt_train('kind', 'SELECT body, kind AS label FROM room', '{"layers": 1, "heads": 1, "channels": 16, "steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('kind', 'SELECT body, price AS label FROM room');
SELECT gpt_predict('kind', 'a room');
SELECT gpt_classify('price', 'a room');
SELECT gpt_generate('price', 'a room');
SELECT * FROM gpt_evaluate('kind', 'SELECT body, price AS label FROM room');
SELECT * FROM gpt_evaluate('price', 'SELECT body, kind AS label FROM room');
SELECT * FROM gpt_evaluate('price', 'SELECT body FROM room');

-- a number that is none; rows without one are skipped
SELECT gpt_train('nan', $$SELECT body, 'NaN'::float8 AS label FROM room$$, '{"steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('some', 'SELECT body, nullif(kind, 1)::real AS label FROM room', '{"layers": 1, "heads": 1, "channels": 16, "steps": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, skipped FROM gpt_jobs WHERE job = :job;
SELECT gpt_drop_model(model) FROM unnest('{some,kind,size,price}'::text[]) model;

-- equal rows have equal numbers and texts; old rows are replayed with both
CREATE TABLE note AS SELECT i AS id, 'note ' || i % 30 AS a, 'about ' || i % 3 AS b, (i % 2)::real AS n FROM generate_series(1, 120) i;
SELECT count(*) AS repeated, (SELECT count(*) FROM gpt_duplicates('SELECT a, b, n AS label FROM note', 'exact')) AS of_pairs,
	(SELECT count(*) FROM gpt_duplicates('SELECT a, 1.5 + n AS label FROM note', 'exact')) AS of_numbers,
	(SELECT count(*) FROM gpt_duplicates('SELECT a AS query, b AS positive, a || b || id AS negative FROM note', 'exact')) AS of_negatives
FROM gpt_duplicates('SELECT a, n::int AS label FROM note', 'exact');
SELECT gpt_train('pairs', 'SELECT a, b, n AS label, id FROM note WHERE id <= 100', '{"layers": 1, "heads": 1, "channels": 16, "steps": 2, "watermark": "id"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_finetune('pairs', 'SELECT a, b, n AS label, id FROM note', '{"steps": 2, "since": "watermark", "replay": 0.5}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT documents, error FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('joined', 'SELECT a, n AS label FROM note', '{"documents": "joined"}');
SELECT gpt_drop_model('pairs');
DROP VIEW given CASCADE;
DROP TABLE room, note;
