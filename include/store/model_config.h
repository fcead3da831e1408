/*
 * include/store/model_config.h
 *
 * A model's configuration as JSON: in the rows of versions and in the metadata of weights. One list
 * of fields serves both directions; names are those of the training options.
 */
#ifndef GPT_MODEL_CONFIG_H
#define GPT_MODEL_CONFIG_H

#include "engine/config.h"

/*
 * Text of a JSON object, palloc'd. labels: the names of config->labels labels, one after another,
 * each with its 0.
 */
extern char *gpt_config_to_json(const LmConfig *config, const char *labels);

/*
 * Reads a jsonb object (a Datum) and checks the result. ERRCODE_DATA_CORRUPTED when a field is
 * missing, has another type or a value that the engine does not take. Fields of later releases are
 * ignored.
 */
extern void gpt_config_from_jsonb(LmConfig *config, Datum jsonb);

/* The names of the labels of a configuration that gpt_config_from_jsonb took, palloc'd. */
extern char **gpt_config_labels(Datum jsonb);

/* "gpt2" for what other tools read as GPT-2, else "gpt". */
extern const char *gpt_config_architecture(const LmConfig *config);

#endif /* GPT_MODEL_CONFIG_H */
