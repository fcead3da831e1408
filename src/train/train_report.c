/*
 * src/train/train_report.c
 *
 * Corpus, plan and result go in; what the job's row says about them comes out, as JSON.
 */
#include "postgres.h"

#include <math.h>

#include "core/json_writer.h"
#include "core/lora_targets.h"
#include "core/machine.h"
#include "corpus/facts.h"
#include "train/train_objective.h"
#include "train/train_report.h"

/* Names of options, indexed by GptTrainEnd. */
GPT_WORDS(gpt_train_end_name, [GPT_END_STEPS] = "steps", [GPT_END_EPOCHS] = "epochs",
		  [GPT_END_MINUTES] = "minutes", [GPT_END_PATIENCE] = "patience");

static void report_prompt(GptJsonWriter *json, const GptPromptForm *prompt);
static void report_tokenizer(GptJsonWriter *json, const GptCorpus *corpus);

Jsonb *
gpt_report_conditions(const GptTrainPlan *plan, const GptCorpus *corpus,
					  const GptTrainResult *result)
{
	const LmTrainOptions *training = &plan->training;
	const LmConfig *config = &plan->config;
	int64 steps = result != NULL && plan->total_time > 0 ? result->steps : training->steps;
	GptJsonWriter json = {NULL};

	gpt_json_begin(&json, NULL);
	gpt_json_put_text(&json, "cpu", gpt_machine_cpu());
	gpt_json_put_text(&json, "kernels", gpt_plan_kernels(plan));
	gpt_json_put_number(&json, "threads", plan->n_threads);
	gpt_json_put_text(&json, "optimizer", lm_optimizer_name((int) training->optimizer));
	gpt_json_put_text(&json, "precision", lm_precision_name((int) training->precision));
	gpt_json_put_text(&json, "preset", plan->preset);
	gpt_json_put_number(&json, "parameters", plan->parameters);
	if (config->architecture != LM_DECODER)
		gpt_json_put_text(&json, "architecture", lm_architecture_name((int) config->architecture));
	if (config->encoder_layers > 0)
		gpt_json_put_number(&json, "encoder_layers", config->encoder_layers);
	gpt_json_put_number(&json, "layers", config->layers);
	gpt_json_put_number(&json, "heads", config->heads);
	gpt_json_put_number(&json, "channels", config->channels);
	gpt_json_put_number(&json, "context", plan->context);
	gpt_json_put_number(&json, "vocabulary", config->vocabulary);
	gpt_json_put_number(&json, "dropout", config->dropout);
	if (config->lora_rank > 0)
	{
		gpt_json_put_text(&json, "method", gpt_method_name(GPT_METHOD_LORA));
		gpt_json_put_number(&json, "rank", config->lora_rank);
		gpt_json_put_number(&json, "alpha", config->lora_alpha);
		gpt_json_put_text(&json, "targets", gpt_lora_targets_words(config->lora_targets));
		gpt_json_put_number(&json, "lora_dropout", config->lora_dropout);
		if (training->base_type != 0)
			gpt_json_put_text(&json, "base_type", gpt_plan_base_type(plan));
	}
	gpt_json_put_number(&json, "validation_documents", corpus->counts.held_out);
	gpt_json_put_number(&json, "validation_tokens", corpus->dataset.header->validation_tokens);
	gpt_json_put_number(&json, "training_tokens", corpus->dataset.header->train_tokens);
	gpt_json_put_number(&json, "batch_size", plan->batch_size);
	gpt_json_put_number(&json, "accumulate", plan->accumulate);
	gpt_json_put_number(&json, "steps", steps);
	gpt_json_put_number(&json, "epochs", plan->epochs * (double) steps / (double) training->steps);
	if (plan->total_time > 0)
		gpt_json_put_number(&json, "minutes", (double) plan->total_time / 60 / USECS_PER_SEC);
	gpt_json_put_number(&json, "learning_rate", training->learning_rate);
	gpt_json_put_number(&json, "min_learning_rate", training->min_learning_rate);
	gpt_json_put_number(&json, "warmup_steps", training->warmup_steps);
	gpt_json_put_number(&json, "weight_decay", training->weight_decay);
	gpt_json_put_number(&json, "beta2", training->beta2);
	gpt_json_put_number(&json, "label_smoothing", training->label_smoothing);
	if (gpt_objective_has_reference(training->objective))
		gpt_json_put_number(&json, "beta", training->beta);
	gpt_json_put_number(&json, "seed", training->seed);
	gpt_json_put_number(&json, "patience", plan->patience);
	gpt_json_put_boolean(&json, "recompute", training->recompute);
	gpt_json_put_number(&json, "memory_mb", plan->memory / 1048576.0);
	if (result != NULL)
	{
		gpt_json_put_number(&json, "tokens_per_second", result->tokens_per_second);
		gpt_json_put_text(&json, "ended", gpt_train_end_name(result->end));
		if (result->with_ngrams != NULL)
		{
			gpt_json_put_number(&json, "ngram_tokens", result->ngram_table->config.ngram_tokens);
			gpt_json_put_number(&json, "network_validation_loss", result->network_loss);
		}
	}
	return gpt_json_finish(&json);
}

void
gpt_report_corpus(GptJsonWriter *json, const GptCorpus *corpus)
{
	gpt_facts_write(json, corpus->facts);
	gpt_json_put_integer(json, "tokens", corpus->counts.tokens);
	report_tokenizer(json, corpus);
	if (corpus->prompt.is_kept)
		report_prompt(json, &corpus->prompt);
}

static void
report_prompt(GptJsonWriter *json, const GptPromptForm *prompt)
{
	gpt_json_begin(json, "prompt");
	gpt_json_put_text(json, "template", prompt->template);
	if (prompt->end[0] != '\0')
		gpt_json_put_text(json, "end", prompt->end);
	gpt_json_end(json);
}

static void
report_tokenizer(GptJsonWriter *json, const GptCorpus *corpus)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(corpus->tokenizer);

	gpt_json_begin(json, "tokenizer");
	gpt_json_put_text(json, "kind", lm_tokenizer_kind_name((int) spec->kind));
	gpt_json_put_integer(json, "vocabulary", spec->n_tokens);
	gpt_json_put_rounded(json, "bytes_per_token",
						 (double) corpus->facts->token_bytes / (double) corpus->facts->tokens.sum,
						 3);
	if (corpus->why_tokenizer != NULL)
		gpt_json_put_text(json, "why", corpus->why_tokenizer);
	gpt_json_end(json);
}

void
gpt_report_measures(GptJsonWriter *json, const GptTrainResult *result)
{
	if (result->figure_names[0] == NULL || isnan(result->figures.values[0]))
		return;
	gpt_json_begin(json, "measures");
	for (int i = 0; result->figure_names[i] != NULL; i++)
		gpt_json_put_number(json, result->figure_names[i], result->figures.values[i]);
	if (!isnan(result->figures.divergence))
		gpt_json_put_number(json, "kl_per_token", result->figures.divergence);
	gpt_json_end(json);
}

void
gpt_report_choices(GptJsonWriter *json, const GptTrainPlan *plan, double seconds,
				   const GptTrainResult *result)
{
	const LmTrainOptions *training = &plan->training;
	int64 steps = result != NULL ? result->steps : training->steps;

	gpt_json_begin(json, "choices");
	if (plan->preset[0] != '\0')
		gpt_json_put_text(json, "preset", plan->preset);
	if (plan->config.architecture != LM_DECODER)
		gpt_json_put_text(json, "architecture",
						  lm_architecture_name((int) plan->config.architecture));
	gpt_json_put_integer(json, "parameters", (int64) plan->parameters);
	gpt_json_put_integer(json, "context", plan->context);
	gpt_json_put_integer(json, "batch_size", plan->batch_size);
	gpt_json_put_integer(json, "accumulate", plan->accumulate);
	gpt_json_put_integer(json, "steps", steps);
	gpt_json_put_rounded(json, "epochs", plan->epochs * (double) steps / (double) training->steps,
						 3);
	if (seconds > 0)
		gpt_json_put_rounded(json, "minutes", seconds / 60, 2);
	gpt_json_put_integer(json, "memory", (int64) plan->memory);
	gpt_json_put_rounded(json, "learning_rate", training->learning_rate, 4);
	gpt_json_put_rounded(json, "dropout", plan->config.dropout, 2);
	if (training->label_smoothing > 0)
		gpt_json_put_rounded(json, "label_smoothing", training->label_smoothing, 2);
	if (gpt_objective_has_reference(training->objective))
		gpt_json_put_rounded(json, "beta", training->beta, 4);
	gpt_json_end(json);
}
