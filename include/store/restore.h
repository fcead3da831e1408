/*
 * include/store/restore.h
 *
 * A dump holds the rows of models among those of other tables, and large objects after them. So
 * when it is restored, an index or a column over a fixed version may be computed before the version
 * is there.
 */
#ifndef GPT_RESTORE_H
#define GPT_RESTORE_H

/*
 * Before a look for a version, in a session of pg_restore and for "name@3": waits as long as other
 * sessions of pg_restore work in this database and the version is not complete, then makes the
 * newest snapshot active and returns true; the caller pops it. False, and nothing done, in other
 * sessions, and for a name without a number.
 */
extern bool gpt_restore_enter(const char *reference);

#endif /* GPT_RESTORE_H */
