/*
 * src/engine/kernels/vector_body.h
 *
 * Included once by each vector_simd_*.c: the loops, and the table that names them.
 */
#include "kernels/simd.h"
#include "kernels/vector_types.h"
#include "kernels/vector_math.h"
#include "kernels/vector_matmul.h"
#include "kernels/vector_elements.h"
#include "kernels/vector_rows.h"
#include "kernels/vector_attention.h"
#include "kernels/vector_attention_rows.h"
#include "kernels/vector_lora.h"
#include "kernels/vector_random.h"

#define TABLE_OF(name) TABLE_NAME(name)
#define TABLE_NAME(name) lm_simd_##name
#define STRING_OF(name) STRING(name)
#define STRING(name) #name

/* The table of this instruction set. */
const LmSimd TABLE_OF(LM_SIMD) = {
	.name = STRING_OF(LM_SIMD),
	.matmul = vector_matmul,
	.gelu_forward = vector_gelu_forward,
	.gelu_backward = vector_gelu_backward,
	.gate_forward = vector_gate_forward,
	.gate_backward = vector_gate_backward,
	.add = vector_add,
	.add_to = vector_add_to,
	.multiply = vector_multiply,
	.multiply_to = vector_multiply_to,
	.multiply_add = vector_multiply_add,
	.scale = vector_scale,
	.scale_to = vector_scale_to,
	.softcap = vector_softcap,
	.softcap_gradient = vector_softcap_gradient,
	.blend = vector_blend,
	.dot = vector_dot,
	.sum_squares = vector_sum_squares,
	.exp = vector_exp_array,
	.adamw = vector_adamw,
	.norm_forward = vector_norm_forward,
	.norm_backward = vector_norm_backward,
	.rotate = vector_rotate,
	.rotate_pairs = vector_rotate_pairs,
	.attention_softmax = vector_attention_softmax,
	.attention_gradient = vector_attention_gradient,
	.attention_heads = vector_attention_heads,
	.lora = vector_lora,
	.largest = largest_element,
	.log_sum_exp = vector_log_sum_exp,
	.cross_entropy_gradient = vector_cross_entropy_gradient,
	.dropout_mask = vector_dropout_mask,
};
