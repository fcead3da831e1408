/*
 * src/serve/token_scores.c
 *
 * The scores of a text's tokens, by the way that gpt_score goes, and a walk over the tokens that
 * finds each in the text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "serve/call.h"
#include "serve/token_scores.h"

static Datum copy_scores(const GptCall *call, const GptServed *served, bool *is_null);
static LmBytes spelled(const GptTokenScores *tokens);
static bool fits(const GptTokenScores *tokens);
static size_t piece_size(const GptTokenWalk *walk);
static LmBytes piece_of(const GptTokenScores *tokens, size_t i);
static bool stands_at(LmBytes piece, LmBytes text, size_t at);
static size_t whole_until(LmBytes text, size_t at);

/* Not called by a row of a query, so it is in no list of kinds. */
static const GptCallKind tokens_call = {.name = "gpt_tokens",
										.result_type = INTERNALOID,
										.task = LM_TASK_SCORE,
										.served = GPT_SERVED_LANGUAGE_MODEL,
										.result = copy_scores};

GptTokenScores *
gpt_token_scores_or_null(LmError *error, const GptServed *served, LmBytes prompt, LmBytes input)
{
	GptTokenScores *tokens;
	GptAnswer answer;
	GptCall call;

	memset(&call, 0, sizeof(call));
	call.request.task = LM_TASK_SCORE;
	call.request.each = true;
	call.cleaning = GPT_CALL_CLEANED;
	call.request.text = gpt_cleaner_text(NULL, served->cleaner, input,
										 prompt.data != NULL ? LM_CLEAN_KEEP_START : 0);
	if (prompt.data != NULL)
		call.request.prompt = gpt_cleaner_text(NULL, served->cleaner, prompt, LM_CLEAN_KEEP_END);
	/* A byte makes at most one token, mostly; the engine's scores are copied. */
	gpt_call_answer(&answer, &tokens_call, served, &call, 1,
					(uint64) call.request.text.size * 2 * sizeof(LmTokenScore), NULL);
	if (answer.error != NULL)
	{
		*error = *answer.error;
		return NULL;
	}
	tokens = (GptTokenScores *) DatumGetPointer(answer.value);
	tokens->tokenizer = served->tokenizer;
	tokens->text = call.request.text;
	if (lm_tokenizer_spec(served->tokenizer)->normalize_nfc && tokens->text.size > 0)
		tokens->text = gpt_bridge_nfc(tokens->text);
	if (!fits(tokens))
		tokens->text = spelled(tokens);
	return tokens;
}

GptTokenScores *
gpt_token_scores(const GptServed *served, LmBytes prompt, LmBytes input)
{
	LmError error;
	GptTokenScores *tokens = gpt_token_scores_or_null(&error, served, prompt, input);

	if (tokens == NULL)
		gpt_bridge_raise(&error);
	return tokens;
}

/* The engine's scores live until the next request. */
static Datum
copy_scores(const GptCall *call, const GptServed *served, bool *is_null)
{
	size_t size = call->request.n_each * sizeof(LmTokenScore);
	GptTokenScores *tokens =
		MemoryContextAllocHuge(CurrentMemoryContext, offsetof(GptTokenScores, scores) + size);

	tokens->n = call->request.n_each;
	if (size > 0)
		memcpy(tokens->scores, call->request.tokens, size);
	*is_null = false;
	return PointerGetDatum(tokens);
}

/* Whether the pieces of the tokens, one after the other, are the text. */
static bool
fits(const GptTokenScores *tokens)
{
	GptTokenWalk walk;
	size_t at = 0;

	gpt_token_walk_begin(&walk, tokens);
	while (gpt_token_walk_next(&walk))
	{
		LmBytes piece = piece_of(tokens, walk.i);
		size_t size = walk.end - walk.start;

		CHECK_FOR_INTERRUPTS();
		/* A space that the tokenizer puts in front of a text is not in it. */
		if (piece.size > size)
			piece = (LmBytes){piece.data + 1, size};
		if (walk.end > tokens->text.size ||
			(piece.size > 0 && !stands_at(piece, tokens->text, walk.start)))
			return false;
		at = walk.end;
	}
	return at == tokens->text.size;
}

/*
 * What the tokens spell, without a space that the tokenizer puts in front of texts; bytes that are
 * no UTF-8 are question marks.
 */
static LmBytes
spelled(const GptTokenScores *tokens)
{
	bool strip = lm_tokenizer_spec(tokens->tokenizer)->prefix != LM_PREFIX_NONE;
	size_t size = 0, used = 0, bad;
	char *text;

	for (size_t i = 0; i < tokens->n; i++)
		size += piece_of(tokens, i).size;
	gpt_bridge_check_memory(size);
	text = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);
	for (size_t i = 0; i < tokens->n; i++)
	{
		LmBytes piece = piece_of(tokens, i);
		size_t skipped = strip && i == 0 && piece.size > 0 && piece.data[0] == ' ' ? 1 : 0;

		CHECK_FOR_INTERRUPTS();
		memcpy(text + used, piece.data + skipped, piece.size - skipped);
		used += piece.size - skipped;
	}
	for (size_t at = 0; !lm_utf8_valid(text + at, used - at, &bad); at += bad + 1)
		text[at + bad] = '?';
	return (LmBytes){text, used};
}

/* ---- The walk --------------------------------------------------------------- */

void
gpt_token_walk_begin(GptTokenWalk *walk, const GptTokenScores *tokens)
{
	*walk = (GptTokenWalk){.tokens = tokens};
}

bool
gpt_token_walk_next(GptTokenWalk *walk)
{
	LmBytes text = walk->tokens->text;

	if (walk->n_seen == walk->tokens->n)
		return false;
	walk->i = walk->n_seen++;
	walk->start = walk->end;
	walk->end += piece_size(walk);
	walk->text_start = walk->text_end;
	walk->text_end = Max(walk->text_start, whole_until(text, walk->end));
	return true;
}

/* Bytes of the text that the token at hand stands for; walk->start is where it begins. */
static size_t
piece_size(const GptTokenWalk *walk)
{
	const GptTokenScores *tokens = walk->tokens;
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokens->tokenizer);
	LmBytes piece = piece_of(tokens, walk->i), text = tokens->text;
	LmBytes next = walk->i + 1 < tokens->n ? piece_of(tokens, walk->i + 1) : (LmBytes){"", 0};
	size_t at = walk->start;

	if (piece.size > 0)
	{
		bool skips = walk->i == 0 && spec->prefix != LM_PREFIX_NONE && piece.data[0] == ' ' &&
					 !stands_at(piece, text, at);

		return piece.size - (skips ? 1 : 0);
	}
	if (tokens->scores[walk->i].id != spec->unknown)
		return 0;
	/* The character without a token; where these are fused all up to the next token. */
	do
	{
		if (at >= text.size)
			break;
		at += Max(lm_utf8_length(text.data + at, text.size - at), 1);
	} while (spec->fuse_unknown && (next.size == 0 || !stands_at(next, text, at)));
	return at - walk->start;
}

static LmBytes
piece_of(const GptTokenScores *tokens, size_t i)
{
	return lm_tokenizer_bytes(tokens->tokenizer, tokens->scores[i].id);
}

static bool
stands_at(LmBytes piece, LmBytes text, size_t at)
{
	return at <= text.size && piece.size <= text.size - at &&
		   memcmp(text.data + at, piece.data, piece.size) == 0;
}

/* The end of the last whole character before a place. */
static size_t
whole_until(LmBytes text, size_t at)
{
	if (at >= text.size)
		return text.size;
	while (at > 0 && ((unsigned char) text.data[at] & 0xC0) == 0x80)
		at--;
	return at;
}
