/*
 * test/torture/fault.c
 *
 * Preloaded into a server.
 */
int gpt_fault_placeholder;
