/*
 * src/engine/kernels/panel_body.h
 *
 * Included once by each panel_simd_*.c: products of rows with panels, and the table that names
 * them.
 *
 * Rows are packed in tiles, block of units by block of units; a block of a panel then meets all of
 * them while it is in the cache. A product with few rows waits for the weights: then a block is as
 * long as the room for packed rows allows, so that the weights are read as one stream.
 *
 *   packed rows   | chunk of MOST_ROWS rows | chunk ... |
 *   chunk         | block of units | block ... |
 *   block         | tile of rows | tile ... |
 */
#include "kernels/panel_tiles.h"
#include "kernels/panel_rows.h"
#include "kernels/weight_types.h"

/*
 * Words of rows that a thread packs for itself, twice on its stack: 384 KiB of the 512 KiB that the
 * server leaves to code that it does not check. Words of a block that threads share, a part of a
 * level 2 cache.
 */
#define PACKED_WORDS 49152
#define SHARED_WORDS 65536
#define SLACK_WORDS 64 /* the last vectors and groups are written whole */
#define MOST_ROWS 192
#define FEW_ROWS 36
/* bytes of a panel that many rows want in the level 1 cache */
#define MOST_UNITS_SIZE 65536

/*
 * n_units units of a row x [n_in] from input `first` on, in words; where the type has scales, all
 * scales and then all starts follow them.
 */
typedef void (*ConvertRow)(uint32_t *words, const float *x, int n_in, int first, int n_units);

/* The kernels of a weight type, which its file defines. */
typedef struct Format
{
	int unit_words; /* of a packed row, without scale and start */
	ConvertRow convert; /* NULL: inputs stay as they are */
	int most_height;
	const PanelTileFunction *tiles;
} Format;

#define FORMAT(id, name, unit, group, bytes, error)                                                \
	[LM_WEIGHTS_##id] = {name##_words, name##_convert, sizeof name##_tiles / sizeof *name##_tiles, \
						 name##_tiles},

/* By the number of the type. */
static const Format formats[] = {LM_WEIGHT_TYPES(FORMAT)};

/* Packed rows [first, first + n_rows) of units [unit, unit + n_units), in tiles of `height`. */
typedef struct PackedRows
{
	int first;
	int n_rows;
	int height;
	int unit;
	int n_units;
	size_t row_words; /* of all units of a row */
	const uint32_t *words;
} PackedRows;

/* Arguments of one product, or of packing its rows. */
typedef struct PanelProduct
{
	const LmWeightType *type;
	const Format *format;
	float *y;
	const float *x;
	const char *panels;
	const float *bias;
	int n_in;
	int n_out;
	int ld_y;
	int n_units; /* in all */
	const uint32_t *packed; /* all rows; NULL: they are packed as they are needed */
} PanelProduct;

/* The cut of the rows from `first` on. */
typedef struct Chunk
{
	int first;
	int n_rows;
	int height; /* of a tile */
	int n_units; /* in a block */
} Chunk;

/* One row of a tile, converted but not yet interleaved with its neighbours. */
static void
convert_row(uint32_t *words, const PanelProduct *product, const PackedRows *rows, int row)
{
	const float *x = product->x + (size_t) row * (size_t) product->n_in;
	int first = rows->unit * product->type->unit;

	if (product->format->convert)
		product->format->convert(words, x, product->n_in, first, rows->n_units);
	else
		memcpy(words, x + first, (size_t) rows->n_units * sizeof(float));
}

/* packed[p][i] = word p of row i */
static void
interleave(uint32_t *packed, const uint32_t *from, size_t ld, int n_rows, int n_words)
{
	if (n_rows <= LANES)
		pack_transposed((float *) (void *) packed, (size_t) n_rows,
						(const float *) (const void *) from, ld, n_rows, n_words);
	else
		for (int i = 0; i < n_rows; i++)
			for (int p = 0; p < n_words; p++)
				packed[(size_t) p * (size_t) n_rows + (size_t) i] =
					from[(size_t) i * ld + (size_t) p];
}

/*
 * Rows of one tile, interleaved: words, then all scales, then all starts; one row stays as it is.
 */
static void
pack_tile(uint32_t *packed, uint32_t *converted, const PanelProduct *product,
		  const PackedRows *rows, int row, int n_rows)
{
	int n = rows->n_units, n_words = n * product->format->unit_words;
	size_t ld = rows->row_words;

	if (n_rows == 1)
	{
		convert_row(packed, product, rows, row);
		return;
	}
	if (!product->format->convert)
	{
		interleave(
			packed,
			(const uint32_t *) (const void *) (product->x + (size_t) row * (size_t) product->n_in) +
				rows->unit,
			(size_t) product->n_in, n_rows, n);
		return;
	}
	for (int i = 0; i < n_rows; i++)
		convert_row(converted + (size_t) i * ld, product, rows, row + i);
	interleave(packed, converted, ld, n_rows, n_words);
	for (int part = 0; part < 2 && product->type->group > 0; part++)
		interleave(packed + (size_t) n_rows * (size_t) (n_words + part * n),
				   converted + n_words + part * n, ld, n_rows, n);
}

/* A block of a chunk. */
static void
pack_block(uint32_t *words, const PanelProduct *product, const PackedRows *rows)
{
	_Alignas(64) uint32_t converted[PACKED_WORDS + SLACK_WORDS];

	for (int i = 0; i < rows->n_rows; i += rows->height)
		pack_tile(words + (size_t) i * rows->row_words, converted, product, rows, rows->first + i,
				  smaller_of(rows->height, rows->n_rows - i));
}

/* One panel, or its first columns, against all packed rows. */
static void
multiply_panel(const PanelProduct *product, const PackedRows *rows, int column)
{
	const Format *format = product->format;
	PanelTile tile = {
		.ld = (size_t) product->ld_y, .n_units = rows->n_units, .goes_on = rows->unit > 0};
	int n_columns = smaller_of(LM_PANEL, product->n_out - column);
	bool ends = rows->unit + rows->n_units == product->n_units;
	int n_tiles = (rows->n_rows + rows->height - 1) / rows->height;
	size_t size = (size_t) rows->n_units * product->type->unit_size;
	size_t panel_size = lm_panel_size(product->type, product->n_in);

	tile.panel = product->panels + (size_t) (column / LM_PANEL) * panel_size +
				 (size_t) rows->unit * product->type->unit_size;
	tile.ahead = tile.panel + (n_tiles > 1 ? panel_size : 0);
	tile.ahead_step = n_tiles > 1 ? 128 / (size_t) n_tiles : 0;
	for (int i = 0; i < rows->n_rows; i += rows->height, tile.ahead += tile.ahead_step * size / 128)
	{
		int height = smaller_of(rows->height, rows->n_rows - i);
		int step = height == 1 ? LM_PANEL : TILE_VECTORS * LANES;
		size_t n = (size_t) rows->n_units * (size_t) height;

		tile.words = rows->words + (size_t) i * rows->row_words;
		tile.scales = (const float *) (const void *) (tile.words + n * (size_t) format->unit_words);
		tile.starts = (const int32_t *) (const void *) (tile.scales + n);
		for (tile.column = 0; tile.column < n_columns; tile.column += step)
		{
			tile.y = product->y + (size_t) (rows->first + i) * tile.ld + column + tile.column;
			tile.bias = ends && product->bias ? product->bias + column + tile.column : NULL;
			tile.n_columns = n_columns - tile.column;
			format->tiles[height - 1](&tile);
		}
	}
}

/* The largest part that fits, or equal ones where there must be several. */
INLINE int
equal_part(int count, int most)
{
	int n_parts = (count + most - 1) / most;

	return n_parts > 1 ? (count + n_parts - 1) / n_parts : count;
}

/* Words of a unit of a packed row, with its scale and start. */
INLINE int
words_of_unit(const PanelProduct *product)
{
	return product->format->unit_words + (product->type->group > 0 ? 2 : 0);
}

/* Chooses rows, tile height and units of a block, so that its packed rows fit into their room. */
static Chunk
cut(const PanelProduct *product, int first, int n_rows, bool shared)
{
	const Format *format = product->format;
	int most_rows = equal_part(n_rows, MOST_ROWS), words = words_of_unit(product), most;
	Chunk chunk = {.first = first};

	most_rows = (most_rows + format->most_height - 1) / format->most_height * format->most_height;
	chunk.n_rows = smaller_of(most_rows, n_rows - first);
	chunk.height = equal_part(chunk.n_rows, format->most_height);
	most = shared ? smaller_of(SHARED_WORDS / (chunk.n_rows * words),
							   PACKED_WORDS / (chunk.height * words))
				  : PACKED_WORDS / (chunk.n_rows * words);
	if (chunk.n_rows > FEW_ROWS)
		most = smaller_of(most, MOST_UNITS_SIZE / (int) product->type->unit_size);
	chunk.n_units = equal_part(product->n_units, most);
	return chunk;
}

/* The block of a chunk that begins at a unit, without its words. */
static PackedRows
block_of(const PanelProduct *product, const Chunk *chunk, int unit)
{
	PackedRows rows = {
		.first = chunk->first, .n_rows = chunk->n_rows, .height = chunk->height, .unit = unit};

	rows.n_units = smaller_of(chunk->n_units, product->n_units - unit);
	rows.row_words = (size_t) rows.n_units * (size_t) words_of_unit(product);
	return rows;
}

/* The place of a block among the packed rows. */
static size_t
place_of(const PanelProduct *product, const Chunk *chunk, int unit)
{
	size_t rows =
		(size_t) chunk->first * (size_t) product->n_units + (size_t) chunk->n_rows * (size_t) unit;

	return rows * (size_t) words_of_unit(product);
}

/* A block of units of all panels at a time; its rows are packed here unless they already are. */
static void
multiply_chunk(const PanelProduct *product, const Chunk *chunk)
{
	_Alignas(64) uint32_t words[PACKED_WORDS + SLACK_WORDS];

	for (int unit = 0; unit < product->n_units; unit += chunk->n_units)
	{
		PackedRows rows = block_of(product, chunk, unit);

		rows.words = product->packed ? product->packed + place_of(product, chunk, unit) : words;
		if (!product->packed)
			pack_block(words, product, &rows);
		for (int column = 0; column < product->n_out; column += LM_PANEL)
			multiply_panel(product, &rows, column);
	}
}

/* The part of a product that packing needs too. */
static PanelProduct
product_of(const LmWeightType *type, const LmPanelRows *rows)
{
	return (PanelProduct){.type = type,
						  .format = &formats[type->number],
						  .x = rows->x,
						  .n_in = rows->n_in,
						  .n_units = (rows->n_in + type->unit - 1) / type->unit,
						  .packed = rows->packed};
}

/* LmPanelKernels.multiply. */
static void
multiply(const LmWeightType *type, float *y, const LmPanelRows *rows, const void *panels,
		 const float *bias, int n_out, int ld_y)
{
	PanelProduct product = product_of(type, rows);
	Chunk chunk;

	product.y = y;
	product.panels = panels;
	product.bias = bias;
	product.n_out = n_out;
	product.ld_y = ld_y;
	for (int first = 0; first < rows->n_rows; first += chunk.n_rows)
	{
		chunk = cut(&product, first, rows->n_rows, rows->packed != NULL);
		multiply_chunk(&product, &chunk);
	}
}

/*
 * Packs each n_parts-th tile, in a buffer: a tile is written with some slack, which would overwrite
 * the beginning of another part.
 */
static void
pack_chunk(uint32_t *packed, const PanelProduct *product, const Chunk *chunk, int part, int n_parts)
{
	_Alignas(64) uint32_t converted[PACKED_WORDS + SLACK_WORDS], words[PACKED_WORDS + SLACK_WORDS];

	for (int unit = 0; unit < product->n_units; unit += chunk->n_units)
	{
		PackedRows rows = block_of(product, chunk, unit);
		uint32_t *block = packed + place_of(product, chunk, unit);

		for (int i = part * rows.height; i < rows.n_rows; i += n_parts * rows.height)
		{
			int height = smaller_of(rows.height, rows.n_rows - i);

			pack_tile(words, converted, product, &rows, rows.first + i, height);
			memcpy(block + (size_t) i * rows.row_words, words,
				   (size_t) height * rows.row_words * sizeof(uint32_t));
		}
	}
}

/* LmPanelKernels.pack. */
static void
pack(const LmWeightType *type, uint32_t *packed, const LmPanelRows *rows, int part, int n_parts)
{
	PanelProduct product = product_of(type, rows);
	Chunk chunk;

	for (int first = 0; first < rows->n_rows; first += chunk.n_rows)
	{
		chunk = cut(&product, first, rows->n_rows, true);
		pack_chunk(packed, &product, &chunk, part, n_parts);
	}
}

#define TABLE_OF(name) TABLE_NAME(name)
#define TABLE_NAME(name) lm_panels_##name
#define STRING_OF(name) STRING(name)
#define STRING(name) #name

/* The table of this instruction set. */
const LmPanelKernels TABLE_OF(LM_SIMD) = {
	.name = STRING_OF(LM_SIMD),
	.multiply = multiply,
	.pack = pack,
};
