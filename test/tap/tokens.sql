-- test/tap/tokens.sql - what must hold of tokenizers.
-- One schema is enough: the file tests tokens, and others call the same functions in the second schema.
SELECT no_plan();

CREATE TABLE line AS SELECT 'the quick brown fox number ' || i || ' jumps over Käse, 世界 and 🙂' AS body FROM generate_series(1, 300) i;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 320}') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a tokenizer is trained');

CREATE TEMP TABLE input (input text);
INSERT INTO input VALUES (''), (' '), (E'\n\n\t x  '), ('the quick brown fox'), ('Käse, 世界 🙂'), (E'e\u0301'), ('<|endoftext|>'), (repeat('a', 5000)),
	(repeat('🙂', 1000)), (E'\u00a0\u2028\u3000'), ('it''s we''ll I''m 1234567890 ... !!!'), (U&'\10FFFF');
SELECT is(gpt_detokenize(tokenizer, gpt_tokenize(tokenizer, input)), input, tokenizer || ' gives back ' || quote_literal(regexp_replace(left(input, 20), '[[:space:]]', ' ', 'g')))
FROM input, (VALUES ('t'), ('bytes')) t(tokenizer);
SELECT is(gpt_count_tokens(tokenizer, input), coalesce(array_length(gpt_tokenize(tokenizer, input), 1), 0), tokenizer || ' counts the tokens of ' || quote_literal(regexp_replace(left(input, 20), '[[:space:]]', ' ', 'g')))
FROM input, (VALUES ('t'), ('bytes')) t(tokenizer);
SELECT ok(gpt_count_tokens('t', 'the quick brown fox number') < 15, 'frequent texts have few tokens');
SELECT ok(NOT 319 = ANY (gpt_tokenize('t', '<|endoftext|>')), 'a special token comes from no text');
SELECT is(gpt_detokenize('t', '{319}'), '', 'and gives none');

-- names
SELECT throws_ok($$SELECT gpt_tokenize('none', 'x')$$, '42704', 'tokenizer or model "none" does not exist', 'a name must exist');
SELECT is((SELECT tokenizer FROM gpt_tokenizers), 't', 'the view shows it');
SELECT lives_ok($$SELECT gpt_drop_tokenizer('t')$$, 'it can be dropped');
SELECT is_empty('SELECT * FROM gpt_tokenizer', 'with what it consists of');
SELECT throws_ok($$SELECT gpt_tokenize('t', 'x')$$, '42704', 'tokenizer or model "t" does not exist', 'and is gone');

SELECT * FROM finish();
