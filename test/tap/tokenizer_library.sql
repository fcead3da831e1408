-- test/tap/tokenizer_library.sql - tokenizers of Hugging Face's library (test/reference/tokenizers.py) give the library's ids and texts.
-- One schema is enough: the file tests files, and others call the same functions in the second schema.
SELECT no_plan();

CREATE TABLE line (line text);
\ir ../fixtures/tokenizer/library.psql
CREATE TABLE library AS SELECT 'library ' || ((line::jsonb) ->> 'name') AS name, (line::json) ->> 'tokenizer' AS json, s ->> 0 AS text,
	ARRAY(SELECT jsonb_array_elements_text(s -> 1))::integer[] AS ids, s ->> 2 AS decoded
	FROM line, jsonb_array_elements((line::jsonb) -> 'strings') s;
SELECT ok(count(DISTINCT name) >= 25 AND count(*) = 25 * count(DISTINCT name), 'the library is there') FROM library;

SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, %L)', name, json), name || ' is imported') FROM (SELECT DISTINCT name, json FROM library ORDER BY name) t;
SELECT is(count(*) FILTER (WHERE gpt_tokenize(name, text) = ids), count(*), name || ' gives the ids of the library') FROM library GROUP BY name ORDER BY name;
SELECT is(count(*) FILTER (WHERE gpt_detokenize(name, ids) = decoded), count(*), name || ' gives its texts') FROM library GROUP BY name ORDER BY name;

-- a tokenizer is written as the library reads it, and what was written is read
CREATE TABLE written AS SELECT tokenizer AS name, sha256, convert_from(lo_get(object), 'UTF8') AS json FROM gpt_tokenizers WHERE tokenizer IN (SELECT name FROM library);
SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, %L)', name || ' again', json), name || ' as it was written is imported') FROM written ORDER BY name;
SELECT is((SELECT count(*) FROM written w JOIN gpt_tokenizers t ON t.tokenizer = w.name || ' again' AND t.sha256 = w.sha256), (SELECT count(*) FROM written),
	'each is written again with the same bytes');

DROP TABLE line, library, written;
SELECT * FROM finish();
