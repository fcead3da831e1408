/*
 * include/corpus/lengths_by_size.h
 *
 * The sizes of training documents in bytes, counted: what is known of their lengths before there is
 * a tokenizer.
 */
#ifndef GPT_LENGTHS_BY_SIZE_H
#define GPT_LENGTHS_BY_SIZE_H

#define GPT_SIZE_STEPS 16 /* counts between two powers of two, from 64 on */
#define GPT_SIZE_COUNTS (64 + 25 * GPT_SIZE_STEPS)

/* Documents by size; zero it. */
typedef struct GptLengthsBySize
{
	int64 n[GPT_SIZE_COUNTS];
	int64 bytes[GPT_SIZE_COUNTS];
} GptLengthsBySize;

extern void gpt_lengths_by_size_add(GptLengthsBySize *lengths, size_t size);

/*
 * The context that gpt_lengths_context (lengths.h) chooses for documents of these sizes, if each
 * token has so many bytes.
 */
extern int gpt_lengths_by_size_context(const GptLengthsBySize *lengths, double token_bytes,
									   bool is_finetune, bool prompted);

#endif /* GPT_LENGTHS_BY_SIZE_H */
