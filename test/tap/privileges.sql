-- test/tap/privileges.sql - who may do what with whose models and tokenizers.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_alice LOGIN;
CREATE ROLE gpt_bob LOGIN;
CREATE ROLE gpt_carol LOGIN IN ROLE gpt_alice;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_alice, gpt_bob, gpt_carol;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_train_tokenizer(text, text, jsonb) TO gpt_alice;

SET ROLE gpt_alice;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 100) i;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 270}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'who may execute it trains a tokenizer');
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 3, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a plain role trains a model');
SELECT is((SELECT owner FROM gpt_models), 'gpt_alice', 'and owns it');
SELECT weights FROM gpt_models \gset
SELECT object FROM gpt_tokenizers \gset
SELECT ok(gpt_score('m', 'line') > 0, 'the owner may use it');

-- another role
SET ROLE gpt_bob;
SELECT throws_ok($$SELECT gpt_train('x', 'SELECT body FROM line')$$, '42501', NULL, 'training needs EXECUTE');
SELECT throws_ok($$SELECT gpt_finetune('m', 'SELECT body FROM line')$$, '42501', NULL, 'so does a fine-tune');
SELECT throws_ok($$SELECT gpt_train_tokenizer('x', 'SELECT body FROM line')$$, '42501', NULL, 'so does training of a tokenizer');
SELECT is_empty('SELECT * FROM gpt_models', 'it does not see the model');
SELECT is_empty('SELECT * FROM gpt_versions', 'nor its versions');
SELECT is_empty('SELECT * FROM gpt_tokenizers', 'nor the tokenizer');
SELECT is_empty('SELECT * FROM gpt_jobs', 'nor the job');
SELECT is_empty('SELECT * FROM gpt_train_log', 'nor its losses');
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, '42501', 'permission denied for model "m"', 'it may not score');
SELECT throws_ok($$SELECT gpt_score('m@1', 'x')$$, '42501', 'permission denied for model "m"', 'nor by number');
SELECT throws_ok($$SELECT gpt_generate('m', 'x')$$, '42501', 'permission denied for model "m"', 'nor generate');
SELECT throws_ok($$SELECT gpt_tokenize('m', 'x')$$, '42501', 'permission denied for model "m"', 'nor tokenize');
SELECT throws_ok($$SELECT gpt_tokenize('t', 'x')$$, '42501', 'permission denied for tokenizer "t"', 'nor with the tokenizer');
SELECT throws_ok($$SELECT gpt_drop_model('m')$$, '42501', 'must be owner of model "m"', 'nor drop the model');
SELECT throws_ok($$SELECT gpt_drop_tokenizer('t')$$, '42501', 'must be owner of tokenizer "t"', 'nor the tokenizer');
SELECT throws_ok(format('SELECT lo_get(%s)', :'weights'), '42501', NULL, 'nor read the object');
SELECT throws_ok(format('SELECT %s', command), '42501', NULL, command)
FROM (VALUES ('* FROM gpt_model'), ('* FROM gpt_version'), ('* FROM gpt_tokenizer'), ('* FROM gpt_tokenizer_name'), ('* FROM gpt_job'),
	('* FROM gpt_progress'), ('* FROM gpt_job_log'), ('* FROM gpt_job_server')) c(command);

-- a function of another role does not lend its cache
SELECT throws_ok($$SELECT gpt_score('m', 'x') FROM generate_series(1, 3)$$, '42501', NULL, 'a model that the session has loaded is still not granted');

-- a grant on the object is a grant on the model, with its tokenizer
SET ROLE gpt_alice;
SELECT lives_ok(format('GRANT SELECT ON LARGE OBJECT %s TO gpt_bob', :'weights'), 'the owner grants');
SET ROLE gpt_bob;
SELECT is((SELECT string_agg(model, ',') FROM gpt_models), 'm', 'then the other role sees the model');
SELECT ok(gpt_score('m', 'line') > 0, 'scores');
SELECT ok(gpt_generate('m', 'line', 3) IS NOT NULL, 'generates');
SELECT ok(gpt_count_tokens('m', 'line') > 0, 'tokenizes with the model');
SELECT throws_ok($$SELECT gpt_tokenize('t', 'x')$$, '42501', NULL, 'but not with the tokenizer by its own name');
SELECT throws_ok($$SELECT gpt_drop_model('m')$$, '42501', NULL, 'and does not drop it');
SELECT is_empty('SELECT * FROM gpt_jobs', 'the job stays the owner''s');
SET ROLE gpt_alice;
SELECT lives_ok(format('REVOKE SELECT ON LARGE OBJECT %s FROM gpt_bob', :'weights'), 'the owner revokes');
SET ROLE gpt_bob;
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, '42501', NULL, 'then it is over at once');
RESET ROLE;
SET lo_compat_privileges = on;
SET ROLE gpt_bob;
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, '42501', NULL, 'lo_compat_privileges opens no model');
RESET ROLE;
RESET lo_compat_privileges;

-- names of tokenizers are their owner's
SET ROLE gpt_alice;
SELECT convert_from(lo_get(:object), 'UTF8') AS json \gset
SET ROLE gpt_bob;
SELECT throws_ok(format('SELECT gpt_import_tokenizer(''t'', %L)', :'json'), '42501', 'must be owner of tokenizer "t"', 'another role does not bind the name anew');
SELECT is(gpt_import_tokenizer('mine', :'json'), 270, 'it imports the same tokenizer under its own name');
SELECT ok(gpt_count_tokens('mine', 'line') > 0, 'and uses it');
SELECT is((SELECT owner FROM gpt_tokenizers), 'gpt_bob', 'as its own object');

-- an object that takes the number of a lost one gives no power
SET ROLE gpt_alice;
SELECT lo_unlink(:weights);
SET ROLE gpt_bob;
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, '42704', NULL, 'a model whose object is gone does not exist');
SELECT lo_from_bytea(:weights, 'anything');
SELECT throws_ok($$SELECT gpt_score('m', 'x')$$, 'XX001', NULL, 'an object of another content is never used');
SELECT lo_unlink(:weights);
RESET ROLE;

-- fine-tunes: use of the base, and membership in the owner of what is published
RESET ROLE;
GRANT EXECUTE ON FUNCTION gpt_finetune(text, text, jsonb) TO gpt_alice, gpt_bob;
SET ROLE gpt_alice;
SELECT gpt_train('own', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "steps": 3, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a base is trained');
SELECT weights AS own FROM gpt_models WHERE model = 'own' \gset
SET ROLE gpt_carol;
BEGIN;
SELECT ok(gpt_finetune('own', 'SELECT body FROM line') > 0, 'a member of the owner may submit a fine-tune to a new version');
ROLLBACK;
SET ROLE gpt_bob;
CREATE TABLE bobs AS SELECT 'row ' || i AS body FROM generate_series(1, 50) i;
SELECT throws_ok($$SELECT gpt_finetune('own', 'SELECT body FROM bobs')$$, '42501', 'permission denied for model "own"', 'a stranger may not');
SELECT throws_ok($$SELECT gpt_finetune('own', 'SELECT body FROM bobs', '{"into": "bobs"}')$$, '42501', 'permission denied for model "own"',
	'nor into a name of his own');
SET ROLE gpt_alice;
SELECT lives_ok(format('GRANT SELECT ON LARGE OBJECT %s TO gpt_bob', :'own'), 'the owner grants use');
SET ROLE gpt_bob;
SELECT throws_ok($$SELECT gpt_finetune('own', 'SELECT body FROM bobs')$$, '42501', 'must be owner of model "own"', 'that is no grant to publish');
SELECT throws_ok($$SELECT gpt_finetune('own', 'SELECT body FROM line', '{"into": "bobs"}')$$, '42501', NULL, 'nor to read a table');
BEGIN;
SELECT ok(gpt_finetune('own', 'SELECT body FROM bobs', '{"into": "bobs"}') > 0, 'but to fine-tune into a name of his own');
ROLLBACK;
SET ROLE gpt_alice;
SELECT lives_ok($$SELECT gpt_drop_model('own')$$, 'the base goes');

-- members act as the owner
SET ROLE gpt_carol;
SELECT lives_ok($$SELECT gpt_drop_tokenizer('t')$$, 'a member of the owner drops the tokenizer');
RESET ROLE;

-- superusers clean up
SELECT lives_ok($$SELECT gpt_drop_model('m')$$, 'a superuser clears the rows of a model that is gone');
SELECT lives_ok($$SELECT gpt_drop_tokenizer('mine')$$, 'and drops anybody''s tokenizer');
SELECT is_empty('SELECT * FROM gpt_tokenizer', 'no tokenizer is left');
SELECT is_empty('SELECT * FROM pg_largeobject_metadata', 'and no object');

DROP OWNED BY gpt_alice, gpt_bob, gpt_carol;
DROP ROLE gpt_alice, gpt_bob, gpt_carol;
SELECT * FROM finish();
