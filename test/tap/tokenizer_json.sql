-- test/tap/tokenizer_json.sql - what must hold of reading and writing tokenizer.json.
-- One schema is enough: the file tests files, and others call the same functions in the second schema.
SELECT no_plan();

CREATE TABLE line AS SELECT 'the quick brown fox number ' || i || ' jumps over Käse, 世界 and 🙂; don''t' AS body FROM generate_series(1, 300) i;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 320}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a tokenizer is trained');
CREATE TABLE file AS SELECT convert_from(lo_get(object), 'UTF8') AS text, convert_from(lo_get(object), 'UTF8')::jsonb AS json
	FROM gpt_tokenizers WHERE tokenizer = 't';
CREATE TABLE input (input text);
INSERT INTO input VALUES ('the quick brown fox don''t'), (E'  Käse,\n世界 🙂'), ('<|endoftext|>'), (E'e\u0301'), ('12345');

-- imports the file with a change under another name; the import has to fail, or to give the ids of "t"
CREATE FUNCTION import(changed jsonb) RETURNS text LANGUAGE sql AS $$SELECT format('SELECT gpt_import_tokenizer(%L, %L)', 'x', changed)$$;
CREATE FUNCTION same_ids() RETURNS boolean LANGUAGE sql AS $$SELECT bool_and(gpt_tokenize('x', input) = gpt_tokenize('t', input)) FROM input$$;
CREATE FUNCTION refused(changed jsonb, feature text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT throws_ok(import(changed), '0A000', 'tokenizer has a feature that is not supported: ' || feature, 'refused: ' || feature)$$;
CREATE FUNCTION detail_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || detail;
END $$;
CREATE FUNCTION malformed(changed jsonb, detail text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT is(detail_of(import(changed)), '22000 ' || detail, 'malformed: ' || detail)$$;

-- the same file, in all the ways that other programs write it
SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', text), 'what was written is read') FROM file;
SELECT is((SELECT count(DISTINCT sha256) FROM gpt_tokenizers), 1::bigint, 'and is written again with the same bytes');
SELECT lives_ok(import(json), 'the order of the fields does not matter') FROM file;
SELECT ok(same_ids(), 'and the ids are the same');
SELECT lives_ok(import(jsonb_set(json, '{model,merges}', (SELECT jsonb_agg(to_jsonb(string_to_array(merge, ' ')) ORDER BY n)
	FROM jsonb_array_elements_text(json #> '{model,merges}') WITH ORDINALITY m(merge, n)))), 'merges may be arrays of two') FROM file;
SELECT ok(same_ids(), 'and the ids are the same');
SELECT lives_ok(import(jsonb_build_object('encoder', json #> '{model,vocab}', 'merges', '#version: 0.2' || E'\n' ||
	(SELECT string_agg(merge, E'\n' ORDER BY n) FROM jsonb_array_elements_text(json #> '{model,merges}') WITH ORDINALITY m(merge, n)) || E'\n')),
	'encoder.json and vocab.bpe are read as one object') FROM file;
SELECT ok(same_ids(), 'and the ids are the same');
SELECT lives_ok(import(json #- '{model,type}' #- '{model,byte_fallback}' #- '{model,ignore_merges}' #- '{decoder}' #- '{post_processor}'), 'fields with defaults may be missing') FROM file;
SELECT lives_ok(import(json || '{"truncation": {"max_length": 8}, "padding": {"pad_id": 0}}'), 'truncation and padding are ignored') FROM file;
SELECT ok(same_ids(), 'and the ids are the same');
SELECT lives_ok(import(jsonb_set(json, '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [
	{"type": "Split", "pattern": {"Regex": "''s|''t|''re|''ve|''m|''ll|''d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
	{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}')), 'the pattern may be spelt out') FROM file;
SELECT is((SELECT count(DISTINCT sha256) FROM gpt_tokenizers), 1::bigint, 'and is recognised');
SELECT lives_ok(import(jsonb_set(json, '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [
	{"type": "Split", "pattern": {"Regex": "\\p{N}|[^\\p{N}]+"}, "behavior": "Isolated", "invert": false},
	{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}')), 'a pattern of its own is taken') FROM file;
SELECT is(gpt_count_tokens('x', '12345'), 5, 'and splits');
SELECT lives_ok(import(jsonb_set(json, '{normalizer}', '{"type": "Sequence", "normalizers": [{"type": "NFC"}]}')), 'NFC is taken') FROM file;
SELECT is(gpt_tokenize('x', E'e\u0301'), gpt_tokenize('t', 'é'), 'and normalises');
SELECT lives_ok(import(jsonb_set(json, '{post_processor}', '{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
	{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [319], "tokens": ["<|endoftext|>"]}}}')),
	'a token in front of the text is taken') FROM file;
SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'y', convert_from(lo_get(object), 'UTF8')), 'written and read again')
	FROM gpt_tokenizers WHERE tokenizer = 'x';
SELECT is((SELECT count(DISTINCT sha256) FROM gpt_tokenizers WHERE tokenizer IN ('x', 'y')), 1::bigint, 'it is the same');

SELECT lives_ok(import(jsonb_set(json, '{pre_tokenizer,add_prefix_space}', 'true')), 'a space in front is taken') FROM file;
SELECT is(gpt_tokenize('x', 'the fox'), gpt_tokenize('t', ' the fox'), 'and is put in front of a text without one');
SELECT is(gpt_tokenize('x', ' the fox'), gpt_tokenize('t', ' the fox'), 'but not of one that has it');
SELECT lives_ok(import(jsonb_set(json, '{added_tokens,0,special}', 'false')), 'an added token that is not special is taken') FROM file;
SELECT is(gpt_tokenize('x', 'a<|endoftext|>b'), gpt_tokenize('t', 'a') || 319 || gpt_tokenize('t', 'b'), 'and is found in a text');
SELECT is(gpt_detokenize('x', '{97,319}'), 'a<|endoftext|>', 'and is written out');

-- tokenizers of bytes and of characters
SELECT lives_ok(import(jsonb_set(jsonb_set(jsonb_set(jsonb_set(json, '{model,vocab}', (SELECT jsonb_object_agg(key, value) || '{"<|endoftext|>": 256}' FROM jsonb_each(json #> '{model,vocab}') WHERE value::integer < 256)),
	'{model,merges}', '[]'), '{pre_tokenizer,use_regex}', 'false'), '{added_tokens,0,id}', '256')), 'a vocabulary of bytes alone is read') FROM file;
SELECT is((SELECT kind FROM gpt_tokenizers WHERE tokenizer = 'x'), 'bytes', 'and is one of bytes');
SELECT is(gpt_tokenize('x', 'aé'), '{97,195,169}', 'whose ids are the bytes');
SELECT lives_ok(import('{"added_tokens": [{"id": 4, "content": "<|endoftext|>", "special": true}], "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false},
	"decoder": {"type": "Fuse"}, "model": {"type": "WordLevel", "vocab": {"\n": 0, "a": 1, "é": 2, "<unk>": 3}, "unk_token": "<unk>"}}'), 'a vocabulary of characters is read');
SELECT is(gpt_tokenize('x', E'aé\nb'), '{1,2,0,3}', 'and an unknown character is the unknown token');
SELECT is(gpt_detokenize('x', '{1,2,0,4}'), E'aé\n', 'and the ids give the text');


-- a vocabulary that spells spaces as signs: an added token with a space is found, a token of the vocabulary with one is refused
CREATE FUNCTION of_signs(added text) RETURNS jsonb LANGUAGE sql AS $$SELECT format('{"added_tokens": [%s], "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
	"model": {"type": "BPE", "vocab": {"a": 0, "▁": 1, "b": 2, "a b": 3}, "merges": []}}', added)::jsonb$$;
SELECT lives_ok(import(of_signs('{"id": 3, "content": "a b", "normalized": false}')), 'an added token with a space is taken');
SELECT is(gpt_tokenize('x', 'a a b'), '{0,1,3}', 'and is found');
SELECT is(gpt_detokenize('x', '{0,1,3}'), 'a a b', 'and written out');
SELECT refused(of_signs(''), 'token "a b" with a space in a vocabulary that spells spaces as U+2581');
DROP FUNCTION of_signs;

-- features that are refused by name
SELECT refused(jsonb_set(json, '{model,byte_fallback}', 'true'), 'byte_fallback') FROM file;
SELECT refused(jsonb_set(json, '{model,dropout}', '0.1'), 'dropout') FROM file;
SELECT refused(jsonb_set(json, '{model,continuing_subword_prefix}', '"##"'), 'continuing_subword_prefix') FROM file;
SELECT refused(jsonb_set(json, '{model,end_of_word_suffix}', '"</w>"'), 'end_of_word_suffix') FROM file;
SELECT refused(jsonb_set(json, '{model,type}', '"Unigram"'), 'pre_tokenizer "ByteLevel" of the model "Unigram"') FROM file;
SELECT refused(jsonb_set(json, '{model,type}', '"WordPiece"'), 'model "WordPiece"') FROM file;
SELECT refused(jsonb_set(json, '{model,type}', '"WordLevel"'), 'model "WordLevel" with words of several characters')
	FROM (SELECT json - 'pre_tokenizer' AS json FROM file) f;
SELECT refused(jsonb_set(json, '{normalizer}', '{"type": "Lowercase"}'), 'normalizer "Lowercase"') FROM file;
SELECT refused(jsonb_set(json, '{normalizer}', '{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}'), 'normalizer "Strip" without a "Replace" of several spaces') FROM file;
SELECT refused(json - 'pre_tokenizer', 'decoder "ByteLevel" of this model') FROM file;
SELECT refused(jsonb_set(json, '{pre_tokenizer}', '{"type": "Metaspace"}'), 'pre_tokenizer "Metaspace" with a replacement other than U+2581') FROM file;
SELECT refused(jsonb_set(json, '{pre_tokenizer}', '{"type": "Whitespace"}'), 'pre_tokenizer "Whitespace"') FROM file;
SELECT refused(jsonb_set(json, '{normalizer}', '{"type": "Prepend", "prepend": "▁"}'), 'normalizer "Replace" or "Prepend" of a byte-level model') FROM file;
SELECT refused(jsonb_set(json, '{normalizer}', '{"type": "Replace", "pattern": {"String": "a"}, "content": "b"}'), 'normalizer "Replace" of anything but a space by U+2581') FROM file;
SELECT refused(jsonb_set(json, '{normalizer}', '{"type": "Precompiled", "precompiled_charsmap": "AAAA"}'), 'normalizer "Precompiled" or "Strip" of a byte-level model') FROM file;
SELECT refused(json #- '{pre_tokenizer,add_prefix_space}', 'add_prefix_space') FROM file;
SELECT refused(jsonb_set(json, '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {}, "behavior": "Isolated", "invert": false}]}'),
	'pre_tokenizer "Split" without a pattern') FROM file;
SELECT refused(jsonb_set(json, '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": " "}, "behavior": "Removed", "invert": true}]}'),
	'pre_tokenizer "Split" with the behavior "Removed", inverted') FROM file;
SELECT refused(jsonb_set(json, '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]}'),
	'pre_tokenizer "Sequence" of "ByteLevel" and "Digits"') FROM file;
SELECT refused(jsonb_set(json, '{decoder}', '{"type": "WordPiece"}'), 'decoder "WordPiece" of this model') FROM file;
SELECT refused(jsonb_set(json, '{post_processor}', '{"type": "BertProcessing"}'), 'post_processor "BertProcessing"') FROM file;
SELECT throws_ok(import(jsonb_set(json, '{model,vocab}', (json #> '{model,vocab}') || '{"▁the": 320}')), '0A000', 'tokenizer is not a byte-level one',
	'a vocabulary of other letters is refused') FROM file;

-- files that are malformed
SELECT throws_ok($$SELECT gpt_import_tokenizer('x', '{"model": ')$$, '22032', 'tokenizer is not valid JSON', 'JSON that is cut is refused');
SELECT malformed('[]', 'It is not a JSON object.');
SELECT malformed('{}', 'It has no object "model".');
SELECT malformed('{"model": []}', 'It has no object "model".');
SELECT malformed('{"model": {}}', 'The object at $.model must have a "type", a string.');
SELECT malformed(json #- '{model,vocab}', 'It has no object of tokens.') FROM file;
SELECT malformed(json #- '{model,merges}', 'Its model has no array "merges".') FROM file;
SELECT malformed(jsonb_set(json, '{added_tokens}', '{}'), 'Its "added_tokens" are not an array.') FROM file;
SELECT malformed(jsonb_set(json, '{added_tokens,0,id}', '38'), 'Token "&" has the id 38 of another token.') FROM file;
SELECT malformed(json #- '{model,vocab,a}', 'It has no token with the id 97, but 320 tokens.') FROM file;
SELECT malformed(jsonb_set(json, '{model,vocab,a}', '98'), 'Token "b" has the id 98 of another token.') FROM file;
SELECT malformed(jsonb_set(json, '{model,vocab,a}', id), 'The id of token "a" is not an integer from 0 to 1048575.')
	FROM file, (VALUES ('-1'::jsonb), ('1048576'), ('1.5'), ('"7"'), ('null'), ('[]'), ('99999999999999999999')) v(id);
SELECT malformed(jsonb_set(json, '{model,vocab,a}', '1048575'), 'It has no token with the id 97, but 1048576 tokens.') FROM file;
SELECT malformed(jsonb_set(json, '{model,vocab}', (json #> '{model,vocab}') || jsonb_build_object(repeat('a', 1025), 320)),
	'Token 320 has 1025 bytes, the limit is 1024.') FROM file;
SELECT malformed(jsonb_set(json, '{model,merges,0}', merge), 'Merge 0 is not a pair of tokens.')
	FROM file, (VALUES ('"ab"'::jsonb), ('[]'), ('["a"]'), ('["a", "b", "c"]'), ('["a", 1]'), ('7'), ('null')) v(merge);
SELECT malformed(jsonb_set(json, '{model,merges,0}', '"z q"'), 'Merge 0 of "z" and "q" has a token that is not in the vocabulary.') FROM file;
SELECT throws_ok(import(jsonb_set(json, '{model,merges,1}', json #> '{model,merges,0}')), '22000', NULL, 'a merge that is there twice is refused') FROM file;
SELECT throws_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', replace(text, '"model":{', '"model":{},"model":{')), '22030', 'JSON field "model" occurs twice',
	'a field that is there twice is refused') FROM file;
SELECT is(detail_of(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', replace(text, '"a":97', '"a":97,"a":97'))), '22000 Token "a" has the id 97 of another token.',
	'a token that is there twice is refused') FROM file;
SELECT is(detail_of(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', replace(text, '"a":97', '"a":97,"a":320'))), '22000 Tokens 97 and 320 are the same.',
	'a token with two ids is refused') FROM file;
SELECT malformed('{"encoder": {"a": 0}}', 'Beside the object "encoder" it must have the text of vocab.bpe as a string "merges".');
SELECT malformed('{"encoder": {"a": 0}, "merges": "", "model": {}}', 'It has a field "model" beside "encoder" and "merges".');
SELECT throws_ok($$SELECT gpt_import_tokenizer('x', repeat(' ', 64 * 1024 * 1024 + 1))$$, '54000', 'tokenizer has 67108865 bytes, the limit is 64 MB', 'a file that is too large is refused');
SELECT throws_ok($$SELECT gpt_import_tokenizer('x', repeat('[', 100000))$$, '54001', NULL, 'a file that is nested too deeply is refused');
SELECT malformed(jsonb_set(json, '{post_processor}', '{"type": "TemplateProcessing"}'), 'Its post_processor "TemplateProcessing" has no array "single".') FROM file;
SELECT malformed(jsonb_set(json, '{post_processor}', '{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}}'),
	'The token "<s>" of its post_processor "TemplateProcessing" is not one special token.') FROM file;

-- files that were made to take long: tokens of one place in a table of the server's own hash, and a template whose every piece is looked for
CREATE TABLE colliding AS SELECT string_agg(format('"%s":%s,', token, id), '') AS tokens, string_agg(format('"%s":{},', token), '') AS specials
	FROM (SELECT 'w' || i AS token, row_number() OVER () + 319 AS id FROM generate_series(1, 1700000) i WHERE (hashtext('w' || i) & 131071) < 4096 LIMIT 50000) t;
CREATE TABLE slow AS SELECT replace(text, '"vocab":{', '"vocab":{' || tokens) AS vocabulary,
	replace(text, '"post_processor":null', '"post_processor":{"type":"TemplateProcessing","single":[' || repeat('{"SpecialToken":{"id":"~"}},', 50000) ||
		'{"Sequence":{"id":"A"}}],"special_tokens":{' || specials || '"~":{"ids":[319]}}}') AS template FROM file, colliding;
-- seconds in which the session had a core; those of the clock where the kernel does not count them
CREATE FUNCTION processor_seconds() RETURNS float8 LANGUAGE sql VOLATILE AS
	$$SELECT coalesce(split_part(pg_read_file('/proc/self/schedstat', 0, 100, true), ' ', 1)::float8 / 1e9, extract(epoch FROM clock_timestamp()))$$;
SELECT processor_seconds() AS began \gset
SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', vocabulary), '50,000 tokens that collide are read') FROM slow;
SELECT cmp_ok(processor_seconds() - :began, '<', 5::float8, 'in time');
SELECT processor_seconds() AS began \gset
SELECT throws_ok(format('SELECT gpt_import_tokenizer(%L, %L)', 'x', template), '0A000', NULL, 'so is a template of 50,000 pieces') FROM slow;
SELECT cmp_ok(processor_seconds() - :began, '<', 5::float8, 'in time');

DROP FUNCTION processor_seconds, malformed, detail_of, refused, same_ids, import;
DROP TABLE line, file, input, colliding, slow;
SELECT * FROM finish();
