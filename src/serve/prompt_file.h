/*
 * src/serve/prompt_file.h
 *
 * The keys and values of a beginning, in a file that all sessions may find by its key.
 *
 *   | Header | CRC-32C of each page [n_pages] | to a multiple of 4096 | pages |
 *
 * A file is written under another name and renamed, so one with the name of a key has been complete
 * once. A reader copies the pages that it needs into its own memory, and believes a page by its
 * checksum. The time of last access is when it was last used.
 */
#ifndef GPT_PROMPT_FILE_H
#define GPT_PROMPT_FILE_H

#include "engine/many.h"

/* A beginning of so many pages, and where its file is. */
typedef struct GptPromptFile
{
	const uint8 *version; /* sha256 of the version */
	const uint8 *key; /* [GPT_SHA256_SIZE] */
	int n_pages;
} GptPromptFile;

/*
 * Gives an LmMany the pages that it does not know of its run's beginning, which has at least
 * n_pages. False where there is no such file; one that is damaged is removed.
 */
extern bool gpt_prompt_file_read(LmMany *many, const GptPromptFile *prompt);

/* Whether there is a file. */
extern bool gpt_prompt_file_exists(const GptPromptFile *prompt);

/*
 * Writes the first n_pages of the run's beginning, which the LmMany knows. False, without a
 * message, if that is not possible.
 */
extern bool gpt_prompt_file_write(LmMany *many, const GptPromptFile *prompt);

#endif /* GPT_PROMPT_FILE_H */
