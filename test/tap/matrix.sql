-- test/tap/matrix.sql - who may do what: each function and view, as the owner of a model, a role that it is granted to, a stranger, a
-- member of the owner, a superuser. The rows are those of calls.psql.
SELECT no_plan();
SET client_min_messages = error;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_owner LOGIN;
CREATE ROLE gpt_granted LOGIN;
CREATE ROLE gpt_stranger LOGIN;
CREATE ROLE gpt_member LOGIN IN ROLE gpt_owner;
GRANT USAGE, CREATE ON SCHEMA :schema, public TO gpt_owner, gpt_granted, gpt_stranger;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb), gpt_estimate(text, jsonb), gpt_duplicates(text, text), gpt_survey(text, jsonb, bigint), gpt_agree(bytea[], text[], jsonb), gpt_train_tokenizer(text, text, jsonb),
	gpt_member_begin(jsonb), gpt_member_counts(), gpt_member_put(text, bigint, bytea), gpt_member_take(text, bytea, jsonb), gpt_member_run(bigint, bigint, integer, jsonb, float8),
	gpt_member_delta(bigint, integer), gpt_member_mesh(integer), gpt_member_end(), gpt_import(text, oid, jsonb), gpt_distribute(text, text[]), gpt_distribute_put(bigint, bytea),
	gpt_distribute_take(jsonb), gpt_maintain(regclass, text, text, jsonb) TO gpt_owner;

SET ROLE gpt_owner;
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 100) i;
GRANT SELECT ON line TO PUBLIC;
CREATE TABLE kept (id integer PRIMARY KEY, body text, label text);
SELECT gpt_maintain('kept', 'label', 'upper(body)', '{"existing": "none"}') AS kept \gset
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 270}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a tokenizer is trained');
SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 3, "batch_size": 8}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a model is trained');
SELECT gpt_finetune('m', 'SELECT body AS text, length(body) > 18 AS label FROM line', '{"into": "labels", "steps": 2}') AS job \gset label_
SELECT is(gpt_wait(:label_job, '60 s'), 'succeeded', 'a classifier is trained');
SELECT gpt_finetune('labels', 'SELECT body AS text, length(body) > 18 AS label FROM line', '{"steps": 1}') AS job \gset label_
SELECT is(gpt_wait(:label_job, '60 s'), 'succeeded', 'and trained on');
SELECT gpt_finetune('m', 'SELECT body AS text, length(body)::float8 AS label FROM line', '{"into": "lengths", "steps": 2}') AS number_job \gset
SELECT is(gpt_wait(:number_job, '60 s'), 'succeeded', 'a regression model is trained');
SELECT gpt_grant('m', 'gpt_granted');
SELECT gpt_grant('labels', 'gpt_granted');
SELECT gpt_grant('lengths', 'gpt_granted');
SELECT gpt_score('m', 'line') > 0 AS scored \gset
SELECT weights FROM gpt_models WHERE model = 'm' \gset
SELECT object FROM gpt_tokenizers \gset
SELECT convert_from(lo_get(:object), 'UTF8') AS json \gset

-- an adapter, of a copy of the model
SELECT gpt_copy_model('m', 'below');
SELECT gpt_finetune('below', 'SELECT body FROM line', '{"method": "lora", "steps": 1, "into": "adapter"}') AS adapter_job \gset
SELECT is(gpt_wait(:adapter_job, '60 s'), 'succeeded', 'an adapter is trained');
SELECT gpt_grant('adapter', 'gpt_granted');
RESET ROLE;
UPDATE gpt_version SET config = config || '{"chat": "chatml"}' WHERE model = 'm';

INSERT INTO gpt_mark VALUES (0, :kept, 2, '1', now(), 5, NULL, 'an error', now());

-- a running job, as far as rows tell
INSERT INTO gpt_job (model, kind, state, owner, query, options, settings, run_id, system_identifier, database)
	SELECT 'running', kind, 'running', owner, query, options, settings, gen_random_uuid(), system_identifier, (database::bigint + 1)::oid FROM gpt_job WHERE job = :job;
UPDATE gpt_job SET system_identifier = c.system_identifier FROM pg_control_system() c WHERE model = 'running';
INSERT INTO gpt_job_server (job, member, state) SELECT job, 0, 'training' FROM gpt_job WHERE state = 'running';
INSERT INTO gpt_progress (job, pid, phase) SELECT job, 0, 'training' FROM gpt_job WHERE state = 'running';

-- Runs a command as a role and takes it back: yes, no, or the SQLSTATE that nobody expects. No row is a division by zero.
CREATE FUNCTION may(role text, command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	EXECUTE command;
	RAISE EXCEPTION 'taken back' USING ERRCODE = 'P9999';
EXCEPTION
	WHEN SQLSTATE 'P9999' THEN RETURN 'yes';
	WHEN insufficient_privilege OR undefined_object OR division_by_zero THEN RETURN 'no';
	WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

\ir calls.psql
UPDATE matrix SET command = replace(replace(replace(command, 'WEIGHTS', :'weights'), 'JOB', :'job'), 'JSON', quote_literal(:'json'));

SELECT is(may('gpt_owner', command), owner, what || ' by the owner') FROM matrix;
SELECT is(may('gpt_granted', command), granted, what || ' by a role that the model is granted to') FROM matrix;
SELECT is(may('gpt_stranger', command), stranger, what || ' by a stranger') FROM matrix;
SELECT is(may('gpt_member', command), member, what || ' by a member of the owner') FROM matrix;
SELECT is(may('postgres', command), superuser, what || ' by a superuser') FROM matrix;
SELECT is_empty($$SELECT c.name FROM (
		SELECT proname::text AS name, oid, 'pg_proc'::regclass AS class FROM pg_proc
		UNION ALL SELECT relname, oid, 'pg_class'::regclass FROM pg_class WHERE relkind = 'v') c
	JOIN pg_depend d ON d.classid = c.class AND d.objid = c.oid AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gpt')
	WHERE name NOT LIKE '%\_trigger' AND name NOT LIKE 'gpt\_perplexity\_%' AND name NOT LIKE 'gpt\_texts\_%' AND name NOT LIKE 'gpt\_model\_version\_%' AND name <> 'gpt_support'
		AND name NOT IN (SELECT split_part(what, ',', 1) FROM matrix)$$,
	'the matrix has every function and view');
DELETE FROM gpt_progress;
DELETE FROM gpt_job_server;
DELETE FROM gpt_job WHERE model = 'running';
SELECT gpt_drop_model('labels');
SELECT gpt_drop_model('lengths');
SET ROLE gpt_owner;
SELECT throws_ok($$SELECT gpt_drop_model('below')$$, '2BP01', NULL, 'a base does not go while an adapter rests on it');
SELECT lives_ok($$SELECT gpt_drop_model('below', cascade => true)$$, 'but with the adapter');
RESET ROLE;

-- new versions: the model's owner, whoever of its members publishes, and the grants of the current version but UPDATE
GRANT SELECT ON LARGE OBJECT :weights TO gpt_stranger;
GRANT UPDATE ON LARGE OBJECT :weights TO gpt_granted;
SET ROLE gpt_owner;
SELECT gpt_finetune('m', 'SELECT body FROM line', '{"steps": 2}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'a second version is published');
RESET ROLE;
CREATE VIEW grants AS SELECT v.version, pg_get_userbyid(lomowner) AS owner, string_agg(grantee::regrole || ' ' || privilege_type, ', '
		ORDER BY grantee::regrole::text, privilege_type) FILTER (WHERE grantee NOT IN (lomowner, to_regrole('pg_read_all_data')::oid)) AS grants
	FROM gpt_version v JOIN pg_largeobject_metadata m ON m.oid = v.weights LEFT JOIN LATERAL aclexplode(lomacl) ON true WHERE model = 'm' GROUP BY 1, 2;
SELECT is((SELECT grants FROM grants WHERE version = 2), 'gpt_granted SELECT, gpt_stranger SELECT', 'the new version has the grants of the current one without UPDATE');
SELECT is((SELECT owner FROM grants WHERE version = 2), 'gpt_owner', 'and its owner');
SELECT is((SELECT string_agg(object, ', ') FROM gpt_check()), 'large object ' || :weights, 'gpt_check reports the grant of UPDATE');
REVOKE UPDATE ON LARGE OBJECT :weights FROM gpt_granted;

-- revoked by gpt_revoke: from all versions; a role that is dropped is in no list
SET ROLE gpt_owner;
SELECT lives_ok($$SELECT gpt_revoke('m', 'gpt_stranger')$$, 'the owner revokes');
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT grants, ';') FROM grants), 'gpt_granted SELECT', 'from all versions');
CREATE ROLE gpt_leaving;
SELECT gpt_grant('m', 'gpt_leaving');
SELECT throws_ok('DROP ROLE gpt_leaving', '2BP01', NULL, 'a role with grants is not dropped');
DROP OWNED BY gpt_leaving;
SELECT lives_ok('DROP ROLE gpt_leaving', 'DROP OWNED takes them');
SELECT is((SELECT string_agg(DISTINCT grants, ';') FROM grants), 'gpt_granted SELECT', 'and nobody else''s');

-- REASSIGN OWNED: the new owner has the model and publishes, the old one has nothing
CREATE ROLE gpt_heir LOGIN;
GRANT USAGE ON SCHEMA :schema TO gpt_heir;
GRANT EXECUTE ON FUNCTION gpt_finetune(text, text, jsonb) TO gpt_heir;
REASSIGN OWNED BY gpt_owner TO gpt_heir;
SELECT is((SELECT string_agg(DISTINCT owner::text, ',') FROM grants), 'gpt_heir', 'REASSIGN OWNED gives all versions to another role');
SELECT is((SELECT owner FROM gpt_tokenizers WHERE tokenizer = 't'), 'gpt_heir', 'and the tokenizer''s name');
SET ROLE gpt_owner;
SELECT throws_ok($$SELECT gpt_drop_tokenizer('t')$$, '42501', NULL, 'the old owner does not drop the tokenizer');
SELECT throws_ok($$SELECT gpt_score('m', 'line')$$, '42501', NULL, 'the old owner does not use the model any more');
SELECT throws_ok($$SELECT gpt_drop_model('m')$$, '42501', NULL, 'and does not drop it');
SET ROLE gpt_heir;
SELECT gpt_finetune('m', 'SELECT body FROM line', '{"steps": 2, "keep_versions": 2}') AS job \gset
SELECT is(gpt_wait(:job, '60 s'), 'succeeded', 'the new owner publishes a version');
SELECT is((SELECT string_agg(version || ' ' || owner, ', ' ORDER BY version) FROM gpt_versions), '2 gpt_heir, 3 gpt_heir', 'keep_versions keeps so many');
RESET ROLE;
SELECT is((SELECT grants FROM grants WHERE version = 3), 'gpt_granted SELECT', 'with the grants');
SELECT is_empty('SELECT * FROM gpt_check(true)', 'gpt_check finds nothing');

-- the freed number of an object in the hands of another role: nothing is served, nor from the session's cache
SELECT weights FROM gpt_models \gset
SET ROLE gpt_granted;
SELECT ok(gpt_score('m', 'line') > 0, 'a session has the model loaded');
SELECT lo_get(:weights) AS file \gset
RESET ROLE;
SELECT lo_unlink(:weights);
SET ROLE gpt_granted;
SELECT throws_ok($$SELECT gpt_score('m', 'line')$$, '42704', NULL, 'unlinked, it does not exist for who had it loaded');
SELECT lo_from_bytea(:weights, 'of another kind');
SELECT throws_ok($$SELECT gpt_score('m', 'line')$$, 'XX001', NULL, 'an object of another kind under its number is not the model');
SELECT throws_ok($$SELECT gpt_rollback('m', 2)$$, '42501', NULL, 'nor makes its owner the model''s');
SELECT lo_unlink(:weights);
SELECT lo_from_bytea(:weights, set_byte(:'file'::bytea, octet_length(:'file'::bytea) - 2, 1));
SELECT throws_ok($$SELECT gpt_drop_model('m@2')$$, '42704', NULL, 'a version has no owner of its own');
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT gpt_object_owner(weights)::regrole::text, ',') FROM gpt_version WHERE version = 2), 'gpt_heir', 'the other version is still the owner''s');
SET ROLE gpt_stranger;
SELECT throws_ok($$SELECT gpt_score('m', 'line')$$, '42501', NULL, 'a forged copy opens nothing to others');
RESET ROLE;
SELECT is((SELECT count(*) FROM gpt_check(true) WHERE kind = 'altered object'), 1::bigint, 'gpt_check reports it');
SET ROLE gpt_granted;
SELECT lo_unlink(:weights);
RESET ROLE;

-- DROP OWNED by the owner: the model is gone, its rows are cleared by a superuser, its name is free
DROP OWNED BY gpt_heir;
SET ROLE gpt_granted;
SELECT is_empty('SELECT * FROM gpt_versions', 'DROP OWNED takes the versions');
SELECT throws_ok($$SELECT gpt_score('m', 'line')$$, '42704', NULL, 'and the model');
RESET ROLE;
SELECT set_eq('SELECT DISTINCT kind FROM gpt_check()', ARRAY['missing object'], 'gpt_check names the rows that are left');
SELECT lives_ok($$SELECT gpt_drop_model('m')$$, 'a superuser clears them');
SELECT is_empty($$SELECT * FROM gpt_check() WHERE object LIKE 'model %'$$, 'then there is nothing to report of it');

DROP VIEW grants;
DROP OWNED BY gpt_owner, gpt_granted, gpt_stranger, gpt_member, gpt_heir;
DROP ROLE gpt_owner, gpt_granted, gpt_stranger, gpt_member, gpt_heir;
SELECT * FROM finish();
