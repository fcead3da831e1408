/*
 * test/fuzz/fuzz_safetensors.c
 *
 * libFuzzer's entry to target_safetensors.
 */
#include "target_safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_safetensors(data, size);
	return 0;
}
