-- versions and names of models: rollback, rename, copy, grants, removal
\set VERBOSITY default
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 50) i;
\set options '{"layers": 1, "heads": 1, "channels": 16, "context": 32, "vocabulary": 260, "steps": 3, "batch_size": 8}'
SELECT gpt_train('a', 'SELECT body FROM line', :'options') AS job \gset
SELECT gpt_wait(:job, '300 s');
CREATE ROLE regress_gpt_user;
CREATE ROLE regress_gpt_second;

-- copy: the same bytes in another object, version 1 of a new model
SELECT gpt_copy_model('a', 'b');
SELECT gpt_copy_model('a@1', 'c');
SELECT model, version, owner = current_user AS mine, loss IS NOT NULL AS loss, description
	FROM gpt_models JOIN pg_description ON objoid = weights AND classoid = 'pg_largeobject'::regclass WHERE model IN ('a', 'b', 'c') ORDER BY model;
SELECT count(DISTINCT weights) AS objects, count(DISTINCT lo_get(weights)) AS contents FROM gpt_models WHERE model IN ('a', 'b', 'c');
SELECT gpt_score('a', 'line 1') = gpt_score('b', 'line 1') AS same;
SELECT gpt_copy_model('a', 'b');
SELECT gpt_copy_model('a', 'x@y');
SELECT gpt_copy_model('none', 'd');
SELECT gpt_copy_model('a@2', 'd');
SELECT gpt_copy_model(NULL, 'd');
SELECT gpt_copy_model('a', NULL);

-- a second and third version, as a later training publishes them; one of them partial
CREATE FUNCTION publish_again(name text, of_state text, changed integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	object oid;
	number integer;
BEGIN
	SELECT lo_from_bytea(0, set_byte(lo_get(weights), (size - 2)::integer, changed)) INTO object FROM gpt_version WHERE model = name AND version = 1;
	UPDATE gpt_model SET last_version = last_version + 1, version = CASE of_state WHEN 'final' THEN last_version + 1 ELSE version END
		WHERE model = name RETURNING last_version INTO number;
	INSERT INTO gpt_version (model, version, state, run_id, weights, size, sha256, tokenizer, config, parameters)
		SELECT name, number, of_state, run_id, object, size, sha256(lo_get(object)), tokenizer, config, parameters
		FROM gpt_version WHERE model = name AND version = 1;
	RETURN number;
END $$;
SELECT publish_again('a', 'final', 1), publish_again('a', 'partial', 2), publish_again('a', 'final', 3);
SELECT version, state FROM gpt_versions WHERE model = 'a' ORDER BY version;
SELECT version FROM gpt_models WHERE model = 'a';

-- rollback: what was current stays, and can be current again
SELECT gpt_rollback('a');
SELECT version FROM gpt_models WHERE model = 'a';
SELECT gpt_score('a', 'line 1') = gpt_score('a@2', 'line 1') AS of_two;
SELECT gpt_rollback('a', 4);
SELECT gpt_rollback('a', version => 1);
SELECT gpt_score('a', 'line 1') = gpt_score('b', 'line 1') AS of_one;
SELECT gpt_rollback('a');
SELECT gpt_rollback('a', 3);
SELECT gpt_rollback('a', 5);
SELECT gpt_rollback('a', 0);
SELECT gpt_rollback('none');
SELECT gpt_rollback('a@1');
SELECT gpt_rollback(NULL);
SELECT publish_again('a', 'final', 4);
SELECT version FROM gpt_models WHERE model = 'a';
SELECT count(*) FROM gpt_versions WHERE model = 'a';

-- one version goes: not the current one, and its number is not given again
SELECT gpt_drop_version('a', 5);
SELECT gpt_drop_version('b', 1);
SELECT gpt_drop_version('a', 7);
SELECT gpt_drop_version('a', 0);
SELECT gpt_drop_version('a', NULL);
SELECT gpt_drop_version('none', 1);
SELECT gpt_drop_version('a@2', 2);
SELECT weights FROM gpt_versions WHERE model = 'a' AND version = 2 \gset
BEGIN;
SELECT gpt_drop_version('a', 2);
SELECT string_agg(version::text, ' ' ORDER BY version) AS versions FROM gpt_versions WHERE model = 'a';
SELECT count(*) FROM pg_largeobject_metadata WHERE oid = :weights;
ROLLBACK;
SET ROLE regress_gpt_user;
SELECT gpt_drop_version('a', 2);
RESET ROLE;
-- rule: one whose object is lost goes as well
BEGIN;
SELECT lo_unlink(:weights);
SELECT kind FROM gpt_check();
SELECT gpt_drop_version('a', 2);
SELECT kind FROM gpt_check();
ROLLBACK;

-- rename: rows and comments of all versions
SELECT gpt_rename_model('a', 'b');
SELECT gpt_rename_model('a', 'a');
SELECT gpt_rename_model('a', '');
SELECT gpt_rename_model('none', 'd');
SELECT gpt_rename_model('a', NULL);
SELECT gpt_rename_model('a', 'long name');
SELECT gpt_score('a', 'line 1');
SELECT v.version, description FROM gpt_versions v LEFT JOIN pg_description ON objoid = weights AND classoid = 'pg_largeobject'::regclass
	WHERE model = 'long name' ORDER BY version;
BEGIN;
SELECT gpt_rename_model('long name', 'a');
SELECT gpt_copy_model('a', 'long name');
ROLLBACK;
SELECT model, count(*) FROM gpt_versions WHERE model IN ('a', 'b', 'c', 'long name') GROUP BY model ORDER BY model;

-- grants: all versions, and what comes later
SELECT gpt_grant('c', 'public');
SELECT gpt_grant('c', 'regress_gpt_none');
SELECT gpt_grant('none', 'regress_gpt_user');
SELECT gpt_grant('c', NULL);
SELECT gpt_grant('long name', 'regress_gpt_user');
SELECT version, has_privilege FROM gpt_versions v, LATERAL (SELECT bool_or(grantee = 'regress_gpt_user'::regrole) AS has_privilege
	FROM pg_largeobject_metadata m, aclexplode(lomacl) WHERE m.oid = v.weights) p WHERE model = 'long name' ORDER BY version;
SET ROLE regress_gpt_user;
SELECT model, version FROM gpt_models;
SELECT gpt_score('long name@3', 'line 1') > 0 AS scored;
SELECT gpt_score('b', 'line 1');
SELECT gpt_grant('long name', 'regress_gpt_second');
SELECT gpt_rollback('long name');
SELECT gpt_rename_model('long name', 'mine');
SELECT gpt_drop_model('long name');
SELECT gpt_copy_model('b', 'mine');
SELECT gpt_copy_model('long name', 'mine');
SELECT model, owner FROM gpt_models ORDER BY model;
RESET ROLE;
SELECT gpt_revoke('long name', 'regress_gpt_user');
SET ROLE regress_gpt_user;
SELECT gpt_score('long name', 'line 1');
SELECT gpt_score('mine', 'line 1') > 0 AS scored;
SELECT gpt_drop_model('mine');
RESET ROLE;

-- a job that makes a model, or starts from it, keeps its name
INSERT INTO gpt_job (model, base, kind, owner, query, options, settings, run_id, system_identifier, database)
	SELECT 'd', 'b', 'finetune', owner, query, options, settings, gen_random_uuid(), system_identifier, database FROM gpt_job WHERE job = :job;
UPDATE gpt_job SET system_identifier = c.system_identifier FROM pg_control_system() c WHERE model = 'd';
\set VERBOSITY sqlstate
SELECT gpt_rename_model('c', 'd');
SELECT gpt_copy_model('c', 'd');
SELECT gpt_rename_model('b', 'e');
SELECT gpt_drop_model('b');
\set VERBOSITY default
SELECT gpt_rollback('b');
DELETE FROM gpt_job WHERE model = 'd';
SELECT gpt_rename_model('b', 'e');

-- more versions than locks: an error before anything is removed
CREATE TABLE sole AS SELECT * FROM gpt_version WHERE model = 'c';
INSERT INTO gpt_version SELECT model, version + i, 'final', run_id, weights, size, sha256, tokenizer, config, parameters FROM sole, generate_series(1, 20000) i;
\set VERBOSITY sqlstate
SELECT gpt_drop_model('c');
\set VERBOSITY default
SELECT count(*) FROM gpt_versions WHERE model = 'c';
DELETE FROM gpt_version WHERE model = 'c' AND version > 1;

SELECT gpt_drop_model(model) FROM unnest(ARRAY['c', 'e', 'long name']) model;
SELECT count(*) FROM pg_largeobject_metadata WHERE oid NOT IN (SELECT weights FROM gpt_version UNION ALL SELECT object FROM gpt_tokenizer);
DROP TABLE line, sole;
DROP FUNCTION publish_again;
DROP ROLE regress_gpt_user, regress_gpt_second;
