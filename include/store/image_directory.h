/*
 * include/store/image_directory.h
 *
 * The files of images: their names, a list, and their removal. include/serve/image_file.h describes
 * their content.
 */
#ifndef GPT_IMAGE_DIRECTORY_H
#define GPT_IMAGE_DIRECTORY_H

#include <time.h>

#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "core/compat.h"
#include "store/image_type.h"

#define GPT_IMAGE_DIRECTORY "base/" PG_TEMP_FILES_DIR
#define GPT_IMAGE_PATH_SIZE 128

/* Suffix of a file that is being written; its writer holds flock() on it. */
#define GPT_IMAGE_ASIDE ".tmp"

/* A file with a name of ours in the directory of images. */
typedef struct GptImageEntry
{
	char path[GPT_IMAGE_PATH_SIZE];
	uint64 size;
	struct timespec used_at;
	bool aside; /* it is being written, or its writer left it behind */
} GptImageEntry;

/* A List of GptImageEntry; empty if there is no directory. */
extern List *gpt_image_directory_read(void);

/* Whether no process writes this file that is aside; with `removes` such a file is removed. */
extern bool gpt_image_is_left_behind(const char *path, bool removes);

/* Fills path[GPT_IMAGE_PATH_SIZE], relative to the data directory. */
extern void gpt_image_path(char *path, const uint8 *sha256, GptImageType type);

/*
 * Removes leftover files and the least recently used images until size more bytes fit into
 * gpt.max_image_size. aside: the file that the caller writes. False if they do not fit because
 * other sessions are writing images.
 */
extern bool gpt_image_make_room(uint64 size, const char *aside);

/*
 * Removes the images of that content when the transaction commits. Sessions that have mapped them
 * keep them until they end or load another model.
 */
extern void gpt_image_remove_at_commit(const uint8 *sha256);

#endif /* GPT_IMAGE_DIRECTORY_H */
