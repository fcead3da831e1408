/*
 * src/engine/serve/explain_rows.c
 *
 * Weights of bytes go in, rows of words or tokens come out.
 */
#include <string.h>

#include "engine/segment.h"
#include "serve/path.h"
#include "text/array.h"
#include "text/utf8.h"

static bool word_rows(LmExplain *explain, LmExplainText *text, LmError *error);
static bool token_rows(LmExplain *explain, LmExplainText *text, int number, LmError *error);
static double sum_of(const LmExplainText *text, size_t first, size_t end);

bool
lm_word_spans(LmWordSpan **spans, size_t *n, size_t *capacity, const LmHost *host, LmBytes text,
			  LmError *error)
{
	LmSegmenter *segmenter = lm_segmenter_create(host, LM_SEGMENT_WORD, "root", error);
	size_t first = *n, lead = 0;
	LmSegment segment;
	bool good = segmenter != NULL;

	if (segmenter)
		lm_segmenter_start(segmenter, text.data, text.size);
	while (good)
	{
		good = lm_segmenter_next(segmenter, &segment, error);
		if (!good || segment.end == segment.start)
			break;
		if (segment.type == LM_SEGMENT_SPACE)
			continue;
		good = lm_array_reserve(host, spans, capacity, *n + 1, sizeof **spans, error);
		if (good)
			(*spans)[(*n)++] = (LmWordSpan){lead, segment.start, segment.end};
		lead = segment.end;
	}
	lm_segmenter_free(segmenter);
	if (!good)
		*n = first;
	return good;
}

void
lm_word_spans_free(LmWordSpan *spans, const LmHost *host)
{
	lm_array_free(host, spans);
}

bool
lm_explain_rows(const LmExplainRow **rows, size_t *n, LmBytes *bytes, LmExplain *explain,
				int number, LmExplainUnit unit, LmError *error)
{
	LmExplainText *text = &explain->texts[number];

	if (explain->phase != LM_EXPLAIN_DONE || number > explain->session->config.pair)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "text %d is not explained", number);
	lm_free(&explain->host, text->rows);
	text->rows = NULL;
	text->n_rows = 0;
	if (text->size > 0 && (unit == LM_EXPLAIN_WORDS ? !word_rows(explain, text, error)
													: !token_rows(explain, text, number, error)))
		return false;
	*rows = text->rows;
	*n = text->n_rows;
	*bytes = (LmBytes){text->bytes, text->size};
	return true;
}

static double
sum_of(const LmExplainText *text, size_t first, size_t end)
{
	double sum = 0;

	for (size_t i = first; i < end; i++)
		sum += text->weights[i];
	return sum;
}

/* Each word has the weight of the white space before it, the last one also that of the rest. */
static bool
word_rows(LmExplain *explain, LmExplainText *text, LmError *error)
{
	LmWordSpan *spans = NULL;
	size_t n = 0, capacity = 0;

	if (!lm_word_spans(&spans, &n, &capacity, &explain->host, (LmBytes){text->bytes, text->size},
					   error))
	{
		lm_word_spans_free(spans, &explain->host);
		return false;
	}
	text->rows = lm_array_allocate(&explain->host, n + 1, sizeof *text->rows, error);
	for (size_t i = 0; text->rows && i < n; i++)
		text->rows[text->n_rows++] =
			(LmExplainRow){spans[i].start, spans[i].end,
						   sum_of(text, spans[i].lead, i + 1 < n ? spans[i].end : text->size)};
	if (text->rows && n == 0)
		text->rows[text->n_rows++] = (LmExplainRow){0, text->size, sum_of(text, 0, text->size)};
	lm_word_spans_free(spans, &explain->host);
	return text->rows != NULL;
}

/* The token that ends a character has all of its bytes; one that ends none has no text. */
static bool
token_rows(LmExplain *explain, LmExplainText *text, int number, LmError *error)
{
	size_t first, last, start = 0, end = 0;

	lm_explain_range(&first, &last, explain, number);
	text->rows = lm_array_allocate(&explain->host, last - first, sizeof *text->rows, error);
	for (size_t i = first; text->rows && i < last; i++)
	{
		size_t size = lm_tokenizer_bytes(explain->session->tokenizer, explain->tokens.ids[i]).size;
		size_t whole = lm_utf8_boundary(text->bytes, text->size, end + size);

		if (explain->fixed[i])
			continue;
		whole = whole > start ? whole : start;
		text->rows[text->n_rows++] = (LmExplainRow){start, whole, sum_of(text, end, end + size)};
		start = whole;
		end += size;
	}
	return text->rows != NULL;
}
