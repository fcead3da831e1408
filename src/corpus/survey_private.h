/*
 * src/corpus/survey_private.h
 *
 * What the writer (survey.c) and the reader (survey_read.c) of surveys share.
 */
#ifndef GPT_SURVEY_PRIVATE_H
#define GPT_SURVEY_PRIVATE_H

#include "port/pg_crc32c.h"

#include "corpus/survey.h"

#define GPT_SURVEY_MAGIC "gptsurv"
#define GPT_SURVEY_MAGIC_SIZE 8
#define GPT_SURVEY_CRC_AT 12 /* after the magic and the version */
#define GPT_SURVEY_HEAD 16 /* bytes before the facts */

/* Of all bytes but the checksum itself. */
static inline pg_crc32c
gpt_survey_crc(LmBytes bytes)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes.data, GPT_SURVEY_CRC_AT);
	COMP_CRC32C(crc, bytes.data + GPT_SURVEY_HEAD, bytes.size - GPT_SURVEY_HEAD);
	FIN_CRC32C(crc);
	return crc;
}

#endif /* GPT_SURVEY_PRIVATE_H */
