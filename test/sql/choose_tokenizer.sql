-- the automatic tokenizer: what the texts are decides its kind and size, gpt_estimate and a training say so

CREATE FUNCTION chosen(query text, options jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL AS
	$$ SELECT (gpt_estimate(query, '{"layers": 1, "heads": 1, "channels": 8, "context": 32, "steps": 1, "validation_fraction": 0}' || options) -> 'tokenizer') - 'bytes_per_token' $$;
-- n rows of 40 characters among so many, one after the other
CREATE FUNCTION poems(n int, different int) RETURNS SETOF text LANGUAGE SQL AS
	$$ SELECT string_agg(chr(19968 + (40 * i + j) % different), '') FROM generate_series(1, n) i, generate_series(1, 40) j GROUP BY i $$;
-- the i-th word occurs 2 i times, in texts of more than 32 bytes
CREATE TABLE prose AS SELECT repeat('-', 33) || ' ' || word AS body
FROM unnest('{alder,birch,cedar,daisy,elder,fennel,guelder,hazel,ivy,juniper}'::text[]) WITH ORDINALITY w(word, i), generate_series(1, 2 * i);
CREATE TABLE name AS SELECT 'name ' || i AS name, 'reversed: ' || i AS prompt, i % 2 AS label FROM generate_series(1, 50) i;

-- rule kinds
SELECT name, chosen(query, options) FROM (VALUES
	(1, 'names', 'SELECT name FROM name', '{}'::jsonb),
	(2, '1000 characters, each 63 times', 'SELECT poems(1575, 1000)', '{}'),
	(3, '1000 characters, each 64 times', 'SELECT poems(1600, 1000)', '{}'),
	(4, '999 characters, each 2 times', 'SELECT poems(50, 999)', '{"tokenizer": "auto"}'),
	(5, 'prompts of many characters', 'SELECT repeat(''-'', 40) AS prompt, poems(50, 1000) AS completion', '{}'),
	(6, 'labels', 'SELECT name AS text, label FROM name', '{}'),
	(7, 'prose', 'SELECT body FROM prose', '{"tokenizer": "bpe"}'),
	(9, 'numbers', 'SELECT repeat(''-'', 33) || (i * 7919) % 99991 FROM generate_series(1, 5000) i', '{}'),
	(10, 'prose, a vocabulary', 'SELECT body FROM prose', '{"vocabulary": 300}'),
	(11, 'prose, characters', 'SELECT body FROM prose', '{"tokenizer": "chars"}')) v(n, name, query, options) ORDER BY n;

-- rule size: words that occur 5 times are tokens, or as often as min_count says
SELECT gpt_train_tokenizer('five', 'SELECT body FROM prose') AS five, gpt_train_tokenizer('eight', 'SELECT body FROM prose', '{"min_count": 8}') AS eight \gset
SELECT gpt_wait(:five, '300 s'), gpt_wait(:eight, '300 s');
SELECT tokenizer, string_agg(trim(token), ' ' ORDER BY id) AS words
FROM gpt_tokenizers, generate_series(256, vocabulary - 2) id, LATERAL (SELECT gpt_detokenize(tokenizer, ARRAY[id]) AS token) t
WHERE tokenizer IN ('five', 'eight') AND token IN (SELECT substr(body, 34) FROM prose) GROUP BY tokenizer ORDER BY tokenizer;
SELECT report -> 'tokenizer' ->> 'why' AS why FROM gpt_jobs WHERE job IN (:five, :eight) ORDER BY job;
SELECT gpt_drop_tokenizer('five'), gpt_drop_tokenizer('eight');
DROP TABLE prose, name;
DROP FUNCTION chosen;
DROP FUNCTION poems;
