/*
 * src/engine/train/row_groups.h
 *
 * Sorting groups of rows.
 */
#ifndef LM_ROW_GROUPS_H
#define LM_ROW_GROUPS_H

#include "engine/held_out.h"

typedef int (*LmCompareGroups)(const LmRowGroup *a, const LmRowGroup *b);

int lm_compare_keys(const LmRowGroup *a, const LmRowGroup *b);
int lm_compare_prompts(const LmRowGroup *a, const LmRowGroup *b); /* then by keys */
/*
 * Asks the host between pieces of the work; false when it was stopped: the groups are then in some
 * order.
 */
bool lm_row_groups_sort(LmRowGroup *groups, size_t n, LmCompareGroups compare, const LmHost *host);

#endif /* LM_ROW_GROUPS_H */
