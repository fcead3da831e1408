-- a database with another encoding than UTF8: a clear error from every function that takes text
CREATE DATABASE gpt_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c gpt_latin
CREATE EXTENSION gpt;
SELECT gpt_score('m', 'x');
\set VERBOSITY sqlstate
SELECT gpt_generate('m', 'x');
SELECT gpt_tokenize('bytes', 'x');
SELECT gpt_detokenize('bytes', '{1}');
SELECT gpt_count_tokens('bytes', 'x');
SELECT gpt_import_tokenizer('t', '{}');
SELECT gpt_train_tokenizer('t', 'SELECT ''x'' AS body');
SELECT gpt_train('m', 'SELECT ''x'' AS body');
\set VERBOSITY default
DROP EXTENSION gpt;
\c regression
DROP DATABASE gpt_latin;
