/*
 * src/store/tokenizer_gguf_write.c
 *
 * The description of a tokenizer in, keys of GGUF metadata out, as llama.cpp reads them:
 *
 *   kind           model   tokens                              order of merges
 *   BPE, BYTES     gpt2    in the ByteLevel alphabet           merges, the name of a split
 *   SENTENCEPIECE  llama   with U+2581 for spaces              scores: the first rank of a result
 *   CHARS          llama   the same                            none
 *   UNIGRAM        t5      the same                            scores
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "store/byte_letters.h"
#include "store/tokenizer_pieces.h"

#define KEY "tokenizer.ggml."

static bool is_byte_level(const LmTokenizerSpec *spec);
static const char *split_name(const LmTokenizerSpec *spec);
static void write_tokens(LmGgufWriter *writer, const LmTokenizerSpec *spec);
static void write_types(LmGgufWriter *writer, const LmTokenizerSpec *spec);
static LmPieceType type_of(const LmTokenizerSpec *spec, int id);
static void write_scores(LmGgufWriter *writer, const LmTokenizerSpec *spec);
static void write_merges(LmGgufWriter *writer, const LmTokenizerSpec *spec);
static void spell(StringInfo text, const LmTokenizerSpec *spec, int id);
static void spell_byte(StringInfo text, unsigned char byte);

int
gpt_tokenizer_gguf_keys(const LmTokenizerSpec *spec)
{
	int n = 3; /* model, tokens, token_type */

	n += is_byte_level(spec) ? 2 : 1; /* pre and merges, or scores */
	n += (spec->beginning >= 0) + (spec->end_of_text >= 0) + (spec->unknown >= 0);
	return n + 2; /* add_bos_token, add_space_prefix */
}

void
gpt_tokenizer_write_gguf(LmGgufWriter *writer, const LmTokenizerSpec *spec)
{
	bool byte_level = is_byte_level(spec);
	const char *split = byte_level ? split_name(spec) : NULL;
	const char *model = byte_level ? "gpt2" : spec->kind == LM_TOKENIZER_UNIGRAM ? "t5" : "llama";

	lm_gguf_write_string(writer, KEY "model", model, strlen(model));
	if (byte_level)
		lm_gguf_write_string(writer, KEY "pre", split, strlen(split));
	write_tokens(writer, spec);
	write_types(writer, spec);
	if (byte_level)
		write_merges(writer, spec);
	else
		write_scores(writer, spec);
	if (spec->beginning >= 0)
		lm_gguf_write_integer(writer, KEY "bos_token_id", LM_GGUF_U32, spec->beginning);
	if (spec->end_of_text >= 0)
		lm_gguf_write_integer(writer, KEY "eos_token_id", LM_GGUF_U32, spec->end_of_text);
	if (spec->unknown >= 0)
		lm_gguf_write_integer(writer, KEY "unknown_token_id", LM_GGUF_U32, spec->unknown);
	lm_gguf_write_integer(writer, KEY "add_bos_token", LM_GGUF_BOOL, spec->beginning >= 0);
	lm_gguf_write_integer(writer, KEY "add_space_prefix", LM_GGUF_BOOL,
						  spec->prefix != LM_PREFIX_NONE);
}

static bool
is_byte_level(const LmTokenizerSpec *spec)
{
	return spec->kind == LM_TOKENIZER_BPE || spec->kind == LM_TOKENIZER_BYTES;
}

/* ------------------------------------------------------------ splits */

/* The name of the split in GGUF; without merges any will do. An error if it has none. */
static const char *
split_name(const LmTokenizerSpec *spec)
{
	static const char *const names[] = {"gpt-2",	 "llama-bpe",	   "qwen2",	 "gpt-4o",
										"starcoder", "deepseek-coder", "tekken", "deepseek-v3"};

	if (spec->n_merges == 0)
		return "gpt-2";
	for (int i = 0; i < lengthof(names); i++)
	{
		const char **patterns = gpt_tokenizer_split(names[i]);
		const char *pattern = spec->pattern ? spec->pattern : lm_gpt2_pattern;
		int n = 0;

		while (pattern && patterns[n] && strcmp(pattern, patterns[n]) == 0)
		{
			pattern = n < LM_MAX_PATTERNS - 1 ? spec->further[n] : NULL;
			n++;
		}
		if (pattern == NULL && patterns[n] == NULL)
			return names[i];
	}
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("the split of the tokenizer has no name in GGUF"),
					errhint("Export the model in the format \"safetensors\".")));
}

/* ------------------------------------------------------------ lists */

static void
write_tokens(LmGgufWriter *writer, const LmTokenizerSpec *spec)
{
	StringInfoData text;

	initStringInfo(&text);
	lm_gguf_write_array(writer, KEY "tokens", LM_GGUF_STRING, spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
	{
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&text);
		spell(&text, spec, id);
		lm_gguf_write_string_item(writer, text.data, text.len);
	}
	pfree(text.data);
}

static void
write_types(LmGgufWriter *writer, const LmTokenizerSpec *spec)
{
	lm_gguf_write_array(writer, KEY "token_type", LM_GGUF_I32, spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
		lm_gguf_write_integer_item(writer, type_of(spec, id));
}

static LmPieceType
type_of(const LmTokenizerSpec *spec, int id)
{
	int flags = spec->flags ? spec->flags[id] : 0;

	if (id == spec->unknown)
		return LM_PIECE_UNKNOWN;
	if (spec->special[id])
		return LM_PIECE_CONTROL;
	if (flags & LM_TOKEN_BYTE)
		return LM_PIECE_BYTE;
	return flags & LM_TOKEN_ADDED ? LM_PIECE_USER_DEFINED : LM_PIECE_NORMAL;
}

/* Scores that put the same token first as the merges do: the lower the rank, the larger. */
static void
write_scores(LmGgufWriter *writer, const LmTokenizerSpec *spec)
{
	float *scores = palloc(Max(spec->n_tokens, 1) * sizeof(float));

	for (int id = 0; id < spec->n_tokens; id++)
		scores[id] = spec->scores ? (float) spec->scores[id] : -(float) (spec->n_merges + id);
	for (int rank = spec->n_merges - 1; rank >= 0; rank--)
		scores[spec->merges[rank].result] = -(float) rank;
	lm_gguf_write_array(writer, KEY "scores", LM_GGUF_F32, spec->n_tokens);
	for (int id = 0; id < spec->n_tokens; id++)
		lm_gguf_write_float_item(writer, scores[id]);
	pfree(scores);
}

static void
write_merges(LmGgufWriter *writer, const LmTokenizerSpec *spec)
{
	StringInfoData text;

	initStringInfo(&text);
	lm_gguf_write_array(writer, KEY "merges", LM_GGUF_STRING, spec->n_merges);
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&text);
		spell(&text, spec, spec->merges[rank].left);
		appendStringInfoChar(&text, ' ');
		spell(&text, spec, spec->merges[rank].right);
		lm_gguf_write_string_item(writer, text.data, text.len);
	}
	pfree(text.data);
}

/* Appends a token as its kind spells it; special and added ones are spelled as they are. */
static void
spell(StringInfo text, const LmTokenizerSpec *spec, int id)
{
	LmBytes token = spec->tokens[id];
	bool outside = spec->flags && spec->flags[id] & LM_TOKEN_OUTSIDE;

	if (spec->special[id] || outside)
		appendBinaryStringInfo(text, token.data, token.size);
	else if (is_byte_level(spec))
		for (size_t i = 0; i < token.size; i++)
			spell_byte(text, (unsigned char) token.data[i]);
	else if (spec->flags && spec->flags[id] & LM_TOKEN_BYTE)
		appendStringInfo(text, "<0x%02X>", (unsigned char) token.data[0]);
	else
		for (size_t i = 0; i < token.size; i++)
			if (token.data[i] == ' ')
				appendStringInfoString(text, LM_SPACE_SIGN);
			else
				appendStringInfoChar(text, token.data[i]);
}

static void
spell_byte(StringInfo text, unsigned char byte)
{
	unsigned char letter[4];

	unicode_to_utf8(gpt_byte_to_letter(byte), letter);
	appendBinaryStringInfo(text, (char *) letter, pg_utf_mblen(letter));
}
