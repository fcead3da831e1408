-- test/tap/constrained.sql - constraints that differ by row, calls together and alone, conversations, and what is kept of constraints
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only on
SELECT plan(15);

CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' of the text' AS body, ARRAY['a' || i, 'b' || i, 'abc'] AS options,
	('[{"role": "user", "content": "line ' || i || '"}, {"role": "assistant", "content": "text ' || i || '"}]')::jsonb AS messages
FROM generate_series(1, 60) i;
SELECT gpt_train('m', 'SELECT messages FROM line', '{"layers": 1, "heads": 1, "channels": 16, "context": 64, "tokenizer": "bytes", "steps": 3,
	"batch_size": 8, "chat_template": "chatml"}') AS job \gset
SELECT gpt_wait(:job, '300 s') \g /dev/null

-- a row's own constraint, with rows together and alone
CREATE TYPE offer AS (name varchar(8), price numeric(6, 2), day date);
CREATE DOMAIN even AS integer CHECK (VALUE BETWEEN 0 AND 99) CHECK (VALUE % 2 = 0);
CREATE TEMP TABLE together AS SELECT id, gpt_generate('m', body, seed => id, choices => options) AS choice,
	gpt_generate('m', body, 20, seed => id, pattern => '[a-z]{3,9}\d') AS pattern,
	gpt_generate_as('m', body, NULL::date, 20, 1, id) AS day, gpt_extract('m', body, NULL::offer, 60, 1, id) AS offer FROM line;
SET gpt.batching = off;
CREATE TEMP TABLE alone AS SELECT id, gpt_generate('m', body, seed => id, choices => options) AS choice,
	gpt_generate('m', body, 20, seed => id, pattern => '[a-z]{3,9}\d') AS pattern,
	gpt_generate_as('m', body, NULL::date, 20, 1, id) AS day, gpt_extract('m', body, NULL::offer, 60, 1, id) AS offer FROM line;
SET gpt.on_error = 'null';
CREATE TEMP TABLE alone_even AS SELECT gpt_generate_as('m', body, NULL::even, 20, 1, id) AS v FROM line;
RESET gpt.batching;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END$$;
SELECT is(count(*)::int, 60, 'each row has a choice of its own') FROM together JOIN line USING (id) WHERE choice = ANY (options);
SELECT is_empty('SELECT * FROM together EXCEPT SELECT * FROM alone', 'rows together have the texts of rows alone');
SELECT is(count(*)::int, 60, 'all match the pattern') FROM together WHERE pattern ~ '^[a-z]{3,9}\d$';

SELECT results_eq($$SELECT count(v), sum(v % 2) FROM (SELECT gpt_generate_as('m', body, NULL::even, 20, 1, id) AS v FROM line OFFSET 0) s$$,
	$$SELECT count(v), 0::bigint FROM alone_even$$, 'a value that breaks a check is drawn again, as alone');
SELECT matches((SELECT string_agg(p, ' ') FROM plan_of($$SELECT gpt_generate_as('m', body, NULL::date) FROM line$$) p), 'GptBatch',
	'values of types are computed together');

-- more constraints than are kept
RESET gpt.on_error;
SELECT is(count(*)::int, 150, 'constraints come and go') FROM generate_series(1, 150) i
WHERE gpt_generate('m', 'x', 30, seed => i, pattern => 'n' || i || '[a-z]') ~ ('^n' || i || '[a-z]$');

-- one pattern in error among others
SELECT is((SELECT array_agg(t IS NULL ORDER BY id) FROM (SELECT id, gpt_generate('m', body, seed => id, on_error => 'null',
		pattern => CASE WHEN id = 2 THEN '(' ELSE '[a-z]+' END) AS t FROM line WHERE id <= 3 OFFSET 0) s),
	'{f,t,f}', 'with on_error a pattern in error gives NULL');
SELECT throws_ok($$SELECT gpt_generate('m', body, pattern => CASE WHEN id = 2 THEN '(' ELSE '[a-z]+' END) FROM line WHERE id <= 3$$,
	'22023', 'a group is not closed by ) at byte 2 of the pattern', 'and else its error');

-- conversations
SELECT is(count(*)::int, 20, 'gpt_chat answers within the constraint') FROM generate_series(1, 20) i
WHERE gpt_chat('m', '"line 7"', seed => i, temperature => 1, choices => '{yes,no,perhaps}') IN ('yes', 'no', 'perhaps');
SELECT ok((gpt_chat('m', '"line 7"', seed => 1, schema => '{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}')::jsonb
	-> 'a')::text ~ '^-?\d+$', 'in JSON, too');
SELECT throws_ok($$SELECT gpt_chat('m', '"x"', reasoning => true, choices => '{a}')$$, '22023',
	'reasoning cannot be used with choices, pattern or schema', 'reasoning has no place in it');
SELECT throws_ok($$SELECT gpt_chat('m', '"x"', stop => 'a', choices => '{a}')$$, '22023', 'stop cannot be used with choices', 'stop has none');

-- a cancelled call leaves nothing behind
SET statement_timeout = '30ms';
DO $$ BEGIN PERFORM gpt_generate('m', 'x', 100000, pattern => '[a-z]{90000,99000}'); EXCEPTION WHEN query_canceled THEN NULL; END $$;
RESET statement_timeout;
SELECT is(gpt_generate('m', 'x', seed => 1, choices => '{same}'), 'same', 'after a cancel the next call is right');

-- other threads start another engine
SELECT gpt_generate('m', 'x', 20, seed => 1, pattern => '[a-z]{3,9}\d') AS before \gset
SET gpt.threads = 2;
SELECT is(gpt_generate('m', 'x', 20, seed => 1, pattern => '[a-z]{3,9}\d'), :'before', 'with other threads the text is the same');
SELECT is((SELECT string_agg(t.text, '') FROM gpt_stream('m', 'x', 20, seed => 1, pattern => '[a-z]{3,9}\d') t), :'before', 'a stream has it too');
SELECT * FROM finish();
