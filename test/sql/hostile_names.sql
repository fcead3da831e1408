-- hostile names: the install script takes nothing that is there already
CREATE DATABASE gpt_hostile_names;
\c gpt_hostile_names
CREATE SCHEMA s;
CREATE ROLE regress_gpt_hostile_names;
GRANT CREATE ON SCHEMA s, public TO regress_gpt_hostile_names;
SET client_min_messages = warning;

-- an object of each name and kind in the schema: CREATE EXTENSION fails; a role cannot make functions of types that are not there
SET ROLE regress_gpt_hostile_names;
CREATE TABLE public.names AS SELECT 'gpt' AS name, false AS is_type WHERE false;
RESET ROLE;
CREATE EXTENSION gpt SCHEMA s;
INSERT INTO public.names SELECT DISTINCT relname, false FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind IN ('r', 'v', 'S')
	UNION ALL SELECT typname, true FROM pg_type WHERE typnamespace = 's'::regnamespace AND typtype = 'b' AND typcategory <> 'A';
CREATE TABLE public.functions AS SELECT proname::text AS name, pg_get_function_arguments(oid) AS arguments, pg_get_function_identity_arguments(oid) AS identity,
	pg_get_function_result(oid) AS result FROM pg_proc WHERE pronamespace = 's'::regnamespace;
DROP EXTENSION gpt;
CREATE FUNCTION public.install_with(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_gpt_hostile_names;
	EXECUTE command;
	RESET ROLE;
	CREATE EXTENSION gpt SCHEMA s;
	RAISE EXCEPTION 'installed';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN SQLSTATE IN ('42723', '42P07', '42710', '42P16', '42809', '55000') THEN 'refused' ELSE SQLSTATE || ' ' || SQLERRM END;
END $$;
SELECT outcome, count(*) > 5 AS many FROM (
	SELECT public.install_with(format('CREATE VIEW s.%I AS SELECT 1 AS x', name)) AS outcome FROM public.names
	UNION ALL SELECT public.install_with(format('CREATE TABLE s.%I (x integer)', name)) FROM public.names
	UNION ALL SELECT public.install_with(format('CREATE SEQUENCE s.%I', name)) FROM public.names WHERE name NOT LIKE '%seq' AND NOT is_type) o GROUP BY outcome;
SELECT outcome, count(*) > 5 AS many FROM (
	SELECT public.install_with(format('CREATE FUNCTION s.%I(%s) RETURNS %s LANGUAGE sql AS $f$ SELECT NULL $f$', name,
		regexp_replace(regexp_replace(identity, 'OUT [^,]*(, )?', '', 'g'), ', $', ''), 'text')) AS outcome
	FROM public.functions WHERE result !~ 'trigger' AND identity !~ 'internal|cstring|gpt_texts|gpt_model_version') o GROUP BY outcome;
\c regression
DROP DATABASE gpt_hostile_names;
DROP ROLE regress_gpt_hostile_names;
