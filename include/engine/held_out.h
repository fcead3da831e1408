/*
 * include/engine/held_out.h
 *
 * The rows of a corpus that are held out to measure the model. Rows go in as groups: the learnt
 * part of a group's rows is equal.
 *
 * The rule:
 *   - the held-out rows are between half and one and a half times the fraction, and so are their
 *     bytes;
 *   - a group is learnt or held out whole, and learnt where it has several rows and more than half
 *     of the share;
 *   - every label, and every prompt of several rows, keeps a group to learn;
 *   - where most rows have a prompt of their own, some of those are held out; otherwise rows of
 *     prompts that have several, and the others are learnt;
 *   - at most half of the rows that can be held out are held out;
 *   - texts that are too long to be held out are cut where together they have most of the bytes:
 *     the end of each is held out, and the rule applies to the other rows as if they were all.
 *
 * The choice does not depend on the order of the rows: groups are tried in the order of their keys.
 */
#ifndef LM_HELD_OUT_H
#define LM_HELD_OUT_H

#include "engine/error.h"
#include "engine/host.h"
#include "engine/ops.h"

#define LM_GROUP_ELSEWHERE 1 /* given: its prompt has rows that are in no group */
#define LM_GROUP_HELD_OUT 2 /* chosen */
#define LM_GROUP_CUT 4 /* chosen: the end of its one row is held out */

/* Rows whose learnt part is equal. The array of groups is the caller's. */
typedef struct LmRowGroup
{
	/* a well mixed hash of the learnt part; in a choice no two groups have the same */
	uint64_t key;
	uint64_t prompt; /* hash; where rows have prompts */
	uint32_t size; /* bytes of one row */
	uint32_t label; /* number, or that of a set; where rows have labels */
	uint32_t n_rows;
	uint32_t flags;
} LmRowGroup;

/*
 * Merges groups of the same key and label and sorts them by key. Returns their number; 0 where it
 * was stopped, with all groups still there.
 */
size_t lm_row_groups_merge(LmRowGroup *groups, size_t n, const LmHost *host);

/* The request of the caller, and facts about the whole corpus. */
typedef struct LmHoldOut
{
	double fraction; /* 0 to 0.5 */
	uint64_t n_rows; /* of the corpus, with those that are in no group: they are learnt */
	uint64_t n_bytes;
	bool prompted;
	bool whole; /* no row may be cut; with prompts or labels none is */
	uint32_t n_labels; /* 0: rows have none */
	LmLabelSets sets; /* n_sets 0: each row has one label */
	/* [n_labels] whether rows that are in no group have it; NULL: all false */
	const bool *learnt_labels;
} LmHoldOut;

/* Why fewer or other rows are held out than the caller asked for. */
typedef enum LmHeldOutReason
{
	LM_HELD_OUT_AS_ASKED,
	LM_HELD_OUT_FEW_ROWS, /* no number of rows is near enough to the fraction */
	LM_HELD_OUT_NEEDED, /* too many rows must be learnt */
	LM_HELD_OUT_BYTES, /* the bytes are too unevenly spread over the rows */
} LmHeldOutReason;

/* The result of a choice. */
typedef struct LmHeldOut
{
	LmHeldOutReason reason;
	uint64_t n_rows; /* held out whole */
	uint64_t n_bytes; /* of them */
	uint64_t n_cut; /* rows of which the end is held out: `fraction` of each */
	uint64_t cut_bytes; /* of those rows, in all */
} LmHeldOut;

/*
 * Sets the flags of groups that lm_row_groups_merge returned, and leaves them in the order of keys.
 * LM_ERR_STOPPED, after which it can be called again, or LM_ERR_MEMORY.
 */
bool lm_held_out_choose(LmHeldOut *held, LmRowGroup *groups, size_t n, const LmHoldOut *asked,
						const LmHost *host, LmError *error);

/* The group of a key, among groups in the order of keys; NULL where there is none. */
LmRowGroup *lm_row_groups_find(LmRowGroup *groups, size_t n, uint64_t key);

/*
 * For a corpus with rows that are in no group: _by_prompt sorts the groups by prompt (false where
 * it was stopped); after that _elsewhere sets LM_GROUP_ELSEWHERE on the groups of a prompt that a
 * row outside has.
 */
bool lm_row_groups_by_prompt(LmRowGroup *groups, size_t n, const LmHost *host);
void lm_row_groups_elsewhere(LmRowGroup *groups, size_t n, uint64_t prompt);

/* A bijection whose every bit depends on all bits. */
uint64_t lm_row_mix(uint64_t hash);

#endif /* LM_HELD_OUT_H */
