-- Speculative decoding: a draft and lookup give the text that comes out without them
\pset null NULL
SET gpt.batching = off;
SET jit = off;
SET gpt.batching = off;
CREATE TABLE sayings AS SELECT i AS id, 'line ' || i || ' says that ' || i % 7 || ' is ' || CASE WHEN i % 3 = 0 THEN 'odd' ELSE 'even' END AS body FROM generate_series(1, 400) i;
SELECT gpt_train('said', 'SELECT body FROM sayings', '{"layers": 6, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "batch_size": 8, "steps": 250, "learning_rate": 0.01, "threads": 1, "seed": 4, "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('small', 'SELECT body FROM sayings', '{"layers": 1, "heads": 2, "channels": 16, "context": 48, "tokenizer": "bytes", "batch_size": 8, "steps": 250, "learning_rate": 0.02, "threads": 1, "seed": 4, "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('coarse', 'SELECT body FROM sayings', '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "vocabulary": 280, "steps": 1, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('label', 'SELECT body AS text, id % 2 AS label FROM sayings', '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "steps": 1, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('prefixed', 'SELECT body AS prompt, body AS completion FROM sayings', '{"architecture": "prefix", "layers": 1, "heads": 1, "channels": 8, "context": 64, "tokenizer": "bytes", "prompt_template": "none", "steps": 1, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);

-- alone, with every kind of sampling; a text that fills the context; as a stream
CREATE TABLE answers AS SELECT id, 'line ' || id AS prompt, gpt_generate('said', 'line ' || id, 90, CASE id % 3 WHEN 0 THEN 0 ELSE 0.8 END, CASE id % 4 WHEN 1 THEN 5 ELSE 0 END,
	repetition_penalty => CASE id % 5 WHEN 0 THEN 1.2 ELSE 1 END, stop => CASE id % 2 WHEN 0 THEN 'n' END, seed => id) AS text FROM sayings WHERE id % 20 = 7 OR id % 20 = 0;
CREATE FUNCTION with_draft(id int, draft text) RETURNS text LANGUAGE sql AS $$
	SELECT gpt_generate('said', 'line ' || id, 90, CASE id % 3 WHEN 0 THEN 0 ELSE 0.8 END, CASE id % 4 WHEN 1 THEN 5 ELSE 0 END,
		repetition_penalty => CASE id % 5 WHEN 0 THEN 1.2 ELSE 1 END, stop => CASE id % 2 WHEN 0 THEN 'n' END, seed => id, draft => draft) $$;
SELECT gpt_stat_reset();
SELECT count(*), count(*) FILTER (WHERE with_draft(id, 'small') = text) AS same, max(length(text)) > 64 AS long FROM answers;
SELECT draft_tokens > 100 AS proposed, draft_accepted BETWEEN draft_tokens / 3 AND draft_tokens AS accepted, tokens_computed > tokens_out AS computed FROM gpt_stat_models WHERE model = 'said';
SELECT gpt_stat_reset();
SELECT count(*) FILTER (WHERE with_draft(id, 'prompt') = text) AS same FROM answers;
SELECT draft_accepted > 20 AS accepted FROM gpt_stat_models WHERE model = 'said';
SELECT count(*) FILTER (WHERE s.text = f.text) AS same FROM answers f, LATERAL (SELECT string_agg(text, '' ORDER BY position) AS text
	FROM gpt_stream('said', prompt, 90, CASE id % 3 WHEN 0 THEN 0 ELSE 0.8 END, CASE id % 4 WHEN 1 THEN 5 ELSE 0 END,
		repetition_penalty => CASE id % 5 WHEN 0 THEN 1.2 ELSE 1 END, stop => CASE id % 2 WHEN 0 THEN 'n' END, seed => id, draft => 'small')) s;

-- a stream and the engine that starts again, and a call of the draft between two rows
BEGIN;
DECLARE streamed CURSOR FOR SELECT text FROM gpt_stream('said', 'line 7', 40, 0, draft => 'small');
FETCH 3 FROM streamed;
SELECT length(gpt_generate('small', 'line 8', 3, 0));
SET gpt.threads = 2;
FETCH 3 FROM streamed;
COMMIT;
RESET gpt.threads;
SELECT left(gpt_generate('said', 'line 7', 40, 0), 6) AS text;

-- together: an array, rows of a query
SELECT gpt_generate('said', array_agg(prompt ORDER BY id), 30, 0.7, seed => 3) = gpt_generate('said', array_agg(prompt ORDER BY id), 30, 0.7, seed => 3, draft => 'small') AS array,
	gpt_generate('said', array_agg(prompt ORDER BY id), 30, 0.7, seed => 3) = gpt_generate('said', array_agg(prompt ORDER BY id), 30, 0.7, seed => 3, draft => 'prompt') AS lookup FROM answers;
SET gpt.batching = on;
CREATE TABLE together AS SELECT id, gpt_generate('said', 'line ' || id, 30, 0.7, seed => id, draft => CASE WHEN id % 2 = 0 THEN 'small' ELSE 'prompt' END) AS text FROM sayings WHERE id % 20 = 0 OR id % 20 = 7;
SET gpt.batching = off;
SELECT count(*), bool_and(text = gpt_generate('said', 'line ' || id, 30, 0.7, seed => id)) AS same FROM together;

-- what EXPLAIN says of them
CREATE FUNCTION drafts_in_plan(draft text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT gpt_generate(''said'', ''line 7'', 40, 0, draft => %L)', draft) LOOP
		IF line ~ 'Draft' THEN
			RETURN regexp_replace(line, '\d+', 'n');
		END IF;
	END LOOP;
	RETURN 'none';
END $$;
SELECT drafts_in_plan('small'), drafts_in_plan(NULL);

-- drafts that are none
SELECT gpt_generate('said', 'x', draft => 'said');
SELECT gpt_generate('said', 'x', draft => 'coarse');
SELECT gpt_generate('said', 'x', draft => 'label');
SELECT gpt_generate('said', 'x', draft => 'prefixed');
SELECT gpt_generate('said', 'x', draft => 'missing');
SELECT gpt_generate('said', 'x', draft => 'small', beams => 2);
SELECT * FROM gpt_stream('said', 'x', draft => 'coarse');
SELECT gpt_generate('said', ARRAY['x', 'y'], draft => 'coarse');
CREATE ROLE reader;
SELECT gpt_grant('said', 'reader');
SET ROLE reader;
SELECT gpt_generate('said', 'x', draft => 'small');
RESET ROLE;
SELECT gpt_revoke('said', 'reader');
DROP ROLE reader;
SELECT gpt_drop_model(model) FROM unnest('{said,small,coarse,label,prefixed}'::text[]) model;
DROP TABLE sayings, answers, together;
DROP FUNCTION with_draft, drafts_in_plan;
