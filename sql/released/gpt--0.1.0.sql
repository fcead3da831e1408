/* sql/gpt.sql: the one source of the install script. Calls and objects are schema-qualified by @extschema@. */
\echo Use "CREATE EXTENSION gpt" to load this file. \quit

-- Tables. Nothing here is granted: functions in C write, and the views below show to each role what it may see.
-- C code reads models, versions and tokenizers by column number (src/catalog.c): new columns come last. Names
-- have collation "C", so that their indexes do not depend on the C library.

CREATE TABLE @extschema@.gpt_tokenizer (
	sha256 bytea NOT NULL,
	object oid NOT NULL,
	size bigint NOT NULL,
	kind text NOT NULL,
	vocabulary integer NOT NULL,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (sha256, object)
);
COMMENT ON TABLE @extschema@.gpt_tokenizer IS
	'tokenizers: immutable large objects in the form of tokenizer.json, by content; a role that stores one has a copy of its own';

CREATE TABLE @extschema@.gpt_tokenizer_name (
	name text COLLATE pg_catalog."C" PRIMARY KEY,
	sha256 bytea NOT NULL,
	owner oid NOT NULL,
	object oid NOT NULL
);
COMMENT ON TABLE @extschema@.gpt_tokenizer_name IS 'names bound to tokenizers';

CREATE TABLE @extschema@.gpt_model (
	model text COLLATE pg_catalog."C" PRIMARY KEY,
	version integer,
	last_version integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.gpt_model IS 'models: a name, its current version and the last number given';

CREATE TABLE @extschema@.gpt_version (
	model text COLLATE pg_catalog."C" NOT NULL,
	version integer NOT NULL,
	state text NOT NULL CHECK (state IN ('partial', 'final')),
	run_id uuid NOT NULL,
	weights oid NOT NULL,
	size bigint NOT NULL,
	sha256 bytea NOT NULL,
	tokenizer bytea NOT NULL,
	config jsonb NOT NULL,
	parameters bigint NOT NULL,
	loss float8,
	validation_loss float8,
	validation_bits_per_byte float8,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (model, version)
);
COMMENT ON TABLE @extschema@.gpt_version IS 'versions of models: one immutable large object (safetensors) and one row each';

CREATE TABLE @extschema@.gpt_job (
	job bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('train')),
	state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	owner oid NOT NULL,
	query text NOT NULL,
	options jsonb NOT NULL,
	settings jsonb NOT NULL,
	run_id uuid NOT NULL,
	system_identifier bigint NOT NULL,
	database oid NOT NULL,
	step bigint NOT NULL DEFAULT 0,
	steps bigint,
	documents bigint,
	skipped bigint,
	bytes bigint,
	corpus_tokens bigint,
	tries integer NOT NULL DEFAULT 0,
	error text,
	note text,
	conditions jsonb,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	started_at timestamptz,
	finished_at timestamptz
);
COMMENT ON TABLE @extschema@.gpt_job IS 'training jobs: the truth about what was asked for and how it ended';

CREATE UNLOGGED TABLE @extschema@.gpt_progress (
	job bigint PRIMARY KEY,
	pid integer NOT NULL,
	phase text NOT NULL,
	step bigint NOT NULL DEFAULT 0,
	steps bigint,
	loss float8,
	validation_loss float8,
	validation_bits_per_byte float8,
	tokens_per_second float8,
	seconds_left float8,
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.gpt_progress IS 'progress of running jobs, written by their workers alone';

CREATE TABLE @extschema@.gpt_job_log (
	job bigint NOT NULL,
	step bigint NOT NULL,
	loss float8,
	validation_loss float8,
	validation_bits_per_byte float8,
	learning_rate float8,
	grad_norm float8,
	tokens_per_second float8,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (job, step)
);
COMMENT ON TABLE @extschema@.gpt_job_log IS 'losses of training jobs, a row every few seconds';

REVOKE ALL ON @extschema@.gpt_tokenizer, @extschema@.gpt_tokenizer_name, @extschema@.gpt_model,
	@extschema@.gpt_version, @extschema@.gpt_job, @extschema@.gpt_progress, @extschema@.gpt_job_log FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_tokenizer', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_tokenizer_name', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_model', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_version', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_job', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_job_job_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.gpt_job_log', '');

-- Train

CREATE FUNCTION @extschema@.gpt_train(model text, query text, options jsonb DEFAULT '{}') RETURNS bigint
	AS 'MODULE_PATHNAME', 'gpt_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_train(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_train(text, text, jsonb) IS
	'queues the training of a new model on the rows of a query; returns the number of the job';

CREATE FUNCTION @extschema@.gpt_wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_wait' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_wait(bigint, interval) IS
	'waits until a job has ended, or for the time given; returns its state';

CREATE FUNCTION @extschema@.gpt_cancel(job bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_cancel(bigint) IS
	'cancels a queued or running job; false when it has already ended';

CREATE FUNCTION @extschema@.gpt_resume(job bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_resume' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_resume(bigint) IS
	'starts the worker of a queued or interrupted job again; false when there is nothing to do';

CREATE FUNCTION @extschema@.gpt_options(function text DEFAULT 'gpt_train', OUT option text, OUT type text, OUT default_value text,
		OUT minimum text, OUT maximum text, OUT description text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gpt_options' LANGUAGE C STABLE PARALLEL SAFE ROWS 50;
COMMENT ON FUNCTION @extschema@.gpt_options(text) IS 'lists the options that a training function takes';

-- Generate and score

CREATE FUNCTION @extschema@.gpt_generate(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT 0.8,
		top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty float8 DEFAULT 1,
		stop text[] DEFAULT NULL, seed bigint DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_generate' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.gpt_generate(text, text, integer, float8, integer, float8, float8, float8, text[], bigint) IS
	'continues a prompt; returns the continuation only';

CREATE FUNCTION @extschema@.gpt_score(model text, input text, metric text DEFAULT 'perplexity') RETURNS float8
	AS 'MODULE_PATHNAME', 'gpt_score' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.gpt_score(text, text, text) IS
	'scores a text: perplexity, logprob, mean_logprob, bits_per_byte, max_surprise or tokens';

-- Text

CREATE FUNCTION @extschema@.gpt_tokenize(model_or_tokenizer text, input text) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'gpt_tokenize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_tokenize(text, text) IS 'token ids of a text';

CREATE FUNCTION @extschema@.gpt_detokenize(model_or_tokenizer text, tokens integer[]) RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_detokenize' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_detokenize(text, integer[]) IS 'the text of token ids';

CREATE FUNCTION @extschema@.gpt_count_tokens(model_or_tokenizer text, input text) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_count_tokens' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION @extschema@.gpt_count_tokens(text, text) IS 'how many tokens a text has';

CREATE FUNCTION @extschema@.gpt_train_tokenizer(name text, query text, vocabulary integer DEFAULT 4096, options jsonb DEFAULT '{}')
		RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_train_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION @extschema@.gpt_train_tokenizer(text, text, integer, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.gpt_train_tokenizer(text, text, integer, jsonb) IS
	'trains a byte-level BPE tokenizer on the texts of a query, at once; returns the size of its vocabulary';

CREATE FUNCTION @extschema@.gpt_import_tokenizer(name text, "json" text) RETURNS integer
	AS 'MODULE_PATHNAME', 'gpt_import_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_import_tokenizer(text, text) IS
	'stores a tokenizer.json under a name; returns the size of its vocabulary';

CREATE FUNCTION @extschema@.gpt_drop_tokenizer(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_drop_tokenizer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_drop_tokenizer(text) IS
	'removes the name of a tokenizer, and the tokenizer where no model uses it';

-- Manage

CREATE FUNCTION @extschema@.gpt_drop_model(model text) RETURNS void
	AS 'MODULE_PATHNAME', 'gpt_drop_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.gpt_drop_model(text) IS 'removes a model with all its versions';

CREATE FUNCTION @extschema@.gpt_version() RETURNS text
	AS 'MODULE_PATHNAME', 'gpt_version' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_version() IS 'version of the library, its kernels and its matrix library';

CREATE FUNCTION @extschema@.gpt_can_use(object oid, run_id uuid DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'gpt_can_use' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_can_use(oid, uuid) IS
	'whether the large object of a model exists, is of that run, and the current role may use it';

CREATE FUNCTION @extschema@.gpt_object_owner(object oid) RETURNS oid
	AS 'MODULE_PATHNAME', 'gpt_object_owner' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.gpt_object_owner(oid) IS 'owner of a large object, NULL where it does not exist';

CREATE FUNCTION @extschema@.gpt_drop_extension_trigger() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'gpt_drop_extension_trigger' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.gpt_drop_extension_trigger() IS 'unlinks the large objects of models before the extension is dropped';

CREATE EVENT TRIGGER gpt_drop_extension ON ddl_command_start WHEN TAG IN ('DROP EXTENSION')
	EXECUTE FUNCTION @extschema@.gpt_drop_extension_trigger();
COMMENT ON EVENT TRIGGER gpt_drop_extension IS 'unlinks the large objects of models before the extension is dropped';

CREATE FUNCTION @extschema@.gpt_progress_rows() RETURNS SETOF @extschema@.gpt_progress
	AS 'MODULE_PATHNAME', 'gpt_progress_rows' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION @extschema@.gpt_progress_rows() IS
	'progress of running jobs of the roles whose privileges the current role has; no rows on a standby';

-- Watch

CREATE VIEW @extschema@.gpt_versions WITH (security_barrier) AS
	SELECT v.model, v.version, pg_catalog.pg_get_userbyid(@extschema@.gpt_object_owner(v.weights)) AS owner,
		(v.config ->> 'architecture')::text AS architecture, v.parameters, (v.config ->> 'context')::integer AS context,
		(v.config ->> 'vocabulary')::integer AS vocabulary,
		COALESCE((SELECT pg_catalog.min(n.name) FROM @extschema@.gpt_tokenizer_name n WHERE n.sha256 OPERATOR(pg_catalog.=) v.tokenizer),
			(SELECT pg_catalog.min(t.kind) FROM @extschema@.gpt_tokenizer t
				WHERE t.sha256 OPERATOR(pg_catalog.=) v.tokenizer AND t.kind OPERATOR(pg_catalog.=) 'bytes')) AS tokenizer,
		v.loss, v.validation_loss, v.validation_bits_per_byte, v.size, v.weights, v.created_at, v.state
	FROM @extschema@.gpt_version v
	WHERE @extschema@.gpt_can_use(v.weights, v.run_id);
COMMENT ON VIEW @extschema@.gpt_versions IS 'all versions of the models that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_versions.model IS 'name of the model';
COMMENT ON COLUMN @extschema@.gpt_versions.version IS 'number of the version, counted from 1';
COMMENT ON COLUMN @extschema@.gpt_versions.owner IS 'role that owns the weights';
COMMENT ON COLUMN @extschema@.gpt_versions.architecture IS 'gpt2 where other tools read the weights as GPT-2, else gpt';
COMMENT ON COLUMN @extschema@.gpt_versions.parameters IS 'numbers that were trained';
COMMENT ON COLUMN @extschema@.gpt_versions.context IS 'tokens that the model can look back on';
COMMENT ON COLUMN @extschema@.gpt_versions.vocabulary IS 'tokens that the model knows';
COMMENT ON COLUMN @extschema@.gpt_versions.tokenizer IS 'name of its tokenizer, where it has one';
COMMENT ON COLUMN @extschema@.gpt_versions.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_versions.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_versions.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_versions.size IS 'bytes of the weights';
COMMENT ON COLUMN @extschema@.gpt_versions.weights IS 'large object of the weights, a safetensors file';
COMMENT ON COLUMN @extschema@.gpt_versions.created_at IS 'when it was published';
COMMENT ON COLUMN @extschema@.gpt_versions.state IS 'final, or partial while its run goes on';

CREATE VIEW @extschema@.gpt_models WITH (security_barrier) AS
	SELECT v.model, v.version, v.owner, v.architecture, v.parameters, v.context, v.vocabulary, v.tokenizer, v.loss,
		v.validation_loss, v.validation_bits_per_byte, v.size, v.weights, v.created_at
	FROM @extschema@.gpt_versions v
		JOIN @extschema@.gpt_model m ON m.model OPERATOR(pg_catalog.=) v.model AND m.version OPERATOR(pg_catalog.=) v.version;
COMMENT ON VIEW @extschema@.gpt_models IS 'the current versions of the models that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_models.model IS 'name of the model';
COMMENT ON COLUMN @extschema@.gpt_models.version IS 'number of the version, counted from 1';
COMMENT ON COLUMN @extschema@.gpt_models.owner IS 'role that owns the weights';
COMMENT ON COLUMN @extschema@.gpt_models.architecture IS 'gpt2 where other tools read the weights as GPT-2, else gpt';
COMMENT ON COLUMN @extschema@.gpt_models.parameters IS 'numbers that were trained';
COMMENT ON COLUMN @extschema@.gpt_models.context IS 'tokens that the model can look back on';
COMMENT ON COLUMN @extschema@.gpt_models.vocabulary IS 'tokens that the model knows';
COMMENT ON COLUMN @extschema@.gpt_models.tokenizer IS 'name of its tokenizer, where it has one';
COMMENT ON COLUMN @extschema@.gpt_models.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_models.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_models.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_models.size IS 'bytes of the weights';
COMMENT ON COLUMN @extschema@.gpt_models.weights IS 'large object of the weights, a safetensors file';
COMMENT ON COLUMN @extschema@.gpt_models.created_at IS 'when it was published';

CREATE VIEW @extschema@.gpt_tokenizers WITH (security_barrier) AS
	SELECT n.name AS tokenizer, pg_catalog.pg_get_userbyid(n.owner) AS owner, t.kind, t.vocabulary, t.size,
		pg_catalog.encode(t.sha256, 'hex') AS sha256, t.object, t.created_at
	FROM @extschema@.gpt_tokenizer_name n JOIN @extschema@.gpt_tokenizer t
		ON t.sha256 OPERATOR(pg_catalog.=) n.sha256 AND t.object OPERATOR(pg_catalog.=) n.object
	WHERE @extschema@.gpt_can_use(t.object);
COMMENT ON VIEW @extschema@.gpt_tokenizers IS 'the named tokenizers that the current role may use';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.tokenizer IS 'name';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.owner IS 'role that bound the name';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.kind IS 'bpe, bytes or chars';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.vocabulary IS 'tokens';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.size IS 'bytes of the description';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.sha256 IS 'hash of the description';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.object IS 'large object of the description, a tokenizer.json';
COMMENT ON COLUMN @extschema@.gpt_tokenizers.created_at IS 'when it was stored';

CREATE VIEW @extschema@.gpt_jobs WITH (security_barrier) AS
	SELECT j.job, j.model, j.kind, j.state, pg_catalog.pg_get_userbyid(j.owner) AS owner,
		CASE WHEN j.state OPERATOR(pg_catalog.=) 'running' THEN COALESCE(p.step, j.step) ELSE j.step END AS step,
		COALESCE(j.steps, p.steps) AS steps, j.documents, j.skipped, j.bytes, j.corpus_tokens, j.tries, j.error,
		j.created_at, j.started_at, j.finished_at, j.note, j.query, j.options, j.conditions
	FROM @extschema@.gpt_job j LEFT JOIN @extschema@.gpt_progress_rows() p ON p.job OPERATOR(pg_catalog.=) j.job
	WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW @extschema@.gpt_jobs IS 'jobs of the roles whose privileges the current role has';
COMMENT ON COLUMN @extschema@.gpt_jobs.job IS 'number of the job';
COMMENT ON COLUMN @extschema@.gpt_jobs.model IS 'name of the model that it makes';
COMMENT ON COLUMN @extschema@.gpt_jobs.kind IS 'what it does: train';
COMMENT ON COLUMN @extschema@.gpt_jobs.state IS 'queued, running, succeeded, failed or cancelled';
COMMENT ON COLUMN @extschema@.gpt_jobs.owner IS 'role that it runs as';
COMMENT ON COLUMN @extschema@.gpt_jobs.step IS 'steps done';
COMMENT ON COLUMN @extschema@.gpt_jobs.steps IS 'steps planned';
COMMENT ON COLUMN @extschema@.gpt_jobs.documents IS 'rows with a text that were read';
COMMENT ON COLUMN @extschema@.gpt_jobs.skipped IS 'rows without a text';
COMMENT ON COLUMN @extschema@.gpt_jobs.bytes IS 'bytes of text';
COMMENT ON COLUMN @extschema@.gpt_jobs.corpus_tokens IS 'tokens of the corpus';
COMMENT ON COLUMN @extschema@.gpt_jobs.tries IS 'how often a worker began';
COMMENT ON COLUMN @extschema@.gpt_jobs.error IS 'why it failed';
COMMENT ON COLUMN @extschema@.gpt_jobs.created_at IS 'when it was submitted';
COMMENT ON COLUMN @extschema@.gpt_jobs.started_at IS 'when a worker first began';
COMMENT ON COLUMN @extschema@.gpt_jobs.finished_at IS 'when it ended';
COMMENT ON COLUMN @extschema@.gpt_jobs.note IS 'what else is to be known of it';
COMMENT ON COLUMN @extschema@.gpt_jobs.query IS 'query of the rows';
COMMENT ON COLUMN @extschema@.gpt_jobs.options IS 'options as they were given';
COMMENT ON COLUMN @extschema@.gpt_jobs.conditions IS 'what its result rests on: options as chosen, processor, kernels';

CREATE VIEW @extschema@.gpt_stat_progress_train WITH (security_barrier) AS
	SELECT p.job, p.pid, j.model, p.phase, p.step, p.steps, p.loss, p.validation_loss, p.validation_bits_per_byte,
		p.tokens_per_second, p.seconds_left
	FROM @extschema@.gpt_progress_rows() p JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) p.job
	WHERE j.state OPERATOR(pg_catalog.=) 'running' AND pg_catalog.pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW @extschema@.gpt_stat_progress_train IS 'running jobs: phase, step, losses, speed and seconds left';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.job IS 'number of the job';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.pid IS 'process that runs it';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.model IS 'name of the model that it makes';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.phase IS 'what it is doing';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.step IS 'steps done';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.steps IS 'steps planned';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.tokens_per_second IS 'speed';
COMMENT ON COLUMN @extschema@.gpt_stat_progress_train.seconds_left IS 'estimate of the time that remains';

CREATE VIEW @extschema@.gpt_train_log WITH (security_barrier) AS
	SELECT l.job, l.step, l.loss, l.validation_loss, l.validation_bits_per_byte, l.learning_rate, l.grad_norm,
		l.tokens_per_second, l.at
	FROM @extschema@.gpt_job_log l JOIN @extschema@.gpt_job j ON j.job OPERATOR(pg_catalog.=) l.job
	WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW @extschema@.gpt_train_log IS 'losses of jobs by step, in nats per token; validation columns are NULL on rows without';
COMMENT ON COLUMN @extschema@.gpt_train_log.job IS 'number of the job';
COMMENT ON COLUMN @extschema@.gpt_train_log.step IS 'step';
COMMENT ON COLUMN @extschema@.gpt_train_log.loss IS 'training loss, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_train_log.validation_loss IS 'loss on held-out documents, in nats per token';
COMMENT ON COLUMN @extschema@.gpt_train_log.validation_bits_per_byte IS 'the same in bits per byte of text';
COMMENT ON COLUMN @extschema@.gpt_train_log.learning_rate IS 'learning rate of the step';
COMMENT ON COLUMN @extschema@.gpt_train_log.grad_norm IS 'norm of the gradient before clipping';
COMMENT ON COLUMN @extschema@.gpt_train_log.tokens_per_second IS 'speed';
COMMENT ON COLUMN @extschema@.gpt_train_log.at IS 'when the row was written';

GRANT SELECT ON @extschema@.gpt_models, @extschema@.gpt_versions, @extschema@.gpt_tokenizers, @extschema@.gpt_jobs,
	@extschema@.gpt_stat_progress_train, @extschema@.gpt_train_log TO PUBLIC;
