/*
 * src/engine/kernels/matmul.c
 *
 * One matrix product on the calling thread: by the loaded library, by the built-in kernels, or by
 * the three loops that both are compared with. Shape and processor alone decide between the first
 * two.
 */
#include "base/engine_private.h"
#include "kernels/simd.h"

/*
 * CBLAS's names for these (Lawson et al. 1979; the C interface of the BLAS Technical Forum, 2002,
 * B.2.1).
 */
#define CBLAS_ROW_MAJOR 101
#define CBLAS_NO_TRANSPOSE 111
#define CBLAS_TRANSPOSE 112

void
lm_matmul(const LmEngine *engine, float *y, const float *a, const float *b, LmTranspose transpose,
		  int m, int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	if (!engine->blas.sgemm || (double) m * n * k <= engine->blas.least)
	{
		lm_matmul_builtin(y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
		return;
	}
	engine->blas.sgemm(CBLAS_ROW_MAJOR, transpose == LM_TN ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE,
					   transpose == LM_NT ? CBLAS_TRANSPOSE : CBLAS_NO_TRANSPOSE, m, n, k, scale, a,
					   ld_a, b, ld_b, beta, y, ld_y);
}

void
lm_matmul_builtin(float *y, const float *a, const float *b, LmTranspose transpose, int m, int n,
				  int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	lm_simd()->matmul(y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
}

void
lm_matmul_naive(float *y, const float *a, const float *b, LmTranspose transpose, int m, int n,
				int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	size_t a_row = transpose == LM_TN ? 1 : (size_t) ld_a,
		   a_column = transpose == LM_TN ? (size_t) ld_a : 1;
	size_t b_row = transpose == LM_NT ? 1 : (size_t) ld_b,
		   b_column = transpose == LM_NT ? (size_t) ld_b : 1;

	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
		{
			float *out = y + (size_t) i * (size_t) ld_y + j;
			double sum = 0;

			for (int p = 0; p < k; p++)
				sum += (double) a[(size_t) i * a_row + (size_t) p * a_column] *
					   b[(size_t) p * b_row + (size_t) j * b_column];
			*out = (float) ((beta != 0 ? *out : 0) + scale * sum);
		}
}
