-- test/docs/setup.sql - what scripts/docs.pl runs in the database of a document before its first block. The variable
-- "tiny" says whether trainings are to be short.
\set QUIET on
SET client_min_messages = warning;
-- The quickstart's text by Shakespeare has words that scripts/check.sh looks for in the server's log.
SET log_statement = none;
CREATE SCHEMA docs;
GRANT USAGE ON SCHEMA docs TO PUBLIC;

-- Waits for all jobs, and reports those that failed, each once.
CREATE TABLE docs.reported (job bigint PRIMARY KEY);
CREATE FUNCTION docs.finish() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	j bigint;
	ended text;
	reason text;
BEGIN
	IF to_regclass('public.gpt_jobs') IS NULL THEN
		RETURN;
	END IF;
	FOR j IN SELECT job FROM public.gpt_jobs WHERE state IN ('queued', 'running') ORDER BY job LOOP
		ended := public.gpt_wait(j, CASE WHEN current_setting('docs.tiny')::boolean THEN interval '60 s' END);
		IF ended IN ('queued', 'running') THEN
			RAISE WARNING 'job % of a block has not ended', j;
		END IF;
	END LOOP;
	FOR j, reason IN
		INSERT INTO docs.reported SELECT job FROM public.gpt_jobs WHERE state = 'failed'
		ON CONFLICT DO NOTHING RETURNING job, (SELECT error FROM public.gpt_jobs g WHERE g.job = reported.job)
	LOOP
		RAISE WARNING 'job % of a block failed: %', j, reason;
	END LOOP;
END;
$$;
SELECT set_config('docs.tiny', :'tiny', false) \g /dev/null

-- Options of a tiny training: the document's, in place of "usual", but for the ones in "always", and 4 steps instead of
-- the minutes. Minutes out of range stay, so that they are still an error.
CREATE FUNCTION docs.tiny(usual jsonb, options jsonb, always jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT usual || CASE WHEN jsonb_typeof(options->'minutes') = 'number' AND options->'minutes' >= '0.01' THEN options - 'minutes'
		ELSE options END || always || '{"steps": 4}'
$$;

-- CREATE EXTENSION gpt makes the functions that stand before the extension's.
CREATE FUNCTION docs.stand_before() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('public.gpt_jobs') IS NULL OR to_regproc('docs.gpt_train') IS NOT NULL THEN
		RETURN;
	END IF;
	CREATE FUNCTION docs.gpt_train(model text, query text, options jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $f$
		SELECT public.gpt_train(model, query, docs.tiny('{"context": 64, "batch_size": 4}', options,
			'{"layers": 1, "heads": 2, "channels": 32}'))
	$f$;
	CREATE FUNCTION docs.gpt_finetune(model text, query text, options jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $f$
		SELECT public.gpt_finetune(model, query, docs.tiny('{"batch_size": 4}', options, '{}'))
	$f$;
	PERFORM set_config('search_path', 'docs, public', false);
END;
$$;
\if :tiny
CREATE EVENT TRIGGER stand_before ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION docs.stand_before();
\endif

-- pg_cron: schedule runs the command at once.
CREATE SCHEMA cron;
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 1;
END;
$$;

-- pgvector: the type, and the cosine distance.
CREATE DOMAIN public.vector AS real[];
CREATE FUNCTION docs.distance(a real[], b real[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT 1 - sum(x * y) / sqrt(sum(x * x) * sum(y * y)) FROM unnest(a, b) AS t (x, y)
$$;
CREATE OPERATOR public.<=> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = docs.distance);
RESET client_min_messages;
\pset pager off
\unset QUIET
