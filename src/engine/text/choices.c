/*
 * src/engine/text/choices.c
 *
 * A list of texts as an automaton: sorted, so that those that begin with the same bytes are
 * neighbours, and a place is their run. No state is ever made: a list of 100,000 texts is ready
 * when it is sorted.
 */
#include "text/array.h"
#include "text/automaton.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

#define POLLED 4096
#define MOST_BYTES ((size_t) 256 << 20)

struct LmChoices
{
	LmBytes *texts; /* [n] sorted, each once */
	int32_t n;
	char *bytes;
	size_t size;
	bool spaced;
};

static bool copy(struct LmChoices *choices, const LmHost *host, const LmBytes *texts, int n,
				 const LmVocabulary *vocabulary, LmError *error);
static bool is_writable(const LmVocabulary *vocabulary, LmBytes text);
static bool sort(struct LmChoices *choices, const LmHost *host, LmError *error);

LmAutomaton *
lm_choices_create(const LmHost *host, const LmBytes *texts, int n, const LmVocabulary *vocabulary,
				  LmError *error)
{
	LmAutomaton *automaton = lm_array_allocate(host, 1, sizeof *automaton, error);
	struct LmChoices *choices;

	if (!automaton)
		return NULL;
	automaton->host = *host;
	choices = automaton->choices = lm_array_allocate(host, 1, sizeof *choices, error);
	if (!choices || !copy(choices, host, texts, n, vocabulary, error) ||
		!sort(choices, host, error))
	{
		lm_automaton_free(automaton);
		return NULL;
	}
	choices->spaced = true;
	for (int32_t i = 0; i < choices->n; i++)
		choices->spaced &= choices->texts[i].size == 0 || choices->texts[i].data[0] != ' ';
	/* Where there is only the empty text, there is nothing to put a space in front of. */
	choices->spaced &= choices->texts[choices->n - 1].size > 0;
	automaton->spaced = choices->spaced;
	return automaton;
}

void
lm_choices_free(const LmHost *host, struct LmChoices *choices)
{
	if (!choices)
		return;
	lm_free(host, choices->texts);
	lm_free(host, choices->bytes);
	lm_free(host, choices);
}

/* Copies the texts that can be written. */
static bool
copy(struct LmChoices *choices, const LmHost *host, const LmBytes *texts, int n,
	 const LmVocabulary *vocabulary, LmError *error)
{
	size_t size = 1;
	char *at;

	if (n < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "there are no choices");
	for (int i = 0; i < n; i++)
		if (!lm_size_add(&size, size, texts[i].size) || size > MOST_BYTES || n > LM_MOST_CHOICES)
			return lm_fail(error, LM_ERR_LIMIT, i, "%d choices are more than %d, or than %zu MB", n,
						   LM_MOST_CHOICES, MOST_BYTES >> 20);
	choices->texts = lm_array_allocate(host, (size_t) n, sizeof *choices->texts, error);
	choices->bytes = choices->texts ? lm_array_allocate(host, size, 1, error) : NULL;
	if (!choices->bytes)
		return false;
	choices->size = size + (size_t) n * sizeof *choices->texts;
	at = choices->bytes;
	for (int i = 0; i < n; i++)
	{
		if (i % POLLED == 0 && !lm_text_go_on(host, error))
			return false;
		if (!lm_text_check(host, texts[i].data, texts[i].size, error))
			return false;
		if (!is_writable(vocabulary, texts[i]))
			continue;
		memcpy(at, texts[i].data, texts[i].size);
		choices->texts[choices->n++] = (LmBytes){at, texts[i].size};
		at += texts[i].size;
	}
	return choices->n > 0 || lm_fail(error, LM_ERR_ARGUMENT, -1,
									 "the model's tokens cannot write any of the choices");
}

static bool
is_writable(const LmVocabulary *vocabulary, LmBytes text)
{
	int size;

	if (!vocabulary || vocabulary->complete)
		return true;
	for (size_t i = 0; i < text.size; i += (size_t) size)
		if (!lm_vocabulary_writes(vocabulary, lm_utf8_decode(text.data + i, &size)))
			return false;
	return true;
}

static int
compare(LmBytes a, LmBytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Two sorted runs become one. */
static void
merge(LmBytes *to, const LmBytes *from, int32_t first, int32_t middle, int32_t end)
{
	int32_t a = first, b = middle;

	for (int32_t i = first; i < end; i++)
		to[i] = a < middle && (b >= end || compare(from[a], from[b]) <= 0) ? from[a++] : from[b++];
}

/* Merges runs of 1, 2, 4 ... texts, and leaves out what occurs twice. */
static bool
sort(struct LmChoices *choices, const LmHost *host, LmError *error)
{
	int32_t n = choices->n, kept = 0, merged = 0;
	LmBytes *from = choices->texts, *to = lm_array_allocate(host, (size_t) n, sizeof *to, error),
			*swapped;
	bool good = to != NULL;

	for (int32_t run = 1; good && run < n; run *= 2)
	{
		for (int32_t first = 0; good && first < n; first += 2 * run)
		{
			int32_t middle = n - first < run ? n : first + run,
					end = n - first < 2 * run ? n : first + 2 * run;

			merge(to, from, first, middle, end);
			merged += end - first;
			if (merged > POLLED)
			{
				good = lm_text_go_on(host, error);
				merged = 0;
			}
		}
		swapped = from;
		from = to;
		to = swapped;
	}
	choices->texts = from;
	lm_free(host, to);
	for (int32_t i = 0; good && i < n; i++)
		if (i == 0 || compare(from[kept - 1], from[i]) != 0)
			from[kept++] = from[i];
	choices->n = kept;
	return good;
}

LmPlace
lm_choices_start(const struct LmChoices *choices)
{
	return (LmPlace){0, choices->n, choices->spaced ? -1 : 0};
}

/* The byte of a text at a depth; below every byte where the text has ended. */
static inline int
byte_at(const struct LmChoices *choices, int32_t text, int32_t depth)
{
	LmBytes bytes = choices->texts[text];

	return (size_t) depth < bytes.size ? (uint8_t) bytes.data[depth] : -1;
}

/* The first text of a run whose byte is not below. */
static int32_t
bisect(const struct LmChoices *choices, LmPlace place, int byte)
{
	int32_t low = place.state, high = place.end;

	while (low < high)
	{
		int32_t middle = low + (high - low) / 2;

		if (byte_at(choices, middle, place.depth) < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
lm_choices_step(const struct LmChoices *choices, LmPlace *place, uint8_t byte)
{
	LmPlace here = *place;

	if (here.depth < 0)
	{
		here.depth = 0;
		if (byte == ' ')
		{
			*place = here;
			return true;
		}
	}
	if (here.end - here.state == 1)
	{
		if (byte_at(choices, here.state, here.depth) != byte)
			return false;
	}
	else
	{
		here.state = bisect(choices, here, byte);
		if (here.state == here.end || byte_at(choices, here.state, here.depth) != byte)
			return false;
		if (byte_at(choices, here.end - 1, here.depth) != byte)
			here.end = bisect(choices, here, byte + 1);
	}
	here.depth++;
	*place = here;
	return true;
}

bool
lm_choices_end(const struct LmChoices *choices, LmPlace place)
{
	return byte_at(choices, place.state, place.depth < 0 ? 0 : place.depth) < 0;
}

bool
lm_choices_go_on(const struct LmChoices *choices, LmPlace place)
{
	return byte_at(choices, place.end - 1, place.depth < 0 ? 0 : place.depth) >= 0;
}

/* The rest of the shortest text, the first of several. */
LmBytes
lm_choices_shortest(const struct LmChoices *choices, LmPlace place)
{
	size_t depth = place.depth < 0 ? 0 : (size_t) place.depth;
	LmBytes shortest = choices->texts[place.state];

	for (int32_t i = place.state + 1; i < place.end && shortest.size > depth; i++)
		if (choices->texts[i].size < shortest.size)
			shortest = choices->texts[i];
	return (LmBytes){shortest.data + depth, shortest.size - depth};
}

size_t
lm_choices_memory(const struct LmChoices *choices)
{
	return sizeof *choices + choices->size;
}
