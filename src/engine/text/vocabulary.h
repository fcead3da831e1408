/*
 * src/engine/text/vocabulary.h
 *
 * The inside of a vocabulary: tokens in the order of their bytes, as a trie that is walked in one
 * pass. A token shares its first `common` bytes with the one before.
 */
#ifndef LM_VOCABULARY_H
#define LM_VOCABULARY_H

#include "engine/constraint.h"

#define LM_SHORT_TOKEN 16 /* bytes; few tokens are longer */

struct LmVocabulary
{
	LmHost host;
	int V; /* of the model */
	int n; /* tokens that may stand in a text */
	int32_t *ids; /* [n] in order */
	uint32_t *at; /* [n + 1] where the bytes of each begin */
	uint16_t *common; /* [n] */
	char *bytes;
	int32_t *longs; /* [n_longs] places of tokens of more than LM_SHORT_TOKEN bytes */
	int n_longs;
	int32_t firsts[257]; /* the first token that begins with that byte or a later one */
	bool complete; /* every byte is a token */
	uint64_t *writable; /* else: [0x110000 / 64] characters that single tokens can write */
	int longest; /* bytes of a token */
	size_t size; /* bytes of all this */
};

/* Whether a character can be written, whatever stands around it. */
static inline bool
lm_vocabulary_writes(const LmVocabulary *vocabulary, int32_t code)
{
	return vocabulary->complete || (vocabulary->writable[code >> 6] >> (code & 63) & 1);
}

#endif /* LM_VOCABULARY_H */
