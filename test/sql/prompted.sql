-- Prefixes and encoders in use: what every function makes of a prompt, alone and together
\pset null NULL
SET gpt.batching = off;
CREATE TABLE ask AS SELECT i AS id, 'say ' || i AS prompt, 'number ' || i || CASE WHEN i % 2 = 0 THEN ' even' ELSE ' odd' END AS completion FROM generate_series(100, 599) i;
\set shape '"layers": 2, "heads": 2, "channels": 64, "context": 48, "precision": "float32", "tokenizer": "bytes", "batch_size": 16, "threads": 1, "seed": 3, "validation_query": "SELECT prompt, completion FROM ask WHERE id % 11 = 7"'
SELECT gpt_train('asked', 'SELECT prompt, completion FROM ask WHERE id % 11 <> 7', ('{"architecture": "encoder_decoder", "encoder_layers": 1, "steps": 240, ' || :'shape' || '}')::jsonb) AS encoder,
	gpt_train('prefixed', 'SELECT prompt, completion FROM ask WHERE id % 11 <> 7', ('{"architecture": "prefix", "steps": 20, ' || :'shape' || '}')::jsonb) AS prefix,
	gpt_train('sorted', 'SELECT prompt AS text, right(completion, 3) AS label FROM ask', '{"architecture": "prefix", "layers": 1, "heads": 2, "channels": 32, "context": 16, "tokenizer": "bytes", "steps": 60, "threads": 1}') AS labels \gset
SET client_min_messages = warning;
SELECT gpt_wait(:encoder), gpt_wait(:prefix), gpt_wait(:labels);
RESET client_min_messages;

-- the loss of training, and completions of rows that were held out
SELECT model, abs(e.value - v.validation_loss) < 1e-4 AS as_in_training FROM gpt_models v, gpt_evaluate(model, 'SELECT prompt, completion FROM ask WHERE id % 11 = 7') e
WHERE e.metric = 'loss' AND model IN ('asked', 'prefixed') ORDER BY model;
SELECT avg((gpt_generate('asked', prompt, temperature => 0) = completion)::int) > 0.9 AS learnt, avg((gpt_generate('asked', prompt, beams => 3) = completion)::int) > 0.9 AS searched FROM ask WHERE id % 11 = 7;

-- one by one, in arrays, in a batched query and as a stream: the same bits
CREATE TABLE one AS SELECT model, id, prompt, completion, gpt_generate(model, prompt, 12, seed => id) AS drawn, gpt_generate(model, prompt, 12, beams => 4) AS searched,
	gpt_logprob(model, prompt, completion) AS logprob, gpt_score(model, completion) AS score, gpt_embed(model, prompt) AS vector FROM ask, (VALUES ('asked'), ('prefixed')) m (model) WHERE id % 24 = 0;
SET gpt.batching = on;
CREATE TABLE together AS SELECT 'asked' AS model, id, gpt_generate('asked', prompt, 12, seed => id) AS drawn, gpt_generate('asked', prompt, 12, beams => 4) AS searched,
	gpt_logprob('asked', prompt, completion) AS logprob, gpt_score('asked', completion) AS score, gpt_embed('asked', prompt) AS vector FROM ask WHERE id % 24 = 0;
INSERT INTO together SELECT 'prefixed', id, gpt_generate('prefixed', prompt, 12, seed => id), gpt_generate('prefixed', prompt, 12, beams => 4),
	gpt_logprob('prefixed', prompt, completion), gpt_score('prefixed', completion), gpt_embed('prefixed', prompt) FROM ask WHERE id % 24 = 0;
SET gpt.batching = off;
SELECT count(*), bool_and(o.drawn = m.drawn) AS drawn, bool_and(o.searched = m.searched) AS searched, bool_and(o.logprob = m.logprob) AS logprob, bool_and(o.score = m.score) AS score,
	bool_and(o.vector = m.vector) AS vector FROM one o JOIN together m USING (model, id);
SELECT model, gpt_generate(model, array_agg(prompt ORDER BY id), 12, beams => 4) = array_agg(searched ORDER BY id) AS searched,
	gpt_generate(model, array_agg(prompt ORDER BY id), 12, seed => 5) = array_agg(gpt_generate(model, prompt, 12, seed => 5) ORDER BY id) AS drawn,
	gpt_score(model, array_agg(completion ORDER BY id)) = array_agg(score ORDER BY id) AS score FROM one GROUP BY model ORDER BY model;
SELECT model, bool_and((SELECT string_agg(text, '' ORDER BY position) FROM gpt_stream(model, prompt, 12, seed => id)) = drawn) AS stream FROM one GROUP BY model ORDER BY model;

-- a prompt whose completions are scored goes through the model once; the best choice is the right one
SELECT avg((gpt_choose('asked', prompt, ARRAY['number ' || id || ' even', 'number ' || id || ' odd']) = completion)::int) > 0.9 AS chosen FROM one WHERE model = 'asked';
-- a classifier sees the whole text
SELECT avg((gpt_classify('sorted', prompt) = right(completion, 3))::int) > 0.9 AS classified, gpt_classify('sorted', array_agg(prompt ORDER BY id)) = array_agg(gpt_classify('sorted', prompt) ORDER BY id) AS together
FROM ask WHERE id % 9 = 0;

-- prompts at the edge: none, as long as the context less one, longer
SELECT model, length(gpt_generate(model, '', 5, beams => 2)) <= 5 AS empty, length(gpt_generate(model, repeat('y', 45), 60, seed => 1)) <= 60 AS full,
	gpt_logprob(model, '', 'number') < 0 AS score_of_none, gpt_logprob(model, repeat('z', 200), 'number 7') < 0 AS score_of_long FROM (VALUES ('asked'), ('prefixed')) m (model);
SELECT gpt_generate('asked', 'another ' || repeat('say 123 ', 9), 9, temperature => 0) = gpt_generate('asked', repeat('say 123 ', 9), 9, temperature => 0) AS last_tokens;
SELECT gpt_generate('asked', NULL) IS NULL AS prompt, gpt_logprob('asked', 'say 1', '', false) IS NULL AS completion;

-- image types and adapters
CREATE TABLE typed (type text, near boolean, same boolean);
DO $$
DECLARE kind text;
BEGIN
	FOREACH kind IN ARRAY ARRAY['bfloat16', 'int8', 'int4', 'float32'] LOOP
		PERFORM gpt_set_image_type('asked', kind);
		INSERT INTO typed SELECT kind, abs(sum(gpt_logprob('asked', prompt, completion)) - sum(logprob)) < CASE kind WHEN 'float32' THEN 1e-9 WHEN 'int4' THEN 30 ELSE 3 END,
			gpt_generate('asked', array_agg(prompt ORDER BY id), 12, beams => 3) = array_agg(gpt_generate('asked', prompt, 12, beams => 3) ORDER BY id) FROM one WHERE model = 'asked';
	END LOOP;
END $$;
SELECT * FROM typed;
SELECT gpt_finetune('asked', 'SELECT prompt, upper(completion) AS completion FROM ask', '{"method": "lora", "steps": 30, "learning_rate": 0.01, "into": "loud", "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
CREATE TABLE loud AS SELECT id, gpt_logprob('loud', prompt, upper(completion)) AS adapter FROM one WHERE model = 'asked';
SELECT gpt_merge('loud');
SELECT max(abs(gpt_logprob('loud', prompt, upper(completion)) - adapter)) < 1e-3 AS merged, avg(adapter) > avg(gpt_logprob('asked', prompt, upper(completion))) AS learnt FROM one JOIN loud USING (id) WHERE model = 'asked';

-- memory: the whole prompt goes through the model at once
SET gpt.max_memory = '1MB';
\set VERBOSITY terse
SELECT gpt_generate('asked', 'say 5', beams => 64);
\set VERBOSITY default
RESET gpt.max_memory;
SELECT gpt_drop_model('asked', true), gpt_drop_model('prefixed'), gpt_drop_model('sorted'), gpt_drop_model('loud');
DROP TABLE ask, one, together, typed, loud;
