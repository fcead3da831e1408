/*
 * src/engine/kernels/weight_types.h
 *
 * The table of weight types. Numbers, words, sizes, packing and the kernels of each instruction set
 * are made of these rows; tests compare the CHECK of sql/gpt.sql, the docs and the errors with
 * them.
 *
 *   id, name   LM_WEIGHTS_<id>, and its word. Images store the place of a row: new ones come last
 *   unit       inputs of a unit of a panel
 *   group      inputs that share a scale; 0: no scales
 *   bytes      of a unit, for each output
 *   error      bound on the relative root mean square error of a product of random numbers
 *
 * The file of a type, included at the end, is compiled in two ways:
 *
 *   LM_PACKING   once, by weight_types.c: pack_<name>, weight_<name> and add_<name>, which are the
 *                functions of LmWeightType
 *   LM_SIMD      for each instruction set, by panel_body.h: <name>_tiles, made by TILES_OF of
 *                <name>_tile (panel_tiles.h); <name>_words, the 32-bit words of a unit of a packed
 *                row; and <name>_convert, which packs a row (ConvertRow), or NULL: as it is
 */
#ifndef LM_WEIGHT_TYPES_H
#define LM_WEIGHT_TYPES_H

#include "engine/weight_type.h"

/* clang-format off */
#define LM_WEIGHT_TYPES(ROW) \
	/*  id        name      unit  group  bytes  error */ \
	ROW(FLOAT32,  float32,  1,    0,     4,     1e-6) \
	ROW(BFLOAT16, bfloat16, 2,    0,     4,     4e-3) \
	ROW(INT8,     int8,     32,   32,    34,    1.1e-2) \
	ROW(INT4,     int4,     32,   32,    18,    9.5e-2)
/* clang-format on */

#define LM_WEIGHTS_ID(id, name, unit, group, bytes, error) LM_WEIGHTS_##id,
/* LM_WEIGHTS_FLOAT32 and so on, and their number. */
enum
{
	LM_WEIGHT_TYPES(LM_WEIGHTS_ID) LM_WEIGHT_TYPE_COUNT
};

#if defined(LM_PACKING) || defined(LM_SIMD)
#include "kernels/weights_float32.h"
#include "kernels/weights_bfloat16.h"
#include "kernels/weights_bytes.h"
#endif

#endif /* LM_WEIGHT_TYPES_H */
