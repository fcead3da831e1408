/*
 * test/fuzz/fuzz_llama2c_tokens.c
 *
 * libFuzzer's entry to target_llama2c_tokens.
 */
#include "target_llama2c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_llama2c_tokens(data, size);
	return 0;
}
