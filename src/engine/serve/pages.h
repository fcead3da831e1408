/*
 * src/engine/serve/pages.h
 *
 * Inside a page, with K channels of keys (lm_config_kv_channels):
 *
 *   | keys of layer 0: K rows of LM_PAGE | values of layer 0: LM_PAGE rows of K | keys of layer 1 |
 *   ... |
 *
 * Keys are transposed, so that a vector loads one element of LM_PAGE keys.
 */
#ifndef LM_PAGES_H
#define LM_PAGES_H

#include "engine/model.h"

/* All pages, in one block of memory. */
struct LmPages
{
	LmHost host;
	int n_pages;
	int n_free;
	int *free; /* [n_pages] a stack of free pages */
	int *references; /* [n_pages] sequences that hold the page */
	size_t page_floats;
	size_t part_floats; /* LM_PAGE * K */
	float *data;
};

/* Keys [K, LM_PAGE] of a layer in a page. */
static inline float *
lm_page_keys(const LmPages *pages, int page, int layer)
{
	return pages->data + (size_t) page * pages->page_floats +
		   2 * (size_t) layer * pages->part_floats;
}

/* Values [LM_PAGE, K] of a layer in a page. */
static inline float *
lm_page_values(const LmPages *pages, int page, int layer)
{
	return lm_page_keys(pages, page, layer) + pages->part_floats;
}

/*
 * Gives the sequence its next position, with a page that it alone holds. False when pages run out;
 * the sequence is then as before.
 */
bool lm_sequence_extend(LmSequence *sequence, LmPages *pages);

#endif /* LM_PAGES_H */
