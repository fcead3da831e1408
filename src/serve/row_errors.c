/*
 * src/serve/row_errors.c
 *
 * Errors of rows go in, the reasons with their counts come out; in the memory of the session, which
 * they outlive no more than a rolled back transaction undoes them.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "serve/row_errors_shared.h"

#define MOST_BYTES 1000 /* of a text */

static GptRowError errors[GPT_ROW_ERRORS];
static int n_errors = 0;
static MemoryContext texts = NULL;

static GptRowError *find(const char *function, const char *model, const GptFailure *failure);
static GptRowError *make(const char *function, const char *model, const GptFailure *failure);
static void forget(GptRowError *error);
static bool same(const char *kept, const char *text);
static char *copy(const char *text);

void
gpt_row_errors_add(const char *function, const char *model, const GptFailure *failure)
{
	GptRowError error = {.last_at = GetCurrentTimestamp(),
						 .count = 1,
						 .function = unconstify(char *, function),
						 .model = unconstify(char *, model),
						 .failure = *failure};

	gpt_row_errors_merge(&error);
}

void
gpt_row_errors_merge(const GptRowError *error)
{
	GptRowError *kept = find(error->function, error->model, &error->failure);

	if (kept == NULL)
		kept = make(error->function, error->model, &error->failure);
	kept->count += error->count;
	kept->last_at = Max(kept->last_at, error->last_at);
}

static GptRowError *
find(const char *function, const char *model, const GptFailure *failure)
{
	for (int i = 0; i < n_errors; i++)
	{
		GptRowError *error = &errors[i];

		if (error->failure.sqlstate == failure->sqlstate && same(error->function, function) &&
			same(error->model, model) && same(error->failure.message, failure->message) &&
			same(error->failure.detail, failure->detail))
			return error;
	}
	return NULL;
}

/* Texts are compared as far as they are kept. */
static bool
same(const char *kept, const char *text)
{
	size_t size;

	if (kept == NULL || text == NULL)
		return kept == text;
	size = strlen(kept);
	return strncmp(kept, text, size) == 0 &&
		   (text[size] == '\0' || size + MAX_MULTIBYTE_CHAR_LEN > MOST_BYTES);
}

static GptRowError *
make(const char *function, const char *model, const GptFailure *failure)
{
	GptRowError made = {0};
	GptRowError *place = &errors[0];

	if (texts == NULL)
		texts = AllocSetContextCreate(TopMemoryContext, "gpt row errors", ALLOCSET_SMALL_SIZES);
	made.function = copy(function);
	made.model = copy(model);
	made.failure = (GptFailure){failure->sqlstate, copy(failure->message), copy(failure->detail),
								copy(failure->hint)};
	if (n_errors < GPT_ROW_ERRORS)
		place = &errors[n_errors++];
	else
	{
		for (int i = 1; i < n_errors; i++)
			if (errors[i].last_at < place->last_at)
				place = &errors[i];
		forget(place);
	}
	*place = made;
	return place;
}

static char *
copy(const char *text)
{
	int size;
	char *copied;

	if (text == NULL)
		return NULL;
	size = (int) strnlen(text, MOST_BYTES + 1);
	if (size > MOST_BYTES)
		size = pg_mbcliplen(text, size, MOST_BYTES);
	copied = MemoryContextAlloc(texts, size + 1);
	memcpy(copied, text, size);
	copied[size] = '\0';
	return copied;
}

static void
forget(GptRowError *error)
{
	char *all[] = {error->function, error->model, unconstify(char *, error->failure.message),
				   unconstify(char *, error->failure.detail),
				   unconstify(char *, error->failure.hint)};

	for (int i = 0; i < lengthof(all); i++)
		if (all[i] != NULL)
			pfree(all[i]);
}

const GptRowError *
gpt_row_errors(int *n)
{
	*n = n_errors;
	return errors;
}

void
gpt_row_errors_forget(void)
{
	n_errors = 0;
	if (texts != NULL)
		MemoryContextReset(texts);
}
