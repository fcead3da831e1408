/*
 * src/engine/formats/tensor_list.c
 *
 * Checks the tensors that a file lists: sizes, names, and places. All formats use it. The sorted
 * lists are pointers to the tensors.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/file.h"

typedef const LmFileTensor *Tensor;

static int by_name(const void *a, const void *b);
static int by_offset(const void *a, const void *b);
static bool check_names(const Tensor *sorted, size_t n, LmError *error);
static bool check_places(const Tensor *sorted, size_t n, const LmTensorRoom *room, LmError *error);

bool
lm_file_tensor_size(LmFileTensor *tensor, LmError *error)
{
	const LmBlockType *type = tensor->type;
	uint64_t row = tensor->n_dimensions > 0 ? tensor->shape[tensor->n_dimensions - 1] : 1;
	uint64_t n = row / (uint64_t) type->elements;
	bool fits = true;

	if (row % (uint64_t) type->elements != 0)
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "tensor \"%s\" has rows of %llu elements, blocks of %s have %d",
					   tensor->name, (unsigned long long) row, type->name, type->elements);
	for (int i = 0; i < tensor->n_dimensions - 1; i++)
		fits = !__builtin_mul_overflow(n, tensor->shape[i], &n) && fits;
	fits = !__builtin_mul_overflow(n, (uint64_t) type->bytes, &tensor->size) && fits;
	if (!fits || tensor->size > INT64_MAX)
		return lm_fail(error, LM_ERR_FORMAT, -1, "tensor \"%s\" has a shape of over 2^63 bytes",
					   tensor->name);
	return true;
}

bool
lm_tensor_list_check(const LmFileTensor *tensors, size_t n, const LmTensorRoom *room,
					 const LmHost *host, LmError *error)
{
	size_t size;
	Tensor *sorted;
	bool good;

	if (!lm_size_multiply(&size, n, sizeof *sorted) || !(sorted = lm_allocate_unset(host, size)))
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the list of %zu tensors", n);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &tensors[i];
	qsort(sorted, n, sizeof *sorted, by_name);
	good = check_names(sorted, n, error);
	if (good)
	{
		qsort(sorted, n, sizeof *sorted, by_offset);
		good = check_places(sorted, n, room, error);
	}
	lm_free(host, sorted);
	return good;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(const Tensor *) a)->name, (*(const Tensor *) b)->name);
}

/* Of two at one place the shorter one comes first: it has no bytes, or they overlap. */
static int
by_offset(const void *a, const void *b)
{
	const LmFileTensor *first = *(const Tensor *) a, *second = *(const Tensor *) b;

	if (first->offset != second->offset)
		return first->offset < second->offset ? -1 : 1;
	return (first->size > second->size) - (first->size < second->size);
}

static bool
check_names(const Tensor *sorted, size_t n, LmError *error)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			return lm_fail(error, LM_ERR_FORMAT, -1, "the file has two tensors \"%s\"",
						   sorted[i]->name);
	return true;
}

static bool
check_places(const Tensor *sorted, size_t n, const LmTensorRoom *room, LmError *error)
{
	uint64_t end = room->begin; /* of the tensors so far */
	Tensor last = NULL; /* that has bytes */

	for (size_t i = 0; i < n; i++)
	{
		const LmFileTensor *tensor = sorted[i];

		if (tensor->offset < room->begin || tensor->offset > room->end ||
			tensor->size > room->end - tensor->offset)
			return lm_fail(error, LM_ERR_FORMAT, -1,
						   "tensor \"%s\" has %llu bytes at byte %llu, data are bytes %llu to %llu",
						   tensor->name, (unsigned long long) tensor->size,
						   (unsigned long long) tensor->offset, (unsigned long long) room->begin,
						   (unsigned long long) room->end);
		if (tensor->size == 0)
			continue;
		if (tensor->offset < end)
			return lm_fail(error, LM_ERR_FORMAT, -1,
						   "tensor \"%s\" begins at byte %llu, within tensor \"%s\"", tensor->name,
						   (unsigned long long) tensor->offset, last->name);
		if (tensor->offset - end > room->most_gap)
			return lm_fail(error, LM_ERR_FORMAT, -1,
						   "bytes %llu to %llu, before tensor \"%s\", belong to no tensor",
						   (unsigned long long) end, (unsigned long long) tensor->offset,
						   tensor->name);
		end = tensor->offset + tensor->size;
		last = tensor;
	}
	if (room->end - end > room->most_tail)
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "bytes %llu to %llu, after the last tensor, belong to no tensor",
					   (unsigned long long) end, (unsigned long long) room->end);
	return true;
}
