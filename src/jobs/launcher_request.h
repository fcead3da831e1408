/*
 * src/jobs/launcher_request.h
 *
 * The launcher's side of its shared memory; everybody else's is in include/jobs/launcher.h.
 */
#ifndef GPT_LAUNCHER_REQUEST_H
#define GPT_LAUNCHER_REQUEST_H

#include "jobs/job_launch.h"
#include "storage/latch.h"

#define GPT_LAUNCHER_REQUESTS 64

/* While the server preloads libraries: reserves the shared memory and prepares it. */
extern void gpt_launcher_share(void);

/* The latch that a request sets; NULL when the launcher ends. */
extern void gpt_launcher_set_latch(Latch *latch);

/*
 * Takes the databases that ask for a visit, at most GPT_LAUNCHER_REQUESTS; false where there were
 * more, so that each database wants one.
 */
extern bool gpt_launcher_take_requests(Oid *requests, int *n);

/*
 * The worker that was handed over first, which stays until it is dropped; false where there is
 * none.
 */
extern bool gpt_launcher_first_ticket(GptJobTicket *ticket);
extern void gpt_launcher_drop_first_ticket(void);

#endif /* GPT_LAUNCHER_REQUEST_H */
