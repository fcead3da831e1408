/*
 * test/fuzz/fuzz_sentencepiece.c
 *
 * libFuzzer's entry to target_sentencepiece.
 */
#include "target_sentencepiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_sentencepiece(data, size);
	return 0;
}
