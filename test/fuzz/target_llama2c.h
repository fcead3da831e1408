/*
 * test/fuzz/target_llama2c.h
 *
 * Any bytes as a model of llama2.c, and as its tokenizer.bin: an error, or tensors that fill the
 * file, and tokens that end with it.
 */
#ifndef TEST_TARGET_LLAMA2C_H
#define TEST_TARGET_LLAMA2C_H

#include "fuzz.h"
#include "engine/llama2c.h"

/* Whether the bytes are a model. */
static inline bool
target_llama2c(const uint8_t *data, size_t size)
{
	FuzzFile bytes = {data, size};
	FuzzHost state;
	/* 200 bytes for each tensor, and a tensor has at least one float. */
	LmHost host = fuzz_host(&state, 1024 + 200 / 4 * size);
	LmFile file = fuzz_file(&bytes);
	LmError error = {0};
	LmLlama2c *model = lm_llama2c_open(&file, &host, &error);

	FUZZ_CHECK(!model || lm_llama2c_looks(&file));
	for (size_t i = 0; model && i < model->n_tensors; i++)
		fuzz_check_tensor(&model->tensors[i], &bytes);
	if (model)
	{
		LmTensorRoom room = {28, size, size, size};

		FUZZ_CHECK(lm_tensor_list_check(model->tensors, model->n_tensors, &room, &host, &error));
	}
	else
		fuzz_check_error(&error);
	lm_free(&host, model);
	FUZZ_CHECK(state.live == 0);
	return model != NULL;
}

/* Whether the bytes are tokens. */
static inline bool
target_llama2c_tokens(const uint8_t *data, size_t size)
{
	static LmLlama2cTokens tokens;
	FuzzFile bytes = {data, size};
	FuzzHost state;
	LmHost host = fuzz_host(&state, 0);
	LmFile file = fuzz_file(&bytes);
	LmError error = {0};
	const char *text;
	size_t length, sum = 0;
	float score;

	if (!lm_llama2c_tokens(&tokens, &file, &host, &error))
	{
		fuzz_check_error(&error);
		return false;
	}
	while (lm_llama2c_more(&tokens))
	{
		if (!lm_llama2c_next(&text, &length, &score, &tokens, &error))
		{
			fuzz_check_error(&error);
			return false;
		}
		for (size_t i = 0; i < length; i++)
			sum += (unsigned char) text[i] != 0;
		FUZZ_CHECK(length <= (size_t) tokens.longest && sum <= size);
	}
	return true;
}

#endif /* TEST_TARGET_LLAMA2C_H */
