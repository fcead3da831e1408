/*
 * test/fuzz/fuzz_tokenizer.c
 *
 * libFuzzer's entry to target_tokenizer.
 */
#include "target_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_tokenizer(data, size);
	return 0;
}
