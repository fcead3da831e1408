/*
 * src/serve/call_notice.c
 *
 * A generation that is done goes in; notices about its prompt come out: that it was cut, and that
 * the model cannot have been trained for it.
 */
#include "postgres.h"

#include "serve/call.h"
#include "store/model_extras.h"

static void raise_ended_at_once(const GptServed *served);

/* Whether the prompt ends as those of the model's training did, as far as that is known. */
static bool
ends_as_trained(LmBytes prompt, const GptServed *served)
{
	size_t size = served->prompt_end != NULL ? strlen(served->prompt_end) : 0;

	return size == 0 || (prompt.size >= size &&
						 memcmp(prompt.data + prompt.size - size, served->prompt_end, size) == 0);
}

int
gpt_call_notices(const LmRequest *request, const GptServed *served)
{
	bool written = lm_prompt_is_written(&served->prompt) || request->sampling.marked;
	int notices = request->truncated ? GPT_NOTICE_TRUNCATED : 0;

	if (request->task != LM_TASK_GENERATE || request->generation != NULL || written ||
		!served->prompted)
		return notices;
	if (!ends_as_trained(request->prompt, served))
		notices |= GPT_NOTICE_OTHER_END;
	else if (served->prompt_end == NULL && request->n_tokens == 0)
		notices |= GPT_NOTICE_ENDED_AT_ONCE;
	return notices;
}

/* fn_extra lives as long as the call in the plan. */
void
gpt_call_notice(FunctionCallInfo fcinfo, int notices, const GptServed *served)
{
	int *raised = fcinfo->flinfo->fn_extra;

	if (notices == 0)
		return;
	if (raised == NULL)
		raised = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(int));
	fcinfo->flinfo->fn_extra = raised;
	gpt_call_raise_notices(notices & ~*raised, served);
	*raised |= notices;
}

void
gpt_call_raise_notices(int notices, const GptServed *served)
{
	if (notices & GPT_NOTICE_TRUNCATED)
		ereport(NOTICE, (errmsg("prompt is longer than the context of the model, only its last %d "
								"tokens are used",
								served->config->context - 1)));
	if (notices & GPT_NOTICE_OTHER_END)
		ereport(NOTICE, (errmsg("prompt does not end in \"%s\", as all prompts did that the model "
								"was trained on",
								served->prompt_end)));
	if (notices & GPT_NOTICE_ENDED_AT_ONCE)
		raise_ended_at_once(served);
}

/* A prompt that is no conversation, to a model of conversations, or one without the right end. */
static void
raise_ended_at_once(const GptServed *served)
{
	if (gpt_extras_chat(served->extras) != NULL)
		ereport(NOTICE, (errmsg("the model ended the text at once"),
						 errdetail("It was trained to answer in conversations."),
						 errhint("Use gpt_chat.")));
	else
		ereport(
			NOTICE,
			(errmsg("the model ended the text at once"),
			 errdetail("It was trained on prompts and completions with nothing between them, so "
					   "it completes only prompts that end as those did."),
			 errhint("End the prompt so, or train the model again: a separator is then kept "
					 "with it.")));
}
