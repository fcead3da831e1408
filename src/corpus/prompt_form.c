/*
 * src/corpus/prompt_form.c
 *
 * Options, base and rows go in, the form in which prompts are written comes out.
 *
 * A special token ends a prompt wherever a completion can begin, and no row can forge it. But users
 * whose prompts all end in a sign of their own ("=>", "Answer:") have a separator: their models
 * read prompts as they are.
 */
#include "postgres.h"

#include "corpus/corpus.h"
#include "corpus/prompt_form.h"
#include "store/catalog.h"
#include "store/model_extras.h"

#define AS_IT_IS LM_PROMPT_PLACE
#define SEPARATED LM_PROMPT_PLACE LM_SEPARATOR

/* Tokens that other tokenizers have for this purpose: of BERT and many after it; of XLNet. */
static const char *const separators[] = {LM_SEPARATOR, "<|sep|>", "<sep>", "[SEP]"};

/* The form of the base; false where the base was not trained on prompts. */
static bool
take_base(GptPromptForm *form, const GptGivenTokenizer *given)
{
	LmPromptTemplate written;
	char *end;

	if (given == NULL)
		return false;
	if (!gpt_extras_prompt(&written, &end, given->extras))
		return given->prompted;
	snprintf(form->template, sizeof(form->template), "%.*s%s%.*s", (int) written.before.size,
			 written.before.data, LM_PROMPT_PLACE, (int) written.after.size, written.after.data);
	if (end != NULL)
		strlcpy(form->end, end, sizeof(form->end));
	return true;
}

GptPromptForm
gpt_prompt_form_choose(const GptTrainOptions *options, const GptGivenTokenizer *given,
					   const GptSpool *spool)
{
	return gpt_prompt_form_of(options, given, gpt_spool_task(spool), gpt_spool_marked(spool),
							  gpt_spool_ending(spool));
}

GptPromptForm
gpt_prompt_form_of(const GptTrainOptions *options, const GptGivenTokenizer *given,
				   const GptTask *task, bool marked, LmBytes common)
{
	GptPromptForm form = {.template = AS_IT_IS};
	size_t n_end = lm_prompt_ending(common);

	if (options->prompt_template != NULL)
	{
		bool is_none = strcmp(options->prompt_template, GPT_NO_TEMPLATE) == 0;

		form.is_kept = true;
		strlcpy(form.template, is_none ? AS_IT_IS : options->prompt_template,
				sizeof(form.template));
		return form;
	}
	if (take_base(&form, given) || !task->prompted || marked)
		return form;
	/* The base, with which it is compared, reads prompts as the fine-tuned model does. */
	if (given != NULL && strcmp(task->name, GPT_TASK_PREFERENCE) == 0)
		return form;
	form.is_kept = true;
	if (n_end > 0)
	{
		memcpy(form.end, common.data + common.size - n_end, n_end);
		return form;
	}
	form.is_default = true;
	strlcpy(form.template, SEPARATED, sizeof(form.template));
	return form;
}

void
gpt_prompt_form_special(GptTokenizerChoice *choice, const GptPromptForm *form)
{
	if (strstr(form->template, LM_SEPARATOR) != NULL)
		choice->special[choice->n_special++] = LM_SEPARATOR;
}

void
gpt_prompt_form_fit(GptPromptForm *form, const LmTokenizer *tokenizer)
{
	int32 end = lm_tokenizer_spec(tokenizer)->end_of_text;
	LmBytes name;

	if (!form->is_default)
		return;
	for (int i = 0; i < lengthof(separators); i++)
	{
		if (lm_prompt_token(tokenizer, separators[i]) < 0)
			continue;
		snprintf(form->template, sizeof(form->template), AS_IT_IS "%s", separators[i]);
		return;
	}
	name = end >= 0 ? lm_tokenizer_name(tokenizer, end) : (LmBytes){"", 0};
	snprintf(form->template, sizeof(form->template), AS_IT_IS "%.*s", (int) name.size, name.data);
}

LmPromptTemplate
gpt_prompt_form_template(const GptPromptForm *form)
{
	LmPromptTemplate template = {{NULL, 0}, {NULL, 0}};

	(void) lm_prompt_template_parse(&template, (LmBytes){form->template, strlen(form->template)});
	return template;
}

const char *
gpt_prompt_form_extras(const GptPromptForm *form, const char *extras)
{
	if (!form->is_kept)
		return extras;
	return gpt_extras_with_prompt(extras, form->template, form->end[0] != '\0' ? form->end : NULL);
}
