-- many texts in one call: arrays of them, and the aggregate
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' || repeat(' more', i % 9) AS body FROM generate_series(1, 200) i;
SELECT gpt_train('many', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('sorted', $$SELECT body AS text, CASE WHEN id % 2 = 0 THEN 'even' ELSE 'odd' END AS label FROM line$$,
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 20, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
-- a tokenizer of characters, which does not know every text
SELECT gpt_import_tokenizer('abc', '{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "<|endoftext|>": 3}}, "added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": true}], "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}, "decoder": {"type": "Fuse"}}');

-- NULL model or array gives NULL, an empty array an empty one
SELECT gpt_score(NULL, ARRAY['x']) IS NULL AS model, gpt_score('many', NULL::text[]) IS NULL AS input, gpt_score('many', '{}'::text[]) AS empty,
	gpt_generate('many', NULL::text[]) IS NULL AS prompt, gpt_generate('many', '{}'::text[]) AS no_prompts,
	gpt_classify('sorted', NULL::text[]) IS NULL AS classify, gpt_classify('sorted', '{}'::text[]) AS no_texts;
SELECT count(*) FROM gpt_embed('many', NULL::text[]);
SELECT count(*) FROM gpt_embed('many', '{}'::text[]);

-- elements: NULL gives NULL; shape and bounds stay
SELECT array_dims(s) AS dims, s[3] IS NULL AS null_element, s[2] IS NULL AS empty_text, s[1] = gpt_score('many', 'a') AS same
FROM (SELECT gpt_score('many', ARRAY['a', '', NULL]) AS s) x;
SELECT array_dims(s) AS dims, s[3][1] = gpt_score('many', 'b') AS same, s[4][0] IS NULL AS null_element
FROM (SELECT gpt_score('many', '[3:4][0:1]={{a,b},{NULL,c}}'::text[]) AS s) x;
SELECT array_dims(g) AS dims, g[6] IS NULL AS null_element, g[5] = gpt_generate('many', 'a', 5, seed => 1) AS same
FROM (SELECT gpt_generate('many', '[5:6]={a,NULL}'::text[], 5, seed => 1) AS g) x;
SELECT n, e IS NULL AS is_null, e = gpt_embed('many', 'a') AS same
FROM ROWS FROM (unnest(ARRAY[1, 2, 3]), gpt_embed('many', ARRAY['a', NULL, ''])) AS t (n, e);

-- each result is that of the single call, bit for bit
CREATE TABLE single AS SELECT id, body, gpt_score('many', body) AS score, gpt_score('many', body, 'max_surprise') AS surprise,
	gpt_generate('many', left(body, 12), 20, seed => 5) AS text, gpt_generate('many', left(body, 12), 40, temperature => 0, stop => '{e,xyz}') AS greedy,
	gpt_embed('many', body, 'last') AS embedding, gpt_classify('sorted', body) AS label FROM line;
SELECT (SELECT array_agg(score ORDER BY id) FROM single) = gpt_score('many', array_agg(body ORDER BY id)) AS scores,
	(SELECT array_agg(surprise ORDER BY id) FROM single) = gpt_score('many', array_agg(body ORDER BY id), 'max_surprise') AS surprises,
	(SELECT array_agg(text ORDER BY id) FROM single) = gpt_generate('many', array_agg(left(body, 12) ORDER BY id), 20, seed => 5) AS texts,
	(SELECT array_agg(greedy ORDER BY id) FROM single) =
		gpt_generate('many', array_agg(left(body, 12) ORDER BY id), 40, temperature => 0, stop => '{e,xyz}') AS greedy,
	(SELECT array_agg(label ORDER BY id) FROM single) = gpt_classify('sorted', array_agg(body ORDER BY id)) AS labels
FROM line;
SELECT bool_and(s.embedding = e.embedding) AS embeddings, count(*)
FROM single s JOIN gpt_embed('many', (SELECT array_agg(body ORDER BY id) FROM line), 'last') WITH ORDINALITY AS e (embedding, id) USING (id);

-- also of more than are read at once
SELECT count(*), bool_and(x.score = s.score) AS same
FROM unnest(gpt_score('many', (SELECT array_agg(body ORDER BY n, id) FROM line, generate_series(1, 13) n))) WITH ORDINALITY AS x (score, i)
JOIN single s ON s.id = (i - 1) % 200 + 1;

-- without a seed each element draws its own
SELECT count(DISTINCT t) > 5 AS differ FROM unnest(gpt_generate('many', array_fill('same'::text, ARRAY[20]), 30)) t;

-- a bad element has no result, says why, and spoils no other
SELECT gpt_train('letters', 'SELECT repeat(''abc'', 20)::text AS body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "abc", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT s[1] = gpt_score('letters', 'ab') AS first, s[2] IS NULL AS bad, s[3] = gpt_score('letters', 'cab') AS third
FROM (SELECT gpt_score('letters', ARRAY['ab', 'xyz', 'cab']) AS s OFFSET 0) x;
SELECT g[1] IS NULL AS bad, g[2] = gpt_generate('letters', 'ab', 4, seed => 1) AS second
FROM (SELECT gpt_generate('letters', ARRAY['xyz', 'ab'], 4, seed => 1) AS g OFFSET 0) x;

SELECT g[1] IS NULL AS too_long, g[2] = gpt_generate('many', 'a', 3, seed => 1) AS second
FROM (SELECT gpt_generate('many', ARRAY[repeat('x', 67108865), 'a'], 3, seed => 1) AS g OFFSET 0) x;

-- errors of arguments, of the model and of memory
SELECT gpt_generate('many', ARRAY['x'], max_tokens => 0);
SELECT gpt_score('many', ARRAY['x'], 'perplex');
SELECT gpt_score('nobody', ARRAY['x']);
SELECT gpt_score('sorted', ARRAY['x']);
SELECT gpt_classify('many', ARRAY['x']);
SET gpt.max_memory = '1MB';
SELECT array_length(gpt_score('many', array_agg(body)), 1) FROM line;
RESET gpt.max_memory;

-- the aggregate
SELECT gpt_perplexity('many', body) = exp(-sum(gpt_score('many', body, 'logprob') ORDER BY id) / sum(gpt_score('many', body, 'tokens'))) AS same
FROM (SELECT * FROM line ORDER BY id) l;
SELECT gpt_perplexity('many', NULL) IS NULL AS nulls, gpt_perplexity('many', '') IS NULL AS empty, gpt_perplexity(NULL, 'x') IS NULL AS model;
SELECT gpt_perplexity('many', body) IS NULL AS none FROM line WHERE false;
SELECT gpt_perplexity('many', CASE WHEN id % 2 = 0 THEN body END) = (SELECT gpt_perplexity('many', body) FROM line WHERE id % 2 = 0) AS nulls_passed_over FROM line;
SELECT id % 3 AS part, gpt_perplexity('many', body) > 0 AS good FROM line GROUP BY 1 ORDER BY 1;
SELECT gpt_perplexity(CASE WHEN id = 1 THEN 'many' ELSE 'letters' END, 'a') FROM line;
SELECT gpt_perplexity('letters', body) FROM line;

-- parallel workers: partial aggregates
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
ALTER TABLE line SET (parallel_workers = 2);
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT gpt_perplexity('many', body) AS alone FROM line \gset
SET LOCAL max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT gpt_perplexity('many', body) FROM line;
SELECT abs(gpt_perplexity('many', body) / :alone - 1) < 1e-12 AS same FROM line;
ROLLBACK;

-- interrupts
SET statement_timeout = '200ms';
SELECT gpt_score('many', array_fill(repeat('text ', 1000), ARRAY[100000]));
SELECT gpt_generate('many', array_fill('x'::text, ARRAY[100]), 1000000, temperature => 0);
RESET statement_timeout;
SELECT gpt_score('many', ARRAY['a']) = ARRAY[gpt_score('many', 'a')] AS works_after;

SELECT gpt_drop_model('many'), gpt_drop_model('sorted'), gpt_drop_model('letters');
SELECT gpt_drop_tokenizer('abc');
DROP TABLE line, single;
