/*
 * include/core/json_writer.h
 *
 * A jsonb object that is written member by member, such as a job's conditions and its report.
 */
#ifndef GPT_JSON_WRITER_H
#define GPT_JSON_WRITER_H

#include "utils/jsonb.h"

/* An object that is being written; zero it before the first call. In the current memory context. */
typedef struct GptJsonWriter
{
	JsonbParseState *state;
} GptJsonWriter;

/*
 * Begin and end an object or an array. name: of the member; NULL: the outermost object, or an
 * element of an array. A name is copied with the value, so it must stay valid until _finish.
 */
extern void gpt_json_begin(GptJsonWriter *writer, const char *name);
extern void gpt_json_end(GptJsonWriter *writer);
extern void gpt_json_begin_array(GptJsonWriter *writer, const char *name);
extern void gpt_json_end_array(GptJsonWriter *writer);

/* Write a member, or an element where name is NULL. Texts must stay valid until _finish. */
extern void gpt_json_put_text(GptJsonWriter *writer, const char *name, const char *text);
extern void gpt_json_put_boolean(GptJsonWriter *writer, const char *name, bool value);
extern void gpt_json_put_integer(GptJsonWriter *writer, const char *name, int64 value);
/* Six digits; a whole number has all of its own. NaN and infinity become null. */
extern void gpt_json_put_number(GptJsonWriter *writer, const char *name, double number);
/* The same with so many significant digits. */
extern void gpt_json_put_rounded(GptJsonWriter *writer, const char *name, double number,
								 int digits);
/* A share of 1, to four decimals. */
extern void gpt_json_put_share(GptJsonWriter *writer, const char *name, double share);

/* A value that there is; it must stay valid until _finish. */
extern void gpt_json_put_value(GptJsonWriter *writer, const char *name, Jsonb *value);

/* Ends the outermost object, which becomes the value. */
extern Jsonb *gpt_json_finish(GptJsonWriter *writer);

#endif /* GPT_JSON_WRITER_H */
