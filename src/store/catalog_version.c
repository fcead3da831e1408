/*
 * src/store/catalog_version.c
 *
 * Single versions of models: what made one is kept with it, and one is removed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"

#include "core/statement.h"
#include "store/catalog.h"
#include "store/catalog_model.h"
#include "store/version_dependents.h"

#define MOST_NAMED 20 /* adapters, in a message */

static GptLockedVersion *version_to_drop(const GptLockedModel *model, int32 number);
static void check_adapters(const GptLockedModel *model, int32 number);

/*
 * The texts of queries may be confidential, so the views show them to the model's owner alone.
 * Every user of the model reads the hashes, which show whether two versions were made by the same
 * query.
 */
void
gpt_catalog_keep_origin(const char *model, int32 version)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_change_any(
		&statement,
		"UPDATE %1$s.gpt_version v SET job = j.job, task = j.task, query = j.query, report = "
		"j.report, given_options = CASE WHEN j.options ?| '{validation_query,publish_query}' THEN "
		"j.options END, query_sha256 = sha256(convert_to(j.query, 'UTF8')), options = (j.options - "
		"'validation_query' - "
		"'publish_query') || CASE WHEN j.options ? 'validation_query' THEN "
		"jsonb_build_object('validation_query_sha256', encode(sha256(convert_to("
		"j.options->>'validation_query', 'UTF8')), 'hex')) ELSE '{}' END || CASE WHEN j.options ? "
		"'publish_query' THEN jsonb_build_object('publish_query_sha256', encode(sha256(convert_to("
		"j.options->>'publish_query', 'UTF8')), 'hex')) ELSE '{}' END FROM %1$s.gpt_job j WHERE "
		"v.model = $1 AND v.version = $2 AND j.run_id = v.run_id");
	gpt_statement_end(&statement);
}

static void
add_json(GptStatement *statement, const Jsonb *json)
{
	gpt_statement_add(statement, JSONBOID, PointerGetDatum(json));
	if (json == NULL)
		statement->nulls[statement->n - 1] = 'n';
}

void
gpt_catalog_keep_measures(const char *model, int32 version, const Jsonb *evaluation,
						  const Jsonb *profile)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	add_json(&statement, evaluation);
	add_json(&statement, profile);
	gpt_statement_change(
		&statement, 1,
		"UPDATE %1$s.gpt_version v SET evaluation = $3, profile = $4, report = (SELECT j.report "
		"FROM %1$s.gpt_job j WHERE j.run_id = v.run_id) WHERE model = $1 AND version = $2");
	gpt_statement_end(&statement);
}

char *
gpt_catalog_profile(const GptVersion *version)
{
	GptStatement statement;
	char *profile = NULL;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, version->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->version));
	gpt_statement_add_hash(&statement, version->sha256);
	if (gpt_statement_run(&statement, "SELECT profile::text FROM %s.gpt_version WHERE model = $1 "
									  "AND version = $2 AND sha256 = $3") > 0)
		profile = gpt_statement_text(&statement, 0, 1);
	gpt_statement_end(&statement);
	return profile;
}

/* Somebody may be making an adapter of the version: it is waited for. */
void
gpt_catalog_drop_version(const char *name, int32 number)
{
	GptLockedModel model;

	gpt_model_lock_own(&model, name, GPT_MODEL_LOOK);
	gpt_model_check_unused(list_make1((char *) name));
	gpt_model_lock_own(&model, name, GPT_MODEL_CHANGE);
	version_to_drop(&model, number)->goes = true;
	gpt_model_wait_for_version(&model, number);
	check_adapters(&model, number);
	gpt_dependents_refuse(name, number,
						  psprintf("cannot drop version %d of model \"%s\"", number, name), NULL);
	gpt_model_remove_versions(&model);
	gpt_catalog_sweep_tokenizers();
}

/*
 * A version whose object is lost is removed as well: nothing else removes its row while other
 * versions are left.
 */
static GptLockedVersion *
version_to_drop(const GptLockedModel *model, int32 number)
{
	if (number == model->version)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("version %d of model \"%s\" is the current one", number, model->name),
				 model->n_versions > 1
					 ? errhint("Make another version current with gpt_rollback first.")
					 : errhint("Remove the model with gpt_drop_model.")));
	for (int i = 0; i < model->n_versions; i++)
	{
		if (model->versions[i].number == number)
			return &model->versions[i];
	}
	gpt_catalog_raise_missing(psprintf("%s@%d", model->name, number));
}

/*
 * Raises an error if adapters rest on this version; the caller holds the lock of the model's name.
 */
static void
check_adapters(const GptLockedModel *model, int32 number)
{
	GptStatement statement;
	StringInfoData list;
	uint64 n;

	initStringInfo(&list);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	n = gpt_statement_run(&statement,
						  "SELECT model || '@' || version FROM %s.gpt_version a WHERE base = $1 "
						  "AND base_version = $2 ORDER BY a.model, a.version");
	for (uint64 i = 0; i < Min(n, MOST_NAMED); i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", gpt_statement_text(&statement, i, 1));
	if (n > MOST_NAMED)
		appendStringInfo(&list, " and " UINT64_FORMAT " more", n - MOST_NAMED);
	gpt_statement_end(&statement);
	if (n > 0)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("cannot drop version %d of model \"%s\" because adapters rest on it",
							   number, model->name),
						errdetail("Adapters: %s.", list.data),
						errhint("Fold them into full versions with gpt_merge, and remove them with "
								"gpt_drop_version.")));
}
