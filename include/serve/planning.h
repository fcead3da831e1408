/*
 * include/serve/planning.h
 *
 * What the planner knows of calls of models: their costs, their rows, how often a comparison with a
 * result holds, and that a small table with such calls is worth several processes. It comes from
 * the catalog alone; no model is loaded, and a model that the role may not use has the costs that
 * the function declares.
 */
#ifndef GPT_PLANNING_H
#define GPT_PLANNING_H

#include "nodes/plannodes.h"

/* Called by _PG_init: installs hooks of the planner, which return at once without our calls. */
extern void gpt_planning_init(void);

/* Answers a request to gpt_support, the support function of all that call models; or NULL. */
extern Node *gpt_planning_support(Node *request);

/*
 * What is known of a planning goes with its memory, which may be long-lived: whoever has called the
 * planner forgets all that was added since _mark.
 */
typedef struct GptPlanned GptPlanned;

extern GptPlanned *gpt_planning_mark(void);
extern void gpt_planning_forget(const GptPlanned *mark);

/*
 * Called for each finished plan: takes back the compilation of expressions that only the costs of
 * our calls have caused.
 */
extern void gpt_planning_finish(PlannedStmt *statement);

#endif /* GPT_PLANNING_H */
