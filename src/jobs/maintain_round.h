/*
 * src/jobs/maintain_round.h
 *
 * A round: what a worker does for one maintained column before it turns to the next one.
 */
#ifndef GPT_MAINTAIN_ROUND_H
#define GPT_MAINTAIN_ROUND_H

#include "store/maintenance.h"

/*
 * Outside of transactions: computes a batch of changed rows, or of rows to try again, and, unless
 * more of these wait, one of the existing rows. Errors of the expression are recorded; others, and
 * a cancellation, are raised. Returns whether it did something.
 */
extern bool gpt_maintain_round(const GptMaintenanceWork *work);

/* The maintenance whose start this process has counted, and no value since: 0, none. */
extern int64 gpt_maintain_started(void);

#endif /* GPT_MAINTAIN_ROUND_H */
