/*
 * src/core/options_check.c
 *
 * Checks of options that need or exclude one another.
 */
#include "postgres.h"

#include <math.h>

#include "core/chat.h"
#include "core/clean_options.h"
#include "core/lora_targets.h"
#include "core/options.h"
#include "core/options_check.h"
#include "engine/prompt.h"
#include "engine/unigram_trainer.h"
#include "engine/gradient_tree.h"
#include "engine/optimizer.h"

static void exclude(const char *one, const char *other, const char *hint);
static void check_architecture(const GptTrainOptions *options);
static void check_adapter(const GptTrainOptions *options);
static void check_gate(const GptTrainOptions *options);
static void check_prompt_template(const char *text);

void
gpt_options_check(const GptTrainOptions *options)
{
	bool unigram = options->kind == GPT_TRAINED_UNIGRAM ||
				   (options->tokenizer != NULL && strcmp(options->tokenizer, "unigram") == 0);
	bool trains_tokenizer =
		options->tokenizer == NULL || strcmp(options->tokenizer, "bpe") == 0 || unigram;

	if (options->heads != GPT_CHOSEN && options->channels != GPT_CHOSEN &&
		options->head_size == GPT_CHOSEN && options->channels % options->heads != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"channels\" must be a multiple of option \"heads\": " INT64_FORMAT
						" is not a multiple of " INT64_FORMAT,
						options->channels, options->heads)));
	if (options->heads != GPT_CHOSEN && options->kv_heads != GPT_CHOSEN &&
		options->heads % options->kv_heads != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"heads\" must be a multiple of option \"kv_heads\": " INT64_FORMAT
						" is not a multiple of " INT64_FORMAT,
						options->heads, options->kv_heads)));
	if (!trains_tokenizer && options->vocabulary != GPT_CHOSEN)
		exclude("tokenizer", "vocabulary", "The tokenizer decides the vocabulary.");
	if (!trains_tokenizer && options->normalize != GPT_NORMALIZE_NONE)
		exclude("tokenizer", "normalize", "The tokenizer decides the normalisation.");
	if (unigram && options->vocabulary != GPT_CHOSEN && options->vocabulary < LM_UNIGRAM_SMALLEST)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"vocabulary\" must be at least %d for a unigram tokenizer, "
							   "not " INT64_FORMAT,
							   LM_UNIGRAM_SMALLEST, options->vocabulary),
						errdetail("257 of its tokens are bytes and the end of a text.")));
	if (options->kind == GPT_TRAINED_CHARS && options->vocabulary != GPT_CHOSEN)
		exclude("kind", "vocabulary", "The characters of the texts decide the vocabulary.");
	if (options->kind == GPT_TRAINED_CHARS && options->split != NULL)
		exclude("kind", "split", "A tokenizer of characters does not split texts into words.");
	if (options->kind == GPT_TRAINED_CHARS && options->normalize != GPT_NORMALIZE_NONE)
		exclude("kind", "normalize", "A tokenizer of characters does not normalise.");
	if (options->kind == GPT_TRAINED_CHARS && options->min_count != GPT_CHOSEN)
		exclude("kind", "min_count", "A tokenizer of characters has a token for each of them.");
	if (options->steps != GPT_CHOSEN && !isnan(options->minutes))
		exclude("minutes", "steps",
				"Give \"minutes\" for a training time, or \"steps\" for a training that can be "
				"repeated exactly.");
	if (options->replay > 0 && options->since == GPT_SINCE_EVER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"replay\" needs option \"since\""),
				 errdetail(
					 "Without it the job reads all rows, so there are no older ones to replay.")));
	check_architecture(options);
	check_adapter(options);
	check_gate(options);
	if (options->servers != NULL && options->data == GPT_DATA_LOCAL &&
		options->since != GPT_SINCE_EVER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("with option \"servers\", option \"since\" needs option \"data\" to be "
						"\"dealt\""),
				 errdetail("A watermark is that of the rows of one server.")));
	(void) gpt_clean_keep(options->clean, "clean");
	if (options->chat_template != NULL)
		(void) gpt_chat_template_parse(options->chat_template);
	check_prompt_template(options->prompt_template);
	if (options->min_learning_rate > options->learning_rate)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"min_learning_rate\" must not be above option "
							   "\"learning_rate\": %g is above %g",
							   options->min_learning_rate, options->learning_rate)));
}

static bool
is_given(Jsonb *json, const char *name)
{
	JsonbValue buffer;
	const JsonbValue *value =
		getKeyJsonValueFromContainer(&json->root, name, (int) strlen(name), &buffer);

	return value != NULL && value->type != jbvNull;
}

/* One that would be ignored is likely a mistake. Only the JSON tells a default that is given. */
void
gpt_options_check_servers(const GptTrainOptions *options, Jsonb *json)
{
	static const char *const of_servers[] = {"sync", "gradient_type", "data", "word_floor",
											 "on_loss"};

	for (int i = 0; options->servers == NULL && i < lengthof(of_servers); i++)
	{
		bool is_sync = strcmp(of_servers[i], "sync") == 0;

		if (!is_given(json, of_servers[i]) || (is_sync && options->sync == 0))
			continue;
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" needs option \"servers\"", of_servers[i]),
						errdetail("Without servers the job trains on this server alone."),
						is_sync ? errhint("Name the servers in \"servers\", or leave \"sync\" out; "
										  "on one server it can only be \"step\".")
								: errhint("Name the servers in \"servers\", or leave \"%s\" out.",
										  of_servers[i])));
	}
	if ((options->servers != NULL || options->sync == 0) && options->accumulate > LM_TREE_LEAVES)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg(
				 "option \"accumulate\" must be at most %d with option \"%s\", not " INT64_FORMAT,
				 LM_TREE_LEAVES, options->servers != NULL ? "servers" : "sync",
				 options->accumulate)));
	if (options->servers == NULL)
		return;
	if (options->sync != 0 && is_given(json, "gradient_type"))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"gradient_type\" needs option \"sync\" to be \"step\""),
						errdetail("Otherwise no gradients travel.")));
	if (options->data != GPT_DATA_LOCAL && is_given(json, "word_floor"))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"word_floor\" needs option \"data\" to be \"local\""),
						errdetail("Otherwise no words travel, but tokens.")));
}

static void
check_prompt_template(const char *text)
{
	LmPromptTemplate parsed;

	if (text == NULL || strcmp(text, GPT_NO_TEMPLATE) == 0)
		return;
	if (strlen(text) > GPT_PROMPT_TEMPLATE_SIZE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"prompt_template\" has %zu bytes, the limit is %d",
							   strlen(text), GPT_PROMPT_TEMPLATE_SIZE)));
	if (!lm_prompt_template_parse(&parsed, (LmBytes){text, strlen(text)}))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"prompt_template\" must have %s in one place, not \"%s\"",
							   LM_PROMPT_PLACE, text),
						errhint("Write the text around the prompt, such as \"%s%s\", or \"%s\" for "
								"nothing.",
								LM_PROMPT_PLACE, LM_SEPARATOR, GPT_NO_TEMPLATE)));
}

static void
exclude(const char *one, const char *other, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("options \"%s\" and \"%s\" cannot be used together", one, other),
					errhint("%s", hint)));
}

static void
check_architecture(const GptTrainOptions *options)
{
	const char *name = lm_architecture_name(options->architecture);

	if (options->encoder_layers != GPT_CHOSEN && options->architecture != LM_ENCODER_DECODER)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"encoder_layers\" needs option \"architecture\" to be "
							   "\"%s\"",
							   lm_architecture_name(LM_ENCODER_DECODER))));
	if (options->architecture == GPT_CHOSEN || options->architecture == LM_DECODER)
		return;
	if (options->window != GPT_CHOSEN)
		exclude("architecture", "window",
				psprintf("With \"%s\" each token sees the whole prompt.", name));
	if (options->documents == LM_DOCUMENTS_JOINED)
		exclude("architecture", "documents",
				psprintf("\"%s\" needs prompts, and a joined stream has none.", name));
}

/* Options of adapters need method "lora", and some optimizers cannot train adapters. */
static void
check_adapter(const GptTrainOptions *options)
{
	const char *given = options->rank != GPT_CHOSEN		   ? "rank"
						: !isnan(options->alpha)		   ? "alpha"
						: options->targets != NULL		   ? "targets"
						: !isnan(options->lora_dropout)	   ? "lora_dropout"
						: options->base_type != GPT_CHOSEN ? "base_type"
														   : NULL;

	if (!gpt_options_lora(options) && given != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" needs option \"method\" to be \"lora\"", given),
				 errdetail("It applies to adapters; without one, all weights are trained.")));
	if (gpt_options_lora(options) && options->optimizer != GPT_CHOSEN &&
		lm_optimizer(options->optimizer)->no_adapters != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"optimizer\" cannot be \"%s\" where option \"method\" is \"lora\"",
						lm_optimizer_name(options->optimizer)),
				 errdetail("%s", lm_optimizer(options->optimizer)->no_adapters)));
	if (gpt_options_lora(options) && options->ngrams == GPT_SWITCH_TRUE)
		exclude("method", "ngrams", "An adapter is stored without n-grams: leave \"ngrams\" out.");
	if (options->targets != NULL && gpt_options_targets(options) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"targets\" must be some of %s, separated by commas, not \"%s\"",
						gpt_lora_targets_words(LM_ALL_TARGETS), options->targets)));
}

/* Options of the gate need it, and it needs fixed rows. */
static void
check_gate(const GptTrainOptions *options)
{
	const char *given = options->publish_query != NULL				 ? "publish_query"
						: options->publish_tolerance > 0			 ? "publish_tolerance"
						: options->publish_metric != GPT_METRIC_LOSS ? "publish_metric"
																	 : NULL;

	if (options->publish_if == GPT_PUBLISH_ALWAYS && given != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" needs option \"publish_if\" to be \"better\"", given)));
	if (options->publish_if == GPT_PUBLISH_BETTER && options->publish_query == NULL &&
		options->validation_query == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"publish_if\" needs option \"publish_query\""),
				 errdetail("The two versions are measured on the same rows, which no training "
						   "should have seen."),
				 errhint("Give a query of such rows in \"publish_query\", or in "
						 "\"validation_query\".")));
}

bool
gpt_options_lora(const GptTrainOptions *options)
{
	return options->method == GPT_METHOD_LORA;
}

int
gpt_options_targets(const GptTrainOptions *options)
{
	return options->targets != NULL
			   ? gpt_lora_targets_parse(options->targets, strlen(options->targets))
			   : 0;
}
