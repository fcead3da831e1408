-- gpt_survey and gpt_agree: what a model of several servers needs to know of their rows

CREATE TABLE row AS SELECT i, 'the ' || (ARRAY['cat', 'rat', 'house', 'mouse'])[1 + i % 4] || ' sat on the ' || (ARRAY['mat', 'Haus', 'Maus'])[1 + i % 3]
	|| ' and ' || (ARRAY['saw', 'ate', 'heard'])[1 + i % 3] || ' the ' || (ARRAY['春眠', 'été', 'moon'])[1 + i % 3] || ' ' || i % 50 AS body,
	'label ' || (i % 3) AS label, i * 1.5 AS number FROM generate_series(1, 300) i;
INSERT INTO row VALUES (999, 'zwiebel zwiebel zwiebel zwiebel zwiebel zwiebel the cat sat on Жук', 'label 0', 0);
CREATE FUNCTION agreed(query text, options jsonb DEFAULT '{}', word_floor bigint DEFAULT 1) RETURNS TABLE (tokenizer text, agreement jsonb) LANGUAGE SQL AS
	$$ SELECT * FROM gpt_agree(ARRAY[gpt_survey(query || ' WHERE i % 3 = 0', options, word_floor), gpt_survey(query || ' WHERE i % 3 > 0', options, word_floor)], '{east,west}', options) $$;
CREATE FUNCTION whole(query text, options jsonb DEFAULT '{}') RETURNS TABLE (tokenizer text, agreement jsonb) LANGUAGE SQL AS
	$$ SELECT * FROM gpt_agree(ARRAY[gpt_survey(query, options, 1)], NULL, options) $$;
-- rule union: the tokenizer of two servers is that of a training on all their rows, if no word is left out
SELECT name, gpt_train('alone ' || name, 'SELECT body FROM row', options || '{"steps": 1, "layers": 1, "heads": 1, "channels": 8, "validation_fraction": 0}') > 0 AS queued,
	(agreed('SELECT body FROM row', options || '{"validation_fraction": 0}')).* INTO together
FROM (VALUES ('auto', '{}'::jsonb), ('bpe', '{"tokenizer": "bpe", "vocabulary": 300}'), ('unigram', '{"tokenizer": "unigram", "vocabulary": 310}'),
	('chars', '{"tokenizer": "chars"}')) v(name, options);
SELECT count(gpt_wait(job, '60 s')) FROM gpt_jobs WHERE model LIKE 'alone %';
SELECT name, gpt_export_tokenizer(m.tokenizer) = t.tokenizer AS same_tokenizer, m.context = (t.agreement ->> 'context')::int AS same_context,
	m.vocabulary = (t.agreement ->> 'vocabulary')::int AS same_vocabulary
FROM together t LEFT JOIN gpt_models m ON m.model = 'alone ' || t.name ORDER BY name;

-- rule floor: a rare word, and a frequent one of a single row, stay on their server; their characters are bytes
SELECT word, word_floor, position(convert_to(word, 'UTF8') IN gpt_survey('SELECT body FROM row', '{"validation_fraction": 0}', word_floor)) > 0 AS leaves
FROM unnest('{zwiebel,Ж,cat}'::text[]) WITH ORDINALITY w(word, n), unnest('{1,5}'::int[]) word_floor ORDER BY n, word_floor;
SELECT gpt_import_tokenizer('floored', tokenizer) IS NOT NULL AS imported, agreement #> '{servers,0,rare_words}' AS rare_east, agreement #> '{servers,1,rare_words}' AS rare_west
FROM agreed('SELECT body FROM row', '{"validation_fraction": 0}', 5);
SELECT gpt_detokenize('floored', gpt_tokenize('floored', 'zwiebel Жук 曉')) AS text;
SELECT octet_length(gpt_survey('SELECT body FROM row', '{}', 5)) < octet_length(gpt_survey('SELECT body FROM row', '{}', 1)) AS smaller;

-- rule facts: labels in one order, the mean and the deviation of all numbers, the end of all prompts
SELECT agreement -> 'labels' AS labels, agreement #> '{servers,0,labels}' AS east, agreement #> '{servers,1,labels}' AS west
FROM agreed('SELECT body, label FROM row', '{"validation_fraction": 0}');
SELECT a.agreement -> 'numbers' AS numbers, a.agreement -> 'numbers' = w.agreement -> 'numbers' AS same
FROM agreed('SELECT body, number AS label FROM row', '{"validation_fraction": 0}') a, whole('SELECT body, number AS label FROM row', '{"validation_fraction": 0}') w;
SELECT ending, agreement #>> '{prompt,end}' AS "end", agreement #>> '{prompt,template}' AS template
FROM unnest('{=>,:}'::text[]) ending, agreed(format('SELECT body || CASE WHEN i %% 2 = 0 THEN %L ELSE '' =>'' END AS prompt, label AS completion FROM row', ' ' || ending));
SELECT agreement -> 'vocabulary' AS of_the_named_one, agreement ? 'labels' AS labels FROM agreed('SELECT body FROM row', '{"tokenizer": "floored"}');

-- rule errors
SELECT gpt_agree(ARRAY[gpt_survey('SELECT body FROM row'), gpt_survey('SELECT body, label FROM row')], '{east,west}');
SELECT gpt_agree(ARRAY[gpt_survey('SELECT body FROM row'), gpt_survey('SELECT body FROM row', '{"normalize": "NFC"}')], '{east,west}');
SELECT gpt_agree(ARRAY[gpt_survey('SELECT body, label FROM row WHERE i % 3 = 0', '{}'), gpt_survey('SELECT body, label FROM row WHERE i % 3 = 0')]);
SELECT agreed('SELECT body FROM row', '{"tokenizer": "chars"}', 5);
SELECT gpt_survey('SELECT body FROM row', '{}', 0);
SELECT gpt_survey(NULL);
SELECT gpt_agree(NULL);
SELECT gpt_agree(ARRAY[]::bytea[]);
SELECT gpt_agree(ARRAY[NULL]::bytea[]);
SELECT gpt_agree(ARRAY['\x00'::bytea], '{a,b}');
SELECT gpt_agree(ARRAY['\x00'::bytea], ARRAY[NULL]::text[]);

-- rule damage: a survey that was altered or cut is refused; with a right checksum it is refused or harmless
CREATE FUNCTION outcome(survey bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gpt_agree(ARRAY[survey], '{east}', '{"tokenizer": "bpe", "vocabulary": 257}');
	RETURN 'taken';
EXCEPTION WHEN OTHERS THEN RETURN sqlstate;
END $$;
CREATE FUNCTION reflected(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	FOR i IN 1 .. 8 LOOP n := CASE WHEN n & 1 = 1 THEN (n >> 1) # 2197175160 ELSE n >> 1 END; END LOOP;
	RETURN n;
END $$;
CREATE TABLE crc AS SELECT array_agg(reflected(n) ORDER BY n) AS powers FROM generate_series(0, 255) n;
-- with the CRC-32C of all other bytes in its place
CREATE FUNCTION sealed(survey bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE powers bigint[] := (SELECT c.powers FROM crc c); sum bigint := 4294967295; n int := octet_length(survey);
BEGIN
	FOR i IN 0 .. n - 1 LOOP
		CONTINUE WHEN i BETWEEN 12 AND 15;
		sum := (sum >> 8) # powers[1 + ((sum # get_byte(survey, i)) & 255)];
	END LOOP;
	sum := sum # 4294967295;
	FOR i IN 0 .. 3 LOOP survey := set_byte(survey, 12 + i, ((sum >> (24 - 8 * i)) & 255)::int); END LOOP;
	RETURN survey;
END $$;
SELECT gpt_survey('SELECT body, label FROM row WHERE i <= 4', '{"validation_fraction": 0}', 2) AS survey \gset
SELECT outcome(:'survey') AS whole, sealed(:'survey') = :'survey' AS sealed, outcome(set_byte(:'survey', 11, 2)) AS other_version;
SELECT DISTINCT outcome(set_byte(:'survey', i, 255 - get_byte(:'survey', i))) AS altered FROM generate_series(16, octet_length(:'survey'::bytea) - 1) i;
SELECT DISTINCT outcome(substr(:'survey'::bytea, 1, n)) AS cut FROM generate_series(0, octet_length(:'survey'::bytea) - 1) n;
SELECT count(*) FILTER (WHERE o = 'XX001') > 20 AS refused, string_agg(DISTINCT o, ', ' ORDER BY o) AS outcomes
FROM generate_series(16, octet_length(:'survey'::bytea) - 1, 9) i, outcome(sealed(set_byte(:'survey', i, (get_byte(:'survey', i) + 1 + i % 254) % 256))) o;
SELECT DISTINCT outcome(sealed(substr(:'survey'::bytea, 1, n))) AS cut_and_sealed FROM generate_series(16, octet_length(:'survey'::bytea) - 1, 29) n;
-- a size of all texts that makes each counted word stand for very many
SELECT outcome(sealed(overlay(:'survey'::bytea PLACING '\x0004000000000000'::bytea FROM 16 + 4 + get_byte(:'survey', 19) + 4 + 4 + 32 + 1))) AS immense;
\set VERBOSITY default
SELECT gpt_agree(ARRAY[set_byte(:'survey', 60, 255 - get_byte(:'survey', 60))], '{east}');
SELECT gpt_agree(ARRAY[sealed(substr(:'survey'::bytea, 1, 100))], '{east}');
SELECT gpt_agree(ARRAY[sealed(:'survey'::bytea || '\x00')], '{east}');
SELECT gpt_agree(ARRAY[set_byte(:'survey', 11, 2)], '{east}');
SELECT count(gpt_drop_model(model)) > 0 AS dropped FROM gpt_models WHERE model LIKE 'alone %';
DROP FUNCTION agreed, whole, outcome, reflected, sealed;
DROP TABLE row, crc;
