-- hostile objects: no name or operator of somebody else is ever used
CREATE DATABASE gpt_hostile;
\c gpt_hostile
CREATE SCHEMA s;
CREATE ROLE regress_gpt_hostile;
GRANT CREATE ON SCHEMA s, public TO regress_gpt_hostile;
SET client_min_messages = warning;

-- operators and functions with exact argument types, first in search_path: they count their calls, and are never called
CREATE TABLE public.sprung (trap text, by_role name);
GRANT INSERT ON public.sprung TO PUBLIC;
CREATE FUNCTION public.spring(trap text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.sprung VALUES (trap, current_user); END $$;
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap, s TO PUBLIC;
DO $$
DECLARE
	place text;
	type text;
	operator text;
BEGIN
	FOREACH place IN ARRAY ARRAY['trap', 's'] LOOP
		FOREACH type IN ARRAY ARRAY['text', 'name', 'oid', 'integer', 'bigint', 'bytea', 'uuid', 'timestamptz', 'double precision', '"char"'] LOOP
			FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '>', '||', '~', '+', '-'] LOOP
				EXECUTE format('CREATE FUNCTION %s.f_%s(a %s, b %s) RETURNS boolean LANGUAGE plpgsql AS
					$f$ BEGIN PERFORM public.spring(%L); RETURN true; END $f$', place, md5(type || operator), type, type, operator || ' of ' || type);
				EXECUTE format('CREATE OPERATOR %1$s.%2$s (FUNCTION = %1$s.f_%3$s, LEFTARG = %4$s, RIGHTARG = %4$s)', place, operator, md5(type || operator), type);
			END LOOP;
		END LOOP;
		FOREACH type IN ARRAY ARRAY['now() timestamptz', 'clock_timestamp() timestamptz', 'pg_has_role(oid, text) boolean', 'pg_get_userbyid(oid) name',
			'encode(bytea, text) text', 'make_interval(integer, integer, integer, integer, integer, integer, float8) interval',
			'pg_extension_config_dump(regclass, text) text', 'gen_random_uuid() uuid', 'gpt_can_use(oid) boolean', 'gpt_object_owner(bigint) oid',
			'gpt_progress_rows(integer) text'] LOOP
			EXECUTE format('CREATE FUNCTION %s.%s RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.spring(%L); RETURN NULL; END $f$',
				place, regexp_replace(type, ' [a-z0-9]+$', ''), regexp_replace(type, '^.* ', ''), type);
		END LOOP;
	END LOOP;
END $$;
CREATE TABLE trap.gpt_model (model text, version integer);
CREATE TABLE trap.gpt_job (job bigint, state text);
CREATE TABLE trap.pg_largeobject_metadata (oid oid, lomowner oid, lomacl aclitem[]);
SET search_path = trap, pg_catalog, public;
SELECT 'a'::text = 'b'::text AS trapped;
SELECT pg_catalog.count(*) AS sprung FROM public.sprung;
DELETE FROM public.sprung;
CREATE EXTENSION gpt SCHEMA s;
SELECT * FROM public.sprung;
CREATE TABLE public.line AS SELECT format('line %s of the text', i) AS body FROM generate_series(1, 50) i;
SELECT s.gpt_train_tokenizer('t', 'SELECT body FROM public.line', '{"vocabulary": 260}') AS job \gset
SELECT s.gpt_wait(:job, '300 s');
SELECT s.gpt_train('m', 'SELECT body FROM public.line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "t", "steps": 3, "batch_size": 8}') AS job \gset
SELECT s.gpt_wait(:job, '300 s');
SELECT s.gpt_finetune('m', 'SELECT body FROM public.line', '{"steps": 2}') AS job \gset
SELECT s.gpt_wait(:job, '300 s');
SELECT model, version, tokenizer FROM s.gpt_models;
SELECT model, version FROM s.gpt_versions ORDER BY version USING OPERATOR(pg_catalog.<);
SELECT tokenizer FROM s.gpt_tokenizers;
SELECT job, state FROM s.gpt_jobs ORDER BY job USING OPERATOR(pg_catalog.<);
SELECT count(*) FROM s.gpt_stat_progress_train;
SELECT min(step) FROM s.gpt_train_log;
SELECT s.gpt_generate('m', 'line', 3, seed => 1) IS NOT NULL AS generated, s.gpt_score('m', 'line') IS NOT NULL AS scored,
	s.gpt_tokenize('t', 'line') IS NOT NULL AS tokenized, s.gpt_detokenize('m', '{70}') AS text, s.gpt_count_tokens('m', 'line') IS NOT NULL AS counted;
SELECT count(*) OPERATOR(pg_catalog.>) 5 AS options FROM s.gpt_options();
SELECT * FROM s.gpt_check(true);
SELECT s.gpt_rollback('m');
SELECT s.gpt_rename_model('m', 'n');
SELECT s.gpt_copy_model('n', 'm');
SELECT s.gpt_grant('m', 'regress_gpt_hostile'), s.gpt_revoke('m', 'regress_gpt_hostile');
SELECT s.gpt_cancel(:job), s.gpt_resume(:job);
SELECT s.gpt_drop_model('m'), s.gpt_drop_model('n'), s.gpt_drop_tokenizer('t');
SELECT * FROM public.sprung;
DROP EXTENSION gpt;
SELECT * FROM public.sprung;
\c regression
DROP DATABASE gpt_hostile;
DROP ROLE regress_gpt_hostile;

-- a function of the query sets search_path when it is planned: the plan that was checked runs, on the table that was meant
CREATE SCHEMA a;
CREATE SCHEMA b;
CREATE TABLE a.t AS SELECT 'text'::text AS body, 1::float8 AS weight;
CREATE TABLE b.t AS SELECT 'text'::text AS body, true AS weight;
CREATE FUNCTION flip() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	n int := coalesce(nullif(current_setting('my.n', true), ''), '0')::int + 1;
BEGIN
	PERFORM set_config('my.n', n::text, false);
	IF n >= 3 THEN
		PERFORM set_config('search_path', 'b, public', false);
	END IF;
	RETURN true;
END $$;
SET search_path = a, public;
SELECT gpt_train('flipped', 'SELECT body, weight FROM t WHERE public.flip()', '{"tokenizer": "bytes", "steps": 2}') AS job \gset
RESET search_path;
SELECT gpt_wait(:job, '300 s');
SELECT documents, error FROM gpt_jobs WHERE job = :job;
SELECT gpt_drop_model('flipped');
DROP TABLE a.t, b.t;
DROP SCHEMA a, b;
DROP FUNCTION flip;
