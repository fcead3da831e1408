/*
 * include/store/model_extras.h
 *
 * What a version has beside its arithmetic, as members of its config: how to talk with it, and
 * where it comes from. A further training takes them over.
 *
 *   "chat"         template of conversations: a name or an object (core/chat.h)
 *   "clean"        how texts are cleaned, in the kept form of core/clean_options.h
 *   "end_tokens"   ids that end a generated text, beside the tokenizer's end token
 *   "preference"   {"objective": "dpo", "beta": ...}: how preferences were learnt in its training
 *   "prompt"       {"template": "{prompt}<|separator|>", "end": " =>"}: how prompts are written
 *                  before their completions, and how all prompts of the training ended, where a
 *                  template writes nothing after them
 *   "sampling"     {"temperature": ..., "top_k": ..., "top_p": ..., "min_p": ...,
 *                  "repetition_penalty": ...}: what gpt_chat samples with unless the caller says
 *   "source"       of an imported model: format, name, licence, quantization
 */
#ifndef GPT_MODEL_EXTRAS_H
#define GPT_MODEL_EXTRAS_H

#include "core/chat.h"
#include "core/json_tree.h"
#include "engine/prompt.h"
#include "engine/tokenizer.h"

/* These members of a version's config (a jsonb), as the text of an object, palloc'd; NULL: none. */
extern char *gpt_extras_of(Datum config);

/* The template of conversations, palloc'd; NULL: there is none. extras: NULL is fine. */
extern const GptChatTemplate *gpt_extras_chat(const char *extras);

/* The same as JSON text, for gpt_chat_to_jinja. */
extern char *gpt_extras_chat_json(const char *extras);

/* The options of cleaning as JSON text, palloc'd; NULL: there are none. */
extern char *gpt_extras_clean(const char *extras);

/* The extras with other options of cleaning (the kept form; NULL: none), palloc'd; NULL: nothing.
 */
extern char *gpt_extras_with_clean(const char *extras, const char *clean);

/*
 * How prompts are written; its texts are palloc'd. *end: how they end, palloc'd, or NULL. False:
 * the extras do not say it.
 */
extern bool gpt_extras_prompt(LmPromptTemplate *written, char **end, const char *extras);

/* The extras with another such template (a text with {prompt}) and end (or NULL), palloc'd. */
extern char *gpt_extras_with_prompt(const char *extras, const char *template, const char *end);

/*
 * The members that say how texts of the model are written, "clean" and "prompt", as the text of an
 * object, palloc'd; NULL: there are none. A weights file keeps them. _with_texts: the extras with
 * those of a file of anybody, palloc'd; texts: as the file has them, or NULL; an error if they are
 * not valid.
 */
extern char *gpt_extras_of_texts(const char *extras);
extern char *gpt_extras_with_texts(const char *extras, const char *texts);

/*
 * The beta with which the version learnt preferences by this objective ("dpo" or "orpo"); NaN: it
 * did not, or another training followed.
 */
extern double gpt_extras_beta(const char *extras, const char *objective);

/* The extras with another objective and beta (NULL: none), palloc'd; NULL: nothing. */
extern char *gpt_extras_with_beta(const char *extras, const char *objective, double beta);

/* The ids of "end_tokens", palloc'd; returns their number. */
extern int gpt_extras_ends(int32 **ends, const char *extras);

/* A number of "sampling"; by_default where it has none. */
extern double gpt_extras_sampling(const char *extras, const char *name, double by_default);

/*
 * The extras with another chat template (JSON text of gpt_chat_template), and with what ends its
 * answers among the end tokens, as far as the tokenizer has tokens for it. spec has its tokens.
 * palloc'd.
 */
extern char *gpt_extras_with_chat(const char *extras, const char *chat,
								  const LmTokenizerSpec *spec);

/*
 * The sampling of a generation_config.json, as the text of an object for "sampling", palloc'd; NULL
 * where it has none. Where it says "do_sample": false, the temperature is 0. Raises an error for a
 * number out of range.
 */
extern char *gpt_extras_of_generation_config(const GptJson *config);

#endif /* GPT_MODEL_EXTRAS_H */
