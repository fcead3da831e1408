-- Beam search in gpt_generate: the most probable text, the same for every way to call it
\pset null NULL
SET gpt.batching = off;
CREATE TABLE said AS SELECT i AS id, 'line ' || i || ' says that ' || i % 7 || ' is ' || CASE WHEN i % 3 = 0 THEN 'odd' ELSE 'even' END AS body FROM generate_series(1, 400) i;
SELECT gpt_train('beams', 'SELECT body FROM said', '{"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 200, "threads": 1, "seed": 4, "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);

-- without a penalty it finds texts of a higher probability than greedy choice, and ends them where the model does
CREATE TABLE found AS SELECT id, 'line ' || id AS prompt, gpt_generate('beams', 'line ' || id, 40, temperature => 0) AS greedy,
	gpt_generate('beams', 'line ' || id, 40, beams => 5, length_penalty => 0) AS searched FROM said WHERE id % 20 = 0;
SELECT sum(gpt_logprob('beams', prompt, searched, length(searched) < 40)) > sum(gpt_logprob('beams', prompt, greedy, length(greedy) < 40)) + 1 AS higher, count(*) FROM found;

-- nothing is drawn; NULL is the default; positions of before are as before
SELECT bool_and(gpt_generate('beams', prompt, 40, beams => 5, length_penalty => 0, seed => id, temperature => 3) = searched) AS same FROM found;
SELECT gpt_generate('beams', 'line', beams => 3) = gpt_generate('beams', 'line', 64, 0.8, 0, 1, 0, 1, NULL, NULL, 3, NULL) AS defaults,
	gpt_generate('beams', 'line', 20, seed => 5) = gpt_generate('beams', 'line', 20, 0.8, 0, 1, 0, 1, NULL, 5) AS before,
	gpt_generate('beams', 'line', 20, beams => 1, length_penalty => 5, seed => 5) = gpt_generate('beams', 'line', 20, seed => 5, beams => NULL) AS one_beam;

-- a larger penalty gives longer texts; a stop string ends a text and is left out
SELECT sum(length(gpt_generate('beams', prompt, 40, beams => 5, length_penalty => 3))) > sum(length(searched)) AS longer FROM found;
SELECT bool_and(gpt_generate('beams', prompt, 40, beams => 5, stop => '{s that}') !~ 's that') AS stopped FROM found;

-- many prompts together, beside others, as rows of a query: the same texts
SELECT gpt_generate('beams', array_agg(prompt ORDER BY id) || NULL, 40, beams => 5, length_penalty => 0) = array_agg(searched ORDER BY id) || NULL AS as_array FROM found;
SET gpt.batching = on;
CREATE TABLE batched AS SELECT id, gpt_generate('beams', 'line ' || id, 40, beams => CASE WHEN id % 20 = 0 THEN 5 ELSE 1 END, length_penalty => 0, seed => 1) AS text FROM said WHERE id % 5 = 0;
SET gpt.batching = off;
SELECT count(*), bool_and(text = searched) AS same FROM batched JOIN found USING (id);
-- beyond the context
SELECT gpt_generate('beams', repeat('long ', 20), 8, beams => 3) = gpt_generate('beams', 'another beginning ' || repeat('long ', 20), 8, beams => 3) AS same;

-- errors
SELECT gpt_generate('beams', 'x', beams => 0);
SELECT gpt_generate('beams', 'x', beams => 65);
SELECT gpt_generate('beams', 'x', beams => 2, length_penalty => -0.5);
SELECT gpt_generate('beams', 'x', beams => 2, length_penalty => 'NaN');
SELECT gpt_generate('beams', 'x', beams => 2, top_k => 5);
SELECT gpt_generate('beams', 'x', beams => 2, top_p => 0.9);
SELECT gpt_generate('beams', 'x', beams => 2, min_p => 0.1);
SET gpt.max_memory = '16MB';
\set VERBOSITY terse
SELECT gpt_generate('beams', 'x', 1000000, beams => 64);
\set VERBOSITY default
-- rule: the error names a number of beams that fits
SET gpt.max_memory = '2MB';
DO $$
DECLARE
	hint text;
BEGIN
	PERFORM gpt_generate('beams', 'x', 200, beams => 64);
EXCEPTION WHEN configuration_limit_exceeded THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%', regexp_replace(hint, '\d+', 'n');
	PERFORM gpt_generate('beams', 'x', 200, beams => substring(hint, '\d+')::int);
END $$;
RESET gpt.max_memory;
SET statement_timeout = '100ms';
SELECT gpt_generate('beams', array_fill('line'::text, ARRAY[100000]), 60, beams => 4);
RESET statement_timeout;
SELECT gpt_generate('beams', 'line 7', 5, beams => 4) IS NOT NULL AS goes_on;
SELECT gpt_drop_model('beams');
DROP TABLE said, found, batched;
