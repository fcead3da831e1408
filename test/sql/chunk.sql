-- chunks end with sentences where they can, and repeat what fits
SELECT * FROM gpt_chunk('One. Two. Three. Four. Five.', 'bytes', 17, 8);
SELECT position, start, tokens, quote_literal(chunk) AS chunk FROM gpt_chunk(E'abcdef.\n \nCd. Ef gh. Ij', 'bytes', 14, 0);
SELECT * FROM gpt_chunk('世界，你好。', 'bytes', 9, 3);
SELECT count(*) AS chunks, max(tokens) FROM gpt_chunk(repeat('a sentence of words. ', 100), 'bytes');

-- whatever the size: the chunks without what they repeat are the text, and tokens are counted as gpt_count_tokens does
CREATE TEMP TABLE document AS SELECT n, string_agg(part, '' ORDER BY k) AS body FROM generate_series(1, 3) n, generate_series(1, 60) k,
	LATERAL (SELECT (ARRAY['The quick fox. ', E'\n\n', '世界你好。', '👩‍🔬', 'e' || U&'\0301', 'ภาษาไทย', ' 12,5 ', E'line\n'])[1 + (k * k * n + k) % 8] AS part) p GROUP BY n;
WITH chunk AS (SELECT n, body, size, overlap, c.*, coalesce(lag(c.start + length(c.chunk)) OVER w, 1) AS seen FROM document,
		(VALUES (1, 0), (5, 2), (16, 4), (64, 63), (1000, 10)) v(size, overlap), gpt_chunk(body, 'bytes', size, overlap) c WINDOW w AS (PARTITION BY n, size ORDER BY position))
SELECT size, count(*) > 3 AS several, bool_and(substr(body, start, length(chunk)) = chunk) AS places, bool_and(tokens = gpt_count_tokens('bytes', chunk)) AS counted,
	bool_and(tokens <= size OR length(chunk) = 1) AS fit, bool_and(start <= seen) AS gapless,
	(SELECT bool_and(whole) FROM (SELECT string_agg(substr(c.chunk, 1 + c.seen - c.start), '' ORDER BY position) = body AS whole FROM chunk c WHERE c.size = chunk.size GROUP BY n, body) w) AS whole
FROM chunk GROUP BY size ORDER BY size;

-- nothing
SELECT count(*) FROM gpt_chunk('', 'bytes') UNION ALL SELECT count(*) FROM gpt_chunk(NULL, 'bytes') UNION ALL SELECT count(*) FROM gpt_chunk('a', NULL)
	UNION ALL SELECT count(*) FROM gpt_chunk('a', 'bytes', NULL);

-- errors
SELECT gpt_chunk('a', 'bytes', 0);
SELECT gpt_chunk('a', 'bytes', 8, 8);
SELECT gpt_chunk('a', 'bytes', 8, -1);
SELECT gpt_chunk('a', 'nothing');
