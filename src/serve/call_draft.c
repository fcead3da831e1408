/*
 * src/serve/call_draft.c
 *
 * From the name of a draft to its session in the engine, for a model that it may propose tokens to.
 */
#include "postgres.h"

#include "serve/call_draft.h"

static void check(const GptServed *draft, const GptServed *served);

LmSession *
gpt_draft_session(List **held, const char *name, const GptServed *served)
{
	ListCell *cell;
	const GptServed *draft;

	foreach (cell, *held)
	{
		draft = lfirst(cell);
		if (strcmp(draft->model, name) != 0)
			continue;
		check(draft, served);
		return gpt_cache_draft(draft);
	}
	draft = gpt_cache_acquire(name, GPT_SERVED_LANGUAGE_MODEL);
	check(draft, served);
	*held = lappend(*held, unconstify(GptServed *, draft));
	return gpt_cache_draft(draft);
}

/* The errors of the engine's own check, with names. */
static void
check(const GptServed *draft, const GptServed *served)
{
	if (gpt_cache_session(draft) == gpt_cache_session(served))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" cannot be its own draft", served->model),
			 errdetail("A draft saves time where it is smaller than the model."),
			 errhint("Name a smaller model with the same tokenizer, or use draft => 'prompt'.")));
	if (draft->tokenizer != served->tokenizer)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("draft \"%s\" and model \"%s\" have different tokenizers",
							   draft->model, served->model),
						errhint("Train the draft with the tokenizer of the model: option "
								"\"tokenizer\" of gpt_train. gpt_models names it.")));
	if (draft->config->architecture != LM_DECODER)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("draft \"%s\" has architecture \"%s\"", draft->model,
							   lm_architecture_name(draft->config->architecture)),
						errdetail("Only models of architecture \"decoder\" can be drafts.")));
}

void
gpt_drafts_release(List *held)
{
	ListCell *cell;

	foreach (cell, held)
		gpt_cache_release(lfirst(cell));
	list_free(held);
}
