/*
 * src/engine/text/matches.c
 *
 * The features of two texts go in, those of the pair come out; and weights of the pair's features
 * go back to those of the texts.
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

/* ---- Back ----------------------------------------------------------------- */

/* Lists on their way back. */
typedef struct Unmatch
{
	const double *weights;
	const LmFeatures *features;
	const LmHost *host;
} Unmatch;

/* The weight of one occurrence of a pair's feature; 0 where there is none. */
static double
weight_of(const Unmatch *of, Match match, uint64_t value, LmFeatureKind kind)
{
	size_t i = lm_features_find(of->features, of->host, hash_of(match, value), kind);

	return i < of->features->n ? of->weights[i] / of->features->items[i].count : 0;
}

/* What a feature of one text has of those that tell it from, or share it with, the other text. */
static double
own_weight(const Unmatch *of, uint64_t key, bool both, Match only)
{
	LmFeatureKind kind = lm_feature_kind(key);
	double weight;

	if (both)
		return weight_of(of, MATCH_BOTH, key, kind) / 2;
	weight = weight_of(of, MATCH_ONE, key, kind);
	return kind == LM_FEATURE_WORDS ? weight + weight_of(of, only, key, kind) : weight;
}

/* Of all shares of a kind together. */
static double
shares_weight(const Unmatch *of, LmFeatureKind kind)
{
	double sum = 0;

	for (uint64_t i = 1; i <= PARTS; i++)
		sum += weight_of(of, MATCH_OF_ALL, i, kind) + weight_of(of, MATCH_OF_FEWER, i, kind);
	return sum;
}

static void
unmatch_side(double *weights, const Unmatch *of, const LmFeatures *side, const LmFeatures *other,
			 Match only)
{
	double each[LM_FEATURE_KINDS];
	size_t n_both[LM_FEATURE_KINDS] = {0};

	for (size_t i = 0; i < side->n; i++)
		n_both[lm_feature_kind(side->items[i].key)] +=
			lm_features_have(other, of->host, side->items[i].key);
	for (int kind = 0; kind < LM_FEATURE_KINDS; kind++)
		each[kind] = n_both[kind] > 0
						 ? shares_weight(of, (LmFeatureKind) kind) / 2 / (double) n_both[kind]
						 : 0;
	for (size_t i = 0; i < side->n; i++)
	{
		uint64_t key = side->items[i].key;
		bool both = lm_features_have(other, of->host, key);

		weights[i] = own_weight(of, key, both, only) + (both ? each[lm_feature_kind(key)] : 0);
	}
}

void
lm_features_unmatch(double *first_weights, double *second_weights, const double *weights,
					const LmFeatures *features, const LmFeatures *first, const LmFeatures *second,
					const LmHost *host)
{
	Unmatch of = {weights, features, host};

	unmatch_side(first_weights, &of, first, second, MATCH_FIRST);
	unmatch_side(second_weights, &of, second, first, MATCH_SECOND);
}
