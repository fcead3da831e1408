/*
 * src/store/catalog_missing.c
 *
 * A name that no model or tokenizer bears goes in; an error comes out that says what is known of
 * it: the versions that there are, the job that makes the model, or the nearest name among those
 * that the current role may use.
 *
 * The rows are read as the extension's owner, so what they say is shown only after the current
 * role's privileges were asked.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "core/compat.h"
#include "core/restoring.h"
#include "core/statement.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/weights.h"

#define MAX_NAME_SIZE 63
#define SHORTEST_NAME 3 /* of shorter ones every other is near: only case may differ */
#define SHARE_OF_LETTERS 3 /* a third of them may differ */

/* NULL: nothing to say. */
typedef struct Known
{
	char *detail;
	char *hint;
} Known;

/* A model or tokenizer whose name may be the nearest. */
typedef struct Candidate
{
	char *name;
	int32 version;
	bool partial;
	Oid object;
	bool is_model;
	pg_uuid_t run_id; /* of a model */
} Candidate;

typedef struct Nearest
{
	const char *name; /* that is looked for */
	int limit; /* a candidate must be nearer than this */
	char *found;
} Nearest;

/* The jobs that make what has the name $1. */
#define MODEL_JOBS "(model = $1 AND base IS DISTINCT FROM $1)"
#define TOKENIZER_JOBS "tokenizer = $1"

static bool (*job_is_pending)(int64 job) = NULL;

static bool describe_versions(Known *known, const char *model);
static bool describe_job(Known *known, const char *name, const char *condition);
static char *partial_version(const char *model);
static void look_among_models(Nearest *nearest);
static void look_among_tokenizers(Nearest *nearest, GptTokenizerWanted wanted);
static Nearest nearest_to(const char *name);
static void consider(Nearest *nearest, const Candidate *candidate);
static bool may_use(const Candidate *candidate);
static Candidate *read_versions(int *n, const char *model);
pg_noreturn static void raise_with(const Known *known, const char *message);

void
gpt_catalog_ask_pending(bool (*is_pending)(int64 job))
{
	job_is_pending = is_pending;
}

void
gpt_catalog_raise_missing(const char *reference)
{
	char *model = pnstrdup(reference, strcspn(reference, "@"));
	const char *hint = gpt_restoring_hint();
	Known known = {0};

	if (strchr(reference, '@') != NULL && describe_versions(&known, model))
		;
	else if (hint != NULL)
		known.hint = pstrdup(hint);
	else if (!describe_job(&known, model, MODEL_JOBS))
	{
		Nearest nearest = nearest_to(model);

		look_among_models(&nearest);
		known.hint = nearest.found != NULL
						 ? psprintf("The nearest name is \"%s\"; the view gpt_models lists the "
									"models that you may use.",
									nearest.found)
						 : "The view gpt_models lists the models that you may use.";
	}
	raise_with(&known, psprintf("model \"%s\" does not exist", reference));
}

void
gpt_catalog_raise_missing_tokenizer(const char *name, GptTokenizerWanted wanted)
{
	bool or_model = wanted == GPT_WANTED_TOKENIZER_OR_MODEL;
	char *model = pnstrdup(name, strcspn(name, "@"));
	Nearest nearest = nearest_to(name);
	Known known = {0};

	if ((or_model && strchr(name, '@') != NULL && describe_versions(&known, model)) ||
		describe_job(&known, model,
					 or_model ? "(" MODEL_JOBS " OR " TOKENIZER_JOBS ")" : TOKENIZER_JOBS))
		raise_with(&known, psprintf("tokenizer%s \"%s\" does not exist",
									or_model ? " or model" : "", name));
	look_among_tokenizers(&nearest, wanted);
	if (or_model)
		look_among_models(&nearest);
	if (nearest.found != NULL)
		known.hint = psprintf(
			"The nearest name is \"%s\"; the view gpt_tokenizers lists those that you may use.",
			nearest.found);
	else if (wanted == GPT_WANTED_TOKENIZER)
		known.hint = "The view gpt_tokenizers lists those that you may use; \"bytes\", "
					 "\"chars\", \"bpe\" and \"unigram\" always exist.";
	else if (or_model)
		known.hint = "The views gpt_tokenizers and gpt_models list the names that you may use.";
	raise_with(&known,
			   psprintf("tokenizer%s \"%s\" does not exist", or_model ? " or model" : "", name));
}

void
gpt_catalog_refuse_version(const char *name, const char *function)
{
	const char *at = strchr(name, '@');
	char *model;

	if (at == NULL)
		return;
	model = pnstrdup(name, at - name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("\"%s\" names one version of a model", name),
			 errdetail("The function takes the name of the model, \"%s\".", model),
			 function == NULL
				 ? 0
				 : errhint("Call %s(%s, %s) for that version.", function, quote_literal_cstr(model),
						   at[1] != '\0' && strspn(at + 1, "0123456789") == strlen(at + 1)
							   ? at + 1
							   : "version")));
}

static void
raise_with(const Known *known, const char *message)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg_internal("%s", message),
					known->detail != NULL ? errdetail_internal("%s", known->detail) : 0,
					known->hint != NULL ? errhint("%s", known->hint) : 0));
}

/* ---- Versions ----------------------------------------------------------- */

/*
 * The versions of a model, or the current versions of all models (NULL), in the order of their
 * numbers.
 */
static Candidate *
read_versions(int *n, const char *model)
{
	GptStatement statement;
	Candidate *versions;

	gpt_statement_begin(&statement);
	if (model != NULL)
		gpt_statement_add_text(&statement, model);
	*n = (int) gpt_statement_run(
		&statement,
		model != NULL
			? "SELECT model, version, state = 'partial', weights, run_id FROM %s.gpt_version WHERE "
			  "model = $1 ORDER BY version"
			: "SELECT v.model, v.version, false, v.weights, v.run_id FROM %1$s.gpt_model m JOIN "
			  "%1$s.gpt_version v ON v.model = m.model AND v.version = m.version ORDER BY 1");
	versions = MemoryContextAllocHuge(statement.caller, Max(*n, 1) * sizeof(Candidate));
	for (int i = 0; i < *n; i++)
	{
		bool is_null;

		versions[i] = (Candidate){.name = gpt_statement_text(&statement, i, 1), .is_model = true};
		versions[i].version = DatumGetInt32(gpt_statement_value(&statement, i, 2, &is_null));
		versions[i].partial = DatumGetBool(gpt_statement_value(&statement, i, 3, &is_null));
		versions[i].object = DatumGetObjectId(gpt_statement_value(&statement, i, 4, &is_null));
		versions[i].run_id = *DatumGetUUIDP(gpt_statement_value(&statement, i, 5, &is_null));
	}
	gpt_statement_end(&statement);
	return versions;
}

static bool
may_use(const Candidate *candidate)
{
	CHECK_FOR_INTERRUPTS();
	return gpt_blob_can_use(candidate->object) &&
		   (!candidate->is_model ||
			gpt_weights_belonging(candidate->object, &candidate->run_id) == GPT_WEIGHTS_OURS);
}

/* "1 to 3, 7"; false if the current role may use no version. */
static bool
describe_versions(Known *known, const char *model)
{
	const GptVersion *current = gpt_catalog_version(model, true);
	StringInfoData list;
	int n;
	Candidate *versions = read_versions(&n, model);
	int32 last = 0;
	int32 first = 0;
	bool is_only;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		if (!may_use(&versions[i]))
			continue;
		if (last == 0 || versions[i].version != last + 1)
		{
			if (last > first)
				appendStringInfo(&list, " to %d", last);
			first = versions[i].version;
			appendStringInfo(&list, "%s%d", last > 0 ? ", " : "", first);
		}
		last = versions[i].version;
	}
	if (last == 0)
		return false;
	if (last > first)
		appendStringInfo(&list, " to %d", last);
	is_only = strspn(list.data, "0123456789") == list.len;
	known->detail = psprintf("Its %s %s", is_only ? "only version is" : "versions are", list.data);
	if (current == NULL || !gpt_blob_can_use(current->weights))
		known->detail = psprintf("%s, and none is current.", known->detail);
	else if (is_only)
		known->detail = psprintf("%s.", known->detail);
	else
		known->detail = psprintf("%s; the current one is %d.", known->detail, current->version);
	return true;
}

/* A reference to the newest one that the current role may use; NULL if there is none. */
static char *
partial_version(const char *model)
{
	int n;
	const Candidate *versions = read_versions(&n, model);

	for (int i = n - 1; i >= 0; i--)
	{
		if (versions[i].partial && may_use(&versions[i]))
			return psprintf("%s@%d", model, versions[i].version);
	}
	return NULL;
}

/* ---- Jobs --------------------------------------------------------------- */

/* Says which job makes the model and how far it is; a partial version can be used already. */
static void
describe_state(Known *known, const char *name, int64 job, const char *kind, const char *state,
			   const char *error)
{
	const char *noun = strcmp(kind, "tokenizer") == 0 ? "tokenizer" : "model";
	char *partial;

	if (job_is_pending != NULL && job_is_pending(job))
	{
		known->detail = psprintf("Job " INT64_FORMAT
								 ", which will train it, starts when this transaction commits.",
								 job);
		return;
	}
	if (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)
	{
		partial = partial_version(name);
		known->detail =
			strcmp(state, "running") == 0
				? psprintf("Job " INT64_FORMAT " is training it.", job)
				: psprintf("Job " INT64_FORMAT ", which will train it, is queued.", job);
		known->hint = partial != NULL
						  ? psprintf("Wait for it with gpt_wait(" INT64_FORMAT
									 "), or use the partial version \"%s\".",
									 job, partial)
						  : psprintf("Wait for it with gpt_wait(" INT64_FORMAT ").", job);
		return;
	}
	known->detail =
		error != NULL ? psprintf("Job " INT64_FORMAT " for this %s %s: %s", job, noun, state, error)
					  : psprintf("Job " INT64_FORMAT " for this %s was %s.", job, noun, state);
	known->hint = "The view gpt_jobs has more of the job.";
}

/*
 * The job of the name that is running, or else the last one, among jobs that the condition accepts
 * and whose owner's privileges the current role has.
 */
static bool
describe_job(Known *known, const char *name, const char *condition)
{
	GptStatement statement;
	int64 job = 0;
	char *kind = NULL;
	char *state = NULL;
	char *error = NULL;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	if (gpt_statement_run(
			&statement,
			psprintf(
				"SELECT job, kind, state, split_part(error, E'\\n', 1) FROM %%1$s.gpt_job WHERE "
				"%s AND system_identifier = $2 AND database = $3 AND pg_has_role($4, "
				"%%1$s.gpt_job_owner(owner, system_identifier), 'USAGE') ORDER BY state IN "
				"('queued', 'running') DESC, state = 'running' DESC, job DESC LIMIT 1",
				condition)) > 0)
	{
		bool is_null;

		job = DatumGetInt64(gpt_statement_value(&statement, 0, 1, &is_null));
		kind = gpt_statement_text(&statement, 0, 2);
		state = gpt_statement_text(&statement, 0, 3);
		error = gpt_statement_text(&statement, 0, 4);
	}
	gpt_statement_end(&statement);
	if (state == NULL || strcmp(state, "succeeded") == 0)
		return false;
	describe_state(known, name, job, kind, state, error);
	return true;
}

bool
gpt_catalog_knows_job(const char *model)
{
	Known known = {0};

	return describe_job(&known, model, MODEL_JOBS);
}

/* ---- Near names --------------------------------------------------------- */

static Nearest
nearest_to(const char *name)
{
	int size = (int) strlen(name);
	Nearest nearest = {.name = name};

	if (size > 0 && size <= MAX_NAME_SIZE)
		nearest.limit = size >= SHORTEST_NAME ? Max(size / SHARE_OF_LETTERS, 1) + 1 : 1;
	return nearest;
}

/* Whether two letters next to each other are swapped, the commonest of typing errors. */
static bool
is_swap(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
	{
		a++;
		b++;
	}
	return *a != '\0' && a[1] != '\0' && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0;
}

/* Privileges are asked last: that reads a part of the object. */
static void
consider(Nearest *nearest, const Candidate *candidate)
{
	int distance;

	if (strlen(candidate->name) > MAX_NAME_SIZE || strcmp(candidate->name, nearest->name) == 0)
		return;
	distance = varstr_levenshtein_less_equal(nearest->name, (int) strlen(nearest->name),
											 candidate->name, (int) strlen(candidate->name), 1, 1,
											 1, nearest->limit - 1, true);
	if (is_swap(nearest->name, candidate->name))
		distance = 1;
	if (pg_strcasecmp(nearest->name, candidate->name) == 0)
		distance = 0;
	if (distance >= nearest->limit || (OidIsValid(candidate->object) && !may_use(candidate)))
		return;
	nearest->limit = distance;
	nearest->found = candidate->name;
}

static void
look_among_models(Nearest *nearest)
{
	Candidate *models;
	int n;

	if (nearest->limit == 0)
		return;
	models = read_versions(&n, NULL);
	for (int i = 0; i < n; i++)
		consider(nearest, &models[i]);
}

/* Considers the built-in names that the caller accepts, then the stored names. */
static void
look_among_tokenizers(Nearest *nearest, GptTokenizerWanted wanted)
{
	const Candidate always[] = {
		{.name = "bytes"}, {.name = "chars"}, {.name = "bpe"}, {.name = "unigram"}};
	int n_always = wanted == GPT_WANTED_STORED		? 0
				   : wanted == GPT_WANTED_TOKENIZER ? lengthof(always)
													/* "bytes" alone */
													: 1;
	GptStatement statement;
	Candidate *named;
	int n;

	if (nearest->limit == 0)
		return;
	for (int i = 0; i < n_always; i++)
		consider(nearest, &always[i]);
	gpt_statement_begin(&statement);
	n = (int) gpt_statement_run(&statement,
								"SELECT name, object FROM %s.gpt_tokenizer_name ORDER BY 1");
	named = MemoryContextAllocHuge(statement.caller, Max(n, 1) * sizeof(Candidate));
	for (int i = 0; i < n; i++)
	{
		bool is_null;

		named[i] = (Candidate){.name = gpt_statement_text(&statement, i, 1)};
		named[i].object = DatumGetObjectId(gpt_statement_value(&statement, i, 2, &is_null));
	}
	gpt_statement_end(&statement);
	for (int i = 0; i < n; i++)
		consider(nearest, &named[i]);
}
