-- A value is read as its cast to text, as the functions receive it: char(n), "char", name, domains, arrays, enums, types with casts of their own.
CREATE EXTENSION IF NOT EXISTS gpt;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$SELECT '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "steps": 1, "tokenizer": "bytes", "seed": 1}'::jsonb || further$$;
CREATE DOMAIN code AS char(8);
CREATE DOMAIN codes AS code[];
CREATE DOMAIN truth AS boolean;
CREATE TYPE grade AS ENUM ('good', 'bad');
CREATE TYPE shade AS (name char(5));
CREATE FUNCTION shade_text(shade) RETURNS text LANGUAGE plpgsql STABLE AS $$BEGIN RETURN nullif('shade of ' || ($1).name, 'shade of none'); END$$;
CREATE CAST (shade AS text) WITH FUNCTION shade_text(shade) AS IMPLICIT;
CREATE TABLE item AS
SELECT i, ('question ' || i)::char(30) AS q, (ARRAY['yes', 'no', 'maybe'])[1 + i % 3]::char(8) AS a, (ARRAY['yes', 'no', 'maybe'])[1 + i % 3]::code AS c,
	ARRAY[(ARRAY['yes', 'no', 'maybe'])[1 + i % 3], 'all']::char(6)[] AS s, ARRAY[(ARRAY['yes', 'no', 'maybe'])[1 + i % 3], NULL]::codes AS d,
	(ARRAY['y', 'n'])[1 + i % 2]::"char" AS k, ('n' || i)::name AS n, (ARRAY['good', 'bad'])[1 + i % 2]::grade AS g, (i % 2 = 0)::truth AS b,
	ROW(CASE WHEN i % 5 = 0 THEN 'none' ELSE 'red' END)::shade AS sh
FROM generate_series(1, 60) i;

-- bytes are those of the values as text
SELECT gpt_train('pair', 'SELECT q AS prompt, c AS completion FROM item', tiny()) AS job \gset
SELECT gpt_wait(:job);
SELECT bytes = (SELECT sum(octet_length(q::text) + octet_length(c::text)) FROM item) AS values_of_their_own FROM gpt_jobs WHERE job = :job;
SELECT gpt_train('names', 'SELECT n FROM item', tiny()) AS names, gpt_train('chars', 'SELECT k FROM item', tiny()) AS chars,
	gpt_train('casts', 'SELECT sh FROM item', tiny()) AS casts \gset
SELECT gpt_wait(:names), gpt_wait(:chars), gpt_wait(:casts);
SELECT job = :names AS names, documents, skipped, bytes, (SELECT sum(octet_length(n::text)) FROM item) AS of_names, (SELECT sum(octet_length(sh::text)) FROM item) AS of_casts
FROM gpt_jobs WHERE job IN (:names, :chars, :casts) ORDER BY job;

-- gpt_evaluate measures what a call with the column measures
SELECT (SELECT value FROM gpt_evaluate('pair', 'SELECT q AS prompt, a AS completion FROM item', '{"generate": false}') WHERE metric = 'loss')
	= (SELECT value FROM gpt_evaluate('pair', 'SELECT q::text AS prompt, a::text AS completion FROM item', '{"generate": false}') WHERE metric = 'loss') AS same_loss,
	(SELECT abs(value + (SELECT sum(gpt_logprob('pair', q, a)) / sum(octet_length(a::text) + 1) FROM item)) < 1e-6
	FROM gpt_evaluate('pair', 'SELECT q AS prompt, c AS completion FROM item', '{"generate": false}') WHERE metric = 'loss') AS as_the_function;

-- labels: what a label is read as stands in the error, where no model has it
CREATE FUNCTION labels_of(label text) RETURNS text LANGUAGE SQL AS $$SELECT format('SELECT q AS text, %s AS label FROM item', label)$$;
SELECT gpt_train('l_char', labels_of('c'), tiny()) AS job \gset
SELECT gpt_wait(:job);
SELECT string_agg(quote_literal(label), ' ' ORDER BY label) FROM gpt_classify_probs('l_char', 'a');
SELECT label, value FROM gpt_evaluate('l_char', labels_of('a')) WHERE metric = 'weight' ORDER BY label;
SELECT label, value FROM gpt_evaluate('l_char', labels_of('a::text')) WHERE metric = 'weight' ORDER BY label;
SELECT gpt_evaluate('l_char', labels_of('k'));
SELECT gpt_evaluate('l_char', labels_of('g'));
SELECT gpt_evaluate('l_char', labels_of('b'));
SELECT gpt_evaluate('l_char', labels_of('i % 2'));

-- the tokenizer sees the same
SELECT gpt_train_tokenizer('padded', 'SELECT a FROM item', '{"vocabulary": 258}') AS padded,
	gpt_train_tokenizer('bare', 'SELECT a::text FROM item', '{"vocabulary": 258}') AS bare \gset
SELECT gpt_wait(:padded, '300 s'), gpt_wait(:bare, '300 s');
SELECT t1.size = t2.size AS same FROM gpt_tokenizers t1, gpt_tokenizers t2 WHERE t1.tokenizer = 'padded' AND t2.tokenizer = 'bare';

-- a cast runs as whoever owns the job
CREATE ROLE regress_gpt_values LOGIN;
GRANT SELECT ON item TO regress_gpt_values;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb) TO regress_gpt_values;
REVOKE EXECUTE ON FUNCTION shade_text(shade) FROM PUBLIC;
SET SESSION AUTHORIZATION regress_gpt_values;
SELECT gpt_train('forbidden', 'SELECT sh FROM item', tiny()) AS job \gset
SELECT gpt_wait(:job);
SELECT error FROM gpt_jobs WHERE job = :job;
RESET SESSION AUTHORIZATION;

-- Labels are told apart as their type does: citext, collations that are not deterministic.
CREATE COLLATION same_letters (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE DOMAIN word AS citext;
CREATE TABLE mark AS
SELECT i, 'text ' || i AS body, (ARRAY['Good', 'good', 'GOOD', 'Good', 'bad', 'BAD', 'bad', 'Bäd'])[1 + i % 8] AS l FROM generate_series(1, 80) i;
CREATE TABLE mark_other_order AS SELECT * FROM mark ORDER BY i DESC;
CREATE FUNCTION marks(label text, source text DEFAULT 'mark') RETURNS text LANGUAGE SQL AS $$SELECT format('SELECT body AS text, %s AS label FROM %I', label, source)$$;
SELECT gpt_train('m_citext', marks('l::citext'), tiny()) AS job, gpt_train('m_set', marks('ARRAY[l, ''x'']::word[]', 'mark_other_order'), tiny()) AS sets \gset
SELECT gpt_wait(:job), gpt_wait(:sets);
SELECT m, string_agg(quote_literal(label), ' ' ORDER BY label COLLATE "C") FROM unnest('{m_citext,m_set}'::text[]) m, gpt_classify_probs(m, 'a') GROUP BY m ORDER BY m;
SELECT label, value FROM gpt_evaluate('m_citext', marks('upper(l)::word')) WHERE metric = 'weight' ORDER BY label COLLATE "C";
SELECT label, value FROM gpt_evaluate('m_set', marks('ARRAY[upper(l)::citext]')) WHERE metric = 'weight' ORDER BY label COLLATE "C";
SELECT label, value FROM gpt_evaluate('m_set', marks('ARRAY[l, ''x'']::char(9)[] COLLATE same_letters')) WHERE metric = 'weight' ORDER BY label COLLATE "C";
SELECT label, value FROM gpt_evaluate('m_set', marks('ARRAY[CASE WHEN l = ''Bäd'' THEN ''Good'' ELSE lower(l) END]::citext[]')) WHERE metric = 'weight' ORDER BY label COLLATE "C";
SELECT gpt_evaluate('m_set', labels_of('s'));
SELECT gpt_evaluate('m_set', labels_of('d'));
SELECT gpt_evaluate('m_set', labels_of('ARRAY[sh]'));
SELECT label, value FROM gpt_evaluate('l_char', labels_of('upper(a)::char(9) COLLATE same_letters')) WHERE metric = 'weight' ORDER BY label;
SELECT gpt_evaluate('m_citext', marks('upper(l)'));
SELECT gpt_evaluate('m_citext', marks('l COLLATE same_letters'));
SELECT gpt_finetune('m_citext', marks('upper(l)::citext'), '{"steps": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT string_agg(quote_literal(label), ' ' ORDER BY label COLLATE "C") FROM gpt_classify_probs('m_citext', 'a');
SELECT gpt_train('m_one', marks('CASE WHEN l ILIKE ''g%'' THEN ''A'' ELSE ''a'' END::citext'), tiny()) AS one, gpt_train('m_two', marks('CASE WHEN l ILIKE ''g%'' THEN ''a'' ELSE ''Ä'' END COLLATE same_letters'), tiny()) AS two \gset
SELECT gpt_wait(:one), gpt_wait(:two);
SELECT error FROM gpt_jobs WHERE job IN (:one, :two) ORDER BY job;

-- A tokenizer that normalises: labels, stop texts, choices and what is compared are in NFC.
CREATE TABLE meal AS
SELECT i, 'Gericht ' || i AS body, normalize((ARRAY['süd', 'salzig'])[1 + i % 2], NFD) AS decomposed, normalize((ARRAY['süd', 'salzig'])[1 + i % 2], NFC) AS composed
FROM generate_series(1, 60) i;
CREATE FUNCTION meals(label text) RETURNS text LANGUAGE SQL AS $$SELECT format('SELECT body AS text, %s AS label FROM meal', label)$$;
SELECT gpt_train_tokenizer('nfc', 'SELECT body FROM meal', '{"vocabulary": 260, "normalize": "NFC"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_train('n_named', meals('CASE WHEN i < 20 THEN decomposed ELSE composed END'), tiny('{"tokenizer": "nfc"}')) AS named,
	gpt_train('n_one', meals('CASE WHEN i < 20 THEN normalize(''ü'', NFD) ELSE ''ü'' END'), tiny('{"normalize": "NFC", "vocabulary": 260}') - 'tokenizer') AS one \gset
SELECT gpt_wait(:named), gpt_wait(:one);
SELECT error FROM gpt_jobs WHERE job = :one;
SELECT count(*), bool_and(label IS NFC NORMALIZED) AS composed FROM gpt_classify_probs('n_named', 'a');
SELECT label IS NFC NORMALIZED AS composed, value FROM gpt_evaluate('n_named', meals('decomposed')) WHERE metric = 'weight' ORDER BY label;
SELECT label IS NFC NORMALIZED AS composed, value FROM gpt_evaluate('n_named', meals('upper(decomposed)::citext')) WHERE metric = 'weight' ORDER BY label;

SELECT gpt_train('cries', 'SELECT i || '':'' AS prompt, normalize(repeat(''ü'', 6), NFD) AS completion FROM meal',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 16, "steps": 150, "learning_rate": 0.02, "normalize": "NFC", "vocabulary": 258, "seed": 1, "publish": "last"}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_generate('cries', '7:', 20, temperature => 0, stop => ARRAY['üü']) AS composed, gpt_generate('cries', '7:', 20, temperature => 0, stop => ARRAY[normalize('üü', NFD)]) AS decomposed,
	gpt_generate('cries', ARRAY['7:', '8:'], 20, temperature => 0, stop => ARRAY['x', normalize('üüü', NFD)]) AS many;
SELECT metric, value > 0.8 AS found FROM gpt_evaluate('cries', 'SELECT i || '':'' AS prompt, normalize(repeat(''ü'', 6), NFD) AS completion FROM meal') WHERE metric IN ('exact_match', 'rouge_l') ORDER BY metric;
SELECT gpt_choose('cries', '7:', ARRAY['y', normalize('ü', NFD)]) IS NFD NORMALIZED AS as_it_was_written,
	gpt_logprob('cries', '7:', 'ü') = gpt_logprob('cries', '7:', normalize('ü', NFD)) AS same_logprob;
DROP OWNED BY regress_gpt_values;
DROP ROLE regress_gpt_values;
DROP TABLE item, mark, mark_other_order, meal;
DROP FUNCTION tiny, labels_of, marks, meals;
DROP TYPE shade CASCADE;
DROP DOMAIN code CASCADE;
DROP TYPE grade;
DROP DOMAIN truth;
DROP COLLATION same_letters;
DROP EXTENSION citext CASCADE;
