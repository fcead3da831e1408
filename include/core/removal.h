/*
 * include/core/removal.h
 *
 * Files that go with a transaction: what a rolled back gpt_drop_model would have removed is still
 * there.
 */
#ifndef GPT_REMOVAL_H
#define GPT_REMOVAL_H

#define GPT_REMOVAL_KEY_SIZE 32

typedef struct GptRemoval
{
	void (*remove)(const void *key); /* may not raise an error: the transaction has committed */
	bool is_remade; /* what is missing is made again */
} GptRemoval;

/*
 * Calls remove(key) when the current transaction commits; nothing happens when it, or the
 * subtransaction, rolls back. Nobody hears of the end of a prepared transaction: there what is made
 * again goes at once, everything else stays. key: at most GPT_REMOVAL_KEY_SIZE bytes, copied.
 */
extern void gpt_remove_at_commit(GptRemoval removal, const void *key, size_t key_size);

#endif /* GPT_REMOVAL_H */
