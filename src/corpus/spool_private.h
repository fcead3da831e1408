/*
 * src/corpus/spool_private.h
 *
 * The inside of a spool: one record a row, in the order of the queries.
 *
 *   record in the file   | GptSpoolRecord | prompt | text | other | third |
 */
#ifndef GPT_SPOOL_PRIVATE_H
#define GPT_SPOOL_PRIVATE_H

#include "fmgr.h"
#include "storage/buffile.h"

#include "corpus/old_rows.h"
#include "corpus/source.h"
#include "corpus/spool.h"

#define GPT_ROW_VALIDATION 1
#define GPT_ROW_VALIDATION_QUERY 2

typedef struct GptSpoolRecord
{
	uint64 hash[2]; /* the first of the prompt, where there is one, the second of all text */
	uint32 size; /* of all texts */
	uint32 sizes[GPT_ROW_TEXTS]; /* of each; 0: it is empty, or there is none */
	float weight;
	uint32 label; /* the number that gpt_label_table_add returned */
	double target;
	uint32 flags;
	uint64 row; /* its number among those of its query */
} GptSpoolRecord;

struct GptSpool
{
	BufFile *file;
	int64 file_size;
	bool by_flag; /* the rows say on which side they lie */
	bool flag; /* of the query that is being read */
	const GptTask *task;
	bool marked; /* they have a column "messages" */
	bool plain; /* conversations are read as the contents of their messages */
	char *contents; /* of the last one, then */
	size_t contents_size;
	/* the bytes in which all prompts end, at the end of the buffer, once there is a prompt */
	char ending[GPT_ENDING_SIZE];
	size_t ending_size;
	bool has_ending;
	GptLabelTable *labels; /* NULL: there is no such column */
	const GptLabels *sorted_labels; /* in the end; one of numbers has the name of their column */
	const uint32 *agreed; /* by the number of a label: that of the agreement; NULL: the same */
	GptNumbers numbers;
	GptOldRows *old; /* while the query is read, if old rows are replayed; else NULL */
	bool replays; /* the row that is added is an old one */
	Datum since; /* rows beyond this value of the watermark's column are new */
	bool has_since;
	int64 n_replay_wanted;
	int64 n_replayed;
	const char *watermark; /* as text, in the end */
	bool has_largest;
	Datum largest; /* value of the watermark's column */
	FmgrInfo *compare;
	Oid collation;
	Oid type;
	int16 length;
	bool by_value;
	GptHeldOut *held; /* NULL: the query chooses the held-out rows, or there are none */
	int64 documents;
	int64 skipped;
	int64 n_records; /* documents, and repeated rows that were dropped */
	GptDedup dedup; /* rows that are dropped ... */
	GptDedup comparison; /* ... and rows that are compared and counted, at least as many */
	bool compared; /* all of them */
	bool list;
	GptDuplicates duplicates;
	bool cleans; /* the rows were cleaned ... */
	GptCleanCounts cleaned; /* ... with these results */
	uint8 *dropped; /* [n_records] bits of the records that _read_record leaves out; NULL: none */
	GptRepeat *repeats; /* [n_records] of each, where options->list; else NULL */
	GptSkipped why_skipped; /* of the query that is being read ... */
	GptSkipped all_skipped; /* ... and of all */
	int64 bytes[GPT_N_SIDES]; /* by flag; corrected in the end */
	int64 side_documents[GPT_N_SIDES];
	char *image; /* [image_size] of the whole file; NULL: it is not held */
	size_t image_size;
	size_t image_offset; /* of the next byte to read */
	int64 n_read; /* records since the last rewind */
	uint64 place; /* of the record in the file */
	char *text;
	size_t capacity;
	GptSpoolRecord record;
	GptSide side; /* of the record ... */
	uint32 label; /* ... and its label's number in the end */
	size_t cut; /* where its text is cut; 0: it is not */
	bool is_sample; /* what it holds beside its file and text is another spool's */
	/* number of the next document of the row, or of the next part of a text that is cut; 0: none */
	int next_document;
};

/* ---- src/corpus/spool_rows.c ---------------------------------------------------- */

/* Runs a query whose rows are all added. */
extern void gpt_spool_add_rows(GptSpool *spool, const GptSource *source);

/*
 * Adds the rows beyond the watermark, and replays as many of the others as their share requires.
 * False if there is no row beyond it.
 */
extern bool gpt_spool_add_since(GptSpool *spool, const GptSource *source,
								const GptSpoolOptions *options);

/* ---- src/corpus/spool_watermark.c ----------------------------------------------- */

/* Keeps the row's value of the watermark's column if it is the largest so far. */
extern void gpt_spool_note_watermark(GptSpool *spool, const GptSourceRow *row);

/* Whether the row, which has a watermark, is beyond spool->since. */
extern bool gpt_spool_is_new(GptSpool *spool, const GptSourceRow *row);

/* The largest value as text that reads back. It lives as long as the spool. */
extern const char *gpt_spool_watermark_text(GptSpool *spool);

/* ---- src/corpus/spool_numbers.c ------------------------------------------------- */

/* The bits of a number, standardised by spool->numbers, as a window's label. */
extern uint32 gpt_spool_number_bits(const GptSpool *spool, double number);

/* ---- src/corpus/spool_file.c ---------------------------------------------------- */

/* Appends a record and its texts to the file. */
extern void gpt_spool_write(GptSpool *spool, const GptSpoolRecord *record, const GptSourceRow *row);

/*
 * Reads the next record that is not dropped into spool->record, its text into spool->text, and its
 * place; false at the end of the file.
 */
extern bool gpt_spool_read_record(GptSpool *spool);

/* The same without the text. */
extern bool gpt_spool_read_header(GptSpool *spool);

/*
 * Holds the file in memory, if it has at most that many bytes, until it is released. Places that
 * were read before are not valid after either.
 */
extern void gpt_spool_hold(GptSpool *spool, int64 limit);
extern void gpt_spool_release(GptSpool *spool);

/* Reads the record and the text at a place. After that the file must be rewound. */
extern void gpt_spool_read_at(GptSpool *spool, uint64 place);

/* Counts a record as a document. */
extern void gpt_spool_count(GptSpool *spool, const GptSpoolRecord *record);

/* The number of the record's label among the sorted ones; 0 without labels. */
extern uint32 gpt_spool_label(const GptSpool *spool, const GptSpoolRecord *record);

#endif /* GPT_SPOOL_PRIVATE_H */
