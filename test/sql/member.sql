-- test/sql/member.sql - a session as a member of a training over servers: order of calls, rounds, what is refused, what is left.
SET client_min_messages = error;
CREATE TABLE line AS SELECT 'line ' || n || ' of the text has number ' || n * 7 AS body FROM generate_series(1, 200) n;

-- a token file and a checkpoint, of a job that is cancelled once it has them
SELECT gpt_train('joining', 'SELECT body FROM line',
	'{"layers": 1, "heads": 2, "channels": 16, "context": 32, "vocabulary": 270, "steps": 1000000, "batch_size": 8, "seed": 1}') AS job \gset
DO $$
DECLARE
	newest bigint := (SELECT max(job) FROM gpt_job);
BEGIN
	WHILE pg_stat_file((SELECT format('gpt/pgsql_tmp_%s.ckpt', run_id) FROM gpt_job WHERE job = newest), true) IS NULL LOOP
		PERFORM gpt_wait(newest, '20 ms');
	END LOOP;
END $$;
SELECT gpt_cancel(:job), gpt_wait(:job);
-- the slot of its worker, which ends soon
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = x'6771'::integer AND granted) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT run_id, format('gpt/pgsql_tmp_%s.tokens', run_id) AS tokens, format('gpt/pgsql_tmp_%s.ckpt', run_id) AS checkpoint FROM gpt_job WHERE job = :job \gset
CREATE FUNCTION spec(member integer, members integer, added jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('protocol', 1, 'run_id', run_id, 'job', job, 'model', model, 'member', member, 'members', members, 'data', 'dealt') || added
	FROM gpt_job WHERE model = 'joining'
$$;
CREATE FUNCTION send(part text, bytes bytea, sha256 bytea DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gpt_member_put(part, 0, substr(bytes, 1, 5000));
	PERFORM gpt_member_put(part, least(5000, length(bytes)), substr(bytes, 5001));
	RETURN gpt_member_take(part, coalesce(sha256, sha256(bytes)));
END $$;

-- calls out of order say what is missing
SELECT gpt_member_run(0, 1, 0);
SELECT gpt_member_begin(spec(2, 2));
SELECT gpt_member_begin(spec(1, 2, '{"protocol": 2}'));
SELECT gpt_member_begin(spec(1, 2, '{"version": "0.2.0"}'));
SELECT gpt_member_begin(spec(1, 2, '{"secret": "abc"}'));
-- in the coordinator's own database: an answer, which it refuses
SELECT gpt_member_begin(spec(1, 2, '{"coordinator": "another"}')) ->> 'place' AS place \gset
SELECT gpt_member_end();
SELECT gpt_member_begin(spec(1, 2, jsonb_build_object('coordinator', :'place'))) ->> 'place' = :'place' AS same;
SELECT gpt_member_run(0, 1, 0);
SELECT gpt_member_begin(spec(1, 2)) - 'machine' - 'pid' - 'place' - 'version';
SELECT gpt_member_begin(spec(1, 2));
SELECT gpt_member_run(0, 1, 0);
SELECT gpt_member_put('checkpoint', 0, 'x');
SELECT gpt_member_put('words', 0, 'x');
SELECT gpt_member_put('tokens', 1, 'x');
SELECT gpt_member_take('tokens', sha256('x'));
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT gpt_member_run(0, 1, 0);
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint')) ->> 'step' AS step \gset
SELECT gpt_member_delta(0, 1);
SELECT gpt_member_put('update', 0, 'x');
DO $$ BEGIN PERFORM gpt_member_run(1000000, 1, 0); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE EXCEPTION '%', regexp_replace(SQLERRM, '\d+', 'N'); END $$;
SELECT gpt_member_run(:step, 0, 0);
SELECT gpt_member_mesh(0);
SELECT gpt_member_run(:step, 1, 0, '{"addresses": ["127.0.0.1:1"], "member": 0}');
SELECT gpt_member_run(:step, 1, 0, '{"addresses": ["127.0.0.1:1", 2], "member": 0}');
SELECT gpt_member_run(:step, 1, 0, '{"addresses": ["127.0.0.1:1", "127.0.0.1:2"], "member": 2}');
SELECT gpt_member_run(:step, 1, 0, '{"addresses": ["127.0.0.1:1", "127.0.0.1:2"], "member": 0, "gradient_type": "int8"}');
SELECT gpt_member_run(:step, 1, 0, '{"addresses": ["127.0.0.1:1", "127.0.0.1:2"], "member": 0}');

-- a round, which outlasts transactions; the same round again gives the same bytes
SELECT gpt_member_run(:step, 5, 7) - 'ms' - 'loss_sum' - 'weight' - 'step' - 'tokens' - 'sha256' AS ran;
SELECT gpt_member_run(:step + 5, 5, 7);
SELECT gpt_member_delta(0, 16777216) AS delta \gset
SELECT decode(repeat('bd378635' || repeat('7f', 256), 33) || 'bd378635' || repeat('81', 48), 'hex') AS update \gset
SELECT gpt_member_put('update', 0, (:'update'::bytea || '\x00'));
SELECT send('update', :'update') ->> 'crc' AS crc \gset
SELECT gpt_member_run(:step + 5, 5, 8) IS NOT NULL AS goes_on;
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint')) ->> 'step' = :'step' AS back;
SELECT gpt_member_run(:step, 5, 7) IS NOT NULL AS again, gpt_member_delta(0, 16777216) = :'delta' AS same, gpt_member_delta(4, 8) = substr(:'delta'::bytea, 5, 8) AS piece;
BEGIN;
SELECT send('update', :'update') ->> 'crc' = :'crc' AS same;
ROLLBACK;
SELECT gpt_member_run(:step + 5, 1, 8) IS NOT NULL AS goes_on;

-- other members draw other rows
SELECT gpt_member_put('checkpoint', 0, pg_read_binary_file(:'checkpoint'));
SELECT gpt_member_take('checkpoint', sha256(pg_read_binary_file(:'checkpoint')), '{"member": 2, "members": 3}') ->> 'step' = :'step' AS back;
SELECT gpt_member_run(:step, 5, 7) IS NOT NULL AS ran, gpt_member_delta(0, 16777216) = :'delta' AS same;

-- what was altered or cut is refused, and so is an update that is none
SELECT send('update', set_byte(:'update'::bytea, 9, 128));
SELECT send('update', substr(:'update'::bytea, 1, 300));
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint', 0, 6000));
SELECT send('checkpoint', set_byte(pg_read_binary_file(:'checkpoint'), 3000, 200));
SELECT send('checkpoint', set_byte(pg_read_binary_file(:'checkpoint'), 30, 200));
SELECT gpt_member_put('checkpoint', 0, 'xyz');
SELECT gpt_member_take('checkpoint', sha256('xy'));
SELECT gpt_member_run(0, 1, 0);
SELECT send('tokens', set_byte(pg_read_binary_file(:'tokens'), 8, 3));
SELECT send('tokens', set_byte(pg_read_binary_file(:'tokens'), 300, 33)) ->> 'windows' AS windows;
DO $$ BEGIN PERFORM send('checkpoint', pg_read_binary_file((SELECT format('gpt/pgsql_tmp_%s.ckpt', run_id) FROM gpt_job WHERE model = 'joining'))); EXCEPTION WHEN data_corrupted THEN RAISE EXCEPTION '%', SQLERRM; END $$;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT gpt_member_end();
SELECT gpt_member_begin(spec(1, 2, '{"run_id": "01234567-89ab-cdef-0123-456789abcdef"}')) IS NOT NULL AS of_another_run;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint'));
SELECT gpt_member_end();

-- what a member keeps: the beginning of a round, for another session of its role in its place
CREATE FUNCTION kept(step bigint, crc bigint, also bigint DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT gpt_member_take('kept', NULL, jsonb_build_object('step', step, 'crc', crc, 'also', also))
$$;
CREATE FUNCTION kept_steps(run uuid, first bigint) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg((n - first)::text, ' ' ORDER BY n)
	FROM (SELECT substring(name FROM '_(\d+)\.kept$')::bigint AS n FROM pg_ls_dir('gpt') name WHERE name LIKE format('pgsql\_tmp\_%s\_m%%', run)) s
$$;
SELECT gpt_member_begin(spec(1, 2, '{"keep": 1}'));
SELECT gpt_member_begin(spec(1, 2, '{"keep": true}')) IS NOT NULL AS begun;
SELECT kept(:step, 0);
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT gpt_member_put('kept', 0, 'x');
SELECT gpt_member_take('kept', NULL);
SELECT gpt_member_take('kept', NULL, '{"step": 0}');
SELECT kept(:step, 0) AS nothing_yet;
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint')) ->> 'crc' AS crc0 \gset
SELECT gpt_member_run(:step, 5, 1) IS NOT NULL AS ran;
SELECT gpt_member_take('update', sha256(:'update'), jsonb_build_object('also', :step)) ->> 'crc' AS crc FROM (SELECT gpt_member_put('update', 0, :'update')) s \gset
SELECT kept_steps(:'run_id', :step);
SELECT gpt_member_run(:step + 5, 5, 1) IS NOT NULL AS ran, gpt_member_delta(0, 16777216) AS second \gset
SELECT gpt_member_take('update', sha256(:'update'), jsonb_build_object('also', :step)) ->> 'crc' AS last FROM (SELECT gpt_member_put('update', 0, :'update')) s \gset
SELECT kept_steps(:'run_id', :step) AS also_the_first;
\c -
SET client_min_messages = error;
SELECT gpt_member_begin(spec(1, 2, '{"keep": true}')) IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT kept(:step + 5, :crc) AS was_not_wanted;
SELECT kept(:step, :crc) AS other_weights;
SELECT kept(:step, :crc0, :step + 10) ->> 'found' AS found;
SELECT gpt_member_run(:step, 5, 1) IS NOT NULL AS ran, gpt_member_delta(0, 16777216) = :'delta' AS same;
SELECT gpt_member_take('update', sha256(:'update'), jsonb_build_object('also', :step + 10)) ->> 'crc' = :'crc' AS same FROM (SELECT gpt_member_put('update', 0, :'update')) s;
SELECT gpt_member_run(:step + 5, 5, 1) IS NOT NULL AS ran, gpt_member_delta(0, 16777216) = :'second' AS same_with_what_was_left;
SELECT kept(:step + 10, :last) ->> 'found' AS found;
SELECT kept_steps(:'run_id', :step) AS the_last_alone;
SELECT gpt_member_end();
-- rule: another member, and another role, find nothing
SELECT gpt_member_begin(spec(1, 3, '{"keep": true, "member": 2}')) IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT kept(:step + 10, :last) AS of_another_member;
SELECT gpt_member_end(), gpt_member_end();
CREATE ROLE member_stranger;
GRANT EXECUTE ON FUNCTION gpt_member_begin, gpt_member_put, gpt_member_take, gpt_member_end TO member_stranger;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO member_stranger;
SELECT spec(1, 2, '{"keep": true}') AS spec \gset
SET ROLE member_stranger;
SELECT gpt_member_begin(:'spec') IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT kept(:step + 10, :last) AS of_another_role;
SELECT gpt_member_end(), gpt_member_end();
RESET ROLE;
DROP OWNED BY member_stranger;
DROP ROLE member_stranger;
-- rule: the second end removes it; one that is damaged is an error, and the member waits for a checkpoint
SELECT gpt_member_begin(spec(1, 2, '{"keep": true}')) IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT kept(:step + 10, :last) ->> 'found' AS found;
SELECT gpt_member_end();
SELECT kept_steps(:'run_id', :step) AS still_there;
SELECT 'gpt/' || name AS file FROM pg_ls_dir('gpt') name WHERE name LIKE format('pgsql\_tmp\_%s\_m1\_%%', :'run_id') \gset
SELECT lo_from_bytea(0, set_byte(pg_read_binary_file(:'file'), 9000, get_byte(pg_read_binary_file(:'file'), 9000) # 1)) AS damaged \gset
SELECT lo_export(:damaged, :'file'), lo_unlink(:damaged);
SELECT gpt_member_begin(spec(1, 2, '{"keep": true}')) IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT set_config('gpt_test.kept', format('SELECT kept(%s, %s)', :step + 10, :last), false) IS NOT NULL AS set;
DO $$ BEGIN EXECUTE current_setting('gpt_test.kept'); EXCEPTION WHEN data_corrupted THEN RAISE EXCEPTION '%', regexp_replace(SQLERRM, '_tmp_[^.]*', 'RUN'); END $$;
SELECT gpt_member_run(0, 1, 0);
SELECT gpt_member_end();
SELECT gpt_member_end();
SELECT kept_steps(:'run_id', :step) AS removed;
-- rule: what members of a database that is gone have kept is removed
SELECT lo_from_bytea(0, 'x') AS object \gset
SELECT lo_export(:object, 'gpt/pgsql_tmp_01234567-89ab-cdef-0123-456789abcdef_m1_4294967295_10_5.kept'), lo_unlink(:object);
SELECT gpt_member_begin(spec(1, 2)) IS NOT NULL AS begun;
SELECT count(*) FROM pg_ls_dir('gpt') name WHERE name LIKE '%_4294967295_10_5.kept';
SELECT gpt_member_end();
DROP FUNCTION kept, kept_steps;

-- rows of its own: with the settings of the job but not its limits, in a transaction that only reads; a tokenizer by agreement
CREATE SCHEMA kept;
CREATE VIEW kept.own AS SELECT body FROM line WHERE body ~ current_setting('app.part') AND current_setting('gpt.max_memory') <> '77MB'
	AND current_setting('transaction_read_only') = 'on';
CREATE FUNCTION local(query text, settings jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT spec(1, 2, jsonb_build_object('data', 'local', 'keep', true, 'query', query, 'settings', settings, 'options', '{"vocabulary": 270, "seed": 1, "context": 32}'::jsonb))
$$;
SELECT gpt_member_begin(local('SELECT body FROM own', '{}'));
SELECT gpt_member_begin(local('SELECT body FROM own', '{"search_path": "kept", "app.part": "none"}'));
SELECT gpt_member_counts();
SELECT gpt_member_begin(local('SELECT gpt_member_end()::text AS body FROM line', '{}'));
SELECT gpt_member_begin(local('SELECT count(*)::text AS body FROM gpt_member_counts()', '{}'));
SELECT gpt_member_begin(local('SELECT body FROM own', '{"search_path": "kept", "app.part": "[0-4]$", "gpt.max_memory": "77MB"}')) -> 'counts' AS counts;
SELECT coalesce(current_setting('app.part', true), '') AS part, current_setting('search_path') ~ 'kept' AS path, current_setting('transaction_read_only') AS read_only;
SELECT send('tokens', pg_read_binary_file(:'tokens'));
SELECT gpt_member_run(:step, 1, 0);
SELECT string_agg(piece, '') AS survey FROM gpt_member_counts() piece \gset
SELECT :'survey'::bytea = gpt_survey('SELECT body FROM line WHERE body ~ ''[0-4]$''', '{"vocabulary": 270, "seed": 1, "context": 32}') AS same;
SELECT tokenizer, agreement FROM gpt_agree(ARRAY[:'survey'::bytea], options => '{"vocabulary": 270, "seed": 1, "context": 32}') \gset
SELECT gpt_member_put('tokenizer', 0, convert_to(:'tokenizer', 'UTF8'));
SELECT gpt_member_take('tokenizer', sha256(convert_to(:'tokenizer', 'UTF8')), '{"agreement": {"context": "wide"}}');
SELECT gpt_member_put('tokenizer', 0, convert_to(:'tokenizer', 'UTF8'));
SELECT gpt_member_take('tokenizer', sha256(convert_to(:'tokenizer', 'UTF8')), jsonb_build_object('agreement', :'agreement'::jsonb)) - 'tokens' AS encoded;
SELECT count(*) FROM gpt_member_counts();
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint')) ->> 'crc' AS crc \gset
SELECT gpt_member_run(:step, 3, 0) IS NOT NULL AS ran;
SELECT gpt_member_take('kept', NULL, jsonb_build_object('step', :step, 'crc', :crc)) ->> 'changed' AS changed;
SELECT gpt_member_end();
-- rule: that rows have changed since it kept its state is said
INSERT INTO line VALUES ('line 201 of the text has number 4');
SELECT gpt_member_begin(local('SELECT body FROM own', '{"search_path": "kept", "app.part": "[0-4]$"}')) IS NOT NULL AS begun;
SELECT gpt_member_put('tokenizer', 0, convert_to(:'tokenizer', 'UTF8'));
SELECT gpt_member_take('tokenizer', sha256(convert_to(:'tokenizer', 'UTF8')), jsonb_build_object('agreement', :'agreement'::jsonb)) IS NOT NULL AS encoded;
SELECT gpt_member_take('kept', NULL, jsonb_build_object('step', :step, 'crc', :crc)) ->> 'changed' AS changed;
SELECT gpt_member_end();
SELECT gpt_member_end();

-- a run that is interrupted leaves no state; the end leaves nothing
\c -
SET client_min_messages = error;
SELECT gpt_member_begin(spec(1, 2)) IS NOT NULL AS begun;
SELECT send('tokens', pg_read_binary_file(:'tokens')) ->> 'windows' AS windows;
SELECT send('checkpoint', pg_read_binary_file(:'checkpoint')) ->> 'step' = :'step' AS back;
SET statement_timeout = '100 ms';
SELECT gpt_member_run(:step, 10000, 0);
RESET statement_timeout;
SELECT gpt_member_run(0, 1, 0);
SELECT gpt_member_put('checkpoint', 0, 'x');
SELECT gpt_member_end(), gpt_member_end();
SELECT count(*) FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%';
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'gpt member%';
DROP SCHEMA kept CASCADE;
DROP FUNCTION spec, send, local;
DROP TABLE line;
