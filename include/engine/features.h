/*
 * include/engine/features.h
 *
 * Sparse features of a text: its words and pairs of neighbouring words, and its runs of two to five
 * letters, as keys of 48 bits with the number of times that each occurs.
 *
 * Words are runs of letters, marks and digits in folded case, with apostrophes inside; every other
 * visible character is a word of its own, and so is each character of scripts that do not part
 * words by spaces (Han, kana, Thai). The begin and the end of the text are neighbours of its first
 * and last word. Runs of letters lie inside a piece between spaces and punctuation, whose begin and
 * end count as letters.
 *
 * A key is a hash that is the same everywhere and for ever, because models are stored with keys: a
 * user can make texts whose keys collide, which only blurs these features.
 */
#ifndef LM_FEATURES_H
#define LM_FEATURES_H

#include "engine/error.h"
#include "engine/host.h"
#include "engine/tokenizer.h"

/* Bits of a key, two float32 of whole numbers. The lowest one is the feature's kind. */
#define LM_FEATURE_KEY_BITS 48
/* Distinct features of a text, at most; further ones are left out. */
#define LM_MAX_FEATURES ((size_t) 1 << 18)

/* Kinds of features; a text's features of a kind are scaled to the same length. */
typedef enum LmFeatureKind
{
	LM_FEATURE_WORDS,
	LM_FEATURE_LETTERS,
	LM_FEATURE_KINDS
} LmFeatureKind;

/* A feature that a text has. */
typedef struct LmFeature
{
	uint64_t key;
	uint32_t count; /* how often; stays at its largest number */
	uint32_t row; /* of a table, for its reader */
} LmFeature;

/*
 * The features of a text, in the order of their first occurrence. The arrays grow, are the host's,
 * and are reused from text to text; zeros before the first use.
 */
typedef struct LmFeatures
{
	LmFeature *items;
	size_t n;
	size_t capacity;
	uint32_t *slots; /* 1 + the place of an item; 0: empty */
	size_t n_slots; /* in use: a power of two */
	size_t slots_capacity;
} LmFeatures;

static inline LmFeatureKind
lm_feature_kind(uint64_t key)
{
	return (LmFeatureKind) (key & 1);
}

/* Empties the list. LM_ERR_MEMORY. */
bool lm_features_begin(LmFeatures *features, const LmHost *host, LmError *error);
/*
 * Adds the features of size bytes of UTF-8; bytes that are none part words. Texts of different
 * parts (0, 1, ...) share no feature: the fields of a row, say. Linear time, at most
 * LM_MAX_FEATURES features. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_features_add(LmFeatures *features, const LmHost *host, LmBytes text, uint32_t part,
					 LmError *error);

/*
 * The other way: shares the weights of a list's features, [features->n], over the bytes of the text
 * that they come from. Adds to bytes [text.size + 1], whose running sums are then those of bytes: a
 * difference where a place begins or ends. Each time that a feature occurs has the same share; a
 * pair of words has half of it in each of the two. Errors as of lm_features_add.
 */
bool lm_features_spread(double *bytes, const double *weights, const LmFeatures *features,
						const LmHost *host, LmBytes text, uint32_t part, LmError *error);

/*
 * Counts the feature that a hash stands for some times more; and whether a list has a key.
 * LM_ERR_MEMORY.
 */
bool lm_features_count(LmFeatures *features, const LmHost *host, uint64_t hash, LmFeatureKind kind,
					   uint32_t times, LmError *error);
bool lm_features_have(const LmFeatures *features, const LmHost *host, uint64_t key);

/*
 * src/engine/text/matches.c: the features of a pair of texts, from those of both, each added as
 * part 0: which both have; which only one has, whichever it is, and of words also which one; and
 * how many they share, a feature for each twentieth part. LM_ERR_MEMORY.
 */
bool lm_features_match(LmFeatures *features, const LmFeatures *first, const LmFeatures *second,
					   const LmHost *host, LmError *error);
/*
 * The other way: weights [features->n] of the features of a pair become those of the texts' own,
 * first_weights [first->n] and second_weights [second->n]. What both texts have belongs to both in
 * halves.
 */
void lm_features_unmatch(double *first_weights, double *second_weights, const double *weights,
						 const LmFeatures *features, const LmFeatures *first,
						 const LmFeatures *second, const LmHost *host);
/* The place of the feature that a hash stands for in a list; its n: it has none. */
size_t lm_features_find(const LmFeatures *features, const LmHost *host, uint64_t hash,
						LmFeatureKind kind);
void lm_features_free(LmFeatures *features, const LmHost *host);

#endif /* LM_FEATURES_H */
