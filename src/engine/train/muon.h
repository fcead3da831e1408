/*
 * src/engine/train/muon.h
 *
 * Muon (Keller Jordan 2024): the update of a matrix is its momentum, made orthogonal.
 *
 *   g = gradient gradient_scale;  m = momentum m + g;  u = g + momentum m          (Nesterov)
 *   o = NewtonSchulz(u) (newton_schulz.h);  p -= rate (0.2 sqrt(max(rows, columns)) o + decay p)
 *
 * The factor 0.2 sqrt(max) makes the update's root mean square that of AdamW, so that one learning
 * rate serves both (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2). It is for
 * the matrices of blocks; queries, keys and values are matrices of their own. Everything else is
 * updated by AdamW. The second moment of such a matrix holds its directions, from each step anew.
 */
#ifndef LM_MUON_H
#define LM_MUON_H

#include "engine/params.h"

#define LM_MUON_MOMENTUM 0.95f

/* The numbers of one update. */
typedef struct LmMuon
{
	float rate;
	float decay;
	float gradient_scale; /* clipping */
	/*
	 * operands of the products of Newton-Schulz in bfloat16, where the matrices of a layer are of
	 * whole tiles
	 */
	bool bf16;
} LmMuon;

/* Whether Muon updates the parameter. */
bool lm_muon_takes(const LmParam *param);

/* Bytes of scratch for a checked configuration; false beyond the address space. */
bool lm_muon_scratch(size_t *bytes, const LmConfig *config, bool bf16);

/*
 * o of every matrix, into the block `directions` at the parameters' places. Changes nothing else,
 * and may be stopped: the engine is then `stopped` and directions are undefined.
 */
void lm_muon_directions(LmEngine *engine, float *directions, const float *moments,
						const float *gradient, const LmParamTable *table, const LmMuon *muon,
						void *scratch);

/* One step of m and p of every matrix, after lm_muon_directions. */
void lm_muon_update(LmEngine *engine, float *params, float *moments, const float *directions,
					const float *gradient, const LmParamTable *table, const LmMuon *muon);

#endif /* LM_MUON_H */
