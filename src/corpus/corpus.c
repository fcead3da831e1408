/*
 * src/corpus/corpus.c
 *
 * A job's query goes in, a corpus comes out:
 *
 *   1. rows -> spool, in one read-only transaction, whose snapshot ends with it;
 *   2. a tokenizer: a named one, bytes, characters, or one trained on the training side of the
 *      spool;
 *   3. spool and tokenizer -> token file, mapped.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "core/lock.h"
#include "core/settings.h"
#include "core/stop.h"
#include "corpus/agreement.h"
#include "corpus/corpus.h"
#include "corpus/facts.h"
#include "corpus/spool.h"
#include "corpus/token_file.h"
#include "store/model_extras.h"
#include "store/run_files.h"
#include "train/train_plan.h"

/* of the token file, between two looks at interrupts */
#define PIECE_SIZE (4 * 1024 * 1024)

static GptSpool *read_rows(const GptJob *job, const GptTrainOptions *options,
						   const GptGivenTokenizer *given, bool normalize_nfc, const char *since,
						   bool is_part);
static void check_still_ours(const GptJob *job);
static void open_file(GptCorpus *corpus, const GptJob *job, GptProgress *progress);

static void
take_tokenizer(GptCorpus *corpus, const GptGivenTokenizer *given)
{
	corpus->tokenizer = gpt_corpus_tokenizer_create(given->spec);
	corpus->tokenizer_is_stored = given->stored;
	corpus->extras = given->extras;
	corpus->search = given->search;
	corpus->search_size = given->search_size;
	memcpy(corpus->tokenizer_hash, given->sha256, GPT_SHA256_SIZE);
}

bool
gpt_corpus_normalizes(const GptCorpus *corpus, const GptTrainOptions *options)
{
	if (corpus->tokenizer != NULL)
		return lm_tokenizer_spec(corpus->tokenizer)->normalize_nfc;
	return options->normalize == GPT_NORMALIZE_NFC;
}

static char *
note_of_held_out(const GptCorpus *corpus, const GptSpool *spool)
{
	const LmDatasetHeader *header = corpus->dataset.header;
	const GptHeldOut *held = gpt_spool_held_out(spool);

	if (gpt_spool_holds_out(spool) && !corpus->has_validation)
		return pstrdup(
			"no held-out row has a token to predict, so the job measures no validation loss");
	return held != NULL ? gpt_held_out_note(held, header->validation_tokens, header->train_tokens)
						: NULL;
}

static char *
note_of_replay(const GptSpool *spool)
{
	int64 wanted;
	int64 replayed = gpt_spool_replayed(spool, &wanted);

	if (replayed == wanted)
		return NULL;
	return psprintf("there are only " INT64_FORMAT
					" rows up to the watermark to replay, not " INT64_FORMAT,
					replayed, wanted);
}

/* A remark, after others if there are any. */
static char *
add_remark(char *note, char *remark)
{
	if (note == NULL || remark == NULL)
		return note != NULL ? note : remark;
	return psprintf("%s; %s", note, remark);
}

/* Remarks on the rows for the user; NULL: none. */
static char *
note_of(const GptCorpus *corpus, const GptSpool *spool)
{
	char *note = add_remark(note_of_replay(spool), gpt_duplicates_note(spool));

	return add_remark(note, note_of_held_out(corpus, spool));
}

GptCorpus *
gpt_corpus_create(const GptJob *job, const GptTrainOptions *options, const GptGivenTokenizer *given,
				  const char *since, GptProgress *progress)
{
	return gpt_corpus_create_together(job, options, given, since, NULL, progress);
}

/* The tokenizer of this server's rows alone. */
static void
train_tokenizer(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *spool,
				GptProgress *progress)
{
	GptTokenizerChoice choice;

	gpt_spool_read_contents(spool, true);
	choice = gpt_choose_tokenizer(options, spool, progress);
	gpt_corpus_special(&choice, options, corpus);
	corpus->tokenizer = gpt_corpus_tokenizer(options, &choice, spool, NULL, progress);
	gpt_spool_read_contents(spool, false);
	corpus->why_tokenizer = choice.why;
}

/* What all servers do alike, and the tokenizer of the rows of all. */
static const GptAgreement *
agree(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *spool,
	  const GptTogether *together, GptProgress *progress)
{
	bytea *survey =
		gpt_survey_write(options, spool, together->word_floor, corpus->tokenizer, progress);
	const GptAgreement *agreement = together->agree(together->context, survey, corpus->tokenizer);

	pfree(survey);
	if (corpus->tokenizer == NULL)
	{
		corpus->tokenizer = agreement->tokenizer;
		corpus->why_tokenizer = agreement->why_tokenizer;
	}
	corpus->prompt = agreement->prompt;
	gpt_spool_agree(spool, agreement->labels, agreement->n_labels, agreement->numbers);
	return agreement;
}

GptCorpus *
gpt_corpus_create_together(const GptJob *job, const GptTrainOptions *options,
						   const GptGivenTokenizer *given, const char *since,
						   const GptTogether *together, GptProgress *progress)
{
	const GptAgreement *agreement = NULL;
	GptCorpus *corpus = palloc0(sizeof(GptCorpus));
	GptTokenFileOptions file;
	GptSpool *spool;
	int64 unpredicted;

	/* One that exists says how labels are normalised. */
	if (given != NULL)
		take_tokenizer(corpus, given);
	else
		corpus->tokenizer = gpt_corpus_tokenizer_stored(options, corpus->tokenizer_hash,
														&corpus->tokenizer_is_stored);

	gpt_progress_phase(progress, "reading");
	spool = read_rows(job, options, given, gpt_corpus_normalizes(corpus, options), since,
					  together != NULL);
	if (spool == NULL)
	{
		lm_tokenizer_free(corpus->tokenizer);
		pfree(corpus);
		return NULL;
	}
	if (options->watermark != NULL)
		strlcpy(corpus->watermark_column, options->watermark, sizeof(corpus->watermark_column));
	if (gpt_spool_watermark(spool) != NULL)
		strlcpy(corpus->watermark, gpt_spool_watermark(spool), sizeof(corpus->watermark));
	corpus->counts.documents = gpt_spool_documents(spool);
	corpus->counts.skipped = gpt_spool_skipped(spool);
	corpus->counts.bytes =
		gpt_spool_bytes(spool, GPT_SIDE_TRAIN) + gpt_spool_bytes(spool, GPT_SIDE_VALIDATION);

	corpus->prompted = gpt_spool_prompted(spool);
	corpus->task = gpt_spool_task(spool);
	corpus->prompt = gpt_prompt_form_choose(options, given, spool);

	corpus->facts = gpt_facts_collect(spool, progress);

	gpt_progress_phase(progress, "training the tokenizer");
	if (together != NULL)
		agreement = agree(corpus, options, spool, together, progress);
	else if (corpus->tokenizer == NULL)
		train_tokenizer(corpus, options, spool, progress);

	gpt_prompt_form_fit(&corpus->prompt, corpus->tokenizer);
	corpus->extras = gpt_prompt_form_extras(&corpus->prompt, corpus->extras);

	gpt_progress_phase(progress, "tokenizing");
	file = gpt_token_file_options(options);
	file.prompt = gpt_prompt_form_template(&corpus->prompt);
	if (agreement != NULL && agreement->context > 0)
		file.context = agreement->context;
	file.run_id = &job->run_id;
	file.n_threads = gpt_settings_train_threads(options->threads);
	file.sizes = &corpus->facts->tokens;
	corpus->facts->token_bytes = corpus->counts.bytes;
	corpus->dataset.context =
		gpt_token_file_write(&unpredicted, &file, spool, corpus->tokenizer, progress);
	corpus->counts.documents -= unpredicted;
	corpus->counts.skipped += unpredicted;
	corpus->facts->documents -= unpredicted;
	corpus->facts->skipped.n[GPT_SKIP_TOKENS] = unpredicted;
	corpus->dataset.documents = file.documents;
	corpus->dataset.shuffle = options->shuffle;
	corpus->dataset.seed = options->seed;
	open_file(corpus, job, progress);
	corpus->counts.tokens = corpus->dataset.header->n_tokens;
	corpus->counts.held_out = gpt_spool_side_documents(spool, GPT_SIDE_VALIDATION);
	corpus->note = note_of(corpus, spool);
	if (file.n_cut > 0)
		corpus->note = add_remark(
			corpus->note,
			psprintf("the texts of " INT64_FORMAT
					 " rows are longer than the context of %d tokens: %s left out",
					 file.n_cut, corpus->dataset.context,
					 corpus->prompted ? "the beginning of the prompt and the end of the answer are"
									  : "their end is"));
	gpt_spool_free(spool);
	return corpus;
}

/* Maps the token file and sums it up; that also brings it into memory. */
static void
open_file(GptCorpus *corpus, const GptJob *job, GptProgress *progress)
{
	pg_crc32c crc;

	gpt_token_file_open(&corpus->dataset, &job->run_id);
	corpus->has_validation = corpus->dataset.header->n_validation_windows > 0;
	INIT_CRC32C(crc);
	for (size_t done = 0; done < corpus->dataset.size; done += PIECE_SIZE)
	{
		COMP_CRC32C(crc, (const char *) corpus->dataset.base + done,
					Min(corpus->dataset.size - done, PIECE_SIZE));
		gpt_progress_tick(progress);
	}
	FIN_CRC32C(crc);
	corpus->file_crc = crc;
}

GptCorpus *
gpt_corpus_open(const GptJob *job, const GptCorpusRecord *record, const GptGivenTokenizer *given,
				GptProgress *progress)
{
	GptCorpus *corpus;

	if (!gpt_token_file_exists(&job->run_id))
		return NULL;
	gpt_progress_phase(progress, "reading");
	corpus = palloc0(sizeof(GptCorpus));
	take_tokenizer(corpus, given);
	corpus->prompt = record->prompt;
	corpus->extras = gpt_prompt_form_extras(&corpus->prompt, corpus->extras);
	corpus->counts = record->counts;
	memcpy(corpus->watermark_column, record->watermark_column, sizeof(corpus->watermark_column));
	memcpy(corpus->watermark, record->watermark, sizeof(corpus->watermark));
	corpus->dataset.context = record->context;
	corpus->dataset.documents = (LmDocuments) record->documents;
	corpus->dataset.shuffle = record->shuffle;
	corpus->dataset.seed = record->seed;
	open_file(corpus, job, progress);
	if (corpus->dataset.size != record->file_size || corpus->file_crc != record->file_crc)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("file \"%s\" is corrupted",
							   gpt_run_file_path(&job->run_id, GPT_TOKENS, "")),
						errdetail("It is not the file that the job's checkpoint names."),
						errhint("Without this file, gpt_resume reads the rows again.")));
	return corpus;
}

void
gpt_corpus_record(GptCorpusRecord *record, const GptCorpus *corpus)
{
	MemSet(record, 0, sizeof(GptCorpusRecord));
	record->counts = corpus->counts;
	record->prompt = corpus->prompt;
	memcpy(record->watermark_column, corpus->watermark_column, sizeof(record->watermark_column));
	memcpy(record->watermark, corpus->watermark, sizeof(record->watermark));
	record->file_size = corpus->dataset.size;
	record->file_crc = corpus->file_crc;
	record->context = corpus->dataset.context;
	record->documents = (int32) corpus->dataset.documents;
	record->seed = corpus->dataset.seed;
	record->shuffle = corpus->dataset.shuffle;
	record->tokenizer_is_stored = corpus->tokenizer_is_stored;
	memcpy(record->tokenizer_hash, corpus->tokenizer_hash, GPT_SHA256_SIZE);
}

void
gpt_corpus_free(GptCorpus *corpus)
{
	gpt_token_file_close(&corpus->dataset);
	lm_tokenizer_free(corpus->tokenizer);
	pfree(corpus);
}

const GptChatTemplate *
gpt_corpus_chat_template(const GptTrainOptions *options, const GptGivenTokenizer *given)
{
	if (options->chat_template != NULL || !options->is_finetune)
		return gpt_chat_template_parse(gpt_corpus_chat(options));
	return given != NULL ? gpt_extras_chat(given->extras) : NULL;
}

const char *
gpt_corpus_chat(const GptTrainOptions *options)
{
	if (options->chat_template != NULL)
		return options->chat_template;
	return options->is_finetune ? NULL : "\"chatml\"";
}

void
gpt_corpus_special(GptTokenizerChoice *choice, const GptTrainOptions *options,
				   const GptCorpus *corpus)
{
	gpt_prompt_form_special(choice, &corpus->prompt);
	if (strcmp(corpus->task->name, GPT_TASK_CHAT) == 0)
		choice->n_special += gpt_chat_special(choice->special + choice->n_special,
											  GPT_MOST_SPECIAL - choice->n_special,
											  gpt_corpus_chat_template(options, NULL));
}

GptSpoolOptions
gpt_corpus_spool_options(const char *query, const GptTrainOptions *options)
{
	return (GptSpoolOptions){
		.query = query,
		.texts_only = options->makes_tokenizer,
		.validation_query = options->validation_query,
		/* Nothing is measured of a tokenizer. */
		.validation_fraction = options->makes_tokenizer ? 0 : options->validation_fraction,
		.joined = options->documents == LM_DOCUMENTS_JOINED,
		.watermark = options->watermark,
		.replay = options->replay,
		.seed = (uint64) options->seed,
		.cleaner = gpt_cleaner_create(options->clean),
		.dedup = options->dedup,
	};
}

void
gpt_corpus_spool_given(GptSpoolOptions *spool_options, const GptTrainOptions *options,
					   const GptGivenTokenizer *given)
{
	spool_options->chat = gpt_corpus_chat_template(options, given);
	if (given == NULL)
		return;
	if (options->clean == NULL)
		spool_options->cleaner = gpt_cleaner_create(gpt_extras_clean(given->extras));
	spool_options->labels = given->labels;
	spool_options->n_labels = given->n_labels;
	spool_options->multi_label = given->multi_label;
	spool_options->numbers = given->numbers;
	spool_options->pair = given->pair;
}

static GptSpool *
read_rows(const GptJob *job, const GptTrainOptions *options, const GptGivenTokenizer *given,
		  bool normalize_nfc, const char *since, bool is_part)
{
	GptSpoolOptions spool_options = gpt_corpus_spool_options(job->query, options);

	spool_options.since = since;
	spool_options.normalize_nfc = normalize_nfc;
	spool_options.is_part = is_part;
	gpt_corpus_spool_given(&spool_options, options, given);
	return gpt_corpus_read(job, &spool_options);
}

/*
 * The user's query runs here, and nowhere else. The transaction is read-only from its first
 * snapshot on, and both queries see the same rows. It is rolled back: objects that a function of
 * the query leaves, such as a large object or a cursor WITH HOLD, are neither kept nor run to their
 * end.
 */
/* Rows, and the options that say how to read them. */
typedef struct Reading
{
	const GptSpoolOptions *options;
	GptSpool *spool;
} Reading;

static void
read_spool(void *argument)
{
	Reading *reading = argument;

	reading->spool = gpt_spool_read(reading->options);
}

GptSpool *
gpt_corpus_read(const GptJob *job, const GptSpoolOptions *options)
{
	Reading reading = {options, NULL};

	gpt_corpus_query(job, read_spool, &reading);
	gpt_cleaner_free(options->cleaner);
	return reading.spool;
}

void
gpt_corpus_query(const GptJob *job, void (*work)(void *argument), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	int guc_level;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactReadOnly = true;
	XactIsoLevel = XACT_REPEATABLE_READ;
	PushActiveSnapshot(GetTransactionSnapshot());
	guc_level = NewGUCNestLevel();
	MemoryContextSwitchTo(context);

	gpt_locks_hand_over();
	gpt_stop_arm_timeout();
	work(argument);
	gpt_stop_check();
	gpt_locks_release_query();

	AtEOXact_GUC(false, guc_level);
	gpt_locks_take_back();
	AbortCurrentTransaction();
	gpt_stop_disarm_timeout();
	MemoryContextSwitchTo(context);
	check_still_ours(job);
}

/* A function in the query can, within limits, change the role. */
static void
check_still_ours(const GptJob *job)
{
	Oid user;
	int security_context;

	GetUserIdAndSecContext(&user, &security_context);
	if (user != job->owner || GetSessionUserId() != job->owner || security_context != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("query changed the role of the job's process")));
}
