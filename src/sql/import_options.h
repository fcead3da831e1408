/*
 * src/sql/import_options.h
 *
 * The options of gpt_import.
 */
#ifndef GPT_IMPORT_OPTIONS_H
#define GPT_IMPORT_OPTIONS_H

#include "core/json_tree.h"
#include "engine/tokenizer.h"
#include "store/import.h"
#include "utils/jsonb.h"

/* Members have the names of the options; NULL and 0: not given. */
typedef struct GptImportOptions
{
	const GptJson *config; /* config.json */
	char *tokenizer; /* a name, or the text of tokenizer.json */
	Oid tokenizer_object; /* a large object with one */
	const GptJson *tokenizer_config;
	const GptJson *generation_config;
	char *chat_template;
	char *name; /* of the source */
	char *licence; /* of the source */
	int context;
	GptImportType type;
} GptImportOptions;

/*
 * Reads the options; NULL: none. Errors: a name that does not exist, a value of a wrong type, a
 * text that is not JSON.
 */
extern void gpt_import_options_parse(GptImportOptions *options, Jsonb *json);

/*
 * The members that the version's config has beside the engine's fields, as JSON, palloc'd: where
 * the model came from, how to talk with it, and the tokens that end a generation. An error for a
 * chat template that is not known.
 */
extern const char *gpt_import_extras(GptImport *import, const GptImportPlan *plan,
									 const GptImportOptions *options,
									 const LmTokenizerSpec *tokenizer);

#endif /* GPT_IMPORT_OPTIONS_H */
