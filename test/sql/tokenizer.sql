-- named tokenizers: training, import, removal. Other tests leave models, whose tokenizers gpt_tokenizers lists too.
CREATE TEMP TABLE earlier AS SELECT oid FROM pg_largeobject_metadata UNION SELECT object FROM gpt_tokenizer;
CREATE TEMP VIEW mine AS SELECT * FROM gpt_tokenizers WHERE object NOT IN (SELECT oid FROM earlier);
CREATE TABLE line AS SELECT 'the quick brown fox number ' || i || ' jumps over the lazy dog' AS body FROM generate_series(1, 200) i;
SELECT gpt_train_tokenizer('small', 'SELECT body FROM line', 300);
SELECT tokenizer, kind, vocabulary FROM mine;
SELECT gpt_count_tokens('small', 'the quick brown fox') < length('the quick brown fox') AS shorter,
	gpt_detokenize('small', gpt_tokenize('small', 'the quick Grüße 🙂')) AS round_trip;

-- what is stored is a tokenizer.json: imported, it is the same
SELECT convert_from(lo_get(object), 'UTF8') AS json FROM mine WHERE tokenizer = 'small' \gset
SELECT :'json'::json -> 'model' ->> 'type' AS type;
SELECT gpt_import_tokenizer('copy', :'json');
SELECT count(*), count(DISTINCT sha256) AS contents, count(DISTINCT object) AS objects FROM mine;

-- the same texts give the same tokenizer, in whatever order
SELECT gpt_train_tokenizer('again', 'SELECT body FROM line ORDER BY md5(body)', 300);
SELECT count(DISTINCT sha256) AS contents FROM mine;

-- a name is bound anew by its owner
SELECT gpt_train_tokenizer('again', 'SELECT body FROM line', 290);
SELECT tokenizer, vocabulary FROM mine ORDER BY tokenizer;

-- errors
SELECT gpt_train_tokenizer(NULL, 'SELECT body FROM line');
SELECT gpt_train_tokenizer('t', NULL);
SELECT gpt_train_tokenizer('a@b', 'SELECT body FROM line');
SELECT gpt_train_tokenizer('bytes', 'SELECT body FROM line', 300);
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 256);
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 100000);
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line WHERE false');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 300, '{"normalise": "NFC"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 300, '{"normalize": "NFD"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', 300, '[]');
SELECT gpt_train_tokenizer('t', 'DELETE FROM line');
SELECT gpt_import_tokenizer(NULL, '{}');
SELECT gpt_import_tokenizer('t', NULL);
\set VERBOSITY sqlstate
SELECT gpt_import_tokenizer('t', '');
SELECT gpt_import_tokenizer('t', '{}');
SELECT gpt_import_tokenizer('t', left(:'json', 1000));
\set VERBOSITY default
SELECT gpt_drop_tokenizer(NULL);
SELECT gpt_drop_tokenizer('t');

-- NFC when it is asked for
SELECT gpt_train_tokenizer('nfc', 'SELECT body FROM line', 300, '{"normalize": "NFC"}');
SELECT gpt_tokenize('nfc', E'e\u0301') = gpt_tokenize('nfc', E'\u00e9') AS normalized,
	gpt_tokenize('small', E'e\u0301') <> gpt_tokenize('small', E'\u00e9') AS told_apart;

-- objects go with the last name
SELECT gpt_drop_tokenizer('small');
SELECT count(DISTINCT object) AS objects FROM mine;
SELECT gpt_drop_tokenizer(tokenizer) FROM (SELECT tokenizer FROM mine ORDER BY 1) t;
SELECT count(*) FROM gpt_tokenizer WHERE object NOT IN (SELECT oid FROM earlier);
SELECT count(*) FROM pg_largeobject_metadata m JOIN pg_description d ON d.objoid = m.oid AND d.classoid = 'pg_largeobject'::regclass
	WHERE description = 'gpt tokenizer' AND m.oid NOT IN (SELECT oid FROM earlier);
DROP VIEW mine;
DROP TABLE line, earlier;
