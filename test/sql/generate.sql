-- generation: arguments, in the order of the signature, and what they may be
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('writer', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- null model or prompt gives null
SELECT gpt_generate(NULL, 'x') IS NULL AS model, gpt_generate('writer', NULL) IS NULL AS prompt;

-- null in a tuning parameter is its default
SELECT gpt_generate('writer', 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 7) =
	gpt_generate('writer', 'x', 64, 0.8, 0, 1, 0, 1, NULL, 7) AS same;

-- ranges
SELECT gpt_generate('writer', 'x', max_tokens => 0);
SELECT gpt_generate('writer', 'x', max_tokens => 1000001);
SELECT gpt_generate('writer', 'x', temperature => -0.1);
SELECT gpt_generate('writer', 'x', temperature => 'NaN');
SELECT gpt_generate('writer', 'x', temperature => 'Infinity');
SELECT gpt_generate('writer', 'x', top_k => -1);
SELECT gpt_generate('writer', 'x', top_p => 0);
SELECT gpt_generate('writer', 'x', top_p => 1.5);
SELECT gpt_generate('writer', 'x', min_p => 2);
SELECT gpt_generate('writer', 'x', repetition_penalty => 0);
SELECT gpt_generate('writer', 'x', stop => ARRAY['a', NULL]);
SELECT gpt_generate('writer', 'x', stop => ARRAY['a', '']);

-- one stop or several: literals, values, and parameters without a type
SELECT gpt_generate('writer', 'x', 40, 2, seed => 1, stop => array_to_string(ARRAY['e'], '')) = text AS text,
	gpt_generate('writer', 'x', 40, 2, seed => 1, stop => 'e'::varchar) = text AS varchar,
	gpt_generate('writer', 'x', 40, 2, seed => 1, stop => ARRAY['e']::varchar[]) = text AS varchars,
	gpt_generate('writer', 'x', 40, 2, seed => 1, stop => 'e') = text AS literal,
	gpt_generate('writer', 'x', 40, 2, seed => 1, stop => '{e}') = text AS literals, position('e' IN text) AS at,
	position('e' IN gpt_generate('writer', 'x', 40, 2, seed => 1)) > 0 AS has_it
FROM gpt_generate('writer', 'x', 40, 2, seed => 1, stop => ARRAY['e']) AS text;
PREPARE stopped AS SELECT gpt_generate($1, $2, $3, $4, stop => $5, seed => $6) = gpt_generate('writer', 'x', 40, 2, stop => 'e', seed => 1) AS same;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'stopped';
EXECUTE stopped('writer', 'x', 40, 2, 'e', 1);
EXECUTE stopped('writer', 'x', 40, 2, ARRAY['e'], 1);
EXECUTE stopped('writer', 'x', 40, 2, '{e}', 1);
SELECT gpt_generate('writer', 'x', stop => '{');
SELECT gpt_generate('writer', 'x', stop => '');

-- models that are not there
SELECT gpt_generate('', 'x');
SELECT gpt_generate('reader', 'x');
SELECT gpt_generate('writer@2', 'x');
SELECT gpt_generate('writer@', 'x');
SELECT gpt_generate('writer@0', 'x');
SELECT gpt_generate('writer@1x', 'x');
SELECT gpt_generate('writer@99999999999', 'x');
SELECT gpt_generate(repeat('w', 64), 'x');

-- a prompt longer than the context keeps its end, and says so once a statement
SELECT count(gpt_generate('writer', repeat('long ', 20), 2, seed => i)) FROM generate_series(1, 3) i;
SELECT gpt_generate('writer', repeat('long ', 20), 8, seed => 1) =
	gpt_generate('writer', 'another beginning ' || repeat('long ', 20), 8, seed => 1) AS same;

-- interrupts
SET statement_timeout = '200ms';
SELECT gpt_generate('writer', 'x', 1000000, stop => ARRAY['no such text']) FROM generate_series(1, 1000000);
RESET statement_timeout;

-- in a transaction that reads only
BEGIN READ ONLY;
SELECT length(gpt_generate('writer', 'line', 4, seed => 1)) <= 4 AS short;
COMMIT;

SELECT gpt_drop_model('writer');
DROP TABLE line;
