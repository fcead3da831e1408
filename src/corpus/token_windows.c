/*
 * src/corpus/token_windows.c
 *
 * The lengths of documents go in, the table of windows of a token file comes out.
 */
#include "postgres.h"

#include "pgstat.h"

#include "core/compat.h"
#include "corpus/token_file_private.h"
#include "engine/marked_text.h"

#define TURN_PIECE 4096 /* ids that are read at once to find an answer */
#define JOINED_WINDOW (1 << 30) /* predictions: a window's length has 32 bits */

/*
 * If prompt and completion do not fit the context together, the prompt keeps its last ids: as many
 * as fit, at least half a context.
 */
static uint64
skipped_of_prompt(const GptDocumentShape *shape, int context)
{
	uint64 kept = context / 2;

	if (shape->n_ids <= (uint64) context + 1 || shape->n_prompt <= kept)
		return 0;
	return Min(shape->n_ids - 1 - context, shape->n_prompt - kept);
}

/* Reads n ids of a masked file, from number id on, into writer->read. */
static const uint32 *
read_ids(GptTokenWriter *writer, uint64 id, int n)
{
	int size = n * (int) sizeof(uint32);

	if (FileRead(writer->file, writer->read, size,
				 (off_t) (sizeof(LmDatasetHeader) + id * sizeof(uint32)),
				 gpt_wait_event("GptTokenFileRead")) != size)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", FilePathName(writer->file))));
	return (const uint32 *) writer->read;
}

/* How many predictions of a window count: not its prompt's, and not those of ids with a flag. */
static uint32
count_predictions(GptTokenWriter *writer, const LmWindow *window)
{
	uint32 n = window->length - 1 - window->prompt;
	uint64 id = window->offset + 1 + window->prompt;
	uint32 counted = 0;

	if (writer->header.masked == 0)
		return n;
	while (n > 0)
	{
		int n_read = (int) Min(n, GPT_TOKEN_BUFFER / sizeof(uint32));
		const uint32 *ids = read_ids(writer, id, n_read);

		for (int i = 0; i < n_read; i++)
			counted += (ids[i] & LM_ID_CONTEXT) == 0;
		id += n_read;
		n -= n_read;
	}
	return counted;
}

/* Appends a window of which so many predictions count. */
static void
append_window(GptTokenWriter *writer, GptSide side, const LmWindow *window, uint32 counted)
{
	LmDatasetHeader *header = &writer->header;

	gpt_token_writer_append(writer, window, sizeof(*window));
	if (side == GPT_SIDE_TRAIN)
	{
		header->n_train_windows++;
		header->train_tokens += window->length - 1;
	}
	else
	{
		header->n_validation_windows++;
		header->validation_tokens += window->length - 1;
		header->validation_counted += header->n_labels > 0 ? 1 : counted;
		header->validation_masked += window->length - 1 - window->prompt - counted;
	}
}

/* False where nothing is predicted in the document. */
static bool
append_windows(GptTokenWriter *writer, GptSide side, uint64 offset, const GptDocumentShape *shape,
			   int context)
{
	uint64 skipped = skipped_of_prompt(shape, context);
	uint64 n_ids = shape->n_ids - skipped;
	uint64 n_prompt = shape->n_prompt - Min(skipped, shape->n_prompt);
	uint64 count = lm_windows_count(n_ids, context);
	bool is_predicted = false;

	/* Two texts are judged together: in one window, which has the end of the first. */
	if (writer->header.pairs && count > 1)
	{
		n_ids = (uint64) context + 1;
		count = 1;
	}
	for (uint64 i = 0; i < count; i++)
	{
		LmWindow window = lm_windows_cut(i, skipped + offset, n_ids, context);
		uint64 before = window.offset - offset - skipped;
		uint32 counted;

		if (n_prompt >= before + window.length - 1)
			continue;
		window.prompt = n_prompt > before ? (uint32) (n_prompt - before) : 0;
		counted = count_predictions(writer, &window);
		if (counted == 0)
			continue;
		window.weight = shape->weight;
		window.label = shape->label;
		append_window(writer, side, &window, counted);
		is_predicted = true;
	}
	if (is_predicted && side == GPT_SIDE_VALIDATION)
		writer->header.validation_bytes += shape->n_bytes;
	return is_predicted;
}

/*
 * The first id from number `from` on, before number `end`, that is learnt (or that is not); `end`
 * where there is none.
 */
static uint64
find_id(GptTokenWriter *writer, uint64 from, uint64 end, bool is_learnt)
{
	while (from < end)
	{
		int n = (int) Min(end - from, TURN_PIECE);
		const uint32 *ids = read_ids(writer, from, n);

		for (int i = 0; i < n; i++)
			if (((ids[i] & LM_ID_CONTEXT) == 0) == is_learnt)
				return from + (uint64) i;
		from += (uint64) n;
	}
	return end;
}

/*
 * A text with a prompt for each answer of a conversation: the prompt is all that stands before the
 * answer. False where there is none.
 */
static bool
append_turns(GptTokenWriter *writer, GptSide side, uint64 offset, const GptDocumentShape *shape,
			 int context)
{
	uint64 end = offset + shape->n_ids;
	uint64 begin = find_id(writer, offset, end, true);
	GptDocumentShape turn = *shape;
	bool is_predicted = false;

	while (begin < end)
	{
		uint64 next = find_id(writer, begin, end, false);

		CHECK_FOR_INTERRUPTS();
		turn.n_ids = next - offset;
		turn.n_prompt = (uint32) Min(begin > offset ? begin - offset - 1 : 0, PG_UINT32_MAX);
		if (append_windows(writer, side, offset, &turn, context))
		{
			is_predicted = true;
			turn.n_bytes = 0; /* they are those of all answers */
		}
		begin = find_id(writer, next, end, true);
	}
	return is_predicted;
}

/*
 * A window for each part of a row; what goes beyond the context is lost. All prompts lose the same,
 * so that the parts stay comparable. False where nothing is predicted in a part: then there are no
 * windows.
 */
static bool
append_group(GptTokenWriter *writer, GptSide side, uint64 offset, const GptDocumentShape *shapes,
			 int context)
{
	LmWindow windows[LM_MAX_GROUP];
	uint64 skipped = 0;
	bool is_cut = false;

	for (int part = 0; part < writer->group; part++)
		skipped = Max(skipped, skipped_of_prompt(&shapes[part], context));
	for (int part = 0; part < writer->group; part++)
	{
		const GptDocumentShape *shape = &shapes[part];
		uint64 lost = Min(skipped, shape->n_prompt);
		uint64 n_ids = shape->n_ids - lost;

		windows[part] = (LmWindow){.offset = offset + lost,
								   .length = (uint32) Min(n_ids, (uint64) context + 1),
								   .prompt = (uint32) (shape->n_prompt - lost),
								   .weight = shape->weight,
								   .label = shape->label};
		if (n_ids < 2 || windows[part].prompt >= windows[part].length - 1)
			return false;
		is_cut |= n_ids > (uint64) context + 1;
		offset += shape->n_ids;
	}
	for (int part = 0; part < writer->group; part++)
	{
		append_window(writer, side, &windows[part],
					  windows[part].length - 1 - windows[part].prompt);
		if (side == GPT_SIDE_VALIDATION)
			writer->header.validation_bytes += shapes[part].n_bytes;
	}
	writer->n_cut += is_cut;
	return true;
}

/* The windows of the next row in the file of shapes; moves offset after its ids. */
static void
append_row(GptTokenWriter *writer, GptSide side, uint64 *offset, int context)
{
	GptDocumentShape shapes[LM_MAX_GROUP];
	size_t size = writer->group * sizeof(GptDocumentShape);
	bool is_predicted;

	if (BufFileRead(writer->shapes, shapes, size) != size)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file")));
	gpt_progress_tick(writer->progress);
	if (writer->group > 1)
		is_predicted = append_group(writer, side, *offset, shapes, context);
	else if (writer->header.masked != 0 && writer->options->by_turn)
		is_predicted = append_turns(writer, side, *offset, &shapes[0], context);
	else
		is_predicted = append_windows(writer, side, *offset, &shapes[0], context);
	if (!is_predicted)
		writer->n_unpredicted++;
	for (int part = 0; part < writer->group; part++)
		*offset += shapes[part].n_ids;
}

/* Appends the table of windows after the tokens; it starts at a multiple of eight bytes. */
void
gpt_token_writer_windows(GptTokenWriter *writer, int context)
{
	static const char zeros[8] = {0};
	LmDatasetHeader *header = &writer->header;
	off_t end = writer->offset + writer->used;
	uint64 offset = 0;

	if (header->masked != 0)
	{
		gpt_token_writer_flush(writer);
		writer->read = palloc(GPT_TOKEN_BUFFER);
	}
	header->n_tokens = writer->n_ids[GPT_SIDE_TRAIN] + writer->n_ids[GPT_SIDE_VALIDATION];
	header->windows_offset = TYPEALIGN64(8, end);
	gpt_token_writer_append(writer, zeros, header->windows_offset - end);
	if (BufFileSeek(writer->shapes, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file")));
	for (int side = 0; side < GPT_N_SIDES; side++)
	{
		if (writer->options->documents == LM_DOCUMENTS_JOINED)
		{
			GptDocumentShape stream = {writer->n_ids[side], writer->n_bytes[side], 0, 1, 0};

			(void) append_windows(writer, side, offset, &stream, JOINED_WINDOW);
			offset += writer->n_ids[side];
			continue;
		}
		for (int64 i = 0; i < writer->n_rows[side]; i++)
			append_row(writer, side, &offset, context);
	}
}
