/*
 * test/fuzz/target_safetensors.h
 *
 * Any bytes as a safetensors file: an error, or tensors that fill the file and texts that can be
 * read.
 */
#ifndef TEST_TARGET_SAFETENSORS_H
#define TEST_TARGET_SAFETENSORS_H

#include "fuzz.h"
#include "engine/safetensors.h"
#include "formats/safetensors_private.h"

/* Whether the bytes are a file. */
static inline bool
target_safetensors(const uint8_t *data, size_t size)
{
	FuzzFile bytes = {data, size};
	FuzzHost state;
	LmHost host = fuzz_host(&state, 1024 + (LM_SAFETENSORS_MEMORY + 1) * size);
	LmFile file = fuzz_file(&bytes);
	LmError error = {0};
	LmSafetensors *safetensors = lm_safetensors_open(&file, &host, &error);
	uint64_t sum = 0;

	if (!safetensors)
	{
		fuzz_check_error(&error);
		FUZZ_CHECK(state.live == 0);
		return false;
	}
	for (size_t i = 0; i < lm_safetensors_n_tensors(safetensors); i++)
	{
		const LmFileTensor *tensor = lm_safetensors_tensor(safetensors, i);

		FUZZ_CHECK(lm_safetensors_find(safetensors, tensor->name) == tensor);
		fuzz_check_tensor(tensor, &bytes);
		sum += tensor->size;
	}
	FUZZ_CHECK(8 + data[0] + 256ull * data[1] + 65536ull * data[2] + sum == size);
	for (size_t i = 0; i < safetensors->n_texts; i++)
	{
		char *text = lm_safetensors_text(safetensors, safetensors->texts[i].key, size, &error);

		if (text)
			FUZZ_CHECK(strlen(text) <= safetensors->texts[i].size);
		else
			fuzz_check_error(&error);
		lm_free(&host, text);
	}
	lm_safetensors_close(safetensors);
	FUZZ_CHECK(state.live == 0);
	return true;
}

#endif /* TEST_TARGET_SAFETENSORS_H */
