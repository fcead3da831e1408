/*
 * src/store/maintenance_parts.h
 *
 * What the two files about the rows of gpt_maintenance share.
 */
#ifndef GPT_MAINTENANCE_PARTS_H
#define GPT_MAINTENANCE_PARTS_H

#include "core/statement.h"

/* A maintenance m is of this database of this cluster, as $1 and $2; _add_here adds these. */
#define GPT_MAINTENANCE_HERE "m.system_identifier = $1 AND m.database = $2"
extern void gpt_maintenance_add_here(GptStatement *statement);

/* Sessions read the rows of the table again. */
extern void gpt_maintenance_invalidate(Oid relation);

#endif /* GPT_MAINTENANCE_PARTS_H */
