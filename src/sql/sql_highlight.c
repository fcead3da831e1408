/*
 * src/sql/sql_highlight.c
 *
 * gpt_highlight: a text with marks at the words that surprise a model, or that decide its answer.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/words.h"
#include "engine/segment.h"
#include "serve/token_scores.h"
#include "sql/arguments.h"
#include "sql/explained_words.h"
#include "sql/highlight.h"

/* What is marked. */
typedef enum Method
{
	METHOD_AUTO, /* by the kind of model */
	METHOD_SURPRISE,
	METHOD_GRADIENTS,
	METHOD_OCCLUSION,
} Method;

static GPT_WORDS(method_name, [METHOD_AUTO] = "auto", [METHOD_SURPRISE] = "surprise",
				 [METHOD_GRADIENTS] = "gradients", [METHOD_OCCLUSION] = "occlusion");

/*
 * Bits from which a word has a level: one that the model gave a chance of 1 in 256, 4,096, 65,536,
 * 1,048,576. The same for all texts, so that texts can be compared.
 */
static const double bits_of_level[GPT_HIGHLIGHT_LEVELS] = {8, 12, 16, 20};
/* The same of weights, as shares of the largest. */
static const double share_of_level[GPT_HIGHLIGHT_LEVELS] = {0.1, 0.25, 0.5, 0.75};

/* A text on its way to a terminal. */
typedef struct Highlight
{
	const char *model;
	LmBytes input;
	GptHighlightStyle style;
	StringInfoData marked;
} Highlight;

PG_FUNCTION_INFO_V1(gpt_highlight);

static Method method_of(const GptServed *served);
static void mark_surprise(Highlight *highlight, const GptServed *served);
static double bits_until(GptTokenWalk *walk, bool *more, size_t end);
static void mark_decisive(Highlight *highlight, FmgrInfo *function, bool by_gradients);
static void put(Highlight *highlight, LmBytes text, size_t start, size_t end, int level);
static int level_of(double value, const double *levels);

/*
 * gpt_highlight(model text, input text, method text DEFAULT 'auto', style text DEFAULT 'brackets')
 * RETURNS text
 *
 * NULL model or input gives NULL, NULL elsewhere means the default.
 */
Datum
gpt_highlight(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	Highlight highlight;
	Method method;
	text *input;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	method = gpt_argument_word(fcinfo, 2, "method", method_name);
	highlight.style = gpt_argument_word(fcinfo, 3, "style", gpt_highlight_style_name);
	highlight.model = gpt_argument_text(fcinfo, 0);
	input = PG_GETARG_TEXT_PP(1);
	highlight.input = (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};
	served = gpt_cache_acquire(
		highlight.model, method == METHOD_SURPRISE ? GPT_SERVED_LANGUAGE_MODEL : GPT_SERVED_ANY);
	if (method == METHOD_AUTO)
		method = method_of(served);
	gpt_highlight_check(highlight.input.size);

	/* Now do the work. */
	initStringInfo(&highlight.marked);
	if (method == METHOD_SURPRISE)
		mark_surprise(&highlight, served);
	else
		mark_decisive(&highlight, fcinfo->flinfo, method == METHOD_GRADIENTS);
	gpt_cache_release(served);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(highlight.marked.data, highlight.marked.len));
}

/* Layers behind an encoder cannot be looked into. */
static Method
method_of(const GptServed *served)
{
	if (served->config->labels == 0)
		return METHOD_SURPRISE;
	return served->config->architecture == LM_ENCODER_DECODER ? METHOD_OCCLUSION : METHOD_GRADIENTS;
}

static int
level_of(double value, const double *levels)
{
	int level = 0;

	while (level < GPT_HIGHLIGHT_LEVELS && value >= levels[level])
		level++;
	return level;
}

/* ---- Surprising words -------------------------------------------------------- */

/* A token counts for the word in which it ends; white space for the word after it. */
static void
mark_surprise(Highlight *highlight, const GptServed *served)
{
	GptTokenScores *tokens = gpt_token_scores(served, (LmBytes){NULL, 0}, highlight->input);
	LmSegment segment;
	LmSegmenter *segmenter;
	GptTokenWalk walk;
	double bits = 0;
	LmError error;
	bool more;

	gpt_highlight_check(tokens->text.size);
	segmenter =
		lm_segmenter_create(gpt_bridge_host(CurrentMemoryContext), LM_SEGMENT_WORD, "root", &error);
	if (segmenter == NULL)
		gpt_bridge_raise(&error);
	gpt_token_walk_begin(&walk, tokens);
	more = gpt_token_walk_next(&walk);
	lm_segmenter_start(segmenter, tokens->text.data, tokens->text.size);
	for (;;)
	{
		int level;

		CHECK_FOR_INTERRUPTS();
		if (!lm_segmenter_next(segmenter, &segment, &error))
		{
			gpt_bridge_retry(&error);
			continue;
		}
		if (segment.end == segment.start)
			break;
		bits += bits_until(&walk, &more, segment.end);
		level = segment.type == LM_SEGMENT_SPACE ? 0 : level_of(bits, bits_of_level);
		if (segment.type != LM_SEGMENT_SPACE)
			bits = 0;
		gpt_highlight_put(&highlight->marked,
						  (LmBytes){tokens->text.data + segment.start, segment.end - segment.start},
						  level, false, highlight->style);
	}
	lm_segmenter_free(segmenter);
}

/* Bits of the tokens up to the one that ends after `end`, which the walk then is at. */
static double
bits_until(GptTokenWalk *walk, bool *more, size_t end)
{
	double bits = 0;

	while (*more && walk->end <= end)
	{
		bits -= walk->tokens->scores[walk->i].logprob / M_LN2;
		*more = gpt_token_walk_next(walk);
	}
	return bits;
}

/* ---- Decisive words ---------------------------------------------------------- */

static void
mark_decisive(Highlight *highlight, FmgrInfo *function, bool by_gradients)
{
	GptExplainedWords words;
	double largest = 0;
	size_t at = 0;

	gpt_explain_words(&words, function, highlight->model, highlight->input, by_gradients);
	gpt_highlight_check(words.text.size);
	for (size_t i = 0; i < words.n; i++)
		largest = Max(largest, fabs(words.words[i].weight));
	for (size_t i = 0; i < words.n; i++)
	{
		const GptExplainedWord *word = &words.words[i];
		int level = largest > 0 ? level_of(fabs(word->weight) / largest, share_of_level) : 0;

		CHECK_FOR_INTERRUPTS();
		put(highlight, words.text, at, word->start, 0);
		put(highlight, words.text, word->start, word->end, word->weight < 0 ? -level : level);
		at = word->end;
	}
	put(highlight, words.text, at, words.text.size, 0);
}

static void
put(Highlight *highlight, LmBytes text, size_t start, size_t end, int level)
{
	if (end > start)
		gpt_highlight_put(&highlight->marked, (LmBytes){text.data + start, end - start}, level,
						  true, highlight->style);
}
