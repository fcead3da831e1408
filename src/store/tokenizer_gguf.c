/*
 * src/store/tokenizer_gguf.c
 *
 * The metadata of a GGUF file in, the description of its tokenizer out: pieces of SentencePiece
 * with scores ("llama", "t5"), or byte-level BPE with merges and the name of a split ("gpt2").
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_split.h"
#include "store/tokenizer_steps.h"

#define MAX_WORD 64 /* bytes of the name of a model or of a split */
#define KEY "tokenizer.ggml."

static char *read_word(GptImport *import, const char *key);
static bool read_switch(GptImport *import, const char *key, bool missing);
static GptPieces *read_pieces(GptImport *import);
static void read_types(GptPieces *pieces, GptImport *import);
static void read_pieces_scores(GptPieces *pieces, GptImport *import);
static LmTokenizerSpec *read_sentencepiece(GptImport *import, bool unigram);
static LmTokenizerSpec *read_bpe(GptImport *import, const char *split);
static const char **read_split(GptImport *import, const char **split);
static void set_bpe_token(GptTokenizerReader *reader, int id, const LmSentencePiece *piece);
static void read_merges(GptTokenizerReader *reader, GptImport *import);
static void read_ends(LmTokenizerSpec *spec, GptImport *import, bool beginning);
static int32 special_id(const LmTokenizerSpec *spec, GptImport *import, const char *key);
static void check(bool good, GptImport *import, const LmError *error);

LmTokenizerSpec *
gpt_tokenizer_from_gguf(GptImport *import, const char *split)
{
	char *model = read_word(import, KEY "model");
	LmTokenizerSpec *spec = NULL;

	if (model == NULL)
		return NULL;
	if (strcmp(model, "gpt2") != 0)
		gpt_tokenizer_refuse_split(split, "a GGUF file of SentencePiece");
	if (strcmp(model, "llama") == 0)
		spec = read_sentencepiece(import, false);
	else if (strcmp(model, "t5") == 0)
		spec = read_sentencepiece(import, true);
	else if (strcmp(model, "gpt2") == 0)
		spec = read_bpe(import, split);
	else
		gpt_reader_unsupported(KEY "model \"%s\"", model);
	return spec;
}

/* A short string of the metadata; NULL if the file has no such key. */
static char *
read_word(GptImport *import, const char *key)
{
	LmError error = {0};
	char *word;

	if (lm_gguf_find(import->gguf, key) == NULL)
		return NULL;
	word = lm_gguf_string(import->gguf, key, MAX_WORD, &error);
	check(word != NULL, import, &error);
	if (!pg_verify_mbstr(PG_UTF8, word, (int) strlen(word), true))
		gpt_reader_malformed("Its key \"%s\" is not valid UTF-8.", key);
	return word;
}

static bool
read_switch(GptImport *import, const char *key, bool missing)
{
	LmError error = {0};
	bool value = missing;

	if (lm_gguf_find(import->gguf, key) != NULL)
		check(lm_gguf_bool(&value, import->gguf, key, &error), import, &error);
	return value;
}

/* Raises the engine's error about the file. */
static void
check(bool good, GptImport *import, const LmError *error)
{
	if (!good)
		gpt_import_raise(import, error);
}

/* ------------------------------------------------------------ lists */

/* Tokens with their types and, if there are any, scores. */
static GptPieces *
read_pieces(GptImport *import)
{
	LmGgufItems *items = palloc(sizeof(LmGgufItems));
	GptPieces *pieces = palloc0(sizeof(GptPieces));
	LmError error = {0};

	check(lm_gguf_items(items, import->gguf, KEY "tokens", &error), import, &error);
	if (items->left < 1 || items->left > LM_MAX_VOCABULARY)
		gpt_reader_malformed("It has " UINT64_FORMAT " tokens, the limit is %d.",
							 (uint64) items->left, LM_MAX_VOCABULARY);
	pieces->pieces = palloc0(items->left * sizeof(LmSentencePiece));
	for (; items->left > 0; pieces->n++)
	{
		const char *bytes;
		size_t size;

		CHECK_FOR_INTERRUPTS();
		check(lm_gguf_next_string(&bytes, &size, items, &error), import, &error);
		if (size == 0 || size > LM_MAX_TOKEN_SIZE || memchr(bytes, 0, size) != NULL ||
			!pg_verify_mbstr(PG_UTF8, bytes, (int) size, true))
			gpt_reader_malformed("Token %d is not a text of 1 to %d bytes.", pieces->n,
								 LM_MAX_TOKEN_SIZE);
		pieces->pieces[pieces->n].text = (LmBytes){pnstrdup(bytes, size), size};
		pieces->pieces[pieces->n].type = LM_PIECE_NORMAL;
	}
	pfree(items);
	read_types(pieces, import);
	return pieces;
}

static void
read_types(GptPieces *pieces, GptImport *import)
{
	LmGgufItems *items;
	LmError error = {0};
	int n = 0;

	if (lm_gguf_find(import->gguf, KEY "token_type") == NULL)
		return;
	items = palloc(sizeof(LmGgufItems));
	check(lm_gguf_items(items, import->gguf, KEY "token_type", &error), import, &error);
	if (items->left != (uint64) pieces->n)
		gpt_reader_malformed("It has %d tokens, but types of " UINT64_FORMAT ".", pieces->n,
							 (uint64) items->left);
	for (; items->left > 0; n++)
	{
		int64 type;

		check(lm_gguf_next_integer(&type, items, &error), import, &error);
		if (type < LM_PIECE_NORMAL || type > LM_PIECE_BYTE)
			gpt_reader_malformed("Token %d has no known type.", n);
		pieces->pieces[n].type = (LmPieceType) type;
	}
	pfree(items);
}

static void
read_pieces_scores(GptPieces *pieces, GptImport *import)
{
	LmGgufItems *items = palloc(sizeof(LmGgufItems));
	LmError error = {0};
	int n = 0;

	check(lm_gguf_items(items, import->gguf, KEY "scores", &error), import, &error);
	if (items->left != (uint64) pieces->n)
		gpt_reader_malformed("It has %d tokens, but scores of " UINT64_FORMAT ".", pieces->n,
							 (uint64) items->left);
	for (; items->left > 0; n++)
	{
		double score;

		check(lm_gguf_next_number(&score, items, &error), import, &error);
		if (!isfinite(score))
			gpt_reader_malformed("The score of token %d is not finite.", n);
		pieces->pieces[n].score = (float) score;
	}
	pfree(items);
}

/* ------------------------------------------------------------ models */

/* A space comes in front, unless the file says otherwise; so does a BOS token. */
static LmTokenizerSpec *
read_sentencepiece(GptImport *import, bool unigram)
{
	const LmGgufKey *rules = lm_gguf_find(import->gguf, KEY "precompiled_charsmap");
	GptPieces *pieces;
	LmTokenizerSpec *spec;

	if (rules != NULL && rules->n > 0)
		gpt_reader_unsupported(KEY "precompiled_charsmap");
	if (read_switch(import, KEY "remove_extra_whitespaces", false))
		gpt_reader_unsupported(KEY "remove_extra_whitespaces");
	pieces = read_pieces(import);
	read_pieces_scores(pieces, import);
	pieces->unigram = unigram;
	pieces->prefix = read_switch(import, KEY "add_space_prefix", true);
	spec = gpt_tokenizer_from_pieces(pieces);
	read_ends(spec, import, !unigram);
	return spec;
}

/* Byte-level BPE with this split, or the one that the file names. */
static LmTokenizerSpec *
read_bpe(GptImport *import, const char *split)
{
	const char **patterns = read_split(import, &split);
	/* Those two begin a text with a token, and make pieces that are tokens without merges. */
	bool llama3 = patterns[0] == lm_cl100k_pattern || strcmp(split, "tekken") == 0;
	GptPieces *pieces;
	GptTokenizerReader reader;

	pieces = read_pieces(import);
	gpt_pieces_check(pieces);
	gpt_reader_begin(&reader);
	reader.spelling = GPT_SPELLED_LETTERS;
	reader.spec->kind = LM_TOKENIZER_BPE;
	reader.spec->ignore_merges = llama3;
	/* Qwen's tokenizer.json says so, the file does not. */
	reader.spec->normalize_nfc = patterns[0] == lm_qwen2_pattern;
	if (read_switch(import, KEY "add_space_prefix", false))
		reader.spec->prefix = LM_PREFIX_MISSING;
	for (int i = 0; patterns[i] != NULL; i++)
		gpt_reader_add_pattern(&reader, patterns[i]);
	gpt_reader_allocate_tokens(&reader, pieces->n);
	for (int id = 0; id < pieces->n; id++)
	{
		CHECK_FOR_INTERRUPTS();
		set_bpe_token(&reader, id, &pieces->pieces[id]);
	}
	gpt_reader_index(&reader);
	read_merges(&reader, import);
	reader.spec->end_of_text = gpt_tokenizer_end_by_name(reader.spec);
	read_ends(reader.spec, import, llama3);
	return reader.spec;
}

/* The patterns of the split that the caller or else the file names; sets *split to that name. */
static const char **
read_split(GptImport *import, const char **split)
{
	const char **patterns;

	if (*split != NULL)
		return gpt_tokenizer_split_option(*split);
	*split = read_word(import, KEY "pre");
	if (*split == NULL)
		*split = "default";
	patterns = gpt_tokenizer_split(*split);
	if (patterns == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("tokenizer has a feature that is not supported: %s \"%s\"",
							   KEY "pre", *split),
						errdetail("It would change the tokens of a text."),
						errhint("If you know how the vocabulary splits texts, give the option "
								"\"split\" of gpt_import_tokenizer.")));
	return patterns;
}

/* Ordinary tokens are spelled in letters, the others as they are. */
static void
set_bpe_token(GptTokenizerReader *reader, int id, const LmSentencePiece *piece)
{
	bool special = piece->type != LM_PIECE_NORMAL && piece->type != LM_PIECE_USER_DEFINED;

	if (piece->type == LM_PIECE_NORMAL)
	{
		gpt_reader_set_spelled(reader, id, piece->text.data);
		return;
	}
	gpt_reader_set_token(reader, id, piece->text.data, piece->text, special);
	if (!special)
		reader->spec->flags[id] = LM_TOKEN_ADDED | LM_TOKEN_OUTSIDE;
}

static void
read_merges(GptTokenizerReader *reader, GptImport *import)
{
	LmGgufItems *items = palloc(sizeof(LmGgufItems));
	LmError error = {0};

	check(lm_gguf_items(items, import->gguf, KEY "merges", &error), import, &error);
	if (items->left > 2 * LM_MAX_VOCABULARY)
		gpt_reader_malformed("It has " UINT64_FORMAT " merges, the limit is %d.",
							 (uint64) items->left, 2 * LM_MAX_VOCABULARY);
	gpt_reader_start_merges(reader, (int) items->left);
	while (items->left > 0)
	{
		const char *bytes, *space;
		size_t size;

		CHECK_FOR_INTERRUPTS();
		check(lm_gguf_next_string(&bytes, &size, items, &error), import, &error);
		space = size > 0 ? memchr(bytes, ' ', size) : NULL;
		if (space == NULL || memchr(bytes, 0, size) != NULL ||
			!pg_verify_mbstr(PG_UTF8, bytes, (int) size, true))
			gpt_reader_malformed("Merge %d is not a pair of tokens.", reader->spec->n_merges);
		gpt_reader_add_merge(reader, (LmBytes){bytes, space - bytes},
							 (LmBytes){space + 1, bytes + size - space - 1});
	}
	pfree(items);
}

/* The tokens at the ends of a text; the file says whether a text begins with one. */
static void
read_ends(LmTokenizerSpec *spec, GptImport *import, bool beginning)
{
	int32 end = special_id(spec, import, KEY "eos_token_id");

	if (end >= 0)
		spec->end_of_text = end;
	if (read_switch(import, KEY "add_bos_token", beginning))
		spec->beginning = special_id(spec, import, KEY "bos_token_id");
}

/* The id of a special token, or -1. */
static int32
special_id(const LmTokenizerSpec *spec, GptImport *import, const char *key)
{
	LmError error = {0};
	int64 id;

	if (lm_gguf_find(import->gguf, key) == NULL)
		return -1;
	check(lm_gguf_integer(&id, import->gguf, key, INT32_MIN, UINT32_MAX, &error), import, &error);
	return id >= 0 && id < spec->n_tokens && spec->special[id] ? (int32) id : -1;
}
