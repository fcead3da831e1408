/*
 * src/store/tokenizer_pieces.c
 *
 * Pieces of SentencePiece in, a description out. Scores of BPE become merges in the order in which
 * Hugging Face's converters put them: by the score of the result, then by the longer left part.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_reader.h"

/* A merge with what decides about its rank. */
typedef struct RankedMerge
{
	double score;
	int left_length;
	int right_length;
	int number; /* in the order in which they were found */
	LmMerge merge;
} RankedMerge;

/* A growing list of merges. */
typedef struct MergeList
{
	RankedMerge *merges;
	int n;
	int capacity;
} MergeList;

static void set_piece(GptTokenizerReader *reader, int id, const LmSentencePiece *piece);
static void set_user_token(GptTokenizerReader *reader, int id, const char *name);
static void set_merges(GptTokenizerReader *reader, const GptPieces *pieces);
static void add_splits(MergeList *list, GptTokenizerReader *reader, int id, double score);
static int compare_ids(const void *a, const void *b);
static int compare_ranks(const void *a, const void *b);

LmTokenizerSpec *
gpt_tokenizer_from_pieces(const GptPieces *pieces)
{
	GptTokenizerReader reader;
	LmTokenizerSpec *spec;

	gpt_pieces_check(pieces);
	gpt_reader_begin(&reader);
	reader.spelling = GPT_SPELLED_SIGNS;
	reader.byte_fallback = true;
	gpt_reader_allocate_tokens(&reader, pieces->n);
	spec = reader.spec;
	spec->kind = pieces->unigram ? LM_TOKENIZER_UNIGRAM : LM_TOKENIZER_SENTENCEPIECE;
	spec->space_sign = spec->fuse_unknown = true;
	if (pieces->charsmap.size > 0)
		spec->charsmap = (LmBytes){
			memcpy(palloc(pieces->charsmap.size), pieces->charsmap.data, pieces->charsmap.size),
			pieces->charsmap.size};
	spec->collapse_spaces = pieces->collapse_spaces;
	spec->single_precision = pieces->single_precision;
	spec->prefix = pieces->prefix ? LM_PREFIX_ALWAYS : LM_PREFIX_NONE;
	spec->strip_space = pieces->prefix;
	if (pieces->unigram)
		spec->scores = palloc0(Max(pieces->n, 1) * sizeof(double));
	for (int id = 0; id < pieces->n; id++)
	{
		CHECK_FOR_INTERRUPTS();
		set_piece(&reader, id, &pieces->pieces[id]);
		if (pieces->unigram)
			spec->scores[id] = pieces->pieces[id].score;
	}
	gpt_reader_index(&reader);
	if (!pieces->unigram)
		set_merges(&reader, pieces);
	spec->end_of_text = gpt_tokenizer_end_by_name(spec);
	return spec;
}

/* A vocabulary is written as an object whose fields are the tokens: no two have the same name. */
void
gpt_pieces_check(const GptPieces *pieces)
{
	size_t n_slots = lm_table_size(pieces->n);
	LmTokenTable table = {palloc0(n_slots * sizeof(int32)), (uint32) (n_slots - 1)};
	LmBytes *texts = palloc(Max(pieces->n, 1) * sizeof(LmBytes));

	for (int id = 0; id < pieces->n; id++)
	{
		uint32 slot;
		int32 same;

		CHECK_FOR_INTERRUPTS();
		texts[id] = pieces->pieces[id].text;
		same = lm_token_table_find(&table, *gpt_bridge_hash_key(), texts, texts[id], &slot);
		if (same >= 0)
			gpt_reader_malformed("Tokens %d and %d are the same.", same, id);
		table.slots[slot] = id + 1;
	}
	pfree(texts);
	pfree(table.slots);
}

/* Sets a token by its type; pieces that a text never becomes are special. */
static void
set_piece(GptTokenizerReader *reader, int id, const LmSentencePiece *piece)
{
	LmTokenizerSpec *spec = reader->spec;
	char *name = pnstrdup(piece->text.data, piece->text.size);

	switch (piece->type)
	{
		case LM_PIECE_NORMAL:
		case LM_PIECE_BYTE:
			reader->byte_fallback = piece->type == LM_PIECE_BYTE;
			gpt_reader_set_spelled(reader, id, name);
			if (reader->byte_fallback && !(spec->flags[id] & LM_TOKEN_BYTE))
				gpt_reader_malformed("Token %d is one of a byte, but is not called like <0x0A>.",
									 id);
			break;
		case LM_PIECE_USER_DEFINED:
			set_user_token(reader, id, name);
			break;
		case LM_PIECE_UNKNOWN:
			if (spec->unknown >= 0)
				gpt_reader_malformed("Tokens %d and %d are both for unknown characters.",
									 spec->unknown, id);
			spec->unknown = id;
			/* fall through */
		case LM_PIECE_CONTROL:
		case LM_PIECE_UNUSED:
			gpt_reader_set_token(reader, id, name, piece->text, true);
			break;
	}
	pfree(name);
}

/* A piece that is found in a text whose spaces are in place; files spell its own in either way. */
static void
set_user_token(GptTokenizerReader *reader, int id, const char *name)
{
	const size_t sign_size = strlen(LM_SPACE_SIGN);
	StringInfoData bytes;

	initStringInfo(&bytes);
	for (const char *c = name; *c;)
	{
		bool sign = strncmp(c, LM_SPACE_SIGN, sign_size) == 0;

		appendStringInfoChar(&bytes, sign ? ' ' : *c);
		c += sign ? sign_size : 1;
	}
	gpt_reader_set_token(reader, id, name, (LmBytes){bytes.data, bytes.len}, false);
	reader->spec->flags[id] = LM_TOKEN_ADDED | LM_TOKEN_NORMALIZED;
	pfree(bytes.data);
}

/* ------------------------------------------------------------ merges */

/* Every way to make a token of two others is a merge. */
static void
set_merges(GptTokenizerReader *reader, const GptPieces *pieces)
{
	LmTokenizerSpec *spec = reader->spec;
	MergeList list = {NULL, 0, 1024};

	list.merges = palloc(list.capacity * sizeof(RankedMerge));
	for (int id = 0; id < pieces->n; id++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!spec->special[id] && !(spec->flags[id] & LM_TOKEN_BYTE))
			add_splits(&list, reader, id, pieces->pieces[id].score);
	}
	qsort(list.merges, list.n, sizeof(RankedMerge), compare_ranks);
	gpt_reader_start_merges(reader, list.n);
	for (int i = 0; i < list.n; i++)
		spec->merges[i] = list.merges[i].merge;
	spec->n_merges = list.n;
	pfree(list.merges);
}

/* Appends the ways to make a token, those of the smaller ids first. */
static void
add_splits(MergeList *list, GptTokenizerReader *reader, int id, double score)
{
	LmBytes token = reader->spec->tokens[id];
	int first = list->n, length = 0;

	for (size_t i = 0; i < token.size; i++)
		length += (token.data[i] & 0xC0) != 0x80;
	for (size_t i = 1, left_length = 0; i < token.size; i++)
	{
		LmBytes left = {token.data, i}, right = {token.data + i, token.size - i};
		LmMerge merge = {.result = id};

		if ((token.data[i] & 0xC0) == 0x80)
			continue;
		left_length++;
		merge.left = gpt_reader_find(reader, left);
		merge.right = merge.left >= 0 ? gpt_reader_find(reader, right) : -1;
		if (merge.right < 0)
			continue;
		if (list->n == 2 * LM_MAX_VOCABULARY)
			gpt_reader_malformed("Its tokens can be made of others in more than %d ways.", list->n);
		if (list->n == list->capacity)
		{
			list->capacity *= 2;
			list->merges = repalloc_huge(list->merges, list->capacity * sizeof(RankedMerge));
		}
		list->merges[list->n++] = (RankedMerge){.score = score,
												.left_length = (int) left_length,
												.right_length = length - (int) left_length,
												.merge = merge};
	}
	qsort(list->merges + first, list->n - first, sizeof(RankedMerge), compare_ids);
	for (int i = first; i < list->n; i++)
		list->merges[i].number = i;
}

static int
compare_ids(const void *a, const void *b)
{
	const LmMerge *x = &((const RankedMerge *) a)->merge, *y = &((const RankedMerge *) b)->merge;

	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return (x->right > y->right) - (x->right < y->right);
}

static int
compare_ranks(const void *a, const void *b)
{
	const RankedMerge *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (x->left_length != y->left_length)
		return x->left_length > y->left_length ? -1 : 1;
	if (x->right_length != y->right_length)
		return x->right_length > y->right_length ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* ------------------------------------------------------------ tokenizer.model */

LmTokenizerSpec *
gpt_tokenizer_from_model(const char *data, size_t size)
{
	LmSentenceModel model;
	GptPieces pieces = {0};
	LmTokenizerSpec *spec;
	size_t position = 0;
	LmError error;

	if (!lm_sentence_model_open(&model, (LmBytes){data, size}, &error))
		gpt_bridge_raise(&error);
	if (model.model_type != LM_SENTENCE_UNIGRAM && model.model_type != LM_SENTENCE_BPE)
		gpt_reader_unsupported("a tokenizer.model that is neither BPE nor unigram");
	if (model.space_is_suffix)
		gpt_reader_unsupported("treat_whitespace_as_suffix");
	if (!model.escape_whitespaces)
		gpt_reader_unsupported("a tokenizer.model without escape_whitespaces");
	pieces.charsmap = model.rules;
	pieces.collapse_spaces = model.remove_extra_whitespaces;
	pieces.unigram = pieces.single_precision = model.model_type == LM_SENTENCE_UNIGRAM;
	pieces.prefix = model.add_dummy_prefix;
	pieces.pieces = palloc(model.n_pieces * sizeof(LmSentencePiece));
	while (lm_sentence_model_next(&pieces.pieces[pieces.n], &position, &model))
		if (++pieces.n == model.n_pieces)
			break;
	spec = gpt_tokenizer_from_pieces(&pieces);
	if (model.beginning >= 0 && spec->special[model.beginning])
		spec->beginning = model.beginning;
	if (model.end >= 0 && spec->special[model.end])
		spec->end_of_text = model.end;
	pfree(pieces.pieces);
	return spec;
}
