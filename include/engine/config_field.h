/*
 * include/engine/config_field.h
 *
 * The fields of LmConfig, a row for each. JSON, the header of images, the defaults, and the fields
 * that an adapter or a fine-tune takes from its base are made from this table.
 */
#ifndef LM_CONFIG_FIELD_H
#define LM_CONFIG_FIELD_H

#include "engine/config.h"

/* The type of a field in LmConfig and in JSON. */
typedef enum LmFieldType
{
	LM_FIELD_INTEGER, /* int */
	LM_FIELD_REAL, /* float */
	LM_FIELD_BOOLEAN, /* bool */
	LM_FIELD_WORD, /* an enumerator, which JSON spells as a word */
	LM_FIELD_TARGETS, /* lora_targets: an int, in JSON a list of words in one text */
	LM_FIELD_LABELS, /* labels: an int, in JSON an array of that many names */
} LmFieldType;

/* The part of a model that a field describes. */
typedef enum LmConfigPart
{
	LM_PART_SHAPE, /* blocks, embeddings and head: an adapter and its base agree in it */
	LM_PART_START, /* the values that training begins with; a fine-tune takes both from its base */
	LM_PART_TRAINING, /* training alone: each one chooses */
	LM_PART_HEAD, /* a classifier's head, which an adapter has of its own; n-grams */
	LM_PART_ADAPTER,
} LmConfigPart;

#define LM_NOT_IN_IMAGE (-1)

/* A row of the table. */
typedef struct LmConfigField
{
	const char *name; /* in JSON, in messages, and of the training option where there is one */
	LmFieldType type;
	LmConfigPart part;
	size_t offset; /* in LmConfig */
	double standard; /* the value of lm_config_default */
	/*
	 * The first format of JSON that has the field. Fields of format 1 are always written; later
	 * fields only where they differ from the default, so that the JSON of older models stays as it
	 * is.
	 */
	int since;
	int image_word; /* its place in the header of an image, which never moves */
	const char *(*name_of)(int value); /* of LM_FIELD_WORD */
} LmConfigField;

/* The number of rows. */
int lm_config_field_count(void);
/* Row `number`, in the order of JSON, from 0 on; NULL from the number of rows on. */
const LmConfigField *lm_config_field(int number);

/* Reads and writes a field as a number: a boolean is 0 or 1, an enumerator its number. */
double lm_config_get(const LmConfig *config, const LmConfigField *field);
void lm_config_set(LmConfig *config, const LmConfigField *field, double value);

/* Whether a field has the value of lm_config_default. */
bool lm_config_is_standard(const LmConfig *config, const LmConfigField *field);

/* Copies the fields of a part, and compares them. */
void lm_config_copy(LmConfig *config, const LmConfig *from, LmConfigPart part);
bool lm_config_same(const LmConfig *a, const LmConfig *b, LmConfigPart part);

#endif /* LM_CONFIG_FIELD_H */
