/*
 * test/fuzz/fuzz_tensors.c
 *
 * libFuzzer's entry to target_tensors.
 */
#include "target_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_tensors(data, size);
	return 0;
}
