/*
 * src/store/import_tokenizer.c
 *
 * The tokenizer of an imported model.
 */
#include "postgres.h"

#include <ctype.h>

#include "core/bridge.h"
#include "core/extension.h"
#include "store/catalog.h"
#include "store/hf_config.h"
#include "store/import_tokenizer.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"

/* Of the tokens of a model, at most an eighth (or 8) may be missing in its tokenizer. */
#define MOST_MISSING 8
#define LEAST_SLACK 8

static int special_named(const LmTokenizerSpec *spec, const GptJson *token);

LmTokenizerSpec *
gpt_import_tokenizer_given(const char *text)
{
	const char *first = text;
	uint8 sha256[GPT_SHA256_SIZE];

	while (isspace((unsigned char) *first))
		first++;
	if (*first == '{')
		return gpt_tokenizer_from_json(text, strlen(text));
	if (!gpt_catalog_resolve_tokenizer(text, sha256))
		gpt_catalog_raise_missing_tokenizer(text, GPT_WANTED_TOKENIZER_OR_MODEL);
	return gpt_catalog_read_tokenizer(sha256);
}

LmTokenizerSpec *
gpt_import_tokenizer_stored(Oid object)
{
	return gpt_tokenizer_from_object(object, &(GptTokenizerOptions){0});
}

LmTokenizerSpec *
gpt_import_tokenizer_of_file(GptImport *import)
{
	return import->gguf != NULL ? gpt_tokenizer_from_gguf(import, NULL) : NULL;
}

void
gpt_import_tokenizer_fit(LmTokenizerSpec *spec, int vocabulary)
{
	int n = spec->n_tokens;

	while (n > vocabulary &&
		   (spec->special[n - 1] || (spec->flags != NULL && (spec->flags[n - 1] & LM_TOKEN_ADDED))))
		n--;
	if (n > vocabulary || n + Max(LEAST_SLACK, vocabulary / MOST_MISSING) < vocabulary)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tokenizer has %d tokens, the model has %d", n, vocabulary),
						errhint("The tokenizer belongs to another model.")));
	if (spec->end_of_text >= n)
		spec->end_of_text = -1;
	if (spec->beginning >= n)
		spec->beginning = -1;
	spec->n_tokens = n;
	if (n < vocabulary)
		gpt_tokenizer_grow(spec, vocabulary);
}

void
gpt_import_tokenizer_ends(LmTokenizerSpec *spec, const GptJson *config,
						  const GptJson *generation_config, const GptJson *tokenizer_config)
{
	const GptJson *adds = gpt_json_field(tokenizer_config, "add_bos_token");
	int *ids;
	int n = gpt_hf_end_tokens(&ids, generation_config);

	if (n == 0)
		n = gpt_hf_end_tokens(&ids, config);
	if (n == 0)
	{
		ids[0] = special_named(spec, gpt_json_field(tokenizer_config, "eos_token"));
		n = 1;
	}
	if (spec->end_of_text < 0 && ids[0] >= 0 && ids[0] < spec->n_tokens && spec->special[ids[0]])
		spec->end_of_text = ids[0];
	if (spec->beginning < 0 && adds != NULL && adds->type == GPT_JSON_TRUE)
		spec->beginning = special_named(spec, gpt_json_field(tokenizer_config, "bos_token"));
}

/* The id of the special token that is named, by a text or the "content" of an object; -1: none. */
static int
special_named(const LmTokenizerSpec *spec, const GptJson *token)
{
	const char *name = token != NULL && token->type == GPT_JSON_OBJECT
						   ? gpt_json_string(gpt_json_field(token, "content"))
						   : gpt_json_string(token);
	size_t size = name != NULL ? strlen(name) : 0;

	for (int id = 0; name != NULL && id < spec->n_tokens; id++)
		if (spec->special[id] && spec->tokens[id].size == size &&
			memcmp(spec->tokens[id].data, name, size) == 0)
			return id;
	return -1;
}

void
gpt_import_tokenizer_check(const LmTokenizerSpec *spec)
{
	LmTokenizer *tokenizer;
	LmError error;

	while ((tokenizer = lm_tokenizer_create(gpt_bridge_host(CurrentMemoryContext), spec, &error)) ==
		   NULL)
		gpt_bridge_retry(&error);
	lm_tokenizer_free(tokenizer);
}
