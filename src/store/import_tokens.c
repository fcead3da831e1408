/*
 * src/store/import_tokens.c
 *
 * The tokenizer.bin of llama2.c in, a description out: pieces of SentencePiece with their scores,
 * in which a blank is a blank, and the two control tokens stand between ends of lines
 * (tokenizer.py of https://github.com/karpathy/llama2.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "store/import_parts.h"
#include "store/import_tokenizer.h"
#include "store/tokenizer_pieces.h"

#define UNKNOWN 0 /* ids of SentencePiece's training, which llama2.c counts on */
#define BEGINNING 1
#define END 2
#define FIRST_BYTE 3
#define BYTE_SIZE 6 /* of "<0x0A>" */

static void read_pieces(GptPieces *pieces, LmLlama2cTokens *tokens);
static LmPieceType type_of(int id, const char *bytes, size_t size);
static LmBytes text_of(int id, const char *bytes, size_t size);

bool
gpt_import_is_llama2c_tokens(const unsigned char *bytes, size_t size)
{
	/* the size of the longest token, and the first score and size follow */
	return size >= 12 && bytes[0] > 0 && bytes[1] < 4 && bytes[2] == 0 && bytes[3] == 0;
}

LmTokenizerSpec *
gpt_import_llama2c_tokens(GptImportFile *file)
{
	GptPieces pieces = {.prefix = true};
	LmTokenizerSpec *spec;
	LmLlama2cTokens *tokens = palloc(sizeof(LmLlama2cTokens));
	LmError error;

	if (!lm_llama2c_tokens(tokens, &file->file, gpt_bridge_host(CurrentMemoryContext), &error))
		gpt_bridge_raise(&error);
	read_pieces(&pieces, tokens);
	spec = gpt_tokenizer_from_pieces(&pieces);
	spec->beginning = BEGINNING;
	spec->end_of_text = END;
	return spec;
}

static void
read_pieces(GptPieces *pieces, LmLlama2cTokens *tokens)
{
	int capacity = 1024;

	pieces->pieces = palloc(capacity * sizeof(LmSentencePiece));
	while (lm_llama2c_more(tokens))
	{
		LmSentencePiece *piece;
		const char *bytes;
		LmError error;
		size_t size;

		CHECK_FOR_INTERRUPTS();
		if (pieces->n == capacity)
		{
			capacity *= 2;
			pieces->pieces =
				repalloc_huge(pieces->pieces, (size_t) capacity * sizeof(LmSentencePiece));
		}
		piece = &pieces->pieces[pieces->n];
		if (!lm_llama2c_next(&bytes, &size, &piece->score, tokens, &error))
			gpt_bridge_raise(&error);
		if (pieces->n >= LM_MAX_VOCABULARY)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("tokenizer has more than %d tokens", LM_MAX_VOCABULARY)));
		if (!pg_verify_mbstr(PG_UTF8, bytes, (int) size, true))
			ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
							errmsg("token %d of tokenizer.bin is not valid UTF-8", pieces->n)));
		piece->type = type_of(pieces->n, bytes, size);
		piece->text = text_of(pieces->n, bytes, size);
		pieces->n++;
	}
	if (pieces->n <= FIRST_BYTE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("tokenizer.bin has %d tokens", pieces->n)));
}

static LmPieceType
type_of(int id, const char *bytes, size_t size)
{
	if (id == UNKNOWN)
		return LM_PIECE_UNKNOWN;
	if (id == BEGINNING || id == END)
		return LM_PIECE_CONTROL;
	return id < FIRST_BYTE + 256 && size == BYTE_SIZE && memcmp(bytes, "<0x", 3) == 0
			   ? LM_PIECE_BYTE
			   : LM_PIECE_NORMAL;
}

/* The text as SentencePiece has it: a sign for each space, and no ends of lines around controls. */
static LmBytes
text_of(int id, const char *bytes, size_t size)
{
	StringInfoData text;

	if ((id == BEGINNING || id == END) && size > 2 && bytes[0] == '\n' && bytes[size - 1] == '\n')
		return (LmBytes){pnstrdup(bytes + 1, size - 2), size - 2};
	initStringInfo(&text);
	for (size_t i = 0; i < size; i++)
	{
		if (bytes[i] == ' ')
			appendStringInfoString(&text, LM_SPACE_SIGN);
		else
			appendStringInfoChar(&text, bytes[i]);
	}
	return (LmBytes){text.data, text.len};
}
