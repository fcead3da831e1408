/*
 * src/engine/kernels/attention_rows.c
 *
 * Attention of one sequence's queries at neighbouring positions against the KV cache.
 */
#include "kernels/pieces.h"
#include "kernels/simd.h"

void
lm_attention_rows(const LmAttentionRows *rows, int first_head, int last_head)
{
	const LmSimd *simd = lm_simd();
	int shared = rows->shape.heads / rows->shape.kv_heads;

	for (int head = first_head, next; head < last_head; head = next)
	{
		next = lm_smaller(last_head, (head / shared + 1) * shared);
		simd->attention_heads(rows, head, next - head);
	}
}

/*
 * For a tile of lines: queries turned, outputs, scores of whole pages, and the same turned, each
 * with room for a vector after it.
 */
size_t
lm_attention_rows_scratch(int n_keys, int head_size)
{
	size_t length = ((size_t) n_keys + LM_PAGE - 1) / LM_PAGE * LM_PAGE;

	return LM_ATTENTION_ROWS * (2 * length + 2 * (size_t) head_size) + 4 * 64;
}
