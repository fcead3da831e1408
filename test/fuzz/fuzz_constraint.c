/*
 * test/fuzz/fuzz_constraint.c
 *
 * libFuzzer's entry to target_constraint.
 */
#include "target_constraint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target_constraint(data, size);
	return 0;
}
