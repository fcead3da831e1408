-- test/tap/memory.sql - a million elements, or one that is large, need no more than gpt.max_memory, or an error says what they need.
-- One schema is enough: the file tests memory, and others call the same functions in the second schema.
SELECT no_plan();

CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body, i % 2 = 0 AS label FROM generate_series(1, 100) i;
SELECT gpt_train('tiny', 'SELECT body FROM line', '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "steps": 1, "batch_size": 1}') AS tiny,
	gpt_train('kinds', 'SELECT body, label FROM line', '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "steps": 1, "batch_size": 1}') AS kinds \gset
SELECT is(gpt_wait(:tiny, '300 s') || ' ' || gpt_wait(:kinds, '300 s'), 'succeeded succeeded', 'models are trained');

-- megabytes that this session has had at once
CREATE FUNCTION peak() RETURNS bigint LANGUAGE sql AS $$SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::bigint / 1024$$;
-- a statement whose result is right, and by how much it raised that; no plan is compiled, and arguments are no more than 16 MB
CREATE FUNCTION fits(statement text, wanted text, most bigint, name text) RETURNS SETOF text LANGUAGE plpgsql SET jit = off AS $$
DECLARE
	before bigint = peak();
	got text;
BEGIN
	EXECUTE statement INTO got;
	RETURN NEXT is(got, wanted, name);
	RETURN NEXT ok(peak() - before <= most + 16, format('in %s MB, at most %s of its own and 16 of arguments', peak() - before, most));
END $$;
CREATE FUNCTION texts(n integer) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$SELECT array_fill('a'::text, ARRAY[n])$$;
-- a million elements, of which 20,000 are texts
CREATE FUNCTION million() RETURNS text[] LANGUAGE sql AS $$SELECT texts(20000) || array_fill(NULL::text, ARRAY[980000])$$;

SET gpt.max_memory = '48MB';
SELECT * FROM fits($$SELECT array_length(gpt_score('tiny', texts(1000000)), 1)$$, '1000000', 48, 'a million texts are scored');
SELECT * FROM fits($$SELECT array_length(gpt_generate('tiny', million(), 1), 1)$$, '1000000', 48, 'a million elements are continued');
SELECT * FROM fits($$SELECT count(*) FROM (SELECT gpt_embed('tiny', million())) e$$, '1000000', 48, 'a million elements have rows of embeddings');
SELECT * FROM fits($$SELECT count(e) FROM gpt_embed('tiny', million()) e$$, '20000', 48, 'the same as a table');
SELECT * FROM fits($$SELECT gpt_choose('tiny', 'x', million())$$, 'a', 48, 'one of a million is chosen');
SELECT * FROM fits($$SELECT length(gpt_detokenize('tiny', array_fill(97, ARRAY[1000000])))$$, '1000000', 48, 'a million tokens become a text');
SELECT * FROM fits($$SELECT array_length(gpt_tokenize('tiny', repeat('a', 1000000)), 1)$$, '1000000', 48, 'a text becomes a million tokens');
SELECT * FROM fits($$SELECT gpt_perplexity('tiny', 'a') > 0 FROM generate_series(1, 20000)$$, 'true', 48, 'the perplexity of many rows');
SET gpt.max_memory = '128MB';
SELECT * FROM fits($$SELECT array_length(gpt_classify('kinds', million()), 1)$$, '1000000', 128, 'a million elements are classified');
SELECT is((SELECT count(*) FROM (SELECT gpt_embed('tiny', texts(5000)) LIMIT 3) e), 3::bigint, 'who wants three rows gets three');

-- too much is an error that says how much, also where an element is to blame
CREATE FUNCTION too_much(statement text, name text) RETURNS SETOF text LANGUAGE sql AS $$SELECT throws_like(statement, 'memory required is % MB, gpt.max_memory is % MB', name)$$;
SET gpt.max_memory = '8MB';
SELECT too_much($$SELECT gpt_generate('tiny', million(), 1)$$, 'continuations that are too many');
SET gpt.max_memory = '12MB';
SELECT too_much($$SELECT gpt_score('tiny', texts(1000000))$$, 'scores that are too many');
SELECT too_much($$SELECT gpt_score('tiny', ARRAY['a', repeat('a', 4000000)])$$, 'an element that is too large to score');
SELECT too_much($$SELECT gpt_generate('tiny', ARRAY['a', repeat('a', 4000000)], 1)$$, 'one that is too large to continue');
SELECT too_much($$SELECT count(*) FROM gpt_embed('tiny', ARRAY['a', repeat('a', 4000000)])$$, 'one that is too large to embed');
SELECT too_much($$SELECT gpt_score('tiny', repeat('a', 4000000))$$, 'a text that is too large to score');
SELECT too_much($$SELECT gpt_tokenize('tiny', repeat('a', 2000000))$$, 'a text with too many tokens');
SELECT too_much($$SELECT gpt_detokenize('tiny', array_fill(97, ARRAY[3000000]))$$, 'tokens with too much text');
SELECT too_much($$SELECT gpt_generate('tiny', texts(100), stop => ARRAY[repeat('b', 100000)])$$, 'stop texts that are too long for many prompts');
SELECT too_much($$SELECT gpt_import_tokenizer('x', '[' || repeat('1,', 300000) || '1]')$$, 'a tokenizer of too many values');

-- with gpt.batching a row fails when it is wanted, as it does without
LOAD 'gpt';
CREATE TABLE large AS SELECT CASE WHEN i = 5 THEN repeat('a', 4000000) ELSE 'a' END AS body FROM generate_series(1, 10) i;
CREATE FUNCTION scored(n integer) RETURNS integer LANGUAGE plpgsql SET gpt.batching = on AS $$
DECLARE
	score CURSOR FOR SELECT gpt_score('tiny', body) FROM large;
BEGIN
	OPEN score;
	FOR i IN 1 .. n LOOP
		MOVE score;
	END LOOP;
	RETURN n;
END $$;
SELECT is(scored(4), 4, 'rows before one that is too large have their scores');
SELECT too_much('SELECT scored(5)', 'it has none');
RESET gpt.max_memory;

DROP FUNCTION scored, too_much, million, texts, fits, peak;
DROP TABLE line, large;
SELECT gpt_drop_model('tiny'), gpt_drop_model('kinds');
SELECT * FROM finish();
