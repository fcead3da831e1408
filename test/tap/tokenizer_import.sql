-- test/tap/tokenizer_import.sql - the forms of gpt_import_tokenizer, and what it says to what is no tokenizer.
-- One schema is enough: the file tests files, and others call the same functions in the second schema.
SELECT no_plan();

-- the error of a statement: its SQLSTATE, message, detail and hint
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE FUNCTION says(arguments text, part text, name text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT alike(error_of('SELECT gpt_import_tokenizer(''x'', ' || arguments || ')'), '%' || part || '%', name)$$;

-- byte-level BPE: a vocabulary of all bytes in ByteLevel's letters and three words, and the merges
CREATE TABLE pair AS SELECT (jsonb_object_agg(letter, i) || '{"th": 256, "the": 257, "<|endoftext|>": 258}')::text AS vocabulary,
		E'#version: 0.2\nt h\nth e\n' AS merges
	FROM (SELECT i, CASE WHEN i <= 32 THEN chr(256 + i) WHEN i BETWEEN 127 AND 160 THEN chr(162 + i) WHEN i = 173 THEN chr(323) ELSE chr(i) END AS letter FROM generate_series(0, 255) i) l;
SELECT is(gpt_import_tokenizer('pair', vocabulary, merges), 259, 'a vocabulary and its merges are imported') FROM pair;
SELECT is(gpt_tokenize('pair', 'the 12<|endoftext|>'), '{257,32,49,50,60,124,101,110,100,111,102,116,101,120,116,124,62}', 'with their tokens; a special token is text');
SELECT is(gpt_import_tokenizer('crlf', vocabulary, replace(merges, E'\n', E'\r\n')), 259, 'merges may have ends of lines of Windows') FROM pair;
SELECT is(gpt_export_tokenizer('crlf'), gpt_export_tokenizer('pair'), 'and are the same');
SELECT is(gpt_import_tokenizer('one', format('{"encoder": %s, "merges": %s}', vocabulary, to_json(merges))), 259, 'both in one object are imported') FROM pair;
SELECT is(gpt_export_tokenizer('one'), gpt_export_tokenizer('pair'), 'and are the same');
SELECT is(gpt_import_tokenizer('split', replace(vocabulary, '"the"', '"12"'), E't h\n1 2\n', '{"split": "[th]+|\\d"}'), 259, 'a split may be a regular expression') FROM pair;
SELECT is(gpt_tokenize('split', 'th12'), '{256,49,50}', 'which cuts the text');
SELECT is(gpt_import_tokenizer('named', replace(vocabulary, '"the"', '"12"'), E't h\n1 2\n', '{"split": "qwen2"}'), 259, 'or the name of one') FROM pair;
SELECT is(gpt_tokenize('named', 'th12'), '{256,49,50}', 'which cuts digits apart');

-- special tokens that the file does not have
SELECT is(gpt_import_tokenizer('special', vocabulary, merges, '{"special": {"<|start|>": 262, "<|endoftext|>": 258}}'), 263, 'special tokens are added') FROM pair;
SELECT is(gpt_token_text('special', '{258,259,262}'::integer[]), '{<|endoftext|>,<|unused_259|>,<|start|>}', 'with what is between them and the vocabulary');
SELECT is(gpt_count_tokens('special', '<|start|>'), 9, 'they come from no text');
SELECT is(gpt_tokenize('special', '<|start|>the', true), '{262,257}', 'unless asked');
SELECT is(gpt_detokenize('special', '{262,257}'), 'the', 'and give none');
SELECT is(gpt_import_tokenizer('renamed', vocabulary, merges, '{"special": {"</s>": 258}}'), 259, 'a special token of the file may be renamed') FROM pair;
SELECT is(gpt_token_text('renamed', 258), '</s>', 'and is');
SELECT says(format('%L, %L, %L', vocabulary, merges, special), message, message) FROM pair, (VALUES
	('{"special": {"<s>": 257}}', '22023: special token "<s>" has the id 257 of an ordinary token'), ('{"special": {"<s>": -1}}', '22023: id of the special token "<s>" is not an integer from 0 to 1048575'),
	('{"special": {"<s>": 1048576}}', 'not an integer'), ('{"special": {"<s>": 1.5}}', 'not an integer'), ('{"special": {"<s>": "1"}}', 'not an integer'), ('{"special": {"<s>": 1e99999}}', 'not an integer'),
	('{"special": ["<s>"]}', '22023: option "special" must be an object of names and ids, or null'), ('{"special": {"<s>": 260, "<t>": 260}}', '22023: two special tokens have the id 260')) v(special, message);

-- ranks of tiktoken, as text
CREATE TABLE ranks AS SELECT string_agg(encode(token, 'base64') || ' ' || rank, E'\n' ORDER BY rank) AS text FROM
	(SELECT set_byte('\x00', 0, i) AS token, i AS rank FROM generate_series(0, 255) i UNION ALL SELECT t::bytea, 255 + n FROM unnest(ARRAY['th', 'the']) WITH ORDINALITY u(t, n)) r;
SELECT is(gpt_import_tokenizer('ranks', text, '{"split": "gpt2"}'::jsonb), 259, 'ranks are imported as text') FROM ranks;
SELECT is(gpt_import_tokenizer('literal', text, '{"split": "gpt2"}'), 259, 'also where the parser takes the options for a third text') FROM ranks;
SELECT is(gpt_tokenize(name, 'the 12'), '{257,32,49,50}', name || ' gives the ids') FROM unnest(ARRAY['ranks', 'literal']) name;
SELECT is(gpt_import_tokenizer('mark', E'\uFEFF' || text, '{"split": "gpt2"}'), 259, 'a mark of the byte order is no part of it') FROM ranks;
SELECT is(gpt_import_tokenizer('bytea', convert_to(text, 'UTF8'), '{"split": "gpt2"}'), 259, 'and as bytea') FROM ranks;
SELECT is(gpt_export_tokenizer('bytea'), gpt_export_tokenizer('ranks'), 'which is the same');

-- a vocabulary of characters alone
SELECT is(gpt_import_tokenizer('letters', '{"a": 0, "é": 1, "\n": 2}'), 3, 'a vocabulary of characters is imported');
SELECT is(gpt_tokenize('letters', E'aé\n'), '{0,1,2}', 'with its ids');
SELECT throws_ok($$SELECT gpt_tokenize('letters', 'aö')$$, NULL, 'tokenizer has no token for the character U+00F6', 'a character without a token is named');
SELECT is(gpt_import_tokenizer('unknown', '{"a": 0, "<unk>": 1, "<|endoftext|>": 2}'), 3, 'it may have an unknown token and an end');
SELECT is(gpt_tokenize('unknown', 'aö'), '{0,1}', 'which stands for such a character');

-- what is no tokenizer, and what to give instead
SELECT says(quote_literal(content), part, name) FROM (VALUES
	('', 'tokenizer is of no known format', 'nothing'), ('Once upon a time', '22000: tokenizer is of no known format', 'prose'),
	('tokenizer.json', '22023: tokenizer is the name of a file, not its content: "tokenizer.json"', 'the name of a file'), ('/tmp/x', 'is the name of a file', 'a path'),
	('C:\models\cl100k_base.tiktoken', 'is the name of a file', 'a path of Windows'),
	('16403', 'give its oid as a number: 16403::oid', 'the oid of a large object'), ('\x0a0b', 'cast it to bytea', 'bytea as text'), ('GGUF...', 'give it as bytea, or as a large object', 'a GGUF file'),
	(E'version https://git-lfs.github.com/spec/v1\noid', 'git lfs pull', 'a pointer'), (E'#version: 0.2\nt h', 'as the third', 'merges alone'), (E'<unk>\t0\n▁t\t-1', 'tokenizer.model as bytea', 'a list of scores'),
	('{"a": 0, "ab": 1}', 'Give the text of merges.txt (or vocab.bpe) as the third argument.', 'a vocabulary of words alone'),
	('{"model": {"type": "BPE", }}', E'22032: tokenizer is not valid JSON\nExpected string, but found "}". At byte 26, in line 1.', 'JSON with a mistake'),
	(E'{"a":\n', 'The input string ended unexpectedly. At byte 6, in line 2.', 'JSON that was cut')) v(content, part, name);

SELECT says(quote_literal('{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {}]}, "model": {"type": "BPE", "vocab": {}, "merges": []}}'),
	'The object at $.pre_tokenizer.pretokenizers[1] must have a "type", a string.', 'a step without a type has a path');
SELECT says(quote_literal('{"pre_tokenizer": {"type": "Digits", "individual_digits": 1}, "model": {"type": "BPE", "vocab": {}, "merges": []}}'),
	'The value at $.pre_tokenizer.individual_digits is neither true nor false.', 'so has a value of the wrong type');
SELECT says(format('%L, %L', merges, vocabulary), '22000: vocabulary is not an object of JSON', 'merges before the vocabulary') FROM pair;
SELECT says(format('%L, %L', '{"model": {}}', merges), 'Give it alone.', 'a tokenizer.json with merges') FROM pair;
SELECT says(format('%L, %L', vocabulary, E'#version: 0.2\nt h\nthe\n'), 'Line 3 of the merges is not a pair of tokens', 'a line that is no merge') FROM pair;
SELECT says(format('%L, %L', vocabulary, E't h\nq q\n'), 'Merge 1 of "q" and "q" has a token that is not in the vocabulary.', 'a merge of what is no token') FROM pair;
SELECT says(format('%L, %L', vocabulary, ''), 'no error', 'no merges are no error') FROM pair;
SELECT says(format('%L, %L', E'YQ== 0\n\nYg== x', '{"split": "gpt2"}'), 'Line 3 is not a token in base64, a blank and its rank.', 'a line that is no rank');
SELECT says(format('%L, %L', E'YQ== 0\n' || repeat('A', 3000) || ' 1', '{"split": "gpt2"}'), 'The token of line 2 has more than 1024 bytes.', 'a token that is too long');
SELECT says(format('%L, %L', E'YQ== 0', '{"split": "gtp2"}'), 'Known splits are gpt2, cl100k, qwen2, o200k', 'a split that is misspelt');
SELECT says(format('%L, %L', text, '{"split": "(a"}'), 'split pattern is not a regular expression', 'a split that is no regular expression') FROM ranks;
SELECT says(format('%L, %L', '{"model": {}}', '{"split": "gpt2"}'), 'option "split" does not apply to a tokenizer.json', 'a split for what has one');
SELECT says(format('%L, %L', '{"model": {}}', '{"splits": "gpt2"}'), 'The options of gpt_import_tokenizer are "split" and "special".', 'an option that does not exist');
SELECT says('convert_to(''version https://git-lfs'', ''UTF8'')', 'git lfs pull', 'a pointer as bytea');
SELECT says($$'\x1f8b08'::bytea$$, 'unpack it first', 'a compressed file');
SELECT says($$''::bytea$$, 'tokenizer is of no known format', 'no bytes');
SELECT says($$'\x47475546'::bytea$$, '22P03', 'a GGUF file that is cut');
SELECT says($$NULL::text$$, '22004: file must not be null', 'NULL as a text');
SELECT says($$NULL::bytea$$, '22004: file must not be null', 'NULL as bytea');
SELECT says($$'{}', NULL::text$$, '22004: merges must not be null', 'NULL as merges');
SELECT is(gpt_import_tokenizer('null', text, '{"split": "gpt2"}'::jsonb || '{"special": null}'), 259, 'NULL as an option means none') FROM ranks;

-- the files of the projects, where the folder of test data is there
\getenv folder GPT_TEST_DATA
\if :{?folder}
CREATE TABLE file AS SELECT name, pg_read_binary_file(:'folder' || '/' || name) AS content FROM unnest(ARRAY['tokenizers/gpt2.encoder.json', 'tokenizers/gpt2.vocab.bpe', 'tokenizers/gpt2.tokenizer.json',
	'tokenizers/cl100k_base.tiktoken', 'tokenizers/mistral_v1.sentencepiece.model', 'tokenizers/ggml-vocab-gpt-2.gguf', 'models/TinyStories-656K/tokenizer.json']) name;
CREATE FUNCTION content(file text) RETURNS bytea LANGUAGE sql AS $$SELECT content FROM file WHERE name LIKE '%' || $1$$;
SELECT is(gpt_import_tokenizer('gpt2', convert_from(content('encoder.json'), 'UTF8'), convert_from(content('vocab.bpe'), 'UTF8')), 50257, 'encoder.json and vocab.bpe');
SELECT is(gpt_import_tokenizer('gpt2 json', convert_from(content('gpt2.tokenizer.json'), 'UTF8')), 50257, 'the tokenizer.json of GPT-2');
SELECT is(gpt_import_tokenizer('gpt2 gguf', content('gpt-2.gguf')), 50257, 'a GGUF file as bytea');
SELECT is(gpt_import_tokenizer('cl100k', convert_from(content('tiktoken'), 'UTF8')), 100258, 'the ranks of cl100k as text');
SELECT is(gpt_import_tokenizer('mistral', content('sentencepiece.model')), 32000, 'a tokenizer.model as bytea');
CREATE TABLE golden AS SELECT s ->> 'text' AS text, t.name, ARRAY(SELECT json_array_elements_text(s -> t.key)::integer) AS ids
	FROM json_array_elements(pg_read_file(:'folder' || '/golden/tokens.json')::json) s,
		(VALUES ('gpt2', 'gpt2'), ('gpt2 json', 'gpt2'), ('gpt2 gguf', 'gpt2'), ('cl100k', 'cl100k_base'), ('mistral', 'mistral_v1')) t(name, key) WHERE s::text NOT LIKE '%\u0000%';
SELECT ok(count(*) > 100 AND bool_and(gpt_tokenize(name, text) = ids), name || ' gives the ids of its own library') FROM golden GROUP BY name;
SELECT is(gpt_import_tokenizer('stories', convert_from(content('TinyStories-656K/tokenizer.json'), 'UTF8')), 2048, 'a vocabulary without bytes');
SELECT is(gpt_detokenize('stories', gpt_tokenize('stories', 'Once upon a time')), 'Once upon a time', 'has tokens of letters');
SELECT is(gpt_token_text('stories', gpt_tokenize('stories', 'é')), '{" ",<unk>}', 'and its unknown token for a character without one');
DROP TABLE file, golden;
DROP FUNCTION content;
\endif

DROP TABLE pair, ranks;
DROP FUNCTION says, error_of;
SELECT * FROM finish();
