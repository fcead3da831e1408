/*
 * src/serve/prompt_seen.h
 *
 * The beginnings of prompts that some session of the cluster has seen, as a file of hashes: one
 * that is seen again is worth keeping. A place has the last hash that fell on it, so the file is
 * bounded and forgets what is rare; it is a hint, and sessions read and write it without a lock.
 *
 *   | 8 bytes for each of GPT_PROMPTS_SEEN places; 0: none |
 */
#ifndef GPT_PROMPT_SEEN_H
#define GPT_PROMPT_SEEN_H

#define GPT_PROMPTS_SEEN 8192

/*
 * seen [n]: which of n hashes, from the first 8 bytes of each key, are there. Those that are not
 * are there from now on. Without a file, and where it cannot be made, none is.
 */
extern void gpt_prompts_see(bool *seen, const uint64 *hashes, int n);

#endif /* GPT_PROMPT_SEEN_H */
