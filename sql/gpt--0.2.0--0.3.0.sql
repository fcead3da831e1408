/* sql/gpt--0.2.0--0.3.0.sql: what 0.3.0 adds to 0.2.0. */
\echo Use "ALTER EXTENSION gpt UPDATE" to load this file. \quit

CREATE FUNCTION @extschema@.gpt_import(model text, objects oid[], options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_import(text, oid[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_import(text, oid[], jsonb) IS
	'makes a version of a model from the files of another project in large objects; returns its number';

CREATE FUNCTION @extschema@.gpt_import(model text, object oid, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_object' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_import(text, oid, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_import(text, oid, jsonb) IS
	'makes a version of a model from a file of another project in a large object; returns its number';
