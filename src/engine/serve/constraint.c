/*
 * src/engine/serve/constraint.c
 *
 * Masks of the tokens that may follow each place of a constraint, kept for the next text that comes
 * there. Places with the same tokens share them.
 *
 * Few places have a mask for each number of tokens that are left: most of them do not mind, because
 * the shortest rest after each token has no more bytes than that.
 */
#include "serve/constraint.h"
#include "text/array.h"
#include "text/vocabulary.h"

#define ANY_NUMBER INT32_MAX /* of tokens that are left */
#define FIRST_PLACES 64
#define COMPARED 4 /* masks with which a new place is compared */

/* The mask of a place. */
typedef struct Mask
{
	LmPlace place;
	int32_t left; /* tokens that may follow the next one, or ANY_NUMBER: at least `most` */
	int32_t most;
	int32_t n;
	int32_t set; /* of bits */
	int32_t depth; /* bytes that the walk has looked at; 0: there was none */
} Mask;

struct LmConstraint
{
	LmHost host;
	LmAutomaton *automaton;
	const LmVocabulary *vocabulary;
	size_t most; /* bytes of states and masks */
	size_t fixed; /* bytes of the automaton without states that can be forgotten */
	size_t n_words;
	int n_followers;
	LmPlace *path; /* scratch of a walk */
	Mask *masks;
	size_t n_masks, masks_capacity;
	uint64_t *sets; /* [n_sets] bits of n_words each */
	size_t n_sets, sets_capacity;
	uint64_t *hashes; /* [n_sets] */
	size_t hashes_capacity;
	/* tables of masks + 1 by place and of sets + 1 by bits; 0: free */
	int32_t *by_place, *by_bits;
	size_t n_places;
};

static bool make_room(LmConstraint *constraint, LmError *error);
static Mask *find(LmConstraint *constraint, LmPlace place, int left);
static bool add(LmConstraint *constraint, LmPlace place, int left, Mask **mask, LmError *error);
static void index_mask(LmConstraint *constraint, size_t number);
static bool compare(bool *same, Mask *added, LmConstraint *constraint, int left, LmError *error);
static int32_t share(LmConstraint *constraint);

LmConstraint *
lm_constraint_create(const LmHost *host, LmAutomaton *automaton, const LmVocabulary *vocabulary,
					 size_t most, LmError *error)
{
	LmConstraint *constraint = lm_array_allocate(host, 1, sizeof *constraint, error);

	if (!constraint)
	{
		lm_automaton_free(automaton);
		return NULL;
	}
	constraint->host = *host;
	constraint->automaton = automaton;
	constraint->vocabulary = vocabulary;
	constraint->most = most;
	constraint->fixed = lm_automaton_memory(automaton);
	constraint->n_words = ((size_t) vocabulary->V + 63) / 64;
	constraint->path =
		lm_array_allocate(host, (size_t) vocabulary->longest + 1, sizeof(LmPlace), error);
	if (constraint->path && make_room(constraint, error))
		return constraint;
	lm_constraint_free(constraint);
	return NULL;
}

void
lm_constraint_free(LmConstraint *constraint)
{
	LmHost host;

	if (!constraint)
		return;
	host = constraint->host;
	lm_automaton_free(constraint->automaton);
	lm_free(&host, constraint->path);
	lm_array_free(&host, constraint->masks);
	lm_array_free(&host, constraint->sets);
	lm_array_free(&host, constraint->hashes);
	lm_free(&host, constraint->by_place);
	lm_free(&host, constraint->by_bits);
	lm_free(&host, constraint);
}

static size_t
masks_memory(const LmConstraint *constraint)
{
	return constraint->masks_capacity * sizeof(Mask) +
		   constraint->sets_capacity * constraint->n_words * sizeof(uint64_t) +
		   constraint->hashes_capacity * sizeof(uint64_t) +
		   2 * constraint->n_places * sizeof(int32_t);
}

size_t
lm_constraint_memory(const LmConstraint *constraint)
{
	return sizeof *constraint + lm_automaton_memory(constraint->automaton) +
		   masks_memory(constraint) +
		   ((size_t) constraint->vocabulary->longest + 1) * sizeof(LmPlace);
}

bool
lm_constraint_need(LmConstraint *constraint, int *tokens, LmError *error)
{
	int32_t needed;

	if (!lm_constraint_needed(&needed, constraint->automaton, constraint->vocabulary,
							  lm_automaton_start(constraint->automaton), error))
		return false;
	*tokens = needed;
	return true;
}

/* Masks and states go when they are too many; no mask is in use, as followers have copies. */
static void
trim(LmConstraint *constraint)
{
	if (lm_automaton_memory(constraint->automaton) - constraint->fixed > constraint->most / 2)
	{
		lm_automaton_trim(constraint->automaton);
		constraint->n_masks = constraint->n_sets = 0;
	}
	if (masks_memory(constraint) > constraint->most / 2)
		constraint->n_masks = constraint->n_sets = 0;
	if (constraint->n_masks == 0)
	{
		memset(constraint->by_place, 0, constraint->n_places * sizeof(int32_t));
		memset(constraint->by_bits, 0, constraint->n_places * sizeof(int32_t));
	}
}

/* Twice the places of both tables, at most half of which are taken, and room for one more mask. */
static bool
make_room(LmConstraint *constraint, LmError *error)
{
	const LmHost *host = &constraint->host;
	size_t n = constraint->n_places ? constraint->n_places * 2 : FIRST_PLACES;

	if (2 * (constraint->n_masks + 1) > constraint->n_places)
	{
		lm_free(host, constraint->by_place);
		lm_free(host, constraint->by_bits);
		constraint->by_bits = NULL;
		constraint->n_places = 0;
		constraint->by_place = lm_array_allocate(host, n, sizeof(int32_t), error);
		if (constraint->by_place)
			constraint->by_bits = lm_array_allocate(host, n, sizeof(int32_t), error);
		if (!constraint->by_bits)
		{
			constraint->n_masks = constraint->n_sets = 0;
			return false;
		}
		constraint->n_places = n;
		for (size_t i = 0; i < constraint->n_masks; i++)
			index_mask(constraint, i);
		for (size_t i = 0; i < constraint->n_sets; i++)
		{
			size_t at = constraint->hashes[i];

			while (constraint->by_bits[at & (n - 1)])
				at++;
			constraint->by_bits[at & (n - 1)] = (int32_t) i + 1;
		}
	}
	return lm_array_reserve(host, &constraint->masks, &constraint->masks_capacity,
							constraint->n_masks + 1, sizeof(Mask), error) &&
		   lm_array_reserve(host, &constraint->hashes, &constraint->hashes_capacity,
							constraint->n_sets + 1, sizeof(uint64_t), error) &&
		   lm_array_reserve(host, &constraint->sets, &constraint->sets_capacity,
							constraint->n_sets + 1, constraint->n_words * sizeof(uint64_t), error);
}

static size_t
hash_place(LmPlace place, int left)
{
	uint64_t hash = (uint64_t) (uint32_t) place.state * 0x9E3779B97F4A7C15U;

	hash = (hash ^ (uint32_t) place.end ^ (uint64_t) (uint32_t) place.depth << 32) *
		   0xD6E8FEB86659FD93U;
	hash = (hash ^ (uint32_t) left ^ hash >> 32) * 0xD6E8FEB86659FD93U;
	return (size_t) (hash ^ hash >> 32);
}

static void
index_mask(LmConstraint *constraint, size_t number)
{
	size_t at = hash_place(constraint->masks[number].place, constraint->masks[number].left);

	while (constraint->by_place[at & (constraint->n_places - 1)])
		at++;
	constraint->by_place[at & (constraint->n_places - 1)] = (int32_t) number + 1;
}

static Mask *
find(LmConstraint *constraint, LmPlace place, int left)
{
	for (size_t at = hash_place(place, left);; at++)
	{
		int32_t number = constraint->by_place[at & (constraint->n_places - 1)];
		Mask *mask;

		if (number == 0)
			return NULL;
		mask = &constraint->masks[number - 1];
		if (mask->place.state == place.state && mask->place.end == place.end &&
			mask->place.depth == place.depth && mask->left == left)
			return mask;
	}
}

/* The mask of a place for a number of tokens that are left. */
static bool
mask_of(LmConstraint *constraint, LmPlace place, int left, Mask **mask, LmError *error)
{
	trim(constraint);
	*mask = find(constraint, place, ANY_NUMBER);
	if (*mask && left >= (*mask)->most)
		return true;
	*mask = find(constraint, place, left);
	return *mask || add(constraint, place, left, mask, error);
}

/*
 * Whether the last masks that a walk has made have one for this place. Only where tokens are not
 * scarce: then it does not matter how far the end is.
 */
static bool
compare(bool *same, Mask *added, LmConstraint *constraint, int left, LmError *error)
{
	uint64_t *bits = constraint->sets + constraint->n_sets * constraint->n_words;
	int n = 0;

	*same = false;
	for (size_t i = constraint->n_masks; i-- > 0 && n < COMPARED && !*same;)
	{
		const Mask *known = &constraint->masks[i];

		if (known->left != ANY_NUMBER || known->depth == 0)
			continue;
		n++;
		if (!lm_constraint_same(
				same, &added->most, constraint->automaton, known->place, added->place,
				known->depth < LM_SHORT_TOKEN ? known->depth : LM_SHORT_TOKEN, error))
			return false;
		*same = *same && left >= added->most;
		if (!*same)
			continue;
		added->n = known->n;
		memcpy(bits, constraint->sets + (size_t) known->set * constraint->n_words,
			   constraint->n_words * sizeof *bits);
		if (!lm_constraint_walk_long(bits, &added->n, &added->most, constraint->automaton,
									 constraint->vocabulary, added->place, error))
			return false;
		*same = left >= added->most;
	}
	return true;
}

static bool
add(LmConstraint *constraint, LmPlace place, int left, Mask **mask, LmError *error)
{
	Mask added = {.place = place};
	bool same = false;

	if (!make_room(constraint, error) || !compare(&same, &added, constraint, left, error))
		return false;
	if (!same &&
		!lm_constraint_walk(constraint->sets + constraint->n_sets * constraint->n_words, &added.n,
							&added.most, constraint->automaton, constraint->vocabulary,
							(LmTokenSpan){0, constraint->vocabulary->n, 0}, place, left,
							constraint->path, &added.depth, error))
		return false;
	added.left = left >= added.most ? ANY_NUMBER : left;
	added.set = share(constraint);
	*mask = &constraint->masks[constraint->n_masks];
	**mask = added;
	index_mask(constraint, constraint->n_masks++);
	return true;
}

/* The set of bits after the last one, or an equal one that is there. */
static int32_t
share(LmConstraint *constraint)
{
	size_t n = constraint->n_words, at;
	const uint64_t *bits = constraint->sets + constraint->n_sets * n;
	uint64_t hash = 0;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bits[i]) * 0x9E3779B97F4A7C15U ^ hash >> 29;
	hash ^= hash >> 32;
	for (at = hash; constraint->by_bits[at & (constraint->n_places - 1)]; at++)
	{
		int32_t set = constraint->by_bits[at & (constraint->n_places - 1)] - 1;

		if (constraint->hashes[set] == hash &&
			memcmp(constraint->sets + (size_t) set * n, bits, n * sizeof *bits) == 0)
			return set;
	}
	constraint->by_bits[at & (constraint->n_places - 1)] = (int32_t) constraint->n_sets + 1;
	constraint->hashes[constraint->n_sets] = hash;
	return (int32_t) constraint->n_sets++;
}

size_t
lm_follower_words(const LmConstraint *constraint)
{
	return constraint ? constraint->n_words : 0;
}

void
lm_follower_begin(LmFollower *follower, LmConstraint *constraint, uint64_t *bits)
{
	*follower = (LmFollower){.constraint = constraint, .bits = bits};
	if (!constraint)
		return;
	follower->place = lm_automaton_start(constraint->automaton);
	lm_automaton_retain(constraint->automaton, follower->place);
	constraint->n_followers++;
}

void
lm_follower_end(LmFollower *follower)
{
	if (follower->constraint)
	{
		lm_automaton_release(follower->constraint->automaton, follower->place);
		follower->constraint->n_followers--;
	}
	follower->constraint = NULL;
}

void
lm_follower_copy(LmFollower *to, const LmFollower *from)
{
	uint64_t *bits = to->bits;

	if (!from->constraint)
		return;
	lm_automaton_retain(from->constraint->automaton, from->place);
	from->constraint->n_followers++;
	lm_follower_end(to);
	*to = *from;
	to->bits = bits;
	if (from->ready)
		memcpy(bits, from->bits, from->constraint->n_words * sizeof *bits);
}

bool
lm_follower_prepare(LmFollower *follower, int left, LmError *error)
{
	LmConstraint *constraint = follower->constraint;
	LmAutomaton *automaton;
	Mask *mask;

	if (!constraint || follower->ready)
		return true;
	automaton = constraint->automaton;
	if (!mask_of(constraint, follower->place, left - 1, &mask, error))
		return false;
	follower->ends = lm_automaton_ends(automaton, follower->place);
	follower->goes_on = mask->n > 0;
	follower->n = mask->n;
	if (mask->n == 0 && !follower->ends)
	{
		int32_t needed;

		if (!lm_constraint_needed(&needed, automaton, constraint->vocabulary, follower->place,
								  error))
			return false;
		return lm_fail(
			error, LM_ERR_ARGUMENT, -1,
			"%d tokens are too few for the constraint: %d are enough for its shortest text", left,
			needed);
	}
	memcpy(follower->bits, constraint->sets + (size_t) mask->set * constraint->n_words,
		   constraint->n_words * sizeof *follower->bits);
	follower->ready = true;
	return true;
}

bool
lm_follower_take(LmFollower *follower, LmBytes bytes, LmError *error)
{
	LmAutomaton *automaton = follower->constraint->automaton;
	LmPlace place = follower->place;
	bool dead = false;

	for (size_t i = 0; i < bytes.size && !dead; i++)
		if (!lm_automaton_step(automaton, &place, (uint8_t) bytes.data[i], &dead, error))
			return false;
	if (dead)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a token leaves the constraint");
	lm_automaton_retain(automaton, place);
	lm_automaton_release(automaton, follower->place);
	follower->place = place;
	follower->ready = false;
	follower->ends = lm_automaton_ends(automaton, place);
	follower->goes_on = lm_automaton_goes_on(automaton, place);
	return true;
}

bool
lm_follower_longer(const LmFollower *follower, LmBytes beginning, int left, const uint64_t **bits,
				   LmError *error)
{
	LmConstraint *constraint = follower->constraint;
	LmTokenSpan span = lm_vocabulary_longer(constraint->vocabulary, beginning);
	int32_t n, most, depth;
	uint64_t *set;

	/* After the last of the sets, where the next one will be. */
	if (!make_room(constraint, error))
		return false;
	*bits = set = constraint->sets + constraint->n_sets * constraint->n_words;
	return lm_constraint_walk(set, &n, &most, constraint->automaton, constraint->vocabulary, span,
							  follower->place, left - 1, constraint->path, &depth, error);
}

int
lm_constraint_users(const LmConstraint *constraint)
{
	return constraint->n_followers;
}

bool
lm_constraint_spaced(const LmConstraint *constraint)
{
	return constraint->automaton->spaced;
}
