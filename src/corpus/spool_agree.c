/*
 * src/corpus/spool_agree.c
 *
 * The labels and numbers of several servers go in; the documents of a spool have them from then on.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "corpus/spool_private.h"

static void agree_on_labels(GptSpool *spool, char *const *names, int n);
static LmLabelSets renumber_sets(const GptLabels *own, const uint32 *numbers,
								 MemoryContext context);

void
gpt_spool_agree(GptSpool *spool, char *const *names, int n, GptNumbers numbers)
{
	if (spool->task->measured)
	{
		if (numbers.scale > 0)
			spool->numbers = numbers;
	}
	else if (spool->sorted_labels != NULL)
		agree_on_labels(spool, names, n);
}

/*
 * Both lists have the labels of a base first and the others in the order of their bytes, so one
 * walk over both finds them all, and sets of labels stay in their order.
 */
static void
agree_on_labels(GptSpool *spool, char *const *names, int n)
{
	MemoryContext context = GetMemoryChunkContext(spool);
	const GptLabels *own = spool->sorted_labels;
	GptLabels *labels = MemoryContextAllocZero(context, sizeof(GptLabels));
	uint32 *numbers = MemoryContextAlloc(context, Max(own->n, 1) * sizeof(uint32));
	const char **copies = MemoryContextAlloc(context, Max(n, 1) * sizeof(char *));
	int at = 0;

	for (int i = 0; i < n; i++)
	{
		copies[i] = MemoryContextStrdup(context, names[i]);
		if (at < own->n && strcmp(own->names[at], names[i]) == 0)
			numbers[at++] = (uint32) i;
	}
	if (at < own->n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("label \"%s\" of the rows is not among the labels that the servers "
							   "agreed on",
							   own->names[at])));
	labels->n = n;
	labels->names = copies;
	if (own->sets.n_sets > 0)
	{
		labels->sets = renumber_sets(own, numbers, context);
		labels->n_members = own->n_members;
	}
	else
		spool->agreed = numbers;
	spool->sorted_labels = labels;
}

static LmLabelSets
renumber_sets(const GptLabels *own, const uint32 *numbers, MemoryContext context)
{
	uint32_t *members = MemoryContextAllocHuge(context, Max(own->n_members, 1) * sizeof(uint32_t));

	for (uint64 i = 0; i < own->n_members; i++)
		members[i] = numbers[own->sets.members[i]];
	return (LmLabelSets){own->sets.n_sets, own->sets.ends, members};
}
