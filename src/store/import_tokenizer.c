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
#include "store/import_tokenizer.h"
#include "store/tokenizer_json.h"

static void pad(LmTokenizerSpec *spec, int vocabulary);

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
		gpt_catalog_raise_missing_tokenizer(text, GPT_WANTED_STORED);
	return gpt_catalog_read_tokenizer(sha256);
}

LmTokenizerSpec *
gpt_import_tokenizer_of_file(GptImport *import)
{
	return NULL;
}

void
gpt_import_tokenizer_fit(LmTokenizerSpec *spec, int vocabulary)
{
	int n = spec->n_tokens;

	while (n > vocabulary && spec->special[n - 1])
		n--;
	if (n > vocabulary)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tokenizer has %d tokens, the model has %d", n, vocabulary),
						errhint("The tokenizer belongs to another model.")));
	if (spec->end_of_text >= n)
		spec->end_of_text = -1;
	if (spec->beginning >= n)
		spec->beginning = -1;
	spec->n_tokens = n;
	if (n < vocabulary)
		pad(spec, vocabulary);
}

/* The further tokens have names that no text has: special tokens never come from a text. */
static void
pad(LmTokenizerSpec *spec, int vocabulary)
{
	LmBytes *tokens = palloc(vocabulary * sizeof(LmBytes));
	bool *special = palloc(vocabulary * sizeof(bool));

	memcpy(tokens, spec->tokens, spec->n_tokens * sizeof(LmBytes));
	memcpy(special, spec->special, spec->n_tokens * sizeof(bool));
	for (int id = spec->n_tokens; id < vocabulary; id++)
	{
		tokens[id].data = psprintf("<|unused_%d|>", id);
		tokens[id].size = strlen(tokens[id].data);
		special[id] = true;
	}
	spec->tokens = tokens;
	spec->special = special;
	spec->n_tokens = vocabulary;
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
