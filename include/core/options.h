/*
 * include/core/options.h
 *
 * The options of training functions: one jsonb object, checked strictly against one table, which
 * gpt_options() shows.
 */
#ifndef GPT_OPTIONS_H
#define GPT_OPTIONS_H

#include "utils/jsonb.h"

#include "core/option_words.h"
#include "engine/batch.h"
#include "engine/trainer.h"

/*
 * The value of a member below that was not given or is "auto", so that the job chooses it. (For a
 * double it is NaN, for a text NULL.)
 */
#define GPT_CHOSEN (-1)

#define GPT_NO_TEMPLATE "none" /* of option "prompt_template" */
#define GPT_PROMPT_TEMPLATE_SIZE 1024 /* bytes of another one, at most */

/* The functions that take options. */
typedef enum GptTrainFunction
{
	GPT_FUNCTION_TRAIN,
	GPT_FUNCTION_FINETUNE,
	GPT_FUNCTION_EVALUATE,
	GPT_FUNCTION_TRAIN_TOKENIZER,
	GPT_FUNCTION_REPORT,
	GPT_FUNCTION_COMPARE,
	GPT_FUNCTION_MAINTAIN,
} GptTrainFunction;

#define GPT_OPTION_FUNCTIONS (GPT_FUNCTION_MAINTAIN + 1)

/*
 * Members have the names of the options. Texts are palloc'd or constant. Words are enumerators; a
 * switch over them has no default, so the compiler reports a missing one.
 */
typedef struct GptTrainOptions
{
	int preset; /* of gpt_preset, or GPT_CHOSEN */
	double minutes; /* NaN: not given, then 10 unless steps or epochs are given */
	int64 steps;
	double epochs; /* NaN: not given, then at most 1 to 100, unless steps are */
	int64 layers;
	int64 heads;
	int64 channels;
	int64 context; /* of a fine-tune, of its windows: at most that of the base */
	int64 vocabulary;
	/* the name of a stored one, or "bytes", "chars" or "bpe"; NULL: chosen from the rows */
	const char *tokenizer;
	GptTrainedKind kind; /* of gpt_train_tokenizer */
	const char *split; /* name or regular expression; NULL: GPT-2's */
	int64 min_count;
	GptNormalize normalize;
	GptDedup dedup;
	LmDocuments documents;
	bool shuffle;
	int64 batch_size;
	int64 accumulate;
	int optimizer; /* of lm_optimizer_name; the default depends on the function */
	LmSchedule schedule;
	double learning_rate;
	/* not an option: no learning rate is given, and a classifier's head is new */
	/* of a training over servers, which the job sets: their number, and all rows in own ones */
	int n_servers; /* 0 stands for 1 */
	double all_rows; /* 0 stands for 1 */
	bool head_rate_is_open;
	bool is_finetune; /* not an option either, as the next one */
	bool makes_tokenizer; /* nothing but a tokenizer is made: of all texts, not of a sample */
	double min_learning_rate;
	int64 warmup_steps;
	double weight_decay;
	double beta1;
	double beta2;
	double grad_clip;
	double dropout;
	double label_smoothing; /* NaN: not given */
	int preference; /* GptPreference, or GPT_CHOSEN */
	double beta; /* NaN: not given, then that of the objective, or in gpt_evaluate the version's */
	double temperature;
	int64 seed;
	double validation_fraction;
	const char *validation_query;
	int64 patience;
	GptPublish publish;
	GptPublishIf publish_if;
	GptMetric publish_metric;
	const char *publish_query; /* NULL: validation_query */
	double publish_tolerance;
	int64 threads;
	int precision; /* LmPrecision, or GPT_CHOSEN */
	GptSwitch recompute;
	GptSwitch ngrams;
	int architecture; /* LmArchitecture, or GPT_CHOSEN */
	int64 encoder_layers;
	GptFamily family; /* the defaults of what follows */
	LmNorm norm;
	double norm_epsilon;
	LmPosition position;
	double rope_base;
	bool qk_norm;
	LmActivation mlp;
	int64 mlp_channels;
	bool bias;
	bool tie_embeddings;
	bool zero_init;
	int64 kv_heads;
	int64 head_size;
	LmQkvBias qkv_bias;
	int64 rotary_size;
	int64 nope_period;
	int64 window;
	int64 window_period;
	int64 window_full;
	double rope_local_base;
	bool parallel_residual;
	bool post_norm;
	double embedding_scale;
	double attention_scale;
	double attention_softcap;
	double logit_softcap;
	/* not an option: the configuration of the base, which decides the shape; NULL without one */
	const LmConfig *base_shape;
	int file_type; /* nor this: LmTrainOptions.base_type, by the base's file */
	/* JSON text of core/clean_options.h, as it was given; NULL: the base's, "false": none */
	const char *clean;
	const char *into; /* NULL: the model that a fine-tune starts from */
	const char *chat_template; /* JSON text of core/chat.h; NULL: the base's */
	const char *prompt_template; /* "none", or a text with {prompt}; NULL: the job chooses */
	GptMethod method;
	int64 rank; /* of an adapter, as the next three */
	double alpha;
	const char *targets; /* NULL: all, or those of the adapter that it starts from */
	double lora_dropout; /* NaN: 0 */
	int base_type; /* GptBaseType; GPT_CHOSEN: file_type */
	const char *watermark; /* name of a column, or NULL */
	GptSince since;
	double replay;
	int64 keep_versions; /* GPT_CHOSEN: all */
	GptIfRunning if_running;
	const char *servers; /* JSON text of an array of names; NULL: this one alone */
	int64 sync; /* steps of a round; 0: gradients are summed in each step */
	GptGradientType gradient_type;
	GptData data;
	int64 word_floor; /* of counts, below which a word of a server's own rows stays there */
	GptOnLoss on_loss;
	bool generate; /* of gpt_evaluate, as what follows */
	const char *base; /* NULL: the version that a model was fine-tuned from */
	int64 max_tokens;
	int64 beams;
	double length_penalty;
	GptSwitch include_end;
	int64 resamples;
	const char *query; /* of gpt_report, as what follows; NULL: what the version keeps */
	int64 max_rows;
	int64 samples;
	int64 sample_tokens;
	const char *prompt; /* NULL: those of the query, or none */
	const char *title; /* NULL: the model's name */
	GptExisting existing; /* of gpt_maintain, as what follows */
	int64 batch_rows;
	int64 max_tries;
	GptOnError on_error;
} GptTrainOptions;

/*
 * Reads the options of a function; the result is allocated in the current context. Errors: a name
 * that does not exist (the hint has the nearest one) or that the function does not take, a wrong
 * type, a value out of range, options that exclude one another. JSON null means the default.
 * Options that gpt_finetune does not take, because the base model decides them, have the defaults
 * of gpt_train.
 */
extern GptTrainOptions *gpt_options_parse(Jsonb *json, GptTrainFunction function);

/*
 * A number, a boolean (0 or 1) or an enumerator by the name of its option. False where no option of
 * these types has that name, or, of _get, where the job chooses the value.
 */
extern bool gpt_options_get(double *value, const GptTrainOptions *options, const char *name);
extern bool gpt_options_set(GptTrainOptions *options, const char *name, double value);

/* Kinds of rows, by what a model learns from them. */
typedef enum GptRows
{
	GPT_ROWS_TEXT,
	GPT_ROWS_COMPLETION,
	GPT_ROWS_CHAT,
	GPT_ROWS_PREFERENCE,
	GPT_ROWS_RETRIEVAL,
	GPT_ROWS_LABELS,
	GPT_ROWS_NUMBERS,
} GptRows;

/*
 * Raises an error if an option is given that has no effect on rows of that kind; task: their name
 * in the message.
 */
extern void gpt_options_check_rows(const GptTrainOptions *options, GptRows rows, const char *task);

/*
 * Whether an option asks for something: its value is neither its default nor false nor 0. A value
 * that equals the default is not told from it.
 */
extern bool gpt_options_ask(const GptTrainOptions *options, const char *name);

/* Whether the options ask for an adapter. */
extern bool gpt_options_lora(const GptTrainOptions *options);

/*
 * The layers that options->targets names, as LmConfig.lora_targets; 0 for a text that is no such
 * list.
 */
extern int gpt_options_targets(const GptTrainOptions *options);

/* A row of gpt_options(). */
typedef struct GptOptionRow
{
	const char *name;
	const char *type;
	const char *default_value; /* NULL: chosen by the job */
	bool ranged;
	double minimum;
	double maximum;
	const char *description; /* palloc'd */
} GptOptionRow;

/*
 * Fills the row of option number 0 to gpt_options_count() - 1; false if the function does not take
 * it.
 */
extern bool gpt_options_row(GptOptionRow *row, GptTrainFunction function, int number);
extern int gpt_options_count(void);

/* The SQL name of a GptTrainFunction. */
extern const char *gpt_options_function(int number);

#endif /* GPT_OPTIONS_H */
