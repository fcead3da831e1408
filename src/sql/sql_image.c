/*
 * src/sql/sql_image.c
 *
 * gpt_set_image_type, and the rows of the view gpt_images.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/statement.h"
#include "core/words.h"
#include "serve/image_file.h"
#include "sql/arguments.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/weights.h"

PG_FUNCTION_INFO_V1(gpt_set_image_type);
PG_FUNCTION_INFO_V1(gpt_image_rows);

/* A version that an image could belong to. */
typedef struct Owned
{
	char *model;
	int32 version;
	Oid weights;
	pg_uuid_t run_id;
	uint8 sha256[GPT_SHA256_SIZE];
} Owned;

static List *read_versions(void);
static bool may_see(const Owned *version);
static void put_row(ReturnSetInfo *result, const GptImageFile *file, const Owned *version);

/*
 * gpt_set_image_type(model text, type text) RETURNS void
 */
Datum
gpt_set_image_type(PG_FUNCTION_ARGS)
{
	GptImageType type;
	char *word;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "type");
	PreventCommandIfReadOnly("gpt_set_image_type()");
	word = gpt_argument_text(fcinfo, 1);
	if (!gpt_image_type_find(&type, word))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("image type \"%s\" does not exist", word),
				 errhint("The types are %s.", gpt_words_list(lm_weight_type_name, " and "))));
	gpt_catalog_refuse_version(gpt_argument_text(fcinfo, 0), NULL);
	gpt_catalog_set_image_type(gpt_argument_text(fcinfo, 0), type);
	PG_RETURN_VOID();
}

/*
 * gpt_image_rows() RETURNS SETOF record    (model, version, type, size, created_at, last_used_at)
 *
 * A row for each image and version that the current role may use; a superuser also sees images
 * without a version.
 */
Datum
gpt_image_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List *versions;
	List *files;
	ListCell *cell;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	files = gpt_image_files();
	versions = files == NIL ? NIL : read_versions();
	foreach (cell, files)
	{
		const GptImageFile *file = lfirst(cell);
		bool known = false;
		ListCell *other;

		CHECK_FOR_INTERRUPTS();
		foreach (other, versions)
		{
			const Owned *version = lfirst(other);

			if (memcmp(version->sha256, file->sha256, GPT_SHA256_SIZE) != 0)
				continue;
			known = true;
			if (may_see(version))
				put_row(result, file, version);
		}
		if (!known && superuser())
			put_row(result, file, NULL);
	}
	return (Datum) 0;
}

/* A list of Owned, one for each version, in the memory context of the caller. */
static List *
read_versions(void)
{
	GptStatement statement;
	List *versions = NIL;
	uint64 n;

	gpt_statement_begin(&statement);
	n = gpt_statement_run(&statement, "SELECT model, version, weights, run_id, sha256 FROM "
									  "%s.gpt_version ORDER BY model, version");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext inner = MemoryContextSwitchTo(statement.caller);
		Owned *version = palloc(sizeof(Owned));
		bool is_null;

		version->model = gpt_statement_text(&statement, i, 1);
		version->version = DatumGetInt32(gpt_statement_value(&statement, i, 2, &is_null));
		version->weights = DatumGetObjectId(gpt_statement_value(&statement, i, 3, &is_null));
		version->run_id = *DatumGetUUIDP(gpt_statement_value(&statement, i, 4, &is_null));
		gpt_statement_hash(version->sha256, &statement, i, 5);
		versions = lappend(versions, version);
		MemoryContextSwitchTo(inner);
	}
	gpt_statement_end(&statement);
	return versions;
}

static bool
may_see(const Owned *version)
{
	return gpt_blob_can_use(version->weights) &&
		   gpt_weights_belonging(version->weights, &version->run_id) != GPT_WEIGHTS_GONE;
}

/* version NULL: an image that no version visible to the caller uses. */
static void
put_row(ReturnSetInfo *result, const GptImageFile *file, const Owned *version)
{
	Datum values[6] = {0};
	bool nulls[6] = {false};

	nulls[0] = nulls[1] = version == NULL;
	if (version != NULL)
	{
		values[0] = CStringGetTextDatum(version->model);
		values[1] = Int32GetDatum(version->version);
	}
	values[2] = CStringGetTextDatum(gpt_image_type_name(file->type));
	values[3] = Int64GetDatum(file->size);
	values[4] = TimestampTzGetDatum(file->created_at);
	values[5] = TimestampTzGetDatum(file->used_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
