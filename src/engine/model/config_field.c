/*
 * src/engine/model/config_field.c
 *
 * The table of the fields of a configuration, and the functions that need nothing else.
 */
#include "engine/config_field.h"

/* clang-format off */
#define FIELD(name, type, part, standard, since, image_word) \
	{#name, LM_FIELD_##type, LM_PART_##part, offsetof(LmConfig, name), standard, since, image_word, NULL}
#define WORD(name, standard, since, image_word, name_of) \
	{#name, LM_FIELD_WORD, LM_PART_SHAPE, offsetof(LmConfig, name), standard, since, image_word, name_of}

static const LmConfigField fields[] = {
	/*    name               type      part      default       since  word of an image */
	FIELD(vocabulary,        INTEGER,  SHAPE,    0,            1,     0),
	FIELD(context,           INTEGER,  SHAPE,    0,            1,     1),
	FIELD(layers,            INTEGER,  SHAPE,    0,            1,     2),
	FIELD(heads,             INTEGER,  SHAPE,    0,            1,     3),
	FIELD(channels,          INTEGER,  SHAPE,    0,            1,     4),
	FIELD(mlp_channels,      INTEGER,  SHAPE,    0,            1,     5),
	WORD( norm,                                  LM_LAYERNORM, 1,     6,   lm_norm_name),
	FIELD(norm_epsilon,      REAL,     SHAPE,    1e-5,         1,     7),
	WORD( position,                              LM_LEARNED,   1,     8,   lm_position_name),
	WORD( mlp,                                   LM_GELU_TANH, 1,     9,   lm_activation_name),
	FIELD(bias,              BOOLEAN,  SHAPE,    true,         1,     10),
	FIELD(tie_embeddings,    BOOLEAN,  SHAPE,    true,         1,     11),
	FIELD(dropout,           REAL,     TRAINING, 0,            1,     12),
	FIELD(rope_base,         REAL,     SHAPE,    10000,        2,     14),
	FIELD(qk_norm,           BOOLEAN,  SHAPE,    false,        2,     15),
	FIELD(zero_init,         BOOLEAN,  START,    false,        2,     LM_NOT_IN_IMAGE),
	FIELD(multi_label,       BOOLEAN,  HEAD,     false,        2,     17),
	FIELD(lora_rank,         INTEGER,  ADAPTER,  0,            2,     LM_NOT_IN_IMAGE),
	FIELD(lora_alpha,        REAL,     ADAPTER,  0,            2,     LM_NOT_IN_IMAGE),
	FIELD(lora_targets,      TARGETS,  ADAPTER,  0,            2,     LM_NOT_IN_IMAGE),
	FIELD(lora_dropout,      REAL,     ADAPTER,  0,            2,     LM_NOT_IN_IMAGE),
	WORD( model_type,                            LM_GPT,       3,     20,  lm_model_type_name),
	FIELD(kv_heads,          INTEGER,  SHAPE,    0,            3,     21),
	FIELD(head_size,         INTEGER,  SHAPE,    0,            3,     22),
	WORD( qkv_bias,                              LM_QKV_AS_OTHERS,3,     23,  lm_qkv_bias_name),
	WORD( rope_style,                            LM_ROPE_HALF, 3,     24,  lm_rope_style_name),
	WORD( rope_scaling,                          LM_ROPE_UNSCALED,3,     25,  lm_rope_scaling_name),
	FIELD(rope_factor,       REAL,     SHAPE,    1,            3,     26),
	FIELD(rope_low,          REAL,     SHAPE,    0,            3,     27),
	FIELD(rope_high,         REAL,     SHAPE,    0,            3,     28),
	FIELD(rope_context,      INTEGER,  SHAPE,    0,            3,     29),
	FIELD(rope_attention,    REAL,     SHAPE,    0,            3,     30),
	FIELD(rope_local_base,   REAL,     SHAPE,    0,            3,     31),
	FIELD(rotary_size,       INTEGER,  SHAPE,    0,            3,     32),
	FIELD(nope_period,       INTEGER,  SHAPE,    0,            3,     33),
	FIELD(window,            INTEGER,  SHAPE,    0,            3,     34),
	FIELD(window_period,     INTEGER,  SHAPE,    0,            3,     35),
	FIELD(window_full,       INTEGER,  SHAPE,    0,            3,     36),
	FIELD(parallel_residual, BOOLEAN,  SHAPE,    false,        3,     37),
	FIELD(post_norm,         BOOLEAN,  SHAPE,    false,        3,     38),
	FIELD(embedding_scale,   REAL,     SHAPE,    1,            3,     39),
	FIELD(attention_scale,   REAL,     SHAPE,    0,            3,     40),
	FIELD(attention_softcap, REAL,     SHAPE,    0,            3,     41),
	FIELD(logit_softcap,     REAL,     SHAPE,    0,            3,     42),
	WORD( architecture,                          LM_DECODER,   4,     43,  lm_architecture_name),
	FIELD(encoder_layers,    INTEGER,  SHAPE,    0,            4,     44),
	FIELD(number,            BOOLEAN,  HEAD,     false,        4,     45),
	FIELD(number_mean,       REAL,     HEAD,     0,            4,     46),
	FIELD(number_scale,      REAL,     HEAD,     1,            4,     47),
	FIELD(pair,              BOOLEAN,  HEAD,     false,        4,     48),
	FIELD(ngram_tokens,      INTEGER,  HEAD,     0,            4,     49),
	FIELD(features,          INTEGER,  HEAD,     0,            4,     50),
	FIELD(embedding,         INTEGER,  HEAD,     0,            4,     57),
	FIELD(labels,            LABELS,   HEAD,     0,            2,     16),
};
/* clang-format on */

int
lm_config_field_count(void)
{
	return (int) (sizeof fields / sizeof *fields);
}

const LmConfigField *
lm_config_field(int number)
{
	return number < lm_config_field_count() ? &fields[number] : NULL;
}

LmConfig
lm_config_default(void)
{
	LmConfig config = {0};

	for (int i = 0; i < lm_config_field_count(); i++)
		lm_config_set(&config, &fields[i], fields[i].standard);
	return config;
}

double
lm_config_get(const LmConfig *config, const LmConfigField *field)
{
	const char *place = (const char *) config + field->offset;

	switch (field->type)
	{
		case LM_FIELD_REAL:
			return *(const float *) (const void *) place;
		case LM_FIELD_BOOLEAN:
			return *(const bool *) place;
		case LM_FIELD_INTEGER:
		case LM_FIELD_WORD:
		case LM_FIELD_TARGETS:
		case LM_FIELD_LABELS:
			break;
	}
	return *(const int *) (const void *) place;
}

void
lm_config_set(LmConfig *config, const LmConfigField *field, double value)
{
	char *place = (char *) config + field->offset;

	switch (field->type)
	{
		case LM_FIELD_REAL:
			*(float *) (void *) place = (float) value;
			return;
		case LM_FIELD_BOOLEAN:
			*(bool *) place = value != 0;
			return;
		case LM_FIELD_INTEGER:
		case LM_FIELD_WORD:
		case LM_FIELD_TARGETS:
		case LM_FIELD_LABELS:
			break;
	}
	*(int *) (void *) place = (int) value;
}

bool
lm_config_is_standard(const LmConfig *config, const LmConfigField *field)
{
	const LmConfig standard = lm_config_default();

	return lm_config_get(config, field) == lm_config_get(&standard, field);
}

void
lm_config_copy(LmConfig *config, const LmConfig *from, LmConfigPart part)
{
	for (int i = 0; i < lm_config_field_count(); i++)
		if (fields[i].part == part)
			lm_config_set(config, &fields[i], lm_config_get(from, &fields[i]));
}

bool
lm_config_same(const LmConfig *a, const LmConfig *b, LmConfigPart part)
{
	for (int i = 0; i < lm_config_field_count(); i++)
		if (fields[i].part == part && lm_config_get(a, &fields[i]) != lm_config_get(b, &fields[i]))
			return false;
	return true;
}
