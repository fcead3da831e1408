/*
 * src/core/options_table.c
 *
 * One table of the options of gpt_train, gpt_finetune, gpt_evaluate, gpt_compare,
 * gpt_train_tokenizer, gpt_report and gpt_maintain.
 */
#include "postgres.h"

#include "core/options_table.h"
#include "engine/serve.h"
#include "engine/optimizer.h"

/* Functions that take an option. */
#define TRAIN (1 << GPT_FUNCTION_TRAIN)
#define FINETUNE (1 << GPT_FUNCTION_FINETUNE)
#define BOTH (TRAIN | FINETUNE)
#define EVALUATE (1 << GPT_FUNCTION_EVALUATE | 1 << GPT_FUNCTION_COMPARE)
#define TOKENIZER (1 << GPT_FUNCTION_TRAIN_TOKENIZER)
#define REPORT (1 << GPT_FUNCTION_REPORT)
#define MAINTAIN (1 << GPT_FUNCTION_MAINTAIN)

#define FIELD(name) offsetof(GptTrainOptions, name)
/* The same of an enumerator, which is written as an int. */
#define ENUMERATOR(name) \
	(FIELD(name) +       \
	 0 * sizeof(char[sizeof(((GptTrainOptions *) NULL)->name) == sizeof(int) ? 1 : -1]))

#define BOOLEAN(functions, name, default_value, description)                                  \
	{                                                                                         \
#name, functions, OPTION_BOOLEAN, default_value, 0, 0, NULL, FIELD(name), description \
	}
#define INTEGER(functions, name, default_value, minimum, maximum, description)                \
	{                                                                                         \
#name, functions, OPTION_INTEGER, default_value, minimum, maximum, NULL, FIELD(name), \
			description                                                                       \
	}
#define NUMBER(functions, name, default_value, minimum, maximum, description)                \
	{                                                                                        \
#name, functions, OPTION_NUMBER, default_value, minimum, maximum, NULL, FIELD(name), \
			description                                                                      \
	}
#define INTEGER_OR(functions, name, zero, default_value, minimum, maximum, hint, description) \
	{                                                                                         \
#name, functions, OPTION_INTEGER, default_value, minimum, maximum, NULL, FIELD(name), \
			description, false, false, NULL, zero, hint                                       \
	}
#define LATE_NUMBER(functions, name, default_value, minimum, maximum, description)           \
	{                                                                                        \
#name, functions, OPTION_NUMBER, default_value, minimum, maximum, NULL, FIELD(name), \
			description, true                                                                \
	}
#define WORD_OR_BOOLEAN(functions, name, default_value, description)                           \
	{                                                                                          \
#name, functions, OPTION_WORD, default_value, 0, 0, gpt_switch_name, ENUMERATOR(name), \
			description, false, true                                                           \
	}
#define WORD_ABOUT(functions, name, default_value, word_of, about, description)        \
	{                                                                                  \
#name, functions, OPTION_WORD, default_value, 0, 0, word_of, ENUMERATOR(name), \
			description, false, false, about                                           \
	}
#define WORD(functions, name, default_value, word_of, description) \
	WORD_ABOUT(functions, name, default_value, word_of, NULL, description)
#define HINTED_WORD(functions, name, default_value, word_of, hint, description)        \
	{                                                                                  \
#name, functions, OPTION_WORD, default_value, 0, 0, word_of, ENUMERATOR(name), \
			description, false, false, NULL, NULL, hint                                \
	}
#define TEXT(functions, name, description)                                        \
	{                                                                             \
#name, functions, OPTION_TEXT, NULL, 0, 0, NULL, FIELD(name), description \
	}

#define OBJECT_OR_BOOLEAN(functions, name, description)                                        \
	{                                                                                          \
#name, functions, OPTION_JSON, NULL, 0, 0, NULL, FIELD(name), description, false, true \
	}
#define NAMES(functions, name, most, hint, description)                                       \
	{                                                                                         \
#name, functions, OPTION_NAMES, NULL, 1, most, NULL, FIELD(name), description, false, \
			false, NULL, NULL, hint                                                           \
	}
#define JSON(functions, name, description)                                        \
	{                                                                             \
#name, functions, OPTION_JSON, NULL, 0, 0, NULL, FIELD(name), description \
	}

const GptOption gpt_options_table[] = {
	WORD(TRAIN, preset, "auto", gpt_preset_name,
		 "size of the model: 1, 3, 11, 30 or 124 million parameters; auto takes the largest that "
		 "suits the time and the data"),
	LATE_NUMBER(
		BOTH, minutes, "10", 0.01, 525600,
		"time of the job, from its start to its published version; when given, minutes or "
		"patience ends the training; unless given, 10, or 0.4 for a new classifier of texts"),
	INTEGER(BOTH, steps, NULL, 1, 1e9, "optimizer updates, instead of minutes"),
	NUMBER(BOTH, epochs, NULL, 0.001, 1e6,
		   "largest number of passes over the training documents; without minutes and steps, the "
		   "job makes exactly this number unless patience ends the training; unless given, 10, or "
		   "20 for texts of up to 131072 tokens, or 100 for prompts and completions, or 1 for dpo "
		   "and 3 of up to 1000 rows, or no limit with minutes"),
	INTEGER(
		TRAIN, layers, NULL, 1, 512,
		"transformer blocks, instead of the preset's; of encoder_decoder, those of the decoder"),
	INTEGER(TRAIN, heads, NULL, 1, 1024, "attention heads of a block"),
	INTEGER(TRAIN, channels, NULL, 1, 65536,
			"width of the hidden states, a multiple of heads unless head_size is given"),
	INTEGER(
		BOTH, context, NULL, 8, 65536,
		"tokens that the model sees at once; chosen from the length of the documents, 64 to 512; "
		"in gpt_finetune the tokens of a window of training, at most the model's context: unless "
		"given, that or, above 1024, 64 to 1024"),
	INTEGER(TRAIN | TOKENIZER, vocabulary, NULL, 257, 1048576,
			"vocabulary of a tokenizer that the job trains; chosen from the training documents, at "
			"most 32768"),
	TEXT(TRAIN, tokenizer,
		 "name of a tokenizer, or of a model to use its tokenizer, or bytes, or chars, bpe or "
		 "unigram, which the job trains on the training documents, or auto, which chooses among "
		 "bytes, chars and bpe by the training documents; unless given, auto"),
	WORD(
		TOKENIZER, kind, "bpe", gpt_trained_kind_name,
		"what the tokenizer's tokens are: byte pair encoding; one token a character; or the pieces "
		"of a unigram language model"),
	TEXT(TOKENIZER, split,
		 "how bpe and unigram split texts into words, which no token joins: the name of a known "
		 "split, such as gpt2, cl100k, llama3, qwen2, o200k or tekken, or a regular expression of "
		 "ICU; unless given, gpt2"),
	INTEGER(TOKENIZER, min_count, NULL, 2, 1e9,
			"bpe and unigram learn no pair or part that occurs less often; 3 where vocabulary is "
			"given, "
			"otherwise 5"),
	WORD(TRAIN | TOKENIZER, normalize, "none", gpt_normalize_name,
		 "Unicode normalisation by a tokenizer that the job trains"),
	WORD(BOTH | TOKENIZER, dedup, "none", gpt_dedup_name,
		 "repeated rows of which the job uses one: exact for rows that are equal in all learnt "
		 "columns; near also for rows of the same label in whose text at most a tenth of the "
		 "characters differs"),
	WORD(BOTH, documents, "packed", lm_documents_name,
		 "packed keeps documents apart; joined concatenates them and takes random crops"),
	BOOLEAN(BOTH, shuffle, "true",
			"a new order of documents in each epoch; false keeps the query's ORDER BY"),
	INTEGER(BOTH, batch_size, NULL, 1, 65536, "sequences per micro-batch"),
	INTEGER(BOTH, accumulate, NULL, 1, 65536, "micro-batches per step, whose gradients are added"),
	WORD_ABOUT(BOTH, optimizer, "auto", lm_optimizer_name, lm_optimizer_about,
			   "auto is muon in gpt_train and adamw in gpt_finetune"),
	WORD(BOTH, schedule, "cosine", lm_schedule_name,
		 "schedule of the learning rate after the warm-up"),
	NUMBER(
		BOTH, learning_rate, NULL, 1e-12, 1e12,
		"peak learning rate; unless given, min(0.003, 0.4 / channels), a fifth of that for a "
		"fine-tune, twice that for an adapter, a third of either for dpo, and at least 0.005 for a "
		"new classifier head; of a new model on n servers with rounds, times the root of n, at "
		"most "
		"2"),
	NUMBER(BOTH, min_learning_rate, NULL, 0, 1e12,
		   "final learning rate; a tenth of learning_rate unless given"),
	INTEGER(BOTH, warmup_steps, NULL, 0, 1e9,
			"steps of the warm-up, in which the learning rate rises; min(100, 5 % of steps) unless "
			"given"),
	NUMBER(
		BOTH, weight_decay, NULL, 0, 1000,
		"decoupled weight decay of matrices, multiplied by the learning rate; unless given, 0.1, "
		"or 1 for new models of texts above 5 epochs"),
	NUMBER(BOTH, beta1, "0.9", 0, 0.999999, "decay rate of the optimizer's first moment"),
	NUMBER(BOTH, beta2, NULL, 0, 0.999999,
		   "decay rate of the second moment; unless given, 0.99 below 8192 tokens a step, "
		   "otherwise 0.95"),
	NUMBER(BOTH, grad_clip, "1", 0, 1e12,
		   "gradient clipping: largest norm of the gradient; 0 for none"),
	NUMBER(
		BOTH, dropout, NULL, 0, 0.9,
		"dropout rate; unless given, 0 below 2 epochs, 0.1 up to 5, otherwise 0.2, or 0.3 for new "
		"models of texts above 12; at least 0.1 where query and positive are the same text; 0 for "
		"preferences; for prompts and "
		"completions 0, but of encoder_decoder with a tokenizer of words 0.1 from 10 epochs on, "
		"and 0.2 from 25; above 0, training of a classifier also drops the output "
		"of its transformer for half of the texts"),
	NUMBER(
		BOTH, label_smoothing, NULL, 0, 0.9,
		"share of each target's probability that is spread over the vocabulary, or over the "
		"labels; unless given, 0.1 for prompts and completions that are not read as bytes, "
		"otherwise 0; with several labels a row, over yes and no of each; reported losses exclude "
		"smoothing; of dpo the share of pairs believed to be swapped, below 0.5"),
	WORD(BOTH, preference, "auto", gpt_preference_name,
		 "how columns prompt, chosen and rejected are learnt: dpo prefers the chosen answers and "
		 "keeps the model near the version that it starts from; orpo also learns to write them, "
		 "and needs no such version; auto is orpo in gpt_train and dpo in gpt_finetune"),
	NUMBER(BOTH | EVALUATE, beta, NULL, 1e-6, 1000,
		   "of dpo, how firmly the model stays near its base; of orpo, the weight of the "
		   "preference beside the loss of the chosen answers; unless given, 0.3 for dpo and 0.1 "
		   "for orpo, in gpt_evaluate that of the version's training"),
	NUMBER(BOTH, temperature, "0.05", 0.001, 10,
		   "of contrastive training (columns query and positive): similarities are divided by it"),
	INTEGER(BOTH | EVALUATE | REPORT, seed, "1", 0, 9e15, "seed of all random numbers"),
	NUMBER(BOTH, validation_fraction, "0.05", 0, 0.5,
		   "share of the rows, and of their text, that the job holds out to measure the loss"),
	TEXT(BOTH, validation_query,
		 "query of the validation documents, instead of validation_fraction"),
	INTEGER(BOTH, patience, NULL, 0, 1000000,
			"validations without improvement that end the training; 0 for never; unless given, 6, "
			"or never with steps, and for dpo without minutes"),
	WORD(BOTH, publish, "best", gpt_publish_name,
		 "weights to publish: those with the best validation loss, or the last"),
	WORD(FINETUNE, publish_if, "always", gpt_publish_if_name,
		 "better makes the new version current only if publish_metric is not worse than that of "
		 "the model's current version, both measured by gpt_evaluate on the same rows; otherwise "
		 "it stays a candidate, which gpt_rollback makes current"),
	WORD(FINETUNE, publish_metric, "loss", gpt_metric_name,
		 "metric of gpt_evaluate that publish_if compares"),
	TEXT(FINETUNE, publish_query,
		 "query of the rows on which publish_if compares; validation_query unless given"),
	NUMBER(FINETUNE, publish_tolerance, "0", 0, 1e12,
		   "how much worse publish_metric may be, in its own unit"),
	INTEGER(BOTH | TOKENIZER, threads, NULL, 1, 64,
			"threads of the job, at most gpt.train_threads"),
	WORD(BOTH, precision, "auto", lm_precision_name,
		 "number format of the operands of matrix products; auto is bfloat16 where the processor "
		 "has AMX or AVX512_BF16"),
	WORD_OR_BOOLEAN(
		BOTH, ngrams, "auto",
		"n-grams beside the network: the version keeps up to 1048576 tokens of the training texts, "
		"and mixes what followed there, and in the text being read, into its probabilities; auto "
		"does so for texts where it lowers the validation loss by 1 % or more"),
	WORD_OR_BOOLEAN(
		BOTH, recompute, "auto",
		"activation checkpointing: the backward pass computes each block again, for less memory, a "
		"quarter more time and the same weights; auto does so when gpt.max_memory requires it"),
	WORD(
		BOTH, architecture, "auto", lm_architecture_name,
		"what attention sees: decoder, the tokens before; prefix, also all of the prompt, or of a "
		"text that is classified; encoder_decoder, layers of their own for the prompt, to which "
		"the layers of the completion attend; auto is encoder_decoder for prompts and completions, "
		"unless an option asks for what it does not have, else decoder; in gpt_finetune that of "
		"the base, of which a decoder can become prefix"),
	INTEGER(
		TRAIN, encoder_layers, NULL, 1, 512,
		"transformer blocks of the encoder of encoder_decoder; unless given, as many as layers, or "
		"half of the preset's"),
	WORD(TRAIN, family, "auto", gpt_family_name,
		 "architecture: defaults of the options from norm to zero_init; this list has those of "
		 "auto and modern, which is Qwen 3's; gpt2 is GPT-2's: layernorm, learned positions, "
		 "gelu_tanh, biases, and neither qk_norm nor zero_init"),
	WORD(TRAIN, norm, "rmsnorm", lm_norm_name, "normalisation"),
	NUMBER(TRAIN, norm_epsilon, "1e-5", 1e-12, 1, "epsilon under the root of the normalisation"),
	WORD(TRAIN, position, "rope", lm_position_name, "position encoding"),
	NUMBER(TRAIN, rope_base, "10000", 2, 1e9, "base of the frequencies of rotary positions"),
	BOOLEAN(TRAIN, qk_norm, "true", "normalises queries and keys of each head"),
	WORD(TRAIN, mlp, "swiglu", lm_activation_name, "activation of the feed-forward layers"),
	INTEGER(TRAIN, mlp_channels, NULL, 1, 262144,
			"width of the feed-forward layers; unless given, 4 times channels, or 8/3 times with "
			"swiglu "
			"and geglu, whose gate is a third matrix"),
	BOOLEAN(TRAIN, bias, "false", "adds biases to linear layers and norms"),
	BOOLEAN(TRAIN, tie_embeddings, "true", "uses one matrix for token embedding and output head"),
	BOOLEAN(TRAIN, zero_init, "true",
			"residual branches initialised to zero, by the last matrix of each"),
	INTEGER(
		TRAIN, kv_heads, NULL, 1, 1024,
		"heads of keys and values, each shared by several heads of queries; heads unless given"),
	INTEGER(TRAIN, head_size, NULL, 1, 1024,
			"width of an attention head; channels / heads unless given"),
	WORD(TRAIN, qkv_bias, "as_others", lm_qkv_bias_name,
		 "biases of queries, keys and values, where they are not as option bias says"),
	INTEGER(TRAIN, rotary_size, NULL, 2, 1024,
			"elements of each head that rotary positions turn, an even number; all unless given"),
	INTEGER(TRAIN, nope_period, NULL, 1, 512,
			"the last of each so many layers does not rotate by position; all do unless given"),
	INTEGER(TRAIN, window, NULL, 1, 262144,
			"sliding window: tokens that attention sees, its own included; all unless given"),
	INTEGER(TRAIN, window_period, NULL, 1, 512,
			"one of each so many layers sees all tokens, whatever the window; none unless given"),
	INTEGER(TRAIN, window_full, "0", 0, 511,
			"which of the layers of window_period that is, counted from 0"),
	NUMBER(TRAIN, rope_local_base, NULL, 2, 1e9,
		   "base of rotary positions in layers with a window; rope_base unless given"),
	BOOLEAN(TRAIN, parallel_residual, "false",
			"attention and feed-forward layers both read the input of their block"),
	BOOLEAN(TRAIN, post_norm, "false",
			"also normalises the output of attention and of feed-forward layers"),
	NUMBER(TRAIN, embedding_scale, "1", 1e-6, 1e6, "factor of token embeddings"),
	NUMBER(TRAIN, attention_scale, NULL, 1e-6, 1e6,
		   "factor of attention's scores; 1 / sqrt(head_size) unless given"),
	NUMBER(TRAIN, attention_softcap, NULL, 1e-6, 1e6,
		   "soft cap c of attention's scores, c tanh(score / c); none unless given"),
	NUMBER(TRAIN, logit_softcap, NULL, 1e-6, 1e6,
		   "the same of the output's logits; none unless given"),
	OBJECT_OR_BOOLEAN(BOTH | TOKENIZER, clean,
					  "how texts are cleaned before they are learnt: true, or an object of options "
					  "as gpt_clean has them; unless given, not at all, or as those of the base"),
	TEXT(FINETUNE, into, "model that the job makes; unless given, a new version of the base model"),
	JSON(BOTH, chat_template,
		 "form of conversations for a column \"messages\" and for gpt_chat: the name of a known "
		 "chat template, such as chatml, the text of one in Jinja that is known, or an object that "
		 "describes one; unless given, that of the base, or chatml in gpt_train"),
	TEXT(
		BOTH, prompt_template,
		"how prompts are written before their completions: a text with {prompt} in it, where names "
		"of special tokens are these tokens, or none for nothing; unless given, that of the base, "
		"or else a special token follows each prompt, where not all prompts end in the same sign"),
	WORD(FINETUNE, method, "full", gpt_method_name,
		 "full trains all weights; lora trains an adapter, which is stored without its base"),
	INTEGER(FINETUNE, rank, NULL, 1, 1024,
			"rank of the matrices of an adapter; unless given, 8, or that of the adapter that the "
			"fine-tune starts from"),
	NUMBER(FINETUNE, alpha, NULL, 1e-6, 1e6,
		   "scale of an adapter: its output counts alpha / rank times; 2 rank unless given"),
	TEXT(FINETUNE, targets,
		 "layers that get an adapter, from attention, projection, up, down, separated by commas; "
		 "all unless given"),
	NUMBER(FINETUNE, lora_dropout, NULL, 0, 0.9,
		   "dropout rate of the input of an adapter; 0 unless given"),
	WORD(FINETUNE, base_type, "auto", gpt_base_type_name,
		 "how the matrices of an adapter's base are kept in memory; auto: as its file has them, "
		 "blocks as int8"),
	TEXT(BOTH, watermark, "column of the query whose largest value the version keeps"),
	WORD(FINETUNE, since, NULL, gpt_since_name,
		 "watermark: the job reads only rows beyond the watermark of the base version"),
	NUMBER(FINETUNE, replay, "0", 0, 0.9,
		   "share of the documents that the job draws from the rows up to the watermark, so that "
		   "the model does not forget them"),
	INTEGER(
		BOTH, keep_versions, NULL, 1, 2147483647,
		"number of newest versions that the model keeps when the job publishes; all unless given"),
	WORD(BOTH | TOKENIZER, if_running, "error", gpt_if_running_name,
		 "while another job makes the same model or tokenizer: error raises an error; skip submits "
		 "no job and "
		 "returns the number of the other; queue starts the job when the other has ended"),
	NAMES(
		BOTH, servers, 63,
		"Name foreign servers of postgres_fdw, as in \"servers\": [\"east\", \"west\"], or leave "
		"the option out to train on this server alone.",
		"foreign servers of postgres_fdw on which the job trains too; gpt is installed there, and "
		"the role has a user mapping for each"),
	INTEGER_OR(BOTH, sync, "step", "50", 1, 10000,
			   "A number is the steps that each server makes by itself before all of them average; "
			   "\"step\" sums the gradients of all servers in each step.",
			   "steps that each server makes by itself, before all of them average what they have "
			   "learnt (DiLoCo); or step: all sum their gradients in each step, along a tree, so "
			   "that the weights do not depend on the number of servers"),
	HINTED_WORD(BOTH, gradient_type, "float32", gpt_gradient_type_name,
				"bfloat16 halves what travels; with float32 the weights do not depend on the "
				"number of servers.",
				"how gradients travel where sync is step"),
	HINTED_WORD(
		BOTH, data, "local", gpt_data_name,
		"With local, each server trains on its own rows, which stay there; with dealt, the tokens "
		"of the rows of this server go to all.",
		"rows of the servers: local has each server run the query and train on its own rows, which "
		"stay there; dealt reads them here, and sends their tokens to all, each of which trains on "
		"its share"),
	INTEGER(
		BOTH, word_floor, "5", 1, 1000000,
		"with local data, a word of a server's rows is known to the others only if it occurs so "
		"often there, above 1 also in two different rows; 1: all are"),
	HINTED_WORD(
		BOTH, on_loss, "wait", gpt_on_loss_name,
		"When a server is lost, the job waits for it, continues without it until it is back, or "
		"fails.",
		"when a server is lost: wait for it, continue without it until it is back, or fail"),
	BOOLEAN(EVALUATE, generate, "true",
			"generates completions and compares them with those of the rows"),
	TEXT(EVALUATE, base,
		 "model with which preferences are compared; unless given, the version that the model was "
		 "fine-tuned from"),
	INTEGER(EVALUATE, max_tokens, NULL, 1, 1000000,
			"largest number of tokens of a generated completion; unless given, 16 more than twice "
			"those of the row's completion"),
	INTEGER(EVALUATE, beams, "1", 1, LM_MAX_BEAMS,
			"texts that a beam search compares for a generated completion; 1: greedy choice"),
	NUMBER(EVALUATE, length_penalty, "0.6", 0, 10,
		   "how much a beam search favours longer texts, as in gpt_generate"),
	WORD_OR_BOOLEAN(EVALUATE, include_end, "auto",
					"whether the end of a text or completion counts as its last token; auto counts "
					"it for completions"),
	INTEGER(EVALUATE, resamples, "1000", 0, 100000,
			"samples of the rows from which intervals are computed; 0 for none"),
	TEXT(REPORT, query,
		 "query of the rows that are measured, instead of what the version keeps of its "
		 "validation rows"),
	INTEGER(REPORT, max_rows, "1000", 1, 100000, "rows of query that are measured, the first ones"),
	INTEGER(REPORT, samples, "3", 0, 20, "texts that the model writes for the report"),
	INTEGER(REPORT, sample_tokens, "100", 1, 2000, "largest number of tokens of a sample"),
	TEXT(REPORT, prompt,
		 "what the samples continue or answer; unless given, the prompts of query, or nothing"),
	TEXT(REPORT, title, "title of the report; unless given, the name of the model"),
	WORD(MAINTAIN, existing, "all", gpt_existing_name,
		 "existing rows that get a value: all, those where the column is null, or none"),
	INTEGER(MAINTAIN, batch_rows, "1000", 1, 10000,
			"largest number of rows of a transaction; fewer where they would take more than about "
			"a second"),
	INTEGER(MAINTAIN, max_tries, "5", 1, 100,
			"tries on a row whose expression raises an error, with more and more time between "
			"them"),
	WORD(MAINTAIN, on_error, "keep", gpt_on_error_name,
		 "the column of a row after its last try failed: keep leaves its value, null removes it"),
};

int
gpt_options_count(void)
{
	return lengthof(gpt_options_table);
}
