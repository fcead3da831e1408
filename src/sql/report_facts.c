/*
 * src/sql/report_facts.c
 *
 * A version goes in; what the views say of it comes out as JSON.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/extension.h"
#include "core/version.h"
#include "sql/report_facts.h"

#define MOST_NODES 1000000 /* values of a tree: a confusion matrix has 2,601 of them */

/* $1 model, $2 version, $3 version of the library; search_path is pg_catalog. */
static const char *const facts_query =
	"SELECT json_build_object('model', v.model, 'version', v.version, 'current', v.current, "
	"'state', v.state, 'task', v.task, 'n_labels', cardinality(v.labels), "
	"'labels', to_json(v.labels[1:200]), 'owner', v.owner, 'published_by', v.published_by, "
	"'created_at', to_char(v.created_at, 'YYYY-MM-DD HH24:MI OF'), "
	"'architecture', v.architecture, 'parameters', v.parameters, 'context', v.context, "
	"'vocabulary', v.vocabulary, 'tokenizer', v.tokenizer, "
	"'tokenizer_kind', (SELECT t.kind FROM %1$s.gpt_tokenizers t "
	"WHERE t.tokenizer = v.tokenizer LIMIT 1), "
	"'image_type', (SELECT m.image_type FROM %1$s.gpt_models m WHERE m.model = v.model), "
	"'size', v.size, 'base', v.base, 'loss', v.loss, 'validation_loss', v.validation_loss, "
	"'validation_bits_per_byte', v.validation_bits_per_byte, 'clean', v.clean, "
	"'query', v.query, 'query_sha256', v.query_sha256, 'options', v.options, 'job', v.job, "
	"'is_member', pg_has_role(%1$s.gpt_object_owner(v.weights), 'USAGE'), "
	"'training', (SELECT json_build_object('kind', j.kind, 'documents', j.documents, "
	"'skipped', j.skipped, 'bytes', j.bytes, 'corpus_tokens', j.corpus_tokens, 'step', j.step, "
	"'seconds', extract(epoch FROM j.finished_at - j.started_at), 'note', j.note, "
	"'overfit_since', j.overfit_since, 'conditions', j.conditions) "
	"FROM %1$s.gpt_jobs j WHERE j.job = v.job), "
	"'log', (SELECT json_agg(json_build_array(l.step, l.loss, l.validation_loss, "
	"l.learning_rate, l.validation_metric) ORDER BY l.step) FROM (SELECT t.*, "
	"row_number() OVER (PARTITION BY t.validation_loss IS NULL ORDER BY t.step DESC) AS k, "
	"count(*) OVER (PARTITION BY t.validation_loss IS NULL) AS n "
	"FROM %1$s.gpt_train_log t WHERE t.job = v.job) l "
	"WHERE (l.k - 1) %% (1 + (l.n - 1) / 200) = 0), "
	"'metric', (SELECT l.metric FROM %1$s.gpt_train_log l WHERE l.job = v.job AND "
	"l.validation_metric IS NOT NULL ORDER BY l.step DESC LIMIT 1), "
	"'measures', (SELECT l.measures FROM %1$s.gpt_train_log l WHERE l.job = v.job AND "
	"l.measures IS NOT NULL ORDER BY l.step DESC LIMIT 1), "
	"'report', v.report, 'evaluation', v.evaluation, "
	"'versions', (SELECT json_agg(json_build_object('version', o.version, 'state', o.state, "
	"'current', o.current, 'created_at', to_char(o.created_at, 'YYYY-MM-DD HH24:MI OF'), "
	"'task', o.task, 'validation_loss', o.validation_loss, 'base', o.base, "
	"'published_by', o.published_by) ORDER BY o.version DESC) FROM (SELECT w.* "
	"FROM %1$s.gpt_versions w WHERE w.model = v.model ORDER BY w.version DESC LIMIT 50) o), "
	"'n_versions', (SELECT count(*) FROM %1$s.gpt_versions w WHERE w.model = v.model), "
	"'made_at', to_char(statement_timestamp(), 'YYYY-MM-DD HH24:MI OF'), 'made_by', $3)::text "
	"FROM %1$s.gpt_versions v WHERE v.model = $1 AND v.version = $2";

/*
 * As the caller, whose search_path the operators of the statement must not depend on. _SAVE, so
 * that a parallel worker may do it.
 */
char *
gpt_report_facts(const GptVersion *version)
{
	Oid types[] = {TEXTOID, INT4OID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(version->model), Int32GetDatum(version->version),
					  CStringGetTextDatum(GPT_VERSION)};
	char *command = psprintf(facts_query, gpt_extension_schema());
	MemoryContext caller = CurrentMemoryContext;
	int level = NewGUCNestLevel();
	char *json;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the facts of model \"%s\"", version->model);
	json =
		MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	AtEOXact_GUC(true, level);
	return json;
}

const GptJson *
gpt_report_parse(const char *json)
{
	return gpt_json_parse(json, strlen(json), MOST_NODES, "facts of a model");
}

/* ---- Reading ------------------------------------------------------------ */

double
gpt_report_number(const GptJson *object, const char *name)
{
	const GptJson *value = gpt_json_field(object, name);

	return value != NULL && value->type == GPT_JSON_NUMBER ? strtod(value->text, NULL) : NAN;
}

const char *
gpt_report_text(const GptJson *object, const char *name)
{
	const GptJson *value = gpt_json_field(object, name);

	return value != NULL ? value->text : NULL;
}

bool
gpt_report_true(const GptJson *object, const char *name)
{
	const GptJson *value = gpt_json_field(object, name);

	return value != NULL && value->type == GPT_JSON_TRUE;
}

/* A version of before tasks were kept, or an imported one: by its labels. */
GptReportKind
gpt_report_kind(const GptJson *facts)
{
	static const struct
	{
		const char *end; /* of the task's name */
		GptReportKind kind;
	} kinds[] = {{"completion", GPT_REPORT_COMPLETION}, {"chat", GPT_REPORT_CHAT},
				 {"preference", GPT_REPORT_PREFERENCE}, {"retrieval", GPT_REPORT_RETRIEVAL},
				 {"classification", GPT_REPORT_LABELS}, {"regression", GPT_REPORT_NUMBER}};
	const char *task = gpt_report_text(facts, "task");
	size_t size = task != NULL ? strlen(task) : 0;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		size_t length = strlen(kinds[i].end);

		if (size >= length && strcmp(task + size - length, kinds[i].end) == 0)
			return kinds[i].kind;
	}
	return gpt_report_number(facts, "n_labels") > 0 ? GPT_REPORT_LABELS : GPT_REPORT_TEXT;
}

static bool
task_has(const GptJson *facts, const char *word)
{
	const char *task = gpt_report_text(facts, "task");

	return task != NULL && strstr(task, word) != NULL;
}

bool
gpt_report_is_pair(const GptJson *facts)
{
	return task_has(facts, "pair ");
}

bool
gpt_report_is_multi_label(const GptJson *facts)
{
	return task_has(facts, "multi-label");
}

const char *
gpt_report_reference(const GptJson *facts)
{
	return psprintf("%s@%s", gpt_report_text(facts, "model"), gpt_report_text(facts, "version"));
}
