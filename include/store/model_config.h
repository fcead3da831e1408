/*
 * include/store/model_config.h
 *
 * A model's configuration as JSON: in the rows of versions and in the metadata of weights. One list
 * of fields serves both directions; names are those of the training options.
 */
#ifndef GPT_MODEL_CONFIG_H
#define GPT_MODEL_CONFIG_H

#include "engine/config.h"
#include "engine/config_field.h"

/*
 * The configuration as the text of a JSON object, palloc'd. labels: the names of config->labels
 * labels, one after another, each with a NUL after it.
 */
extern char *gpt_config_to_json(const LmConfig *config, const char *labels);

/*
 * Reads a jsonb object (a Datum) and checks the result. Raises ERRCODE_DATA_CORRUPTED if a field is
 * missing, or has another type or a value that the engine does not accept. Fields of later releases
 * are ignored.
 */
extern void gpt_config_from_jsonb(LmConfig *config, Datum jsonb);

/*
 * Both at once without errors: configuration and names of labels, palloc'd; false where an error
 * would be raised.
 */
extern bool gpt_config_try_jsonb(LmConfig *config, char ***labels, Datum jsonb);

/* The names of the labels of a configuration that gpt_config_from_jsonb has read, palloc'd. */
extern char **gpt_config_labels(Datum jsonb);

/* The field of LmConfig of that name, which the caller knows to exist. */
extern const LmConfigField *gpt_config_field(const char *name);

/* The first field of the shape whose values differ by more than that share; NULL: none. */
extern const LmConfigField *gpt_config_lost(const LmConfig *config, const LmConfig *restored,
											double tolerance);

#endif /* GPT_MODEL_CONFIG_H */
