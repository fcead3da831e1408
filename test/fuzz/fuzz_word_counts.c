/*
 * test/fuzz/fuzz_word_counts.c
 *
 * libFuzzer's entry to target_word_counts.
 */
#include "target_word_counts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_word_counts(data, size);
	return 0;
}
