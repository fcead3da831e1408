/*
 * include/engine/marked_text.h
 *
 * A text in which a chat template and what people wrote stand side by side, and its tokens. The
 * parts are told apart by marks, which no text of a database holds: a NUL and a letter. So special
 * tokens come from the template's parts only, and a message cannot forge a turn.
 *
 *   text   | \0T <|im_start|>user\n | \0C Hello | \0T <|im_end|>\n |
 *
 * Parts between two special tokens are encoded together, as one text.
 */
#ifndef LM_MARKED_TEXT_H
#define LM_MARKED_TEXT_H

#include "engine/tokenizer.h"

/* The letters after a NUL. A text begins as template, and as context. */
typedef enum LmMark
{
	LM_MARK_TEMPLATE = 'T', /* from here on: names of special tokens are those tokens */
	LM_MARK_CONTENT = 'C', /* from here on: names of special tokens are text */
	LM_MARK_LEARNED = 'L', /* from here on: predictions count */
	LM_MARK_CONTEXT = 'P', /* from here on: predictions do not count */
	LM_MARK_BEGINNING = 'B', /* the BOS token, or else the end token; nothing without either */
	LM_MARK_END = 'E', /* the end token; nothing where the tokenizer has none */
} LmMark;

/* Added to the id of a token whose prediction does not count; above all ids. */
#define LM_ID_CONTEXT (1 << 30)

/*
 * Appends the ids of a marked text. flagged: ids of context get LM_ID_CONTEXT; a text is then cut
 * where it begins or ceases to be learned, as a prompt is cut from its continuation. In a template
 * the names of special and added tokens are these tokens. In a content they are text, but for added
 * tokens like tags (<think>, <tool_call>) that the template's parts do not have: a turn of Gemma is
 * a tag. LM_ERR_FORMAT for an unknown mark; errors of lm_tokenizer_encode.
 */
bool lm_marked_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
					  bool flagged, LmError *error);

/* The same for a prompt and its continuation, without flags; *n_prompt: the ids of the prompt. */
bool lm_marked_encode_both(LmTokenizer *tokenizer, LmTokens *tokens, size_t *n_prompt,
						   LmBytes prompt, LmBytes text, LmError *error);

/* Bytes of content that are learned. */
size_t lm_marked_learned_size(const char *text, size_t size);

/*
 * The next learned part of a text from *position on, from its mark to the one that ends it;
 * *position moves behind it. False: there is none.
 */
bool lm_marked_next(LmBytes *learned, size_t *position, LmBytes text);

/* Copies what is content in a text to a buffer of its size; returns how many bytes that are. */
size_t lm_marked_content(char *content, LmBytes text);

#endif /* LM_MARKED_TEXT_H */
