/*
 * test/unit/safetensors.h
 *
 * Reads the fixtures' safetensors files: F32 tensors in a header as Python's json.dumps writes it.
 * For tests only; it believes the file.
 */
#ifndef TEST_SAFETENSORS_H
#define TEST_SAFETENSORS_H

#include "engine/params.h"
#include "tap.h"

typedef struct Safetensors
{
	char *file;
	char *header; /* NUL after it */
	const char *data;
} Safetensors;

static inline bool
safetensors_open(Safetensors *tensors, const char *path)
{
	size_t size;
	uint64_t length;

	tensors->file = tap_read_file(path, &size);
	if (!tensors->file)
		return false;
	memcpy(&length, tensors->file, 8);
	tensors->header = malloc(length + 1);
	memcpy(tensors->header, tensors->file + 8, length);
	tensors->header[length] = 0;
	tensors->data = tensors->file + 8 + length;
	return true;
}

static inline void
safetensors_close(Safetensors *tensors)
{
	free(tensors->file);
	free(tensors->header);
}

/* The elements of a tensor and how many there are; NULL where the file has none of that name. */
static inline const float *
safetensors_find(const Safetensors *tensors, const char *name, size_t *count)
{
	char key[160];
	const char *at;
	unsigned long long begin, end;

	snprintf(key, sizeof key, "\"%.150s\":", name);
	at = strstr(tensors->header, key);
	at = at ? strstr(at, "\"data_offsets\":") : NULL;
	at = at ? strchr(at, '[') : NULL;
	if (!at || sscanf(at, "[%llu, %llu]", &begin, &end) != 2)
		if (!at || sscanf(at, "[%llu,%llu]", &begin, &end) != 2)
			return NULL;
	*count = (end - begin) / sizeof(float);
	return (const float *) (tensors->data + begin);
}

/*
 * Fills a block of parameters. Vectors that the configuration has and the file does not are left as
 * they are when they are biases; anything else missing is a failure.
 */
static inline bool
safetensors_load(const Safetensors *tensors, float *block, const LmParamTable *table)
{
	for (int i = 0; i < table->n_params; i++)
		for (int j = 0; j < table->params[i].n_parts; j++)
		{
			const LmParam *param = &table->params[i];
			const LmFilePart *part = &param->parts[j];
			size_t count;
			const float *values = safetensors_find(tensors, part->name, &count);
			float *aligned;

			if (!values || count != lm_part_count(param, part))
			{
				printf("# tensor %s is missing or has another size\n", part->name);
				return false;
			}
			aligned = malloc(count * sizeof(float));
			memcpy(aligned, values, count * sizeof(float));
			lm_param_set(block, aligned, param, lm_part_first(param, part), count);
			free(aligned);
		}
	return true;
}

#endif /* TEST_SAFETENSORS_H */
