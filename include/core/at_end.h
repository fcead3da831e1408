/*
 * include/core/at_end.h
 *
 * Actions that wait for the end of the current transaction: a worker that is started when it
 * commits, a file that is removed, a launch that is made up for when it rolls back.
 */
#ifndef GPT_AT_END_H
#define GPT_AT_END_H

#define GPT_AT_END_SIZE 64 /* bytes of data, at most */

typedef struct GptAtEnd
{
	void (*act)(const void *data); /* may not raise an error: the transaction has ended */
	bool at_commit;
	bool at_abort; /* also of the subtransaction */
	bool at_prepare; /* nobody hears of the end of a prepared transaction */
	const char *prepare_error; /* error of PREPARE TRANSACTION; NULL: none */
} GptAtEnd;

/*
 * Remembers an action of the current transaction, or subtransaction: with another end of it than
 * the one it waits for, it is forgotten. *what lives for ever; data is copied.
 */
extern void gpt_at_end(const GptAtEnd *what, const void *data, size_t size);

/* Whether such an action waits whose data matches what is wanted. */
extern bool gpt_at_end_waits(const GptAtEnd *what,
							 bool (*matches)(const void *data, const void *wanted),
							 const void *wanted);

/* The number of the end that runs actions now: all of one end see the same number. */
extern uint64 gpt_at_end_number(void);

#endif /* GPT_AT_END_H */
