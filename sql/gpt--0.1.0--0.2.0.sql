/* sql/gpt--0.1.0--0.2.0.sql: what 0.2.0 adds to 0.1.0. */
\echo Use "ALTER EXTENSION gpt UPDATE" to load this file. \quit

ALTER TABLE @extschema@.gpt_version ADD COLUMN step bigint, ADD COLUMN watermark jsonb,
	ADD COLUMN base text COLLATE pg_catalog."C", ADD COLUMN base_version integer, ADD COLUMN base_sha256 bytea,
	ADD COLUMN job bigint, ADD COLUMN task text, ADD COLUMN query_sha256 bytea, ADD COLUMN options jsonb;
ALTER TABLE @extschema@.gpt_model ADD COLUMN image_type text NOT NULL DEFAULT 'float32' CHECK (image_type IN ('float32', 'bfloat16', 'int8', 'int4'));
ALTER TABLE @extschema@.gpt_job ADD COLUMN base text, ADD COLUMN base_version integer,
	ADD COLUMN data_changed boolean NOT NULL DEFAULT false, ADD COLUMN overfit_since bigint,
	ADD COLUMN task text;
ALTER TABLE @extschema@.gpt_job DROP CONSTRAINT gpt_job_kind_check;
ALTER TABLE @extschema@.gpt_job ADD CONSTRAINT gpt_job_kind_check CHECK (kind IN ('train', 'finetune'));

CREATE FUNCTION @extschema@.gpt_finetune(model text, query text, options jsonb DEFAULT '{}') RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_finetune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_finetune(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_finetune(text, text, jsonb) IS
	'queues the further training of a model on the rows of a query; returns the number of the job';

CREATE FUNCTION @extschema@.gpt_forget_jobs(older_than interval DEFAULT '30 days') RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_forget_jobs' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_forget_jobs(interval) IS
	'deletes jobs that ended longer ago than the interval, with their logs and files; returns their number';

CREATE FUNCTION @extschema@.gpt_drop_model(model text, cascade boolean) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_drop_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_drop_model(text, boolean) IS
	'removes a model with all its versions, and with cascade the adapters of other models that rest on it';

CREATE FUNCTION @extschema@.gpt_merge(model text) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_merge' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_merge(text) IS
	'folds an adapter into the weights of its base and publishes them as a new version of the model; returns its number';

CREATE FUNCTION @extschema@.gpt_rollback(model text, version integer DEFAULT NULL) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_rollback' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_rollback(text, integer) IS
	'makes another version of a model current, by default the one before; returns its number';

CREATE FUNCTION @extschema@.gpt_drop_version(model text, version integer) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_drop_version' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_drop_version(text, integer) IS
	'removes one version of a model, except the current one';

CREATE FUNCTION @extschema@.gpt_rename_model(model text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_rename_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_rename_model(text, text) IS 'gives a model another name';

CREATE FUNCTION @extschema@.gpt_copy_model(model text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_copy_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_copy_model(text, text) IS 'copies a version of a model to a new model of the current role';

CREATE FUNCTION @extschema@.gpt_grant(model text, role text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_grant' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_grant(text, text) IS
	'lets a role use a model; the role can then make the model repeat its training rows';

CREATE FUNCTION @extschema@.gpt_revoke(model text, role text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_revoke' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_revoke(text, text) IS 'revokes the use of a model from a role';

CREATE FUNCTION @extschema@.gpt_set_image_type(model text, type text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_set_image_type' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_set_image_type(text, text) IS
	'sets the type of the weights that sessions compute with: float32, bfloat16, int8 or int4';

CREATE FUNCTION @extschema@.gpt_image_rows(OUT model text, OUT version integer, OUT type text, OUT size bigint,
		OUT created_at timestamptz, OUT last_used_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_image_rows' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_image_rows() IS
	'images of the versions that the current role may use; for a superuser, also images without a version in this database';

CREATE FUNCTION @extschema@.gpt_check(verify boolean DEFAULT false, OUT kind text, OUT object text, OUT detail text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_check' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_check(boolean) IS
	'lists defects of models, tokenizers, jobs and their files; with verify also contents that do not match their hash';

CREATE FUNCTION @extschema@.gpt_job_owner(owner oid, system_identifier bigint) RETURNS oid
	AS 'MODULE_PATHNAME', 'gpt_job_owner' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_job_owner(oid, bigint) IS
	'owner of a job; 0, which only superusers match, where the row came from another cluster';

REVOKE EXECUTE ON FUNCTION @extschema@.gpt_drop_extension_trigger() FROM PUBLIC;
ALTER EVENT TRIGGER gpt_drop_extension ENABLE ALWAYS;

CREATE FUNCTION @extschema@.gpt_copied_job_trigger() RETURNS trigger
	AS 'MODULE_PATHNAME', 'gpt_copied_job_trigger' LANGUAGE C;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_copied_job_trigger() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_copied_job_trigger() IS 'marks a waiting or running job that was not submitted but restored or replicated';

CREATE TRIGGER gpt_copied_job BEFORE INSERT ON @extschema@.gpt_job FOR EACH ROW EXECUTE FUNCTION @extschema@.gpt_copied_job_trigger();
ALTER TABLE @extschema@.gpt_job ENABLE ALWAYS TRIGGER gpt_copied_job;

CREATE FUNCTION @extschema@.gpt_job_note(state text, note text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_job_note' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.gpt_job_note(text, text) IS
	'the note of a job: for a queued one, whether its worker lacks a place; otherwise the note in its row';

CREATE FUNCTION @extschema@.gpt_logprob(model text, prompt text, completion text, include_end boolean DEFAULT true) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_logprob' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.gpt_logprob(text, text, text, boolean) IS
	'returns the log probability of a completion and its end after a prompt';

CREATE FUNCTION @extschema@.gpt_classify(model text, input text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.gpt_classify(text, text) IS
	'returns the label that a classifier gives to a text; a multi-label classifier returns its labels as the text of a text[]';

CREATE FUNCTION @extschema@.gpt_classify_probs(model text, input text, OUT label text, OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_classify_probs' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_classify_probs(text, text) IS
	'returns all labels of a classifier with their probabilities for a text, the most probable first';

CREATE FUNCTION @extschema@.gpt_choose(model text, prompt text, choices text[]) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_choose' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_choose(text, text, text[]) IS
	'returns the choice that fits a prompt best: the one whose likelihood the prompt raises most';

CREATE FUNCTION @extschema@.gpt_embed(model text, input text, pooling text DEFAULT 'mean', normalized boolean DEFAULT true) RETURNS real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.gpt_embed(text, text, text, boolean) IS
	'returns a text as a vector: the hidden states of its tokens, pooled';

-- Many texts at once

CREATE FUNCTION @extschema@.gpt_generate(model text, prompt text[], max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop text[] DEFAULT NULL, seed bigint DEFAULT NULL) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_generate' LANGUAGE C VOLATILE PARALLEL SAFE COST 10000000;
COMMENT ON FUNCTION @extschema@.gpt_generate(text, text[], integer, float8, integer, float8, float8, float8, text[], bigint) IS
	'continues many prompts together; the results are those of single calls';

CREATE FUNCTION @extschema@.gpt_score(model text, input text[], metric text DEFAULT 'perplexity', include_end boolean DEFAULT false) RETURNS float8[]
	AS 'MODULE_PATHNAME', 'gpt_score' LANGUAGE C STABLE PARALLEL SAFE COST 1000000;
-- gpt_score of one text gets a fourth argument. Views of users depend on the function and roles have grants on it, so the
-- script changes its row instead of dropping it. Stored calls with three arguments get the default when they are planned.
UPDATE pg_catalog.pg_proc SET pronargs = n.pronargs, pronargdefaults = n.pronargdefaults, proargnames = n.proargnames,
		proargdefaults = n.proargdefaults, proargtypes = '25 25 25 16'
	FROM (SELECT * FROM pg_catalog.pg_proc
		WHERE oid OPERATOR(pg_catalog.=) '@extschema@.gpt_score(text, text[], text, boolean)'::pg_catalog.regprocedure) n
	WHERE pg_proc.oid OPERATOR(pg_catalog.=) '@extschema@.gpt_score(text, text, text)'::pg_catalog.regprocedure;
COMMENT ON FUNCTION @extschema@.gpt_score(text, text, text, boolean) IS
	'scores a text by perplexity, logprob, mean_logprob, bits_per_byte, max_surprise or tokens; with include_end its end counts as a further token';
COMMENT ON FUNCTION @extschema@.gpt_score(text, text[], text, boolean) IS 'scores many texts together; the results are those of single calls';

CREATE FUNCTION @extschema@.gpt_classify(model text, input text[]) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_classify(text, text[]) IS 'returns the labels that a classifier gives to many texts';

CREATE FUNCTION @extschema@.gpt_embed(model text, input text[], pooling text DEFAULT 'mean', normalized boolean DEFAULT true) RETURNS SETOF real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION @extschema@.gpt_embed(text, text[], text, boolean) IS
	'returns many texts as vectors: a row for each element, in their order';

CREATE FUNCTION @extschema@.gpt_stream(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop text[] DEFAULT NULL, seed bigint DEFAULT NULL, OUT "position" integer, OUT token integer, OUT text text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_stream' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000 ROWS 64;
COMMENT ON FUNCTION @extschema@.gpt_stream(text, text, integer, float8, integer, float8, float8, float8, text[], bigint) IS
	'continues a prompt; in the select list, returns a row for each token as the model generates it';

CREATE FUNCTION @extschema@.gpt_perplexity_step(state internal, model text, input text) RETURNS internal
	AS 'MODULE_PATHNAME', 'gpt_perplexity_step' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_step(internal, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_step(internal, text, text) IS 'part of gpt_perplexity: adds a row';
CREATE FUNCTION @extschema@.gpt_perplexity_step(state internal, model text, input text, include_end boolean) RETURNS internal
	AS 'MODULE_PATHNAME', 'gpt_perplexity_step' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_step(internal, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_step(internal, text, text, boolean) IS 'part of gpt_perplexity: adds a row, whose end may count';
CREATE FUNCTION @extschema@.gpt_perplexity_combine(state internal, other internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'gpt_perplexity_combine' LANGUAGE C STABLE PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_combine(internal, internal) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_combine(internal, internal) IS 'part of gpt_perplexity: merges two states';
CREATE FUNCTION @extschema@.gpt_perplexity_serialize(state internal) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_perplexity_serialize' LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_serialize(internal) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_serialize(internal) IS 'part of gpt_perplexity: writes a state as bytes';
CREATE FUNCTION @extschema@.gpt_perplexity_deserialize(bytes bytea, state internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'gpt_perplexity_deserialize' LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_deserialize(bytea, internal) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_deserialize(bytea, internal) IS 'part of gpt_perplexity: reads a state from bytes';
CREATE FUNCTION @extschema@.gpt_perplexity_value(state internal) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_perplexity_value' LANGUAGE C STABLE PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_perplexity_value(internal) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_perplexity_value(internal) IS 'part of gpt_perplexity: returns the value of a state';

CREATE AGGREGATE @extschema@.gpt_perplexity(model text, input text) (
	SFUNC = @extschema@.gpt_perplexity_step, STYPE = internal, SSPACE = 1048576, FINALFUNC = @extschema@.gpt_perplexity_value,
	COMBINEFUNC = @extschema@.gpt_perplexity_combine, SERIALFUNC = @extschema@.gpt_perplexity_serialize,
	DESERIALFUNC = @extschema@.gpt_perplexity_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE @extschema@.gpt_perplexity(text, text) IS 'perplexity of all rows together: exp(-sum of log p / tokens)';
CREATE AGGREGATE @extschema@.gpt_perplexity(model text, input text, include_end boolean) (
	SFUNC = @extschema@.gpt_perplexity_step, STYPE = internal, SSPACE = 1048576, FINALFUNC = @extschema@.gpt_perplexity_value,
	COMBINEFUNC = @extschema@.gpt_perplexity_combine, SERIALFUNC = @extschema@.gpt_perplexity_serialize,
	DESERIALFUNC = @extschema@.gpt_perplexity_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE @extschema@.gpt_perplexity(text, text, boolean) IS
	'perplexity of all rows together; with include_end the end of each row counts as a further token';

CREATE FUNCTION @extschema@.gpt_evaluate(model text, query text DEFAULT NULL, options jsonb DEFAULT '{}',
		OUT metric text, OUT label text, OUT predicted text, OUT value float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_evaluate' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_evaluate(text, text, jsonb) IS
	'measures a model on the rows of a query; without one, returns the measurements of its training';

-- The owner of an object owns its names. C code reads columns by number, so the script makes the table again. The views
-- that use it stay, because others may depend on them.
CREATE OR REPLACE VIEW @extschema@.gpt_versions WITH (security_barrier) AS
	SELECT v.model, v.version, pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(v.weights)) AS owner,
		(v.config ->> 'architecture')::text AS architecture, v.parameters, (v.config ->> 'context')::integer AS context,
		(v.config ->> 'vocabulary')::integer AS vocabulary,
		NULL::text COLLATE pg_catalog."C" AS tokenizer,
		v.loss, v.validation_loss, v.validation_bits_per_byte, v.size, v.weights, v.created_at, v.state
	FROM @extschema@.gpt_version v
	WHERE @extschema@.gpt_can_use(v.weights, v.run_id);
CREATE OR REPLACE VIEW @extschema@.gpt_tokenizers WITH (security_barrier) AS
	SELECT NULL::text COLLATE pg_catalog."C" AS tokenizer, NULL::name AS owner, t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex') AS sha256, t.object, t.created_at
	FROM @extschema@.gpt_tokenizer t WHERE false;
CREATE TEMPORARY TABLE gpt_names_of_0_1 ON COMMIT DROP AS SELECT name, sha256, object FROM @extschema@.gpt_tokenizer_name;
ALTER EXTENSION gpt DROP TABLE @extschema@.gpt_tokenizer_name;
DROP TABLE @extschema@.gpt_tokenizer_name;
CREATE TABLE @extschema@.gpt_tokenizer_name (
	name text COLLATE pg_catalog."C" PRIMARY KEY,
	sha256 bytea NOT NULL,
	object oid NOT NULL
);
COMMENT ON TABLE @extschema@.gpt_tokenizer_name IS 'names bound to tokenizers';
REVOKE ALL ON @extschema@.gpt_tokenizer_name FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_tokenizer_name', '');
INSERT INTO @extschema@.gpt_tokenizer_name (name, sha256, object) SELECT name, sha256, object FROM pg_temp.gpt_names_of_0_1;
ALTER EXTENSION gpt DROP TABLE pg_temp.gpt_names_of_0_1;
DROP TABLE pg_temp.gpt_names_of_0_1;

-- Each version gets the number of the job that made it, if the job still has a row.
UPDATE @extschema@.gpt_version v SET job = j.job, query_sha256 = pg_catalog.sha256(pg_catalog.convert_to(j.query, 'UTF8')),
		options = CASE WHEN j.options ? 'validation_query' THEN (j.options - 'validation_query') || pg_catalog.jsonb_build_object('validation_query_sha256',
			pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(j.options ->> 'validation_query', 'UTF8')), 'hex')) ELSE j.options END
	FROM @extschema@.gpt_job j WHERE j.run_id = v.run_id;

-- The columns of these views have a new order. If something depends on the views, or their privileges were changed, they
-- stay as they are and the new columns come last.
DO $update$
DECLARE
	versions CONSTANT text := $view$	SELECT v.model, v.version, COALESCE(m.version OPERATOR(pg_catalog.=) v.version, false) AS current, v.state,
		CASE WHEN v.config OPERATOR(pg_catalog.->>) 'multi_label' OPERATOR(pg_catalog.=) 'true' THEN 'multi-label classification'
			WHEN v.config OPERATOR(pg_catalog.->) 'labels' IS NOT NULL THEN 'classification' ELSE v.task END AS task,
		(SELECT pg_catalog.array_agg(l.label ORDER BY l.number USING OPERATOR(pg_catalog.<))
			FROM pg_catalog.jsonb_array_elements_text(v.config OPERATOR(pg_catalog.->) 'labels') WITH ORDINALITY l(label, number)) AS labels,
		pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(v.weights)) AS owner,
		(v.config OPERATOR(pg_catalog.->>) 'architecture')::text AS architecture, v.parameters, (v.config OPERATOR(pg_catalog.->>) 'context')::integer AS context,
		(v.config OPERATOR(pg_catalog.->>) 'vocabulary')::integer AS vocabulary,
		COALESCE((SELECT pg_catalog.min(n.name) FROM @extschema@.gpt_tokenizer_name n
				WHERE n.sha256 OPERATOR(pg_catalog.=) v.tokenizer AND @extschema@.gpt_can_use(n.object, NULL::pg_catalog.uuid)),
			(SELECT pg_catalog.min(CASE WHEN t.kind OPERATOR(pg_catalog.=) 'bytes' THEN t.kind ELSE t.kind OPERATOR(pg_catalog.||) '@'
					OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(t.sha256, 'hex'), 16) END)
				FROM @extschema@.gpt_tokenizer t WHERE t.sha256 OPERATOR(pg_catalog.=) v.tokenizer)) AS tokenizer,
		v.loss, v.validation_loss, v.validation_bits_per_byte, v.job, pg_catalog.encode(v.query_sha256, 'hex') AS query_sha256, v.options, v.watermark,
		v.base OPERATOR(pg_catalog.||) '@' OPERATOR(pg_catalog.||) v.base_version::text AS base, v.size, v.weights, v.created_at
	FROM @extschema@.gpt_version v LEFT JOIN @extschema@.gpt_model m ON m.model OPERATOR(pg_catalog.=) v.model
	WHERE @extschema@.gpt_can_use(v.weights, v.run_id)$view$;
	models CONSTANT text := $view$	SELECT v.model, v.version, v.current, v.task, v.labels, v.owner, v.architecture, v.parameters, v.context, v.vocabulary, v.tokenizer, v.loss,
		v.validation_loss, v.validation_bits_per_byte, v.job, v.query_sha256, v.options, v.watermark, v.base, m.image_type, v.size, v.weights,
		v.created_at
	FROM @extschema@.gpt_versions v
		JOIN @extschema@.gpt_model m ON m.model OPERATOR(pg_catalog.=) v.model AND m.version OPERATOR(pg_catalog.=) v.version$view$;
	view_name text;
	columns text;
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_init_privs i
			ON i.objoid = c.oid AND i.classoid = 'pg_catalog.pg_class'::regclass AND i.objsubid = 0
			WHERE c.oid IN ('@extschema@.gpt_versions'::regclass, '@extschema@.gpt_models'::regclass) AND c.relacl IS DISTINCT FROM i.initprivs) THEN
		RAISE dependent_objects_still_exist;
	END IF;
	ALTER EXTENSION gpt DROP VIEW @extschema@.gpt_models;
	ALTER EXTENSION gpt DROP VIEW @extschema@.gpt_versions;
	DROP VIEW @extschema@.gpt_models;
	DROP VIEW @extschema@.gpt_versions;
	EXECUTE 'CREATE VIEW @extschema@.gpt_versions WITH (security_barrier) AS ' || versions;
	EXECUTE 'CREATE VIEW @extschema@.gpt_models WITH (security_barrier) AS ' || models;
	GRANT SELECT ON @extschema@.gpt_versions, @extschema@.gpt_models TO PUBLIC;
EXCEPTION
	WHEN dependent_objects_still_exist THEN
		FOREACH view_name IN ARRAY ARRAY['gpt_versions', 'gpt_models'] LOOP
			EXECUTE 'CREATE TEMPORARY VIEW gpt_view_of_0_2 AS ' || CASE view_name WHEN 'gpt_versions' THEN versions ELSE models END;
			SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.attname), ', ' ORDER BY o.attnum, n.attnum) INTO columns
				FROM pg_catalog.pg_attribute n LEFT JOIN pg_catalog.pg_attribute o ON o.attrelid = ('@extschema@.' || view_name)::regclass AND o.attname = n.attname
				WHERE n.attrelid = 'pg_temp.gpt_view_of_0_2'::regclass;
			DROP VIEW pg_temp.gpt_view_of_0_2;
			EXECUTE 'CREATE OR REPLACE VIEW @extschema@.' || view_name || ' WITH (security_barrier) AS SELECT ' || columns || ' FROM ('
				|| CASE view_name WHEN 'gpt_versions' THEN versions ELSE models END || ') v';
		END LOOP;
END $update$;
COMMENT ON VIEW @extschema@.gpt_versions IS 'all versions of the models that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_versions.model IS 'name of the model';
COMMENT ON COLUMN @extschema@.gpt_versions.version IS 'number of the version, counted from 1';
COMMENT ON COLUMN @extschema@.gpt_versions.current IS 'true for the version that the model''s name means';
COMMENT ON COLUMN @extschema@.gpt_versions.state IS 'final, or partial while its run goes on';
COMMENT ON COLUMN @extschema@.gpt_versions.task IS 'task of its last training: language modelling, completion, classification or multi-label classification; NULL where an older version of the extension trained it';
COMMENT ON COLUMN @extschema@.gpt_versions.labels IS 'labels of a classifier; NULL for other models';
COMMENT ON COLUMN @extschema@.gpt_versions.owner IS 'role that owns the weights';
COMMENT ON COLUMN @extschema@.gpt_versions.architecture IS 'gpt2 where other tools read the weights as GPT-2, else gpt';
COMMENT ON COLUMN @extschema@.gpt_versions.parameters IS 'number of trained parameters';
COMMENT ON COLUMN @extschema@.gpt_versions.context IS 'context length in tokens';
COMMENT ON COLUMN @extschema@.gpt_versions.vocabulary IS 'number of tokens in the vocabulary';
COMMENT ON COLUMN @extschema@.gpt_versions.tokenizer IS 'name of its tokenizer, or kind@hash where the current role may use no name of it; functions accept both';
COMMENT ON COLUMN @extschema@.gpt_versions.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_versions.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_versions.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_versions.job IS 'number of the job that trained it, kept after gpt_forget_jobs';
COMMENT ON COLUMN @extschema@.gpt_versions.query_sha256 IS 'SHA-256 of the text of the job''s query';
COMMENT ON COLUMN @extschema@.gpt_versions.options IS 'options of the job as given, with the hash of a validation query in its place';
COMMENT ON COLUMN @extschema@.gpt_versions.watermark IS 'largest value of the column that option "watermark" names, among the rows of the job';
COMMENT ON COLUMN @extschema@.gpt_versions.base IS 'version that an adapter rests on; NULL for a version with all its weights';
COMMENT ON COLUMN @extschema@.gpt_versions.size IS 'size of the weights in bytes';
COMMENT ON COLUMN @extschema@.gpt_versions.weights IS 'large object of the weights, a safetensors file';
COMMENT ON COLUMN @extschema@.gpt_versions.created_at IS 'when it was published';
COMMENT ON VIEW @extschema@.gpt_models IS 'the current versions of the models that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_models.model IS 'name of the model';
COMMENT ON COLUMN @extschema@.gpt_models.version IS 'number of the version, counted from 1';
COMMENT ON COLUMN @extschema@.gpt_models.current IS 'always true: the view has only current versions';
COMMENT ON COLUMN @extschema@.gpt_models.task IS 'task of its last training: language modelling, completion, classification or multi-label classification; NULL where an older version of the extension trained it';
COMMENT ON COLUMN @extschema@.gpt_models.labels IS 'labels of a classifier; NULL for other models';
COMMENT ON COLUMN @extschema@.gpt_models.owner IS 'role that owns the weights';
COMMENT ON COLUMN @extschema@.gpt_models.architecture IS 'gpt2 where other tools read the weights as GPT-2, else gpt';
COMMENT ON COLUMN @extschema@.gpt_models.parameters IS 'number of trained parameters';
COMMENT ON COLUMN @extschema@.gpt_models.context IS 'context length in tokens';
COMMENT ON COLUMN @extschema@.gpt_models.vocabulary IS 'number of tokens in the vocabulary';
COMMENT ON COLUMN @extschema@.gpt_models.tokenizer IS 'name of its tokenizer, or kind@hash where the current role may use no name of it; functions accept both';
COMMENT ON COLUMN @extschema@.gpt_models.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_models.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_models.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_models.job IS 'number of the job that trained it, kept after gpt_forget_jobs';
COMMENT ON COLUMN @extschema@.gpt_models.query_sha256 IS 'SHA-256 of the text of the job''s query';
COMMENT ON COLUMN @extschema@.gpt_models.options IS 'options of the job as given, with the hash of a validation query in its place';
COMMENT ON COLUMN @extschema@.gpt_models.watermark IS 'largest value of the column that option "watermark" names, among the rows of the job';
COMMENT ON COLUMN @extschema@.gpt_models.base IS 'version that an adapter rests on; NULL for a version with all its weights';
COMMENT ON COLUMN @extschema@.gpt_models.image_type IS 'type of the weights that sessions compute with';
COMMENT ON COLUMN @extschema@.gpt_models.size IS 'size of the weights in bytes';
COMMENT ON COLUMN @extschema@.gpt_models.weights IS 'large object of the weights, a safetensors file';
COMMENT ON COLUMN @extschema@.gpt_models.created_at IS 'when it was published';

CREATE VIEW @extschema@.gpt_images WITH (security_barrier) AS
	SELECT i.model, i.version, i.type, i.size, i.created_at, i.last_used_at FROM @extschema@.gpt_image_rows() i;
COMMENT ON VIEW @extschema@.gpt_images IS 'images that sessions share, of the versions that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_images.model IS 'name of the model; NULL where no version of this database has the content';
COMMENT ON COLUMN @extschema@.gpt_images.version IS 'number of the version';
COMMENT ON COLUMN @extschema@.gpt_images.type IS 'type of the weights in the image';
COMMENT ON COLUMN @extschema@.gpt_images.size IS 'size of the file in bytes';
COMMENT ON COLUMN @extschema@.gpt_images.created_at IS 'when it was made';
COMMENT ON COLUMN @extschema@.gpt_images.last_used_at IS 'when a session last used it, to about a minute';
GRANT SELECT ON @extschema@.gpt_images TO PUBLIC;

CREATE OR REPLACE VIEW @extschema@.gpt_tokenizers WITH (security_barrier) AS
	SELECT n.name AS tokenizer, pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(n.object)) AS owner, t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex') AS sha256, t.object, t.created_at
	FROM @extschema@.gpt_tokenizer_name n JOIN @extschema@.gpt_tokenizer t
		ON t.sha256 OPERATOR(pg_catalog.=) n.sha256 AND t.object OPERATOR(pg_catalog.=) n.object
	WHERE @extschema@.gpt_can_use(t.object, NULL::pg_catalog.uuid)
	UNION ALL
	SELECT CASE WHEN t.kind OPERATOR(pg_catalog.=) 'bytes' THEN t.kind ELSE t.kind OPERATOR(pg_catalog.||) '@'
			OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(t.sha256, 'hex'), 16) END,
		pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(t.object)), t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex'), t.object, t.created_at
	FROM @extschema@.gpt_tokenizer t
	WHERE @extschema@.gpt_can_use(t.object, NULL::pg_catalog.uuid) AND NOT EXISTS (SELECT FROM @extschema@.gpt_tokenizer_name n
		WHERE n.sha256 OPERATOR(pg_catalog.=) t.sha256 AND n.object OPERATOR(pg_catalog.=) t.object);
COMMENT ON VIEW @extschema@.gpt_tokenizers IS 'the tokenizers that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.tokenizer IS 'name, or kind@hash where a tokenizer was trained with a model and has no name';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.owner IS 'role that owns the object, and so the name';

CREATE OR REPLACE VIEW @extschema@.gpt_jobs WITH (security_barrier) AS
	SELECT j.job, j.model, j.kind, j.state, pg_catalog.pg_get_userbyid(@extschema@.gpt_job_owner(j.owner, j.system_identifier)) AS owner,
		CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN COALESCE(p.step, j.step) ELSE j.step END AS step,
		CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN COALESCE(p.steps, j.steps) ELSE j.steps END AS steps, j.documents, j.skipped, j.bytes, j.corpus_tokens, j.tries, j.error,
		j.created_at, j.started_at, j.finished_at, @extschema@.gpt_job_note(j.state, j.note) AS note, j.query, j.options, j.conditions,
		j.base, j.base_version, j.data_changed, j.overfit_since
	FROM @extschema@.gpt_job j LEFT JOIN @extschema@.gpt_progress_rows() p ON p.job OPERATOR(pg_catalog.=) j.job
	WHERE pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');
COMMENT ON TABLE @extschema@.gpt_job IS 'training jobs: their query, options, state and result';
COMMENT ON COLUMN @extschema@.gpt_jobs.note IS 'why it waits or how it ended, and remarks on its rows';
COMMENT ON COLUMN @extschema@.gpt_jobs.conditions IS 'conditions of its result: chosen options, processor, kernels';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.phase IS 'current phase of the job';
COMMENT ON COLUMN @extschema@.gpt_jobs.skipped IS 'rows skipped: without a text, or without a token to predict';
COMMENT ON COLUMN @extschema@.gpt_jobs.kind IS 'train or finetune';
COMMENT ON COLUMN @extschema@.gpt_jobs.steps IS 'steps planned, or expected where time ends the training';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.steps IS 'steps planned, or expected where time ends the training';
COMMENT ON COLUMN @extschema@.gpt_jobs.base IS 'model that a fine-tune starts from';
COMMENT ON COLUMN @extschema@.gpt_jobs.base_version IS 'version of that model, known once the job has started';
COMMENT ON COLUMN @extschema@.gpt_jobs.data_changed IS 'whether the job lost its token file, and the rows that it read again differ or may differ';
COMMENT ON COLUMN @extschema@.gpt_jobs.overfit_since IS 'step of the best validation loss, after which it rose while the training loss fell; NULL where it did not';

CREATE OR REPLACE VIEW @extschema@.gpt_stat_progress_train WITH (security_barrier) AS
	SELECT p.job, p.pid, j.model, p.phase, p.step, p.steps, p.loss, p.validation_loss, p.validation_bits_per_byte,
		p.tokens_per_second, p.seconds_left
	FROM @extschema@.gpt_progress_rows() p JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) p.job
	WHERE j.state OPERATOR(pg_catalog.=) 'running' AND pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');

CREATE OR REPLACE VIEW @extschema@.gpt_train_log WITH (security_barrier) AS
	SELECT l.job, l.step, l.loss, l.validation_loss, l.validation_bits_per_byte, l.learning_rate, l.grad_norm,
		l.tokens_per_second, l.at
	FROM @extschema@.gpt_job_log l JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) l.job
	WHERE pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');

-- Comments that say the same in plainer words.
COMMENT ON TABLE @extschema@.gpt_tokenizer IS 'tokenizers: immutable large objects (tokenizer.json), identified by content hash; each role that stores one has its own copy';
COMMENT ON TABLE @extschema@.gpt_job_log IS 'losses of training jobs, one row every few seconds';
COMMENT ON FUNCTION @extschema@.gpt_options(text) IS 'lists the options of a function';
COMMENT ON FUNCTION @extschema@.gpt_tokenize(text, text) IS 'returns the token ids of a text';
COMMENT ON FUNCTION @extschema@.gpt_detokenize(text, integer[]) IS 'returns the text of token ids';
COMMENT ON FUNCTION @extschema@.gpt_count_tokens(text, text) IS 'returns the number of tokens of a text';
COMMENT ON FUNCTION @extschema@.gpt_version() IS 'returns the version of the library, its kernels and its matrix library';
COMMENT ON FUNCTION @extschema@.gpt_can_use(oid, uuid) IS
	'whether the large object of a model exists, belongs to that run, and may be used by the current role';
COMMENT ON FUNCTION @extschema@.gpt_object_owner(oid) IS 'owner of a large object; NULL where it does not exist';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.vocabulary IS 'number of tokens in the vocabulary';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.size IS 'size of its tokenizer.json in bytes';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.sha256 IS 'SHA-256 of its tokenizer.json';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.object IS 'large object with its tokenizer.json';
COMMENT ON COLUMN @extschema@.gpt_jobs.documents IS 'rows read that have a text';
COMMENT ON COLUMN @extschema@.gpt_jobs.bytes IS 'size of the text in bytes';
COMMENT ON COLUMN @extschema@.gpt_jobs.tries IS 'number of times that a worker started it';
COMMENT ON COLUMN @extschema@.gpt_jobs.started_at IS 'when a worker first started it';
COMMENT ON COLUMN @extschema@.gpt_jobs.query IS 'query of its rows';
COMMENT ON COLUMN @extschema@.gpt_jobs.options IS 'options as given';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.pid IS 'process id of its worker';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.tokens_per_second IS 'training speed in tokens per second';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.seconds_left IS 'estimate of the remaining seconds';
COMMENT ON VIEW @extschema@.gpt_train_log IS 'losses of jobs by step, in nats per token; validation columns are NULL in rows without a validation';
COMMENT ON COLUMN @extschema@.gpt_train_log.step IS 'step number';
COMMENT ON COLUMN @extschema@.gpt_train_log.tokens_per_second IS 'training speed in tokens per second';
