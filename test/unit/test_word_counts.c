/*
 * test/unit/test_word_counts.c
 *
 * Words counted on several machines: the tables read back, what is rare stays, and a tokenizer of
 * all tables is the one of all texts.
 */
#include "engine/unigram_trainer.h"
#include "engine/word_counts.h"
#include "text/lattice.h"
#include "tokenizer_fixture.h"

#define MOST ((size_t) 1 << 20)

static const char *const east[] = {
	"the cat sat on the mat and the rat sat on the cat",
	"das Haus und die Maus und das Haus und die Maus",
	"one cat, two cats, three cats; one rat, two rats, three rats",
};
static const char *const west[] = {
	"der Name des Mannes; der Name der Frau und das Haus",
	"\xE6\x98\xA5\xE7\x9C\xA0\xE4\xB8\x8D\xE8\xA6\x9A\xE6\x9B\x89 "
	"\xE6\x98\xA5\xE7\x9C\xA0\xE4\xB8\x8D\xE8\xA6\x9A the cats and the mats",
	"the cat, two rats \n\n  and 1234 mats sat on the cat",
};
#define N_TEXTS 3

/* A survey that has counted the texts `times` times, each time as other rows. */
static LmWordSurvey *
survey_texts(const LmHost *host, const LmWordSurveyOptions *options, const char *const *texts,
			 int n, int times)
{
	LmError error = {0};
	LmWordSurvey *survey = lm_word_survey_create(host, options, &error);

	for (int i = 0; survey && i < n * times; i++)
		if (!lm_word_survey_add(survey, (LmBytes){texts[i % n], strlen(texts[i % n])},
								(uint64_t) i * 977, &error))
			return NULL;
	return survey;
}

static LmWordTable
table_of(const LmHost *host, const LmWordSurveyOptions *options, const char *const *texts, int n,
		 int times, int64_t floor)
{
	LmError error = {0};
	LmWordSurvey *survey = survey_texts(host, options, texts, n, times);
	LmWordTable table = {{NULL, 0}, 0, 0, 0, 0, 0};

	if (survey)
		lm_word_survey_write(&table, survey, LM_SURVEYED_WORDS, floor, MOST, &error);
	lm_word_survey_free(survey);
	return table;
}

/* Shows each word of a table to the visitor; false: the table is damaged, or the visitor had
 * enough. */
typedef bool (*WordVisitor)(void *context, LmBytes word, int64_t count);

static bool
visit_words(LmBytes table, WordVisitor visitor, void *context)
{
	LmWordReader reader;
	LmError error = {0};
	int64_t count;
	LmBytes word;

	if (!lm_word_reader_open(&reader, table, &error))
		return false;
	while (lm_word_reader_next(&word, &count, &reader, &error))
	{
		if (word.size == 0)
			return true;
		if (!visitor(context, word, count))
			return false;
	}
	return false;
}

typedef struct Wanted
{
	const char *word;
	int64_t count;
} Wanted;

static bool
look_for(void *context, LmBytes word, int64_t count)
{
	Wanted *wanted = context;

	if (word.size == strlen(wanted->word) && memcmp(word.data, wanted->word, word.size) == 0)
		wanted->count = count;
	return true;
}

/* The count of a word in a table; 0: it is not there, -1: the table is damaged. */
static int64_t
find_count(LmBytes table, const char *word)
{
	Wanted wanted = {word, 0};

	return visit_words(table, look_for, &wanted) ? wanted.count : -1;
}

/* ------------------------------------------------------------ counts and the floor */

static void
test_counts(const LmHost *host)
{
	LmWordSurveyOptions options = {.rows = true, .characters = true};
	LmWordTable table = table_of(host, &options, west, N_TEXTS, 2, 1), none;
	LmWordSurvey *survey = survey_texts(host, &options, west, N_TEXTS, 2);
	LmError error = {0};

	is_int(find_count(table.bytes, " the"), 6, "a table has the count of each word");
	is_int(find_count(table.bytes, "\xE6\x98\xA5\xE7\x9C\xA0\xE4\xB8\x8D\xE8\xA6\x9A"
								   "\xE6\x9B\x89"),
		   2, "in whatever script");
	is_int(find_count(table.bytes, " dog"), 0, "and no other word");
	ok(lm_word_survey_write(&none, survey, LM_SURVEYED_CHARACTERS, 1, MOST, &error),
	   "characters are a table too");
	is_int(find_count(none.bytes, "\xE7\x9C\xA0"), 4, "which has their counts");
	is_int(find_count(none.bytes, "\n"), 4, "of blanks as well");
	lm_word_table_free(host, &none);
	lm_word_table_free(host, &table);
	lm_word_survey_free(survey);
}

static void
test_floor(const LmHost *host)
{
	static const char *const texts[] = {"key key key key key key often often rare", "often rare",
										"often often rare rare"};
	LmWordSurveyOptions options = {.pattern = "\\S+", .rows = true};
	LmWordTable table = table_of(host, &options, texts, 3, 1, 5), small;
	LmWordSurvey *survey = lm_word_survey_create(host, &options, NULL);
	LmError error = {0};
	bool good = true;

	is_int(find_count(table.bytes, "often"), 5, "a word of two rows above the floor leaves");
	is_int(find_count(table.bytes, "rare"), 0, "one below the floor stays");
	is_int(find_count(table.bytes, "key"), 0, "and one of a single row, however frequent");
	is_int(table.n_rare, 2, "the table says how many stay");
	is_int(table.rare_occurrences, 10, "and how often they occur");
	lm_word_table_free(host, &table);
	for (int i = 0; i < 9; i++)
		good = good && lm_word_survey_add(survey, (LmBytes){"again", 5}, 7, &error);
	good = good && lm_word_survey_write(&table, survey, LM_SURVEYED_WORDS, 5, MOST, &error);
	ok(good && table.n == 0, "equal rows are one row");
	lm_word_table_free(host, &table);
	good = lm_word_survey_add(survey, (LmBytes){"again and", 9}, 8, &error) &&
		   lm_word_survey_write(&table, survey, LM_SURVEYED_WORDS, 1, MOST, &error) &&
		   lm_word_survey_write(&small, survey, LM_SURVEYED_WORDS, 1, 12, &error);
	ok(good && find_count(table.bytes, "and") == 1 && find_count(small.bytes, "and") == 0 &&
		   find_count(small.bytes, "again") == 10 && small.bytes.size <= 12 && small.floor == 2,
	   "the floor rises until a table fits");
	lm_word_table_free(host, &table);
	lm_word_table_free(host, &small);
	lm_word_survey_free(survey);
}

/* ------------------------------------------------------------ tokenizers */

static bool
put_bpe(void *trainer, LmBytes word, int64_t count)
{
	return lm_bpe_trainer_put(trainer, word, count, NULL);
}

static bool
put_unigram(void *trainer, LmBytes word, int64_t count)
{
	return lm_unigram_trainer_put(trainer, word, count, NULL);
}

static bool
same_tokens(const LmTokenizerSpec *a, const LmTokenizerSpec *b)
{
	if (!a || !b || a->n_tokens != b->n_tokens || a->n_merges != b->n_merges)
		return false;
	for (int i = 0; i < a->n_tokens; i++)
		if (!lm_bytes_equal(a->tokens[i], b->tokens[i]) ||
			(a->scores && a->scores[i] != b->scores[i]))
			return false;
	return a->n_merges == 0 ||
		   memcmp(a->merges, b->merges, (size_t) a->n_merges * sizeof *a->merges) == 0;
}

static void
test_union(const LmHost *host)
{
	LmWordSurveyOptions options = {0};
	LmWordTable tables[2] = {table_of(host, &options, east, N_TEXTS, 1, 1),
							 table_of(host, &options, west, N_TEXTS, 2, 1)};
	LmUnigramOptions unigram = {.min_count = 2};
	LmBpeTrainer *bpe[2];
	LmUnigramTrainer *parts[2];
	const LmTokenizerSpec *specs[2], *unigrams[2];
	LmError error = {0};
	bool good = true;
	int n, failed;

	for (int k = 0; k < 2; k++)
	{
		bpe[k] = lm_bpe_trainer_create(host, NULL, &error);
		parts[k] = lm_unigram_trainer_create(host, &unigram, &error);
	}
	/* The rows of west came twice. */
	for (int i = 0; i < 3 * N_TEXTS; i++)
	{
		const char *text = i < N_TEXTS ? east[i] : west[i % N_TEXTS];
		LmBytes bytes = {text, strlen(text)};

		good = good && lm_bpe_trainer_add(bpe[0], text, bytes.size, &error) &&
			   lm_unigram_trainer_add_many(parts[0], &bytes, 1, &failed, &error);
	}
	for (int k = 1; k >= 0; k--)
		good = good && visit_words(tables[k].bytes, put_bpe, bpe[1]) &&
			   visit_words(tables[k].bytes, put_unigram, parts[1]);
	for (int k = 0; k < 2; k++)
	{
		specs[k] = lm_bpe_trainer_finish(bpe[k], 300, &n, &error);
		unigrams[k] = lm_unigram_trainer_finish(parts[k], 320, &n, &error);
	}
	ok(good && same_tokens(specs[0], specs[1]) && specs[0]->n_merges > 20,
	   "BPE of two tables is that of all texts");
	ok(good && same_tokens(unigrams[0], unigrams[1]) && unigrams[0]->n_tokens > 300,
	   "and so is a unigram model");
	ok(!lm_bpe_trainer_put(bpe[1], (LmBytes){"", 0}, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a trainer that merges takes no word");
	for (int k = 0; k < 2; k++)
	{
		lm_bpe_trainer_free(bpe[k]);
		lm_unigram_trainer_free(parts[k]);
		lm_word_table_free(host, &tables[k]);
	}
}

/* ------------------------------------------------------------ damage */

static void
test_damage(const LmHost *host)
{
	LmWordSurveyOptions options = {0};
	LmWordTable table = table_of(host, &options, west, N_TEXTS, 1, 1);
	static const struct
	{
		const char *what;
		LmBytes bytes;
	} wrong[] = {
		{"out of order",
		 {"\x02\x00\x01"
		  "b\x01\x00\x01"
		  "a\x01",
		  9}},
		{"twice",
		 {"\x02\x00\x01"
		  "a\x01\x01\x00\x01",
		  8}},
		{"that share less than they can",
		 {"\x02\x00\x01"
		  "a\x01\x00\x02"
		  "ab\x01",
		  10}},
		{"that share what is not there",
		 {"\x01\x01\x01"
		  "a\x01",
		  5}},
		{"with a count in a long form",
		 {"\x01\x00\x01"
		  "a\x81\x00",
		  6}},
		{"that do not occur",
		 {"\x01\x00\x01"
		  "a\x00",
		  5}},
		{"that are no UTF-8",
		 {"\x01\x00\x01"
		  "\xC3\x01",
		  5}},
		{"with a zero",
		 {"\x01\x00\x01"
		  "\x00\x01",
		  5}},
		{"and something after them",
		 {"\x01\x00\x01"
		  "a\x01\x01",
		  6}},
		{"of more bytes than all texts",
		 {"\x01\x00\x01"
		  "a\x81\x80\x80\x80\x80\x20",
		  10}},
		{"without end", {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10}},
	};
	bool refused = find_count(table.bytes, "nowhere") == 0;

	for (size_t size = 0; size < table.bytes.size; size++)
		refused = refused && find_count((LmBytes){table.bytes.data, size}, "x") == -1;
	ok(refused, "a table that ends early is refused, wherever it ends");
	for (int i = 0; i < (int) (sizeof wrong / sizeof *wrong); i++)
		ok(find_count(wrong[i].bytes, "x") == -1, "so are words %s", wrong[i].what);
	is_int(find_count((LmBytes){"\x01\x00\x01"
								"a\x80\x80\x80\x80\x80\x20",
								10},
					  "a"),
		   LM_COUNTED_MOST, "the greatest count is taken");
	lm_word_table_free(host, &table);
}

int
main(void)
{
	TapHost state = {0};
	LmHost host = tap_host(&state);

	test_counts(&host);
	test_floor(&host);
	test_union(&host);
	test_damage(&host);
	return done_testing();
}
