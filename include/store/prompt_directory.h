/*
 * include/store/prompt_directory.h
 *
 * The files of prompts beside the images: their names, room for them, and their removal.
 * src/serve/prompt_file.h describes their content.
 *
 *   pgsql_tmp_gpt_prompt_<32 digits of the version's sha256>_<32 digits of the key>
 *   pgsql_tmp_gpt_prompts_seen                       the beginnings that were seen (prompt_seen.h)
 *
 * A key is a hash of the beginning's tokens and of all that its content depends on, so a name tells
 * nothing about the text to whom does not know the text.
 */
#ifndef GPT_PROMPT_DIRECTORY_H
#define GPT_PROMPT_DIRECTORY_H

#include "core/compat.h"
#include "store/image_directory.h"

#define GPT_PROMPTS_SEEN_PATH GPT_IMAGE_DIRECTORY "/" PG_TEMP_FILE_PREFIX "_gpt_prompts_seen"

/* Fills path[GPT_IMAGE_PATH_SIZE]; both hashes have GPT_SHA256_SIZE bytes. */
extern void gpt_prompt_path(char *path, const uint8 *version, const uint8 *key);

/* Bytes of all files of prompts, at most: a quarter of gpt.max_image_size. */
extern uint64 gpt_prompt_most(void);

/*
 * Removes leftover files and the least recently used ones until size more bytes fit. aside: the
 * file that the caller writes. False if they do not fit.
 */
extern bool gpt_prompt_make_room(uint64 size, const char *aside);

/* Removes the files of a version. Raises no error. */
extern void gpt_prompt_remove(const uint8 *version);

#endif /* GPT_PROMPT_DIRECTORY_H */
