/*
 * include/engine/prompt.h
 *
 * How a model's prompts are written in front of their completions: a template with a place for the
 * prompt. In the template the names of special tokens are these tokens; in the prompt they are
 * text.
 */
#ifndef LM_PROMPT_H
#define LM_PROMPT_H

#include "engine/tokenizer.h"

#define LM_PROMPT_PLACE "{prompt}"
#define LM_SEPARATOR "<|separator|>" /* the special token of tokenizers made for prompts */

/* The texts around a prompt; both empty: it is read as it is. It owns nothing. */
typedef struct LmPromptTemplate
{
	LmBytes before;
	LmBytes after;
} LmPromptTemplate;

/* Cuts a template at its place; false unless the text has exactly one. */
bool lm_prompt_template_parse(LmPromptTemplate *parsed, LmBytes text);

/* Whether the template writes anything around a prompt. */
static inline bool
lm_prompt_is_written(const LmPromptTemplate *written)
{
	return written->before.size + written->after.size > 0;
}

/*
 * A prompt in its template, as a marked text (engine/marked_text.h); _size returns how many bytes
 * that is, _write fills them. Only for a template that writes something.
 */
size_t lm_prompt_size(const LmPromptTemplate *written, size_t prompt_size);
void lm_prompt_write(char *marked, const LmPromptTemplate *written, LmBytes prompt);

/*
 * Appends the tokens of a prompt in its template; *part: the flags for the completion after it
 * (LmEncodeFlag). Errors of lm_tokenizer_encode.
 */
bool lm_prompt_encode(LmTokenizer *tokenizer, LmTokens *tokens, int *part,
					  const LmPromptTemplate *written, LmBytes prompt, LmError *error);

/* The id of a special or added token by its name; -1: there is none. */
int32_t lm_prompt_token(const LmTokenizer *tokenizer, const char *name);

/*
 * The size of the common end of all prompts that the writer of the rows has put there as a
 * separator: 0 where the end does not look like one. It looks like one if it ends in white space or
 * in a sign that ends no sentence, as "=>", "A: " and "###" do.
 */
size_t lm_prompt_ending(LmBytes common);

#endif /* LM_PROMPT_H */
