-- test/tap/generation.sql - what must hold of generated text.
-- One schema is enough: the file tests texts, and others call the same functions in the second schema.
SET gpt.batching = off;
SELECT no_plan();
SET client_min_messages = error;

CREATE TABLE line AS SELECT 'Zeile ' || i || ' über Käse — 世界 🙂 and more of it' AS body FROM generate_series(1, 200) i;
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"ngrams": false, "layers": 2, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 60, "batch_size": 16, "seed": 1}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a small model is trained');

-- seeds
SELECT is(gpt_generate('m', 'Zeile', seed => 7), gpt_generate('m', 'Zeile', seed => 7), 'generation with the same seed gives the same text');
SELECT ok(count(DISTINCT gpt_generate('m', 'Zeile', seed => i)) > 10, 'other seeds give other texts') FROM generate_series(1, 20) i;
SELECT ok(count(DISTINCT gpt_generate('m', 'Zeile')) > 10, 'without a seed each call draws its own') FROM generate_series(1, 20) i;
SELECT is(gpt_generate('m', 'Zeile', seed => -1), gpt_generate('m', 'Zeile', seed => -1), 'a negative seed is a seed');
SELECT is(gpt_generate('m@1', 'Zeile', seed => 7), gpt_generate('m', 'Zeile', seed => 7), 'the current version has a number');

-- greedy
SELECT is(gpt_generate('m', 'Zeile', temperature => 0, seed => 1), gpt_generate('m', 'Zeile', temperature => 0, seed => 2),
	'temperature 0 does not depend on the seed');
SELECT is(gpt_generate('m', 'Zeile', top_k => 1, seed => 1), gpt_generate('m', 'Zeile', temperature => 0), 'top_k 1 is greedy');
SELECT is(gpt_generate('m', 'Zeile', top_p => 1e-9, seed => 1), gpt_generate('m', 'Zeile', temperature => 0), 'a tiny top_p is greedy');
SELECT is(gpt_generate('m', 'Zeile', min_p => 1, seed => 1), gpt_generate('m', 'Zeile', temperature => 0), 'min_p 1 is greedy');

-- length
SELECT ok(bool_and(gpt_count_tokens('m', gpt_generate('m', 'Zeile', n, seed => n)) <= n), 'a text has at most max_tokens tokens')
FROM generate_series(1, 30) n;
SELECT ok(starts_with(gpt_generate('m', 'Zeile', 40, seed => 3), gpt_generate('m', 'Zeile', 20, seed => 3)),
	'a longer text goes on where the shorter one ends');
SELECT ok(max(octet_length(gpt_generate('m', '', 200, seed => i))) > 64, 'a text may be longer than the context') FROM generate_series(1, 20) i;

-- stop strings
SELECT ok(position(stop IN whole) > 0 AND cut = split_part(whole, stop, 1), 'a text ends before the stop string, which is not returned: ' || quote_literal(stop))
FROM (SELECT stop, gpt_generate('m', 'Zeile', 60, temperature => 0) AS whole, gpt_generate('m', 'Zeile', 60, temperature => 0, stop => ARRAY[stop]) AS cut
	FROM (SELECT substr(gpt_generate('m', 'Zeile', 60, temperature => 0), 5, n) AS stop FROM generate_series(1, 4) n) s) t;
SELECT is(gpt_generate('m', 'Zeile', 40, seed => 5, stop => ARRAY['not there at all']), gpt_generate('m', 'Zeile', 40, seed => 5),
	'a stop string that does not come changes nothing');
SELECT is(gpt_generate('m', 'Zeile', 40, seed => 5, stop => '{}'), gpt_generate('m', 'Zeile', 40, seed => 5), 'no stop strings are no stop strings');

-- text
SELECT ok(bool_and(convert_from(convert_to(t, 'UTF8'), 'UTF8') = t AND position(U&'\FFFD' IN t) = 0), 'text is valid UTF-8, without replacements')
FROM (SELECT gpt_generate('m', 'Zeile', 50, temperature => 3, seed => i) AS t FROM generate_series(1, 100) i) g;
SELECT ok(bool_and(gpt_generate('m', p, 10, seed => 1) IS NOT NULL), 'any text is a prompt')
FROM (VALUES (''), (' '), (E'\n'), ('<|endoftext|>'), ('🙂'), (repeat('é', 500)), (E'\x01')) p(p);
-- A prompt's tokens are those of the same text, so its completion has the rest of the text's likelihood.
SELECT ok(abs(gpt_logprob('m', '<|endoftext|>Zeile', ' 1', include_end => false) - (gpt_score('m', '<|endoftext|>Zeile 1', 'logprob') -
	gpt_score('m', '<|endoftext|>Zeile', 'logprob'))) < 1e-3 AND gpt_score('m', '<|endoftext|>Zeile', 'tokens') = 18,
	'the name of a special token in a prompt is text');

-- penalty
SELECT ok(repeated > distinct_ones, 'a repetition penalty makes tokens differ')
FROM (SELECT count(*) - count(DISTINCT a) AS repeated FROM unnest(gpt_tokenize('m', gpt_generate('m', 'Zeile', 60, temperature => 0))) a) x,
	(SELECT count(*) - count(DISTINCT b) AS distinct_ones
		FROM unnest(gpt_tokenize('m', gpt_generate('m', 'Zeile', 60, temperature => 0, repetition_penalty => 10))) b) y;

-- what else runs in the session changes nothing
SELECT gpt_generate('m', 'Zeile', seed => 7) AS alone \gset
SET gpt.threads = 2;
SELECT is(gpt_generate('m', 'Zeile', seed => 7), :'alone', 'the same text with two threads');
RESET gpt.threads;
SELECT is(gpt_generate('m', 'Zeile', seed => 7), :'alone', 'and with one again');
SET gpt.blas_library = 'none';
SELECT is(gpt_generate('m', 'Zeile', temperature => 0, max_tokens => 10) IS NOT NULL, true, 'the built-in kernels generate');
RESET gpt.blas_library;
-- in company
SELECT is(gpt_generate('m', array_fill('Zeile'::text, ARRAY[70]), seed => 7), array_fill(:'alone'::text, ARRAY[70]), 'each of many gives the same text');
SELECT is((SELECT array_agg(t ORDER BY i) FROM (SELECT i, gpt_generate('m', 'Zeile ' || i, seed => i) AS t FROM generate_series(1, 100) i) x),
	(SELECT array_agg((gpt_generate('m', ARRAY['other', 'Zeile ' || i, repeat('long ', i)], seed => i))[2] ORDER BY i) FROM generate_series(1, 100) i), 'whatever the others are');
SET gpt.batching = on;
SELECT ok(bool_and(t = :'alone'), 'and so does batching') FROM (SELECT gpt_generate('m', CASE WHEN i % 2 = 0 THEN 'Zeile' ELSE 'other' END, seed => 7) AS t, i FROM generate_series(1, 150) i) x WHERE i % 2 = 0;
SET gpt.batching = off;
SELECT is(string_agg(text, '' ORDER BY position), :'alone', 'and a stream') FROM gpt_stream('m', 'Zeile', seed => 7);
SELECT is((SELECT gpt_generate('m', 'Zeile', seed => 7) FROM (SELECT gpt_generate('m', 'other prompt', seed => 1), gpt_score('m', 'other text')) o), :'alone',
	'the same text after other prompts');

SELECT * FROM finish();
