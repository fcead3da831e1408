-- named tokenizers: training, import, removal. Other tests leave models, whose tokenizers gpt_tokenizers lists too.
CREATE TEMP TABLE earlier AS SELECT oid FROM pg_largeobject_metadata UNION SELECT object FROM gpt_tokenizer;
CREATE TEMP VIEW mine AS SELECT * FROM gpt_tokenizers WHERE object NOT IN (SELECT oid FROM earlier);
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN sqlerrm; END $$;
CREATE TABLE line AS SELECT 'the quick brown fox number ' || i || ' jumps over the lazy dog' AS body FROM generate_series(1, 200) i;
SELECT gpt_train_tokenizer('small', 'SELECT body FROM line', '{"vocabulary": 300}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT model, kind, state, step, steps, documents, skipped, bytes, corpus_tokens, note, conditions FROM gpt_jobs WHERE job = :job;
SELECT tokenizer, kind, vocabulary FROM mine;
SELECT gpt_count_tokens('small', 'the quick brown fox') < length('the quick brown fox') AS shorter,
	gpt_detokenize('small', gpt_tokenize('small', 'the quick Grüße 🙂')) AS round_trip;

-- what is stored is a tokenizer.json: imported, it is the same
SELECT convert_from(lo_get(object), 'UTF8') AS json FROM mine WHERE tokenizer = 'small' \gset
SELECT :'json'::json -> 'model' ->> 'type' AS type;
SELECT gpt_import_tokenizer('copy', :'json');
SELECT count(*), count(DISTINCT sha256) AS contents, count(DISTINCT object) AS objects FROM mine;

-- the same texts give the same tokenizer, in whatever order
SELECT gpt_train_tokenizer('again', 'SELECT body FROM line ORDER BY md5(body)', '{"vocabulary": 300}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT count(DISTINCT sha256) AS contents FROM mine;

-- a name is bound anew by its owner
SELECT gpt_train_tokenizer('again', 'SELECT body FROM line', '{"vocabulary": 290}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT tokenizer, vocabulary FROM mine ORDER BY tokenizer;

-- a vocabulary that is not given is chosen; characters have one of their own
SELECT gpt_train_tokenizer('chosen', 'SELECT body FROM line UNION ALL SELECT NULL') AS chosen,
	gpt_train_tokenizer('letters', 'SELECT body FROM line', '{"kind": "chars"}') AS letters \gset
SELECT gpt_wait(:chosen, '300 s'), gpt_wait(:letters, '300 s');
SELECT tokenizer, kind, vocabulary FROM mine WHERE tokenizer IN ('chosen', 'letters') ORDER BY 1;
SELECT documents, skipped FROM gpt_jobs WHERE job = :chosen;

-- a unigram tokenizer goes out and comes in again, and gives every text back
SELECT gpt_train_tokenizer('parts', 'SELECT body FROM line', '{"kind": "unigram", "vocabulary": 310}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_import_tokenizer('parts again', gpt_export_tokenizer('parts')) = vocabulary AS same_size, kind, vocabulary
FROM mine WHERE tokenizer = 'parts';
SELECT bool_and(gpt_tokenize('parts', body) = gpt_tokenize('parts again', body)) AS same_tokens,
	bool_and(gpt_detokenize('parts', gpt_tokenize('parts', body || ' 漢字')) = body || ' 漢字') AS same_text,
	sum(gpt_count_tokens('parts', body)) < 0.8 * sum(octet_length(body)) AS fewer
FROM line;

-- errors
SELECT gpt_train_tokenizer(NULL, 'SELECT body FROM line');
SELECT gpt_train_tokenizer('t', NULL);
SELECT gpt_train_tokenizer('a@b', 'SELECT body FROM line');
SELECT gpt_train_tokenizer('bytes', 'SELECT body FROM line');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 256}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"normalise": "NFC"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"normalize": "NFD"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "unigrams"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "unigram", "vocabulary": 299}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "chars", "vocabulary": 300}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "chars", "normalize": "NFC"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "chars", "split": "gpt2"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"kind": "chars", "min_count": 2}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"split": "cl100"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"split": "deepseek-v3"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"split": "(\\p{L}"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"clean": {"htlm": true}}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"steps": 1}');
SELECT gpt_train('t', 'SELECT body FROM line', '{"kind": "bpe"}');
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '[]');
SELECT gpt_train_tokenizer('t', 'SELECT oid::text AS body FROM earlier');
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
SELECT gpt_train_tokenizer('nfc', 'SELECT body FROM line', '{"vocabulary": 300, "normalize": "NFC"}') AS job \gset
SELECT gpt_wait(:job, '300 s');
SELECT gpt_tokenize('nfc', E'e\u0301') = gpt_tokenize('nfc', E'\u00e9') AS normalized,
	gpt_tokenize('small', E'e\u0301') <> gpt_tokenize('small', E'\u00e9') AS told_apart;

-- splits, rare pairs, NFKC, cleaning
CREATE TABLE note AS SELECT 'ab12ab12 ＡＢ ' || repeat('qq', (i < 3)::integer) || CASE WHEN i > 3 THEN ' <b>zz</b>' ELSE '' END AS body FROM generate_series(1, 9) i;
CREATE TEMP TABLE way AS SELECT n, gpt_train_tokenizer('split ' || n, 'SELECT body FROM note', '{"min_count": 3}' || options) AS job
FROM (VALUES (1, '{}'::jsonb), (2, '{"split": "\\p{L}+|[^\\p{L}]+"}'), (3, '{"split": "llama3"}'), (4, '{"min_count": 2}'), (5, '{"normalize": "NFKC"}'), (6, '{"clean": {"html": true}}')) v(n, options);
SELECT n, gpt_wait(job, '300 s') FROM way ORDER BY n;
SELECT n, array_agg(token) FILTER (WHERE octet_length(token) > 1) AS tokens
FROM generate_series(1, 6) n, LATERAL (SELECT gpt_detokenize('split ' || n, ARRAY[id]) AS token FROM generate_series(256, (SELECT vocabulary - 2 FROM mine WHERE tokenizer = 'split ' || n)) id) t GROUP BY n ORDER BY n;
SELECT gpt_tokenize('split 5', 'ＡＢ') = gpt_tokenize('split 5', 'AB') AS normalized;
SELECT gpt_export_tokenizer('split 2')::jsonb -> 'pre_tokenizer' AS split;
SELECT report -> 'cleaned' AS cleaned, report -> 'tokenizer' AS tokenizer FROM gpt_jobs WHERE model = 'split 6';

-- where the words do not fit into the memory they wait in a file; where merging them does not, a sample is taken
CREATE TABLE word AS SELECT string_agg(md5((i * 1000 + j)::text), '') AS body FROM generate_series(1, 400) i, generate_series(1, 150) j GROUP BY i;
\set hard '{"vocabulary": 300, "split": "[0-9a-f]{32}", "threads": 1}'
SELECT gpt_train_tokenizer('roomy', 'SELECT body FROM word', :'hard') AS roomy \gset
SET gpt.max_memory = '18MB';
SELECT gpt_train_tokenizer('narrow', 'SELECT body FROM word', :'hard') AS narrow \gset
SET gpt.max_memory = '12MB';
SELECT gpt_train_tokenizer('sampled', 'SELECT body FROM word', :'hard') AS sampled \gset
RESET gpt.max_memory;
SELECT gpt_wait(:roomy, '300 s'), gpt_wait(:narrow, '300 s'), gpt_wait(:sampled, '300 s');
SELECT a.sha256 = b.sha256 AS same FROM mine a, mine b WHERE a.tokenizer = 'roomy' AND b.tokenizer = 'narrow';
SELECT model, regexp_replace(substring(note from 'the tokenizer.*'), '[0-9.]+ %', 'n %') AS note FROM gpt_jobs WHERE job IN (:roomy, :narrow, :sampled) ORDER BY 1;

-- a job that fails leaves nothing
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 100000}') AS larger, gpt_train_tokenizer('none', 'SELECT body FROM line WHERE false') AS empty,
	gpt_train_tokenizer('late', 'SELECT body FROM line WHERE 1 / (length(body) - length(body)) = 1') AS wrong \gset
SELECT gpt_wait(:larger, '300 s'), gpt_wait(:empty, '300 s'), gpt_wait(:wrong, '300 s');
SELECT count(*) FROM mine WHERE tokenizer IN ('t', 'none', 'late');

-- "if_running", cancellation and resumption are those of other jobs; a model of the same name is no other job
SELECT gpt_train_tokenizer('slow', 'SELECT body FROM line, pg_sleep(600)', '{"vocabulary": 258}') AS slow \gset
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT gpt_train_tokenizer('slow', 'SELECT body FROM line', '{"if_running": "skip"}') - :slow AS other;
SELECT gpt_train('slow', 'SELECT body FROM line') > :slow AS submitted;
SELECT model, kind, state FROM gpt_jobs WHERE job > :slow;
ROLLBACK;
SELECT regexp_replace(refusal($$SELECT gpt_train_tokenizer('slow', 'SELECT body FROM line')$$), '[0-9]+', 'N') AS error;
SELECT gpt_train_tokenizer('slow', 'SELECT body FROM line', '{"if_running": "queue", "vocabulary": 259}') AS next \gset
SELECT refusal($$SELECT gpt_drop_model('slow')$$) AS error;
SELECT gpt_cancel(:slow);
SELECT gpt_wait(:slow, '300 s'), gpt_wait(:next, '300 s');
SELECT vocabulary FROM mine WHERE tokenizer = 'slow';
SELECT gpt_resume(:slow), gpt_cancel(:slow);

-- objects go with the last name
SELECT gpt_drop_tokenizer('small');
SELECT count(DISTINCT object) AS objects FROM mine;
SELECT gpt_drop_tokenizer(tokenizer) FROM (SELECT tokenizer FROM mine ORDER BY 1) t;
SELECT count(*) FROM gpt_tokenizer WHERE object NOT IN (SELECT oid FROM earlier);
SELECT count(*) FROM pg_largeobject_metadata m JOIN pg_description d ON d.objoid = m.oid AND d.classoid = 'pg_largeobject'::regclass
	WHERE description = 'gpt tokenizer' AND m.oid NOT IN (SELECT oid FROM earlier);
DROP VIEW mine;
DROP FUNCTION refusal;
DROP TABLE line, note, way, word, earlier;

-- a superuser's copy is its own: DROP OWNED of a role that stored the same tokenizer first leaves it
SELECT count(*) AS missing FROM gpt_check() WHERE kind = 'missing object' \gset
CREATE ROLE regress_gpt_first LOGIN;
SET ROLE regress_gpt_first;
SELECT gpt_import_tokenizer('copy of another', '{"k": 0, "l": 1, "m": 2}'::text);
RESET ROLE;
SELECT gpt_import_tokenizer('copy of its own', '{"k": 0, "l": 1, "m": 2}'::text);
DROP OWNED BY regress_gpt_first;
DROP ROLE regress_gpt_first;
SELECT gpt_tokenize('copy of another', 'mlk');
SELECT gpt_tokenize('copy of its own', 'mlk');
SELECT gpt_drop_tokenizer('copy of another');
SELECT gpt_drop_tokenizer('copy of its own');
SELECT count(*) - :missing AS missing FROM gpt_check() WHERE kind = 'missing object';

-- a job without memory for the words names the setting
SET gpt.max_memory = '1MB';
SELECT gpt_train_tokenizer('no room', 'SELECT md5(i::text) FROM generate_series(1, 1000) i') AS job \gset
RESET gpt.max_memory;
SELECT gpt_wait(:job);
