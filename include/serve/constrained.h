/*
 * include/serve/constrained.h
 *
 * What the texts of a generation may be: choices, a pattern or a JSON Schema, as automata that a
 * session keeps (engine/constraint.h). They are found again by what they are made of and by the
 * tokens of the model.
 */
#ifndef GPT_CONSTRAINED_H
#define GPT_CONSTRAINED_H

#include "engine/constraint.h"
#include "serve/cache.h"

/* The kinds of constraints, in the order of their arguments. */
typedef enum GptConstraintKind
{
	GPT_CONSTRAINT_CHOICES, /* text[] */
	GPT_CONSTRAINT_PATTERN, /* text */
	GPT_CONSTRAINT_SCHEMA, /* jsonb */
	GPT_CONSTRAINT_BARE, /* jsonb; a text that is a JSON string stands without its quotes */
} GptConstraintKind;

/* A constraint as the caller gives it; value is detoasted, and not copied. */
typedef struct GptConstraint
{
	GptConstraintKind kind;
	const struct varlena *value;
} GptConstraint;

/* Detoasts an argument, in the current context; palloc'd. */
extern GptConstraint *gpt_constraint_read(GptConstraintKind kind, Datum value);

/*
 * The constraint for the tokens of a model. It stays until the current memory context is reset, and
 * until the end of generations that follow it. NULL with an error of the call: LM_ERR_ARGUMENT for
 * what is wrong with the value, LM_ERR_LIMIT. Lack of memory is raised.
 */
extern LmConstraint *gpt_constraint_get(const GptConstraint *constraint, const GptServed *served,
										LmError *error);

/* Bytes of all constraints that the session keeps. */
extern uint64 gpt_constraint_memory(void);

/* src/serve/constrained_build.c: an automaton for the vocabulary. NULL with an error. */
extern LmAutomaton *gpt_constraint_build(const GptConstraint *constraint,
										 const LmVocabulary *vocabulary, const LmHost *host,
										 LmError *error);

#endif /* GPT_CONSTRAINED_H */
