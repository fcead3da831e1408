-- What calls cost: gpt_stat_models, in one session, so that the numbers are the same with and without preload.
SET gpt.batching = off;
SET client_min_messages = warning;
SET jit = off;
CREATE TABLE line AS SELECT 'line ' || i AS body FROM generate_series(1, 40) i;
-- a tokenizer that does not know every letter, for texts that fail
SELECT gpt_import_tokenizer('digits', '{"model": {"type": "WordLevel", "vocab": {"l": 0, "i": 1, "n": 2, "e": 3, " ": 4, "0": 5, "1": 6, "2": 7, "3": 8, "4": 9, "5": 10, "6": 11, "7": 12, "8": 13, "9": 14, "<|endoftext|>": 15}}, "added_tokens": [{"id": 15, "content": "<|endoftext|>", "special": true}], "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}, "decoder": {"type": "Fuse"}}');
SELECT gpt_train('counted', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "digits", "batch_size": 4, "steps": 2, "seed": 1}') AS job \gset
SELECT gpt_wait(:job);
CREATE VIEW counts AS SELECT calls, rows, errors, tokens_in, tokens_out, batches, first_tokens, prefix_hits + prefix_misses AS texts,
	image_hits + image_misses AS loads, seconds > 0 AS seconds, first_token_seconds > 0 AS first_token_seconds FROM gpt_stat_models WHERE model = 'counted';

-- a version that nobody called has zeros
SELECT calls, rows, seconds, last_used_at, stats_reset < now() AS reset FROM gpt_stat_models WHERE model = 'counted';

-- one text; an array, where NULL is no text and one element fails
SELECT gpt_score('counted', 'line 12') > 0 AS scored;
SELECT * FROM counts;
SELECT last_used_at >= stats_reset AS used FROM gpt_stat_models WHERE model = 'counted';
SET client_min_messages = error;
SELECT array_length(gpt_score('counted', ARRAY['line 1', NULL, 'x', 'line 2']), 1);
SET client_min_messages = warning;
SELECT * FROM counts;

-- an alone text that fails, caught or not; a call of the wrong kind; not an argument that is wrong for any model
SELECT gpt_score('counted', 'x');
DO $$ BEGIN PERFORM gpt_score('counted', 'x'); EXCEPTION WHEN OTHERS THEN NULL; END $$;
SELECT gpt_classify('counted', 'line');
SELECT gpt_score('counted', 'line', 'none');
SELECT * FROM counts;

-- generation, of one text and as a stream; a transaction that is rolled back counts too
SELECT gpt_stat_reset();
SELECT * FROM counts;
BEGIN;
SELECT length(gpt_generate('counted', 'line', 3, temperature => 0, stop => '{}')) AS generated \gset
SELECT calls, rows, tokens_in, first_tokens, tokens_out = :generated AS tokens_out FROM counts;
ROLLBACK;
SELECT count(*) AS streamed FROM gpt_stream('counted', 'line', 3, temperature => 0) \gset
SELECT calls, rows, tokens_in, first_tokens, tokens_out = :generated + :streamed AS tokens_out, batches, texts FROM counts;
SELECT gpt_stat_reset();
SELECT array_length(gpt_generate('counted', ARRAY['line', 'line 1'], 2, beams => 2), 1);
SELECT calls, rows, tokens_in, first_tokens, batches, texts FROM counts;

-- what texts share is computed once
SELECT gpt_stat_reset();
SELECT gpt_logprob('counted', 'line 1', ' 2', false) < 0, gpt_logprob('counted', 'line 1', ' 3', false) < 0;
SELECT prefix_hits, prefix_misses, prefix_tokens, tokens_in, tokens_computed FROM gpt_stat_models WHERE model = 'counted';

-- batched rows are calls as others; the call that fails is evaluated again, and counts once
SELECT gpt_stat_reset();
SELECT sum(length(body)), count(gpt_score('counted', body)) FROM line;
SELECT * FROM counts;
SELECT gpt_stat_reset();
SET gpt.batching = on;
CREATE TABLE scored AS SELECT gpt_score('counted', body) AS score FROM line;
SELECT * FROM counts;
SELECT gpt_score('counted', body) FROM (VALUES ('line'), ('x')) v(body);
SELECT calls, rows, errors FROM counts;
SET gpt.batching = off;

-- other functions
SELECT gpt_stat_reset();
SELECT gpt_perplexity('counted', body) > 0 AS perplexity, gpt_choose('counted', 'line', ARRAY[' 1', ' 2']) IS NOT NULL AS choice FROM line WHERE body = 'line 7' GROUP BY body;
SELECT calls, rows FROM counts;
SELECT count(*) FROM gpt_embed('counted', ARRAY['line 1', 'line 2']);
SELECT calls, rows FROM counts;
SELECT count(*) > 0 AS evaluated FROM gpt_evaluate('counted', 'SELECT body FROM line');
SELECT calls, rows FROM counts;

-- looking inside counts: a pass for attention and the lens, the points of a path for gradients; an error in between too
SELECT gpt_stat_reset();
SELECT count(*) > 0 AS rows FROM gpt_attention('counted', 'line 1', 1);
SELECT count(*) > 0 AS rows FROM gpt_logit_lens('counted', 'line 1');
SELECT gpt_attention('counted', 'line 1', 100);
SELECT calls, rows, errors, tokens_in, tokens_computed, batches, seconds > 0 AS seconds FROM gpt_stat_models WHERE model = 'counted';
SELECT gpt_stat_reset();
SELECT count(*) > 0 AS rows FROM gpt_explain('counted', 'line', target => ' 1');
SELECT calls, rows, errors, tokens_in, tokens_computed > 5 * tokens_in AS points FROM gpt_stat_models WHERE model = 'counted';

-- EXPLAIN ANALYZE says what the statement cost, after the plan; with batching too, and where a function of the user makes the calls
CREATE FUNCTION explained(options text, query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	inside boolean := false;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF%s) %s', options, query) LOOP
		FOR line IN SELECT regexp_split_to_table(line, E'\n') LOOP
			inside := inside OR line ~ '^[ <"]*gpt';
			IF inside THEN
				RETURN NEXT regexp_replace(line, '[0-9.]+(?= ms|<?/?Execution|,?$)', CASE WHEN line ~ 'Execution' THEN 'N' ELSE '\&' END);
			END IF;
		END LOOP;
	END LOOP;
END $$;
CREATE FUNCTION score(body text) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT gpt_score('counted', body)); END $$;
SET gpt.batching = on;
SET max_parallel_workers_per_gather = 0;
SELECT explained('', $$SELECT gpt_score('counted', body) FROM line$$);
SET gpt.batching = off;
SELECT explained('', $$SELECT score(body) FROM line$$);
SELECT explained(', FORMAT JSON', $$SELECT gpt_score('counted', ARRAY['line 1', 'line 2'])$$);
SELECT explained(', FORMAT YAML', $$SELECT gpt_score('counted', ARRAY['line 1', 'line 2'])$$);
SELECT explained(', FORMAT XML', $$SELECT gpt_score('counted', ARRAY['line 1', 'line 2'])$$);
SELECT count(*) FROM explained(', TIMING ON', $$SELECT gpt_score('counted', 'line')$$) l WHERE l ~ '^  Tokens per Second: [0-9]+$';
-- no more than the statement; nothing where it calls no model, or is not run
SELECT explained('', $$SELECT explained('', 'SELECT gpt_score(''counted'', ''line 1'')') || gpt_score('counted', 'line 2')$$);
SELECT explained('', $$SELECT count(*) FROM line$$);
EXPLAIN (COSTS OFF) SELECT gpt_score('counted', 'line');
EXPLAIN (ANALYZE) SELECT gpt_score('counted', 'x');
SELECT explained('', $$SELECT gpt_score('counted', 'line')$$);
RESET max_parallel_workers_per_gather;
DROP FUNCTION explained, score;

-- a rename keeps them, a copy begins anew, a model that is dropped has none
SELECT gpt_rename_model('counted', 'renamed');
SELECT gpt_copy_model('renamed', 'copied');
SELECT model, calls FROM gpt_stat_models WHERE model IN ('counted', 'renamed', 'copied') ORDER BY model;
SELECT gpt_drop_model('renamed');
SELECT gpt_rename_model('copied', 'renamed');
SELECT model, calls FROM gpt_stat_models WHERE model IN ('counted', 'renamed', 'copied') ORDER BY model;
-- an older version shows where it was called
SELECT gpt_finetune('renamed', 'SELECT body FROM line', '{"steps": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_score('renamed@1', 'line') > 0;
SELECT version, calls FROM gpt_stat_models WHERE model = 'renamed' ORDER BY version;

-- who sees them
CREATE ROLE regress_stats_reader;
SET ROLE regress_stats_reader;
SELECT count(*) FROM gpt_stat_models WHERE model = 'renamed';
SELECT gpt_stat_reset();
RESET ROLE;
SELECT gpt_grant('renamed', 'regress_stats_reader');
SET ROLE regress_stats_reader;
SELECT count(*) FROM gpt_stat_models WHERE model = 'renamed';
RESET ROLE;
SELECT gpt_revoke('renamed', 'regress_stats_reader');
GRANT pg_monitor TO regress_stats_reader;
SET ROLE regress_stats_reader;
SELECT version, calls FROM gpt_stat_models WHERE model = 'renamed' ORDER BY version;
SELECT gpt_stat_reset();
RESET ROLE;
GRANT EXECUTE ON FUNCTION gpt_stat_reset TO regress_stats_reader;
SET ROLE regress_stats_reader;
SELECT gpt_stat_reset();
RESET ROLE;
SELECT version, calls FROM gpt_stat_models WHERE model = 'renamed' ORDER BY version;

DROP OWNED BY regress_stats_reader;
DROP ROLE regress_stats_reader;
SELECT gpt_drop_model('renamed');
DROP VIEW counts;
DROP TABLE line, scored;
SELECT gpt_drop_tokenizer('digits');
