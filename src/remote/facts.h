/*
 * src/remote/facts.h
 *
 * The facts of a version that another server sends (include/remote/distribute.h), as they are read
 * and checked.
 */
#ifndef GPT_REMOTE_FACTS_H
#define GPT_REMOTE_FACTS_H

#include "core/compat.h"
#include "store/catalog.h"

typedef struct GptSentVersion
{
	char *model;
	int32 version;
	pg_uuid_t run_id;
	int64 size;
	uint8 sha256[GPT_SHA256_SIZE];
	uint8 tokenizer[GPT_SHA256_SIZE];
	int64 tokenizer_size;
	LmConfig config;
	char *labels; /* names, each with a NUL after it; NULL: there are none */
	char *extras;
	char *task; /* NULL: not known */
	double loss; /* NaN: not known, as the two below */
	double validation_loss;
	double validation_bits_per_byte;
	char *base; /* NULL: a full version */
	int32 base_version;
	uint8 base_sha256[GPT_SHA256_SIZE];
	bytea *search; /* NULL: there are none */
	GptImageType image_type;
	bool current;
} GptSentVersion;

/* Reads a jsonb object; palloc'd. An error for what the readers of a version could not take. */
extern void gpt_distribute_read_facts(GptSentVersion *facts, Datum jsonb);

/* Raises the error about facts or bytes that are not those of a version. */
pg_noreturn extern void gpt_distribute_refuse(const char *detail);

#endif /* GPT_REMOTE_FACTS_H */
