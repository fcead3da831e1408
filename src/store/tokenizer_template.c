/*
 * src/store/tokenizer_template.c
 *
 * The post-processor of a tokenizer.json in; the tokens in front of a text and after it out.
 */
#include "postgres.h"

#include "store/tokenizer_steps.h"

static void read_template(GptTokenizerReader *reader, const GptJson *template);
static int32_t template_token(GptTokenizerReader *reader, const GptJson *template,
							  const GptJson *piece);

/*
 * A template may add a BOS or an end token; ByteLevel changes offsets only, which nobody reads
 * here.
 */
void
gpt_reader_post_processor(GptTokenizerReader *reader, const GptJson *processor)
{
	const char *type;

	if (!processor)
		return;
	type = gpt_reader_type(processor);
	if (strcmp(type, "Sequence") == 0)
	{
		const GptJson *list = gpt_json_field(processor, "processors");

		for (const GptJson *step = list ? list->first : NULL; step; step = step->next)
			gpt_reader_post_processor(reader, step);
	}
	else if (strcmp(type, "TemplateProcessing") == 0)
		read_template(reader, processor);
	else if (strcmp(type, "ByteLevel") != 0)
		gpt_reader_unsupported("post_processor \"%s\"", type);
}

/* [beginning] text [end], for a single text. */
static void
read_template(GptTokenizerReader *reader, const GptJson *template)
{
	const GptJson *single = gpt_json_field(template, "single");
	bool in_front = true;
	int n_front = 0, n_behind = 0;

	if (!single || single->type != GPT_JSON_ARRAY)
		gpt_reader_malformed("Its post_processor \"TemplateProcessing\" has no array \"single\".");
	for (const GptJson *piece = single->first; piece; piece = piece->next)
	{
		if (gpt_json_field(piece, "Sequence"))
		{
			if (!in_front)
				gpt_reader_unsupported(
					"post_processor \"TemplateProcessing\" that repeats the text");
			in_front = false;
		}
		else if (in_front)
		{
			reader->spec->beginning = template_token(reader, template, piece);
			n_front++;
		}
		else
		{
			reader->spec->end_of_text = template_token(reader, template, piece);
			n_behind++;
		}
		/* Stops early: template_token searches all tokens of the template for each piece. */
		if (n_front > 1 || n_behind > 1)
			break;
	}
	if (in_front || n_front > 1 || n_behind > 1)
		gpt_reader_unsupported(
			"post_processor \"TemplateProcessing\" with more than one token on a side of the text");
}

/* The id of a special token that the template names. */
static int32_t
template_token(GptTokenizerReader *reader, const GptJson *template, const GptJson *piece)
{
	const char *name = gpt_json_string(gpt_json_field(gpt_json_field(piece, "SpecialToken"), "id"));
	const GptJson *entry, *ids;
	int id;

	if (!name)
		gpt_reader_malformed("A piece of its post_processor \"TemplateProcessing\" is neither a "
							 "text nor a special token.");
	entry = gpt_json_field(gpt_json_field(template, "special_tokens"), name);
	ids = gpt_json_field(entry, "ids");
	id = ids && ids->count == 1 ? gpt_json_integer(ids->first, reader->spec->n_tokens - 1) : -1;
	if (id < 0 || !reader->spec->special[id])
		gpt_reader_malformed("The token \"%s\" of its post_processor \"TemplateProcessing\" is not "
							 "one special token.",
							 name);
	return id;
}
