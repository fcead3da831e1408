/* sql/gpt--0.2.0--0.3.0.sql: what 0.3.0 adds to 0.2.0. */
\echo Use "ALTER EXTENSION gpt UPDATE" to load this file. \quit

-- The planner: what calls of models cost and return. Every function that calls a model has this support function.

CREATE FUNCTION @extschema@.gpt_support(request internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'gpt_support' LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_support(internal) IS 'part of the functions that call models: tells the planner what calls cost and return';

CREATE FUNCTION @extschema@.gpt_import(model text, objects oid[], options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_import(text, oid[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_import(text, oid[], jsonb) IS
	'makes a version of a model from the files of another project in large objects; returns its number';

CREATE FUNCTION @extschema@.gpt_import(model text, object oid, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_import(text, oid, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_import(text, oid, jsonb) IS
	'makes a version of a model from a file of another project in a large object; returns its number';

CREATE FUNCTION @extschema@.gpt_export(model text, format text DEFAULT 'safetensors', options jsonb DEFAULT '{}') RETURNS oid
	AS 'MODULE_PATHNAME', 'gpt_export' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_export(text, text, jsonb) IS
	'writes a model as a safetensors or GGUF file into a new large object of the current role; returns its oid';

CREATE FUNCTION @extschema@.gpt_export_file(model text, name text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_export_file' LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_export_file(text, text) IS
	'returns the text of a file beside exported weights: config.json, generation_config.json, tokenizer.json, tokenizer_config.json, adapter_config.json or README.md';

CREATE FUNCTION @extschema@.gpt_export_tokenizer(name text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_export_tokenizer' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_export_tokenizer(text) IS
	'returns the tokenizer.json of a tokenizer, or of a model''s tokenizer';

-- Texts and tokens

CREATE FUNCTION @extschema@.gpt_tokenize(model_or_tokenizer text, input text, special boolean) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'gpt_tokenize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_tokenize(text, text, boolean) IS
	'returns the token ids of a text; if special is true, names of special tokens in it become those tokens';

CREATE FUNCTION @extschema@.gpt_count_tokens(model_or_tokenizer text, input text, special boolean) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_count_tokens' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_count_tokens(text, text, boolean) IS
	'returns the number of tokens of a text; if special is true, names of special tokens in it become those tokens';

CREATE FUNCTION @extschema@.gpt_clean(input text, options jsonb DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_clean' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.gpt_clean(text, jsonb) IS
	'returns a text without markup, control and invisible characters, in one normal form, and by options with masks, in one case, without stop words';

CREATE FUNCTION @extschema@.gpt_token_text(model_or_tokenizer text, token integer) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_token_text' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.gpt_token_text(text, integer) IS
	'returns what a token spells, with bytes of incomplete characters as <0xE4>, or the name of a special token';

CREATE FUNCTION @extschema@.gpt_token_text(model_or_tokenizer text, tokens integer[]) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_token_text' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_token_text(text, integer[]) IS
	'returns what each token of an array spells, or its name';

CREATE FUNCTION @extschema@.gpt_segment(input text, kind text DEFAULT 'word', locale text DEFAULT 'root', OUT "position" integer,
		OUT start integer, OUT segment text, OUT type text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_segment' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION @extschema@.gpt_segment(text, text, text) IS
	'returns the words of a text, or its sentences, lines, graphemes, or spans between words too';

CREATE FUNCTION @extschema@.gpt_chunk(input text, model_or_tokenizer text, size integer DEFAULT 256, overlap integer DEFAULT 32,
		OUT "position" integer, OUT start integer, OUT tokens integer, OUT chunk text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_chunk' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION @extschema@.gpt_chunk(text, text, integer, integer) IS
	'cuts a long text into chunks of at most size tokens, at ends of paragraphs and sentences where it can, of which each repeats up to overlap tokens of the one before';

-- Conversations

-- Arguments that are one text or several

CREATE TYPE @extschema@.gpt_texts;
CREATE FUNCTION @extschema@.gpt_texts_in(string cstring) RETURNS @extschema@.gpt_texts
	AS 'MODULE_PATHNAME', 'gpt_texts_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts_in(cstring) IS 'part of type gpt_texts: its input';
CREATE FUNCTION @extschema@.gpt_texts_out(texts @extschema@.gpt_texts) RETURNS cstring
	AS 'MODULE_PATHNAME', 'gpt_texts_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts_out(@extschema@.gpt_texts) IS 'part of type gpt_texts: its output';
CREATE FUNCTION @extschema@.gpt_texts_recv(bytes internal) RETURNS @extschema@.gpt_texts
	AS 'MODULE_PATHNAME', 'gpt_texts_recv' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts_recv(internal) IS 'part of type gpt_texts: its binary input';
CREATE FUNCTION @extschema@.gpt_texts_send(texts @extschema@.gpt_texts) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_texts_send' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts_send(@extschema@.gpt_texts) IS 'part of type gpt_texts: its binary output';
CREATE TYPE @extschema@.gpt_texts (INPUT = @extschema@.gpt_texts_in, OUTPUT = @extschema@.gpt_texts_out, RECEIVE = @extschema@.gpt_texts_recv,
	SEND = @extschema@.gpt_texts_send, ALIGNMENT = int4, STORAGE = extended);
COMMENT ON TYPE @extschema@.gpt_texts IS 'one text or an array of texts, as an argument of functions that generate';
CREATE FUNCTION @extschema@.gpt_texts("text" text) RETURNS @extschema@.gpt_texts
	AS 'MODULE_PATHNAME', 'gpt_texts' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts(text) IS 'makes a value of type gpt_texts of one text';
CREATE FUNCTION @extschema@.gpt_texts(texts text[]) RETURNS @extschema@.gpt_texts
	AS 'MODULE_PATHNAME', 'gpt_texts' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts(text[]) IS 'makes a value of type gpt_texts of an array';
CREATE FUNCTION @extschema@.gpt_texts(texts character varying[]) RETURNS @extschema@.gpt_texts
	AS 'MODULE_PATHNAME', 'gpt_texts' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_texts(character varying[]) IS 'makes a value of type gpt_texts of an array';
CREATE CAST (text AS @extschema@.gpt_texts) WITH FUNCTION @extschema@.gpt_texts(text) AS IMPLICIT;
CREATE CAST (character varying AS @extschema@.gpt_texts) WITH FUNCTION @extschema@.gpt_texts(text) AS IMPLICIT;
CREATE CAST (text[] AS @extschema@.gpt_texts) WITH FUNCTION @extschema@.gpt_texts(text[]) AS IMPLICIT;
CREATE CAST (character varying[] AS @extschema@.gpt_texts) WITH FUNCTION @extschema@.gpt_texts(character varying[]) AS IMPLICIT;

CREATE FUNCTION @extschema@.gpt_errors(reset boolean DEFAULT false, OUT last_at timestamptz, OUT count bigint, OUT function text, OUT model text,
		OUT sqlstate text, OUT message text, OUT detail text, OUT hint text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_errors' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_errors(boolean) IS
	'returns the errors of rows that gave null in this session, with gpt.on_error or an argument on_error; with reset it then forgets them';

CREATE FUNCTION @extschema@.gpt_generate_many(model text, prompt text, n integer, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, on_error text DEFAULT NULL,
		OUT sample integer, OUT text text, OUT tokens integer, OUT logprob float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_generate_many' LANGUAGE C VOLATILE PARALLEL SAFE COST 3000000 ROWS 5;
COMMENT ON FUNCTION @extschema@.gpt_generate_many(text, text, integer, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb,
		@extschema@.gpt_texts, text[], text, jsonb, text) IS
	'continues a prompt n times, with a seed of its own each; returns the continuations with their log probabilities';

CREATE FUNCTION @extschema@.gpt_generate_detail(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, on_error text DEFAULT NULL,
		OUT "position" integer, OUT token integer, OUT text text, OUT bytes bytea, OUT logprob float8, OUT rank integer, OUT entropy float8,
		OUT expected text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_generate_detail' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000 ROWS 64;
COMMENT ON FUNCTION @extschema@.gpt_generate_detail(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb,
		@extschema@.gpt_texts, text[], text, jsonb, text) IS
	'continues a prompt; returns the tokens of the continuation with the log probability and the rank of each';

CREATE FUNCTION @extschema@.gpt_generate_as(model text, prompt text, type anyelement, max_tokens integer DEFAULT 256, temperature float8 DEFAULT 0,
		seed bigint DEFAULT NULL) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'gpt_generate_as' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_generate_as(text, text, anyelement, integer, float8, bigint) IS
	'continues a prompt with a value of a type, such as NULL::date: the text always passes the type''s input function';

CREATE FUNCTION @extschema@.gpt_extract(model text, input text, type anyelement, max_tokens integer DEFAULT 256, temperature float8 DEFAULT 0,
		seed bigint DEFAULT NULL) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'gpt_extract' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_extract(text, text, anyelement, integer, float8, bigint) IS
	'takes a value of a type from a text, such as a row of a composite type, by a model that was trained on prompts of gpt_extract_prompt';

CREATE FUNCTION @extschema@.gpt_extract_prompt(input text, type anyelement) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_extract_prompt' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION @extschema@.gpt_extract_prompt(text, anyelement) IS
	'returns the prompt that gpt_extract gives a model, for the rows of its training';

CREATE FUNCTION @extschema@.gpt_schema(type anyelement) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'gpt_schema' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.gpt_schema(anyelement) IS
	'returns the JSON Schema of a type, such as NULL::date: what gpt_generate_as lets a model write';

CREATE FUNCTION @extschema@.gpt_chat(model text, messages jsonb, max_tokens integer DEFAULT 64, temperature float8 DEFAULT NULL,
		top_k integer DEFAULT NULL, top_p float8 DEFAULT NULL, min_p float8 DEFAULT NULL, repetition_penalty float8 DEFAULT NULL,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL, reasoning boolean DEFAULT false, beams integer DEFAULT 1,
		length_penalty float8 DEFAULT 0.6,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, draft text DEFAULT NULL, on_error text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_chat' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_chat(text, jsonb, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, boolean, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text) IS
	'answers the last message of a conversation, in the form that the model was trained on; NULL sampling arguments mean the model''s own defaults';

CREATE FUNCTION @extschema@.gpt_chat_tokens(model text, messages jsonb, reasoning boolean DEFAULT false) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'gpt_chat_tokens' LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION @extschema@.gpt_chat_tokens(text, jsonb, boolean) IS
	'returns the tokens that gpt_chat gives the model to read: the conversation in the form of its chat template';

CREATE FUNCTION @extschema@.gpt_chat_template(model text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_chat_template' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_chat_template(text) IS
	'returns the chat template of a model in Jinja, for other programs; NULL where it has none';

COMMENT ON COLUMN @extschema@.gpt_versions.task IS 'task of its last training: language modelling, completion, chat, preference, retrieval, classification or regression, the last two also of pairs, and classification multi-label; NULL for an imported model, and where an older version of the extension trained it';
COMMENT ON COLUMN @extschema@.gpt_models.task IS 'task of its last training: language modelling, completion, chat, preference, retrieval, classification or regression, the last two also of pairs, and classification multi-label; NULL for an imported model, and where an older version of the extension trained it';

-- A tokenizer of bytes may have a separator, too: then it is not the one that always exists.
CREATE OR REPLACE VIEW @extschema@.gpt_tokenizers WITH (security_barrier) AS
	SELECT n.name AS tokenizer, pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(n.object)) AS owner, t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex') AS sha256, t.object, t.created_at
	FROM @extschema@.gpt_tokenizer_name n JOIN @extschema@.gpt_tokenizer t
		ON t.sha256 OPERATOR(pg_catalog.=) n.sha256 AND t.object OPERATOR(pg_catalog.=) n.object
	WHERE @extschema@.gpt_can_use(t.object, NULL::pg_catalog.uuid)
	UNION ALL
	SELECT CASE WHEN t.kind OPERATOR(pg_catalog.=) 'bytes' AND t.vocabulary OPERATOR(pg_catalog.=) 257 THEN t.kind ELSE t.kind OPERATOR(pg_catalog.||) '@'
			OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(t.sha256, 'hex'), 16) END,
		pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(t.object)), t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex'), t.object, t.created_at
	FROM @extschema@.gpt_tokenizer t
	WHERE @extschema@.gpt_can_use(t.object, NULL::pg_catalog.uuid) AND NOT EXISTS (SELECT FROM @extschema@.gpt_tokenizer_name n
		WHERE n.sha256 OPERATOR(pg_catalog.=) t.sha256 AND n.object OPERATOR(pg_catalog.=) t.object);
COMMENT ON COLUMN @extschema@.gpt_tokenizers.kind IS 'bpe, bytes, chars, sentencepiece or unigram';

COMMENT ON COLUMN @extschema@.gpt_versions.architecture IS 'prefix or encoder_decoder, as option "architecture"; of a decoder, the architecture as which Transformers reads the weights (gpt2, llama, qwen3 ...), else gpt';
COMMENT ON COLUMN @extschema@.gpt_models.architecture IS 'prefix or encoder_decoder, as option "architecture"; of a decoder, the architecture as which Transformers reads the weights (gpt2, llama, qwen3 ...), else gpt';

DROP FUNCTION @extschema@.gpt_import_tokenizer(text, text);
CREATE FUNCTION @extschema@.gpt_import_tokenizer(name text, file text, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_import_tokenizer(text, text, jsonb) IS
	'stores the tokenizer of a text under a name: tokenizer.json, or the ranks of tiktoken; returns the size of its vocabulary';

CREATE FUNCTION @extschema@.gpt_import_tokenizer(name text, vocabulary text, merges text, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_import_tokenizer(text, text, text, jsonb) IS
	'stores a byte-level BPE of two texts under a name: vocab.json and merges.txt, or encoder.json and vocab.bpe; returns the size of its vocabulary';

CREATE FUNCTION @extschema@.gpt_import_tokenizer(name text, file bytea, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_import_tokenizer(text, bytea, jsonb) IS
	'stores the tokenizer of a file under a name: tokenizer.json, tokenizer.model, tiktoken or GGUF; returns the size of its vocabulary';

CREATE FUNCTION @extschema@.gpt_import_tokenizer(name text, object oid, options jsonb DEFAULT '{}') RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_import_tokenizer(text, oid, jsonb) IS
	'stores the tokenizer of a file in a large object under a name: tokenizer.json, tokenizer.model, tiktoken or GGUF; returns the size of its vocabulary';

-- How texts are cleaned

-- What a version keeps of its training

ALTER TABLE @extschema@.gpt_version ADD COLUMN search bytea, ADD COLUMN query text, ADD COLUMN given_options jsonb,
	ADD COLUMN published_by text, ADD COLUMN report jsonb, ADD COLUMN evaluation jsonb, ADD COLUMN profile jsonb;

-- An update from 0.1.0 may have left the columns of these views in an order of their own: then the new column comes last.
DO $update$
DECLARE
	versions CONSTANT text := $view$	SELECT v.model, v.version, COALESCE(m.version OPERATOR(pg_catalog.=) v.version, false) AS current, v.state,
		CASE WHEN v.config OPERATOR(pg_catalog.->) 'labels' IS NULL THEN v.task
			ELSE pg_catalog.concat(CASE WHEN v.config OPERATOR(pg_catalog.->>) 'multi_label' OPERATOR(pg_catalog.=) 'true' THEN 'multi-label ' END,
				CASE WHEN v.config OPERATOR(pg_catalog.->>) 'pair' OPERATOR(pg_catalog.=) 'true' THEN 'pair ' END,
				CASE WHEN v.config OPERATOR(pg_catalog.->>) 'number' OPERATOR(pg_catalog.=) 'true' THEN 'regression' ELSE 'classification' END)
			END AS task,
		(SELECT pg_catalog.array_agg(l.label ORDER BY l.number USING OPERATOR(pg_catalog.<))
			FROM pg_catalog.jsonb_array_elements_text(v.config OPERATOR(pg_catalog.->) 'labels') WITH ORDINALITY l(label, number)
			WHERE v.config OPERATOR(pg_catalog.->) 'number' IS NULL) AS labels,
		pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(v.weights)) AS owner,
		(v.config OPERATOR(pg_catalog.->>) 'architecture')::text AS architecture, v.parameters, (v.config OPERATOR(pg_catalog.->>) 'context')::integer AS context,
		(v.config OPERATOR(pg_catalog.->>) 'vocabulary')::integer AS vocabulary,
		COALESCE((SELECT pg_catalog.min(n.name) FROM @extschema@.gpt_tokenizer_name n
				WHERE n.sha256 OPERATOR(pg_catalog.=) v.tokenizer AND @extschema@.gpt_can_use(n.object, NULL::pg_catalog.uuid)),
			(SELECT pg_catalog.min(CASE WHEN t.kind OPERATOR(pg_catalog.=) 'bytes' AND t.vocabulary OPERATOR(pg_catalog.=) 257 THEN t.kind ELSE t.kind OPERATOR(pg_catalog.||) '@'
					OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(t.sha256, 'hex'), 16) END)
				FROM @extschema@.gpt_tokenizer t WHERE t.sha256 OPERATOR(pg_catalog.=) v.tokenizer)) AS tokenizer,
		v.loss, v.validation_loss, v.validation_bits_per_byte, v.job, pg_catalog.encode(v.query_sha256, 'hex') AS query_sha256,
		CASE WHEN pg_catalog.pg_has_role(@extschema@.gpt_object_owner(v.weights), 'USAGE') THEN COALESCE(v.given_options, v.options) ELSE v.options END AS options, v.watermark,
		v.base OPERATOR(pg_catalog.||) '@' OPERATOR(pg_catalog.||) v.base_version::text AS base, v.size, v.weights, v.created_at,
		v.config OPERATOR(pg_catalog.->) 'clean' AS clean, CASE WHEN pg_catalog.pg_has_role(@extschema@.gpt_object_owner(v.weights), 'USAGE') THEN v.query END AS query, v.published_by,
		CASE WHEN pg_catalog.pg_has_role(@extschema@.gpt_object_owner(v.weights), 'USAGE') THEN v.report ELSE v.report OPERATOR(pg_catalog.-) 'prompt' OPERATOR(pg_catalog.-) 'warnings' END AS report,
		CASE WHEN pg_catalog.pg_has_role(@extschema@.gpt_object_owner(v.weights), 'USAGE') THEN v.evaluation ELSE v.evaluation OPERATOR(pg_catalog.-) 'surprising' OPERATOR(pg_catalog.-) 'pairs' END AS evaluation,
		v.profile
	FROM @extschema@.gpt_version v LEFT JOIN @extschema@.gpt_model m ON m.model OPERATOR(pg_catalog.=) v.model
	WHERE @extschema@.gpt_can_use(v.weights, v.run_id)$view$;
	models CONSTANT text := $view$	SELECT v.model, v.version, v.current, v.task, v.labels, v.owner, v.architecture, v.parameters, v.context, v.vocabulary, v.tokenizer, v.loss,
		v.validation_loss, v.validation_bits_per_byte, v.job, v.query_sha256, v.options, v.watermark, v.base, m.image_type, v.size, v.weights,
		v.created_at, v.clean
	FROM @extschema@.gpt_versions v
		JOIN @extschema@.gpt_model m ON m.model OPERATOR(pg_catalog.=) v.model AND m.version OPERATOR(pg_catalog.=) v.version$view$;
	definition text;
	columns text;
BEGIN
	EXECUTE 'CREATE OR REPLACE VIEW @extschema@.gpt_versions WITH (security_barrier) AS ' || versions;
	EXECUTE 'CREATE OR REPLACE VIEW @extschema@.gpt_models WITH (security_barrier) AS ' || models;
EXCEPTION
	WHEN invalid_table_definition THEN
		FOR i IN 1 .. 2 LOOP
			definition := CASE i WHEN 1 THEN versions ELSE models END;
			EXECUTE 'CREATE TEMPORARY VIEW gpt_view_of_0_3 AS ' || definition;
			SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.attname), ', ' ORDER BY o.attnum, n.attnum) INTO columns
				FROM pg_catalog.pg_attribute n LEFT JOIN pg_catalog.pg_attribute o ON o.attname = n.attname
					AND o.attrelid = CASE i WHEN 1 THEN '@extschema@.gpt_versions'::regclass ELSE '@extschema@.gpt_models'::regclass END
				WHERE n.attrelid = 'pg_temp.gpt_view_of_0_3'::regclass;
			DROP VIEW pg_temp.gpt_view_of_0_3;
			EXECUTE 'CREATE OR REPLACE VIEW @extschema@.' || CASE i WHEN 1 THEN 'gpt_versions' ELSE 'gpt_models' END
				|| ' WITH (security_barrier) AS SELECT ' || columns || ' FROM (' || definition || ') v';
		END LOOP;
END $update$;
COMMENT ON COLUMN @extschema@.gpt_versions.query IS 'text of the job''s query, kept after gpt_forget_jobs; only for roles with the privileges of the owner';
COMMENT ON COLUMN @extschema@.gpt_versions.published_by IS 'role that published it, as its name was then';
COMMENT ON COLUMN @extschema@.gpt_versions.report IS 'report of its job, as gpt_jobs has it; what quotes rows only for roles with the privileges of the owner';
COMMENT ON COLUMN @extschema@.gpt_versions.evaluation IS 'what its job measured on the validation rows; the most surprising rows, and numbers of rows, only for roles with the privileges of the owner';
COMMENT ON COLUMN @extschema@.gpt_versions.profile IS 'how its rows were distributed, in numbers, for gpt_drift';
COMMENT ON COLUMN @extschema@.gpt_versions.options IS 'options of the job as given; for roles without the privileges of the owner with the hashes of queries in their place';
COMMENT ON COLUMN @extschema@.gpt_models.options IS 'options of the job as given; for roles without the privileges of the owner with the hashes of queries in their place';
COMMENT ON COLUMN @extschema@.gpt_versions.clean IS 'how its rows were cleaned and texts that it reads are, as options of gpt_clean; NULL: not at all';
COMMENT ON COLUMN @extschema@.gpt_models.clean IS 'how its rows were cleaned and texts that it reads are, as options of gpt_clean; NULL: not at all';

-- Numbers

CREATE FUNCTION @extschema@.gpt_predict(model text, input text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(text, text) IS
	'returns the number that a model, trained on texts with real numbers as labels, expects of a text';

CREATE FUNCTION @extschema@.gpt_predict(model text, input text[]) RETURNS float8[]
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(text, text[]) IS 'returns the numbers that a model expects of many texts';

CREATE FUNCTION @extschema@.gpt_classify(model text, input text, other text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(text, text, text) IS
	'returns the label that a classifier of pairs gives to two texts together';

CREATE FUNCTION @extschema@.gpt_classify_probs(model text, input text, other text, OUT label text, OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_classify_probs' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000 ROWS 10
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify_probs(text, text, text) IS
	'returns all labels of a classifier of pairs with their probabilities for two texts together, the most probable first';

CREATE FUNCTION @extschema@.gpt_predict(model text, input text, other text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(text, text, text) IS
	'returns the number that a model of pairs expects of two texts together';

-- Estimates and reports, and jobs that make tokenizers

ALTER TABLE @extschema@.gpt_job ADD COLUMN report jsonb;
CREATE OR REPLACE FUNCTION @extschema@.gpt_embed(model text, input text, pooling text DEFAULT 'auto', normalized boolean DEFAULT true) RETURNS real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C STABLE PARALLEL SAFE COST 100000 SUPPORT @extschema@.gpt_support;
CREATE FUNCTION @extschema@.gpt_similarity(model text, a text, b text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_similarity' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 200000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_similarity(text, text, text) IS 'returns how alike two texts are: the cosine of their embeddings';
COMMENT ON FUNCTION @extschema@.gpt_embed(text, text, text, boolean) IS
	'returns a text as a vector for search; or the hidden states of its tokens, pooled';
CREATE OR REPLACE FUNCTION @extschema@.gpt_embed(model text, input text[], pooling text DEFAULT 'auto', normalized boolean DEFAULT true) RETURNS SETOF real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 100
	SUPPORT @extschema@.gpt_support;
ALTER TABLE @extschema@.gpt_job ALTER COLUMN model DROP NOT NULL, ADD COLUMN tokenizer text, DROP CONSTRAINT gpt_job_kind_check;
ALTER TABLE @extschema@.gpt_job ADD CONSTRAINT gpt_job_kind_check CHECK (kind IN ('train', 'finetune', 'tokenizer')),
	ADD CONSTRAINT gpt_job_product_check CHECK ((model IS NULL) OPERATOR(pg_catalog.<>) (tokenizer IS NULL));
CREATE TABLE @extschema@.gpt_job_server (
	job bigint NOT NULL,
	member integer NOT NULL,
	server text,
	state text NOT NULL CHECK (state IN ('joining', 'training', 'lost', 'ended')),
	step bigint NOT NULL DEFAULT 0,
	steps_per_second float8,
	waiting_share float8,
	epoch integer NOT NULL DEFAULT 0,
	error text,
	seen_at timestamptz,
	since timestamptz,
	PRIMARY KEY (job, member)
) WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.gpt_job_server IS 'servers of the jobs that train on several, written by their workers alone';
REVOKE ALL ON @extschema@.gpt_job_server FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_job_server', '');
CREATE OR REPLACE VIEW @extschema@.gpt_jobs WITH (security_barrier) AS
	SELECT j.job, COALESCE(j.model, j.tokenizer) AS model, j.kind, j.state, pg_catalog.pg_get_userbyid(@extschema@.gpt_job_owner(j.owner, j.system_identifier)) AS owner,
		CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN COALESCE(p.step, j.step) ELSE j.step END AS step,
		CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN COALESCE(p.steps, j.steps) ELSE j.steps END AS steps, j.documents, j.skipped, j.bytes, j.corpus_tokens, j.tries, j.error,
		j.created_at, j.started_at, j.finished_at,
		CASE WHEN w.waits IS NULL THEN @extschema@.gpt_job_note(j.state, j.note) ELSE pg_catalog.concat_ws('; ', w.waits, @extschema@.gpt_job_note(j.state, j.note)) END AS note, j.query, j.options, j.conditions,
		j.base, j.base_version, j.data_changed, j.overfit_since, j.report,
		(SELECT GREATEST(pg_catalog.count(*), 1)::integer FROM @extschema@.gpt_job_server s WHERE s.job OPERATOR(pg_catalog.=) j.job) AS servers
	FROM @extschema@.gpt_job j LEFT JOIN @extschema@.gpt_progress_rows() p ON p.job OPERATOR(pg_catalog.=) j.job
		CROSS JOIN LATERAL (SELECT CASE WHEN p.phase OPERATOR(pg_catalog.~~) 'waiting for %' THEN p.phase ELSE 'without servers' END OPERATOR(pg_catalog.||) ': ' OPERATOR(pg_catalog.||) pg_catalog.string_agg(CASE WHEN s.state OPERATOR(pg_catalog.=) 'lost'
				THEN pg_catalog.concat('"', s.server, '" since ', pg_catalog.date_trunc('second', s.since), ' (', pg_catalog.split_part(s.error, E'\n', 1), ')')
				ELSE pg_catalog.concat('"', s.server, '" at step ', s.step) END, ', ' ORDER BY s.member USING OPERATOR(pg_catalog.<)) AS waits
			FROM @extschema@.gpt_job_server s WHERE j.state OPERATOR(pg_catalog.=) 'running' AND s.job OPERATOR(pg_catalog.=) j.job
				AND CASE WHEN p.phase OPERATOR(pg_catalog.=) 'waiting for the end of the round' THEN s.state OPERATOR(pg_catalog.=) 'training' AND s.step OPERATOR(pg_catalog.<) p.step
					ELSE s.state OPERATOR(pg_catalog.=) 'lost' END) w
	WHERE pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');
COMMENT ON COLUMN @extschema@.gpt_jobs.model IS 'name of the model, or of the tokenizer, that it makes';
COMMENT ON COLUMN @extschema@.gpt_jobs.kind IS 'train, finetune or tokenizer';
COMMENT ON COLUMN @extschema@.gpt_jobs.step IS 'steps done; of a tokenizer, merges learnt';
COMMENT ON COLUMN @extschema@.gpt_jobs.documents IS 'rows read on this server that have a text';
COMMENT ON COLUMN @extschema@.gpt_jobs.report IS 'facts about its rows, what it chose for them, and warnings, as gpt_estimate gives them';
COMMENT ON COLUMN @extschema@.gpt_jobs.servers IS 'number of servers that it trains on';

CREATE VIEW @extschema@.gpt_job_servers WITH (security_barrier) AS
	SELECT s.job, s.member, s.server,
		CASE WHEN j.state OPERATOR(pg_catalog.<>) 'running' AND s.state OPERATOR(pg_catalog.<>) 'lost' THEN 'ended' ELSE s.state END AS state, s.step, s.steps_per_second, s.waiting_share, s.epoch, s.error, s.seen_at,
		CASE WHEN j.state OPERATOR(pg_catalog.<>) 'running' AND s.state OPERATOR(pg_catalog.<>) 'lost' THEN j.finished_at ELSE s.since END AS since
	FROM @extschema@.gpt_job_server s JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) s.job
	WHERE pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');
COMMENT ON VIEW @extschema@.gpt_job_servers IS 'servers of the jobs that train on several, of the roles whose privileges the current role has';
COMMENT ON COLUMN @extschema@.gpt_job_servers.job IS 'number of the job';
COMMENT ON COLUMN @extschema@.gpt_job_servers.member IS 'number of the server in the job: 0 is the one that the job runs on';
COMMENT ON COLUMN @extschema@.gpt_job_servers.server IS 'name of the foreign server; NULL for the one that the job runs on';
COMMENT ON COLUMN @extschema@.gpt_job_servers.state IS 'joining, training, lost or ended';
COMMENT ON COLUMN @extschema@.gpt_job_servers.step IS 'step that it has reached';
COMMENT ON COLUMN @extschema@.gpt_job_servers.steps_per_second IS 'speed of its last steps, while it computed';
COMMENT ON COLUMN @extschema@.gpt_job_servers.waiting_share IS 'share of the time of its last steps that it waited for others';
COMMENT ON COLUMN @extschema@.gpt_job_servers.epoch IS 'number of the membership that it last took part in: one more after each change';
COMMENT ON COLUMN @extschema@.gpt_job_servers.error IS 'why it was lost, or could not be reached, last; NULL: it never was';
COMMENT ON COLUMN @extschema@.gpt_job_servers.seen_at IS 'when it last answered';
COMMENT ON COLUMN @extschema@.gpt_job_servers.since IS 'since when it is in that state';
GRANT SELECT ON @extschema@.gpt_job_servers TO PUBLIC;

CREATE FUNCTION @extschema@.gpt_estimate(query text, options jsonb DEFAULT '{}') RETURNS jsonb
	AS 'MODULE_PATHNAME', 'gpt_estimate' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_estimate(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_estimate(text, jsonb) IS
	'reads the rows of a query as gpt_train would and says what is in them, what a training would choose, and what looks wrong';

CREATE OR REPLACE VIEW @extschema@.gpt_stat_progress_train WITH (security_barrier) AS
	SELECT p.job, p.pid, COALESCE(j.model, j.tokenizer) AS model, p.phase, p.step, p.steps, p.loss, p.validation_loss, p.validation_bits_per_byte,
		p.tokens_per_second, p.seconds_left
	FROM @extschema@.gpt_progress_rows() p JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) p.job
	WHERE j.state OPERATOR(pg_catalog.=) 'running' AND pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.model IS 'name of the model, or of the tokenizer, that it makes';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.step IS 'steps done; of a tokenizer, merges learnt';

DROP FUNCTION @extschema@.gpt_train_tokenizer(text, text, integer, jsonb);
CREATE FUNCTION @extschema@.gpt_train_tokenizer(name text, query text, options jsonb DEFAULT '{}') RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_train_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_train_tokenizer(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_train_tokenizer(text, text, jsonb) IS
	'queues the training of a tokenizer on the texts of a query; returns the number of the job';

CREATE FUNCTION @extschema@.gpt_duplicates(query text, kind text DEFAULT 'near', OUT "row" bigint, OUT kept_row bigint,
	OUT similarity float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_duplicates' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_duplicates(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_duplicates(text, text) IS
	'rows of a query that repeat another one, as option "dedup" of a training finds them: exact or near';

CREATE FUNCTION @extschema@.gpt_survey(query text, options jsonb DEFAULT '{}', word_floor bigint DEFAULT 5) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_survey' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_survey(text, jsonb, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_survey(text, jsonb, bigint) IS
	'what a model of several servers needs to know of the rows of this one: counts, sizes, labels, and words that are not rare';

CREATE FUNCTION @extschema@.gpt_agree(surveys bytea[], servers text[] DEFAULT NULL, options jsonb DEFAULT '{}', OUT tokenizer text,
	OUT agreement jsonb) RETURNS record
	AS 'MODULE_PATHNAME', 'gpt_agree' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_agree(bytea[], text[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_agree(bytea[], text[], jsonb) IS
	'the tokenizer of the rows that several servers have surveyed, as tokenizer.json, and what else they have in common';

-- gpt_choose gets options, in the way of gpt_generate below: views of users depend on it.
CREATE FUNCTION @extschema@.gpt_choose_with_options(model text, prompt text, choices text[], domain text DEFAULT '', subtract boolean DEFAULT true,
		per text DEFAULT 'choice') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_choose' LANGUAGE C STABLE PARALLEL SAFE COST 1000000;
UPDATE pg_catalog.pg_proc SET pronargs = n.pronargs, pronargdefaults = n.pronargdefaults, proargnames = n.proargnames,
		proargdefaults = n.proargdefaults, proargtypes = n.proargtypes, proisstrict = n.proisstrict
	FROM (SELECT * FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_choose_with_options(text, text, text[], text, boolean, text)'::pg_catalog.regprocedure) n
	WHERE pg_proc.oid OPERATOR(pg_catalog.=) '@extschema@.gpt_choose(text, text, text[])'::pg_catalog.regprocedure;
DROP FUNCTION @extschema@.gpt_choose_with_options(text, text, text[], text, boolean, text);
COMMENT ON FUNCTION @extschema@.gpt_choose(text, text, text[], text, boolean, text) IS
	'returns the choice that fits a prompt best: the one whose likelihood the prompt raises most';

CREATE FUNCTION @extschema@.gpt_choose_probs(model text, prompt text, choices text[], domain text DEFAULT '', subtract boolean DEFAULT true,
		per text DEFAULT 'choice', OUT choice text, OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_choose_probs' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 10
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_choose_probs(text, text, text[], text, boolean, text) IS
	'returns the choices with the probabilities that they fit a prompt, the most probable first';

-- gpt_generate and gpt_stream get further arguments. Views of users depend on the functions and roles have grants on them, so the script changes
-- their rows instead of dropping them. Stored calls without the new arguments get the defaults when they are planned, and stored arguments of
-- type text[] their cast.
CREATE FUNCTION @extschema@.gpt_generate_with_more(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL, beams integer DEFAULT 1, length_penalty float8 DEFAULT 0.6,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, draft text DEFAULT NULL, on_error text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_generate' LANGUAGE C VOLATILE PARALLEL SAFE;
UPDATE pg_catalog.pg_proc SET pronargs = n.pronargs, pronargdefaults = n.pronargdefaults, proargnames = n.proargnames,
		proargdefaults = n.proargdefaults, proargtypes = n.proargtypes, proallargtypes = n.proallargtypes, proargmodes = n.proargmodes
	FROM (SELECT * FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) '@extschema@.gpt_generate_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8,
		float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure) n
	WHERE pg_proc.oid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_generate(text, text, integer, float8, integer, float8, float8, float8, text[], bigint)'::pg_catalog.regprocedure;
INSERT INTO pg_catalog.pg_depend SELECT classid, '@extschema@.gpt_generate(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure, objsubid,
		refclassid, refobjid, refobjsubid, deptype FROM pg_catalog.pg_depend WHERE classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
		AND refobjid OPERATOR(pg_catalog.=) '@extschema@.gpt_texts'::pg_catalog.regtype AND objid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_generate_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure;
DROP FUNCTION @extschema@.gpt_generate_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text);
COMMENT ON FUNCTION @extschema@.gpt_generate(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text) IS
	'continues a prompt, drawn token by token or, with beams, by a search for a probable text; returns the continuation only';
CREATE FUNCTION @extschema@.gpt_generate_with_more(model text, prompt text[], max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL, beams integer DEFAULT 1, length_penalty float8 DEFAULT 0.6,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, draft text DEFAULT NULL, on_error text DEFAULT NULL) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_generate' LANGUAGE C VOLATILE PARALLEL SAFE;
UPDATE pg_catalog.pg_proc SET pronargs = n.pronargs, pronargdefaults = n.pronargdefaults, proargnames = n.proargnames,
		proargdefaults = n.proargdefaults, proargtypes = n.proargtypes, proallargtypes = n.proallargtypes, proargmodes = n.proargmodes
	FROM (SELECT * FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) '@extschema@.gpt_generate_with_more(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8,
		float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure) n
	WHERE pg_proc.oid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_generate(text, text[], integer, float8, integer, float8, float8, float8, text[], bigint)'::pg_catalog.regprocedure;
INSERT INTO pg_catalog.pg_depend SELECT classid, '@extschema@.gpt_generate(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure, objsubid,
		refclassid, refobjid, refobjsubid, deptype FROM pg_catalog.pg_depend WHERE classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
		AND refobjid OPERATOR(pg_catalog.=) '@extschema@.gpt_texts'::pg_catalog.regtype AND objid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_generate_with_more(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure;
DROP FUNCTION @extschema@.gpt_generate_with_more(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text);
COMMENT ON FUNCTION @extschema@.gpt_generate(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text) IS
	'continues many prompts together; the results are those of single calls';
CREATE FUNCTION @extschema@.gpt_stream_with_more(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL,
		presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL,
		choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, draft text DEFAULT NULL, on_error text DEFAULT NULL,
		OUT "position" integer, OUT token integer, OUT text text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_stream' LANGUAGE C VOLATILE PARALLEL SAFE;
UPDATE pg_catalog.pg_proc SET pronargs = n.pronargs, pronargdefaults = n.pronargdefaults, proargnames = n.proargnames,
		proargdefaults = n.proargdefaults, proargtypes = n.proargtypes, proallargtypes = n.proallargtypes, proargmodes = n.proargmodes
	FROM (SELECT * FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) '@extschema@.gpt_stream_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint,
		float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure) n
	WHERE pg_proc.oid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_stream(text, text, integer, float8, integer, float8, float8, float8, text[], bigint)'::pg_catalog.regprocedure;
INSERT INTO pg_catalog.pg_depend SELECT classid, '@extschema@.gpt_stream(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure, objsubid,
		refclassid, refobjid, refobjsubid, deptype FROM pg_catalog.pg_depend WHERE classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
		AND refobjid OPERATOR(pg_catalog.=) '@extschema@.gpt_texts'::pg_catalog.regtype AND objid OPERATOR(pg_catalog.=)
		'@extschema@.gpt_stream_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)'::pg_catalog.regprocedure;
DROP FUNCTION @extschema@.gpt_stream_with_more(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text);
COMMENT ON FUNCTION @extschema@.gpt_stream(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text) IS
	'continues a prompt; in the select list, returns a row for each token as the model generates it';

ALTER TABLE @extschema@.gpt_job_log ADD COLUMN measures jsonb;
CREATE OR REPLACE VIEW @extschema@.gpt_train_log WITH (security_barrier) AS
	SELECT l.job, l.step, l.loss, l.validation_loss, l.validation_bits_per_byte, l.learning_rate, l.grad_norm,
		l.tokens_per_second, l.at, l.measures, t.metric,
		CAST(l.measures OPERATOR(pg_catalog.->>) pg_catalog.concat('validation_', t.metric) AS pg_catalog.float8) AS validation_metric
	FROM @extschema@.gpt_job_log l JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) l.job
		CROSS JOIN LATERAL (SELECT CASE
			WHEN l.measures OPERATOR(pg_catalog.?) 'validation_token_accuracy' THEN 'token_accuracy'
			WHEN l.measures OPERATOR(pg_catalog.?|) ARRAY['micro_f1', 'validation_micro_f1'] THEN 'micro_f1'
			WHEN l.measures OPERATOR(pg_catalog.?|) ARRAY['accuracy', 'validation_accuracy'] THEN 'accuracy'
			WHEN l.measures OPERATOR(pg_catalog.?|) ARRAY['r2', 'validation_r2', 'rmse', 'validation_rmse'] THEN 'r2'
			WHEN l.measures OPERATOR(pg_catalog.?|) ARRAY['preference_accuracy', 'validation_preference_accuracy'] THEN 'preference_accuracy'
			WHEN l.measures OPERATOR(pg_catalog.?|) ARRAY['recall_at_1', 'validation_recall_at_1'] THEN 'recall_at_1' END AS metric) t
	WHERE pg_catalog.pg_has_role(@extschema@.gpt_job_owner(j.owner, j.system_identifier), 'USAGE');
COMMENT ON COLUMN @extschema@.gpt_train_log.measures IS 'other measures of the training''s task, such as preference_accuracy, by name';
COMMENT ON COLUMN @extschema@.gpt_train_log.metric IS 'name of the task''s metric: accuracy, micro_f1, r2, preference_accuracy, recall_at_1 or token_accuracy';
COMMENT ON COLUMN @extschema@.gpt_train_log.validation_metric IS 'the task''s metric on held-out rows, larger is better; NULL in rows without a validation';

ALTER TABLE @extschema@.gpt_version DROP CONSTRAINT gpt_version_state_check;
ALTER TABLE @extschema@.gpt_version ADD CONSTRAINT gpt_version_state_check CHECK (state IN ('partial', 'candidate', 'final'));
COMMENT ON COLUMN @extschema@.gpt_versions.state IS 'final; partial while its run goes on; or candidate if its job has not made it current';

CREATE FUNCTION @extschema@.gpt_classify(model text, input text, threshold float8) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(text, text, float8) IS
	'returns the label that a classifier gives to a text, or NULL if its probability is below the threshold';

CREATE FUNCTION @extschema@.gpt_classify(model text, input text[], threshold float8) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(text, text[], float8) IS
	'returns the labels that a classifier gives to many texts, with NULL for each whose probability is below the threshold';

-- Tokens

CREATE FUNCTION @extschema@.gpt_tokens(model text, input text, prompt text DEFAULT NULL, OUT "position" integer, OUT token integer, OUT text text,
		OUT bytes bytea, OUT "offset" integer, OUT length integer, OUT logprob float8, OUT rank integer, OUT entropy float8, OUT expected text)
		RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_tokens' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 200
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_tokens(text, text, text) IS
	'returns the tokens of a text with the log probability and the rank of each, and what the model expected instead';

CREATE FUNCTION @extschema@.gpt_highlight(model text, input text, method text DEFAULT 'auto', style text DEFAULT 'brackets') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_highlight' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_highlight(text, text, text, text) IS
	'returns a text with marks at the words that surprise a language model, or that decide the answer of another one';

-- Statistics

CREATE FUNCTION @extschema@.gpt_stat_rows(OUT model text, OUT version integer, OUT calls bigint, OUT rows bigint, OUT errors bigint,
		OUT tokens_in bigint, OUT tokens_out bigint, OUT tokens_computed bigint, OUT batches bigint, OUT seconds float8, OUT first_tokens bigint,
		OUT first_token_seconds float8, OUT prefix_hits bigint, OUT prefix_misses bigint, OUT prefix_tokens bigint, OUT draft_tokens bigint,
		OUT draft_accepted bigint, OUT image_hits bigint, OUT image_misses bigint, OUT last_used_at timestamptz, OUT stats_reset timestamptz, OUT scope text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_stat_rows' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_stat_rows() IS
	'what calls cost, of the versions that the current role may use; for members of pg_read_all_stats, of all';

CREATE FUNCTION @extschema@.gpt_stat_reset() RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_stat_reset' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_stat_reset() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_stat_reset() IS 'sets the counts of gpt_stat_models of the current database to zero';

CREATE VIEW @extschema@.gpt_stat_models WITH (security_barrier) AS
	SELECT s.model, s.version, s.calls, s.rows, s.errors, s.tokens_in, s.tokens_out, s.tokens_computed, s.batches, s.seconds, s.first_tokens,
		s.first_token_seconds, s.prefix_hits, s.prefix_misses, s.prefix_tokens, s.draft_tokens, s.draft_accepted, s.image_hits, s.image_misses,
		s.last_used_at, s.stats_reset, s.scope
	FROM @extschema@.gpt_stat_rows() s;
COMMENT ON VIEW @extschema@.gpt_stat_models IS 'what calls of each version cost, of the versions that the current role may use; for members of pg_read_all_stats, of all';
COMMENT ON COLUMN @extschema@.gpt_stat_models.model IS 'name of the model';
COMMENT ON COLUMN @extschema@.gpt_stat_models.version IS 'number of the version';
COMMENT ON COLUMN @extschema@.gpt_stat_models.calls IS 'calls of functions that the model answered or that failed; a call for an array or a set is one, and so is a batch of rows of gpt_perplexity';
COMMENT ON COLUMN @extschema@.gpt_stat_models.rows IS 'texts that got an answer, NULL among them';
COMMENT ON COLUMN @extschema@.gpt_stat_models.errors IS 'calls, and elements of arrays, that ended in an error after the model was found';
COMMENT ON COLUMN @extschema@.gpt_stat_models.tokens_in IS 'tokens of prompts and texts';
COMMENT ON COLUMN @extschema@.gpt_stat_models.tokens_out IS 'tokens generated';
COMMENT ON COLUMN @extschema@.gpt_stat_models.tokens_computed IS 'tokens that went through the model: those of prompts and texts but for reused beginnings, of overlapping windows twice, and those generated';
COMMENT ON COLUMN @extschema@.gpt_stat_models.batches IS 'runs of texts that were given to the model together';
COMMENT ON COLUMN @extschema@.gpt_stat_models.seconds IS 'time in the model, tokenizer included, in seconds; of parallel workers together';
COMMENT ON COLUMN @extschema@.gpt_stat_models.first_tokens IS 'texts that were generated, from their first token on';
COMMENT ON COLUMN @extschema@.gpt_stat_models.first_token_seconds IS 'sum of the times until these first tokens, in seconds';
COMMENT ON COLUMN @extschema@.gpt_stat_models.prefix_hits IS 'texts whose beginning was computed by an earlier text';
COMMENT ON COLUMN @extschema@.gpt_stat_models.prefix_misses IS 'texts whose beginning was not';
COMMENT ON COLUMN @extschema@.gpt_stat_models.prefix_tokens IS 'tokens of these beginnings, which the model did not compute again';
COMMENT ON COLUMN @extschema@.gpt_stat_models.draft_tokens IS 'tokens that a draft proposed to this model, or that were looked up for it';
COMMENT ON COLUMN @extschema@.gpt_stat_models.draft_accepted IS 'how many of them were right';
COMMENT ON COLUMN @extschema@.gpt_stat_models.image_hits IS 'times that a session loaded the model and found its image';
COMMENT ON COLUMN @extschema@.gpt_stat_models.image_misses IS 'times that a session loaded the model and had to make its image';
COMMENT ON COLUMN @extschema@.gpt_stat_models.last_used_at IS 'when a transaction last used it; NULL: not since stats_reset';
COMMENT ON COLUMN @extschema@.gpt_stat_models.stats_reset IS 'since when it counts';
COMMENT ON COLUMN @extschema@.gpt_stat_models.scope IS 'server: the counts of all sessions; session: the library is not preloaded, and the counts are those of this session, without its parallel workers';

CREATE FUNCTION @extschema@.gpt_setting_rows(OUT name text, OUT effective text, OUT reason text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_setting_rows' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_setting_rows() IS 'what settings come to on this server, where their value does not say it, and why';

CREATE VIEW @extschema@.gpt_settings WITH (security_barrier) AS
	SELECT s.name, s.setting, s.unit, COALESCE(e.effective, pg_catalog.current_setting(s.name)) AS effective, s.source, e.reason, s.context,
		pg_catalog.concat_ws(' ', s.short_desc, s.extra_desc) AS description
	FROM pg_catalog.pg_settings s LEFT JOIN @extschema@.gpt_setting_rows() e ON e.name OPERATOR(pg_catalog.=) s.name
	WHERE pg_catalog.starts_with(s.name, 'gpt.');
COMMENT ON VIEW @extschema@.gpt_settings IS 'the settings of the extension, and what they come to on this server';
COMMENT ON COLUMN @extschema@.gpt_settings.name IS 'name of the setting';
COMMENT ON COLUMN @extschema@.gpt_settings.setting IS 'its value, in the unit';
COMMENT ON COLUMN @extschema@.gpt_settings.unit IS 'unit of setting';
COMMENT ON COLUMN @extschema@.gpt_settings.effective IS 'what it comes to on this server, as SHOW prints values, or in words where 0 has a meaning of its own';
COMMENT ON COLUMN @extschema@.gpt_settings.source IS 'where the value comes from, as in pg_settings';
COMMENT ON COLUMN @extschema@.gpt_settings.reason IS 'what decides the effective value beside that, such as the machine''s memory; NULL: nothing';
COMMENT ON COLUMN @extschema@.gpt_settings.context IS 'who may set it, as in pg_settings';
COMMENT ON COLUMN @extschema@.gpt_settings.description IS 'what it does';

GRANT SELECT ON @extschema@.gpt_stat_models, @extschema@.gpt_settings TO PUBLIC;

-- Versions

CREATE FUNCTION @extschema@.gpt_drop_version(model text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_drop_version' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_drop_version(text) IS
	'removes the version that name@version means, unless it is current or adapters rest on it';

DROP FUNCTION @extschema@.gpt_evaluate(text, text, jsonb);
CREATE FUNCTION @extschema@.gpt_evaluate(model text, query text DEFAULT NULL, options jsonb DEFAULT '{}',
		OUT metric text, OUT label text, OUT predicted text, OUT value float8, OUT low float8, OUT high float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_evaluate' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_evaluate(text, text, jsonb) IS
	'measures a model on the rows of a query, with intervals of 95 %; without one, returns the measurements of its training';

CREATE FUNCTION @extschema@.gpt_compare(model_a text, model_b text, query text, options jsonb DEFAULT '{}', OUT metric text, OUT a float8,
		OUT b float8, OUT difference float8, OUT low float8, OUT high float8, OUT p float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_compare' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 2000000 ROWS 10;
COMMENT ON FUNCTION @extschema@.gpt_compare(text, text, text, jsonb) IS
	'measures two models on the same rows: differences b - a, their intervals of 95 %, and the probability of such ones by chance';

CREATE FUNCTION @extschema@.gpt_drift(model text, query text, reference text DEFAULT NULL, OUT measure text, OUT item text, OUT test text,
		OUT reference float8, OUT current float8, OUT statistic float8, OUT p_value float8, OUT verdict text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_drift' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 20;
COMMENT ON FUNCTION @extschema@.gpt_drift(text, text, text) IS
	'compares the rows of a query with those that a model was trained on, or with those of another query: surprisal, lengths, labels, tokens and scripts';

CREATE FUNCTION @extschema@.gpt_wait(model text, timeout interval DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_wait' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_wait(text, interval) IS
	'waits for the newest job of a model, or of a tokenizer, that you may see; returns its state';

CREATE FUNCTION @extschema@.gpt_report(model text, options jsonb DEFAULT '{}') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_report' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_report(text, jsonb) IS
	'a report of a model as one HTML file: data, training, measures, surprising rows, samples, versions';

CREATE FUNCTION @extschema@.gpt_model_card(model text, format text DEFAULT 'markdown') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_model_card' LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION @extschema@.gpt_model_card(text, text) IS 'the facts about a model as a model card: markdown or json';

CREATE FUNCTION @extschema@.gpt_explain(model text, input text, target text DEFAULT NULL, method text DEFAULT 'gradients', unit text DEFAULT 'word',
		other text DEFAULT NULL, OUT "position" integer, OUT text text, OUT weight float8, OUT start integer, OUT part integer,
		OUT explained text, OUT score float8, OUT baseline float8) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_explain' LANGUAGE C STABLE PARALLEL SAFE COST 10000000 ROWS 100
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_explain(text, text, text, text, text, text) IS
	'returns what each word of a text adds to the score of a model''s label, number or next token';

CREATE FUNCTION @extschema@.gpt_attention(model text, input text, layer integer, head integer DEFAULT NULL, OUT query integer,
		OUT query_text text, OUT key integer, OUT key_text text, OUT weight real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_attention' LANGUAGE C STABLE PARALLEL SAFE COST 10000000 ROWS 1000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_attention(text, text, integer, integer) IS
	'returns how much each token of a text attends to each other in a layer of a model, of one head or of all together';

CREATE FUNCTION @extschema@.gpt_logit_lens(model text, input text, OUT layer integer, OUT "position" integer, OUT text text,
		OUT token text, OUT logprob real, OUT next_logprob real, OUT next_rank bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_logit_lens' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000 ROWS 100
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_logit_lens(text, text) IS
	'returns what each layer of a model would predict after each token of a text';

CREATE FUNCTION @extschema@.gpt_plot(job bigint, metric text DEFAULT 'loss', width integer DEFAULT 76, height integer DEFAULT 20) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_plot' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.gpt_plot(bigint, text, integer, integer) IS
	'a chart of text of a job''s log: loss, bits_per_byte, learning_rate, grad_norm, tokens_per_second, metric, or a measure';

CREATE FUNCTION @extschema@.gpt_plot(model text, metric text DEFAULT 'loss', width integer DEFAULT 76, height integer DEFAULT 20) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_plot' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.gpt_plot(text, text, integer, integer) IS
	'the same of the newest job of a model that you may see';

-- The planner's support of the functions that 0.2.0 has.

ALTER FUNCTION @extschema@.gpt_generate(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)
	SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_generate(text, text[], integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)
	SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_stream(text, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb, text, text)
	SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_score(text, text, text, boolean) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_score(text, text[], text, boolean) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_logprob(text, text, text, boolean) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_classify(text, text) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_classify(text, text[]) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_classify_probs(text, text) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_choose(text, text, text[], text, boolean, text) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_perplexity_step(internal, text, text) SUPPORT @extschema@.gpt_support;
ALTER FUNCTION @extschema@.gpt_perplexity_step(internal, text, text, boolean) SUPPORT @extschema@.gpt_support;

-- A version of a model that stays as it is: the functions above of such a version, which are immutable

CREATE TYPE @extschema@.gpt_model_version;

CREATE FUNCTION @extschema@.gpt_model_version_in(string cstring) RETURNS @extschema@.gpt_model_version
	AS 'MODULE_PATHNAME', 'gpt_model_version_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_in(cstring) IS 'I/O';
CREATE FUNCTION @extschema@.gpt_model_version_out(version @extschema@.gpt_model_version) RETURNS cstring
	AS 'MODULE_PATHNAME', 'gpt_model_version_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_out(@extschema@.gpt_model_version) IS 'I/O';
CREATE FUNCTION @extschema@.gpt_model_version_recv(bytes internal) RETURNS @extschema@.gpt_model_version
	AS 'MODULE_PATHNAME', 'gpt_model_version_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_recv(internal) IS 'I/O';
CREATE FUNCTION @extschema@.gpt_model_version_send(version @extschema@.gpt_model_version) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_model_version_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_send(@extschema@.gpt_model_version) IS 'I/O';

CREATE TYPE @extschema@.gpt_model_version (
	INPUT = @extschema@.gpt_model_version_in, OUTPUT = @extschema@.gpt_model_version_out, RECEIVE = @extschema@.gpt_model_version_recv, SEND = @extschema@.gpt_model_version_send,
	STORAGE = main
);
COMMENT ON TYPE @extschema@.gpt_model_version IS
	'a fixed version of a model, name@number; functions that take one are immutable, and what depends on the version keeps it from being dropped';

CREATE FUNCTION @extschema@.gpt_model_version_lt(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_lt(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of < operator';
CREATE FUNCTION @extschema@.gpt_model_version_le(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_le(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of <= operator';
CREATE FUNCTION @extschema@.gpt_model_version_eq(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_eq(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of = operator';
CREATE FUNCTION @extschema@.gpt_model_version_ne(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_ne(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of <> operator';
CREATE FUNCTION @extschema@.gpt_model_version_ge(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_ge(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of >= operator';
CREATE FUNCTION @extschema@.gpt_model_version_gt(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_model_version_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_gt(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'implementation of > operator';
CREATE FUNCTION @extschema@.gpt_model_version_cmp(a @extschema@.gpt_model_version, b @extschema@.gpt_model_version) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_model_version_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_cmp(@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'less-equal-greater';
CREATE FUNCTION @extschema@.gpt_model_version_hash(version @extschema@.gpt_model_version) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_model_version_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_hash(@extschema@.gpt_model_version) IS 'hash';
CREATE FUNCTION @extschema@.gpt_model_version_hash_extended(version @extschema@.gpt_model_version, seed bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_model_version_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_model_version_hash_extended(@extschema@.gpt_model_version, bigint) IS 'hash';

CREATE OPERATOR @extschema@.< (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_lt,
	COMMUTATOR = OPERATOR(@extschema@.>), NEGATOR = OPERATOR(@extschema@.>=),
	RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR @extschema@.< (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'less than';
CREATE OPERATOR @extschema@.<= (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_le,
	COMMUTATOR = OPERATOR(@extschema@.>=), NEGATOR = OPERATOR(@extschema@.>),
	RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR @extschema@.<= (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'less than or equal';
CREATE OPERATOR @extschema@.= (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_eq,
	COMMUTATOR = OPERATOR(@extschema@.=), NEGATOR = OPERATOR(@extschema@.<>),
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR @extschema@.= (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'equal';
CREATE OPERATOR @extschema@.<> (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_ne,
	COMMUTATOR = OPERATOR(@extschema@.<>), NEGATOR = OPERATOR(@extschema@.=),
	RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR @extschema@.<> (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'not equal';
CREATE OPERATOR @extschema@.>= (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_ge,
	COMMUTATOR = OPERATOR(@extschema@.<=), NEGATOR = OPERATOR(@extschema@.<),
	RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR @extschema@.>= (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'greater than or equal';
CREATE OPERATOR @extschema@.> (
	LEFTARG = @extschema@.gpt_model_version, RIGHTARG = @extschema@.gpt_model_version, FUNCTION = @extschema@.gpt_model_version_gt,
	COMMUTATOR = OPERATOR(@extschema@.<), NEGATOR = OPERATOR(@extschema@.<=),
	RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR @extschema@.> (@extschema@.gpt_model_version, @extschema@.gpt_model_version) IS 'greater than';

CREATE OPERATOR CLASS @extschema@.gpt_model_version_ops DEFAULT FOR TYPE @extschema@.gpt_model_version USING btree AS
	OPERATOR 1 @extschema@.<, OPERATOR 2 @extschema@.<=, OPERATOR 3 @extschema@.=, OPERATOR 4 @extschema@.>=, OPERATOR 5 @extschema@.>,
	FUNCTION 1 @extschema@.gpt_model_version_cmp(@extschema@.gpt_model_version, @extschema@.gpt_model_version),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS @extschema@.gpt_model_version_ops USING btree IS 'order by name, then by number';
CREATE OPERATOR CLASS @extschema@.gpt_model_version_ops DEFAULT FOR TYPE @extschema@.gpt_model_version USING hash AS
	OPERATOR 1 @extschema@.=,
	FUNCTION 1 @extschema@.gpt_model_version_hash(@extschema@.gpt_model_version),
	FUNCTION 2 @extschema@.gpt_model_version_hash_extended(@extschema@.gpt_model_version, bigint);
COMMENT ON OPERATOR CLASS @extschema@.gpt_model_version_ops USING hash IS 'equality';

CREATE FUNCTION @extschema@.gpt_score(model @extschema@.gpt_model_version, input text, metric text DEFAULT 'perplexity',
		include_end boolean DEFAULT false) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_score' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_score(@extschema@.gpt_model_version, text, text, boolean) IS
	'scores a text by perplexity, logprob, mean_logprob, bits_per_byte, max_surprise or tokens; with include_end its end counts as a further token';

CREATE FUNCTION @extschema@.gpt_logprob(model @extschema@.gpt_model_version, prompt text, completion text,
		include_end boolean DEFAULT true) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_logprob' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_logprob(@extschema@.gpt_model_version, text, text, boolean) IS
	'returns the log probability of a completion and its end after a prompt';

CREATE FUNCTION @extschema@.gpt_generate(model @extschema@.gpt_model_version, prompt text, max_tokens integer DEFAULT 64,
		temperature float8 DEFAULT 0.8, top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0,
		repetition_penalty float8 DEFAULT 1, stop @extschema@.gpt_texts DEFAULT NULL, seed bigint DEFAULT 0, beams integer DEFAULT 1,
		length_penalty float8 DEFAULT 0.6, presence_penalty float8 DEFAULT 0, frequency_penalty float8 DEFAULT 0,
		logit_bias jsonb DEFAULT NULL, banned @extschema@.gpt_texts DEFAULT NULL, choices text[] DEFAULT NULL, pattern text DEFAULT NULL,
		schema jsonb DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_generate' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_generate(@extschema@.gpt_model_version, text, integer, float8, integer, float8, float8, float8, @extschema@.gpt_texts, bigint, integer, float8, float8, float8, jsonb, @extschema@.gpt_texts, text[], text, jsonb) IS
	'continues a prompt, with seed 0 unless another one is given; returns the continuation only';

CREATE FUNCTION @extschema@.gpt_highlight(model @extschema@.gpt_model_version, input text, method text DEFAULT 'auto',
		style text DEFAULT 'brackets') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_highlight' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_highlight(@extschema@.gpt_model_version, text, text, text) IS
	'returns a text with marks at the words that surprise a language model, or that decide the answer of another one';

CREATE FUNCTION @extschema@.gpt_classify(model @extschema@.gpt_model_version, input text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(@extschema@.gpt_model_version, text) IS
	'returns the label that a classifier gives to a text; a multi-label classifier returns its labels as the text of a text[]';

CREATE FUNCTION @extschema@.gpt_classify_probs(model @extschema@.gpt_model_version, input text, OUT label text,
		OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_classify_probs' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 10
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify_probs(@extschema@.gpt_model_version, text) IS
	'returns all labels of a classifier with their probabilities for a text, the most probable first';

CREATE FUNCTION @extschema@.gpt_predict(model @extschema@.gpt_model_version, input text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(@extschema@.gpt_model_version, text) IS
	'returns the number that a model, trained on texts with real numbers as labels, expects of a text';

CREATE FUNCTION @extschema@.gpt_classify(model @extschema@.gpt_model_version, input text, other text) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(@extschema@.gpt_model_version, text, text) IS
	'returns the label that a classifier of pairs gives to two texts together';

CREATE FUNCTION @extschema@.gpt_classify_probs(model @extschema@.gpt_model_version, input text, other text, OUT label text,
		OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_classify_probs' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000 ROWS 10
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify_probs(@extschema@.gpt_model_version, text, text) IS
	'returns all labels of a classifier of pairs with their probabilities for two texts together, the most probable first';

CREATE FUNCTION @extschema@.gpt_predict(model @extschema@.gpt_model_version, input text, other text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(@extschema@.gpt_model_version, text, text) IS
	'returns the number that a model of pairs expects of two texts together';

CREATE FUNCTION @extschema@.gpt_choose(model @extschema@.gpt_model_version, prompt text, choices text[], domain text DEFAULT '',
		subtract boolean DEFAULT true, per text DEFAULT 'choice') RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_choose' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_choose(@extschema@.gpt_model_version, text, text[], text, boolean, text) IS
	'returns the choice that fits a prompt best: the one whose likelihood the prompt raises most';

CREATE FUNCTION @extschema@.gpt_choose_probs(model @extschema@.gpt_model_version, prompt text, choices text[], domain text DEFAULT '',
		subtract boolean DEFAULT true, per text DEFAULT 'choice', OUT choice text, OUT probability real) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_choose_probs' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 ROWS 10
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_choose_probs(@extschema@.gpt_model_version, text, text[], text, boolean, text) IS
	'returns the choices with the probabilities that they fit a prompt, the most probable first';

CREATE FUNCTION @extschema@.gpt_embed(model @extschema@.gpt_model_version, input text, pooling text DEFAULT 'auto',
		normalized boolean DEFAULT true) RETURNS real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_embed(@extschema@.gpt_model_version, text, text, boolean) IS
	'returns a text as a vector for search; or the hidden states of its tokens, pooled';

CREATE FUNCTION @extschema@.gpt_similarity(model @extschema@.gpt_model_version, a text, b text) RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_similarity' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 200000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_similarity(@extschema@.gpt_model_version, text, text) IS
	'returns how alike two texts are: the cosine of their embeddings';

CREATE FUNCTION @extschema@.gpt_score(model @extschema@.gpt_model_version, input text[], metric text DEFAULT 'perplexity',
		include_end boolean DEFAULT false) RETURNS float8[]
	AS 'MODULE_PATHNAME', 'gpt_score' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_score(@extschema@.gpt_model_version, text[], text, boolean) IS
	'scores many texts together; the results are those of single calls';

CREATE FUNCTION @extschema@.gpt_classify(model @extschema@.gpt_model_version, input text[]) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(@extschema@.gpt_model_version, text[]) IS
	'returns the labels that a classifier gives to many texts';

CREATE FUNCTION @extschema@.gpt_classify(model @extschema@.gpt_model_version, input text, threshold float8) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(@extschema@.gpt_model_version, text, float8) IS
	'returns the label that a classifier gives to a text, or NULL if its probability is below the threshold';

CREATE FUNCTION @extschema@.gpt_classify(model @extschema@.gpt_model_version, input text[], threshold float8) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_classify' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_classify(@extschema@.gpt_model_version, text[], float8) IS
	'returns the labels that a classifier gives to many texts, with NULL for each whose probability is below the threshold';

CREATE FUNCTION @extschema@.gpt_predict(model @extschema@.gpt_model_version, input text[]) RETURNS float8[]
	AS 'MODULE_PATHNAME', 'gpt_predict' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_predict(@extschema@.gpt_model_version, text[]) IS
	'returns the numbers that a model expects of many texts';

CREATE FUNCTION @extschema@.gpt_embed(model @extschema@.gpt_model_version, input text[], pooling text DEFAULT 'auto',
		normalized boolean DEFAULT true) RETURNS SETOF real[]
	AS 'MODULE_PATHNAME', 'gpt_embed' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 ROWS 100
	SUPPORT @extschema@.gpt_support;
COMMENT ON FUNCTION @extschema@.gpt_embed(@extschema@.gpt_model_version, text[], text, boolean) IS
	'returns many texts as vectors: a row for each element, in their order';

CREATE FUNCTION @extschema@.gpt_tokenize(model @extschema@.gpt_model_version, input text) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'gpt_tokenize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_tokenize(@extschema@.gpt_model_version, text) IS
	'returns the token ids of a text';

CREATE FUNCTION @extschema@.gpt_detokenize(model @extschema@.gpt_model_version, tokens integer[]) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_detokenize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_detokenize(@extschema@.gpt_model_version, integer[]) IS
	'returns the text of token ids';

CREATE FUNCTION @extschema@.gpt_count_tokens(model @extschema@.gpt_model_version, input text) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_count_tokens' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_count_tokens(@extschema@.gpt_model_version, text) IS
	'returns the number of tokens of a text';

CREATE FUNCTION @extschema@.gpt_tokenize(model @extschema@.gpt_model_version, input text, special boolean) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'gpt_tokenize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_tokenize(@extschema@.gpt_model_version, text, boolean) IS
	'returns the token ids of a text; if special is true, names of special tokens in it become those tokens';

CREATE FUNCTION @extschema@.gpt_count_tokens(model @extschema@.gpt_model_version, input text, special boolean) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_count_tokens' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_count_tokens(@extschema@.gpt_model_version, text, boolean) IS
	'returns the number of tokens of a text; if special is true, names of special tokens in it become those tokens';

CREATE FUNCTION @extschema@.gpt_token_text(model @extschema@.gpt_model_version, token integer) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_token_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.gpt_token_text(@extschema@.gpt_model_version, integer) IS
	'returns what a token spells, with bytes of incomplete characters as <0xE4>, or the name of a special token';

CREATE FUNCTION @extschema@.gpt_token_text(model @extschema@.gpt_model_version, tokens integer[]) RETURNS text[]
	AS 'MODULE_PATHNAME', 'gpt_token_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_token_text(@extschema@.gpt_model_version, integer[]) IS
	'returns what each token of an array spells, or its name';

-- A column kept up to date

CREATE TABLE @extschema@.gpt_maintenance (
	maintenance bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relation pg_catalog.regclass NOT NULL,
	attribute smallint NOT NULL,
	keys smallint[] NOT NULL,
	reads smallint[] NOT NULL,
	column_name text NOT NULL,
	key_names text[] NOT NULL,
	read_names text[] NOT NULL,
	owner oid NOT NULL,
	system_identifier bigint NOT NULL,
	database oid NOT NULL,
	failed boolean NOT NULL DEFAULT false,
	expression text NOT NULL,
	tree text NOT NULL,
	options jsonb NOT NULL,
	settings jsonb NOT NULL,
	generation integer NOT NULL DEFAULT 1,
	filled boolean NOT NULL DEFAULT false,
	last_key text,
	rows bigint NOT NULL DEFAULT 0,
	starts integer NOT NULL DEFAULT 0,
	tries integer NOT NULL DEFAULT 0,
	retry_at timestamptz,
	error text,
	failed_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 50);
CREATE INDEX gpt_maintenance_relation_idx ON @extschema@.gpt_maintenance (relation);
COMMENT ON TABLE @extschema@.gpt_maintenance IS 'columns that gpt_maintain keeps up to date';

CREATE TABLE @extschema@.gpt_mark (
	mark bigint PRIMARY KEY,
	maintenance bigint NOT NULL,
	phase smallint NOT NULL,
	key text COLLATE pg_catalog."C" NOT NULL,
	marked_at timestamptz NOT NULL,
	tries integer NOT NULL,
	retry_at timestamptz,
	error text,
	failed_at timestamptz
);
CREATE INDEX gpt_mark_phase_idx ON @extschema@.gpt_mark (maintenance, phase, mark);
CREATE INDEX gpt_mark_key_idx ON @extschema@.gpt_mark USING hash (key);
CREATE SEQUENCE @extschema@.gpt_mark_mark_seq OWNED BY @extschema@.gpt_mark.mark;
COMMENT ON TABLE @extschema@.gpt_mark IS
	'rows of maintained columns that wait for their value (phase 0), for another try (1), that failed (2), or that have their value before the filling reaches them (3)';

REVOKE ALL ON @extschema@.gpt_maintenance, @extschema@.gpt_mark FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_maintenance', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_maintenance_maintenance_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_mark', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_mark_mark_seq', '');

CREATE FUNCTION @extschema@.gpt_maintain(target pg_catalog.regclass, column_name text, expression text, options jsonb DEFAULT '{}') RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_maintain' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_maintain(pg_catalog.regclass, text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_maintain(pg_catalog.regclass, text, text, jsonb) IS
	'keeps a column of a table at the value of an expression of its other columns, by a background worker; returns the number of the maintenance';

CREATE FUNCTION @extschema@.gpt_unmaintain(target pg_catalog.regclass, column_name text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_unmaintain' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_unmaintain(pg_catalog.regclass, text) IS
	'ends the maintenance of a column, which keeps its values; false where it was not maintained';

CREATE FUNCTION @extschema@.gpt_maintain_run() RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_maintain_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_maintain_run() IS
	'starts the workers of maintained columns that have work and no worker, and those that failed again; returns the number of columns that have work';

CREATE FUNCTION @extschema@.gpt_maintain_wait(target pg_catalog.regclass, column_name text, timeout interval DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_maintain_wait' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_maintain_wait(pg_catalog.regclass, text, interval) IS
	'waits until no row of a maintained column waits for its value, or for the time given; returns whether that is so';

CREATE FUNCTION @extschema@.gpt_maintain_trigger() RETURNS trigger
	AS 'MODULE_PATHNAME', 'gpt_maintain_trigger' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.gpt_maintain_trigger() IS 'marks the rows of a maintained column that a statement has changed';

CREATE VIEW @extschema@.gpt_maintained WITH (security_barrier) AS
	SELECT m.relation, COALESCE(a.attname, m.column_name) AS column_name, m.expression,
		CASE WHEN l.here THEN pg_catalog.pg_get_userbyid(m.owner) END AS owner,
		CASE WHEN NOT l.here THEN 'copied' WHEN m.failed THEN 'failed' WHEN m.retry_at IS NOT NULL THEN 'failing' WHEN NOT m.filled THEN 'filling'
			WHEN w.waiting OPERATOR(pg_catalog.>) 0 THEN 'behind' ELSE 'current' END AS state,
		w.waiting, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) w.oldest AS lag, w.errors, m.rows,
		COALESCE(m.error, e.error) AS last_error, COALESCE(m.failed_at, e.failed_at) AS last_error_at, m.options, m.created_at
	FROM @extschema@.gpt_maintenance m
		JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.relation::pg_catalog.oid
		CROSS JOIN LATERAL (SELECT @extschema@.gpt_job_owner(m.owner, m.system_identifier) OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
			AND m.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
				WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AS here) l
		LEFT JOIN pg_catalog.pg_attribute a ON l.here AND a.attrelid OPERATOR(pg_catalog.=) m.relation::pg_catalog.oid
			AND a.attnum OPERATOR(pg_catalog.=) m.attribute
		CROSS JOIN LATERAL (SELECT pg_catalog.count(DISTINCT k.key) FILTER (WHERE k.phase OPERATOR(pg_catalog.<) 2) AS waiting,
			pg_catalog.min(k.marked_at) FILTER (WHERE k.phase OPERATOR(pg_catalog.<) 2) AS oldest,
			pg_catalog.count(DISTINCT k.key) FILTER (WHERE k.error IS NOT NULL) AS errors
			FROM @extschema@.gpt_mark k WHERE k.maintenance OPERATOR(pg_catalog.=) m.maintenance
				AND k.phase OPERATOR(pg_catalog.<) 3) w
		LEFT JOIN LATERAL (SELECT k.error, k.failed_at FROM @extschema@.gpt_mark k WHERE k.maintenance OPERATOR(pg_catalog.=) m.maintenance
			AND k.phase OPERATOR(pg_catalog.=) ANY (ARRAY[1, 2]) AND k.error IS NOT NULL ORDER BY k.failed_at DESC LIMIT 1) e ON true
	WHERE a.attisdropped IS NOT TRUE AND (pg_catalog.pg_has_role(c.relowner, 'USAGE')
		OR pg_catalog.pg_has_role(@extschema@.gpt_job_owner(m.owner, m.system_identifier), 'USAGE'));
COMMENT ON VIEW @extschema@.gpt_maintained IS 'columns that gpt_maintain keeps up to date, of tables and roles whose privileges the current role has';
COMMENT ON COLUMN @extschema@.gpt_maintained.relation IS 'the table';
COMMENT ON COLUMN @extschema@.gpt_maintained.column_name IS 'the column';
COMMENT ON COLUMN @extschema@.gpt_maintained.expression IS 'the expression that gives its value';
COMMENT ON COLUMN @extschema@.gpt_maintained.owner IS 'the role that evaluates it; NULL for a copy';
COMMENT ON COLUMN @extschema@.gpt_maintained.state IS
	'filling: existing rows are not all done; behind: changed rows wait; current: none does; failing: an error stops all rows, and a worker tries again; failed: it does not any more; copied: restored or replicated from elsewhere, call gpt_maintain again';
COMMENT ON COLUMN @extschema@.gpt_maintained.waiting IS 'changed rows that wait for their value, or for another try';
COMMENT ON COLUMN @extschema@.gpt_maintained.lag IS 'for how long the oldest of them has waited';
COMMENT ON COLUMN @extschema@.gpt_maintained.errors IS 'rows whose last try failed';
COMMENT ON COLUMN @extschema@.gpt_maintained.rows IS 'values that were computed so far';
COMMENT ON COLUMN @extschema@.gpt_maintained.last_error IS 'the last error';
COMMENT ON COLUMN @extschema@.gpt_maintained.last_error_at IS 'when it occurred';
COMMENT ON COLUMN @extschema@.gpt_maintained.options IS 'options as given';
COMMENT ON COLUMN @extschema@.gpt_maintained.created_at IS 'when gpt_maintain was first called for the column';

CREATE VIEW @extschema@.gpt_maintain_errors WITH (security_barrier) AS
	SELECT m.relation, COALESCE(a.attname, m.column_name) AS column_name, k.key, k.error, k.tries, k.failed_at, k.retry_at
	FROM @extschema@.gpt_maintenance m
		JOIN @extschema@.gpt_mark k ON k.maintenance OPERATOR(pg_catalog.=) m.maintenance
		JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.relation::pg_catalog.oid
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.relation::pg_catalog.oid
			AND a.attnum OPERATOR(pg_catalog.=) m.attribute
	WHERE k.error IS NOT NULL AND (pg_catalog.pg_has_role(c.relowner, 'USAGE')
		OR pg_catalog.pg_has_role(@extschema@.gpt_job_owner(m.owner, m.system_identifier), 'USAGE'));
COMMENT ON VIEW @extschema@.gpt_maintain_errors IS 'rows of maintained columns whose last try failed';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.relation IS 'the table';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.column_name IS 'the column';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.key IS 'key of the row as text; of several columns, as the text of a text[]';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.error IS 'the error';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.tries IS 'tries so far';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.failed_at IS 'when it occurred';
COMMENT ON COLUMN @extschema@.gpt_maintain_errors.retry_at IS 'when the next try is due; NULL: there is none before the row changes or gpt_maintain is called again';

GRANT SELECT ON @extschema@.gpt_maintained, @extschema@.gpt_maintain_errors TO PUBLIC;

-- Members of a training over servers: functions that its coordinator calls

CREATE FUNCTION @extschema@.gpt_member_begin(spec jsonb) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'gpt_member_begin' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_begin(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_begin(jsonb) IS
	'makes the session a member of a training over servers; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_counts() RETURNS SETOF bytea
	AS 'MODULE_PATHNAME', 'gpt_member_counts' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_counts() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_counts() IS
	'returns the survey of the rows of a member of a training over servers, in pieces; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_put(part text, "offset" bigint, bytes bytea) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_member_put' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_put(text, bigint, bytea) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_put(text, bigint, bytea) IS
	'sends a piece of the tokenizer, tokens, checkpoint or update to a member of a training over servers; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_take(part text, sha256 bytea, options jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'gpt_member_take' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_take(text, bytea, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_take(text, bytea, jsonb) IS
	'verifies what was sent to a member of a training over servers, and uses it; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_run(first_step bigint, steps bigint, epoch integer, mesh jsonb DEFAULT NULL,
		share float8 DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'gpt_member_run' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_run(bigint, bigint, integer, jsonb, float8) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_run(bigint, bigint, integer, jsonb, float8) IS
	'makes steps of a training over servers in a member of it; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_delta("offset" bigint, length integer) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_member_delta' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_delta(bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_delta(bigint, integer) IS
	'returns a piece of what a member of a training over servers has learnt in its last round; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_mesh(epoch integer) RETURNS bytea
	AS 'MODULE_PATHNAME', 'gpt_member_mesh' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_mesh(integer) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_mesh(integer) IS
	'opens the gradient channel of a member of a training over servers, and returns its address; its coordinator calls this';

CREATE FUNCTION @extschema@.gpt_member_end() RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_member_end' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_member_end() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_member_end() IS
	'ends the membership of the session in a training over servers; its coordinator calls this';

-- Other servers

CREATE FUNCTION @extschema@.gpt_distribute(model text, servers text[], OUT server text, OUT version text, OUT bytes bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_distribute' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_distribute(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_distribute(text, text[]) IS
	'sends a version of a model to foreign servers, under the same name and number; returns what was sent';

CREATE FUNCTION @extschema@.gpt_distribute_put("offset" bigint, bytes bytea) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_distribute_put' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_distribute_put(bigint, bytea) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_distribute_put(bigint, bytea) IS
	'called by gpt_distribute of another server: takes the next bytes of a version';

CREATE FUNCTION @extschema@.gpt_distribute_take(facts jsonb) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_distribute_take' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_distribute_take(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_distribute_take(jsonb) IS
	'called by gpt_distribute of another server: publishes the version that has arrived; returns its number, or NULL if its bytes are missing';
