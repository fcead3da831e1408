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

/*
 * Called while the server preloads libraries: requests the shared memory and installs its startup
 * hook.
 */
extern void gpt_launcher_share(void);

/* Sets the latch that requests wake; NULL at the end of the launcher. */
extern void gpt_launcher_set_latch(Latch *latch);

/*
 * Takes the databases that wait for a visit, at most GPT_LAUNCHER_REQUESTS. Returns false if there
 * were more: then every database needs a visit.
 */
extern bool gpt_launcher_take_requests(Oid *requests, int *n);

/*
 * _first returns the worker that was handed over first, which stays in the queue until _drop; false
 * if the queue is empty.
 */
extern bool gpt_launcher_first_ticket(GptJobTicket *ticket);
extern void gpt_launcher_drop_first_ticket(void);

#endif /* GPT_LAUNCHER_REQUEST_H */
