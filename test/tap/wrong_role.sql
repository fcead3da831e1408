-- test/tap/wrong_role.sql - every function of the extension in every role that the server has for functions: attached where it does not
-- belong, by a plain role and by a superuser. What is asked is that the server lives and that nothing but an error comes of it.
SELECT no_plan();
SET client_min_messages = error;
SET jit = off; -- 40 ms for each of a thousand calls that cost nothing
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'gpt' \gset

CREATE ROLE gpt_plain;
CREATE SCHEMA gpt_roles;
GRANT USAGE, CREATE ON SCHEMA gpt_roles, :schema TO gpt_plain;
SET search_path = gpt_roles, :schema, public;

-- What the functions of the extension are, from the catalog: one that is new is tried too.
CREATE TABLE part AS
	SELECT p.oid::regprocedure::text AS signature, p.oid::regproc::text AS name, p.prorettype::regtype::text AS result,
		ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, n) ORDER BY n) AS types, p.prokind AS kind
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gpt');
SELECT cmp_ok((SELECT count(*) FROM part), '>=', 45::bigint, 'the catalog lists the functions of the extension');

CREATE TABLE attempt (who text, signature text, role text, sqlstate text, message text);
GRANT ALL ON part, attempt TO gpt_plain;

-- Runs commands one after another and undoes them; what came of them is a row of attempt.
CREATE FUNCTION try(signature text, role text, VARIADIC commands text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found_state text := 'done';
	found_message text;
	command text;
BEGIN
	BEGIN
		FOREACH command IN ARRAY commands LOOP
			IF command IS NOT NULL THEN
				EXECUTE command;
			END IF;
		END LOOP;
		RAISE EXCEPTION 'undone' USING ERRCODE = 'UN000';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS found_state = RETURNED_SQLSTATE, found_message = MESSAGE_TEXT;
	END;
	INSERT INTO attempt VALUES (current_user, signature, role, CASE found_state WHEN 'UN000' THEN 'done' ELSE found_state END, found_message);
	RETURN CASE found_state WHEN 'UN000' THEN 'done' ELSE found_state END;
END $$;

-- Tables of shapes that are not ours, one with the columns that a trigger of ours looks for.
SET ROLE gpt_plain;
CREATE TABLE gpt_job (state text, run_id bigint, system_identifier bigint);
INSERT INTO gpt_job VALUES ('queued', 1, 1);
CREATE TABLE narrow (a integer);
INSERT INTO narrow VALUES (1);
CREATE TABLE split (a integer, b text) PARTITION BY HASH (a);
CREATE TABLE split_0 PARTITION OF split FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE split_1 PARTITION OF split FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE VIEW shown AS SELECT * FROM gpt_job;
CREATE TABLE value AS
	SELECT i::bigint AS bigint, i AS integer, 'text ' || i AS text, i::oid AS oid, '00000000-0000-0000-0000-000000000000'::uuid AS uuid,
		i % 2 = 0 AS boolean, decode('00', 'hex') AS bytea, '1 day'::interval AS interval, '{}'::jsonb AS jsonb, ARRAY['a'] AS texts,
		ARRAY[i] AS integers, i::float8 AS float8
	FROM generate_series(1, 200) i;
INSERT INTO split SELECT integer, text FROM value;
ANALYZE value, split;
CREATE FUNCTION kept(text, text) RETURNS text LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION kept(bytea, text) RETURNS bytea LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION kept(bigint, text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
CREATE FUNCTION kept(oid, text) RETURNS oid LANGUAGE sql AS 'SELECT 1::oid';
CREATE FUNCTION kept(interval, text) RETURNS interval LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION kept(boolean, text) RETURNS boolean LANGUAGE sql AS 'SELECT $1';
CREATE DOMAIN word AS text;
CREATE TYPE pair AS (a text, b text);
CREATE TYPE colour AS ENUM ('red', 'green');
RESET ROLE;

-- triggers of every kind
CREATE FUNCTION as_trigger(f part) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	head text;
	tail text;
	changes text[] := ARRAY[NULL, 'INSERT INTO %1$s DEFAULT VALUES', 'INSERT INTO %1$s SELECT * FROM %1$s', 'UPDATE %1$s SET %2$s = %2$s',
		'DELETE FROM %1$s', 'TRUNCATE %1$s'];
	made text;
	change text;
	t record;
BEGIN
	FOR t IN SELECT * FROM (VALUES ('gpt_job', 'state'), ('narrow', 'a'), ('split', 'a'), ('shown', 'state'), ('public.gpt_job', 'state')) x(name, c) LOOP
		-- Where the type of the result is refused, so it is everywhere.
		CONTINUE WHEN f.result <> 'trigger' AND t.name <> 'gpt_job';
		FOREACH head IN ARRAY ARRAY['TRIGGER x BEFORE INSERT OR UPDATE OR DELETE', 'TRIGGER x AFTER INSERT OR UPDATE OR DELETE',
			'TRIGGER x INSTEAD OF INSERT OR UPDATE OR DELETE', 'TRIGGER x BEFORE TRUNCATE', 'TRIGGER x AFTER TRUNCATE',
			'CONSTRAINT TRIGGER x AFTER INSERT OR UPDATE OR DELETE'] LOOP
			FOREACH tail IN ARRAY ARRAY['FOR EACH ROW', 'FOR EACH STATEMENT', 'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW'] LOOP
				-- One that cannot be made needs no firing.
				made := format('CREATE %s ON %s %s EXECUTE FUNCTION %s()', head, t.name, tail, f.name);
				FOREACH change IN ARRAY CASE WHEN f.result = 'trigger' THEN changes ELSE changes[1:1] END LOOP
					PERFORM try(f.signature, 'trigger', made, format(change, t.name, t.c), 'SET CONSTRAINTS ALL IMMEDIATE');
				END LOOP;
			END LOOP;
		END LOOP;
	END LOOP;
	FOREACH head IN ARRAY ARRAY['ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite', 'login'] LOOP
		FOREACH change IN ARRAY ARRAY['CREATE TABLE made (a integer)', 'DROP TABLE narrow', 'ALTER TABLE narrow ALTER a TYPE text', 'DROP EXTENSION gpt CASCADE',
			'GRANT SELECT ON narrow TO PUBLIC'] LOOP
			CONTINUE WHEN f.result <> 'event_trigger' AND change NOT LIKE 'GRANT%';
			PERFORM try(f.signature, 'event trigger', format('CREATE EVENT TRIGGER x ON %s EXECUTE FUNCTION %s()', head, f.name), change);
		END LOOP;
	END LOOP;
END $$;

-- parts of aggregates: over states of another form, in partial and moving ones too
CREATE FUNCTION as_aggregate_part(f part) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	settings text := 'SET LOCAL enable_partitionwise_aggregate = on; SET LOCAL min_parallel_table_scan_size = 0' || CASE WHEN 'internal' = ANY (f.types) THEN
		'; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0' ELSE '' END;
	s record;
	use text;
	parts text;
	made text;
	arguments text := array_to_string(f.types[2:], ', ');
BEGIN
	-- what adds a row
	FOREACH parts IN ARRAY ARRAY['', ', PARALLEL = SAFE', format(', MSFUNC = %1$s, MINVFUNC = %1$s, MSTYPE = %2$s', f.name, f.types[1])] LOOP
		PERFORM try(f.signature, 'aggregate step',
			format('CREATE AGGREGATE x(%s) (SFUNC = %s, STYPE = %s%s)', arguments, f.name, f.types[1], parts), settings,
			format('SELECT x(%s) FROM value', (SELECT string_agg('NULL::' || t, ', ') FROM unnest(f.types[2:]) t)),
			format('SELECT x(%s) OVER (ORDER BY integer ROWS 2 PRECEDING) FROM value', (SELECT string_agg('NULL::' || t, ', ') FROM unnest(f.types[2:]) t)));
	END LOOP;
	-- what finishes, joins, writes and reads the state of another one
	FOR s IN SELECT * FROM (VALUES
		('internal', 'int8', 'int8_avg_accum', 'int8_avg_combine', 'int8_avg_serialize', 'int8_avg_deserialize', 'int8_avg_accum_inv', 'integer'),
		('internal', 'text, text', 'string_agg_transfn', NULL, NULL, NULL, NULL, 'text, text'),
		('internal', 'anynonarray', 'array_agg_transfn', NULL, NULL, NULL, NULL, 'text'),
		('internal', 'text, text', 'gpt_perplexity_step', 'gpt_perplexity_combine', 'gpt_perplexity_serialize', 'gpt_perplexity_deserialize', NULL, 'NULL, text'),
		('text', 'text', 'kept', 'kept', NULL, NULL, 'kept', 'text'), ('bytea', 'text', 'kept', NULL, NULL, NULL, 'kept', 'text'),
		('bigint', 'text', 'kept', 'int8pl', NULL, NULL, 'kept', 'text'), ('oid', 'text', 'kept', NULL, NULL, NULL, 'kept', 'text'),
		('interval', 'text', 'kept', NULL, NULL, NULL, 'kept', 'text'), ('boolean', 'text', 'kept', NULL, NULL, NULL, 'kept', 'text')
		) x(state, arguments, step, combine, serialize, deserialize, inverse, given)
		WHERE state = ANY (f.types || f.result) LOOP
		FOREACH parts IN ARRAY ARRAY[
			format('FINALFUNC = %s', f.name), format('FINALFUNC = %s, FINALFUNC_EXTRA', f.name),
			format('FINALFUNC = %s, FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_WRITE', f.name), format('COMBINEFUNC = %s', f.name),
			format('COMBINEFUNC = %s, SERIALFUNC = %s, DESERIALFUNC = %s', f.name, s.serialize, s.deserialize),
			format('COMBINEFUNC = %s, SERIALFUNC = %s, DESERIALFUNC = %s', s.combine, f.name, s.deserialize),
			format('COMBINEFUNC = %s, SERIALFUNC = %s, DESERIALFUNC = %s', s.combine, s.serialize, f.name),
			format('COMBINEFUNC = %s, SERIALFUNC = gpt_perplexity_serialize, DESERIALFUNC = %s', s.combine, f.name),
			format('COMBINEFUNC = %s, SERIALFUNC = %s, DESERIALFUNC = gpt_perplexity_deserialize', s.combine, f.name),
			format('MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s', s.step, f.name, s.state),
			format('MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s', f.name, s.inverse, s.state),
			format('MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s, MFINALFUNC = %s, MFINALFUNC_EXTRA', s.step, s.inverse, s.state, f.name)] LOOP
			made := format('CREATE AGGREGATE x(%s) (SFUNC = %s, STYPE = %s, PARALLEL = SAFE, %s)', s.arguments, s.step, s.state, parts);
			CONTINUE WHEN try(f.signature, 'aggregate part', made) <> 'done';
			FOREACH use IN ARRAY ARRAY['SELECT x(%s) FROM value', 'SELECT x(%s) FROM (SELECT a AS integer, b AS text FROM split) s GROUP BY integer',
				'SELECT x(%s) FROM (SELECT a AS integer, b AS text FROM split) s', 'SELECT x(%s) OVER (ORDER BY integer ROWS 2 PRECEDING) FROM value'] LOOP
				CONTINUE WHEN parts LIKE '%, M%' AND use NOT LIKE '%OVER%';
				PERFORM try(f.signature, 'aggregate part', made, settings, format(use, s.given));
			END LOOP;
		END LOOP;
	END LOOP;
END $$;

-- casts, operators, their estimators, and the functions of index access methods
CREATE FUNCTION as_operator(f part) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	types text[] := ARRAY(SELECT CASE t WHEN 'text[]' THEN 'texts' WHEN 'integer[]' THEN 'integers' ELSE t END FROM unnest(f.types) t) || ARRAY['integer', 'integer'];
	more text;
	method text;
	source text;
BEGIN
	FOREACH source IN ARRAY array_remove(ARRAY[f.types[1], 'word', 'pair', 'colour', 'text', 'internal'], NULL) LOOP
		FOREACH more IN ARRAY ARRAY[f.result, 'colour', 'pair', 'word'] LOOP
			PERFORM try(f.signature, 'cast', format('CREATE CAST (%s AS %s) WITH FUNCTION %s AS IMPLICIT', source, more, f.signature),
				format('SELECT CAST(NULL::%s AS %s), CAST(%I::%s AS %s) FROM value', source, more, types[1], source, more));
		END LOOP;
	END LOOP;
	FOREACH more IN ARRAY ARRAY['', ', RESTRICT = eqsel, JOIN = eqjoinsel', ', RESTRICT = scalarltsel, JOIN = scalarltjoinsel',
		', RESTRICT = contsel, JOIN = contjoinsel', ', RESTRICT = matchingsel, JOIN = matchingjoinsel'] LOOP
		PERFORM try(f.signature, 'operator', format('CREATE OPERATOR === (FUNCTION = %s, LEFTARG = %s, RIGHTARG = %s%s)', f.name, coalesce(f.types[1], 'integer'), coalesce(f.types[2], 'integer'), more),
			format('SELECT count(*) FROM value WHERE %1$I === (SELECT %2$I FROM value LIMIT 1)', types[1], types[2]),
			format('SELECT count(*) FROM value v JOIN value w ON v.%1$I === w.%2$I WHERE v.integer < 3', types[1], types[2]),
			format('SELECT count(*) FROM value WHERE %1$I === ANY (SELECT %2$I FROM value LIMIT 2)', types[1], types[2]));
		PERFORM try(f.signature, 'operator', format('CREATE OPERATOR === (FUNCTION = %s, RIGHTARG = %s%s)', f.name, f.types[1], more),
			format('SELECT === %1$I FROM value LIMIT 1', types[1]));
	END LOOP;
	PERFORM try(f.signature, 'estimator', format('CREATE OPERATOR === (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text, RESTRICT = %s)', f.name),
		'SELECT * FROM value WHERE text === ''a''');
	PERFORM try(f.signature, 'estimator', format('CREATE OPERATOR === (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text, JOIN = %s)', f.name),
		'SELECT * FROM value v JOIN value w ON v.text === w.text');
	FOREACH method IN ARRAY ARRAY['btree', 'hash', 'gist', 'gin', 'spgist', 'brin'] LOOP
		-- Sorts and indexes call the functions of an order without the types of arguments, so these cannot tell; only a superuser makes an operator class.
		CONTINUE WHEN f.name ~ 'gpt_model_version_(..$|cmp|hash)' AND method NOT IN ('btree', 'hash');
		-- Two access methods look at the types of their functions, the others call whatever they are given.
		FOREACH source IN ARRAY CASE WHEN method IN ('btree', 'hash') THEN types[1:1] ELSE ARRAY['integer', 'text'] END LOOP
			more := replace(replace(source, 'texts', 'text[]'), 'integers', 'integer[]');
			PERFORM try(f.signature, 'operator class', format('CREATE OPERATOR CLASS x FOR TYPE %s USING %s AS %s', more, method,
				(SELECT string_agg('FUNCTION ' || i || ' ' || f.signature, ', ') FROM generate_series(1, CASE method WHEN 'btree' THEN 1 WHEN 'hash' THEN 1
					WHEN 'gist' THEN 9 WHEN 'gin' THEN 6 WHEN 'spgist' THEN 5 ELSE 4 END) i)), format('CREATE INDEX ON value USING %s (%I x)', method, source));
		END LOOP;
	END LOOP;
END $$;

-- languages, types, and all else that names a function
CREATE FUNCTION as_part(f part) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	kind text;
BEGIN
	PERFORM try(f.signature, 'language', format('CREATE LANGUAGE x HANDLER %s', f.name), 'CREATE FUNCTION g() RETURNS integer LANGUAGE x AS ''''', 'SELECT g()');
	PERFORM try(f.signature, 'language', format('CREATE LANGUAGE x HANDLER plpgsql_call_handler INLINE %s', f.name), 'DO LANGUAGE x ''''');
	PERFORM try(f.signature, 'language', format('CREATE LANGUAGE x HANDLER plpgsql_call_handler VALIDATOR %s', f.name),
		'CREATE FUNCTION g() RETURNS integer LANGUAGE x AS ''BEGIN RETURN 1; END''', 'SELECT g()');
	FOREACH kind IN ARRAY ARRAY['INPUT', 'OUTPUT', 'RECEIVE', 'SEND', 'TYPMOD_IN', 'TYPMOD_OUT', 'ANALYZE', 'SUBSCRIPT'] LOOP
		PERFORM try(f.signature, 'type', 'CREATE TYPE x', 'CREATE FUNCTION x_in(cstring) RETURNS x LANGUAGE internal IMMUTABLE STRICT AS ''textin''',
			'CREATE FUNCTION x_out(x) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS ''textout''',
			format('CREATE TYPE x (%s)', array_to_string(array_remove(ARRAY[CASE WHEN kind <> 'INPUT' THEN 'INPUT = x_in' END,
				CASE WHEN kind <> 'OUTPUT' THEN 'OUTPUT = x_out' END, format('%s = %s', kind, f.name)], NULL), ', ')), 'SELECT (''a''::x(1))[1]');
	END LOOP;
	FOREACH kind IN ARRAY ARRAY[
		'CREATE TYPE x AS RANGE (SUBTYPE = text, SUBTYPE_DIFF = %1$s)', 'CREATE TYPE x AS RANGE (SUBTYPE = text, CANONICAL = %1$s)',
		'CREATE CONVERSION x FOR ''LATIN1'' TO ''UTF8'' FROM %1$s', 'CREATE ACCESS METHOD x TYPE INDEX HANDLER %1$s', 'CREATE ACCESS METHOD x TYPE TABLE HANDLER %1$s',
		'CREATE TRANSFORM FOR bytea LANGUAGE plpgsql (TO SQL WITH FUNCTION %2$s)', 'CREATE TRANSFORM FOR text LANGUAGE sql (FROM SQL WITH FUNCTION %2$s)',
		'CREATE FOREIGN DATA WRAPPER x HANDLER %1$s', 'CREATE FOREIGN DATA WRAPPER x VALIDATOR %1$s OPTIONS (a ''b'')',
		'CREATE TEXT SEARCH TEMPLATE x (LEXIZE = %1$s, INIT = %1$s)',
		'CREATE TEXT SEARCH PARSER x (START = %1$s, GETTOKEN = %1$s, END = %1$s, LEXTYPES = %1$s)',
		'ALTER FUNCTION gpt_roles.kept(text, text) SUPPORT %1$s', 'ALTER FUNCTION %2$s SUPPORT %1$s', 'SELECT * FROM value TABLESAMPLE %1$s (10)',
		'CALL %1$s(%3$s)', 'SELECT %1$s(%3$s)', 'SELECT %1$s(%3$s) OVER ()', 'SELECT * FROM %1$s(%3$s)', 'SELECT * FROM ROWS FROM (%1$s(%3$s)) WITH ORDINALITY',
		'SELECT * FROM %1$s(%3$s) AS x(a integer)', 'SELECT * FROM value v, LATERAL %1$s(%3$s) LIMIT 3', 'INSERT INTO value (text) SELECT %1$s(%3$s)::text',
		'CREATE INDEX ON value (%1$s(%3$s))', 'ALTER TABLE value ADD COLUMN x text DEFAULT %1$s(%3$s)', 'ALTER TABLE value ADD CHECK (%1$s(%3$s) IS NULL)',
		'ALTER TABLE value ADD COLUMN x text GENERATED ALWAYS AS (%1$s(%3$s)) STORED', 'CREATE STATISTICS x ON (%1$s(%3$s)), text FROM value',
		'CREATE TABLE x (a integer) PARTITION BY RANGE (%1$s(%3$s))', 'CREATE POLICY x ON value USING (%1$s(%3$s) IS NULL)',
		'CREATE MATERIALIZED VIEW x AS SELECT %1$s(%3$s)', 'COPY (SELECT %1$s(%3$s)) TO STDOUT', 'EXPLAIN (ANALYZE, VERBOSE) SELECT %1$s(%3$s) FROM value LIMIT 2'] LOOP
		PERFORM try(f.signature, split_part(kind, '%', 1), format(kind, f.name, f.signature, (SELECT string_agg('NULL::' || t, ', ') FROM unnest(f.types) t)));
	END LOOP;
END $$;

CREATE FUNCTION try_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f part;
BEGIN
	FOR f IN SELECT * FROM part LOOP
		PERFORM as_trigger(f);
		PERFORM as_aggregate_part(f);
		PERFORM as_operator(f);
		PERFORM as_part(f);
	END LOOP;
END $$;

SELECT pg_postmaster_start_time() AS started, pg_backend_pid() AS pid \gset
SET ROLE gpt_plain;
DO $$BEGIN PERFORM try_all(); END$$;
RESET ROLE;
SELECT is(pg_backend_pid(), :pid, 'the session of a plain role lives on');
DO $$BEGIN PERFORM try_all(); END$$;
SELECT is(pg_backend_pid(), :pid, 'so does that of a superuser');
SELECT is(pg_postmaster_start_time(), :'started'::timestamptz, 'and the server');

SELECT is_empty($$SELECT DISTINCT signature, role, message FROM attempt WHERE sqlstate = 'XX000' AND who = 'gpt_plain'$$, 'no error is an internal one');
SELECT is((SELECT count(DISTINCT (who, signature)) FROM attempt), 2 * (SELECT count(*) FROM part), 'both roles have tried every function');
SELECT is_empty($$SELECT DISTINCT role, signature FROM attempt WHERE who = 'gpt_plain' AND sqlstate = 'done' AND role IN ('trigger', 'event trigger', 'language')
		AND signature <> 'gpt_maintain_trigger()'$$ /* who maintains a column makes its triggers, which do nothing elsewhere */,
	'a plain role makes no trigger, event trigger or language of them');
SELECT ok(EXISTS (SELECT FROM attempt WHERE who = 'postgres' AND attempt.role = w.role AND sqlstate IN ('39P01', '39P03', '0A000', '42804')),
	'some function refuses to be a part: ' || w.role)
FROM (VALUES ('trigger'), ('event trigger'), ('aggregate part'), ('operator class'), ('language')) w(role);
RESET search_path;
DROP SCHEMA gpt_roles CASCADE;
DROP OWNED BY gpt_plain;
DROP ROLE gpt_plain;
SELECT * FROM finish();
