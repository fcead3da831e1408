/*
 * include/corpus/prompt_form.h
 *
 * How the prompts of a training are written, and how all of them end: what a version keeps, so that
 * its prompts are written alike ever after.
 */
#ifndef GPT_PROMPT_FORM_H
#define GPT_PROMPT_FORM_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/spool.h"
#include "engine/prompt.h"

struct GptGivenTokenizer;

/* Plain bytes, for a checkpoint. */
typedef struct GptPromptForm
{
	bool is_kept; /* in the version's extras; false: they stay as they are */
	bool is_default; /* the separator may be another token, if the tokenizer lacks it */
	char template[GPT_PROMPT_TEMPLATE_SIZE + 1]; /* a text with {prompt} */
	char end[GPT_ENDING_SIZE + 1]; /* of all prompts, where that is their separator; or empty */
} GptPromptForm;

/*
 * Chooses the form: that of option "prompt_template"; or that of the base, which is none where its
 * prompts were written without, or where preferences are compared with it; or, for rows with
 * prompts, nothing if all prompts end in the same sign, and a special token otherwise. given: the
 * base's; NULL: none.
 */
extern GptPromptForm gpt_prompt_form_choose(const GptTrainOptions *options,
											const struct GptGivenTokenizer *given,
											const GptSpool *spool);

/* The same of rows of a task; ending: the bytes in which all their prompts end. */
extern GptPromptForm gpt_prompt_form_of(const GptTrainOptions *options,
										const struct GptGivenTokenizer *given, const GptTask *task,
										bool marked, LmBytes ending);

/* Adds LM_SEPARATOR to the special tokens of a tokenizer that the job makes, if the form has it. */
extern void gpt_prompt_form_special(GptTokenizerChoice *choice, const GptPromptForm *form);

/*
 * Takes a token that the tokenizer has, where the default separator is none of its: a token of that
 * purpose by its name, or else the end token.
 */
extern void gpt_prompt_form_fit(GptPromptForm *form, const LmTokenizer *tokenizer);

/* The template, whose texts are the form's. */
extern LmPromptTemplate gpt_prompt_form_template(const GptPromptForm *form);

/* The extras with the form, if they are to keep it. */
extern const char *gpt_prompt_form_extras(const GptPromptForm *form, const char *extras);

#endif /* GPT_PROMPT_FORM_H */
