/*
 * src/engine/kernels/panel_tiles.h
 *
 * Register tiles of inference: a few packed rows against a panel, or against two vectors of its
 * columns, along the units. The sums of one element are one chain, whatever the tile's shape.
 */
#ifndef LM_PANEL_TILES_H
#define LM_PANEL_TILES_H

#include "kernels/panels.h"
#include "kernels/vector_types.h"

#define PANEL_VECTORS (LM_PANEL / LANES)
#define TILE_VECTORS 2
#define MOST_SUMS 24

/* Heights at which sums and operands stay in registers: 32 of 16 lanes, otherwise 16. */
#if LANES == 16
#define FLOAT_ROWS 12
#define PAIR_ROWS 12
#define BYTE_ROWS 6
#else
#define FLOAT_ROWS 6
#define PAIR_ROWS 4
#define BYTE_ROWS 2
#endif

typedef struct PanelTile
{
	float *y;
	size_t ld;
	const char *panel; /* the first unit of the call */
	const float *bias; /* of the first column; NULL: none, or not the last units */
	const uint32_t *words; /* [units][words of a unit][rows] */
	const float *scales; /* [units][rows] */
	const int32_t *starts; /* [units][rows] */
	/*
	 * The next panel comes into the cache while this one is multiplied: each tile of rows fetches
	 * its part of it. A lone tile fetches nothing (step 0): it reads the panel at the speed of
	 * memory itself.
	 */
	const char *ahead;
	size_t ahead_step; /* for each 128 bytes */
	int n_units;
	int column; /* the first one in the panel */
	int n_columns; /* in all from there */
	bool goes_on; /* from what y holds */
} PanelTile;

INLINE void
begin_sums(Floats *sums, const PanelTile *tile, int n_rows, int n_vectors)
{
#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			sums[i * n_vectors + v] = tile->goes_on ? load_columns(tile->y + (size_t) i * tile->ld,
																   v * LANES, tile->n_columns)
													: splat(0);
}

INLINE void
end_sums(const Floats *sums, const PanelTile *tile, int n_rows, int n_vectors)
{
#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
		{
			Floats value = sums[i * n_vectors + v];

			if (tile->bias)
				value += load_columns(tile->bias, v * LANES, tile->n_columns);
			store_columns(tile->y + (size_t) i * tile->ld, value, v * LANES, tile->n_columns);
		}
}

/* A single row has nothing to compute while it waits: there fetching ahead gains nothing. */
INLINE const char *
fetch_ahead(const char *ahead, size_t step, int n_rows)
{
	if (n_rows > 1)
		__builtin_prefetch(ahead, 0, 2);
	return ahead + step;
}

INLINE void
float_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	const float *w = (const float *) (const void *) tile->panel + tile->column;
	const float *x = (const float *) (const void *) tile->words;
	const char *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++, w += LM_PANEL, x += n_rows)
	{
		Floats weights[PANEL_VECTORS];

		ahead = fetch_ahead(ahead, tile->ahead_step, n_rows);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = load(w + v * LANES);
#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] =
					multiply_add(splat(x[i]), weights[v], sums[i * n_vectors + v]);
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

INLINE Words
load_words(const void *from)
{
	return (Words) load(from);
}

INLINE Words
splat_word(uint32_t word)
{
	return word - (Words){0};
}

/* sum + x[1] w[1] + x[0] w[0], rounded twice, of 16-bit pairs. */
INLINE Floats
add_pair(Floats sum, Words x, Words w)
{
#if defined(__AVX512BF16__)
	return (Floats) _mm512_dpbf16_ps((__m512) sum, (__m512bh) x, (__m512bh) w);
#else
	sum = multiply_add((Floats) (x & 0xffff0000), (Floats) (w & 0xffff0000), sum);
	return multiply_add((Floats) (x << 16), (Floats) (w << 16), sum);
#endif
}

INLINE void
pair_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	const uint32_t *w = (const uint32_t *) (const void *) tile->panel + tile->column;
	const uint32_t *x = tile->words;
	const char *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++, w += LM_PANEL, x += n_rows)
	{
		Words weights[PANEL_VECTORS];

		ahead = fetch_ahead(ahead, tile->ahead_step, n_rows);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = load_words(w + v * LANES);
#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] =
					add_pair(sums[i * n_vectors + v], splat_word(x[i]), weights[v]);
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

#if defined(__AVX512BW__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm512_madd_epi16((__m512i) (a), (__m512i) (b)))
#elif defined(__AVX2__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm256_madd_epi16((__m256i) (a), (__m256i) (b)))
#elif defined(__SSE2__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm_madd_epi16((__m128i) (a), (__m128i) (b)))
#endif

typedef int16_t Shorts __attribute__((vector_size(LANES * 4)));

/* sum + the four products of unsigned bytes w and signed bytes x of each lane */
INLINE Words
add_quad(Words sum, Words w, uint32_t x)
{
#if defined(__AVX512VNNI__)
	return (Words) _mm512_dpbusd_epi32((__m512i) sum, (__m512i) w, (__m512i) splat_word(x));
#elif defined(MULTIPLY_SHORTS)
	Shorts signed_x = (Shorts) splat_word(x);

	sum += MULTIPLY_SHORTS(w & 0x00ff00ff, (signed_x << 8) >> 8);
	return sum + MULTIPLY_SHORTS((w >> 8) & 0x00ff00ff, signed_x >> 8);
#else
	for (int i = 0; i < 32; i += 8)
		sum += ((w >> i) & 0xff) * (uint32_t) (int32_t) (int8_t) (x >> i);
	return sum;
#endif
}

/* Scales of LANES columns from `column` on. */
INLINE Floats
load_scales(const char *unit, int column)
{
	const uint32_t *words = (const uint32_t *) (const void *) unit;

	return column < LM_PANEL / 2
			   ? (Floats) (load_words(words + column) << 16)
			   : (Floats) (load_words(words + column - LM_PANEL / 2) & 0xffff0000);
}

/* Integer sums of a unit: int8 has a quad a word, int4 two. */
INLINE void
add_unit(Words *sums, const char *unit, const char **ahead, size_t step, int column,
		 const uint32_t *x, int n_rows, int n_vectors, bool is_int4)
{
	const uint32_t *w = (const uint32_t *) (const void *) (unit + LM_SCALES_SIZE) + column;

	for (int quad = 0; quad < LM_GROUP_QUADS;
		 quad += is_int4 ? 2 : 1, w += LM_PANEL, x += is_int4 ? 2 * n_rows : n_rows)
	{
		Words weights[PANEL_VECTORS];

		*ahead = fetch_ahead(*ahead, step, n_rows);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = load_words(w + v * LANES);
#pragma GCC unroll 8
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] = add_quad(
					sums[i * n_vectors + v], is_int4 ? weights[v] & 0x0f0f0f0f : weights[v], x[i]);
#pragma GCC unroll 8
		for (int i = 0; is_int4 && i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] = add_quad(sums[i * n_vectors + v],
												   (weights[v] >> 4) & 0x0f0f0f0f, x[n_rows + i]);
	}
}

INLINE void
byte_tile(const PanelTile *tile, int n_rows, int n_vectors, bool is_int4)
{
	size_t unit_size = lm_panel_unit_size(is_int4 ? LM_IMAGE_INT4 : LM_IMAGE_INT8);
	const uint32_t *x = tile->words;
	const float *scales = tile->scales;
	const int32_t *starts = tile->starts;
	const char *at = tile->panel, *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++)
	{
		Words dots[MOST_SUMS];

#pragma GCC unroll 8
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				dots[i * n_vectors + v] = splat_word((uint32_t) starts[i]);
		add_unit(dots, at, &ahead, tile->ahead_step, tile->column, x, n_rows, n_vectors, is_int4);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
		{
			Floats weight_scales = load_scales(at, tile->column + v * LANES);

#pragma GCC unroll 8
			for (int i = 0; i < n_rows; i++)
				sums[i * n_vectors + v] +=
					__builtin_convertvector((Ints) dots[i * n_vectors + v], Floats) *
					(weight_scales * scales[i]);
		}
		at += unit_size;
		x += LM_GROUP_QUADS * n_rows;
		scales += n_rows;
		starts += n_rows;
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

INLINE void
int8_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	byte_tile(tile, n_rows, n_vectors, false);
}

INLINE void
int4_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	byte_tile(tile, n_rows, n_vectors, true);
}

typedef void (*PanelTileFunction)(const PanelTile *tile);

/*
 * One function for each height, so that the sums of each stay in registers; a single row takes
 * whole panels.
 */
#define DEFINE_TILE(kind, name, height, n_vectors)                             \
	static __attribute__((noinline)) void kind##_##name(const PanelTile *tile) \
	{                                                                          \
		kind##_tile(tile, height, n_vectors);                                  \
	}
#define DEFINE_ROW(kind) DEFINE_TILE(kind, 1, 1, PANEL_VECTORS)
#define DEFINE_TILES_2(kind) DEFINE_ROW(kind) DEFINE_TILE(kind, 2, 2, TILE_VECTORS)
#define DEFINE_TILES_4(kind) \
	DEFINE_TILES_2(kind) DEFINE_TILE(kind, 3, 3, TILE_VECTORS) DEFINE_TILE(kind, 4, 4, TILE_VECTORS)
#define DEFINE_TILES_6(kind) \
	DEFINE_TILES_4(kind) DEFINE_TILE(kind, 5, 5, TILE_VECTORS) DEFINE_TILE(kind, 6, 6, TILE_VECTORS)
#define DEFINE_TILES_12(kind)               \
	DEFINE_TILES_6(kind)                    \
	DEFINE_TILE(kind, 7, 7, TILE_VECTORS)   \
	DEFINE_TILE(kind, 8, 8, TILE_VECTORS)   \
	DEFINE_TILE(kind, 9, 9, TILE_VECTORS)   \
	DEFINE_TILE(kind, 10, 10, TILE_VECTORS) \
	DEFINE_TILE(kind, 11, 11, TILE_VECTORS) \
	DEFINE_TILE(kind, 12, 12, TILE_VECTORS)
#define NAME_TILES_2(kind) kind##_1, kind##_2
#define NAME_TILES_4(kind) NAME_TILES_2(kind), kind##_3, kind##_4
#define NAME_TILES_6(kind) NAME_TILES_4(kind), kind##_5, kind##_6
#define NAME_TILES_12(kind) \
	NAME_TILES_6(kind), kind##_7, kind##_8, kind##_9, kind##_10, kind##_11, kind##_12
#define TILES_OF(kind, count) DEFINE_TILES_OF(kind, count)
#define DEFINE_TILES_OF(kind, count)                                             \
	DEFINE_TILES_##count(kind) static const PanelTileFunction kind##_tiles[] = { \
		NAME_TILES_##count(kind)};

TILES_OF(float, FLOAT_ROWS)
TILES_OF(pair, PAIR_ROWS)
TILES_OF(int8, BYTE_ROWS)
TILES_OF(int4, BYTE_ROWS)

#endif /* LM_PANEL_TILES_H */
