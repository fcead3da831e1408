/*
 * src/corpus/token_documents.c
 *
 * A token file goes in, its documents come out. A document is a chain of windows, each of which
 * begins with the last id of the one before; or a part of a stream, between two end tokens.
 *
 * Where a side has more documents than are wanted, the walk jumps ahead to evenly spaced places,
 * and goes on with the document that begins next: a longer one hides the beginning of others, but
 * is not chosen more often itself.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "corpus/token_documents.h"
#include "engine/marked_text.h"

/* False after the last; a document without ids is passed over. */
static bool next_of_windows(GptTokenDocument *document, GptTokenDocuments *documents);
static bool next_of_stream(GptTokenDocument *document, GptTokenDocuments *documents);
static void read_ids(GptTokenDocuments *documents, uint64 first, uint64 n);

bool
gpt_token_documents_exist(const LmDataset *dataset, const LmTokenizer *tokenizer)
{
	return dataset->header->masked == 0 && dataset->header->group <= 1 &&
		   (dataset->documents != LM_DOCUMENTS_JOINED ||
			lm_tokenizer_spec(tokenizer)->end_of_text >= 0);
}

void
gpt_token_documents_begin(GptTokenDocuments *documents, const LmDataset *dataset,
						  const LmTokenizer *tokenizer, GptSide side, int64 most)
{
	const LmDatasetHeader *header = dataset->header;
	uint64 n_train = header->n_train_windows;

	MemSet(documents, 0, sizeof(GptTokenDocuments));
	documents->dataset = dataset;
	documents->end = lm_tokenizer_spec(tokenizer)->end_of_text;
	documents->first = side == GPT_SIDE_TRAIN ? 0 : n_train;
	documents->n = side == GPT_SIDE_TRAIN ? n_train : header->n_validation_windows;
	if (dataset->documents == LM_DOCUMENTS_JOINED && documents->n > 0)
	{
		const LmWindow *windows = dataset->windows + documents->first;
		const LmWindow *last = &windows[documents->n - 1];

		documents->first = windows->offset;
		documents->n = last->offset + last->length - windows->offset;
	}
	documents->next = documents->first + documents->n;
	documents->step = Max(documents->n / (uint64) Max(most, 1), 1);
	documents->at = documents->first;
}

bool
gpt_token_documents_next(GptTokenDocument *document, GptTokenDocuments *documents)
{
	do
	{
		CHECK_FOR_INTERRUPTS();
		document->n_ids = 0;
		if (documents->dataset->documents == LM_DOCUMENTS_JOINED
				? !next_of_stream(document, documents)
				: !next_of_windows(document, documents))
			return false;
	} while (document->n_ids == 0);
	return true;
}

/* Whether a window goes on with the document of the one before it. */
static bool
continues(const LmWindow *windows, uint64 number)
{
	const LmWindow *before = &windows[number - 1];

	return windows[number].offset == before->offset + before->length - 1;
}

static bool
next_of_windows(GptTokenDocument *document, GptTokenDocuments *documents)
{
	const LmDatasetHeader *header = documents->dataset->header;
	const LmWindow *windows = documents->dataset->windows;
	bool has_end = documents->end >= 0;
	uint64 first = documents->at;
	uint64 last;
	size_t n;
	size_t begin;
	size_t text;

	while (first > documents->first && first < documents->next && continues(windows, first))
		first++;
	if (first >= documents->next)
		return false;
	for (last = first; last + 1 < documents->next && continues(windows, last + 1);)
		last++;
	documents->at = Max(last + 1, first + documents->step);
	n = windows[last].offset + windows[last].length - windows[first].offset;
	if (n > GPT_DOCUMENT_IDS)
		return true;
	read_ids(documents, windows[first].offset, n);
	document->label = windows[first].label;
	document->is_whole = !has_end || documents->ids[0] == documents->end;
	begin = has_end && document->is_whole ? 1 : 0;
	text = windows[first].prompt > 0 ? windows[first].prompt + 1 : begin;
	if (n > text && has_end && documents->ids[n - 1] == documents->end)
		n--;
	text = Min(text, n);
	document->ids = documents->ids + begin;
	document->n_ids = n - begin;
	document->text_at = text - begin;
	/* Of a pair the counted prompt reaches to the end token between both texts. */
	document->n_context = document->text_at;
	if (header->pairs != 0 && has_end && document->n_context > 0)
		document->n_context--;
	return true;
}

/* text <end> text <end> ... */
static bool
next_of_stream(GptTokenDocument *document, GptTokenDocuments *documents)
{
	const LmDataset *dataset = documents->dataset;
	uint64 first = documents->at;
	uint64 last;

	while (first > documents->first && first < documents->next &&
		   lm_dataset_id(dataset, first - 1) != documents->end)
		first++;
	if (first >= documents->next)
		return false;
	for (last = first; last < documents->next && lm_dataset_id(dataset, last) != documents->end;)
	{
		if (++last % GPT_DOCUMENT_IDS == 0)
			CHECK_FOR_INTERRUPTS();
	}
	documents->at = Max(last + 1, first + documents->step);
	if (last - first > GPT_DOCUMENT_IDS)
		return true;
	read_ids(documents, first, last - first);
	*document = (GptTokenDocument){documents->ids, last - first, .is_whole = true};
	return true;
}

static void
read_ids(GptTokenDocuments *documents, uint64 first, uint64 n)
{
	if (documents->ids == NULL || n > documents->capacity)
	{
		if (documents->ids != NULL)
			pfree(documents->ids);
		documents->capacity = Max(n, 1024);
		documents->ids =
			MemoryContextAllocHuge(CurrentMemoryContext, documents->capacity * sizeof(int32));
	}
	for (uint64 i = 0; i < n; i++)
		documents->ids[i] = lm_dataset_id(documents->dataset, first + i);
}
