/*
 * include/store/import.h
 *
 * Model files of other projects, in large objects of the user: opened, their tensors listed,
 * matched with the parameters of a configuration, and copied into a version's object.
 *
 * Files are safetensors (one, or several that are parts of one model), GGUF, and llama2.c's .bin.
 * Memory is that of the lists and of a few pieces; tensors pass through in pieces.
 */
#ifndef GPT_IMPORT_H
#define GPT_IMPORT_H

#include "core/compat.h"
#include "engine/file.h"
#include "engine/gguf.h"
#include "engine/llama2c.h"
#include "engine/params.h"
#include "engine/safetensors.h"
#include "store/blob.h"
#include "store/image_type.h"
#include "store/weights.h"

#define GPT_IMPORT_MAX_FILES 1000

/* The formats of files; gpt_import_format_name has their words. */
typedef enum GptImportFormat
{
	GPT_IMPORT_SAFETENSORS,
	GPT_IMPORT_GGUF,
	GPT_IMPORT_LLAMA2C,
} GptImportFormat;
extern const char *gpt_import_format_name(int number);

/* Values of option "type": the types in which the version keeps tensors. */
typedef enum GptImportType
{
	GPT_IMPORT_KEEP,
	GPT_IMPORT_FLOAT32,
	GPT_IMPORT_BFLOAT16,
} GptImportType;
extern const char *gpt_import_type_name(int number);

/* A large object that is read as a file. */
typedef struct GptImportFile
{
	Oid object; /* InvalidOid: the file lies in memory, as file.size bytes at data */
	GptBlob *blob;
	const char *data;
	LmFile file; /* the same for the engine; its context is this struct */
	struct ErrorData *failure; /* an error of reading, which the engine must not see */
	LmSafetensors *safetensors; /* the header; NULL in another format */
} GptImportFile;

/* A tensor of one of the files. */
typedef struct GptImportTensor
{
	LmFileTensor tensor;
	GptImportFile *file;
	bool used; /* it is a parameter, or known to be none */
} GptImportTensor;

/* The opened files of one model. */
typedef struct GptImport
{
	GptImportFormat format;
	int n_files;
	GptImportFile *files; /* [n_files] */
	int n_tensors;
	GptImportTensor *tensors; /* [n_tensors] by name */
	LmGguf *gguf; /* of a GGUF file, else NULL */
	LmLlama2c *llama2c; /* of a .bin file, else NULL */
	char *own_extras; /* the same: "gpt_extras"; NULL: it has none */
	char *own_config; /* of a file that this extension wrote: "gpt_config" of its metadata */
} GptImport;

/*
 * Opens the objects under the active snapshot and lists their tensors. Errors: an object does not
 * exist (ERRCODE_UNDEFINED_OBJECT) or the current role has no SELECT on it
 * (ERRCODE_INSUFFICIENT_PRIVILEGE), a file of no known format, or not a valid one, formats that
 * differ, a tensor that occurs twice (ERRCODE_INVALID_BINARY_REPRESENTATION).
 */
extern GptImport *gpt_import_open(const Oid *objects, int n);
extern void gpt_import_close(GptImport *import);

/* The same for one file in memory, which must stay until _close. */
extern GptImport *gpt_import_open_bytes(const char *data, size_t size);

/* The tensor of that name; NULL if there is none. */
extern GptImportTensor *gpt_import_find(const GptImport *import, const char *name);

/* Reads bytes of a file; raises the error that the engine did not see. */
extern void gpt_import_read(GptImportFile *file, uint64 offset, void *buffer, size_t size);

/* Raises the engine's error about a file, or the one of the server that caused it. */
pg_noreturn extern void gpt_import_raise(GptImport *import, const LmError *error);

/*
 * Sets the configuration to that of the file, with at most `context` positions (0: the file's).
 * False if the file has none: safetensors of other projects.
 */
extern bool gpt_import_config(LmConfig *config, GptImport *import, int context);

/* Where the bytes of the parameters come from. */
typedef struct GptImportPlan GptImportPlan;

/*
 * Finds the tensor of each part of each parameter. Errors name the tensor: one is missing, has
 * another shape, is left over and not known to be none of the model's parameters, or has places of
 * n-grams that are out of range.
 */
extern GptImportPlan *gpt_import_match(GptImport *import, const LmParamTable *table,
									   GptImportType type);

/* Writes the file of a version: header and tensors. */
extern void gpt_import_write(GptBlob *blob, GptImportPlan *plan, const GptWeightsNotes *notes);

/* The ids of the tokens that end a text in a GGUF file's metadata, palloc'd; returns how many. */
extern int gpt_import_end_tokens(int **ids, GptImport *import);

/* A text of a GGUF file's metadata, if it is valid UTF-8 of at most 200 bytes; else NULL. */
extern char *gpt_import_note(GptImport *import, const char *key);

/* The chat template in a GGUF file's metadata, in Jinja; NULL: it has none. */
extern char *gpt_import_chat_template(GptImport *import);

/* gpt_image_type_for of the version's file. */
extern GptImageType gpt_import_image_type(const GptImportPlan *plan);

/* The types of the matrices as one word: "Q4_K", or the one with the most bytes and "mixed". */
extern const char *gpt_import_types(const GptImportPlan *plan);

#endif /* GPT_IMPORT_H */
