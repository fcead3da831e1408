/*
 * src/engine/text/bytes.c
 *
 * The description of the tokenizer of bytes, a constant.
 */
#include "engine/tokenizer.h"

#define BY_4(F, n) F(n) F((n) + 1) F((n) + 2) F((n) + 3)
#define BY_16(F, n) BY_4(F, n) BY_4(F, (n) + 4) BY_4(F, (n) + 8) BY_4(F, (n) + 12)
#define BY_64(F, n) BY_16(F, n) BY_16(F, (n) + 16) BY_16(F, (n) + 32) BY_16(F, (n) + 48)
#define BY_256(F) BY_64(F, 0) BY_64(F, 64) BY_64(F, 128) BY_64(F, 192)
#define VALUE(n) (char) (n),
#define TOKEN(n) {values + (n), 1},

static const char values[256] = {BY_256(VALUE)};
static const LmBytes tokens[257] = {BY_256(TOKEN){LM_END_OF_TEXT, sizeof LM_END_OF_TEXT - 1}};
static const bool special[257] = {[256] = true};

const LmTokenizerSpec *
lm_bytes_spec(void)
{
	/* The casts drop a const that the caller's const puts back. */
	static const LmTokenizerSpec spec = {
		.kind = LM_TOKENIZER_BYTES,
		.n_tokens = 257,
		.tokens = (LmBytes *) tokens,
		.special = (bool *) special,
		.end_of_text = 256,
		.beginning = -1,
		.unknown = -1,
	};

	return &spec;
}
