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

typedef struct GptImage
{
	const void *bytes; /* aligned to 64 */
	size_t size;
	bool shared; /* mapped from a file; else memory of the session */
	/* of a shared one; the file may be gone, or another one by now */
	char path[GPT_IMAGE_PATH_SIZE];
	dev_t device;
	ino_t inode;
	TimestampTz used_at; /* when the time of the last access was last set */
} GptImage;

/*
 * A request for an image. build makes the image of `of` in the memory of the session,
 * aligned to 64, in a context, and sets *size where it was not known.
 */
typedef struct GptImageRequest
{
	const uint8 *sha256; /* of the content: weights, or a tokenizer */
	GptImageType type;
	size_t size; /* of the image; 0: not known before it is built */
	const char *what; /* in messages: model "reviews" */
	void *(*build)(size_t *size, const void *of, MemoryContext context);
	const void *of;
} GptImageRequest;

/*
 * Fills image with what is requested, which lives as long as the context: mapped from its file,
 * which is made where it is missing or damaged, by one session while others wait. Where there can
 * be no file (the image is larger than gpt.max_image_size, the directory cannot be written, the
 * disk is full) a warning, once in a session, and memory of the session.
 */
extern void gpt_image_get(GptImage *image, const GptImageRequest *request, MemoryContext context);

/* Notes that the image is in use, at most once a minute. */
extern void gpt_image_touch(GptImage *image);

/*
 * Whether new sessions would map the same file: false for a shared image whose file was removed or
 * replaced.
 */
extern bool gpt_image_is_current(const GptImage *image);

/* A file with an image, as its header describes it. */
typedef struct GptImageFile
{
	uint8 sha256[GPT_SHA256_SIZE];
	GptImageType type;
	int64 size; /* bytes of the file */
	TimestampTz created_at;
	TimestampTz used_at;
} GptImageFile;

/* Reads and checks the first page of an image's file; false where it is none. */
extern bool gpt_image_file_describe(GptImageFile *file, const char *path);

/* The complete files, List of GptImageFile. */
extern List *gpt_image_files(void);

/*
 * Files that have names of ours and are none: half-written without anybody who writes, or without a
 * header that is whole. List of paths.
 */
extern List *gpt_image_leftovers(void);

#endif /* GPT_IMAGE_FILE_H */
