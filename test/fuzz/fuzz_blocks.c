/*
 * test/fuzz/fuzz_blocks.c
 *
 * libFuzzer's entry to target_blocks.
 */
#include "target_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_blocks(data, size);
	return 0;
}
