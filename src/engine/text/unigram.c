/*
 * src/engine/text/unigram.c
 *
 * A piece of text in, the tokens of the largest sum of scores out. One pass over the offsets: each
 * takes the tokens that begin there from the order of tokens, and keeps for the offset where a
 * token ends the best way to it. Time is linear in the piece, memory 24 bytes a byte.
 */
#include "text/tokenizer_parts.h"

/* below the least score of a token (SentencePiece's kUnkPenalty) */
#define UNKNOWN_PENALTY 10.0
#define KEPT_NODES 65536 /* of scratch, between two pieces */

static bool find_ways(LmTokenizer *tokenizer, LmBytes piece, LmError *error);
static bool take_tokens(LmTokenizer *tokenizer, LmBytes piece, size_t start, size_t length);
static int32_t narrow(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t depth,
					  int byte);
static int32_t made_token(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t size);
static void improve(const LmUnigram *unigram, size_t start, size_t end, int32_t id, double score);
static void turn_around(LmUnigramNode *nodes, size_t size);
static bool append_way(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes piece, LmError *error);
static bool append_unknown(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes characters,
						   LmError *error);

void
lm_unigram_open(LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	LmUnigram *unigram = &tokenizer->unigram;
	double least = 0;
	bool any = false;

	for (int32_t id = 0; id < spec->n_tokens; id++)
		if (lm_spec_makes(spec, id) && (!any || spec->scores[id] < least))
		{
			least = spec->scores[id];
			any = true;
		}
	unigram->single_precision = spec->single_precision;
	unigram->unknown_score = least - UNKNOWN_PENALTY;
	for (int byte = 0; byte <= 256; byte++)
		unigram->first[byte] = narrow(tokenizer, 0, tokenizer->n_ordered, 0, byte);
}

bool
lm_unigram_encode(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes piece, LmError *error)
{
	LmUnigram *unigram = &tokenizer->unigram;
	bool done;

	if (piece.size > LM_MAX_PIECE_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has a word of more than %zu bytes",
					   LM_MAX_PIECE_SIZE);
	if (!lm_array_reserve(&tokenizer->host, &unigram->nodes, &unigram->capacity, piece.size + 1,
						  sizeof *unigram->nodes, error))
		return false;
	done = find_ways(tokenizer, piece, error);
	if (done)
	{
		turn_around(unigram->nodes, piece.size);
		done = append_way(tokenizer, tokens, piece, error);
	}
	if (unigram->capacity > KEPT_NODES)
	{
		lm_array_free(&tokenizer->host, unigram->nodes);
		unigram->nodes = NULL;
		unigram->capacity = 0;
	}
	return done;
}

/* Finds the best way to each offset; a character without a token of its own is one step. */
static bool
find_ways(LmTokenizer *tokenizer, LmBytes piece, LmError *error)
{
	LmUnigramNode *nodes = tokenizer->unigram.nodes;
	size_t poll = 0;
	int length;

	for (size_t i = 0; i <= piece.size; i++)
		nodes[i] = (LmUnigramNode){.start = -1, .id = -1};
	nodes[0].score = tokenizer->unigram.score;
	for (size_t start = 0; start < piece.size; start += (size_t) length)
	{
		if (start >= poll)
		{
			if (!lm_text_go_on(&tokenizer->host, error))
				return false;
			/* A step may look at as many bytes as a token has. */
			poll = start + LM_POLL_SIZE / 16;
		}
		lm_utf8_decode(piece.data + start, &length);
		if (!take_tokens(tokenizer, piece, start, (size_t) length))
			improve(&tokenizer->unigram, start, start + (size_t) length, -1,
					tokenizer->unigram.unknown_score);
	}
	tokenizer->unigram.score = nodes[piece.size].score;
	return true;
}

/* Tries all tokens that begin at start; returns whether one of them is its first character. */
static bool
take_tokens(LmTokenizer *tokenizer, LmBytes piece, size_t start, size_t length)
{
	const LmUnigram *unigram = &tokenizer->unigram;
	int first = (unsigned char) piece.data[start];
	int32_t low = unigram->first[first], high = unigram->first[first + 1];
	bool has_character = false;

	for (size_t depth = 1; low < high; depth++)
	{
		int32_t id = made_token(tokenizer, low, high, depth);
		int byte;

		if (id >= 0)
		{
			improve(unigram, start, start + depth, id, tokenizer->spec->scores[id]);
			has_character = has_character || depth == length;
		}
		if (start + depth == piece.size)
			break;
		byte = (unsigned char) piece.data[start + depth];
		low = narrow(tokenizer, low, high, depth, byte);
		high = narrow(tokenizer, low, high, depth, byte + 1);
	}
	return has_character;
}

/* The first of the ordered tokens [low, high) whose byte at depth is at least `byte`. */
static int32_t
narrow(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t depth, int byte)
{
	while (low < high)
	{
		int32_t middle = low + (high - low) / 2;
		LmBytes token = lm_tokenizer_token(tokenizer, tokenizer->order[middle]);

		if (token.size <= depth || (unsigned char) token.data[depth] < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Of the tokens [low, high), the shortest first, one of this size that the model makes; else -1. */
static int32_t
made_token(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t size)
{
	for (; low < high; low++)
	{
		int32_t id = tokenizer->order[low];

		if (lm_tokenizer_token(tokenizer, id).size != size)
			break;
		if (lm_spec_makes(tokenizer->spec, id))
			return id;
	}
	return -1;
}

/* Keeps the way by way of start if it is better than the way to end that is known. */
static void
improve(const LmUnigram *unigram, size_t start, size_t end, int32_t id, double score)
{
	LmUnigramNode *nodes = unigram->nodes;

	score += nodes[start].score;
	/* Ways of equal score are told apart by how their sums are rounded. */
	if (unigram->single_precision)
		score = (float) score;
	if (nodes[end].start >= 0 && !(score > nodes[end].score))
		return;
	nodes[end].score = score;
	nodes[end].start = (int32_t) start;
	nodes[end].id = id;
}

static void
turn_around(LmUnigramNode *nodes, size_t size)
{
	for (size_t end = size; end > 0; end = (size_t) nodes[end].start)
		nodes[nodes[end].start].next = (int32_t) end;
}

/* Appends the tokens of the best way; neighbours without a token are one unknown text. */
static bool
append_way(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes piece, LmError *error)
{
	LmUnigram *unigram = &tokenizer->unigram;
	const LmUnigramNode *nodes = unigram->nodes;

	for (size_t start = 0, end; start < piece.size; start = end)
	{
		end = (size_t) nodes[start].next;
		if (nodes[end].id >= 0)
		{
			if (!lm_tokens_append(&tokenizer->host, tokens, nodes[end].id, error))
				return false;
			unigram->after_unknown = false;
			continue;
		}
		while (end < piece.size && nodes[nodes[end].next].id < 0)
			end = (size_t) nodes[end].next;
		if (!append_unknown(tokenizer, tokens, (LmBytes){piece.data + start, end - start}, error))
			return false;
	}
	return true;
}

/* Appends the bytes of the characters where all have a token, else `unknown`. */
static bool
append_unknown(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes characters, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	LmUnigram *unigram = &tokenizer->unigram;
	bool bytes = true, joins = unigram->after_unknown;
	int length;

	for (size_t i = 0; bytes && i < characters.size; i++)
		bytes = tokenizer->bpe.byte_ids[(unsigned char) characters.data[i]] >= 0;
	unigram->after_unknown = !bytes;
	if (bytes)
	{
		for (size_t i = 0; i < characters.size; i++)
			if (!lm_tokens_append(&tokenizer->host, tokens,
								  tokenizer->bpe.byte_ids[(unsigned char) characters.data[i]],
								  error))
				return false;
		return true;
	}
	if (spec->unknown < 0)
		return lm_fail(error, LM_ERR_ENCODING, -1,
					   "tokenizer has no token for the character U+%04X",
					   (unsigned) lm_utf8_decode(characters.data, &length));
	return joins || lm_tokens_append(&tokenizer->host, tokens, spec->unknown, error);
}
