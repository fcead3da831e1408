/*
 * src/engine/text/chunk.c
 *
 * A long text in, chunks of at most some number of tokens out (engine/chunk.h).
 *
 * A chunk is found in three steps: a guess of its bytes is encoded, which tells how far the tokens
 * reach; the best place to end is looked for before that; what is left is encoded again, since a
 * text that ends earlier may have other tokens, and shrinks while it has too many.
 */
#include "engine/chunk.h"
#include "engine/segment.h"
#include "text/array.h"
#include "text/utf8.h"

#define FIRST_RATE 4.0 /* bytes of a token, before any is known */
#define SLACK 1.25 /* of a guess */
#define LEAST_GUESS 64 /* bytes */
#define AROUND 1024 /* bytes before and after places in question that an iterator sees, at most */
#define GRAPHEME_REACH 4096 /* bytes before it where a grapheme is looked for */

struct LmChunker
{
	LmHost host;
	LmSegmenter *sentences;
	LmSegmenter *lines;
	LmSegmenter *graphemes;
	LmTokenizer *tokenizer;
	LmChunkOptions options;
	LmBytes text;
	size_t start; /* of the next chunk */
	size_t done; /* end of the last one */
	double rate; /* bytes of a token, of the last chunk */
	LmTokens tokens; /* scratch: of the last text that was encoded */
};

static bool find_chunk(LmChunker *chunker, LmChunk *chunk, LmError *error);
static bool encode(LmChunker *chunker, size_t start, size_t end, LmError *error);
static bool find_limit(LmChunker *chunker, size_t *limit, size_t start, LmError *error);
static size_t bytes_of_tokens(const LmChunker *chunker, size_t size, size_t n);
static bool find_end(LmChunker *chunker, size_t *end, size_t start, size_t limit, LmError *error);
static size_t paragraph_end(LmBytes text, size_t low, size_t limit);
static bool last_boundary(LmChunker *chunker, size_t *end, LmSegmenter *segmenter, size_t low,
						  size_t limit, LmError *error);
static size_t shorter(const LmChunker *chunker, size_t start, size_t end);
static bool find_overlap(LmChunker *chunker, const LmChunk *chunk, LmError *error);
static bool first_boundary(LmChunker *chunker, size_t *start, LmSegmenter *segmenter, size_t low,
						   size_t high, size_t end, LmError *error);
static size_t reach(size_t size);
static size_t before(const LmChunker *chunker, size_t position, size_t around);
static size_t up_to_character(LmBytes text, size_t position);

LmChunker *
lm_chunker_create(const LmHost *host, LmError *error)
{
	LmChunker *chunker = lm_array_allocate(host, 1, sizeof *chunker, error);

	if (!chunker)
		return NULL;
	chunker->host = *host;
	chunker->sentences = lm_segmenter_create(host, LM_SEGMENT_SENTENCE, "root", error);
	if (chunker->sentences)
		chunker->lines = lm_segmenter_create(host, LM_SEGMENT_LINE, "root", error);
	if (chunker->lines)
		chunker->graphemes = lm_segmenter_create(host, LM_SEGMENT_GRAPHEME, "root", error);
	if (chunker->graphemes)
		return chunker;
	lm_chunker_free(chunker);
	return NULL;
}

void
lm_chunker_free(LmChunker *chunker)
{
	LmHost host;

	if (!chunker)
		return;
	host = chunker->host;
	lm_segmenter_free(chunker->sentences);
	lm_segmenter_free(chunker->lines);
	lm_segmenter_free(chunker->graphemes);
	lm_tokens_free(&host, &chunker->tokens);
	lm_free(&host, chunker);
}

void
lm_chunker_start(LmChunker *chunker, LmTokenizer *tokenizer, const LmChunkOptions *options,
				 const char *text, size_t size)
{
	chunker->tokenizer = tokenizer;
	chunker->options = *options;
	chunker->text = (LmBytes){text, size};
	chunker->start = chunker->done = 0;
	chunker->rate = FIRST_RATE;
}

bool
lm_chunker_next(LmChunker *chunker, LmChunk *chunk, LmError *error)
{
	*chunk = (LmChunk){chunker->done, chunker->done, 0};
	if (chunker->done == chunker->text.size)
		return true;
	if (!find_chunk(chunker, chunk, error))
		return false;
	chunk->n_tokens = (int) chunker->tokens.count;
	chunker->rate = (double) (chunk->end - chunk->start) / (chunk->n_tokens + 1);
	chunker->done = chunk->end;
	return find_overlap(chunker, chunk, error);
}

/* The chunk that begins at chunker->start, or without an overlap where that leaves it nothing new.
 */
static bool
find_chunk(LmChunker *chunker, LmChunk *chunk, LmError *error)
{
	size_t start = chunker->start, limit, end;

	if (!find_limit(chunker, &limit, start, error))
		return false;
	for (;;)
	{
		if (limit <= chunker->done && start < chunker->done)
		{
			start = chunker->done;
			if (!find_limit(chunker, &limit, start, error))
				return false;
		}
		if (!find_end(chunker, &end, start, limit, error) || !encode(chunker, start, end, error))
			return false;
		if (chunker->tokens.count <= (size_t) chunker->options.size)
			break;
		limit = shorter(chunker, start, end);
		if (limit == end)
			break;
	}
	chunk->start = start;
	chunk->end = end;
	return true;
}

static bool
encode(LmChunker *chunker, size_t start, size_t end, LmError *error)
{
	chunker->tokens.count = 0;
	return lm_tokenizer_encode(chunker->tokenizer, &chunker->tokens, chunker->text.data + start,
							   end - start, error);
}

/* How far about `size` tokens reach from start, at least one character. */
static bool
find_limit(LmChunker *chunker, size_t *limit, size_t start, LmError *error)
{
	const size_t wanted = (size_t) chunker->options.size;
	size_t guess = LEAST_GUESS + (size_t) (SLACK * chunker->rate * (double) wanted), end;

	for (;; guess *= 2)
	{
		end = lm_utf8_boundary(chunker->text.data, chunker->text.size, start + guess);
		if (!encode(chunker, start, end, error))
			return false;
		if (chunker->tokens.count > wanted)
			break;
		if (end == chunker->text.size)
		{
			*limit = end;
			return true;
		}
	}
	*limit = start + bytes_of_tokens(chunker, end - start, wanted);
	*limit = lm_utf8_boundary(chunker->text.data, chunker->text.size, *limit);
	if (*limit <= start)
		*limit = up_to_character(chunker->text, start + 1);
	return true;
}

/*
 * The bytes of the first n tokens of the text of `size` bytes that was encoded. Tokens of a text
 * that was normalised, or that has unknown characters, do not tell: then in proportion.
 */
static size_t
bytes_of_tokens(const LmChunker *chunker, size_t size, size_t n)
{
	const LmTokens *tokens = &chunker->tokens;
	size_t bytes = 0, first = 0;

	for (size_t i = 0; i < tokens->count; i++)
	{
		if (i == n)
			first = bytes;
		bytes += lm_tokenizer_bytes(chunker->tokenizer, tokens->ids[i]).size;
	}
	if (n >= tokens->count)
		return size;
	/* A space may be in front of the text. */
	if (bytes == size + 1 && lm_tokenizer_spec(chunker->tokenizer)->prefix != LM_PREFIX_NONE)
		return first > 0 ? first - 1 : 0;
	if (bytes == size)
		return first;
	return (size_t) ((double) size / (double) tokens->count * (double) n);
}

/* ------------------------------------------------------------ where a chunk ends */

/* The best place in the second half of what the chunk can add. */
static bool
find_end(LmChunker *chunker, size_t *end, size_t start, size_t limit, LmError *error)
{
	size_t from = chunker->done > start ? chunker->done : start;
	size_t low =
		lm_utf8_boundary(chunker->text.data, chunker->text.size, from + (limit - from) / 2);
	size_t near = limit > low + GRAPHEME_REACH
					  ? lm_utf8_boundary(chunker->text.data, limit, limit - GRAPHEME_REACH)
					  : low;

	*end = limit;
	if (limit == chunker->text.size)
		return true;
	*end = paragraph_end(chunker->text, low, limit);
	if (*end > low)
		return true;
	if (!last_boundary(chunker, end, chunker->sentences, low, limit, error))
		return false;
	if (*end <= low && !last_boundary(chunker, end, chunker->lines, low, limit, error))
		return false;
	if (*end <= low && !last_boundary(chunker, end, chunker->graphemes, near, limit, error))
		return false;
	if (*end <= low)
		*end = limit;
	return true;
}

/* The last place in (low, limit] after an empty line, else low. */
static size_t
paragraph_end(LmBytes text, size_t low, size_t limit)
{
	bool after_line = false;
	size_t end = low;

	for (size_t i = low; i < limit; i++)
	{
		char c = text.data[i];

		if (c == '\n' && after_line)
			end = i + 1;
		if (c == '\n')
			after_line = true;
		else if (c != ' ' && c != '\t' && c != '\r')
			after_line = false;
	}
	return end;
}

/* The last boundary in (low, limit], else low. */
static bool
last_boundary(LmChunker *chunker, size_t *end, LmSegmenter *segmenter, size_t low, size_t limit,
			  LmError *error)
{
	size_t around = reach(limit - low), first = before(chunker, low, around);
	size_t last = lm_utf8_boundary(chunker->text.data, chunker->text.size, limit + around);
	LmSegment segment;

	*end = low;
	lm_segmenter_start(segmenter, chunker->text.data + first, last - first);
	for (;;)
	{
		if (!lm_segmenter_next(segmenter, &segment, error))
			return false;
		if (segment.end == segment.start || first + segment.end > limit)
			return true;
		if (first + segment.end > low)
			*end = first + segment.end;
	}
}

/* A limit in front of an end that left too many tokens; the end itself where it cannot be less. */
static size_t
shorter(const LmChunker *chunker, size_t start, size_t end)
{
	size_t size = bytes_of_tokens(chunker, end - start, (size_t) chunker->options.size);
	size_t limit = lm_utf8_boundary(chunker->text.data, chunker->text.size, start + size);

	if (limit >= end)
		limit = lm_utf8_boundary(chunker->text.data, chunker->text.size, end - 1);
	return limit > start ? limit : up_to_character(chunker->text, start + 1);
}

/* ------------------------------------------------------------ where the next one begins */

/* Sets the start of the next chunk, for which the tokens of this one are in scratch. */
static bool
find_overlap(LmChunker *chunker, const LmChunk *chunk, LmError *error)
{
	size_t n = (size_t) chunk->n_tokens, overlap = (size_t) chunker->options.overlap;
	size_t low, middle, start;

	chunker->start = chunk->end;
	if (overlap == 0 || overlap >= n || chunk->end == chunker->text.size)
		return true;
	low = up_to_character(chunker->text,
						  chunk->start +
							  bytes_of_tokens(chunker, chunk->end - chunk->start, n - overlap));
	if (low <= chunk->start || low >= chunk->end)
		return true;
	middle = low + (chunk->end - low) / 2;
	if (!first_boundary(chunker, &start, chunker->sentences, low, middle, chunk->end, error))
		return false;
	if (start == chunk->end &&
		!first_boundary(chunker, &start, chunker->lines, low, chunk->end, chunk->end, error))
		return false;
	chunker->start = start;
	return true;
}

/*
 * The first boundary in [low, high) with something that is no white space after it; else the end of
 * the chunk. Low itself counts where the text in front of it shows that it is one.
 */
static bool
first_boundary(LmChunker *chunker, size_t *start, LmSegmenter *segmenter, size_t low, size_t high,
			   size_t end, LmError *error)
{
	size_t first = before(chunker, low, reach(end - low));
	LmSegment segment, rest;

	*start = end;
	lm_segmenter_start(segmenter, chunker->text.data + first, end - first);
	for (;;)
	{
		if (!lm_segmenter_next(segmenter, &segment, error))
			return false;
		rest = (LmSegment){first + segment.start, first + segment.end, segment.type};
		if (rest.end == rest.start || rest.start >= high)
			return true;
		lm_segment_trim(&rest, chunker->text.data);
		if (first + segment.start < low || rest.end == rest.start)
			continue;
		*start = first + segment.start;
		return true;
	}
}

/* What an iterator sees around places: not many times as much as lies between them. */
static size_t
reach(size_t size)
{
	size_t around = 64 + 2 * size;

	return around < AROUND ? around : AROUND;
}

/* A place in front of `position` from which an iterator finds the boundaries after it. */
static size_t
before(const LmChunker *chunker, size_t position, size_t around)
{
	size_t first = position > around ? position - around : 0;

	return lm_utf8_boundary(chunker->text.data, chunker->text.size, first);
}

/* The first place from `position` on where a character begins. */
static size_t
up_to_character(LmBytes text, size_t position)
{
	while (position < text.size && ((unsigned char) text.data[position] & 0xC0) == 0x80)
		position++;
	return position < text.size ? position : text.size;
}
