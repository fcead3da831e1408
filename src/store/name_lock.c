/*
 * src/store/name_lock.c
 *
 * Locks on the names of models (include/store/name_lock.h).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "core/lock.h"
#include "store/name_lock.h"

static LOCKTAG
name_tag(const char *model)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) model, strlen(model), 0);

	return gpt_lock_tag(MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, GPT_LOCK_NAME);
}

bool
gpt_name_try_lock(const char *model)
{
	LOCKTAG tag = name_tag(model);

	return gpt_lock_try(&tag);
}

void
gpt_name_lock(const char *model)
{
	LOCKTAG tag = name_tag(model);

	gpt_lock_wait(&tag, ExclusiveLock);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	LOCKTAG first = name_tag(lfirst(a));
	LOCKTAG second = name_tag(lfirst(b));

	if (first.locktag_field2 != second.locktag_field2)
		return first.locktag_field2 < second.locktag_field2 ? -1 : 1;
	if (first.locktag_field3 != second.locktag_field3)
		return first.locktag_field3 < second.locktag_field3 ? -1 : 1;
	return 0;
}

void
gpt_name_lock_all(const List *models)
{
	List *sorted = list_copy(models);
	ListCell *cell;

	list_sort(sorted, compare_names);
	foreach (cell, sorted)
		gpt_name_lock(lfirst(cell));
	list_free(sorted);
}

void
gpt_name_keep(const char *model)
{
	LOCKTAG tag = name_tag(model);

	gpt_lock_wait(&tag, ShareLock);
}

bool
gpt_name_precedes(const char *a, const char *b)
{
	const ListCell first = {.ptr_value = (void *) a};
	const ListCell second = {.ptr_value = (void *) b};

	return compare_names(&first, &second) < 0;
}
