/*
 * src/train/checkpoint.c
 *
 * The state of a training goes to a file, and comes back from it. The form is drawn in
 * checkpoint.h.
 *
 * The file is written aside, synced and renamed, so there is always a complete one; each section
 * bears a CRC-32C, which catches every burst of up to 32 flipped bits. Writing goes on in pieces,
 * handed to the kernel as they come, so that the sync at the end is short; between pieces the job
 * can be stopped.
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "core/compat.h"
#include "core/version.h"
#include "engine/optimizer.h"
#include "store/run_files.h"
#include "train/checkpoint.h"

#define MAGIC "gpt ckp1"
#define PIECE_SIZE (1024 * 1024)
#define LARGEST_TOKENIZER ((uint64) 256 * 1024 * 1024)

typedef enum Kind
{
	KIND_CORPUS = 1,
	KIND_PLAN,
	KIND_TOKENIZER,
	KIND_STATE,
	KIND_PARAMETERS,
	KIND_MOMENTS1,
	KIND_MOMENTS2,
	KIND_BEST,
	KIND_REFERENCE,
	KIND_END,
	KIND_OUTER,
} Kind;

static const Kind moment_kinds[] = {KIND_MOMENTS1, KIND_MOMENTS2};

StaticAssertDecl(lengthof(moment_kinds) == LM_MAX_MOMENTS, "each block of moments has a kind");

/*
 * The beginning has the same form in all builds, so that the file shows whose it is; a file of
 * another build is not read further.
 */
typedef struct Beginning
{
	char magic[8];
	char version[16]; /* of the library */
	pg_uuid_t run_id;
	Oid database;
	uint32 sizes[3]; /* of the structs below, as this build lays them out */
	char machine[256];
	pg_crc32c crc; /* of the above */
} Beginning;

typedef struct SectionHeader
{
	uint32 kind;
	pg_crc32c crc;
	uint64 size;
} SectionHeader;

typedef struct Writer
{
	MemoryContext context; /* its own; the file is closed when this is reset */
	MemoryContextCallback callback;
	const GptCheckpoint *checkpoint;
	const char *extension;
	GptProgress *progress;
	int level; /* of the message that the file cannot be written */
	File file; /* -1: it is closed, or could not be written */
	off_t offset;
} Writer;

static bool write_file(const GptCheckpoint *checkpoint, LmTrainer *trainer, const float *best,
					   const GptReference *reference, GptProgress *progress, int level);
static Writer *create_writer(const GptCheckpoint *checkpoint, GptProgress *progress, int level);
static void close_file(void *writer);
static bool complete(Writer *writer);
static void fill_beginning(Beginning *beginning, const GptCheckpoint *checkpoint);
static pg_crc32c crc_of_beginning(const Beginning *beginning);
static void write_section(Writer *writer, Kind kind, const void *data, uint64 size);
static void write_bytes(Writer *writer, const void *data, size_t size);
static void read_section(GptCheckpoint *checkpoint, Kind kind, void *data, uint64 size,
						 GptProgress *progress);
static void read_outer(GptCheckpoint *checkpoint, GptProgress *progress);
static void pass_section(GptCheckpoint *checkpoint, Kind kind);
static SectionHeader read_header(GptCheckpoint *checkpoint, Kind kind);
static void read_data(GptCheckpoint *checkpoint, const SectionHeader *header, void *data,
					  GptProgress *progress);
static void read_sections(GptCheckpoint *checkpoint);
static size_t read_bytes(const GptCheckpoint *checkpoint, void *data, size_t size, off_t offset);
pg_noreturn static void raise_corrupted(const GptCheckpoint *checkpoint, const char *detail);

/* ---- Writing ------------------------------------------------------------ */

void
gpt_checkpoint_write(const GptCheckpoint *checkpoint, LmTrainer *trainer, const float *best,
					 const GptReference *reference, GptProgress *progress)
{
	(void) write_file(checkpoint, trainer, best, reference, progress, ERROR);
}

bool
gpt_checkpoint_try_write(const GptCheckpoint *checkpoint, LmTrainer *trainer, const float *best,
						 const GptReference *reference, GptProgress *progress)
{
	return write_file(checkpoint, trainer, best, reference, progress, WARNING);
}

static bool
write_file(const GptCheckpoint *checkpoint, LmTrainer *trainer, const float *best,
		   const GptReference *reference, GptProgress *progress, int level)
{
	Writer *writer = create_writer(checkpoint, progress, level);
	GptTrainPlan plan = checkpoint->plan;
	Beginning beginning;

	plan.preset = NULL;
	fill_beginning(&beginning, checkpoint);
	write_bytes(writer, &beginning, sizeof(beginning));
	write_section(writer, KIND_CORPUS, &checkpoint->corpus, sizeof(checkpoint->corpus));
	write_section(writer, KIND_PLAN, &plan, sizeof(plan));
	write_section(writer, KIND_PLAN, checkpoint->preset, sizeof(checkpoint->preset));
	write_section(writer, KIND_TOKENIZER, checkpoint->tokenizer, checkpoint->tokenizer_size);
	if (trainer != NULL)
	{
		uint64 size = lm_trainer_table(trainer)->total * sizeof(float);

		write_section(writer, KIND_STATE, &checkpoint->state, sizeof(checkpoint->state));
		write_section(writer, KIND_PARAMETERS, lm_trainer_params(trainer), size);
		for (int i = 0; i < lm_trainer_n_moments(trainer); i++)
			write_section(writer, moment_kinds[i], lm_trainer_moments(trainer, i), size);
		if (best != NULL)
			write_section(writer, KIND_BEST, best, size);
		if (reference->count > 0)
			write_section(writer, KIND_REFERENCE, reference->values,
						  reference->count * sizeof(float));
		if (checkpoint->outer_count > 0)
			write_section(writer, KIND_OUTER, checkpoint->outer,
						  checkpoint->outer_count * sizeof(float));
	}
	write_section(writer, KIND_END, NULL, 0);
	return complete(writer);
}

/* Opens the unfinished file. */
static Writer *
create_writer(const GptCheckpoint *checkpoint, GptProgress *progress, int level)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt checkpoint", ALLOCSET_SMALL_SIZES);
	Writer *writer = MemoryContextAllocZero(context, sizeof(Writer));

	writer->context = context;
	writer->callback = (MemoryContextCallback){.func = close_file, .arg = writer};
	writer->checkpoint = checkpoint;
	writer->extension = checkpoint->extension != NULL ? checkpoint->extension : GPT_CHECKPOINT;
	writer->progress = progress;
	writer->level = level;
	writer->file = gpt_run_file_create(&checkpoint->run_id, writer->extension, level);
	MemoryContextRegisterResetCallback(context, &writer->callback);
	return writer;
}

/* Also after an error. */
static void
close_file(void *argument)
{
	Writer *writer = argument;

	if (writer->file >= 0)
		FileClose(writer->file);
	writer->file = -1;
}

static bool
complete(Writer *writer)
{
	const pg_uuid_t *run_id = &writer->checkpoint->run_id;
	bool written = writer->file >= 0;

	close_file(writer);
	if (written && writer->level < ERROR)
		written = gpt_run_file_try_complete(run_id, writer->extension);
	else if (written)
		gpt_run_file_complete(run_id, writer->extension);
	MemoryContextDelete(writer->context);
	return written;
}

static void
fill_beginning(Beginning *beginning, const GptCheckpoint *checkpoint)
{
	MemSet(beginning, 0, sizeof(Beginning));
	memcpy(beginning->magic, MAGIC, sizeof(beginning->magic));
	strlcpy(beginning->version, GPT_VERSION, sizeof(beginning->version));
	beginning->run_id = checkpoint->run_id;
	beginning->database = MyDatabaseId;
	beginning->sizes[0] = sizeof(GptCorpusRecord);
	beginning->sizes[1] = sizeof(GptTrainPlan);
	beginning->sizes[2] = sizeof(GptTrainState);
	strlcpy(beginning->machine, checkpoint->machine, sizeof(beginning->machine));
	beginning->crc = crc_of_beginning(beginning);
}

static pg_crc32c
crc_of_beginning(const Beginning *beginning)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, beginning, offsetof(Beginning, crc));
	FIN_CRC32C(crc);
	return crc;
}

/* The header is written once the sum is known. */
static void
write_section(Writer *writer, Kind kind, const void *data, uint64 size)
{
	SectionHeader header = {.kind = kind, .size = size};
	off_t start = writer->offset;
	off_t end;

	if (writer->file < 0)
		return;
	INIT_CRC32C(header.crc);
	COMP_CRC32C(header.crc, &header.kind, sizeof(header.kind));
	COMP_CRC32C(header.crc, &header.size, sizeof(header.size));
	writer->offset += sizeof(header);
	for (uint64 done = 0; done < size; done += PIECE_SIZE)
	{
		size_t n = Min(size - done, PIECE_SIZE);

		COMP_CRC32C(header.crc, (const char *) data + done, n);
		write_bytes(writer, (const char *) data + done, n);
		gpt_progress_tick(writer->progress);
	}
	FIN_CRC32C(header.crc);
	end = writer->offset;
	writer->offset = start;
	write_bytes(writer, &header, sizeof(header));
	writer->offset = end;
}

/*
 * Appends at the writer's offset; an error removes the unfinished file and keeps the last
 * checkpoint.
 */
static void
write_bytes(Writer *writer, const void *data, size_t size)
{
	const pg_uuid_t *run_id = &writer->checkpoint->run_id;
	int written;

	if (writer->file < 0)
		return;
	errno = 0;
	written = FileWrite(writer->file, unconstify(char *, (const char *) data), (int) size,
						writer->offset, gpt_wait_event("GptCheckpointWrite"));
	if (written != (int) size)
	{
		int save_errno = errno != 0 ? errno : ENOSPC;

		close_file(writer);
		gpt_run_file_remove_aside(run_id, writer->extension);
		errno = save_errno;
		ereport(writer->level,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m",
						gpt_run_file_path(run_id, writer->extension, GPT_ASIDE)),
				 writer->level < ERROR
					 ? 0
					 : errhint("The job continues from its last checkpoint with gpt_resume, when "
							   "the cause is removed.")));
		return;
	}
	if (writer->level >= ERROR)
		FileWriteback(writer->file, writer->offset, (off_t) size,
					  gpt_wait_event("GptCheckpointFlush"));
	writer->offset += (off_t) size;
}

/* ---- Reading ------------------------------------------------------------ */

/* Whether this build lays out the structs of the file as the one that wrote it. */
static bool
is_of_this_build(const Beginning *beginning)
{
	return strcmp(beginning->version, GPT_VERSION) == 0 &&
		   beginning->sizes[0] == sizeof(GptCorpusRecord) &&
		   beginning->sizes[1] == sizeof(GptTrainPlan) &&
		   beginning->sizes[2] == sizeof(GptTrainState);
}

/* Reads the beginning, which is checked but for its version. */
static void
read_beginning(Beginning *beginning, GptCheckpoint *checkpoint)
{
	size_t n = read_bytes(checkpoint, beginning, sizeof(Beginning), 0);

	if (n != sizeof(Beginning) || memcmp(beginning->magic, MAGIC, sizeof(beginning->magic)) != 0)
		raise_corrupted(checkpoint, "Its beginning is damaged.");
	if (beginning->sizes[0] == pg_bswap32(sizeof(GptCorpusRecord)))
		raise_corrupted(checkpoint, "It is of a machine with another order of bytes.");
	if (beginning->crc != crc_of_beginning(beginning) ||
		memchr(beginning->version, '\0', sizeof(beginning->version)) == NULL)
		raise_corrupted(checkpoint, "Its beginning is damaged.");
	if (memcmp(&beginning->run_id, &checkpoint->run_id, sizeof(pg_uuid_t)) != 0)
		raise_corrupted(checkpoint, "It is of another run.");
	checkpoint->offset = sizeof(Beginning);
	memcpy(checkpoint->machine, beginning->machine, sizeof(checkpoint->machine));
	checkpoint->machine[sizeof(checkpoint->machine) - 1] = '\0';
}

GptCheckpoint *
gpt_checkpoint_open(const pg_uuid_t *run_id)
{
	char *path = gpt_run_file_path(run_id, GPT_CHECKPOINT, "");
	GptCheckpoint *checkpoint = palloc0(sizeof(GptCheckpoint));
	Beginning beginning;

	checkpoint->run_id = *run_id;
	checkpoint->path = path;
	checkpoint->file = PathNameOpenFile(path, O_RDONLY | PG_BINARY);
	if (checkpoint->file < 0)
	{
		if (errno == ENOENT)
			return NULL;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	}
	read_beginning(&beginning, checkpoint);
	if (!is_of_this_build(&beginning))
	{
		ereport(LOG,
				(errmsg("file \"%s\" was written by version %s of gpt: the job starts from the "
						"beginning",
						path, beginning.version)));
		FileClose(checkpoint->file);
		return NULL;
	}
	read_sections(checkpoint);
	return checkpoint;
}

GptCheckpoint *
gpt_checkpoint_receive(File file, const char *path, const pg_uuid_t *run_id)
{
	GptCheckpoint *checkpoint = palloc0(sizeof(GptCheckpoint));
	Beginning beginning;

	checkpoint->run_id = *run_id;
	checkpoint->path = path;
	checkpoint->file = file;
	read_beginning(&beginning, checkpoint);
	if (!is_of_this_build(&beginning))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the checkpoint was written by version %s of gpt, this server has %s",
						beginning.version, GPT_VERSION),
				 strcmp(beginning.version, GPT_VERSION) == 0
					 ? errdetail("The builds differ in the sizes of their structs.")
					 : 0,
				 errhint("All servers of a training need the same version of gpt.")));
	read_sections(checkpoint);
	return checkpoint;
}

/* Those before the weights. */
static void
read_sections(GptCheckpoint *checkpoint)
{
	SectionHeader header;

	read_section(checkpoint, KIND_CORPUS, &checkpoint->corpus, sizeof(checkpoint->corpus), NULL);
	read_section(checkpoint, KIND_PLAN, &checkpoint->plan, sizeof(checkpoint->plan), NULL);
	read_section(checkpoint, KIND_PLAN, checkpoint->preset, sizeof(checkpoint->preset), NULL);
	checkpoint->preset[sizeof(checkpoint->preset) - 1] = '\0';
	checkpoint->plan.preset = checkpoint->preset;

	header = read_header(checkpoint, KIND_TOKENIZER);
	if (header.size > LARGEST_TOKENIZER)
		raise_corrupted(checkpoint, "The size of its tokenizer is damaged.");
	checkpoint->tokenizer_size = header.size;
	checkpoint->tokenizer = MemoryContextAllocHuge(CurrentMemoryContext, header.size + 1);
	read_data(checkpoint, &header, checkpoint->tokenizer, NULL);
	checkpoint->tokenizer[header.size] = '\0';

	header = read_header(checkpoint, 0);
	checkpoint->has_weights = header.kind == KIND_STATE;
	if (checkpoint->has_weights)
		read_section(checkpoint, KIND_STATE, &checkpoint->state, sizeof(checkpoint->state), NULL);
	else
		read_section(checkpoint, KIND_END, NULL, 0, NULL);
}

void
gpt_checkpoint_read_weights(GptCheckpoint *checkpoint, LmTrainer *trainer, float *best,
							const GptReference *reference, GptProgress *progress)
{
	uint64 size = lm_trainer_table(trainer)->total * sizeof(float);

	read_section(checkpoint, KIND_PARAMETERS, lm_trainer_params(trainer), size, progress);
	for (int i = 0; i < lm_trainer_n_moments(trainer); i++)
		read_section(checkpoint, moment_kinds[i], lm_trainer_moments(trainer, i), size, progress);
	if (checkpoint->state.has_best)
		read_section(checkpoint, KIND_BEST, best, size, progress);
	if (reference == NULL)
		pass_section(checkpoint, KIND_REFERENCE);
	else if (reference->count > 0)
		read_section(checkpoint, KIND_REFERENCE, reference->values,
					 reference->count * sizeof(float), progress);
	read_outer(checkpoint, progress);
	read_section(checkpoint, KIND_END, NULL, 0, progress);
}

/* The state of outer steps is read where it is wanted, else passed. */
static void
read_outer(GptCheckpoint *checkpoint, GptProgress *progress)
{
	if (checkpoint->outer_count > 0)
		read_section(checkpoint, KIND_OUTER, checkpoint->outer,
					 checkpoint->outer_count * sizeof(float), progress);
	else
		pass_section(checkpoint, KIND_OUTER);
}

/* Nothing where it is not there. */
static void
pass_section(GptCheckpoint *checkpoint, Kind kind)
{
	SectionHeader header = read_header(checkpoint, 0);

	if (header.kind == kind)
		checkpoint->offset += (off_t) (sizeof(header) + header.size);
}

void
gpt_checkpoint_close(GptCheckpoint *checkpoint)
{
	FileClose(checkpoint->file);
	pfree(checkpoint->tokenizer);
	pfree(checkpoint);
}

Oid
gpt_checkpoint_database(const pg_uuid_t *run_id)
{
	File file =
		PathNameOpenFile(gpt_run_file_path(run_id, GPT_CHECKPOINT, ""), O_RDONLY | PG_BINARY);
	Beginning beginning;
	bool good;

	if (file < 0)
		return InvalidOid;
	good = FileRead(file, (char *) &beginning, sizeof(beginning), 0,
					gpt_wait_event("GptCheckpointRead")) == sizeof(beginning) &&
		   memcmp(beginning.magic, MAGIC, sizeof(beginning.magic)) == 0 &&
		   beginning.crc == crc_of_beginning(&beginning);
	FileClose(file);
	return good ? beginning.database : InvalidOid;
}

static void
read_section(GptCheckpoint *checkpoint, Kind kind, void *data, uint64 size, GptProgress *progress)
{
	SectionHeader header = read_header(checkpoint, kind);

	if (header.size != size)
		raise_corrupted(checkpoint, psprintf("Section %d has " UINT64_FORMAT
											 " bytes, expected are " UINT64_FORMAT ".",
											 kind, header.size, size));
	read_data(checkpoint, &header, data, progress);
}

/* Its place is not passed. Kind 0 stands for any; the sum is not checked yet. */
static SectionHeader
read_header(GptCheckpoint *checkpoint, Kind kind)
{
	SectionHeader header;

	if (read_bytes(checkpoint, &header, sizeof(header), checkpoint->offset) != sizeof(header))
		raise_corrupted(checkpoint, "It is too short.");
	if (kind != 0 && header.kind != kind)
		raise_corrupted(checkpoint, psprintf("Section %d is missing.", kind));
	return header;
}

/* Reads the data of a section and checks its CRC, which covers kind, size and data. */
static void
read_data(GptCheckpoint *checkpoint, const SectionHeader *header, void *data, GptProgress *progress)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &header->kind, sizeof(header->kind));
	COMP_CRC32C(crc, &header->size, sizeof(header->size));
	checkpoint->offset += sizeof(SectionHeader);
	for (uint64 done = 0; done < header->size; done += PIECE_SIZE)
	{
		size_t n = Min(header->size - done, PIECE_SIZE);

		if (read_bytes(checkpoint, (char *) data + done, n, checkpoint->offset) != n)
			raise_corrupted(checkpoint, "It is too short.");
		COMP_CRC32C(crc, (const char *) data + done, n);
		checkpoint->offset += (off_t) n;
		if (progress != NULL)
			gpt_progress_tick(progress);
	}
	FIN_CRC32C(crc);
	if (crc != header->crc)
		raise_corrupted(checkpoint,
						psprintf("The checksum of section %u does not match.", header->kind));
}

/* Fewer at the end of the file. */
static size_t
read_bytes(const GptCheckpoint *checkpoint, void *data, size_t size, off_t offset)
{
	int n =
		FileRead(checkpoint->file, data, (int) size, offset, gpt_wait_event("GptCheckpointRead"));

	if (n < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", FilePathName(checkpoint->file))));
	return (size_t) n;
}

static void
raise_corrupted(const GptCheckpoint *checkpoint, const char *detail)
{
	if (checkpoint->path == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the received checkpoint is corrupted"), errdetail("%s", detail)));
	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_CORRUPTED),
		 errmsg("checkpoint \"%s\" is corrupted", checkpoint->path), errdetail("%s", detail),
		 strcmp(checkpoint->path, gpt_run_file_path(&checkpoint->run_id, GPT_CHECKPOINT, "")) == 0
			 ? errhint("Without this file, gpt_resume starts the job from the beginning.")
			 : 0));
}
