/*
 * src/corpus/tickets.h
 *
 * Sorting of tickets: a hash in the upper half of a number, and in the lower half whatever bears
 * it.
 */
#ifndef GPT_TICKETS_H
#define GPT_TICKETS_H

#define GPT_TICKET(hash, number) ((uint64) (hash) << 32 | (uint32) (number))
#define GPT_TICKET_HASH(ticket) ((uint32) ((ticket) >> 32))
#define GPT_TICKET_NUMBER(ticket) ((uint32) (ticket))

/* tickets a call of CHECK_FOR_INTERRUPTS, in loops over them */
#define GPT_TICKETS_POLL 65536

/*
 * Sorts by the hashes; tickets of the same hash keep their order. Linear in n. scratch: [n].
 * Returns tickets or scratch, whichever then has them. Checks for interrupts.
 */
extern uint64 *gpt_tickets_sort(uint64 *tickets, uint64 *scratch, size_t n);

/* The end of the run of tickets with the hash of the one at number first. */
static inline size_t
gpt_tickets_run(const uint64 *tickets, size_t first, size_t n)
{
	size_t end = first + 1;

	while (end < n && GPT_TICKET_HASH(tickets[end]) == GPT_TICKET_HASH(tickets[first]))
		end++;
	return end;
}

#endif /* GPT_TICKETS_H */
