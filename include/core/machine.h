/*
 * include/core/machine.h
 *
 * What this machine is, for the records of jobs.
 */
#ifndef GPT_MACHINE_H
#define GPT_MACHINE_H

/* The name of the processor, palloc'd; "not known" if the system does not report one. */
extern char *gpt_machine_cpu(void);

#endif /* GPT_MACHINE_H */
