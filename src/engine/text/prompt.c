/*
 * src/engine/text/prompt.c
 *
 * A prompt and the template of a model go in, its tokens come out.
 *
 *   marked text | before | \0C prompt | \0T after |
 */
#include <string.h>

#include <unicode/uchar.h>

#include "engine/marked_text.h"
#include "engine/prompt.h"
#include "text/tokenizer_parts.h"

#define MARKS 4 /* bytes of the marks in a marked text */
#define PLACE_SIZE (sizeof LM_PROMPT_PLACE - 1)

/* The first place from an offset on; the size of the text where there is none. */
static size_t
find_place(LmBytes text, size_t from)
{
	for (; from + PLACE_SIZE <= text.size; from++)
		if (memcmp(text.data + from, LM_PROMPT_PLACE, PLACE_SIZE) == 0)
			return from;
	return text.size;
}

bool
lm_prompt_template_parse(LmPromptTemplate *parsed, LmBytes text)
{
	size_t place = find_place(text, 0), end = place + PLACE_SIZE;

	if (place == text.size || find_place(text, end) < text.size)
		return false;
	parsed->before = (LmBytes){text.data, place};
	parsed->after = (LmBytes){text.data + end, text.size - end};
	return true;
}

size_t
lm_prompt_size(const LmPromptTemplate *written, size_t prompt_size)
{
	return written->before.size + prompt_size + written->after.size + MARKS;
}

static char *
append(char *place, LmBytes text)
{
	if (text.size > 0)
		memcpy(place, text.data, text.size);
	return place + text.size;
}

void
lm_prompt_write(char *marked, const LmPromptTemplate *written, LmBytes prompt)
{
	const char content[] = {'\0', LM_MARK_CONTENT}, template[] = {'\0', LM_MARK_TEMPLATE};

	marked = append(marked, written->before);
	marked = append(marked, (LmBytes){content, sizeof content});
	marked = append(marked, prompt);
	marked = append(marked, (LmBytes){template, sizeof template});
	append(marked, written->after);
}

bool
lm_prompt_encode(LmTokenizer *tokenizer, LmTokens *tokens, int *part,
				 const LmPromptTemplate *written, LmBytes prompt, LmError *error)
{
	bool done;
	char *marked;
	size_t size;

	*part = prompt.size > 0 || lm_prompt_is_written(written) ? LM_ENCODE_INSIDE : 0;
	if (!lm_prompt_is_written(written))
		return lm_tokenizer_encode_part(tokenizer, tokens, prompt.data, prompt.size, 0, error);
	size = lm_prompt_size(written, prompt.size);
	marked = lm_array_allocate(&tokenizer->host, size, 1, error);
	if (!marked)
		return false;
	lm_prompt_write(marked, written, prompt);
	done = lm_marked_encode(tokenizer, tokens, marked, size, false, error);
	lm_free(&tokenizer->host, marked);
	return done;
}

int32_t
lm_prompt_token(const LmTokenizer *tokenizer, const char *name)
{
	LmBytes text = {name, strlen(name)};
	int32_t id = lm_added_named(tokenizer, text);

	return id >= 0 && lm_tokenizer_token(tokenizer, id).size == text.size ? id : -1;
}

/* Whether a prompt that ends in this character ends in a separator. */
static bool
separates(UChar32 character)
{
	int8_t type = u_charType(character);

	return u_isUWhiteSpace(character) || type == U_MATH_SYMBOL || type == U_OTHER_SYMBOL ||
		   type == U_DASH_PUNCTUATION || character == 0xFF1A ||
		   (character > 0 && character < 128 && strchr(":#/\\*@&;]}_", (int) character));
}

size_t
lm_prompt_ending(LmBytes common)
{
	size_t begin = 0, last = common.size;
	int decoded;

	/* It may begin within a character. */
	while (begin < common.size && ((unsigned char) common.data[begin] & 0xC0) == 0x80)
		begin++;
	while (last > begin && ((unsigned char) common.data[last - 1] & 0xC0) == 0x80)
		last--;
	if (last == begin || !separates(lm_utf8_decode(common.data + last - 1, &decoded)))
		return 0;
	return common.size - begin;
}
