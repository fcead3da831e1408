/*
 * src/store/import_open.c
 *
 * Large objects in, the tensors of the model files in them out. The first bytes tell the format:
 * "GGUF"; the size of a header, and "{"; or the header of llama2.c.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "store/import.h"
#include "store/import_parts.h"

#define SNIFFED 16 /* bytes */

static GptImportFormat sniff(GptImportFile *file);
static void list_tensors(GptImport *import, GptImportFile *file);
static void list_gguf(GptImport *import, GptImportFile *file);

GptImport *
gpt_import_open(const Oid *objects, int n)
{
	GptImport *import = palloc0(sizeof(GptImport));

	import->n_files = n;
	import->files = palloc0(n * sizeof(GptImportFile));
	for (int i = 0; i < n; i++)
		gpt_import_open_file(&import->files[i], objects[i]);
	import->format = sniff(&import->files[0]);
	for (int i = 1; i < n; i++)
		if (import->format != GPT_IMPORT_SAFETENSORS ||
			sniff(&import->files[i]) != GPT_IMPORT_SAFETENSORS)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("several files of one model must all be safetensors")));
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		list_tensors(import, &import->files[i]);
	}
	gpt_import_sort(import);
	return import;
}

GptImport *
gpt_import_open_bytes(const char *data, size_t size)
{
	GptImport *import = palloc0(sizeof(GptImport));

	import->n_files = 1;
	import->files = palloc0(sizeof(GptImportFile));
	gpt_import_open_memory(&import->files[0], data, size);
	import->format = sniff(&import->files[0]);
	list_tensors(import, &import->files[0]);
	gpt_import_sort(import);
	return import;
}

/* Appends the tensors of a file of the import's format. */
static void
list_tensors(GptImport *import, GptImportFile *file)
{
	if (import->format == GPT_IMPORT_GGUF)
		list_gguf(import, file);
	else if (import->format == GPT_IMPORT_LLAMA2C)
		gpt_import_list_llama2c(import, file);
	else
		gpt_import_list_safetensors(import, file);
}

void
gpt_import_close(GptImport *import)
{
	lm_gguf_close(import->gguf);
	for (int i = 0; i < import->n_files; i++)
	{
		lm_safetensors_close(import->files[i].safetensors);
		gpt_import_close_file(&import->files[i]);
	}
}

/* The format of a file; an error if it is none of the known ones. */
static GptImportFormat
sniff(GptImportFile *file)
{
	unsigned char bytes[SNIFFED] = {0};
	size_t size = Min(file->file.size, SNIFFED);
	uint64 header;
	bool is_pointer;

	gpt_import_read(file, 0, bytes, size);
	is_pointer = memcmp(bytes, "version ", 8) == 0;
	memcpy(&header, bytes, sizeof(header));
	if (memcmp(bytes, "GGUF", 4) == 0)
		return GPT_IMPORT_GGUF;
	if (size > sizeof(header) && bytes[8] == '{' && header <= file->file.size - sizeof(header))
		return GPT_IMPORT_SAFETENSORS;
	if (lm_llama2c_looks(&file->file))
		return GPT_IMPORT_LLAMA2C;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		 errmsg("large object %u has no model file of a known format", file->object),
		 errdetail("Its size is " UINT64_FORMAT " bytes. Known are safetensors, GGUF and the .bin "
				   "files of llama2.c.",
				   (uint64) file->file.size),
		 is_pointer ? errhint("It is a pointer of Git LFS: fetch the file itself with \"git lfs "
							  "pull\".")
					: errhint("The file may be cut off. A file of PyTorch (pytorch_model.bin, .pt, "
							  ".pth) can be saved as safetensors with Transformers.")));
}

static void
list_gguf(GptImport *import, GptImportFile *file)
{
	GptImportTensor *tensors;
	LmError error;
	int n;

	import->gguf = lm_gguf_open(&file->file, gpt_bridge_host(CurrentMemoryContext), &error);
	if (import->gguf == NULL)
		gpt_import_raise(import, &error);
	n = (int) lm_gguf_n_tensors(import->gguf);
	tensors = gpt_import_add(import, n);
	for (int i = 0; i < n; i++)
	{
		tensors[i].tensor = *lm_gguf_tensor(import->gguf, i);
		tensors[i].file = file;
	}
}
