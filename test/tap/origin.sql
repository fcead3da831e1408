-- test/tap/origin.sql - what a version keeps of the job that made it: task, labels, job, query, options, report; and the name of a
-- tokenizer that was trained with a model.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_maker LOGIN;
CREATE ROLE gpt_reader;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_maker;
GRANT USAGE ON SCHEMA :schema, public TO gpt_reader;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb) TO gpt_maker;
SET ROLE gpt_maker;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body, i FROM generate_series(1, 60) i;
\set options '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "steps": 2, "batch_size": 8, "vocabulary": 270}'
SELECT gpt_train('m', 'SELECT body FROM line', :'options') AS job \gset first_
SELECT is(gpt_wait(:first_job, '300 s'), 'succeeded', 'a model is trained');
SELECT gpt_finetune('m', 'SELECT body AS prompt, body AS completion FROM line', '{"steps": 2, "validation_query": "SELECT body AS prompt, body AS completion FROM line LIMIT 3"}') AS job \gset second_
SELECT is(gpt_wait(:second_job, '300 s'), 'succeeded', 'a second version');
SELECT gpt_finetune('m@1', 'SELECT body AS text, i % 2 = 0 AS label FROM line', '{"steps": 2, "into": "one", "method": "lora"}') AS job \gset third_
SELECT is(gpt_wait(:third_job, '300 s'), 'succeeded', 'a classifier');
SELECT gpt_finetune('m@1', $$SELECT body AS text, ARRAY['b', 'a'] AS label FROM line$$, '{"steps": 2, "into": "several"}') AS job \gset fourth_
SELECT is(gpt_wait(:fourth_job, '300 s'), 'succeeded', 'a classifier of arrays');
SELECT gpt_copy_model('m@1', 'copy');
SELECT gpt_merge('one') AS merged \gset
SELECT is(gpt_forget_jobs('0 s'), 4::bigint, 'the jobs are forgotten');

CREATE VIEW origin AS SELECT model, version, current, task, labels, job, options->>'steps' AS steps, query_sha256 FROM gpt_versions;
PREPARE wanted(bigint, bigint, bigint, bigint) AS SELECT w.model COLLATE "C", version, current, task, labels::text[], job, '2', encode(sha256(convert_to(query, 'UTF8')), 'hex') FROM (VALUES
	('copy', 1, true, 'language modelling', NULL, $1, 'SELECT body FROM line'),
	('m', 1, false, 'language modelling', NULL, $1, 'SELECT body FROM line'),
	('m', 2, true, 'completion', NULL, $2, 'SELECT body AS prompt, body AS completion FROM line'),
	('one', 1, false, 'classification', '{false,true}', $3, 'SELECT body AS text, i % 2 = 0 AS label FROM line'),
	('one', 2, true, 'classification', '{false,true}', $3, 'SELECT body AS text, i % 2 = 0 AS label FROM line'),
	('several', 1, true, 'multi-label classification', '{a,b}', $4, $$SELECT body AS text, ARRAY['b', 'a'] AS label FROM line$$))
	AS w(model, version, current, task, labels, job, query);
SELECT results_eq('SELECT * FROM origin ORDER BY model COLLATE "C", version', format('EXECUTE wanted(%s, %s, %s, %s)', :first_job, :second_job, :third_job, :fourth_job),
	'versions know what made them, also when the jobs are forgotten');
SELECT results_eq('SELECT model, version, current, task, labels, job, query_sha256, options FROM gpt_models ORDER BY 1',
	'SELECT model, version, current, task, labels, job, query_sha256, options FROM gpt_versions WHERE current ORDER BY 1', 'gpt_models says the same of current versions');
SELECT is((SELECT options FROM gpt_versions WHERE model = 'm' AND version = 2),
	'{"steps": 2, "validation_query": "SELECT body AS prompt, body AS completion FROM line LIMIT 3"}', 'the owner reads the options as they were given');
SELECT is((SELECT array_agg(query ORDER BY version) FROM gpt_versions WHERE model = 'm'),
	ARRAY['SELECT body FROM line', 'SELECT body AS prompt, body AS completion FROM line'], 'and the queries');
SELECT results_eq('SELECT DISTINCT published_by, report->>''documents'' IN (''60'', ''63''), report ? ''warnings'', report->''choices'' ? ''minutes'' FROM gpt_versions',
	$$VALUES ('gpt_maker', true, true, true)$$, 'versions know who published them, and the report of the job to its end');

-- the tokenizer that was trained with the model: the owner reads it, and its name works wherever a name does
SELECT tokenizer FROM gpt_models WHERE model = 'm' \gset
SELECT ok(:'tokenizer' ~ '^bpe@[0-9a-f]{16}$', 'an unnamed tokenizer has a name by its content');
SELECT is((SELECT count(DISTINCT tokenizer) FROM gpt_versions), 1::bigint, 'the same in all versions that use it');
SELECT is((SELECT owner::text || ' ' || kind FROM gpt_tokenizers WHERE tokenizer = :'tokenizer'), 'gpt_maker bpe', 'gpt_tokenizers lists it');
SELECT ok((SELECT convert_from(lo_get(object), 'UTF8')::jsonb -> 'model' ->> 'type' = 'BPE' FROM gpt_tokenizers WHERE tokenizer = :'tokenizer'), 'its owner reads it');
SELECT is(gpt_tokenize(:'tokenizer', 'line 7'), gpt_tokenize('m', 'line 7'), 'gpt_tokenize takes it');
SELECT is(gpt_detokenize(:'tokenizer', gpt_tokenize('m', 'line 7')), 'line 7', 'so does gpt_detokenize');
SELECT is(gpt_count_tokens(:'tokenizer', 'line 7'), gpt_count_tokens('m', 'line 7'), 'and gpt_count_tokens');
SELECT gpt_train('same', 'SELECT body FROM line', (:'options'::jsonb - 'vocabulary') || jsonb_build_object('tokenizer', :'tokenizer')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'and the option tokenizer');
SELECT is((SELECT tokenizer FROM gpt_models WHERE model = 'same'), :'tokenizer', 'which gives a model with the same tokenizer');
SELECT throws_ok(format('SELECT gpt_import_tokenizer(%L, %L)', :'tokenizer', '{}'), '42602', NULL, 'nobody binds such a name');
SELECT throws_ok(format('SELECT gpt_drop_tokenizer(%L)', :'tokenizer'), '42704', NULL, 'or drops it');
SELECT throws_ok('SELECT gpt_tokenize(''bpe@0000000000000000'', ''x'')', '42704', NULL, 'another hash does not exist');
SELECT throws_ok(format('SELECT gpt_tokenize(%L, ''x'')', replace(:'tokenizer', 'bpe', 'chars')), '42704', NULL, 'nor another kind');
SELECT gpt_grant('m', 'gpt_reader');
SET ROLE gpt_reader;
SELECT is((SELECT options FROM gpt_versions WHERE model = 'm' AND version = 2),
	jsonb_build_object('steps', 2, 'validation_query_sha256', encode(sha256('SELECT body AS prompt, body AS completion FROM line LIMIT 3'), 'hex')),
	'a role that the model is granted to does not read the text of a query');
PREPARE hidden AS SELECT version, query, published_by, report->>'rows', report ?| '{warnings,prompt}' FROM gpt_versions WHERE model = $1 ORDER BY version;
SELECT results_eq($$EXECUTE hidden('m')$$, $$VALUES (1, NULL, 'gpt_maker', '60', false), (2, NULL, 'gpt_maker', '63', false)$$, 'nor what may quote rows');
SELECT is(gpt_tokenize((SELECT tokenizer FROM gpt_models WHERE model = 'm'), 'line 7'), gpt_tokenize('m', 'line 7'), 'a role that the model is granted to uses its tokenizer by that name');
RESET ROLE;
SELECT gpt_revoke('m', 'gpt_reader');
SET ROLE gpt_reader;
SELECT throws_ok(format('SELECT gpt_tokenize(%L, ''x'')', :'tokenizer'), '42501', NULL, 'no other role does');
RESET ROLE;

-- a name that the role may not use is not shown
SELECT convert_from(lo_get(object), 'UTF8') AS json FROM gpt_tokenizers WHERE tokenizer = :'tokenizer' \gset
SET ROLE gpt_reader;
SELECT gpt_import_tokenizer('named', :'json') > 0 AS named \gset
RESET ROLE;
SELECT is((SELECT tokenizer FROM gpt_models WHERE model = 'm'), 'named', 'a name that the role may use comes first');
SET ROLE gpt_maker;
SELECT is((SELECT tokenizer FROM gpt_models WHERE model = 'm'), :'tokenizer', 'one of somebody else does not');
SELECT is(gpt_tokenize(:'tokenizer', 'line 7'), gpt_tokenize('m', 'line 7'), 'and the name by the content stays');
RESET ROLE;

-- a copy by a role that the model is granted to
SELECT gpt_grant('m', 'gpt_reader');
SET ROLE gpt_reader;
SELECT gpt_copy_model('m@2', 'taken');
SELECT results_eq($$EXECUTE hidden('taken')$$, $$VALUES (1, NULL, 'gpt_reader', '63', false)$$, 'a copy has what its maker sees of the model, and its maker has published it');
SELECT ok((SELECT NOT options ? 'validation_query' FROM gpt_models WHERE model = 'taken'), 'whose options have the hash');
RESET ROLE;

DROP VIEW origin;
SELECT gpt_drop_tokenizer('named');
DROP OWNED BY gpt_maker, gpt_reader;
DROP ROLE gpt_maker, gpt_reader;
SELECT * FROM finish();
