/*
 * include/core/at_end.h
 *
 * Actions that wait for the end of the current transaction: a worker that is started when it
 * commits, a file that is removed, a launch that is made up for when it rolls back.
 */
#ifndef GPT_AT_END_H
#define GPT_AT_END_H

#define GPT_AT_END_SIZE 64 /* bytes of data, at most */

/* A kind of action: what it does, and which ends of its transaction run it. */
typedef struct GptAtEnd
{
	void (*act)(const void *data); /* may not raise an error: the transaction has ended */
	bool at_commit;
	bool at_abort; /* also of the subtransaction */
	bool at_prepare; /* no callback reports the end of a prepared transaction */
	const char *prepare_error; /* error of PREPARE TRANSACTION; NULL: none */
} GptAtEnd;

/*
 * Remembers an action of the current transaction, or subtransaction. If that ends in a way that the
 * action does not wait for, the action is forgotten. *what must live for ever; data is copied.
 */
extern void gpt_at_end(const GptAtEnd *what, const void *data, size_t size);

/* Whether an action of this kind waits whose data matches what is wanted. */
extern bool gpt_at_end_waits(const GptAtEnd *what,
							 bool (*matches)(const void *data, const void *wanted),
							 const void *wanted);

/* The number of the end that runs actions now. All actions of one end see the same number. */
extern uint64 gpt_at_end_number(void);

#endif /* GPT_AT_END_H */
