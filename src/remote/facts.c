/*
 * src/remote/facts.c
 *
 * Facts of a version (src/remote/facts.h). They are anybody's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/compat.h"
#include "core/statement.h"
#include "engine/search.h"
#include "remote/facts.h"
#include "store/model_config.h"
#include "store/model_extras.h"
#include "store/tokenizer_json.h"

#define FIRST_OPTIONAL 9 /* the columns before it must not be NULL */

static double take_real(const GptStatement *statement, int column);
static void take_hash(uint8 *sha256, const GptStatement *statement, int column);
static void take_config(GptSentVersion *facts, Datum config);
static void take_search(GptSentVersion *facts, const char *hex);
static void check_facts(const GptSentVersion *facts);

/* Another type than a column has is an error of its cast; a missing member is NULL. */
void
gpt_distribute_read_facts(GptSentVersion *facts, Datum jsonb)
{
	GptStatement statement;
	MemoryContext scratch;
	const char *image_type;
	bool is_null;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, JSONBOID, jsonb);
	gpt_statement_run(
		&statement,
		"SELECT model, version, run_id, size, sha256, tokenizer, tokenizer_size, config, task, "
		"coalesce(loss, 'NaN'), coalesce(validation_loss, 'NaN'), "
		"coalesce(validation_bits_per_byte, 'NaN'), base, coalesce(base_version, 0), base_sha256, "
		"search, image_type, coalesce(current, false) FROM pg_catalog.jsonb_to_record($1) AS r "
		"(model text, version integer, run_id uuid, size bigint, sha256 text, tokenizer text, "
		"tokenizer_size bigint, config jsonb, task text, loss float8, validation_loss float8, "
		"validation_bits_per_byte float8, base text, base_version integer, base_sha256 text, "
		"search text, image_type text, current boolean)");
	scratch = MemoryContextSwitchTo(statement.caller); /* what is read outlives the statement */
	for (int column = 1; column < FIRST_OPTIONAL; column++)
	{
		gpt_statement_value(&statement, 0, column, &is_null);
		if (is_null)
			gpt_distribute_refuse("A member of the facts is missing.");
	}
	facts->model = gpt_statement_text(&statement, 0, 1);
	facts->version = DatumGetInt32(gpt_statement_value(&statement, 0, 2, &is_null));
	facts->run_id = *DatumGetUUIDP(gpt_statement_value(&statement, 0, 3, &is_null));
	facts->size = DatumGetInt64(gpt_statement_value(&statement, 0, 4, &is_null));
	take_hash(facts->sha256, &statement, 5);
	take_hash(facts->tokenizer, &statement, 6);
	facts->tokenizer_size = DatumGetInt64(gpt_statement_value(&statement, 0, 7, &is_null));
	take_config(facts, gpt_statement_value(&statement, 0, 8, &is_null));
	facts->task = gpt_statement_text(&statement, 0, 9);
	facts->loss = take_real(&statement, 10);
	facts->validation_loss = take_real(&statement, 11);
	facts->validation_bits_per_byte = take_real(&statement, 12);
	facts->base = gpt_statement_text(&statement, 0, 13);
	facts->base_version = DatumGetInt32(gpt_statement_value(&statement, 0, 14, &is_null));
	if (facts->base != NULL)
		take_hash(facts->base_sha256, &statement, 15);
	take_search(facts, gpt_statement_text(&statement, 0, 16));
	image_type = gpt_statement_text(&statement, 0, 17);
	facts->current = DatumGetBool(gpt_statement_value(&statement, 0, 18, &is_null));
	MemoryContextSwitchTo(scratch);
	gpt_statement_end(&statement);
	if (image_type == NULL || !gpt_image_type_find(&facts->image_type, image_type))
		gpt_distribute_refuse("The type of the image is not known.");
	check_facts(facts);
}

static double
take_real(const GptStatement *statement, int column)
{
	bool is_null;

	return DatumGetFloat8(gpt_statement_value(statement, 0, column, &is_null));
}

static void
take_hash(uint8 *sha256, const GptStatement *statement, int column)
{
	const char *text = gpt_statement_text(statement, 0, column);

	if (text == NULL || strlen(text) != 2 * GPT_SHA256_SIZE ||
		strspn(text, "0123456789abcdef") != 2 * GPT_SHA256_SIZE)
		gpt_distribute_refuse("A hash does not have 64 hexadecimal digits.");
	hex_decode(text, 2 * GPT_SHA256_SIZE, (char *) sha256);
}

static void
take_config(GptSentVersion *facts, Datum config)
{
	StringInfoData labels;
	char **names;

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(config)))
		gpt_distribute_refuse("The configuration is not an object.");
	gpt_config_from_jsonb(&facts->config, config);
	facts->extras = gpt_extras_of(config);
	if (facts->config.labels == 0)
		return;
	initStringInfo(&labels);
	names = gpt_config_labels(config);
	for (int i = 0; i < facts->config.labels; i++)
		appendBinaryStringInfo(&labels, names[i], strlen(names[i]) + 1);
	facts->labels = labels.data;
}

static void
take_search(GptSentVersion *facts, const char *hex)
{
	LmSearch search;

	if (hex == NULL)
		return;
	facts->search =
		DatumGetByteaP(DirectFunctionCall2(binary_decode, PointerGetDatum(cstring_to_text(hex)),
										   PointerGetDatum(cstring_to_text("hex"))));
	if (!lm_search_open(&search, VARDATA(facts->search), VARSIZE(facts->search) - VARHDRSZ,
						facts->config.vocabulary, facts->config.channels))
		gpt_distribute_refuse("The statistics for search are not those of the configuration.");
}

/* What readers of a version's row would stumble over. */
static void
check_facts(const GptSentVersion *facts)
{
	LmPromptTemplate written;
	char *end;
	int32 *ends;

	gpt_catalog_check_name(facts->model);
	if (facts->version < 1 || facts->version == PG_INT32_MAX)
		gpt_distribute_refuse("The number of the version is out of range.");
	if (facts->size <= 0 || facts->tokenizer_size <= 0 ||
		facts->tokenizer_size > GPT_MAX_TOKENIZER_SIZE ||
		facts->size > PG_INT64_MAX - facts->tokenizer_size)
		gpt_distribute_refuse("A size is out of range.");
	if (facts->task != NULL &&
		strspn(facts->task, "abcdefghijklmnopqrstuvwxyz_ -") != strlen(facts->task))
		gpt_distribute_refuse("The task is not a word.");
	if ((facts->base != NULL) != (facts->config.lora_rank > 0))
		gpt_distribute_refuse("An adapter has a base, and no other version has one.");
	gpt_extras_chat(facts->extras);
	gpt_extras_prompt(&written, &end, facts->extras);
	gpt_extras_ends(&ends, facts->extras);
	gpt_extras_with_texts(NULL, gpt_extras_of_texts(facts->extras));
}

void
gpt_distribute_refuse(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("the version that arrived is not the one that was sent"),
					errdetail_internal("%s", detail)));
}
