/*
 * test/fuzz/fuzz_llama2c.c
 *
 * libFuzzer's entry to target_llama2c.
 */
#include "target_llama2c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_llama2c(data, size);
	return 0;
}
