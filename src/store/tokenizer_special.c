/*
 * src/store/tokenizer_special.c
 *
 * Special tokens: those that a file does not have, by their names and ids, and the one that ends a
 * text.
 */
#include "postgres.h"

#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"

static void check(const LmTokenizerSpec *spec, const GptSpecialToken *token);

void
gpt_tokenizer_add_special(LmTokenizerSpec *spec, const GptTokenizerOptions *options)
{
	int n_tokens = spec->n_tokens;
	bool has_end = spec->end_of_text >= 0;
	bool *given;

	if (options->n_special == 0)
		return;
	for (int i = 0; i < options->n_special; i++)
	{
		check(spec, &options->special[i]);
		n_tokens = Max(n_tokens, options->special[i].id + 1);
	}
	if (n_tokens > spec->n_tokens)
		gpt_tokenizer_grow(spec, n_tokens);
	given = palloc0(n_tokens);
	for (int i = 0; i < options->n_special; i++)
	{
		const GptSpecialToken *token = &options->special[i];

		if (given[token->id])
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("two special tokens have the id %d", token->id)));
		given[token->id] = true;
		spec->tokens[token->id] = (LmBytes){token->name, strlen(token->name)};
		spec->special[token->id] = true;
		if (spec->flags != NULL)
			spec->flags[token->id] = 0;
		has_end = has_end && token->id != spec->end_of_text;
	}
	if (!has_end)
		spec->end_of_text = gpt_tokenizer_end_by_name(spec);
}

/* A token of the vocabulary keeps its name; one that is special may get another. */
static void
check(const LmTokenizerSpec *spec, const GptSpecialToken *token)
{
	LmBytes bytes = token->id < spec->n_tokens ? spec->tokens[token->id] : (LmBytes){NULL, 0};

	if (token->id < 0 || token->id >= LM_MAX_VOCABULARY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("special token \"%s\" has the id %d", token->name, token->id),
						errhint("It must be between 0 and %d.", LM_MAX_VOCABULARY - 1)));
	if (bytes.data != NULL && !spec->special[token->id] &&
		(bytes.size != strlen(token->name) || memcmp(bytes.data, token->name, bytes.size) != 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("special token \"%s\" has the id %d of an ordinary token",
							   token->name, token->id),
						errdetail("The vocabulary has %d tokens.", spec->n_tokens)));
}

/* The further tokens have names that no text has: special tokens never come from a text. */
void
gpt_tokenizer_grow(LmTokenizerSpec *spec, int n_tokens)
{
	LmBytes *tokens = palloc(n_tokens * sizeof(LmBytes));
	bool *special = palloc(n_tokens * sizeof(bool));
	uint8_t *flags = spec->flags != NULL ? palloc0(n_tokens) : NULL;
	double *scores = spec->scores != NULL ? palloc0(n_tokens * sizeof(double)) : NULL;
	int n = spec->n_tokens;

	memcpy(tokens, spec->tokens, n * sizeof(LmBytes));
	memcpy(special, spec->special, n * sizeof(bool));
	if (flags != NULL)
		memcpy(flags, spec->flags, n);
	if (scores != NULL)
		memcpy(scores, spec->scores, n * sizeof(double));
	for (int id = n; id < n_tokens; id++)
	{
		tokens[id].data = psprintf("<|unused_%d|>", id);
		tokens[id].size = strlen(tokens[id].data);
		special[id] = true;
	}
	spec->tokens = tokens;
	spec->special = special;
	spec->flags = flags;
	spec->scores = scores;
	spec->n_tokens = n_tokens;
}

int32_t
gpt_tokenizer_end_by_name(const LmTokenizerSpec *spec)
{
	/* GPT-2 and its kin; Llama 3; Llama, Mistral; Gemma; WordLevel of tutorials; DeepSeek */
	static const char *const names[] = {LM_END_OF_TEXT,
										"<|end_of_text|>",
										"</s>",
										"<eos>",
										"[EOS]",
										"<\xEF\xBD\x9C"
										"end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};

	for (int i = 0; i < lengthof(names); i++)
		for (int id = 0; id < spec->n_tokens; id++)
			if (spec->special[id] && spec->tokens[id].size == strlen(names[i]) &&
				memcmp(spec->tokens[id].data, names[i], spec->tokens[id].size) == 0)
				return id;
	return -1;
}
