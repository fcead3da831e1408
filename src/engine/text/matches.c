/*
 * src/engine/text/matches.c
 *
 * The features of two texts go in, those of the pair come out.
 */
#include "engine/features.h"

#define PARTS 20 /* of the share of common features that are told apart */

/* What a feature of a pair says; part of its hash, and therefore of models. */
typedef enum Match
{
	MATCH_BOTH = 1,
	MATCH_ONE,
	MATCH_FIRST, /* only the first has a word; and the next one only the second */
	MATCH_SECOND,
	MATCH_OF_ALL, /* shared, of all different ones */
	MATCH_OF_FEWER, /* shared, of those of the text with fewer */
} Match;

typedef struct Counts
{
	size_t first;
	size_t second;
	size_t both;
} Counts;

static uint64_t
hash_of(Match match, uint64_t value)
{
	uint64_t hash = (value * 8 + (uint64_t) match) * UINT64_C(0xF1357AEA2E62A9C5);

	return hash ^ hash >> 32;
}

/* A feature for each part that the share reaches, so that near shares have much in common. */
static bool
count_share(LmFeatures *features, const LmHost *host, LmFeatureKind kind, Match match, size_t part,
			size_t whole, LmError *error)
{
	size_t reached = whole > 0 ? part * PARTS / whole : 0;

	for (size_t i = 1; i <= reached; i++)
		if (!lm_features_count(features, host, hash_of(match, i), kind, 1, error))
			return false;
	return true;
}

/* Counts the features of one text beside those of the other; returns in counts what both have. */
static bool
count_side(LmFeatures *features, Counts *counts, const LmFeatures *side, const LmFeatures *other,
		   Match only, const LmHost *host, LmError *error)
{
	for (size_t i = 0; i < side->n; i++)
	{
		uint64_t key = side->items[i].key;
		LmFeatureKind kind = lm_feature_kind(key);
		bool both = lm_features_have(other, host, key), first = only == MATCH_FIRST;

		*(first ? &counts[kind].first : &counts[kind].second) += 1;
		counts[kind].both += both && first;
		if (both && !first)
			continue;
		if (!lm_features_count(features, host, hash_of(both ? MATCH_BOTH : MATCH_ONE, key), kind, 1,
							   error))
			return false;
		if (!both && kind == LM_FEATURE_WORDS &&
			!lm_features_count(features, host, hash_of(only, key), kind, 1, error))
			return false;
	}
	return true;
}

bool
lm_features_match(LmFeatures *features, const LmFeatures *first, const LmFeatures *second,
				  const LmHost *host, LmError *error)
{
	Counts counts[LM_FEATURE_KINDS] = {{0}};

	if (!lm_features_begin(features, host, error) ||
		!count_side(features, counts, first, second, MATCH_FIRST, host, error) ||
		!count_side(features, counts, second, first, MATCH_SECOND, host, error))
		return false;
	for (int kind = 0; kind < LM_FEATURE_KINDS; kind++)
	{
		const Counts *c = &counts[kind];
		size_t fewer = c->first < c->second ? c->first : c->second;

		if (!count_share(features, host, (LmFeatureKind) kind, MATCH_OF_ALL, c->both,
						 c->first + c->second - c->both, error) ||
			!count_share(features, host, (LmFeatureKind) kind, MATCH_OF_FEWER, c->both, fewer,
						 error))
			return false;
	}
	return true;
}
