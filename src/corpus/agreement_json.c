/*
 * src/corpus/agreement_json.c
 *
 * An agreement becomes jsonb, and JSON, whoever sent it, becomes an agreement.
 */
#include "postgres.h"

#include <math.h>

#include "core/compat.h"
#include "core/json_tree.h"
#include "core/json_writer.h"
#include "corpus/agreement.h"

#define MOST_CONTEXT (1024 * 1024)
#define MOST_NODES (LM_MAX_LABELS + 4096)

static void write_server(GptJsonWriter *json, const GptSurvey *survey);
static void read_labels(GptAgreement *agreement, const GptJson *labels);
static void read_prompt(GptPromptForm *form, const GptJson *prompt);

Jsonb *
gpt_agreement_to_json(const GptAgreement *agreement, GptSurvey *const *surveys, int n, int64 least)
{
	GptJsonWriter json = {NULL};

	gpt_json_begin(&json, NULL);
	gpt_json_put_integer(&json, "context", agreement->context);
	gpt_json_put_integer(&json, "vocabulary", lm_tokenizer_spec(agreement->tokenizer)->n_tokens);
	if (least > 0)
		gpt_json_put_integer(&json, "least_count", least);
	if (agreement->n_labels > 0)
	{
		gpt_json_begin_array(&json, "labels");
		for (int i = 0; i < agreement->n_labels; i++)
			gpt_json_put_text(&json, NULL, agreement->labels[i]);
		gpt_json_end_array(&json);
	}
	if (agreement->numbers.scale > 0)
	{
		/* Nine digits tell any two values of float32 apart. */
		gpt_json_begin(&json, "numbers");
		gpt_json_put_rounded(&json, "mean", agreement->numbers.mean, 9);
		gpt_json_put_rounded(&json, "scale", agreement->numbers.scale, 9);
		gpt_json_end(&json);
	}
	gpt_json_begin(&json, "prompt");
	gpt_json_put_boolean(&json, "kept", agreement->prompt.is_kept);
	gpt_json_put_boolean(&json, "default", agreement->prompt.is_default);
	gpt_json_put_text(&json, "template", agreement->prompt.template);
	gpt_json_put_text(&json, "end", agreement->prompt.end);
	gpt_json_end(&json);
	gpt_json_begin_array(&json, "servers");
	for (int i = 0; i < n; i++)
		write_server(&json, surveys[i]);
	gpt_json_end_array(&json);
	return gpt_json_finish(&json);
}

static void
write_server(GptJsonWriter *json, const GptSurvey *survey)
{
	gpt_json_begin(json, NULL);
	gpt_json_put_text(json, "server", survey->server);
	gpt_json_put_integer(json, "documents", survey->documents);
	gpt_json_put_integer(json, "skipped", survey->skipped);
	gpt_json_put_integer(json, "held_out", survey->held_out);
	gpt_json_put_integer(json, "bytes", survey->texts.bytes);
	if (survey->has_words)
	{
		gpt_json_put_integer(json, "word_floor", survey->words.floor);
		gpt_json_put_integer(json, "words", survey->words.n);
		gpt_json_put_integer(json, "rare_words", survey->words.n_rare);
		gpt_json_put_integer(json, "rare_occurrences", survey->words.rare_occurrences);
		gpt_json_put_integer(json, "counted_bytes", survey->counted_bytes);
	}
	if (survey->n_labels > 0)
	{
		gpt_json_begin(json, "labels");
		for (int i = 0; i < survey->n_labels; i++)
			gpt_json_put_integer(json, survey->labels[i].name,
								 survey->labels[i].n_rows[GPT_SIDE_TRAIN]);
		gpt_json_end(json);
	}
	gpt_json_end(json);
}

/* ---- Reading ------------------------------------------------------------ */

pg_noreturn static void
raise_wrong(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("agreement of the servers has a wrong value \"%s\"", what)));
}

static float
number_of(const GptJson *numbers, const char *name)
{
	const GptJson *node = gpt_json_field(numbers, name);
	float number = node != NULL && node->type == GPT_JSON_NUMBER ? strtof(node->text, NULL) : NAN;

	if (!isfinite(number))
		raise_wrong(name);
	return number;
}

GptAgreement *
gpt_agreement_from_json(const char *json, size_t size)
{
	GptAgreement *agreement = palloc0(sizeof(GptAgreement));
	const GptJson *root = gpt_json_parse(json, size, MOST_NODES, "agreement of the servers");
	const GptJson *numbers = gpt_json_field(root, "numbers");

	agreement->context = gpt_json_integer(gpt_json_field(root, "context"), MOST_CONTEXT);
	if (agreement->context < 0)
		raise_wrong("context");
	if (numbers != NULL)
	{
		agreement->numbers = (GptNumbers){number_of(numbers, "mean"), number_of(numbers, "scale")};
		if (agreement->numbers.scale <= 0)
			raise_wrong("scale");
	}
	read_labels(agreement, gpt_json_field(root, "labels"));
	read_prompt(&agreement->prompt, gpt_json_field(root, "prompt"));
	return agreement;
}

static void
read_labels(GptAgreement *agreement, const GptJson *labels)
{
	if (labels == NULL)
		return;
	if (labels->type != GPT_JSON_ARRAY || labels->count > LM_MAX_LABELS)
		raise_wrong("labels");
	agreement->labels = palloc0(Max(labels->count, 1) * sizeof(char *));
	for (const GptJson *label = labels->first; label != NULL; label = label->next)
	{
		const char *name = gpt_json_string(label);

		if (name == NULL || strlen(name) > GPT_LABEL_SIZE)
			raise_wrong("labels");
		agreement->labels[agreement->n_labels++] = pstrdup(name);
	}
}

static bool
boolean_of(const GptJson *object, const char *name)
{
	const GptJson *node = gpt_json_field(object, name);

	if (node == NULL || (node->type != GPT_JSON_TRUE && node->type != GPT_JSON_FALSE))
		raise_wrong(name);
	return node->type == GPT_JSON_TRUE;
}

static void
read_prompt(GptPromptForm *form, const GptJson *prompt)
{
	const char *template = gpt_json_string(gpt_json_field(prompt, "template"));
	const char *end = gpt_json_string(gpt_json_field(prompt, "end"));
	LmPromptTemplate parsed;

	if (template == NULL || strlen(template) > GPT_PROMPT_TEMPLATE_SIZE ||
		!lm_prompt_template_parse(&parsed, (LmBytes){template, strlen(template)}))
		raise_wrong("template");
	if (end == NULL || strlen(end) > GPT_ENDING_SIZE)
		raise_wrong("end");
	form->is_kept = boolean_of(prompt, "kept");
	form->is_default = boolean_of(prompt, "default");
	strlcpy(form->template, template, sizeof(form->template));
	strlcpy(form->end, end, sizeof(form->end));
}
