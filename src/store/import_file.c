/*
 * src/store/import_file.c
 *
 * A large object as a file of the engine, and the list of an import's tensors by name.
 */
#include "postgres.h"

#include "libpq/be-fsstubs.h"
#include "miscadmin.h"
#include "storage/large_object.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/words.h"
#include "store/import.h"
#include "store/import_parts.h"

static bool read_bytes(void *context, uint64_t offset, void *buffer, size_t size);
static bool copy_bytes(const GptImportFile *file, uint64 offset, void *buffer, size_t size);
static int compare_names(const void *a, const void *b);

GPT_WORDS(gpt_import_format_name, [GPT_IMPORT_SAFETENSORS] = "safetensors",
		  [GPT_IMPORT_GGUF] = "gguf", [GPT_IMPORT_LLAMA2C] = "llama2.c");
GPT_WORDS(gpt_import_type_name, [GPT_IMPORT_KEEP] = "keep", [GPT_IMPORT_FLOAT32] = "float32",
		  [GPT_IMPORT_BFLOAT16] = "bfloat16");

/* The privilege of lo_get: SELECT, unless lo_compat_privileges is on. */
void
gpt_import_open_file(GptImportFile *file, Oid object)
{
	if (OidIsValid(gpt_blob_owner(object)) && !lo_compat_privileges && !gpt_blob_can_use(object))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for large object %u", object)));
	file->object = object;
	file->blob = gpt_blob_open(object, false);
	if (file->blob == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("large object %u does not exist", object)));
	file->file.read = read_bytes;
	file->file.context = file;
	file->file.size = gpt_blob_size(object);
}

void
gpt_import_open_memory(GptImportFile *file, const char *data, size_t size)
{
	file->object = InvalidOid;
	file->data = data;
	file->file.read = read_bytes;
	file->file.context = file;
	file->file.size = size;
}

void
gpt_import_close_file(GptImportFile *file)
{
	if (file->blob != NULL)
		gpt_blob_close(file->blob, NULL);
}

/*
 * For the engine: an error of the server must not jump through it, and is kept until
 * gpt_import_raise.
 */
static bool
read_bytes(void *context, uint64_t offset, void *buffer, size_t size)
{
	GptImportFile *file = context;
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	if (file->data != NULL)
		return copy_bytes(file, offset, buffer, size);
	PG_TRY();
	{
		gpt_blob_seek(file->blob, (int64) offset);
		done = gpt_blob_read(file->blob, buffer, size) == size;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		file->failure = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return done;
}

static bool
copy_bytes(const GptImportFile *file, uint64 offset, void *buffer, size_t size)
{
	if (offset > file->file.size || size > file->file.size - offset)
		return false;
	memcpy(buffer, file->data + offset, size);
	return true;
}

void
gpt_import_read(GptImportFile *file, uint64 offset, void *buffer, size_t size)
{
	if (file->data != NULL && copy_bytes(file, offset, buffer, size))
		return;
	gpt_blob_seek(file->blob, (int64) offset);
	if (gpt_blob_read(file->blob, buffer, size) != size)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("large object %u is shorter than it was", file->object)));
}

void
gpt_import_raise(GptImport *import, const LmError *error)
{
	for (int i = 0; i < import->n_files; i++)
		if (import->files[i].failure != NULL)
			ReThrowError(import->files[i].failure);
	if (error->code != LM_ERR_FORMAT)
		gpt_bridge_raise(error);
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("%s file is not valid", gpt_import_format_name(import->format)),
					errdetail("%s.", error->message)));
}

GptImportTensor *
gpt_import_add(GptImport *import, int n)
{
	size_t total = (size_t) import->n_tensors + n;
	GptImportTensor *first;

	if (total > GPT_IMPORT_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model has %zu tensors, the limit is %d", total, GPT_IMPORT_MAX_TENSORS)));
	import->tensors = import->tensors == NULL
						  ? palloc0(Max(total, 1) * sizeof(GptImportTensor))
						  : repalloc(import->tensors, Max(total, 1) * sizeof(GptImportTensor));
	first = import->tensors + import->n_tensors;
	MemSet(first, 0, n * sizeof(GptImportTensor));
	import->n_tensors = (int) total;
	return first;
}

void
gpt_import_sort(GptImport *import)
{
	qsort(import->tensors, import->n_tensors, sizeof(GptImportTensor), compare_names);
	for (int i = 1; i < import->n_tensors; i++)
		if (compare_names(&import->tensors[i - 1], &import->tensors[i]) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
							errmsg("tensor \"%s\" occurs twice", import->tensors[i].tensor.name)));
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const GptImportTensor *) a)->tensor.name,
				  ((const GptImportTensor *) b)->tensor.name);
}

GptImportTensor *
gpt_import_find(const GptImport *import, const char *name)
{
	GptImportTensor wanted = {.tensor = {.name = name}};

	if (import->n_tensors == 0)
		return NULL;
	return bsearch(&wanted, import->tensors, import->n_tensors, sizeof(GptImportTensor),
				   compare_names);
}
