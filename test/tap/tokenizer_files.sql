-- test/tap/tokenizer_files.sql - tokenizers in other files than tokenizer.json: tokenizer.model, tiktoken's ranks and GGUF.
-- One schema is enough: the file tests files, and others call the same functions in the second schema.
SELECT no_plan();

-- protocol buffers: a field of bytes, of a float and of a small number
CREATE FUNCTION pb(field integer, value bytea) RETURNS bytea LANGUAGE sql AS
	$$SELECT set_byte('\x00', 0, field << 3 | 2) || CASE WHEN length(value) < 128 THEN set_byte('\x00', 0, length(value))
		ELSE set_byte(set_byte('\x0000', 0, length(value) & 127 | 128), 1, length(value) >> 7) END || value$$;
CREATE FUNCTION pb(field integer, value real) RETURNS bytea LANGUAGE sql AS
	$$SELECT set_byte('\x00', 0, field << 3 | 5) || substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) FROM float4send(value) b$$;
CREATE FUNCTION pb(field integer, value integer) RETURNS bytea LANGUAGE sql AS
	$$SELECT CASE WHEN field < 16 THEN set_byte('\x00', 0, field << 3) ELSE set_byte(set_byte('\x0000', 0, (field << 3) & 127 | 128), 1, field >> 4) END
		|| set_byte('\x00', 0, value)$$;
CREATE FUNCTION piece(body text, score real, type integer) RETURNS bytea LANGUAGE sql AS
	$$SELECT pb(1, pb(1, convert_to(body, 'UTF8')) || pb(2, score) || pb(3, type))$$;

-- <unk> <s> </s>, three bytes, letters, then the merges by their scores
CREATE TABLE piece (id integer, body text, score real, type integer);
INSERT INTO piece VALUES (0, '<unk>', 0, 2), (1, '<s>', 0, 3), (2, '</s>', 0, 3), (3, '<0xC3>', 0, 6), (4, '<0xA9>', 0, 6), (5, '<0x0A>', 0, 6),
	(6, 'ab', -1, 1), (7, '▁ab', -2, 1), (8, 'bc', -3, 1), (9, '▁', -4, 1), (10, 'a', -5, 1), (11, 'b', -6, 1), (12, 'c', -7, 1), (13, '[ X]', 0, 4);
CREATE FUNCTION model(settings bytea, normalizer bytea) RETURNS bytea LANGUAGE sql AS
	$$SELECT string_agg(piece(body, score, type), '' ORDER BY id) || pb(2, settings) || pb(3, normalizer) FROM piece$$;
CREATE FUNCTION import_bytes(file bytea, options jsonb DEFAULT '{}') RETURNS integer LANGUAGE sql AS $$SELECT gpt_import_tokenizer('x', lo_from_bytea(0, file), options)$$;
\set settings 'pb(3, 2) || pb(35, 1)'
\set identity 'pb(1, ''identity''::bytea) || pb(3, 1) || pb(4, 0)'

SELECT is(import_bytes(model(:settings, :identity)), 14, 'a tokenizer.model is imported');
SELECT is((SELECT kind FROM gpt_tokenizers WHERE tokenizer = 'x'), 'sentencepiece', 'as one of SentencePiece');
SELECT is(gpt_tokenize('x', 'ab abc'), '{7,7,12}', 'the largest score is merged first, with a space in front of the text');
SELECT is(gpt_tokenize('x', 'bc aab'), '{9,8,9,10,6}', 'of two neighbours those that make a token');
SELECT is(gpt_tokenize('x', E'aé\nö'), '{9,10,3,4,5,0}', 'a character without a token is its bytes, or unknown where a byte has no token');
SELECT is(gpt_tokenize('x', 'a[ X]b<s>'), '{9,10,13,11,0}', 'a piece of the user is found first, a control piece is text; unknown neighbours are one');
SELECT is(gpt_detokenize('x', '{7,7,12,3,4,13}'), 'ab abcé[ X]', 'the tokens give the text without the space in front');
SELECT is(gpt_tokenize('x', ''), '{}', 'an empty text has no tokens');
SELECT is(import_bytes(model(pb(3, 1) || pb(35, 1), :identity)), 14, 'a unigram model is imported');
SELECT is(gpt_tokenize('x', 'abc abé'), '{7,12,7,3,4}', 'whose tokens have the largest sum of scores');
SELECT is((SELECT kind FROM gpt_tokenizers WHERE tokenizer = 'x'), 'unigram', 'and which is one of that kind');
SELECT is(import_bytes(model(:settings, pb(1, 'identity'::bytea) || pb(3, 0) || pb(4, 0))), 14, 'a model without a prefix is imported');
SELECT is(gpt_tokenize('x', 'ab ab'), '{6,7}', 'and puts no space in front');
-- the table of characters: a trie of units of four bytes, of which these are used, and the strings; U+FF41 is an a, U+0001 is nothing
CREATE FUNCTION unit_word(value bigint) RETURNS bytea LANGUAGE sql AS
	$$SELECT substr(b, 8, 1) || substr(b, 7, 1) || substr(b, 6, 1) || substr(b, 5, 1) FROM int8send(value) b$$;
CREATE FUNCTION rules() RETURNS bytea LANGUAGE sql AS
	$$SELECT unit_word(1024) || string_agg(unit_word(COALESCE(unit, 2147483648)), '' ORDER BY n) || '\x00610000'::bytea FROM generate_series(0, 255) n LEFT JOIN
		(VALUES (0, 2048), (2, 2147483648), (3, 1281), (81, 1213), (208, 2147483649), (209, 1409), (237, 1263)) u (place, unit) ON place = n$$;
SELECT is(import_bytes(model(:settings, pb(1, 'nfkc'::bytea) || pb(2, rules()) || pb(3, 1) || pb(4, 0))), 14, 'one with a table of characters is imported');
SELECT is(gpt_tokenize('x', 'ａb'), '{7}', 'which replaces characters');
SELECT is(gpt_tokenize('x', E'\x01'), '{9}', 'a text of which nothing is left is the space in front of it');
CREATE TABLE written AS SELECT convert_from(lo_get(object), 'UTF8') AS json, sha256 FROM gpt_tokenizers WHERE tokenizer = 'x';
SELECT is(gpt_import_tokenizer('y', json), 14, 'the table is in its tokenizer.json') FROM written;
SELECT is((SELECT sha256 FROM gpt_tokenizers WHERE tokenizer = 'y'), (SELECT sha256 FROM written), 'which is written again as it was');
SELECT is(import_bytes(model(:settings, pb(1, 'nmt_nfkc'::bytea) || pb(2, rules()))), 14, 'one without extra spaces is imported');
SELECT is(gpt_tokenize('x', '  ａb   ab '), '{7,7}', 'one space of several stays, and none at the ends');
SELECT is(gpt_tokenize('x', '   '), '{}', 'nothing is left of spaces');
SELECT is(gpt_import_tokenizer('y', convert_from(lo_get(object), 'UTF8')), 14, 'it is in its tokenizer.json') FROM gpt_tokenizers WHERE tokenizer = 'x';
SELECT is(gpt_tokenize('y', '  ａb   ab '), '{7,7}', 'and is read from there');
SELECT throws_ok('SELECT import_bytes(model(' || quote_literal(pb(3, 2) || pb(35, 1)) || ', pb(1, ''x''::bytea) || pb(2, ''\x01''::bytea)))', '22000', NULL, 'a table that is none is refused');
SELECT throws_like(format('SELECT gpt_import_tokenizer(%L, %L)', 'y', regexp_replace(json, '"precompiled_charsmap":"[^"]*"', '"precompiled_charsmap":"?"')),
	'%', 'and one that is not base64') FROM written;
SELECT throws_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'y', replace(json, '{"type":"Prepend"', '{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Prepend"')),
	'0A000', NULL, 'a normalizer that only strips is refused') FROM written;

CREATE FUNCTION unsupported(settings bytea, normalizer bytea, feature text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT throws_ok(format('SELECT import_bytes(model(%L, %L))', settings, normalizer), '0A000', 'tokenizer has a feature that is not supported: ' || feature, 'refused: ' || feature)$$;
SELECT unsupported(pb(3, 3), :identity, 'a tokenizer.model that is neither BPE nor unigram');
SELECT unsupported(pb(3, 9), :identity, 'a tokenizer.model that is neither BPE nor unigram');
SELECT unsupported(pb(3, 2) || pb(24, 1), :identity, 'treat_whitespace_as_suffix');
SELECT unsupported(:settings, pb(4, 0) || pb(5, 0), 'a tokenizer.model without escape_whitespaces');

CREATE FUNCTION refused(file bytea, message text, name text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT throws_like(format('SELECT import_bytes(%L)', file), message, name)$$;
SELECT refused(substr(file, 1, length(file) - n), '%', 'a model without its last ' || n || ' bytes is refused or read whole') FROM model(:settings, :identity) file, generate_series(1, 5) n
	WHERE n <> 2;
SELECT refused(piece('a', 0, 1) || '\x0aff'::bytea, 'tokenizer.model ends within the field that begins at byte 12', 'one that ends within a field');
SELECT refused(piece('a', 0, 1) || '\x0b'::bytea, 'tokenizer.model has a field of wire type 3 at byte 12', 'a group');
SELECT refused(piece('a', 0, 1) || '\x00'::bytea, 'tokenizer.model has a field without a number at byte 12', 'a field 0');
SELECT refused(piece('a', 0, 1) || pb(1, '\x0a05'::bytea), 'tokenizer.model ends within the field that begins at byte 0 of piece 1', 'a piece that ends within a field');
SELECT refused(piece('a', 0, 1) || piece('', 0, 1), 'piece 1 of tokenizer.model is empty', 'an empty piece');
SELECT refused(piece('a', 0, 1) || pb(1, pb(1, '\xff'::bytea)), 'piece 1 of tokenizer.model is not text', 'a piece that is not text');
SELECT refused(piece('a', 0, 1) || piece('b', 'NaN', 1), 'score of piece 1 of tokenizer.model is nan', 'a score that is no number');
SELECT refused(piece('a', 0, 1) || piece('b', 0, 7), 'piece 1 of tokenizer.model has no known type', 'a type that is not known');
SELECT refused(piece('a', 0, 1) || piece('a', 0, 1), '%', 'a piece that is there twice');
SELECT refused(piece('a', 0, 1) || piece('a', 0, 2), '%', 'also as one of another type');
SELECT refused(piece('a', 0, 1) || piece('b', 0, 6), '%', 'a byte that has another name');
SELECT refused(piece('a', 0, 2) || piece('b', 0, 2), '%', 'two unknown pieces');

-- ranks of tiktoken
CREATE FUNCTION ranks(split text) RETURNS bytea LANGUAGE sql AS
	$$SELECT convert_to(string_agg(encode(token, 'base64') || ' ' || rank, E'\n' ORDER BY rank), 'UTF8') FROM
		(SELECT set_byte('\x00', 0, i) AS token, i AS rank FROM generate_series(0, 255) i
		UNION ALL SELECT t::bytea, 255 + n FROM unnest(ARRAY['th', 'the', ' t', ' the', '12', 'qed']) WITH ORDINALITY u(t, n)) r$$;
SELECT throws_ok('SELECT import_bytes(ranks(NULL))', '0A000', 'a file of 262 ranks does not say how texts are split', 'ranks of an unknown vocabulary need the name of a split');
SELECT is(import_bytes(ranks(NULL), '{"split": "cl100k"}'), 263, 'with it they are imported');
SELECT is(gpt_tokenize('x', 'the the'), '{257,259}', 'the lowest rank is merged first');
SELECT is(gpt_tokenize('x', '12 qed'), '{260,32,113,101,100}', 'a token that no merge makes');
SELECT is(gpt_tokenize('x', 'qed'), '{261}', 'is made of a whole piece');
SELECT is(gpt_detokenize('x', '{257,259,261,262}'), 'the theqed', 'and the text is that of the bytes');
SELECT throws_ok($$SELECT import_bytes(ranks(NULL), '{"split": "none"}')$$, '22023', 'option "split" must be the name of a known split or a regular expression, not "none"', 'an unknown split is refused');
SELECT throws_ok($$SELECT import_bytes('YQ== 0', '{"pattern": "gpt2"}')$$, '22023', 'option "pattern" does not exist', 'an unknown option is refused');
SELECT throws_ok($$SELECT import_bytes('YQ== 0', '{"split": 1}')$$, '22023', 'option "split" must be a string or null', 'a split that is no string is refused');
SELECT throws_ok($$SELECT import_bytes(E'YQ== 0\nYg==', '{"split": "gpt2"}')$$, '22000', 'tokenizer is malformed', 'a line without a rank is refused');
SELECT throws_ok($$SELECT import_bytes(E'YQ== 0\n**** 1', '{"split": "gpt2"}')$$, '22000', 'tokenizer is malformed', 'what is not base64 is refused');
SELECT throws_ok($$SELECT import_bytes(E'YQ== 0\nYg== 7', '{"split": "gpt2"}')$$, '22000', 'tokenizer is malformed', 'a rank that is too large is refused');
SELECT throws_ok($$SELECT import_bytes(E'YQ== 0\nYg== 0', '{"split": "gpt2"}')$$, '22000', 'tokenizer is malformed', 'a rank that is there twice is refused');

-- GGUF: numbers of 4 and 8 bytes, strings, keys
CREATE FUNCTION le(value bigint, size integer) RETURNS bytea LANGUAGE sql AS
	$$SELECT string_agg(set_byte('\x00', 0, (value >> 8 * i & 255)::integer), '' ORDER BY i) FROM generate_series(0, size - 1) i$$;
CREATE FUNCTION gs(value text) RETURNS bytea LANGUAGE sql AS $$SELECT le(octet_length(convert_to(value, 'UTF8')), 8) || convert_to(value, 'UTF8')$$;
CREATE FUNCTION word(key text, value text) RETURNS bytea LANGUAGE sql AS $$SELECT gs(key) || le(8, 4) || gs(value)$$;
CREATE FUNCTION words(key text, value text[]) RETURNS bytea LANGUAGE sql AS
	$$SELECT gs(key) || le(9, 4) || le(8, 4) || le(cardinality(value), 8) || coalesce(string_agg(gs(w), '' ORDER BY n), '') FROM unnest(value) WITH ORDINALITY u(w, n)$$;
CREATE FUNCTION numbers(key text, type integer, value bytea, n integer) RETURNS bytea LANGUAGE sql AS $$SELECT gs(key) || le(9, 4) || le(type, 4) || le(n, 8) || value$$;
CREATE FUNCTION gguf(VARIADIC keys bytea[]) RETURNS bytea LANGUAGE sql AS
	$$SELECT 'GGUF'::bytea || le(3, 4) || le(0, 8) || le(cardinality(keys), 8) || string_agg(k, '' ORDER BY n) FROM unnest(keys) WITH ORDINALITY u(k, n)$$;
CREATE TABLE part AS SELECT words('tokenizer.ggml.tokens', array_agg(body ORDER BY id)) AS tokens,
	numbers('tokenizer.ggml.scores', 6, string_agg(substr(pb(1, score), 2), '' ORDER BY id), 14) AS scores,
	numbers('tokenizer.ggml.token_type', 5, string_agg(le(type, 4), '' ORDER BY id), 14) AS types,
	word('tokenizer.ggml.model', 'llama') AS llama, word('tokenizer.ggml.model', 'gpt2') AS gpt2,
	gs('tokenizer.ggml.bos_token_id') || le(4, 4) || le(1, 4) AS bos FROM piece;
SELECT is(import_bytes(gguf(llama, tokens, scores, types, bos)), 14, 'a GGUF file of SentencePiece is imported') FROM part;
SELECT is(gpt_tokenize('x', 'ab abc'), '{7,7,12}', 'with the tokens of the tokenizer.model');
SELECT is((SELECT convert_from(lo_get(object), 'UTF8')::json #>> '{post_processor,single,0,SpecialToken,id}' FROM gpt_tokenizers WHERE tokenizer = 'x'), '<s>',
	'and its beginning of a text');
CREATE TABLE letter AS SELECT array_agg(CASE WHEN i <= 32 THEN chr(256 + i) WHEN i BETWEEN 127 AND 160 THEN chr(162 + i) WHEN i = 173 THEN chr(323) ELSE chr(i) END ORDER BY i) AS bytes
	FROM generate_series(0, 255) i;
CREATE FUNCTION bpe(pre text, merges text[]) RETURNS bytea LANGUAGE sql AS
	$$SELECT gguf(gpt2, words('tokenizer.ggml.tokens', bytes || ARRAY['th', 'the', '<|end|>', '<tool>']), word('tokenizer.ggml.pre', pre), words('tokenizer.ggml.merges', merges),
		numbers('tokenizer.ggml.token_type', 5, (SELECT string_agg(le(CASE i WHEN 258 THEN 3 WHEN 259 THEN 4 ELSE 1 END, 4), '' ORDER BY i) FROM generate_series(0, 259) i), 260))
	FROM letter, part$$;
SELECT is(import_bytes(bpe('qwen2', '{t h,th e}')), 260, 'a GGUF file of byte-level BPE is imported');
SELECT is(gpt_tokenize('x', 'the<tool>12<|end|>'), '{257,259,49,50,60,124,101,110,100,124,62}', 'a token of the user is found, a control token is text');
SELECT is(gpt_tokenize('x', E'e\u0301'), gpt_tokenize('x', 'é'), 'and it normalises as Qwen does');
SELECT throws_ok($$SELECT import_bytes(bpe('nobody', '{t h}'))$$, '0A000', 'tokenizer has a feature that is not supported: tokenizer.ggml.pre "nobody"', 'an unknown split is refused');
SELECT throws_ok($$SELECT import_bytes(bpe('qwen2', '{th}'))$$, '22000', 'tokenizer is malformed', 'a merge of one token is refused');
SELECT throws_ok($$SELECT import_bytes(bpe('qwen2', '{t q}'))$$, '22000', 'tokenizer is malformed', 'so is a merge without a result');
SELECT throws_ok(format('SELECT import_bytes(%L)', gguf(llama, tokens, types)), '22P03', NULL, 'so is a file without scores') FROM part;
SELECT throws_ok(format('SELECT import_bytes(%L)', gguf(llama, tokens, scores, numbers('tokenizer.ggml.token_type', 5, le(1, 4), 1))), '22000', NULL, 'and one with fewer types') FROM part;
SELECT throws_ok(format('SELECT import_bytes(%L)', gguf(word('tokenizer.ggml.model', 'rwkv'), tokens)), '0A000', NULL, 'and an unknown model') FROM part;
SELECT throws_ok(format('SELECT import_bytes(%L)', gguf(bos)), '22P03', NULL, 'and a file without a tokenizer') FROM part;

-- other objects
SELECT is(import_bytes(lo_get(object)), 260, 'a tokenizer.json in a large object is imported') FROM gpt_tokenizers WHERE tokenizer = 'x';
SELECT throws_ok($$SELECT gpt_import_tokenizer('y', 1::oid)$$, '42704', 'large object 1 does not exist', 'an object that does not exist is an error');
SELECT throws_ok($$SELECT gpt_import_tokenizer('y', NULL::oid)$$, '22004', NULL, 'NULL is an error');

DROP TABLE piece, part, letter;
DROP FUNCTION bpe, gguf, numbers, words, word, gs, le, ranks, refused, unsupported, import_bytes, model, piece, pb(integer, bytea), pb(integer, real), pb(integer, integer);
SELECT * FROM finish();
