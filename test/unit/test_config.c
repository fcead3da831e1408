/*
 * test/unit/test_config.c
 *
 * The table of the fields of a configuration: it covers LmConfig, its parts are copied and compared
 * one by one, images keep their words apart, and docs/internals.md shows it.
 */
#include "engine/config_field.h"
#include "tap.h"

static const char *const type_names[] = {"integer", "number",		 "boolean",
										 "word",	"list of words", "list of names"};
static const char *const part_names[] = {"shape", "start", "training", "head", "adapter"};
static const size_t type_sizes[] = {sizeof(int), sizeof(float), sizeof(bool),
									sizeof(int), sizeof(int),	sizeof(int)};

/* Each field has another value than in lm_config_default. */
static LmConfig
other_config(void)
{
	LmConfig config = lm_config_default();
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
		lm_config_set(&config, field,
					  field->type == LM_FIELD_BOOLEAN ? !field->standard : field->standard + i + 1);
	return config;
}

/* Only bytes that align the next member have no row. */
static void
test_cover(void)
{
	char covered[sizeof(LmConfig)] = {0};
	const LmConfigField *field;
	bool apart = true, aligned = true;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
		for (size_t j = 0; j < type_sizes[field->type]; j++)
		{
			apart = apart && !covered[field->offset + j];
			covered[field->offset + j] = 1;
		}
	for (size_t i = 0; i < sizeof covered; i++)
		aligned = aligned && (covered[i] || (i % sizeof(int) > 0 && !covered[i / 4 * 4 + 3]));
	ok(apart, "no two rows are of one member of LmConfig");
	ok(aligned, "each member of LmConfig has a row");
}

static void
test_default(void)
{
	LmConfig config = lm_config_default(), other = other_config();
	const LmConfigField *field;
	bool standard = true, none = true;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		standard = standard && lm_config_is_standard(&config, field);
		none = none && !lm_config_is_standard(&other, field);
	}
	ok(standard && none, "a field has its default, or not");
	ok(config.norm_epsilon == 1e-5f && config.rope_base == 10000 && config.bias &&
		   config.tie_embeddings && config.norm == LM_LAYERNORM && config.mlp == LM_GELU_TANH &&
		   config.position == LM_LEARNED && config.layers == 0 && config.lora_rank == 0 &&
		   !config.qk_norm && !config.zero_init,
	   "the defaults are GPT-2's");
}

static void
test_parts(void)
{
	const LmConfig other = other_config();

	for (LmConfigPart part = LM_PART_SHAPE; part <= LM_PART_ADAPTER; part++)
	{
		LmConfig config = lm_config_default();
		const LmConfigField *field;
		bool right = !lm_config_same(&config, &other, part);

		lm_config_copy(&config, &other, part);
		for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
			right = right && lm_config_is_standard(&config, field) == (field->part != part);
		ok(right && lm_config_same(&config, &other, part), "part %s is copied, and nothing else",
		   part_names[part]);
	}
}

static void
test_base(void)
{
	LmConfig config = other_config(), base = lm_config_base(&config);
	const LmConfigField *field;
	bool same = lm_config_same_base(&base, &config), differs = true;

	ok(same && base.labels == 0 && !base.multi_label && base.lora_rank == 0 &&
		   base.lora_alpha == 0 && base.lora_targets == 0 && base.lora_dropout == 0 &&
		   lm_config_same(&base, &config, LM_PART_START) &&
		   lm_config_same(&base, &config, LM_PART_TRAINING),
	   "a base has neither head nor adapter, and all else");
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		LmConfig changed = config;

		lm_config_set(&changed, field, field->standard);
		differs =
			differs && lm_config_same_base(&changed, &config) == (field->part != LM_PART_SHAPE);
	}
	ok(differs, "any other shape is another base, and only that");
}

/* Words 13, 18 and 19 hold what is not of the configuration (serve/image.c). */
static void
test_words(void)
{
	uint64_t used = 1u << 13 | 1u << 18 | 1u << 19;
	const LmConfigField *field;
	bool apart = true;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		if (field->image_word == LM_NOT_IN_IMAGE)
			continue;
		apart = apart && field->image_word < 64 && (used >> field->image_word & 1) == 0;
		used |= (uint64_t) 1 << field->image_word;
	}
	ok(apart, "each field of an image has a word of its own");
}

static void
test_docs(void)
{
	size_t size;
	char *docs = tap_read_file("docs/internals.md", &size);
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		char standard[32], row[256];

		snprintf(standard, sizeof standard, "%g", field->standard);
		snprintf(row, sizeof row, "\n| `%s` | %s | %s | %s | %d | %s |", field->name,
				 type_names[field->type],
				 field->type == LM_FIELD_BOOLEAN   ? field->standard ? "true" : "false"
				 : field->type == LM_FIELD_WORD	   ? field->name_of((int) field->standard)
				 : field->type >= LM_FIELD_TARGETS ? "none"
												   : standard,
				 part_names[field->part], field->since,
				 field->image_word == LM_NOT_IN_IMAGE ? "no" : "yes");
		if (!ok(docs && strstr(docs, row), "docs/internals.md describes %s", field->name))
			printf("# %s\n", row + 1);
	}
	free(docs);
}

int
main(void)
{
	test_cover();
	test_default();
	test_parts();
	test_base();
	test_words();
	test_docs();
	return done_testing();
}
