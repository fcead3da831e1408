-- The worker has the settings of the session that submits the job: it sees the rows that the session sees.
CREATE EXTENSION IF NOT EXISTS gpt;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE ROLE regress_gpt_app LOGIN;
CREATE ROLE regress_gpt_other LOGIN;
GRANT regress_gpt_other TO regress_gpt_app;
GRANT EXECUTE ON FUNCTION gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb) TO regress_gpt_app, regress_gpt_other;
GRANT CREATE ON SCHEMA public TO regress_gpt_app;
CREATE FUNCTION tiny(further jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE SQL IMMUTABLE AS
	$$SELECT '{"layers": 1, "heads": 1, "channels": 8, "context": 16, "steps": 1, "tokenizer": "bytes", "seed": 1}'::jsonb || further$$;
CREATE TABLE letter AS SELECT i, (ARRAY['acme', 'initech'])[1 + (i % 4 = 0)::int] AS tenant, 'letter ' || i AS body FROM generate_series(1, 40) i;
ALTER TABLE letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY lax ON letter USING (current_setting('app.tenant', true) IS NULL OR current_setting('app.tenant', true) = tenant);
GRANT SELECT ON letter TO regress_gpt_app, regress_gpt_other;

-- What a job reads, beside what the session reads, which in each line must be the same.
CREATE FUNCTION documents_of(jobs bigint[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	found text[];
BEGIN
	FOR i IN 1 .. cardinality(jobs) LOOP
		PERFORM gpt_wait(jobs[i]);
		found := found || (SELECT coalesce(error, documents::text) FROM gpt_jobs WHERE job = jobs[i]);
	END LOOP;
	RETURN found;
END$$;
CREATE FUNCTION submit_as_acme(model text) RETURNS bigint LANGUAGE plpgsql SET app.tenant = 'acme' AS $$
BEGIN
	RETURN gpt_train(model, 'SELECT body FROM letter', tiny(jsonb_build_object('validation_query', 'SELECT body FROM letter')));
END$$;
\c -
SET client_min_messages = warning;
SET SESSION AUTHORIZATION regress_gpt_app;
SELECT count(*) AS unset, gpt_train('s0', 'SELECT body FROM letter', tiny()) AS j0 FROM letter \gset
BEGIN;
SET LOCAL app.tenant = 'initech';
SELECT count(*) AS local, gpt_train('s1', 'SELECT body FROM letter', tiny()) AS j1 FROM letter \gset
COMMIT;
-- after SET LOCAL the setting is there, and empty
SELECT count(*) AS empty, gpt_train('s2', 'SELECT ''x'' AS body UNION ALL SELECT body FROM letter', tiny()) AS j2 FROM letter \gset
SELECT submit_as_acme('s3') AS j3 \gset
SELECT set_config('app.tenant', 'initech', false);
SELECT gpt_train('s4', 'SELECT body FROM letter', tiny()) AS j4 \gset
SELECT :unset AS unset, :local AS local, :empty AS empty, documents_of(ARRAY[:j0, :j1, :j2, :j3, :j4]) AS of_jobs;
RESET SESSION AUTHORIZATION;
DROP POLICY lax ON letter;
CREATE POLICY strict ON letter USING (current_setting('app.tenant') = tenant);
SET SESSION AUTHORIZATION regress_gpt_app;
SET app.tenant = 'acme';
SELECT gpt_finetune('s4', 'SELECT body FROM letter', '{"steps": 1}') AS job \gset
SELECT documents_of(ARRAY[:job]), value AS of_evaluate FROM gpt_evaluate('s4', 'SELECT body FROM letter') WHERE metric = 'documents';

-- another role than the session's: what ALTER ROLE gives it is replaced by what the session has
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_gpt_other SET app.tenant = 'initech';
SET SESSION AUTHORIZATION regress_gpt_app;
SET ROLE regress_gpt_other;
SELECT gpt_train('r1', 'SELECT body FROM letter', tiny()) AS j1, gpt_train('r2', 'SELECT body FROM letter WHERE current_setting(''role'') = current_user', tiny()) AS j2 \gset
SELECT documents_of(ARRAY[:j1, :j2]);
SELECT gpt_train('r3', 'SELECT body FROM letter WHERE session_user = current_user', tiny());
RESET ROLE;
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_gpt_other RESET app.tenant;
ALTER ROLE regress_gpt_other SET app.unknown = 'x';
DROP POLICY strict ON letter;
CREATE POLICY own ON letter USING (session_user = 'regress_gpt_app');
\c -
SET client_min_messages = warning;
SET SESSION AUTHORIZATION regress_gpt_app;
SET ROLE regress_gpt_other;
SELECT gpt_train('r4', 'SELECT body FROM letter', tiny());
SELECT gpt_train('r5', 'SELECT ''x'' AS body', tiny());
SET app.unknown = 'y';
SELECT gpt_train('r5', 'SELECT ''x'' AS body WHERE current_setting(''app.unknown'') = ''y''', tiny()) AS job \gset
SELECT documents_of(ARRAY[:job]);
RESET ROLE;

-- every setting that says what a query means; a library of settings that the worker loads later; numbers with all digits
SELECT similarity('a', 'b') > 1 AS library_is_loaded;
SET pg_trgm.similarity_threshold = 0.12345678901234567;
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -3;
SET bytea_output = 'escape';
SET default_text_search_config = 'simple';
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET backslash_quote = on;
SET xmloption = 'document';
SET xmlbinary = 'hex';
SET lc_monetary = 'C';
SET lc_numeric = 'C';
SET lc_time = 'C';
SET array_nulls = off;
SET transform_null_equals = on;
SET enable_seqscan = off;
SET random_page_cost = 1.2345678901;
SET work_mem = '77kB';
SET app.tenant = 'acme';
SET app.json = '{"sub": "a\\b"}';
SET search_path = public, pg_temp;
SET timezone_abbreviations = 'India';
CREATE FUNCTION asks_for(names text[]) RETURNS text LANGUAGE SQL AS
	$$SELECT format('SELECT name FROM (VALUES %s) AS v (name, wanted) WHERE current_setting(name, true) = wanted', string_agg(format('(%L, %L)', name, current_setting(name)), ', ')) FROM unnest(names) name$$;
SELECT gpt_train('all', asks_for('{TimeZone,DateStyle,IntervalStyle,extra_float_digits,bytea_output,default_text_search_config,standard_conforming_strings,
	escape_string_warning,backslash_quote,xmloption,xmlbinary,lc_monetary,lc_numeric,lc_time,array_nulls,transform_null_equals,enable_seqscan,random_page_cost,work_mem,app.json,
	timezone_abbreviations,app.tenant,row_security}'), tiny()) AS job,
	gpt_train('meant', $$SELECT 'x\'' AS body WHERE to_tsvector('the cats')::text LIKE '%the%' AND 'abc' % 'abd' AND (0.1::float8 + 0.2)::text = '0.3'$$, tiny()) AS meant \gset
SELECT documents_of(ARRAY[:job, :meant]);
RESET ALL;
DISCARD TEMP;

-- not taken: what is not of a job
SET statement_timeout = '1h';
SET application_name = 'mine';
SET default_transaction_read_only = off;
SELECT gpt_train('not', 'SELECT ''x'' AS body WHERE current_setting(''statement_timeout'') = ''0'' AND current_setting(''application_name'') <> ''mine''', tiny()) AS job \gset
SELECT documents_of(ARRAY[:job]);
RESET ALL;

-- what the role may not set is named; GRANT SET lets it
RESET SESSION AUTHORIZATION;
SELECT key FROM gpt_job, jsonb_each_text(settings) WHERE model = 'not' AND key IN ('statement_timeout', 'application_name', 'default_transaction_read_only', 'work_mem', 'app.tenant');
SET lo_compat_privileges = on;
SET log_statement = 'all';
SET SESSION AUTHORIZATION regress_gpt_app;
SELECT gpt_train('forbidden', 'SELECT ''x'' AS body', tiny());
RESET SESSION AUTHORIZATION;
GRANT SET ON PARAMETER lo_compat_privileges TO regress_gpt_app;
SET SESSION AUTHORIZATION regress_gpt_app;
SELECT gpt_train('granted', 'SELECT ''x'' AS body WHERE current_setting(''lo_compat_privileges'') = ''on''', tiny()) AS job \gset
SELECT documents_of(ARRAY[:job]);
RESET SESSION AUTHORIZATION;
RESET lo_compat_privileges;
RESET log_statement;
SET session_replication_role = replica;
SELECT gpt_train('replica', 'SELECT ''x'' AS body', tiny());
RESET session_replication_role;

-- a setting of a library that is not loaded yet: what a plain role gives a superuser's job is still of a plain role in the worker
CREATE FUNCTION in_plpgsql(name text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN current_setting(name); END$$;
CREATE FUNCTION submit_as_superuser(model text, wanted text) RETURNS bigint LANGUAGE SQL SECURITY DEFINER SET search_path = public AS
	$$SELECT gpt_train(model, format($q$SELECT 'x' AS body WHERE in_plpgsql('plpgsql.variable_conflict') = %L AND current_setting('app.tenant') = 'acme'$q$, wanted), tiny())$$;
\c -
SET SESSION AUTHORIZATION regress_gpt_app;
SET app.tenant = 'acme';
SET plpgsql.variable_conflict = 'use_column';
SELECT submit_as_superuser('plain', 'error') AS plain \gset
\c -
SET app.tenant = 'acme';
SET plpgsql.variable_conflict = 'use_column';
SELECT submit_as_superuser('super', 'use_column') AS super \gset
SELECT documents_of(ARRAY[:plain, :super]);
SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('plain', 'super');
DROP FUNCTION in_plpgsql, submit_as_superuser;

DROP OWNED BY regress_gpt_app, regress_gpt_other;
DROP ROLE regress_gpt_app, regress_gpt_other;
DROP TABLE letter;
DROP FUNCTION tiny, documents_of, submit_as_acme;
DROP EXTENSION pg_trgm;
