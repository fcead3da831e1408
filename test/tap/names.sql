-- test/tap/names.sql - models and tokenizers share their names: nobody changes what another role's model or tokenizer gives.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_one LOGIN;
CREATE ROLE gpt_two LOGIN;
GRANT USAGE ON SCHEMA :schema, public TO gpt_one, gpt_two;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb), gpt_train_tokenizer(text, text, jsonb) TO gpt_one, gpt_two;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 100) i;
GRANT SELECT ON line TO gpt_one, gpt_two;
CREATE FUNCTION refused(statement text, name text, noun text, what text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT throws_ok(statement, '42710', format('name "%s" belongs to another role''s %s', name, noun), what)$$;
SELECT '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "steps": 1, "batch_size": 1, "tokenizer": "bytes"}' AS tiny,
	$$'{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}, "decoder": {"type": "Fuse"}}'$$ AS json \gset

SET SESSION AUTHORIZATION gpt_one;
SELECT gpt_train('model', 'SELECT body FROM line', :'tiny') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained');
SELECT is(gpt_import_tokenizer('pieces', :json), 2, 'a tokenizer is imported');

-- the name of a model
SET SESSION AUTHORIZATION gpt_two;
SELECT refused($$SELECT gpt_train_tokenizer('model', 'SELECT body FROM line')$$, 'model', 'model', 'another role trains no tokenizer of the name of a model');
SELECT refused(format($$SELECT gpt_import_tokenizer('model', %L)$$, :json), 'model', 'model', 'nor imports one');
SELECT is(gpt_import_tokenizer('letters', :json), 2, 'under another name it does');

-- the name of a tokenizer
SELECT refused(format($$SELECT gpt_train('pieces', 'SELECT body FROM line', %L)$$, :'tiny'), 'pieces', 'tokenizer', 'another role trains no model of the name of a tokenizer');
SELECT gpt_train('two', 'SELECT body FROM line', :'tiny') AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'under another name it does');
SELECT refused($$SELECT gpt_finetune('two', 'SELECT body FROM line', '{"into": "pieces", "steps": 1}')$$, 'pieces', 'tokenizer', 'nor fine-tunes into it');
SELECT refused($$SELECT gpt_rename_model('two', 'pieces')$$, 'pieces', 'tokenizer', 'nor renames one to it');
SELECT refused($$SELECT gpt_copy_model('two', 'pieces')$$, 'pieces', 'tokenizer', 'nor copies one to it');

-- of a job that has not ended, which a rollback takes away
RESET SESSION AUTHORIZATION;
BEGIN;
UPDATE gpt_job SET model = 'soon', state = 'queued' WHERE model = 'model';
SET LOCAL SESSION AUTHORIZATION gpt_two;
SELECT refused(format($$SELECT gpt_import_tokenizer('soon', %L)$$, :json), 'soon', 'model', 'nor is the name of a model free that a job makes');
ROLLBACK;
BEGIN;
UPDATE gpt_job SET model = NULL, tokenizer = 'soon', kind = 'tokenizer', state = 'queued' WHERE model = 'model';
SET LOCAL SESSION AUTHORIZATION gpt_two;
SELECT refused(format($$SELECT gpt_import_tokenizer('soon', %L)$$, :json), 'soon', 'tokenizer', 'nor that of a tokenizer that a job makes, for a tokenizer');
SELECT refused($$SELECT gpt_train_tokenizer('soon', 'SELECT body FROM line')$$, 'soon', 'tokenizer', 'nor for a job that makes one');
SELECT refused(format($$SELECT gpt_train('soon', 'SELECT body FROM line', %L)$$, :'tiny'), 'soon', 'tokenizer', 'nor for a model');
ROLLBACK;
SET SESSION AUTHORIZATION gpt_two;
SELECT throws_ok($$SELECT gpt_train_tokenizer('pieces', 'SELECT body FROM line')$$, '42501', 'must be owner of tokenizer "pieces"', 'a name is bound anew by its owner alone');
RESET SESSION AUTHORIZATION;

-- one role may give both; the model comes first, also in the option
SET SESSION AUTHORIZATION gpt_one;
SELECT gpt_tokenize('model', 'ab') AS tokens \gset
SELECT is(gpt_import_tokenizer('model', :json), 2, 'a role gives a tokenizer the name of its own model');
SELECT is(gpt_tokenize('model', 'ab'), :'tokens'::integer[], 'functions use the model''s');
SELECT is(gpt_count_tokens('model@1', 'ab'), 2, 'so they do of a version');
SELECT is(gpt_detokenize('model', '{97}'), 'a', 'and the other way');
SELECT gpt_train('again', 'SELECT body FROM line', jsonb_set(:'tiny', '{tokenizer}', '"model"')) AS job \gset
SELECT is(gpt_wait(:job, '300 s'), 'succeeded', 'a model is trained with the tokenizer of another');
SELECT is(gpt_tokenize('again', 'ab'), :'tokens'::integer[], 'which it has then');
SELECT is(gpt_import_tokenizer('model', :json), 2, 'the name is bound anew');
SELECT is((SELECT object FROM gpt_check() WHERE kind = 'shared name'), 'tokenizer model', 'gpt_check lists it');
SET SESSION AUTHORIZATION gpt_two;
SELECT is_empty($$SELECT object FROM gpt_check() WHERE kind = 'shared name'$$, 'for the role that it concerns');

-- both have a name all the same, as in a database of an older release
RESET SESSION AUTHORIZATION;
SELECT gpt_drop_tokenizer('model');
UPDATE gpt_tokenizer_name SET name = 'model' WHERE name = 'letters';
SET SESSION AUTHORIZATION gpt_one;
SELECT is(gpt_tokenize('model', 'ab'), :'tokens'::integer[], 'the owner of the model has what its model gives');
SELECT is((SELECT object FROM gpt_check() WHERE kind = 'shared name'), 'tokenizer model', 'and learns of it');
SET SESSION AUTHORIZATION gpt_two;
SELECT is((SELECT object FROM gpt_check() WHERE kind = 'shared name'), 'tokenizer model', 'so does the owner of the tokenizer');
SELECT throws_ok($$SELECT gpt_tokenize('model', 'ab')$$, '42501', 'permission denied for model "model"', 'who may not use the model');
SELECT lives_ok($$SELECT gpt_drop_tokenizer('model')$$, 'but may drop its tokenizer');
SELECT lives_ok($$SELECT gpt_drop_model('two')$$, 'and its model');
SET SESSION AUTHORIZATION gpt_one;
SELECT lives_ok($$SELECT gpt_drop_model('model'), gpt_drop_model('again'), gpt_drop_tokenizer('pieces')$$, 'as the other');
RESET SESSION AUTHORIZATION;
SELECT is_empty($$SELECT * FROM gpt_check() WHERE kind = 'shared name'$$, 'nothing is left of it');

DROP FUNCTION refused;
DROP TABLE line;
SELECT gpt_forget_jobs('0');
REVOKE USAGE ON SCHEMA :schema, public FROM gpt_one, gpt_two;
REVOKE EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb), gpt_train_tokenizer(text, text, jsonb) FROM gpt_one, gpt_two;
DROP ROLE gpt_one, gpt_two;
SELECT * FROM finish();
