/*
 * src/engine/text/clean.c
 *
 * The cleaner: options in, then one text after another through the steps.
 */
#include "engine/clean.h"
#include "text/array.h"
#include "text/clean_steps.h"

#define KEPT_CAPACITY ((size_t) 1 << 20)

static bool fill(LmCleaner *cleaner, const LmCleanOptions *options, LmError *error);
static bool copy_placeholders(LmCleaner *cleaner, LmError *error);
static bool run_steps(LmCleaner *cleaner, LmCleaned *cleaned, int flags, LmError *error);
static bool is_shorter(LmBytes text, int64_t length);

static const char *
name_of(const char *const *names, int n, int number)
{
	return number >= 0 && number < n ? names[number] : NULL;
}

const char *
lm_clean_case_name(int letter_case)
{
	static const char *const names[] = {"keep", "lower", "fold"};

	return name_of(names, 3, letter_case);
}

const char *
lm_clean_form_name(int form)
{
	static const char *const names[] = {"none", "NFC", "NFKC"};

	return name_of(names, 3, form);
}

const char *
lm_clean_space_name(int white_space)
{
	static const char *const names[] = {"keep", "trim", "lines", "paragraphs", "one_line"};

	return name_of(names, 5, white_space);
}

const char *
lm_mask_name(int mask)
{
	static const char *const names[] = {"urls", "emails", "phones", "numbers"};

	return name_of(names, LM_N_MASKS, mask);
}

LmCleaner *
lm_cleaner_create(const LmHost *host, const LmCleanOptions *options, LmError *error)
{
	LmCleaner *cleaner = lm_array_allocate(host, 1, sizeof *cleaner, error);

	if (!cleaner)
		return NULL;
	cleaner->host = *host;
	if (!fill(cleaner, options, error))
	{
		lm_cleaner_free(cleaner);
		return NULL;
	}
	return cleaner;
}

static bool
fill(LmCleaner *cleaner, const LmCleanOptions *options, LmError *error)
{
	cleaner->options = *options;
	if (options->masked[LM_MASK_NUMBER] && options->digits < LM_LEAST_MASKED_DIGITS)
		return lm_fail(error, LM_ERR_ARGUMENT, options->digits,
					   "a masked number has at least %d digits, not %d", LM_LEAST_MASKED_DIGITS,
					   options->digits);
	if (options->n_stop_words < 0 || options->n_stop_words > LM_MAX_STOP_WORDS)
		return lm_fail(error, LM_ERR_LIMIT, options->n_stop_words,
					   "there are %d stop words, at most %d are possible", options->n_stop_words,
					   LM_MAX_STOP_WORDS);
	cleaner->options.stop_words = NULL;
	return copy_placeholders(cleaner, error) &&
		   lm_stop_words_create(&cleaner->stop_words, &cleaner->host, options->stop_words,
								options->n_stop_words, error);
}

static bool
copy_placeholders(LmCleaner *cleaner, LmError *error)
{
	LmBytes *words = cleaner->options.placeholders;

	cleaner->placeholders =
		lm_array_allocate(&cleaner->host, LM_N_MASKS, LM_MAX_PLACEHOLDER, error);
	if (!cleaner->placeholders)
		return false;
	for (int i = 0; i < LM_N_MASKS; i++)
	{
		char *copy = cleaner->placeholders + (size_t) i * LM_MAX_PLACEHOLDER;

		if (words[i].size > LM_MAX_PLACEHOLDER)
			return lm_fail(error, LM_ERR_LIMIT, i,
						   "the placeholder of %s has %zu bytes, at most %d are possible",
						   lm_mask_name(i), words[i].size, LM_MAX_PLACEHOLDER);
		if (!lm_text_check(&cleaner->host, words[i].data, words[i].size, error))
			return false;
		if (words[i].size > 0)
			memcpy(copy, words[i].data, words[i].size);
		words[i].data = copy;
	}
	return true;
}

void
lm_cleaner_free(LmCleaner *cleaner)
{
	LmHost host;

	if (!cleaner)
		return;
	host = cleaner->host;
	lm_free(&host, cleaner->placeholders);
	lm_stop_words_free(&cleaner->stop_words, &host);
	lm_array_free(&host, cleaner->buffers[0].data);
	lm_array_free(&host, cleaner->buffers[1].data);
	lm_free(&host, cleaner);
}

bool
lm_cleaner_run(LmCleaner *cleaner, LmCleaned *cleaned, LmBytes text, int flags, LmError *error)
{
	*cleaned = (LmCleaned){.text = text};
	for (int i = 0; i < 2; i++)
	{
		if (cleaner->buffers[i].capacity > KEPT_CAPACITY)
		{
			lm_array_free(&cleaner->host, cleaner->buffers[i].data);
			cleaner->buffers[i] = (LmText){0};
		}
	}
	if (text.size > LM_MAX_TEXT_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has %zu bytes, the limit is %zu", text.size,
					   LM_MAX_TEXT_SIZE);
	if (!lm_text_go_on(&cleaner->host, error) || !run_steps(cleaner, cleaned, flags, error))
		return false;
	/* Steps may undo one another: a space that one puts, another takes. */
	cleaned->changed =
		cleaned->text.data != text.data &&
		(cleaned->text.size != text.size || memcmp(cleaned->text.data, text.data, text.size) != 0);
	if (!cleaned->changed)
		cleaned->text = text;
	cleaned->too_short = is_shorter(cleaned->text, cleaner->options.min_length);
	return true;
}

/* The buffer that the text does not lie in. */
static LmText *
other_buffer(LmCleaner *cleaner, LmBytes text)
{
	return &cleaner->buffers[text.data == cleaner->buffers[0].data && text.data ? 1 : 0];
}

static bool
run_steps(LmCleaner *cleaner, LmCleaned *cleaned, int flags, LmError *error)
{
	const LmCleanOptions *options = &cleaner->options;
	LmBytes *text = &cleaned->text;
	bool masks = false;

	for (int i = 0; i < LM_N_MASKS; i++)
		masks = masks || options->masked[i];
	return (!options->html || lm_clean_html(cleaner, other_buffer(cleaner, *text), text, error)) &&
		   (!(options->control || options->invisible) ||
			lm_clean_unseen(cleaner, other_buffer(cleaner, *text), text, error)) &&
		   (options->letter_case == LM_CASE_KEEP ||
			lm_clean_case(cleaner, other_buffer(cleaner, *text), text, error)) &&
		   (options->form == LM_FORM_KEEP ||
			lm_clean_form(cleaner, other_buffer(cleaner, *text), text, error)) &&
		   (!masks ||
			lm_clean_masks(cleaner, other_buffer(cleaner, *text), text, cleaned->masks, error)) &&
		   (cleaner->stop_words.n_slots == 0 ||
			lm_clean_words(cleaner, other_buffer(cleaner, *text), text, error)) &&
		   (options->white_space == LM_SPACE_KEEP ||
			lm_clean_space(cleaner, other_buffer(cleaner, *text), text, flags, error));
}

/* Whether the text has fewer characters than that. */
static bool
is_shorter(LmBytes text, int64_t length)
{
	int64_t n = 0;

	if (length <= 0 || (int64_t) (text.size / 4) >= length)
		return false;
	for (size_t i = 0; i < text.size && n < length; i++)
		n += ((unsigned char) text.data[i] & 0xC0) != 0x80;
	return n < length;
}
