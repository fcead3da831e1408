/*
 * src/engine/train/row_groups.h
 *
 * Sorting groups of rows.
 */
#ifndef LM_ROW_GROUPS_H
#define LM_ROW_GROUPS_H

#include "engine/held_out.h"

/* Negative, 0 or positive, as for qsort. */
typedef int (*LmCompareGroups)(const LmRowGroup *a, const LmRowGroup *b);

/* By keys; by prompts. */
int lm_compare_keys(const LmRowGroup *a, const LmRowGroup *b);
int lm_compare_prompts(const LmRowGroup *a, const LmRowGroup *b); /* then by keys */
/*
 * Sorts n groups and asks the host now and then. False when it was stopped: the groups are then in
 * some other order.
 */
bool lm_row_groups_sort(LmRowGroup *groups, size_t n, LmCompareGroups compare, const LmHost *host);

#endif /* LM_ROW_GROUPS_H */
