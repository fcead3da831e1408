/*
 * src/train/train_architecture.c
 *
 * The architecture of a training: whether rows and base can have the one that is asked for, and the
 * one of "auto".
 */
#include "postgres.h"

#include "core/options.h"
#include "engine/config.h"
#include "train/train_architecture.h"
#include "train/train_objective.h"

static void check_rows(int architecture, const GptSourceShape *shape, bool has_base);
static bool can_encode(const GptTrainOptions *options);

void
gpt_architecture_check(const GptTrainOptions *options, const GptSourceShape *shape,
					   const LmConfig *base)
{
	int architecture = options->architecture;

	if (architecture == GPT_CHOSEN && base != NULL)
		architecture = (int) base->architecture;
	if (architecture != GPT_CHOSEN)
		check_rows(architecture, shape, base != NULL);
}

static void
check_rows(int architecture, const GptSourceShape *shape, bool has_base)
{
	bool prompted = shape->prompt_column != 0 || shape->messages_column != 0;

	if (architecture != LM_ENCODER_DECODER || prompted)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("architecture \"%s\" needs rows with prompts", lm_architecture_name(architecture)),
		 errdetail("Its encoder reads the prompt, and query has no column \"prompt\"."),
		 has_base
			 ? errhint("Give the query columns \"prompt\" and \"completion\". For other rows, "
					   "train a base with gpt_train and \"architecture\": \"%s\" or \"%s\".",
					   lm_architecture_name(LM_DECODER), lm_architecture_name(LM_PREFIX))
			 : errhint("Give the query columns \"prompt\" and \"completion\". For other rows there "
					   "is \"architecture\": \"%s\", whose layers see both sides of a text that is "
					   "classified or compared.",
					   lm_architecture_name(LM_PREFIX))));
}

void
gpt_architecture_take(GptTrainOptions *options, const LmConfig *base)
{
	bool same =
		options->architecture == GPT_CHOSEN || options->architecture == (int) base->architecture;

	if (!same && gpt_options_lora(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"architecture\" cannot be \"%s\" where option \"method\" is "
						"\"lora\"",
						lm_architecture_name(options->architecture)),
				 errdetail("An adapter has the architecture of its base, which is \"%s\".",
						   lm_architecture_name((int) base->architecture))));
	if (!same && (options->architecture == LM_ENCODER_DECODER || base->architecture != LM_DECODER))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"architecture\" cannot be \"%s\" for a base that is \"%s\"",
						lm_architecture_name(options->architecture),
						lm_architecture_name((int) base->architecture)),
				 errdetail("Only a \"%s\" can be trained further as a \"%s\": they have the same "
						   "weights.",
						   lm_architecture_name(LM_DECODER), lm_architecture_name(LM_PREFIX))));
	if (options->architecture == GPT_CHOSEN)
		options->architecture = (int) base->architecture;
}

bool
gpt_architecture_fits(const LmConfig *base, const LmConfig *config)
{
	LmConfig turned = *base;

	if (base->architecture == LM_DECODER && config->architecture == LM_PREFIX)
		turned.architecture = LM_PREFIX;
	return lm_config_same_base(&turned, config);
}

LmArchitecture
gpt_architecture_choose(const GptTrainOptions *options, const GptCorpus *corpus)
{
	if (options->architecture != GPT_CHOSEN)
		return (LmArchitecture) options->architecture;
	/* Of conversations, a decoder learns all answers in one window; an encoder reads each anew. */
	return corpus->prompted && can_encode(options) && corpus->dataset.header->masked == 0 &&
				   !gpt_objective_has_reference(gpt_objective_of(options, corpus->task))
			   ? LM_ENCODER_DECODER
			   : LM_DECODER;
}

/*
 * Whether no option asks for what an encoder does not have. GPT-2's family is for models that other
 * programs know, which have none either.
 */
static bool
can_encode(const GptTrainOptions *options)
{
	return !options->is_finetune && options->family != GPT_FAMILY_GPT2 &&
		   options->window == GPT_CHOSEN && !options->parallel_residual &&
		   options->documents == LM_DOCUMENTS_PACKED;
}

void
gpt_architecture_split(LmConfig *config, const GptTrainOptions *options)
{
	if (config->architecture != LM_ENCODER_DECODER)
	{
		config->encoder_layers = 0;
		return;
	}
	if (options->encoder_layers != GPT_CHOSEN)
		config->encoder_layers = (int) options->encoder_layers;
	else if (options->layers != GPT_CHOSEN)
		config->encoder_layers = config->layers;
	else
		config->layers = config->encoder_layers = (config->layers + 1) / 2;
}
