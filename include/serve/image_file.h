/*
 * include/serve/image_file.h
 *
 * Images that all sessions of the cluster share: a content and a type go in, bytes that are mapped
 * read-only come out. Each image of a content and a type is a file in base/pgsql_tmp, made by the
 * first session that needs it. The server removes these files when it starts; base backups do
 * without them; nothing rests on their being there.
 *
 *   pgsql_tmp_gpt_image_<first 32 digits of the sha256 of the content>_<type>
 *   | header, a page: magic, format, library, type, size, sha256, checksums | image |
 *
 * The time of a file's last modification is its checksum, in seconds: whoever writes to the file
 * afterwards changes the time. So a file is believed after one page is read, and read whole only
 * where the time does not fit. The time of its last access is when it was last used.
 */
#ifndef GPT_IMAGE_FILE_H
#define GPT_IMAGE_FILE_H

#include <sys/stat.h>

#include "store/catalog.h"
#include "store/image_directory.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* An image in memory: a model or a tokenizer in the layout of the engine. */
typedef struct GptImage
{
	const void *bytes; /* aligned to 64 */
	size_t size;
	bool shared; /* mapped from a file; else memory of the session */
	bool found; /* the file was there */
	/* of a shared image; in the meantime the file may have been removed or replaced */
	char path[GPT_IMAGE_PATH_SIZE];
	dev_t device;
	ino_t inode;
	TimestampTz used_at; /* when we last set the file's access time */
} GptImage;

/*
 * A request for an image. build makes the image of `of`, in the memory of the session, aligned to
 * 64, in a context; it sets *size if that was not known. fill (or NULL) writes an image of a known
 * size into `image`, aligned to 64: the mapped file, so that the session needs no memory for it.
 */
typedef struct GptImageRequest
{
	const uint8 *sha256; /* of the weights or the tokenizer */
	GptImageType type;
	size_t size; /* of the image; 0: not known before it is built */
	const char *what; /* name in messages: model "reviews" */
	void *(*build)(size_t *size, const void *of, MemoryContext context);
	void (*fill)(void *image, const void *of);
	const void *of;
} GptImageRequest;

/*
 * Fills image, which lives as long as the context: mapped from its file. If the file is missing or
 * damaged, one session makes it while others wait. If no file is possible (the image exceeds
 * gpt.max_image_size, the directory cannot be written, the disk is full), it is built in the memory
 * of the session, with one warning per session.
 */
extern void gpt_image_get(GptImage *image, const GptImageRequest *request, MemoryContext context);

/* Sets the access time of the image's file, at most once a minute. */
extern void gpt_image_touch(GptImage *image);

/*
 * Whether a new session would map the same file; false for a shared image whose file was removed or
 * replaced.
 */
extern bool gpt_image_is_current(const GptImage *image);

/* The file of an image, as its header describes it. */
typedef struct GptImageFile
{
	uint8 sha256[GPT_SHA256_SIZE];
	GptImageType type;
	int64 size; /* bytes of the file */
	TimestampTz created_at;
	TimestampTz used_at;
} GptImageFile;

/* Reads and checks the first page of a file; false if it is not the file of an image. */
extern bool gpt_image_file_describe(GptImageFile *file, const char *path);

/* The complete files: a List of GptImageFile. */
extern List *gpt_image_files(void);

/*
 * Files with our names that are no images: unfinished without a writer, or without an intact
 * header. A List of paths.
 */
extern List *gpt_image_leftovers(void);

#endif /* GPT_IMAGE_FILE_H */
