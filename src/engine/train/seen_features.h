/*
 * src/engine/train/seen_features.h
 *
 * The different features of the rows that are read, with the number of rows that have each. Where
 * there is no room for a further one, the rarest go until half of the room is free (after lossy
 * counting: Manku and Motwani 2002, "Approximate frequency counts over data streams", section 4.2):
 * a feature that was given up and comes again is counted anew.
 */
#ifndef LM_SEEN_FEATURES_H
#define LM_SEEN_FEATURES_H

#include "engine/features.h"

#define LM_SEEN_OF_BASE UINT32_MAX

typedef struct LmSeenFeature
{
	uint64_t key;
	uint32_t documents; /* training windows that have it, or LM_SEEN_OF_BASE: it always stays */
	float idf;
	uint32_t number; /* for the reader */
} LmSeenFeature;

/* Zeros, host and most, before the first use. */
typedef struct LmSeenFeatures
{
	LmHost host;
	size_t most;
	LmSeenFeature *items; /* [n] */
	size_t n, capacity;
	uint32_t *slots; /* [n_slots] 1 + place in items */
	size_t n_slots;
	bool lost; /* some were given up, or not taken */
} LmSeenFeatures;

void lm_seen_free(LmSeenFeatures *seen);

/*
 * *place: 1 + the place of a key, which is added if there is room for it, else 0. LM_ERR_MEMORY.
 */
bool lm_seen_find(uint32_t *place, LmSeenFeatures *seen, uint64_t key, bool add, LmError *error);

/* Fetches what lm_seen_find will read of features that come soon after the i-th of a text. */
void lm_seen_prefetch(const LmSeenFeatures *seen, const LmFeatures *features, size_t i);

static inline bool
lm_seen_is_full(const LmSeenFeatures *seen)
{
	return seen->n >= seen->most;
}

/*
 * Gives the rarest features up until at most half of the room is taken, those of the base apart.
 * new_places [n], 1 + the new place of each or 0, is the caller's to free. LM_ERR_MEMORY.
 */
bool lm_seen_prune(uint32_t **new_places, LmSeenFeatures *seen, LmError *error);

#endif /* LM_SEEN_FEATURES_H */
