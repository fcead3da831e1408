-- prompts that end within a token are continued as their bytes are, not as their tokens
SET gpt.batching = off;
SET client_min_messages = warning;
CREATE TABLE remark AS SELECT (array['The phone', 'This lamp', 'A red kettle'])[1 + i % 3] || (array[' works very well', ' broke after a week'])[1 + i % 2] || ' ' || i % 7 AS body
	FROM generate_series(1, 210) i;
SELECT gpt_train('heals', 'SELECT body FROM remark',
	'{"layers": 1, "heads": 2, "channels": 32, "context": 32, "vocabulary": 300, "steps": 150, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');

-- every cut of a text goes on as the text does
SELECT count(*) AS cuts, count(*) FILTER (WHERE cut || found ~ '^(The phone|This lamp|A red kettle) (works very well|broke after a week) [0-6]$') AS texts
FROM (SELECT DISTINCT left(body, n) AS cut FROM remark, generate_series(1, 40) n WHERE n < length(body)) c,
	LATERAL (SELECT gpt_generate('heals', cut, 30, temperature => 0) AS found) g;
SELECT count(*) FILTER (WHERE found = '') AS empty, count(*) FILTER (WHERE 'The phone ' || found ~ '^The phone (works|broke)') > 95 AS words
FROM generate_series(1, 100) s, LATERAL (SELECT gpt_generate('heals', 'The phone ', 30, temperature => 1, seed => s) AS found) g;

-- the token that is drawn has the bytes of the prompt's end, which are not given out
SELECT (s).position, (s).text IN ('works', 'broke') AS word, gpt_detokenize('heals', ARRAY[(s).token]) = ' ' || (s).text AS token
FROM (SELECT gpt_stream('heals', 'The phone ', 1, temperature => 0) AS s) x;
SELECT string_agg((s).text, '' ORDER BY (s).position) = gpt_generate('heals', 'This la', 20, seed => 3) AS stream_is_the_same
FROM (SELECT gpt_stream('heals', 'This la', 20, seed => 3) AS s) x;
SELECT gpt_generate('heals', 'This la', 20, temperature => 0, stop => '{mp}') = '' AS stops_in_it, gpt_generate('heals', 'The phone ', 20, temperature => 0, top_k => 1) = gpt_generate('heals', 'The phone ', 20, temperature => 0) AS top_k;

-- the same alone, in an array and with batching
CREATE TABLE cut AS SELECT row_number() OVER () AS id, left(body, n) AS prompt FROM remark, generate_series(1, 20) n WHERE n < length(body) LIMIT 300;
CREATE TABLE alone AS SELECT id, gpt_generate('heals', prompt, 8, temperature => id % 3, repetition_penalty => 1 + 0.2 * (id % 2), seed => id) AS text FROM cut;
SET gpt.batching = on;
CREATE TABLE batched AS SELECT id, gpt_generate('heals', prompt, 8, temperature => id % 3, repetition_penalty => 1 + 0.2 * (id % 2), seed => id) AS text FROM cut;
SET gpt.batching = off;
SELECT count(*) AS same FROM alone JOIN batched USING (id, text);
SELECT gpt_generate('heals', array_agg(prompt ORDER BY id), 8, seed => 5) = array_agg(gpt_generate('heals', prompt, 8, seed => 5) ORDER BY id) AS array_is_the_same FROM cut;

-- a model that learnt completions takes its prompts as they are: they ended so when it learnt them
SELECT gpt_finetune('heals', $$SELECT 'The phone ' AS prompt, 'rings ' || i % 7 AS completion FROM generate_series(1, 60) i$$,
	'{"into": "completes", "steps": 80, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT (s).text, gpt_detokenize('completes', ARRAY[(s).token]) AS token FROM (SELECT gpt_stream('completes', 'The phone ', 1, temperature => 0) AS s) x;
SELECT gpt_generate('completes', 'The phone ', 20, temperature => 0) ~ '^rings [0-6]$' AS completes;

-- 1,000 cuts of text that people wrote: as often as at the boundaries of its tokens, which an unhealed prompt needs
CREATE TABLE description AS SELECT row_number() OVER (ORDER BY body) AS id, body
	FROM (SELECT DISTINCT description COLLATE "C" AS body FROM pg_description WHERE classoid = 'pg_proc'::regclass AND objoid < 16384 AND length(description) > 12) d;
SELECT gpt_train('words', 'SELECT body FROM description',
	'{"layers": 1, "heads": 4, "channels": 64, "context": 32, "vocabulary": 512, "steps": 150, "batch_size": 16, "learning_rate": 0.01, "validation_fraction": 0, "seed": 1}') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE TABLE token AS SELECT id, number, token FROM description, unnest(gpt_tokenize('words', body)) WITH ORDINALITY t(token, number);
CREATE TABLE place AS
	SELECT 'between tokens' AS kind, body, n FROM (SELECT id, sum(length(bytes)) OVER (PARTITION BY id ORDER BY number)::int AS n
			FROM token JOIN (SELECT token, gpt_detokenize('words', ARRAY[token]) AS bytes FROM (SELECT DISTINCT token FROM token) d) b USING (token)) e JOIN description USING (id)
	WHERE n BETWEEN 4 AND length(body) - 4
	UNION ALL SELECT 'anywhere', body, n FROM description, generate_series(4, length(body) - 4) n;
CREATE TABLE place_drawn AS SELECT kind, body, n
	FROM (SELECT *, row_number() OVER (PARTITION BY kind ORDER BY hashtext(body || n), body, n) AS number FROM place) p WHERE number <= 1000;
SET gpt.batching = on;
CREATE TABLE continued AS SELECT kind, true AS healed, substr(body, n + 1, 3) AS rest, gpt_generate('words', left(body, n), 3, temperature => 0) AS found FROM place_drawn;
UPDATE gpt_version SET task = 'completion' WHERE model = 'words';
INSERT INTO continued SELECT kind, false, substr(body, n + 1, 3), gpt_generate('words', left(body, n), 3, temperature => 0) FROM place_drawn;
SET gpt.batching = off;
SELECT count(*) / 4 AS places, sum(hit) FILTER (WHERE kind = 'anywhere' AND healed) >= sum(hit) FILTER (WHERE kind = 'between tokens' AND NOT healed) AS as_often,
	sum(hit) FILTER (WHERE kind = 'anywhere' AND healed) >= 1.5 * sum(hit) FILTER (WHERE kind = 'anywhere' AND NOT healed) AS more_than_without
FROM (SELECT kind, healed, (left(found, 3) = rest)::int AS hit FROM continued) c;

SELECT gpt_drop_model('heals'), gpt_drop_model('completes'), gpt_drop_model('words');
DROP TABLE remark, cut, alone, batched, description, token, place, place_drawn, continued;
