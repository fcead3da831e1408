-- what an error says about a name that nothing bears
\set VERBOSITY terse
SET client_min_messages = warning;
\set options '{"layers": 1, "heads": 1, "channels": 8, "context": 8, "steps": 2, "batch_size": 1, "tokenizer": "bytes", "publish": "last"}'
CREATE TABLE missing_line AS SELECT 'line ' || i AS body FROM generate_series(1, 20) i;
SELECT gpt_train('missing_reviews', 'SELECT body FROM missing_line', :'options') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train_tokenizer('missing_pieces', 'SELECT body FROM missing_line', '{"vocabulary": 258}') AS job \gset
SELECT gpt_wait(:job, '300 s');
\set VERBOSITY default

-- rule: a misspelt name gives the nearest one
SELECT gpt_generate('missing_revews', 'x');
SELECT gpt_copy_model('missing_reviews', 'mouse');
SELECT gpt_generate('muose', 'x');
SELECT gpt_drop_model('mouse');
SELECT gpt_score('Missing_reviews', 'x');
SELECT gpt_score('MISSING_REVIEWS', 'x');
SELECT gpt_score('missing_reviewz@1', 'x');
SELECT gpt_evaluate('missing_review');
SELECT gpt_drop_model('missing_reviewss');
SELECT gpt_rename_model('missing_reviewss', 'missing_other');
SELECT gpt_copy_model('missing_reviewss', 'missing_other');
SELECT gpt_finetune('missing_reviewss', 'SELECT body FROM missing_line');
SELECT gpt_grant('missing_reviewss', current_user);
SELECT gpt_set_image_type('missing_reviewss', 'int8');
SELECT gpt_tokenize('missing_piece', 'x');
SELECT gpt_tokenize('missing_reviewss', 'x');
SELECT gpt_tokenize('byte', 'x');
SELECT gpt_train('missing_other', 'SELECT body FROM missing_line', '{"tokenizer": "missing_peaces"}');
SELECT gpt_drop_tokenizer('missing_peaces');

-- rule: only a near one, and none of somebody else's
SELECT gpt_generate('nothing of the kind', 'x');
CREATE ROLE missing_stranger;
SET ROLE missing_stranger;
SELECT gpt_score('missing_revews', 'x');
SELECT gpt_score('missing_reviews@9', 'x');
SELECT gpt_tokenize('missing_piece', 'x');
SELECT gpt_score('missing_reviews', 'x');
RESET ROLE;

-- rule: a version that does not exist gives those that do
SELECT gpt_score('missing_reviews@9', 'x');
SELECT gpt_rollback('missing_reviews', 9);
SELECT gpt_drop_version('missing_reviews', 9);
SELECT gpt_score('missing_reviews@', 'x');
SELECT gpt_score('missing_reviews@x', 'x');
INSERT INTO gpt_version (model, version, state, run_id, weights, size, sha256, tokenizer, config, parameters)
	SELECT model, n, state, run_id, weights, size, sha256, tokenizer, config, parameters FROM gpt_version, unnest('{2, 3, 5, 8, 9}'::int[]) n
	WHERE model = 'missing_reviews';
SELECT gpt_score('missing_reviews@7', 'x');
DELETE FROM gpt_version WHERE model = 'missing_reviews' AND version > 1;

-- rule: where a name is wanted, one of a version is explained
SELECT gpt_drop_model('missing_reviews@1');
SELECT gpt_drop_model('missing_reviews@1', true);
SELECT gpt_drop_version('missing_reviews@1', 1);
SELECT gpt_rollback('missing_reviews@1');
SELECT gpt_rename_model('missing_reviews@1', 'missing_other');
SELECT gpt_grant('missing_reviews@1', 'missing_stranger');
SELECT gpt_revoke('missing_reviews@x', 'missing_stranger');
SELECT gpt_set_image_type('missing_reviews@1', 'int8');

-- rule: where a job makes the model, or did not, it is named; to its owner alone
CREATE FUNCTION missing_error(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE command;
	RETURN NULL;
EXCEPTION WHEN undefined_object THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(concat_ws(' | ', SQLERRM, nullif(detail, ''), nullif(hint, '')), '(?<=[Jj]ob |gpt_wait.)\d+', 'N', 'g');
END $$;
BEGIN;
SELECT gpt_train('missing_later', 'SELECT body FROM missing_line', :'options') > 0 AS submitted;
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
ROLLBACK;
SELECT gpt_train('missing_later', 'SELECT body FROM missing_line WHERE false', :'options') AS job \gset
SELECT gpt_wait(:job);
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
SELECT missing_error($$SELECT gpt_count_tokens('missing_later', 'x')$$);
SET ROLE missing_stranger;
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
RESET ROLE;
BEGIN;
UPDATE gpt_job SET state = 'running' WHERE job = :job;
SET ROLE missing_stranger;
SELECT missing_error($$SELECT gpt_drop_model('missing_later')$$);
RESET ROLE;
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
SELECT missing_error($$SELECT gpt_score('missing_later@2', 'x')$$);
UPDATE gpt_job SET state = 'queued' WHERE job = :job;
SELECT missing_error($$SELECT gpt_finetune('missing_later', 'SELECT 1')$$);
INSERT INTO gpt_model (model, last_version) VALUES ('missing_later', 4);
INSERT INTO gpt_version (model, version, state, run_id, weights, size, sha256, tokenizer, config, parameters)
	SELECT 'missing_later', 4, 'partial', run_id, weights, size, sha256, tokenizer, config, parameters FROM gpt_version WHERE model = 'missing_reviews';
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
UPDATE gpt_job SET state = 'cancelled', error = NULL WHERE job = :job;
SELECT missing_error($$SELECT gpt_score('missing_later', 'x')$$);
ROLLBACK;
BEGIN;
SELECT gpt_train_tokenizer('missing_parts', 'SELECT body FROM missing_line') > 0 AS submitted;
SELECT missing_error($$SELECT gpt_tokenize('missing_parts', 'x')$$);
SELECT missing_error($$SELECT gpt_train('missing_later', 'SELECT body FROM missing_line', '{"tokenizer": "missing_parts"}')$$);
SELECT missing_error($$SELECT gpt_score('missing_parts', 'x')$$);
ROLLBACK;

SELECT gpt_drop_model('missing_reviews');
SELECT gpt_drop_tokenizer('missing_pieces');
DROP FUNCTION missing_error;
DROP TABLE missing_line;
DROP ROLE missing_stranger;
