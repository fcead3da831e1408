-- constrained output: choices, patterns and schemas, and what cannot stand beside them
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
SELECT gpt_train('writer', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE TABLE category AS SELECT unnest(ARRAY['tea', 'coffee', 'teapot', 'Käse']) AS name;

-- every text is one of the choices, of a query too
SELECT count(*) AS wrong FROM generate_series(1, 60) seed
WHERE gpt_generate('writer', 'line ', seed => seed, choices => ARRAY(SELECT name FROM category))
	NOT IN (SELECT name FROM category);
-- all of them occur
SELECT count(DISTINCT gpt_generate('writer', 'line ', seed => seed, temperature => 3,
	choices => ARRAY(SELECT name FROM category))) FROM generate_series(1, 60) seed;
-- a pattern matches as a whole
SELECT count(*) AS wrong FROM generate_series(1, 60) seed,
	gpt_generate('writer', 'line', seed => seed, pattern => '[a-f]{2,}-?\d{1,3}(x|yz)', max_tokens => 6 + seed % 20) AS text
WHERE text !~ '^[a-f]{2,}-?\d{1,3}(x|yz)$';
-- JSON of a schema
SELECT count(*) AS wrong FROM generate_series(1, 60) seed,
	gpt_generate('writer', '', seed => seed, max_tokens => 60 + seed, schema => '{"type": "object", "required": ["n", "s"],
		"properties": {"n": {"type": "integer", "minimum": -3, "maximum": 40}, "s": {"type": "string", "maxLength": 9},
		"t": {"enum": ["a", 1, null]}}}') AS text
WHERE NOT ((text::jsonb ->> 'n')::int BETWEEN -3 AND 40 AND length(text::jsonb ->> 's') <= 9
	AND text::jsonb - 'n' - 's' - 't' = '{}');

-- the same seed gives the same text: alone, in an array, as a stream, as a sample
SELECT gpt_generate('writer', 'line ', seed => 5, pattern => '\d+[a-z]{3}') = text AS same,
	(gpt_generate('writer', ARRAY['x', 'line '], seed => 5, pattern => '\d+[a-z]{3}'))[2] = text AS many,
	(SELECT string_agg(s.text, '') FROM gpt_stream('writer', 'line ', seed => 5, pattern => '\d+[a-z]{3}') s) = text AS stream,
	(SELECT s.text FROM gpt_generate_many('writer', 'line ', 2, seed => 5, pattern => '\d+[a-z]{3}') s LIMIT 1) = text
		AS sample
FROM gpt_generate('writer', 'line ', seed => 5, pattern => '\d+[a-z]{3}') AS text;

-- a space in front is no part of the text, unless the constraint has it
SELECT bool_or(text ~ '^ ') AS spaces FROM generate_series(1, 40) seed,
	gpt_generate('writer', 'line', seed => seed, temperature => 5, choices => '{a,b}') AS text;
SELECT gpt_generate('writer', 'line', seed => 1, choices => ARRAY[' a']) = ' a' AS kept;

-- null is no constraint
SELECT gpt_generate('writer', 'x', 5, seed => 1, choices => NULL, pattern => NULL, schema => NULL)
	= gpt_generate('writer', 'x', 5, seed => 1) AS same;

-- what is wrong is said
SELECT gpt_generate('writer', 'x', choices => '{}');
SELECT gpt_generate('writer', 'x', choices => '{a,NULL}');
SELECT gpt_generate('writer', 'x', pattern => 'a(?=b)');
SELECT gpt_generate('writer', 'x', pattern => '(a{1000}){1000}');
SELECT gpt_generate('writer', 'x', pattern => '[^\x01-\x{10ffff}]');
SELECT gpt_generate('writer', 'x', schema => '{"type": "string", "contains": 1}');
SELECT gpt_generate('writer', 'x', schema => '[1]');
SELECT gpt_generate('writer', 'x', 20, pattern => '\d{21}');
SELECT gpt_generate('writer', 'x', choices => '{a}', pattern => 'a');
SELECT gpt_generate('writer', 'x', choices => '{a}', stop => 'a');
SELECT gpt_generate('writer', 'x', pattern => 'a', banned => 'b');
SELECT gpt_generate('writer', 'x', schema => '{}', beams => 2);

-- errors of elements are warnings
SELECT gpt_generate('writer', ARRAY['x', NULL], 20, pattern => '\d{21}');
SELECT gpt_drop_model('writer');
DROP TABLE line, category;
