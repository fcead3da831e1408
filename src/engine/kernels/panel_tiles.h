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

/* Arguments of one tile. */
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

/* The sums so far, from y, or zeros at the first units. */
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

/* Writes the sums to y; with the bias after the last units. */
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

/* LANES words from memory of any alignment. */
INLINE Words
load_words(const void *from)
{
	return (Words) load(from);
}

/* The same word in all lanes. */
INLINE Words
splat_word(uint32_t word)
{
	return word - (Words){0};
}

/* Multiplies a tile of one type and height. */
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

#endif /* LM_PANEL_TILES_H */
