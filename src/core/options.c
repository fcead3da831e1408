/*
 * src/core/options.c
 *
 * One table of the options of gpt_train, gpt_finetune and gpt_evaluate; a jsonb object goes in, a
 * checked GptTrainOptions comes out, and gpt_options() lists the table.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

#include "core/number.h"
#include "core/options.h"
#include "core/options_check.h"
#include "engine/optimizer.h"

typedef enum OptionType
{
	OPTION_BOOLEAN, /* bool */
	OPTION_INTEGER, /* int64 */
	OPTION_NUMBER, /* double */
	OPTION_WORD, /* an enumerator: of the word in the option's list */
	OPTION_TEXT, /* const char * */
	OPTION_JSON, /* the same: the JSON text of a text or an object */
} OptionType;

#define AUTO "auto"

static const char *const type_names[] = {"boolean", "integer", "number", "word", "text", "json"};
static const char *const type_phrases[] = {"a boolean", "an integer", "a number",
										   "a text",	"a text",	  "a text or an object"};

/* Functions that take an option. */
#define TRAIN (1 << GPT_FUNCTION_TRAIN)
#define FINETUNE (1 << GPT_FUNCTION_FINETUNE)
#define BOTH (TRAIN | FINETUNE)
#define EVALUATE (1 << GPT_FUNCTION_EVALUATE)

static const char *const function_names[] = {"gpt_train", "gpt_finetune", "gpt_evaluate"};

typedef struct Option
{
	const char *name;
	int functions;
	OptionType type;
	const char *default_value; /* NULL: chosen by the job */
	double minimum; /* of integers and numbers */
	double maximum;
	GptWordOf word_of; /* of words: the list; "auto" is one too where it is the default */
	size_t offset; /* in GptTrainOptions */
	const char *description;
	/* has a default, but it matters whether it was given: NaN in GptTrainOptions unless it was */
	bool late;
	bool boolean_too; /* a GptSwitch, which may be a boolean of JSON */
	/* of words: the meaning of a word; NULL, or returns NULL, if the description has it */
	GptWordOf about;
} Option;

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
#define TEXT(functions, name, description)                                        \
	{                                                                             \
#name, functions, OPTION_TEXT, NULL, 0, 0, NULL, FIELD(name), description \
	}

#define JSON(functions, name, description)                                        \
	{                                                                             \
#name, functions, OPTION_JSON, NULL, 0, 0, NULL, FIELD(name), description \
	}

static const Option all_options[] = {
	WORD(TRAIN, preset, "auto", gpt_preset_name,
		 "size of the model: 1, 3, 11, 30 or 124 million parameters; auto takes the largest that "
		 "suits the time and the data"),
	LATE_NUMBER(BOTH, minutes, "10", 0.01, 525600,
				"time of the job, from its start to its published version; when given, minutes or "
				"patience ends the training"),
	INTEGER(BOTH, steps, NULL, 1, 1e9, "optimizer updates, instead of minutes"),
	NUMBER(BOTH, epochs, NULL, 0.001, 1e6,
		   "largest number of passes over the training documents; without minutes and steps, the "
		   "job makes exactly this number unless patience ends the training; unless given, 10, or "
		   "100 for prompts and completions, or no limit with minutes"),
	INTEGER(TRAIN, layers, NULL, 1, 512, "transformer blocks, instead of the preset's"),
	INTEGER(TRAIN, heads, NULL, 1, 1024, "attention heads of a block"),
	INTEGER(TRAIN, channels, NULL, 1, 65536, "width of the hidden states, a multiple of heads"),
	INTEGER(
		TRAIN, context, NULL, 8, 65536,
		"tokens that the model sees at once; chosen from the length of the documents, 64 to 512"),
	INTEGER(TRAIN, vocabulary, NULL, 257, 1048576,
			"vocabulary of a tokenizer that the job trains; chosen from the size of the training "
			"documents, 512 to 32768"),
	TEXT(TRAIN, tokenizer,
		 "name of a tokenizer, or of a model to use its tokenizer, or bytes, or chars or bpe, "
		 "which the job trains on the training documents; unless given, bytes for short rows, "
		 "otherwise bpe"),
	WORD(TRAIN, normalize, "none", gpt_normalize_name,
		 "Unicode normalisation by a tokenizer that the job trains"),
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
	NUMBER(BOTH, learning_rate, NULL, 1e-12, 1e12,
		   "peak learning rate; unless given, min(0.003, 0.4 / channels), a fifth of that for a "
		   "fine-tune, twice that for an adapter, and at least 0.005 for a new classifier head"),
	NUMBER(BOTH, min_learning_rate, NULL, 0, 1e12,
		   "final learning rate; a tenth of learning_rate unless given"),
	INTEGER(BOTH, warmup_steps, NULL, 0, 1e9,
			"steps of the warm-up, in which the learning rate rises; min(100, 5 % of steps) unless "
			"given"),
	NUMBER(BOTH, weight_decay, "0.1", 0, 1000,
		   "decoupled weight decay of matrices, multiplied by the learning rate"),
	NUMBER(BOTH, beta1, "0.9", 0, 0.999999, "decay rate of the optimizer's first moment"),
	NUMBER(BOTH, beta2, NULL, 0, 0.999999,
		   "decay rate of the second moment; unless given, 0.99 below 8192 tokens a step, "
		   "otherwise 0.95"),
	NUMBER(BOTH, grad_clip, "1", 0, 1e12,
		   "gradient clipping: largest norm of the gradient; 0 for none"),
	NUMBER(BOTH, dropout, NULL, 0, 0.9,
		   "dropout rate; unless given, 0 below 2 epochs, 0.1 up to 5, otherwise 0.2, and always 0 "
		   "for prompts and completions; above 0, training of a classifier also drops the output "
		   "of its transformer for half of the texts"),
	NUMBER(BOTH, label_smoothing, "0", 0, 0.9,
		   "share of each target's probability that is spread over the vocabulary, or over the "
		   "labels; with several labels a row, over yes and no of each; reported losses exclude "
		   "smoothing"),
	INTEGER(BOTH, seed, "1", 0, 9e15, "seed of all random numbers"),
	NUMBER(BOTH, validation_fraction, "0.05", 0, 0.5,
		   "share of the rows, and of their text, that the job holds out to measure the loss"),
	TEXT(BOTH, validation_query,
		 "query of the validation documents, instead of validation_fraction"),
	INTEGER(BOTH, patience, NULL, 0, 1000000,
			"validations without improvement that end the training; 0 for never; unless given, 6, "
			"or never with steps"),
	WORD(BOTH, publish, "best", gpt_publish_name,
		 "weights to publish: those with the best validation loss, or the last"),
	INTEGER(BOTH, threads, NULL, 1, 64, "threads of the job, at most gpt.train_threads"),
	WORD(BOTH, precision, "auto", lm_precision_name,
		 "number format of the operands of matrix products; auto is bfloat16 where the processor "
		 "has AMX or AVX512_BF16"),
	WORD_OR_BOOLEAN(
		BOTH, recompute, "auto",
		"activation checkpointing: the backward pass computes each block again, for less memory, a "
		"quarter more time and the same weights; auto does so when gpt.max_memory requires it"),
	WORD(TRAIN, family, "auto", gpt_family_name,
		 "architecture: defaults of the options from norm to zero_init; this list has those of "
		 "auto and modern; gpt2 is GPT-2 as other programs read it: layernorm, learned positions, "
		 "gelu_tanh, biases, and neither qk_norm nor zero_init"),
	WORD(TRAIN, norm, "rmsnorm", lm_norm_name, "normalisation"),
	NUMBER(TRAIN, norm_epsilon, "1e-5", 1e-12, 1, "epsilon under the root of the normalisation"),
	WORD(TRAIN, position, "rope", lm_position_name, "position encoding"),
	NUMBER(TRAIN, rope_base, "10000", 2, 1e9, "base of the frequencies of rotary positions"),
	BOOLEAN(TRAIN, qk_norm, "true", "normalises queries and keys of each head"),
	WORD(TRAIN, mlp, "relu2", lm_activation_name, "activation of the feed-forward layers"),
	INTEGER(TRAIN, mlp_channels, NULL, 1, 262144,
			"width of the feed-forward layers; 4 times channels unless given"),
	BOOLEAN(TRAIN, bias, "false", "adds biases to linear layers and norms"),
	BOOLEAN(TRAIN, tie_embeddings, "true", "uses one matrix for token embedding and output head"),
	BOOLEAN(TRAIN, zero_init, "true",
			"residual branches initialised to zero, by the last matrix of each"),
	TEXT(FINETUNE, into, "model that the job makes; unless given, a new version of the base model"),
	JSON(FINETUNE, chat_template,
		 "form of conversations for a column \"messages\" and for gpt_chat: the name of a known "
		 "chat "
		 "template, such as chatml, the text of one in Jinja that is known, or an object that "
		 "describes one; that of the base unless given"),
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
	TEXT(BOTH, watermark, "column of the query whose largest value the version keeps"),
	WORD(FINETUNE, since, NULL, gpt_since_name,
		 "watermark: the job reads only rows beyond the watermark of the base version"),
	NUMBER(FINETUNE, replay, "0", 0, 0.9,
		   "share of the documents that the job draws from the rows up to the watermark, so that "
		   "the model does not forget them"),
	INTEGER(
		BOTH, keep_versions, NULL, 1, 2147483647,
		"number of newest versions that the model keeps when the job publishes; all unless given"),
	WORD(BOTH, if_running, "error", gpt_if_running_name,
		 "while another job makes the same model: error raises an error; skip submits no job and "
		 "returns the number of the other; queue starts the job when the other has ended"),
	BOOLEAN(EVALUATE, generate, "true",
			"generates completions and compares them with those of the rows"),
	INTEGER(EVALUATE, max_tokens, NULL, 1, 1000000,
			"largest number of tokens of a generated completion; unless given, 16 more than twice "
			"those of the row's completion"),
	WORD_OR_BOOLEAN(EVALUATE, include_end, "auto",
					"whether the end of a text or completion counts as its last token; auto counts "
					"it for completions"),
};

static void set_defaults(GptTrainOptions *options);
static void set_family(GptTrainOptions *options, Jsonb *json);
static void set_value(GptTrainOptions *options, const Option *option, const JsonbValue *value);

/* ---- Reading ------------------------------------------------------------ */

static const Option *
find_option(const char *name, int length)
{
	for (int i = 0; i < lengthof(all_options); i++)
	{
		const Option *option = &all_options[i];

		if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

/* The nearest name, at most half of its letters away; NULL if there is none. */
static const char *
nearest_name(GptTrainFunction function, const char *name, int length)
{
	const char *nearest = NULL;
	int least = Max(length / 2, 1) + 1;

	if (length > NAMEDATALEN)
		return NULL;
	for (int i = 0; i < lengthof(all_options); i++)
	{
		const char *candidate = all_options[i].name;
		int distance = varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate), 1,
													 1, 1, least - 1, true);

		if ((all_options[i].functions & (1 << function)) == 0)
			continue;
		if (distance < least)
		{
			least = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

static void
option_missing(GptTrainFunction function, const char *name, int length)
{
	const char *nearest = nearest_name(function, name, length);

	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("option \"%.*s\" does not exist", pg_mbcliplen(name, length, NAMEDATALEN), name),
		 nearest ? errhint("The nearest name is \"%s\"; gpt_options('%s') lists all.", nearest,
						   function_names[function])
				 : errhint("gpt_options('%s') lists the options.", function_names[function])));
}

/* An option of another function. */
static void
option_elsewhere(GptTrainFunction function, const Option *option)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s has no option \"%s\"", function_names[function], option->name),
			 function == GPT_FUNCTION_FINETUNE && (option->functions & TRAIN) != 0
				 ? errdetail("The base model decides it.")
			 : function == GPT_FUNCTION_TRAIN && (option->functions & FINETUNE) != 0
				 ? errdetail("It is an option of gpt_finetune, which trains an existing model.")
				 : 0,
			 errhint("gpt_options('%s') lists the options.", function_names[function])));
}

GptTrainOptions *
gpt_options_parse(Jsonb *json, GptTrainFunction function)
{
	GptTrainOptions *options = palloc0(sizeof(GptTrainOptions));
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	const Option *option = NULL;

	set_defaults(options);
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
				 errhint("For example '{\"minutes\": 10}'.")));
	set_family(options, json);

	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			option = find_option(value.val.string.val, value.val.string.len);
			if (option == NULL)
				option_missing(function, value.val.string.val, value.val.string.len);
			if ((option->functions & (1 << function)) == 0)
				option_elsewhere(function, option);
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
			set_value(options, option, &value);
	}
	gpt_options_check(options);
	options->is_finetune = function == GPT_FUNCTION_FINETUNE;
	if (options->optimizer == GPT_CHOSEN)
		options->optimizer = options->is_finetune ? LM_ADAMW : LM_MUON;
	options->head_rate_is_open = isnan(options->learning_rate);
	return options;
}

/* ---- Values ------------------------------------------------------------- */

static void *
field(GptTrainOptions *options, const Option *option)
{
	return (char *) options + option->offset;
}

static bool
takes_auto(const Option *option)
{
	return option->default_value != NULL && strcmp(option->default_value, AUTO) == 0;
}

static char *
words_of(const Option *option)
{
	char *words = gpt_words_list(option->word_of, ", ");

	return takes_auto(option) ? psprintf("%s, %s", AUTO, words) : words;
}

static int
enumerator(const Option *option, const char *word)
{
	int number = gpt_word_find(option->word_of, word, strlen(word));

	if (number < 0 && !(takes_auto(option) && strcmp(word, AUTO) == 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be one of %s, not \"%s\"", option->name,
							   words_of(option), word)));
	return number < 0 ? GPT_CHOSEN : number;
}

/* Fills in all defaults; options whose value depends on the corpus get GPT_CHOSEN, NaN or NULL. */
static void
set_defaults(GptTrainOptions *options)
{
	for (int i = 0; i < lengthof(all_options); i++)
	{
		const Option *option = &all_options[i];
		const char *value = option->late ? NULL : option->default_value;
		void *target = field(options, option);

		switch (option->type)
		{
			case OPTION_BOOLEAN:
				*(bool *) target = strcmp(value, "true") == 0;
				break;
			case OPTION_INTEGER:
				*(int64 *) target = value ? strtoi64(value, NULL, 10) : GPT_CHOSEN;
				break;
			case OPTION_NUMBER:
				*(double *) target = value ? strtod(value, NULL) : get_float8_nan();
				break;
			case OPTION_WORD:
				*(int *) target = value ? enumerator(option, value) : GPT_CHOSEN;
				break;
			case OPTION_TEXT:
			case OPTION_JSON:
				*(const char **) target = value;
				break;
		}
	}
}

/*
 * A family is the defaults of other options, so it comes before them; a value that is no text is
 * refused later.
 */
static void
set_family(GptTrainOptions *options, Jsonb *json)
{
	JsonbValue buffer;
	const JsonbValue *value =
		getKeyJsonValueFromContainer(&json->root, "family", strlen("family"), &buffer);

	if (value == NULL || value->type != jbvString)
		return;
	set_value(options, find_option("family", strlen("family")), value);
	switch (options->family)
	{
		case GPT_FAMILY_AUTO:
		case GPT_FAMILY_MODERN:
			return;
		case GPT_FAMILY_GPT2:
			break;
	}
	options->norm = LM_LAYERNORM;
	options->position = LM_LEARNED;
	options->qk_norm = false;
	options->mlp = LM_GELU_TANH;
	options->bias = true;
	options->zero_init = false;
}

/* The type of the value, as an error message names it. */
static const char *
json_type_phrase(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return "a text";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		default:
			break;
	}
	return JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object";
}

/* The value; raises an error if it is out of range or, for an integer, has a fraction. */
static double
checked_number(const Option *option, const JsonbValue *value)
{
	Datum numeric = NumericGetDatum(value->val.numeric);
	double number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, numeric));

	if (option->type == OPTION_INTEGER && number != floor(number))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be an integer, not %s", option->name,
							   DatumGetCString(DirectFunctionCall1(numeric_out, numeric)))));
	if (!(number >= option->minimum && number <= option->maximum))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be between %s and %s, not %s", option->name,
							   gpt_number_text(option->minimum), gpt_number_text(option->maximum),
							   gpt_number_text(number))));
	return number;
}

/* Stores one value of the user in the field of its option, after checks of its type and range. */
static void
set_value(GptTrainOptions *options, const Option *option, const JsonbValue *value)
{
	static const enum jbvType json_types[] = {jbvBool,	 jbvNumeric, jbvNumeric,
											  jbvString, jbvString,	 jbvString};
	void *target = field(options, option);

	if (option->type == OPTION_JSON && value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data))
	{
		*(const char **) target =
			JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		return;
	}
	if (option->boolean_too && value->type == jbvBool)
	{
		*(int *) target = value->val.boolean ? GPT_SWITCH_TRUE : GPT_SWITCH_FALSE;
		return;
	}
	if (value->type != json_types[option->type])
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be %s, not %s", option->name,
							   type_phrases[option->type], json_type_phrase(value))));
	switch (option->type)
	{
		case OPTION_BOOLEAN:
			*(bool *) target = value->val.boolean;
			break;
		case OPTION_INTEGER:
			*(int64 *) target = (int64) checked_number(option, value);
			break;
		case OPTION_NUMBER:
			*(double *) target = checked_number(option, value);
			break;
		case OPTION_WORD:
			*(int *) target =
				enumerator(option, pnstrdup(value->val.string.val, value->val.string.len));
			break;
		case OPTION_TEXT:
			*(const char **) target = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case OPTION_JSON:
		{
			StringInfoData json;

			initStringInfo(&json);
			escape_json(&json, pnstrdup(value->val.string.val, value->val.string.len));
			*(const char **) target = json.data;
			break;
		}
	}
}

/* ---- Showing ------------------------------------------------------------ */

/* The description for gpt_options: notes of single words, the option's own text, then its words. */
static char *
described(const Option *option)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; option->about != NULL && option->word_of(i) != NULL; i++)
	{
		if (option->about(i) != NULL)
			appendStringInfo(&text, "%s; ", option->about(i));
	}
	appendStringInfoString(&text, option->description);
	if (option->word_of != NULL)
		appendStringInfo(&text, " (%s)", words_of(option));
	return text.data;
}

bool
gpt_options_get(double *value, const GptTrainOptions *options, const char *name)
{
	const Option *option = find_option(name, strlen(name));
	const char *place = (const char *) options + (option != NULL ? option->offset : 0);

	if (option == NULL || option->type == OPTION_TEXT || option->type == OPTION_JSON)
		return false;
	*value = option->type == OPTION_BOOLEAN	  ? *(const bool *) place
			 : option->type == OPTION_INTEGER ? *(const int64 *) place
			 : option->type == OPTION_WORD	  ? *(const int *) place
											  : *(const double *) place;
	return option->type == OPTION_BOOLEAN || (!isnan(*value) && *value != GPT_CHOSEN);
}

bool
gpt_options_set(GptTrainOptions *options, const char *name, double value)
{
	const Option *option = find_option(name, strlen(name));
	char *place = (char *) options + (option != NULL ? option->offset : 0);

	if (option == NULL || option->type == OPTION_TEXT || option->type == OPTION_JSON)
		return false;
	if (option->type == OPTION_BOOLEAN)
		*(bool *) place = value != 0;
	else if (option->type == OPTION_INTEGER)
		*(int64 *) place = (int64) value;
	else if (option->type == OPTION_WORD)
		*(int *) place = (int) value;
	else
		*(double *) place = value;
	return true;
}

bool
gpt_options_row(GptOptionRow *row, GptTrainFunction function, int number)
{
	const Option *option = &all_options[number];

	if ((option->functions & (1 << function)) == 0)
		return false;
	row->name = option->name;
	row->type = type_names[option->type];
	row->default_value = option->default_value;
	row->ranged = option->type == OPTION_INTEGER || option->type == OPTION_NUMBER;
	row->minimum = option->minimum;
	row->maximum = option->maximum;
	row->description = described(option);
	return true;
}

int
gpt_options_count(void)
{
	return lengthof(all_options);
}

const char *
gpt_options_function(int number)
{
	return function_names[number];
}
