/*
 * include/serve/explain.h
 *
 * What calls of models cost in EXPLAIN ANALYZE: a group "gpt" after the plan.
 */
#ifndef GPT_EXPLAIN_H
#define GPT_EXPLAIN_H

/* Called by _PG_init: installs the hooks. */
extern void gpt_explain_init(void);

#endif /* GPT_EXPLAIN_H */
