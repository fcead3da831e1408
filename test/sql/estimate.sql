-- gpt_estimate: facts about the rows of a query, the choices of a training, and warnings.
SET client_min_messages = warning;
CREATE TABLE estimate_note (id integer, body text);
INSERT INTO estimate_note VALUES (1, 'hello world'), (2, 'hello world'), (3, NULL), (4, ''), (5, 'a longer row of this table'), (6, 'hello');

-- counts, and the lengths of rows as percentile_disc gives them
SELECT e ->> 'rows' AS rows, e ->> 'documents' AS documents, e ->> 'bytes' AS bytes, e -> 'skipped' AS skipped, e -> 'longest' AS longest
FROM gpt_estimate('SELECT body FROM estimate_note ORDER BY id', '{"minutes": 0.01}') e;
SELECT e #> '{length,bytes}' = (SELECT jsonb_object_agg(name, percentile) FROM (SELECT v.name, percentile_disc(v.share) WITHIN GROUP (ORDER BY 20 * n) AS percentile
	FROM generate_series(1, 100) n, (VALUES ('p5', 0.05), ('p50', 0.5), ('p90', 0.9), ('p95', 0.95), ('p99', 0.99), ('longest', 1)) v (name, share) GROUP BY v.name, v.share) p) AS same
FROM gpt_estimate('SELECT repeat(''x'', 20 * n) FROM generate_series(1, 100) n', '{"steps": 1, "layers": 1, "channels": 32}') e;

-- a job of the same query and options finds and chooses the same
CREATE TABLE estimate_line AS SELECT 'line ' || n || ' of ' || left(translate(md5(n::text), 'abcdef', '012345'), 20) AS body, n % 10 = 0 AS is_validation FROM generate_series(1, 300) n;
CREATE TABLE estimated AS SELECT name, e FROM (VALUES
	('by_steps', '{"steps": 4, "layers": 1, "channels": 32}'::jsonb), ('by_epochs', '{"epochs": 1, "layers": 1, "channels": 32, "tokenizer": "bpe"}')) v (name, options),
	gpt_estimate('SELECT body, is_validation FROM estimate_line', options) e;
SELECT gpt_train('by_steps', 'SELECT body, is_validation FROM estimate_line', '{"steps": 4, "layers": 1, "channels": 32}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('by_epochs', 'SELECT body, is_validation FROM estimate_line', '{"epochs": 1, "layers": 1, "channels": 32, "tokenizer": "bpe"}') AS job \gset
SELECT gpt_wait(:job);
SELECT name, (e - 'choices') #- '{duplicates,near}' = report - 'choices' AS same_facts, (e -> 'choices') - 'minutes' = (report -> 'choices') - 'minutes' AS same_choices,
	(e ->> 'tokens')::bigint = corpus_tokens AS same_tokens, e #> '{tokenizer,vocabulary}' = conditions -> 'vocabulary' AS same_vocabulary,
	e #> '{choices,parameters}' = conditions -> 'parameters' AS same_parameters, e #> '{choices,steps}' = conditions -> 'steps' AS same_steps,
	(e #>> '{choices,minutes}')::float8 > 0 AS minutes, (report #>> '{choices,minutes}')::float8 > 0 AS minutes_of_job
FROM estimated JOIN gpt_jobs ON model = name ORDER BY job;
SELECT e -> 'validation' AS validation, e -> 'tokenizer' AS tokenizer, e #> '{length,tokens}' AS tokens FROM estimated WHERE name = 'by_steps';

-- repeated rows, near ones, and validation rows that repeat rows to train on
CREATE VIEW estimate_repeat AS SELECT body, is_validation FROM estimate_line UNION ALL SELECT body, false FROM estimate_line WHERE body LIKE '%10 of%' OR body LIKE '%11 of%'
	UNION ALL SELECT 'A row of this table that has about seventy characters, and number ' || n, false FROM generate_series(1, 9) n;
SELECT e -> 'rows' AS rows, e -> 'documents' AS documents, e -> 'duplicates' AS duplicates, e -> 'validation' AS validation, e -> 'warnings' AS warnings
FROM unnest('{none,exact,near}'::text[]) dedup, gpt_estimate('SELECT body, is_validation FROM estimate_repeat', jsonb_build_object('steps', 1, 'layers', 1, 'channels', 32, 'dedup', dedup)) e;
SELECT gpt_train('repeats', 'SELECT body FROM estimate_repeat', '{"steps": 1, "layers": 1, "channels": 32}') AS job \gset
SELECT gpt_wait(:job);
SELECT report -> 'duplicates' AS duplicates, report -> 'validation' AS validation, report -> 'warnings' AS warnings FROM gpt_jobs WHERE job = :job;

-- scripts, languages, HTML, addresses and control characters, as shares
INSERT INTO estimate_note SELECT 10 + n, body FROM unnest(ARRAY['<p>A tag of the text &amp; a reference</p>', 'see https://example.org/a, it is what we have', 'mail to a@example.org',
	E'what\u200bever this is', '床前明月光', '疑是地上霜', 'Das ist der Anfang und nicht das Ende']) WITH ORDINALITY t (body, n);
SELECT e -> 'scripts' AS scripts, e -> 'languages' AS languages, e -> 'html' AS html, e -> 'urls' AS urls, e -> 'emails' AS emails, e -> 'control_characters' AS control_characters
FROM gpt_estimate('SELECT body FROM estimate_note WHERE id > 10 ORDER BY id', '{"steps": 1, "layers": 1, "channels": 32}') e;

-- warnings, each with its number
CREATE FUNCTION estimate_warnings(query text, options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE sql
	AS $$SELECT jsonb_array_elements_text(gpt_estimate(query, options || '{"steps": 1, "layers": 1, "channels": 32, "tokenizer": "bytes"}') -> 'warnings')$$;
CREATE VIEW estimate_good AS SELECT n, 'Line ' || n || ' of ' || translate(md5(n::text) || md5((n + 1000)::text), 'abcdef', '012345') || ', which is as it should be.' AS body
	FROM generate_series(1, 400) n;
SELECT estimate_warnings('SELECT body FROM estimate_good');
SELECT estimate_warnings('SELECT body FROM estimate_good UNION ALL SELECT NULL FROM generate_series(1, 50)');
SELECT estimate_warnings('SELECT body FROM estimate_good UNION ALL SELECT repeat(''It is long. '', 2000)');
SELECT estimate_warnings('SELECT CASE WHEN n % 10 = 0 THEN left(body || body, 200) ELSE body END AS body FROM estimate_good');
SELECT estimate_warnings('SELECT CASE WHEN n % 7 = 0 THEN body || '' And'' ELSE body END AS body FROM estimate_good');
SELECT estimate_warnings($$SELECT CASE WHEN n % 10 = 7 THEN '<b>' || body || '</b> https://example.org me@example.org' || chr(1) || '.' ELSE body END AS body FROM estimate_good$$);
SELECT estimate_warnings($$SELECT body FROM estimate_good UNION ALL SELECT (SELECT string_agg(chr(19968 + (n * 7919 + i * i * 10477) % 20000), '') FROM generate_series(1, 20) i) || '。' FROM estimate_good$$);
SELECT estimate_warnings($$SELECT body FROM estimate_good UNION ALL SELECT 'Das ist ' || reverse(substr(body, 12, 60)) || ', und das ist nicht das Ende.' FROM estimate_good$$);
SELECT estimate_warnings('SELECT body FROM estimate_good LIMIT 3');
SELECT estimate_warnings('SELECT body FROM estimate_good', '{"context": 16, "validation_fraction": 0}');

-- errors are those of gpt_train
SELECT gpt_estimate(NULL);
SELECT gpt_estimate('SELECT body FROM nothing');
SELECT gpt_estimate('DELETE FROM estimate_note');
SELECT gpt_estimate('SELECT id, body FROM estimate_note');
SELECT gpt_estimate('SELECT body FROM estimate_note WHERE false');
SELECT gpt_estimate('SELECT body FROM estimate_note', '{"minute": 1}');
SELECT gpt_estimate('SELECT body FROM estimate_note', '{"tokenizer": "nobody"}');
SELECT gpt_estimate('SELECT ''{}''::jsonb AS messages');
CREATE SEQUENCE estimate_counter;
SELECT gpt_estimate('SELECT nextval(''estimate_counter'')::text AS body FROM estimate_note');

-- nothing is left of a call, and it works where nothing may be written
BEGIN READ ONLY;
SELECT gpt_estimate('SELECT body FROM estimate_note', '{"steps": 1, "layers": 1, "channels": 32}') ->> 'documents' AS documents;
COMMIT;

SELECT gpt_drop_model(name) FROM (SELECT name FROM estimated UNION ALL VALUES ('repeats')) m;
DROP VIEW estimate_good, estimate_repeat;
DROP FUNCTION estimate_warnings;
DROP TABLE estimate_line, estimate_note, estimated;
DROP SEQUENCE estimate_counter;

-- two languages are two models, unless one text of a row may be the translation of the other
CREATE TABLE two AS SELECT 'The dog is in the house, and the cat is on the tree with the number ' || i AS english,
	'Der Hund ist in dem Haus, und die Katze ist auf dem Baum mit der Nummer ' || i AS german FROM generate_series(1, 200) i;
SELECT gpt_estimate('SELECT english AS body FROM two UNION ALL SELECT german FROM two') ->> 'warnings' LIKE '%languages%' AS texts,
	gpt_estimate('SELECT english AS prompt, english AS completion FROM two UNION ALL SELECT german, german FROM two') ->> 'warnings' LIKE '%languages%' AS prompts;
DROP TABLE two;

-- what rows teach besides text: labels, numbers, pairs; and warnings of labels that few rows have
CREATE TABLE estimate_label AS SELECT i, 'Note ' || i || ' says ' || translate(md5(i::text), 'abcdef', '012345') || '.' AS body,
	CASE WHEN i <= 60 THEN 'a' WHEN i <= 99 THEN 'b' ELSE 'c' END AS label, i * 2.5::float8 - 100 AS number FROM generate_series(1, 100) i;
CREATE FUNCTION estimate_targets(query text, OUT labels jsonb, OUT numbers jsonb, OUT pairs bigint, OUT warnings jsonb) LANGUAGE sql AS $$
	SELECT e -> 'labels', e -> 'numbers', (e ->> 'pairs')::bigint, e -> 'warnings' FROM gpt_estimate(query, '{"steps": 1, "layers": 1, "channels": 32, "tokenizer": "bytes"}') e $$;
SELECT * FROM estimate_targets('SELECT body, label FROM estimate_label');
SELECT labels, warnings ->> 0 AS warning FROM estimate_targets('SELECT body, i AS label FROM estimate_label');
SELECT labels FROM estimate_targets('SELECT body, CASE WHEN i % 2 = 0 THEN ''{}'' ELSE ARRAY[label, ''d''] END AS label FROM estimate_label');
SELECT numbers ->> 'smallest' AS smallest, numbers ->> 'largest' AS largest, abs((numbers ->> 'mean')::float8 - 26.25) < 10 AS mean,
	(numbers ->> 'standard_deviation')::float8 BETWEEN 60 AND 80 AS deviation, labels, pairs, warnings FROM estimate_targets('SELECT body, number AS label FROM estimate_label');
SELECT pairs, labels FROM estimate_targets('SELECT body AS prompt, label AS chosen, ''b'' AS rejected FROM estimate_label');
SELECT pairs FROM estimate_targets('SELECT body AS query, label AS positive FROM estimate_label');
DROP FUNCTION estimate_targets;
DROP TABLE estimate_label;
