/*
 * src/corpus/tickets.c
 *
 * Tickets go in, and come out in the order of their hashes: a radix sort by the least significant
 * digit, of 11 bits each.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "corpus/tickets.h"

#define DIGIT_BITS 11
#define DIGITS 3 /* of the 32 bits of a hash */
#define VALUES (1 << DIGIT_BITS)
#define DIGIT(ticket, digit) ((ticket) >> (32 + DIGIT_BITS * (digit)) & (VALUES - 1))

uint64 *
gpt_tickets_sort(uint64 *tickets, uint64 *scratch, size_t n)
{
	size_t *places = palloc0(DIGITS * VALUES * sizeof(size_t));
	uint64 *swap;

	for (size_t i = 0; i < n; i++)
	{
		if (i % GPT_TICKETS_POLL == 0)
			CHECK_FOR_INTERRUPTS();
		for (int digit = 0; digit < DIGITS; digit++)
			places[digit * VALUES + DIGIT(tickets[i], digit)]++;
	}
	for (int digit = 0; digit < DIGITS; digit++)
	{
		size_t *place = places + digit * VALUES;
		size_t before = 0;

		for (int value = 0; value < VALUES; value++)
		{
			size_t count = place[value];

			place[value] = before;
			before += count;
		}
		for (size_t i = 0; i < n; i++)
		{
			if (i % GPT_TICKETS_POLL == 0)
				CHECK_FOR_INTERRUPTS();
			scratch[place[DIGIT(tickets[i], digit)]++] = tickets[i];
		}
		swap = tickets;
		tickets = scratch;
		scratch = swap;
	}
	pfree(places);
	return tickets;
}
