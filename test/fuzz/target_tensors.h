/*
 * test/fuzz/target_tensors.h
 *
 * Any bytes as the places of up to 32 tensors, against a check that looks at each pair; and as
 * blocks, which decode to floats that encode.
 */
#ifndef TEST_TARGET_TENSORS_H
#define TEST_TARGET_TENSORS_H

#include "fuzz.h"
#include "formats/half.h"

#define FUZZ_TENSORS 32

/* The rules of lm_tensor_list_check, tensor by tensor and pair by pair. */
static inline bool
naive_list_check(const LmFileTensor *tensors, size_t n, const LmTensorRoom *room)
{
	uint64_t last = room->begin;

	for (size_t i = 0; i < n; i++)
	{
		const LmFileTensor *a = &tensors[i];
		uint64_t before = room->begin;

		if (a->offset < room->begin || a->offset > room->end || a->size > room->end - a->offset)
			return false;
		for (size_t j = 0; j < n; j++)
		{
			const LmFileTensor *b = &tensors[j];

			if (i == j)
				continue;
			if (strcmp(a->name, b->name) == 0)
				return false;
			if (a->size == 0 || b->size == 0)
				continue;
			if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
				return false;
			if (b->offset < a->offset && b->offset + b->size > before)
				before = b->offset + b->size;
		}
		if (a->size > 0 && a->offset - before > room->most_gap)
			return false;
		if (a->size > 0 && a->offset + a->size > last)
			last = a->offset + a->size;
	}
	return room->end - last <= room->most_tail;
}

/* | begin | end | gap | tail | for each tensor: name, offset, size |, a byte each; 255 is huge. */
static inline bool
target_tensors(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	LmFileTensor tensors[FUZZ_TENSORS] = {{0}};
	LmTensorRoom room;
	FuzzHost state;
	LmHost host = fuzz_host(&state, 256 + 16 * FUZZ_TENSORS);
	LmError error;
	size_t n = 0;
	bool good;

	if (size < 4)
		return false;
	room = (LmTensorRoom){data[0], (uint64_t) data[0] + data[1], data[2], data[3]};
	for (size_t at = 4; at + 3 <= size && n < FUZZ_TENSORS; at += 3, n++)
	{
		tensors[n].name = names[data[at] % 8];
		tensors[n].offset = data[at + 1] == 255 ? UINT64_MAX - 3 : data[at + 1];
		tensors[n].size = data[at + 2] == 255 ? UINT64_MAX - 3 : data[at + 2];
	}
	good = lm_tensor_list_check(tensors, n, &room, &host, &error);
	FUZZ_CHECK(good == naive_list_check(tensors, n, &room));
	if (!good)
		fuzz_check_error(&error);
	FUZZ_CHECK(state.live == 0);
	return good;
}

/* A byte for the type, then blocks, of which the last bytes may be missing. */
static inline bool
target_blocks(const uint8_t *data, size_t size)
{
	const LmBlockType *type;
	size_t n_blocks, n;
	uint8_t *blocks;
	float *y;

	if (size < 1)
		return false;
	type = lm_block_type(data[0] % lm_block_type_count());
	n_blocks = (size - 1) / (size_t) type->bytes;
	n = n_blocks * (size_t) type->elements;
	y = malloc(n * sizeof(float) + 1);
	blocks = malloc(n_blocks * (size_t) type->bytes + 1);
	lm_block_decode(y, type, data + 1, n);
	if (type->encode)
		lm_block_encode(blocks, type, y, n);
	/* A float of 16 bits comes back, but a NaN may become a quiet one. */
	for (size_t i = 0; type->elements == 1 && i < n; i++)
		FUZZ_CHECK(y[i] != y[i] ||
				   memcmp(blocks + i * (size_t) type->bytes, data + 1 + i * (size_t) type->bytes,
						  (size_t) type->bytes) == 0);
	free(blocks);
	free(y);
	return n > 0;
}

#endif /* TEST_TARGET_TENSORS_H */
