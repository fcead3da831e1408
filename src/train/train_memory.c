/*
 * src/train/train_memory.c
 *
 * A plan that does not fit into gpt.max_memory goes in; an error comes out that names options with
 * which it would. Each of them is tried by the same computation that the plan came from.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "lib/stringinfo.h"
#include "core/options.h"
#include "train/train_plan.h"

#define SMALLEST_CONTEXT 8 /* that the option takes */
#define SMALLEST_VOCABULARY 257
#define LEFT_OPEN "batch_size, accumulate and recompute left out"

typedef struct Search
{
	const GptTrainPlan *plan;
	const GptTrainOptions *options;
	StringInfoData found; /* "batch_size": 4, or "recompute": true */
} Search;

static bool fits(const Search *search, const GptTrainOptions *options, const char *preset,
				 int vocabulary, int context);
static bool fits_with(const Search *search, const GptTrainOptions *options);
static void add(Search *search, const char *option, const char *value);
static void try_batch(Search *search);
static void try_recompute(Search *search);
static void try_shapes(Search *search);
static void try_halves(Search *search, const char *option, int least);
static void try_presets(Search *search);
static void try_adapter(Search *search);

void
gpt_plan_raise_memory(const GptTrainPlan *plan, const GptTrainOptions *options)
{
	Search search = {plan, options};
	GptTrainOptions open = *options;
	const char *beside = "";

	initStringInfo(&search.found);
	try_batch(&search);
	try_recompute(&search);
	try_shapes(&search);
	if (search.found.len == 0)
	{
		/* No single one will do: with the smallest batch, one may. */
		open.batch_size = open.accumulate = GPT_CHOSEN;
		open.recompute = GPT_SWITCH_AUTO;
		search.options = &open;
		if (fits_with(&search, &open))
			appendStringInfoString(&search.found, LEFT_OPEN);
		else
		{
			try_shapes(&search);
			beside = ", and " LEFT_OPEN;
		}
	}
	gpt_bridge_check_memory_with(
		plan->memory, search.found.len > 0
						  ? psprintf("It would fit with %s%s.", search.found.data, beside)
						  : NULL);
}

/* Tries smaller shapes, one option at a time; on a base model the shape is fixed, but for the
 * windows. */
static void
try_shapes(Search *search)
{
	if (search->options->base_shape != NULL)
	{
		if (search->options->is_finetune)
			try_halves(search, "context", SMALLEST_CONTEXT);
		try_adapter(search);
		return;
	}
	try_halves(search, "context", SMALLEST_CONTEXT);
	if (search->options->vocabulary != GPT_CHOSEN)
		try_halves(search, "vocabulary", SMALLEST_VOCABULARY);
	if (search->options->layers != GPT_CHOSEN)
		try_halves(search, "layers", 1);
	try_presets(search);
}

static bool
fits(const Search *search, const GptTrainOptions *options, const char *preset, int vocabulary,
	 int context)
{
	GptTrainPlan plan = *search->plan;

	gpt_plan_shape(&plan, options, preset, vocabulary, context);
	return gpt_plan_batch_fits(&plan, options);
}

static bool
fits_with(const Search *search, const GptTrainOptions *options)
{
	const LmConfig *config = &search->plan->config;

	return fits(search, options, search->plan->preset, config->vocabulary, search->plan->context);
}

static void
add(Search *search, const char *option, const char *value)
{
	appendStringInfo(&search->found, "%s\"%s\": %s", search->found.len > 0 ? ", or " : "", option,
					 value);
}

/* ---- What can be changed ------------------------------------------------ */

/* Suggests the largest batch size that fits, found by repeated halving. */
static void
try_batch(Search *search)
{
	GptTrainOptions options = *search->options;

	while (options.batch_size > 1)
	{
		options.batch_size /= 2;
		if (fits_with(search, &options))
		{
			add(search, "batch_size", psprintf(INT64_FORMAT, options.batch_size));
			return;
		}
	}
}

static void
try_recompute(Search *search)
{
	GptTrainOptions options = *search->options;

	options.recompute = GPT_SWITCH_TRUE;
	if (search->options->recompute == GPT_SWITCH_FALSE && fits_with(search, &options))
		add(search, "recompute", "true");
}

/* The largest half, fourth, eighth ... of a size. */
static void
try_halves(Search *search, const char *option, int least)
{
	const LmConfig *config = &search->plan->config;
	bool is_context = strcmp(option, "context") == 0;
	bool is_layers = strcmp(option, "layers") == 0;
	int size = is_context ? search->plan->context : is_layers ? config->layers : config->vocabulary;

	for (size /= 2; size >= least; size /= 2)
	{
		GptTrainOptions options = *search->options;

		if (is_layers)
			options.layers = size;
		if (fits(search, &options, search->plan->preset,
				 is_context || is_layers ? config->vocabulary : size,
				 is_context ? size : search->plan->context))
		{
			add(search, option, psprintf("%d", size));
			return;
		}
	}
}

/* Suggests the largest preset that fits, instead of the shape in the options. */
static void
try_presets(Search *search)
{
	const LmConfig *config = &search->plan->config;
	GptTrainOptions options = *search->options;
	bool has_shape = options.layers != GPT_CHOSEN || options.heads != GPT_CHOSEN ||
					 options.channels != GPT_CHOSEN || options.mlp_channels != GPT_CHOSEN;
	const char *best = NULL;

	options.layers = options.heads = options.channels = options.mlp_channels = GPT_CHOSEN;
	for (int i = 0; gpt_preset_name(i) != NULL; i++)
	{
		if (strcmp(gpt_preset_name(i), search->plan->preset) == 0)
			break;
		if (options.kv_heads > 0 && gpt_preset(i)->heads % options.kv_heads != 0)
			continue;
		if (fits(search, &options, gpt_preset_name(i), config->vocabulary, search->plan->context))
			best = gpt_preset_name(i);
	}
	if (best != NULL)
		add(search, "preset",
			psprintf("\"%s\"%s", best, has_shape ? " instead of layers, heads and channels" : ""));
}

/* An adapter; or one whose base is kept with fewer bits, first the type that loses least. */
static void
try_adapter(Search *search)
{
	static const GptBaseType types[] = {GPT_BASE_BFLOAT16, GPT_BASE_INT8};
	GptTrainOptions options = *search->options;
	bool is_adapter = gpt_options_lora(&options);

	options.method = GPT_METHOD_LORA;
	if (!is_adapter && fits_with(search, &options))
	{
		add(search, "method", "\"lora\"");
		return;
	}
	for (int i = 0; i < lengthof(types) && search->options->base_type == GPT_CHOSEN; i++)
	{
		options.base_type = types[i];
		if (!gpt_plan_base_type_fits(&options, &search->plan->config) ||
			!fits_with(search, &options))
			continue;
		if (!is_adapter)
			add(search, "method",
				psprintf("\"lora\" and \"base_type\": \"%s\"", gpt_base_type_name(types[i])));
		else
			add(search, "base_type", psprintf("\"%s\"", gpt_base_type_name(types[i])));
		return;
	}
}
