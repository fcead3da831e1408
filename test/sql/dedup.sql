-- repeated rows: option "dedup", and gpt_duplicates
SET client_min_messages = warning;
CREATE TABLE page (id integer, body text);
INSERT INTO page SELECT i, format('row %s of the table says %s, which no other row does', md5(i::text), md5((-i)::text)) FROM generate_series(1, 60) i;
INSERT INTO page SELECT id + 60, body FROM page WHERE id <= 20;
-- a tenth of the characters or less is changed
INSERT INTO page SELECT id + 100, replace(body, 'says', 'said') || '.' FROM page WHERE id BETWEEN 31 AND 40;
-- short rows, of which ten letters may differ in one
INSERT INTO page VALUES (201, 'red'), (202, 'red'), (203, 'read'), (204, '一二三四五六七八九十'), (205, '一二三四五六七八九十一'), (206, 'abcdefghij'), (207, 'abcdefghXY');

CREATE FUNCTION repeated(query text, kind text) RETURNS text LANGUAGE sql AS $$
	SELECT count(*) || ' rows, ' || count(*) FILTER (WHERE similarity = 1) || ' of them equal, least similarity ' || round(min(similarity)::numeric, 3) FROM gpt_duplicates(query, kind) $$;
SELECT repeated('SELECT body FROM page', 'exact');
SELECT repeated('SELECT body FROM page', 'near');
SELECT p.body, k.body AS kept, round(similarity::numeric, 3) AS similarity
FROM gpt_duplicates('SELECT body FROM page WHERE id > 200 ORDER BY id') d, (SELECT body, row_number() OVER (ORDER BY id) AS n FROM page WHERE id > 200) p,
	(SELECT body, row_number() OVER (ORDER BY id) AS n FROM page WHERE id > 200) k WHERE p.n = d.row AND k.n = d.kept_row ORDER BY d.row;
SELECT similarity, similarity >= 0.9 AS near FROM gpt_duplicates($$SELECT unnest(ARRAY['abcdefghij', 'abcdefghiX'])$$);

-- the same rows stay whatever the order, and each is near the one that stays for it
CREATE FUNCTION left_out(numbered text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hash text;
BEGIN
	EXECUTE format('WITH n AS (SELECT body, row_number() OVER (ORDER BY %1$s) AS n FROM page)
		SELECT md5(string_agg(a.body || k.body, ''|'' ORDER BY a.body, k.body)) FROM gpt_duplicates(%2$L) d JOIN n a ON a.n = d.row JOIN n k ON k.n = d.kept_row',
		numbered, 'SELECT body FROM page ORDER BY ' || numbered) INTO hash;
	RETURN hash;
END $$;
SELECT count(DISTINCT left_out(o)) AS different FROM unnest(ARRAY['id', 'id DESC', 'md5(body || id)', 'body, id']) o;

-- rows are equal if all that is learnt of them is, and near only among equal labels
CREATE TABLE marked (body text, stars integer);
INSERT INTO marked SELECT body, n FROM page, generate_series(1, 2) n WHERE id <= 5;
INSERT INTO marked SELECT replace(body, 'says', 'said'), 1 FROM page WHERE id <= 3;
SELECT repeated('SELECT body AS text, stars AS label FROM marked', 'exact');
SELECT repeated('SELECT body AS text, stars AS label FROM marked', 'near');
SELECT repeated('SELECT body FROM marked', 'near');
-- a prompt and its completion are compared each with its own
SELECT row, kept_row FROM gpt_duplicates($$SELECT 'Is it true that ' || body AS prompt, answer AS completion FROM (VALUES (1, 'the sun is a star', 'yes'), (2, 'the sun is a star', 'no'), (3, 'the sun is a star', 'yes'),
	(4, 'the sun is a stare', 'yes'), (5, 'the sun is a', 'staryes')) v (id, body, answer) ORDER BY id$$);

-- a job uses one of the repeated rows, the one with the largest weight: the same model as from the rows without repetition
CREATE FUNCTION train(query text, dedup text, further text DEFAULT '') RETURNS bigint LANGUAGE sql AS $$
	SELECT gpt_train('m' || md5(query || dedup || further), query, format('{"dedup": "%s", "layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "steps": 4, "batch_size": 8, "threads": 1 %s}', dedup, further)::jsonb) $$;
CREATE TABLE weighted AS SELECT body, 1 + id / 100 AS weight, id FROM page WHERE id <= 140 UNION ALL SELECT body, 0.5, -id FROM page WHERE id <= 30;
SELECT train('SELECT body, weight FROM weighted ORDER BY id', 'exact') AS one, train('SELECT body, weight FROM weighted ORDER BY id DESC', 'exact') AS other \gset
SELECT train('SELECT body, max(weight) AS weight FROM weighted GROUP BY body', 'none') AS third, train('SELECT body, weight FROM weighted ORDER BY weight, id', 'near') AS fourth \gset
SELECT gpt_wait(j) FROM unnest(ARRAY[:one, :other, :third, :fourth]) j;
SELECT job - :one AS job, documents, skipped, bytes, note FROM gpt_jobs WHERE job IN (:one, :other, :third, :fourth) ORDER BY job;
SELECT count(DISTINCT (loss, validation_loss)) AS models FROM gpt_train_log WHERE job IN (:one, :other, :third) AND step = 4;

-- validation rows that repeat rows to train on are counted and stay
SELECT train('SELECT body, id > 60 AND id < 100 AS is_validation FROM page', 'exact') AS flagged,
	train('SELECT body FROM page WHERE id <= 60', 'near', ', "validation_query": "SELECT body FROM page WHERE id > 60 AND id < 150"') AS near,
	train('SELECT body FROM page WHERE id <= 60', 'none', ', "validation_query": "SELECT body FROM page WHERE id > 60 AND id < 150"') AS counted \gset
SELECT gpt_wait(j) FROM unnest(ARRAY[:flagged, :near, :counted]) j;
SELECT job - :flagged AS job, documents, note FROM gpt_jobs WHERE job IN (:flagged, :near, :counted) ORDER BY job;

-- with little memory, several passes find the same
CREATE TABLE many AS SELECT i AS id, md5((i % 9900)::text) || md5((i % 9900 + 1)::text) || md5((i % 9900 + 2)::text) || CASE WHEN i > 9900 AND i % 3 > 0 THEN 'x' ELSE '' END AS body
	FROM generate_series(1, 10000) i WHERE i <> 9900;
SELECT md5(string_agg(d::text, ',')) AS wide, count(*) FROM gpt_duplicates('SELECT body FROM many ORDER BY id') d \gset
SET gpt.max_memory = 2;
SELECT md5(string_agg(d::text, ',')) = :'wide' AS same, count(*) FROM gpt_duplicates('SELECT body FROM many ORDER BY id') d;
SET gpt.max_memory = 1;
SELECT count(*) FROM gpt_duplicates('SELECT body FROM many ORDER BY id', 'exact') d;
SELECT count(*) FROM gpt_duplicates('SELECT body || n FROM many, generate_series(1, 3) n ORDER BY id') d;
RESET gpt.max_memory;

-- rows made to share all shingles take no more time than others
CREATE TABLE hostile AS SELECT string_agg(w, ' ' ORDER BY md5(i || w)) AS body FROM generate_series(1, 3000) i, (SELECT md5(n::text) AS w FROM generate_series(1, 12) n) w GROUP BY i;
SELECT count(*) < 3000 AS ended FROM gpt_duplicates('SELECT body FROM hostile');

-- errors
SELECT gpt_duplicates(NULL);
SELECT gpt_duplicates('SELECT body FROM page', 'nearly');
SELECT gpt_duplicates('SELECT body FROM page WHERE false');
SELECT gpt_train('n', 'SELECT body FROM page', '{"dedup": "exactly"}');
DROP FUNCTION repeated, left_out, train;
\o /dev/null
SELECT gpt_drop_model(model) FROM gpt_models;
\o
