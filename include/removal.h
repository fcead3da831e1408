/*
 * include/removal.h
 *
 * Files that go with a transaction: what a rolled back gpt_drop_model would have removed is still there.
 */
#ifndef GPT_REMOVAL_H
#define GPT_REMOVAL_H

#define GPT_REMOVAL_KEY_SIZE 32

/*
 * Calls remove(key) when the current transaction commits; nothing happens when it, or the subtransaction, rolls back, or when it is
 * prepared. remove may not raise an error: the transaction has committed. key: at most GPT_REMOVAL_KEY_SIZE bytes, copied.
 */
extern void gpt_remove_at_commit(void (*remove)(const void *key), const void *key, size_t key_size);

#endif /* GPT_REMOVAL_H */
