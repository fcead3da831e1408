-- test/tap/tokenizer_export.sql - a tokenizer of every kind exports, and imports again to the same ids.
-- One schema is enough: the file tests tokens, and others call the same functions in the second schema.
SELECT no_plan();

-- byte-level BPE with five merges, made of the tokenizer of bytes
CREATE TABLE byte_level AS SELECT jsonb_set(jsonb_set(jsonb_set(jsonb_set(json, '{model,vocab}', (json #> '{model,vocab}') - '<|endoftext|>' ||
		'{"th": 256, "the": 257, "Ġthe": 258, "fo": 259, "fox": 260, "<|endoftext|>": 261}'), '{model,merges}', '["t h", "th e", "Ġ the", "f o", "fo x"]'),
		'{pre_tokenizer,use_regex}', 'true'), '{added_tokens,0,id}', '261') AS json FROM (SELECT gpt_export_tokenizer('bytes')::jsonb AS json) b;
CREATE TABLE made (kind text, variant text, json jsonb);
INSERT INTO made SELECT 'bpe', 'pieces', json FROM byte_level;
INSERT INTO made SELECT 'bpe', 'pieces, ' || variant, jsonb_set(json, path::text[], value::jsonb)
	FROM byte_level, (VALUES ('NFC', '{normalizer}', '{"type": "NFC"}'), ('NFKC', '{normalizer}', '{"type": "NFKC"}'), ('a space in front', '{pre_tokenizer,add_prefix_space}', 'true'),
		('merges ignored', '{model,ignore_merges}', 'true'),
		('a split by digits', '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false}]}'),
		('a split by a pattern', '{pre_tokenizer}', '{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s"}, "behavior": "Isolated", "invert": false},
			{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}'),
		('an added token', '{added_tokens}', '[{"id": 261, "content": "<|endoftext|>", "special": true}, {"id": 262, "content": "<go on>", "special": false, "lstrip": true, "single_word": true}]')) v(variant, path, value);
INSERT INTO made VALUES ('chars', 'characters', '{"added_tokens": [{"id": 4, "content": "<|endoftext|>", "special": true}], "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"},
	"behavior": "Isolated", "invert": false}, "decoder": {"type": "Fuse"}, "model": {"type": "WordLevel", "vocab": {"\n": 0, "a": 1, "é": 2, "<unk>": 3}, "unk_token": "<unk>"}}');
INSERT INTO made SELECT kind, kind || ', ' || variant, jsonb_strip_nulls(jsonb_build_object('normalizer', normalizer::jsonb, 'pre_tokenizer', pre::jsonb, 'added_tokens',
		'[{"id": 0, "content": "<unk>", "special": true}, {"id": 7, "content": "<go on>", "special": false}]'::jsonb, 'model', model::jsonb))
	FROM (VALUES ('sentencepiece', '{"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "<0xC3>": 5, "<0xA9>": 6},
				"merges": ["▁ a"]}'),
			('unigram', '{"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0], ["▁", -2], ["a", -1.25], ["b", -3], ["▁a", -2.5], ["<0xC3>", 0], ["<0xA9>", 0]]}')) m(kind, model),
		(VALUES ('signs', '{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}', NULL),
			('signs and a prefix', '{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}', NULL),
			('NFKC and Metaspace', '{"type": "NFKC"}', '{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}')) v(variant, normalizer, pre);
SELECT count(gpt_import_tokenizer(variant, json::text)) AS n FROM made \gset
CREATE TABLE tokenizer AS SELECT tokenizer AS name, kind, tokenizer || ' again' AS copy FROM gpt_tokenizers;
INSERT INTO tokenizer VALUES ('bytes', 'bytes', 'bytes again');
SELECT set_eq('SELECT kind FROM tokenizer', ARRAY['bpe', 'bytes', 'chars', 'sentencepiece', 'unigram'], 'there is a tokenizer of every kind');

SELECT lives_ok(format('SELECT gpt_import_tokenizer(%L, gpt_export_tokenizer(%L))', copy, name), 'the export is imported: ' || name) FROM tokenizer;
SELECT is(gpt_export_tokenizer(copy), gpt_export_tokenizer(name), 'the copy exports the same text: ' || name) FROM tokenizer;

-- texts of pieces that mean something to some tokenizer, in an order that a fixed seed draws
CREATE TABLE piece AS SELECT row_number() OVER () AS n, piece FROM unnest(ARRAY['a', 'b', ' ', '  ', 'é', E'e\u0301', 'ａ', '▁', E'\n', '<unk>', '<|endoftext|>', '<go on>', 'fox', 'the', '12', '世界', '🙂',
	'''t', '<0xC3>', 'ﬁ', E'\u00a0', 'quick', '.', E'\r']) piece;
SELECT setseed(0.5) AS seed \gset
CREATE TABLE input AS SELECT t.n, string_agg(piece, '' ORDER BY k) AS input FROM
	(SELECT t AS n, k, 1 + floor(random() * 24)::integer AS p FROM generate_series(1, 200) t, generate_series(1, 12) k) t JOIN piece ON piece.n = t.p GROUP BY t.n;
SELECT is((SELECT count(*) FROM input WHERE gpt_tokenize(name, input) = gpt_tokenize(copy, input)), 200::bigint, 'and gives the same ids: ' || name) FROM tokenizer;

-- names and privileges
SELECT is(gpt_export_tokenizer(NULL), NULL, 'NULL gives NULL');
SELECT throws_ok($$SELECT gpt_export_tokenizer('none')$$, '42704', 'tokenizer or model "none" does not exist', 'a name must exist');
CREATE ROLE gpt_exporter;
SET ROLE gpt_exporter;
SELECT throws_ok($$SELECT gpt_export_tokenizer('pieces')$$, '42501', NULL, 'the tokenizer of another role is refused');
RESET ROLE;
DROP ROLE gpt_exporter;

DROP TABLE byte_level, made, tokenizer, piece, input;
SELECT * FROM finish();
