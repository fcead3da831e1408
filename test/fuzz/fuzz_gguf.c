/*
 * test/fuzz/fuzz_gguf.c
 *
 * libFuzzer's entry to target_gguf.
 */
#include "target_gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_gguf(data, size);
	return 0;
}
