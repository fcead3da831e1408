/*
 * src/engine/text/spec.h
 *
 * Descriptions of tokenizers: their check and their copy.
 */
#ifndef LM_TEXT_SPEC_H
#define LM_TEXT_SPEC_H

#include "engine/tokenizer.h"

#define LM_MAX_MERGES (2 * LM_MAX_VOCABULARY)

/*
 * Checks all that lm_tokenizer_create promises, but for the pattern and for two merges of one pair.
 * LM_ERR_FORMAT, _LIMIT, _MEMORY, _STOPPED.
 */
bool lm_spec_check(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);

/*
 * A copy of a checked spec in one block, released with lm_free; NULL with LM_ERR_MEMORY or
 * _STOPPED.
 */
LmTokenizerSpec *lm_spec_copy(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);

#endif /* LM_TEXT_SPEC_H */
