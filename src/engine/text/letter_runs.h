/*
 * src/engine/text/letter_runs.h
 *
 * The runs of 2 to 4 letters of a text, as hashes, in one pass over its bytes, which come in pieces
 * of any size. Letters are letters, marks and digits in folded case; a piece between spaces and
 * signs begins and ends with a letter of its own. A hash is the same everywhere and for ever.
 */
#ifndef LM_LETTER_RUNS_H
#define LM_LETTER_RUNS_H

#include "engine/tokenizer.h"

#define LM_RUN_LEAST 2
#define LM_RUN_MOST 4

/* Gets each run. */
typedef void (*LmTakeRun)(void *into, uint64_t hash);

/* The state between pieces. */
typedef struct LmLetterRuns
{
	LmTakeRun take;
	void *into;
	uint32_t letters[LM_RUN_MOST - 1]; /* the last ones of the piece, the newest first */
	int n_letters;
	int kind; /* of the piece: 0 outside, 1 letters, 2 signs */
	uint8_t bytes[4]; /* of an incomplete character */
	int n_bytes;
	int n_wanted;
} LmLetterRuns;

void lm_letter_runs_add(LmLetterRuns *runs, LmBytes bytes);
void lm_letter_runs_end(LmLetterRuns *runs); /* the text ends here, and another one may begin */

#endif /* LM_LETTER_RUNS_H */
