/*
 * src/engine/text/chars_train.c
 *
 * Texts in, the description of a tokenizer of characters out. The trainer is a set of code points,
 * one bit each.
 */
#include "text/array.h"
#include "text/chars.h"
#include "text/utf8.h"

struct LmCharsTrainer
{
	LmHost host;
	uint8_t seen[LM_N_CODES / 8];
	LmTokenizerSpec spec;
	char *bytes; /* of the spec's tokens */
};

static bool allocate_spec(LmCharsTrainer *trainer, int n_tokens, LmError *error);
static void free_spec(LmCharsTrainer *trainer);
static void add_special(LmTokenizerSpec *spec, int32_t id, const char *name);

LmCharsTrainer *
lm_chars_trainer_create(const LmHost *host, LmError *error)
{
	LmCharsTrainer *trainer = lm_array_allocate(host, 1, sizeof *trainer, error);

	if (trainer)
		trainer->host = *host;
	return trainer;
}

void
lm_chars_trainer_free(LmCharsTrainer *trainer)
{
	LmHost host;

	if (!trainer)
		return;
	host = trainer->host;
	free_spec(trainer);
	lm_free(&host, trainer);
}

bool
lm_chars_trainer_add(LmCharsTrainer *trainer, const char *text, size_t size, LmError *error)
{
	int length;

	if (!lm_text_check(&trainer->host, text, size, error))
		return false;
	for (size_t start = 0, end, i = 0; start < size; start = end)
	{
		end = lm_utf8_boundary(text, size, start + LM_POLL_SIZE);
		if (!lm_text_go_on(&trainer->host, error))
			return false;
		for (; i < end; i += (size_t) length)
		{
			int32_t code = lm_utf8_decode(text + i, &length);

			trainer->seen[code / 8] |= (uint8_t) (1 << code % 8);
		}
	}
	return true;
}

const LmTokenizerSpec *
lm_chars_trainer_finish(LmCharsTrainer *trainer, LmError *error)
{
	LmTokenizerSpec *spec = &trainer->spec;
	int n_codes = 0;
	char *place;

	for (int i = 0; i < LM_N_CODES / 8; i++)
		n_codes += __builtin_popcount(trainer->seen[i]);
	if (n_codes + 2 > LM_MAX_VOCABULARY)
	{
		lm_fail(error, LM_ERR_LIMIT, -1, "texts have %d distinct characters, the limit is %d",
				n_codes, LM_MAX_VOCABULARY - 2);
		return NULL;
	}
	if (!allocate_spec(trainer, n_codes + 2, error))
		return NULL;
	place = trainer->bytes;
	for (int32_t code = 0; code < LM_N_CODES; code++)
	{
		if (!(trainer->seen[code / 8] >> code % 8 & 1))
			continue;
		spec->tokens[spec->n_tokens] = (LmBytes){place, (size_t) lm_utf8_encode(place, code)};
		place += spec->tokens[spec->n_tokens++].size;
	}
	spec->unknown = spec->n_tokens++;
	spec->end_of_text = spec->n_tokens++;
	add_special(spec, spec->unknown, LM_UNKNOWN);
	add_special(spec, spec->end_of_text, LM_END_OF_TEXT);
	return spec;
}

/* An earlier result is released: the trainer may go on and finish again. */
static bool
allocate_spec(LmCharsTrainer *trainer, int n_tokens, LmError *error)
{
	LmTokenizerSpec *spec = &trainer->spec;
	size_t count = (size_t) n_tokens;

	free_spec(trainer);
	spec->kind = LM_TOKENIZER_CHARS;
	spec->beginning = -1;
	spec->tokens = lm_array_allocate(&trainer->host, count, sizeof *spec->tokens, error);
	if (spec->tokens)
		spec->special = lm_array_allocate(&trainer->host, count, sizeof *spec->special, error);
	if (spec->special)
		trainer->bytes = lm_array_allocate(&trainer->host, count, 4, error);
	return trainer->bytes != NULL;
}

static void
free_spec(LmCharsTrainer *trainer)
{
	lm_free(&trainer->host, trainer->spec.tokens);
	lm_free(&trainer->host, trainer->spec.special);
	lm_free(&trainer->host, trainer->bytes);
	memset(&trainer->spec, 0, sizeof trainer->spec);
	trainer->bytes = NULL;
}

static void
add_special(LmTokenizerSpec *spec, int32_t id, const char *name)
{
	spec->tokens[id] = (LmBytes){name, strlen(name)};
	spec->special[id] = true;
}
