/*
 * src/engine/kernels/vector_matmul.h
 *
 * Matrix products by register tiles of up to TILE_ROWS x TILE_COLUMNS sums over packed operands
 * (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4).
 *
 *   b is packed by columns of tiles   [column tile][k][TILE_COLUMNS]   zero beyond n
 *   a is packed by rows of tiles      [row tile][k][rows of the tile]
 *
 * The packed blocks stay on the stack: 320 KiB of b and 96 KiB of a, together less than half of a
 * level 2 cache of a megabyte.
 */
#ifndef LM_VECTOR_MATMUL_H
#define LM_VECTOR_MATMUL_H

#include "kernels/simd.h"
#include "kernels/vector_transpose.h"

#if LANES == 16
#define TILE_ROWS 12 /* 24 sums, 2 of b, of 32 registers */
#else
#define TILE_ROWS 6 /* 12 sums, 2 of b, 1 of a, of 16 registers */
#endif
#define TILE_COLUMNS (2 * LANES)
#define MOST_K 192
#define MOST_M 192
#define PACKED_A (96 * 256)
#define PACKED_B (320 * 256)

/* An operand in memory, transposed or not. */
typedef struct Matrix
{
	const float *data;
	size_t row; /* distance of neighbouring rows, and of neighbouring columns: one of them is 1 */
	size_t column;
} Matrix;

/* The destination of a tile of sums. */
typedef struct TileOutput
{
	float *y;
	size_t ld;
	int n_columns; /* up to TILE_COLUMNS */
	float scale;
	float beta;
} TileOutput;

/* The sums of a tile, in registers. */
typedef struct TileSums
{
	Floats at[TILE_ROWS][2];
} TileSums;

/* sums[i][j] += a[p][i] b[p][j] over p in order; n_rows is a constant where this is inlined. */
INLINE void
tile_multiply(TileSums *sums, const float *a, size_t ld_a, const float *b, size_t ld_b, int k,
			  int n_rows)
{
	for (int p = 0; p < k; p++)
	{
		Floats b0 = load(b), b1 = load(b + LANES);

#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
		{
			sums->at[i][0] = multiply_add(splat(a[i]), b0, sums->at[i][0]);
			sums->at[i][1] = multiply_add(splat(a[i]), b1, sums->at[i][1]);
		}
		a += ld_a;
		b += ld_b;
	}
}

/* The same where b has fewer columns. */
INLINE void
tile_multiply_part(TileSums *sums, const float *a, size_t ld_a, const float *b, size_t ld_b, int k,
				   int n_rows, int n_columns)
{
	for (int p = 0; p < k; p++)
	{
		Floats b0 = load_columns(b, 0, n_columns), b1 = load_columns(b, LANES, n_columns);

#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
		{
			sums->at[i][0] = multiply_add(splat(a[i]), b0, sums->at[i][0]);
			sums->at[i][1] = multiply_add(splat(a[i]), b1, sums->at[i][1]);
		}
		a += ld_a;
		b += ld_b;
	}
}

/* y = beta y + scale (a b) for one tile */
INLINE void
tile_matmul(const TileOutput *out, const float *a, size_t ld_a, const float *b, int k, int n_rows)
{
	TileSums sums;

#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
		sums.at[i][0] = sums.at[i][1] = splat(0);
	tile_multiply(&sums, a, ld_a, b, TILE_COLUMNS, k, n_rows);
#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 2
		for (int j = 0; j < 2; j++)
		{
			float *y = out->y + (size_t) i * out->ld;
			Floats value = sums.at[i][j] * out->scale;

			if (out->beta != 0)
				value += load_columns(y, j * LANES, out->n_columns);
			store_columns(y, value, j * LANES, out->n_columns);
		}
}

/* One function for each height, so that the sums of each stay in registers. */
#define FOR_EACH_LOW_TILE(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#if TILE_ROWS == 12
#define FOR_EACH_TILE(DO) FOR_EACH_LOW_TILE(DO) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)
#else
#define FOR_EACH_TILE(DO) FOR_EACH_LOW_TILE(DO)
#endif

#define DEFINE_TILE_MATMUL(height)                                                 \
	static __attribute__((noinline)) void tile_matmul_##height(                    \
		const TileOutput *out, const float *a, size_t ld_a, const float *b, int k) \
	{                                                                              \
		tile_matmul(out, a, ld_a, b, k, height);                                   \
	}
FOR_EACH_TILE(DEFINE_TILE_MATMUL)

/* tile_matmul for a tile of i + 1 rows is tile_matmuls[i]. */
typedef void (*TileMatmul)(const TileOutput *out, const float *a, size_t ld_a, const float *b,
						   int k);

#define NAME_TILE_MATMUL(height) tile_matmul_##height,
/* One for each height. */
static const TileMatmul tile_matmuls[] = {FOR_EACH_TILE(NAME_TILE_MATMUL)};

/* One row tile of a whose k values lie side by side: packed[p][i] = m[i][p]. */
static void
pack_rows(float *packed, const Matrix *m, int n_rows, int k)
{
#if TILE_ROWS > LANES
	for (int i = 0; i < n_rows; i++)
		for (int p = 0; p < k; p++)
			packed[p * n_rows + i] = m->data[(size_t) i * m->row + (size_t) p];
#else
	pack_transposed(packed, (size_t) n_rows, m->data, m->row, n_rows, k);
#endif
}

/*
 * A block of a, row tile after row tile, with room for LANES floats after the last. Where a row
 * tile's values lie side by side, all tiles are packed at once, so that memory is read in order.
 */
static void
pack_row_tiles(float *packed, const Matrix *m, int n_rows, int k)
{
	for (int i = 0; i < n_rows && m->column == 1; i += TILE_ROWS)
	{
		Matrix tile = {m->data + (size_t) i * m->row, m->row, 1};

		pack_rows(packed + i * k, &tile, smaller_of(TILE_ROWS, n_rows - i), k);
	}
	for (int p = 0; p < k && m->column != 1; p++)
		for (int i = 0; i < n_rows; i += TILE_ROWS)
		{
			const float *from = m->data + (size_t) p * m->column + i;
			int height = smaller_of(TILE_ROWS, n_rows - i);
			float *to = packed + i * k + p * height;

			for (int j = 0; j < height; j += LANES)
				store_up_to(to + j, load_up_to(from + j, (size_t) (height - j)),
							(size_t) (height - j));
		}
}

/* A block of b, column tile after column tile: packed[p][j] = m[p][j], zero beyond n_columns. */
static void
pack_column_tiles(float *packed, const Matrix *m, int k, int n_columns)
{
	for (int j = 0; j < n_columns && m->column != 1; j += TILE_COLUMNS)
		for (int jj = 0; jj < TILE_COLUMNS; jj += LANES)
		{
			int n_lines = smaller_of(LANES, n_columns - j - jj);

			pack_transposed(packed + j * k + jj, TILE_COLUMNS,
							m->data + (size_t) (j + jj) * m->column, m->column, n_lines, k);
		}
	for (int p = 0; p < k && m->column == 1; p++)
	{
		const float *from = m->data + (size_t) p * m->row;

		for (int j = 0; j < n_columns; j += TILE_COLUMNS)
			for (int jj = 0; jj < TILE_COLUMNS; jj += LANES)
				store(packed + j * k + p * TILE_COLUMNS + jj,
					  load_columns(from, j + jj, n_columns));
	}
}

/* The part of a matrix that begins at a row and a column. */
INLINE Matrix
submatrix(const Matrix *m, int row, int column)
{
	return (Matrix){m->data + (size_t) row * m->row + (size_t) column * m->column, m->row,
					m->column};
}

/* All tiles of a block of a, packed (ld_a 0) or not, against a packed block of b. */
static void
multiply_blocks(TileOutput *out, const float *a, size_t ld_a, const float *packed_b, int m, int n,
				int k)
{
	float *y = out->y;

	for (int j = 0; j < n; j += TILE_COLUMNS)
		for (int i = 0; i < m; i += TILE_ROWS)
		{
			int n_rows = smaller_of(TILE_ROWS, m - i);

			out->y = y + (size_t) i * out->ld + j;
			out->n_columns = smaller_of(TILE_COLUMNS, n - j);
			if (ld_a)
				tile_matmuls[n_rows - 1](out, a + i, ld_a, packed_b + j * k, k);
			else
				tile_matmuls[n_rows - 1](out, a + i * k, (size_t) n_rows, packed_b + j * k, k);
		}
}

/* The largest block that fits, or equal ones where there must be several; a multiple of step. */
static int
block_size(int count, int most, int step)
{
	int n_blocks = (count + most - 1) / most;
	int size = n_blocks > 0 ? (count + n_blocks - 1) / n_blocks : count;

	return (size + step - 1) / step * step;
}

/* lm_matmul: blocks of b, then of a, are packed and multiplied; sums over k go on in y. */
static __attribute__((noinline)) void
vector_matmul(float *y, const float *a, const float *b, LmTranspose transpose, int m, int n, int k,
			  int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	_Alignas(64) float packed_a[PACKED_A + LANES];
	_Alignas(64) float packed_b[PACKED_B];
	Matrix rows = {a, transpose == LM_TN ? 1 : (size_t) ld_a,
				   transpose == LM_TN ? (size_t) ld_a : 1};
	Matrix columns = {b, transpose == LM_NT ? 1 : (size_t) ld_b,
					  transpose == LM_NT ? (size_t) ld_b : 1};
	/*
	 * Packing a gains nothing where each of its tiles is used only once and has its rows side by
	 * side.
	 */
	bool is_narrow = transpose == LM_TN && n <= TILE_COLUMNS;
	int most_k = k > 0 ? block_size(k, MOST_K, 1) : 1;
	int most_n = block_size(n, PACKED_B / most_k / TILE_COLUMNS * TILE_COLUMNS, TILE_COLUMNS);
	int most_m =
		block_size(m, smaller_of(MOST_M, PACKED_A / most_k) / TILE_ROWS * TILE_ROWS, TILE_ROWS);

	for (int j = 0; j < n; j += most_n)
		/* Once even for k = 0, which is beta y. */
		for (int p = 0; p == 0 || p < k; p += most_k)
		{
			int block_n = smaller_of(most_n, n - j), block_k = smaller_of(most_k, k - p);
			Matrix part = submatrix(&columns, p, j);

			pack_column_tiles(packed_b, &part, block_k, block_n);
			for (int i = 0; i < m; i += most_m)
			{
				int block_m = smaller_of(most_m, m - i);
				TileOutput out = {y + (size_t) i * (size_t) ld_y + j, (size_t) ld_y, 0, scale,
								  p == 0 ? beta : 1};

				part = submatrix(&rows, i, p);
				if (is_narrow)
				{
					multiply_blocks(&out, part.data, part.column, packed_b, block_m, block_n,
									block_k);
					continue;
				}
				pack_row_tiles(packed_a, &part, block_m, block_k);
				multiply_blocks(&out, packed_a, 0, packed_b, block_m, block_n, block_k);
			}
		}
}

#endif /* LM_VECTOR_MATMUL_H */
