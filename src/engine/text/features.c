/*
 * src/engine/text/features.c
 *
 * The features of a text, in one pass over its characters. Two readers see each of them: one cuts
 * words, the other keeps the last letters of the present piece.
 */
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "engine/features.h"
#include "text/array.h"
#include "text/utf8.h"

#define MOST_LETTERS 5 /* of a run; the least are 2 */
#define LEAST_SLOTS ((size_t) 1024)
/* Places that no character has: before the first word or letter, and after the last one. */
#define BEGIN UINT64_C(0x110001)
#define END UINT64_C(0x110002)

/* What a character is. */
typedef enum Class
{
	CLASS_SPACE, /* white space, controls and bytes that are no character */
	CLASS_LETTER, /* or mark or digit */
	CLASS_WORD, /* a letter that is a word of its own */
	CLASS_SIGN, /* any other visible character */
} Class;

/* Bytes of a text; of a size of 0 where there is no character. */
typedef struct Span
{
	size_t start;
	size_t end;
} Span;

static const Span NOWHERE = {0, 0};

/* Where the weights of features go (lm_features_spread). */
typedef struct Spread
{
	const LmFeatures *features;
	const double *weights;
	double *bytes;
} Spread;

/* The state of both readers. */
typedef struct Reader
{
	LmFeatures *features; /* to count in; NULL: spread */
	const Spread *spread;
	const LmHost *host;
	uint64_t seed;
	Span at; /* of the present character */
	uint64_t word; /* hash of the word so far; 0: outside a word */
	Span word_at;
	Span apostrophe_at;
	uint64_t previous; /* the word before it */
	Span previous_at;
	bool apostrophe; /* follows the word, and may be inside it */
	Class piece; /* CLASS_LETTER or CLASS_SIGN; CLASS_SPACE: outside a piece */
	size_t piece_end; /* after its last letter */
	uint64_t letters[MOST_LETTERS]; /* the last ones of the piece, the newest first */
	size_t starts[MOST_LETTERS]; /* of their bytes */
	int n_letters;
	LmError *error;
	bool good;
} Reader;

/* Goes on with a hash (the multiplier of Steele and Vigna 2021, "Computationally easy ..."). */
static inline uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0xF1357AEA2E62A9C5);
	return hash ^ hash >> 32;
}

/* ---- The list ----------------------------------------------------------- */

bool
lm_features_begin(LmFeatures *features, const LmHost *host, LmError *error)
{
	features->n = 0;
	features->n_slots = LEAST_SLOTS;
	if (!lm_array_reserve(host, &features->slots, &features->slots_capacity, LEAST_SLOTS,
						  sizeof *features->slots, error))
		return false;
	memset(features->slots, 0, LEAST_SLOTS * sizeof *features->slots);
	return true;
}

void
lm_features_free(LmFeatures *features, const LmHost *host)
{
	lm_array_free(host, features->items);
	lm_array_free(host, features->slots);
	*features = (LmFeatures){0};
}

/* The slot of a key, or the empty one where it would stand. */
static uint32_t *
slot_of(const LmFeatures *features, const LmHost *host, uint64_t key)
{
	size_t mask = features->n_slots - 1, at = lm_hash_pair(host->hash_key, key) & mask;

	while (features->slots[at] != 0 && features->items[features->slots[at] - 1].key != key)
		at = (at + 1) & mask;
	return &features->slots[at];
}

/* Makes twice as many slots. */
static bool
grow(LmFeatures *features, const LmHost *host, LmError *error)
{
	size_t wanted = 2 * features->n_slots;

	if (!lm_array_reserve(host, &features->slots, &features->slots_capacity, wanted,
						  sizeof *features->slots, error))
		return false;
	features->n_slots = wanted;
	memset(features->slots, 0, wanted * sizeof *features->slots);
	for (size_t i = 0; i < features->n; i++)
		*slot_of(features, host, features->items[i].key) = (uint32_t) i + 1;
	return true;
}

static uint64_t
key_of(uint64_t hash, LmFeatureKind kind)
{
	uint64_t key = (hash * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - LM_FEATURE_KEY_BITS);

	return (key & ~UINT64_C(1)) | (uint64_t) kind;
}

bool
lm_features_count(LmFeatures *features, const LmHost *host, uint64_t hash, LmFeatureKind kind,
				  uint32_t times, LmError *error)
{
	uint64_t key = key_of(hash, kind);
	uint32_t *slot;

	slot = slot_of(features, host, key);
	if (*slot != 0)
	{
		LmFeature *item = &features->items[*slot - 1];

		item->count += item->count < UINT32_MAX - times ? times : 0;
		return true;
	}
	if (features->n >= LM_MAX_FEATURES)
		return true;
	if (!lm_array_reserve(host, &features->items, &features->capacity, features->n + 1,
						  sizeof *features->items, error))
		return false;
	features->items[features->n++] = (LmFeature){key, times, 0};
	*slot = (uint32_t) features->n;
	return 2 * features->n <= features->n_slots || grow(features, host, error);
}

bool
lm_features_have(const LmFeatures *features, const LmHost *host, uint64_t key)
{
	return *slot_of(features, host, key) != 0;
}

size_t
lm_features_find(const LmFeatures *features, const LmHost *host, uint64_t hash, LmFeatureKind kind)
{
	uint32_t place = *slot_of(features, host, key_of(hash, kind));

	return place != 0 ? place - 1 : features->n;
}

/* Adds a weight to a span of bytes, in even shares. */
static void
add_span(double *bytes, Span span, double weight)
{
	double share = weight / (double) (span.end - span.start);

	bytes[span.start] += share;
	bytes[span.end] -= share;
}

/* One occurrence of a feature, in one or two places. */
static void
spread_weight(const Reader *reader, uint64_t hash, LmFeatureKind kind, Span first, Span second)
{
	const Spread *spread = reader->spread;
	size_t i = lm_features_find(spread->features, reader->host, hash, kind);
	bool both = first.end > first.start && second.end > second.start;
	double weight;

	if (i == spread->features->n)
		return;
	weight = spread->weights[i] / spread->features->items[i].count / (both ? 2 : 1);
	if (first.end > first.start)
		add_span(spread->bytes, first, weight);
	if (second.end > second.start)
		add_span(spread->bytes, second, weight);
}

static void
count(Reader *reader, uint64_t hash, LmFeatureKind kind, Span first, Span second)
{
	hash = mix(hash, reader->seed);
	if (reader->spread)
		spread_weight(reader, hash, kind, first, second);
	else
		reader->good = reader->good && lm_features_count(reader->features, reader->host, hash, kind,
														 1, reader->error);
}

/* ---- Words -------------------------------------------------------------- */

static void
pair_words(Reader *reader, uint64_t word, Span at)
{
	count(reader, mix(mix(2, reader->previous), word), LM_FEATURE_WORDS, reader->previous_at, at);
	reader->previous = word;
	reader->previous_at = at;
}

static void
add_word(Reader *reader, uint64_t word, Span at)
{
	count(reader, mix(1, word), LM_FEATURE_WORDS, at, NOWHERE);
	pair_words(reader, word, at);
}

/* Ends the present word, and counts an apostrophe behind it that turned out to be a sign. */
static void
end_word(Reader *reader)
{
	if (reader->word != 0)
		add_word(reader, reader->word, reader->word_at);
	if (reader->apostrophe)
		add_word(reader, mix(1, '\''), reader->apostrophe_at);
	reader->word = 0;
	reader->apostrophe = false;
}

static void
read_word(Reader *reader, Class class, uint64_t code)
{
	if (class == CLASS_LETTER)
	{
		if (reader->apostrophe)
			reader->word = mix(reader->word, '\'');
		reader->apostrophe = false;
		if (reader->word == 0)
			reader->word_at.start = reader->at.start;
		reader->word_at.end = reader->at.end;
		reader->word = mix(reader->word != 0 ? reader->word : 1, code);
		return;
	}
	if (class == CLASS_SIGN && (code == '\'' || code == 0x2019) && reader->word != 0 &&
		!reader->apostrophe)
	{
		reader->apostrophe = true;
		reader->apostrophe_at = reader->at;
		return;
	}
	end_word(reader);
	if (class == CLASS_SIGN || class == CLASS_WORD)
		add_word(reader, mix(1, code), reader->at);
}

/* ---- Letters ------------------------------------------------------------ */

/* Counts the runs that end at a letter of the piece. */
static void
add_letter(Reader *reader, uint64_t code, Span at)
{
	uint64_t hash = mix(3, code);

	for (int i = 0; i < reader->n_letters; i++)
	{
		hash = mix(hash, reader->letters[i]);
		count(reader, hash, LM_FEATURE_LETTERS, (Span){reader->starts[i], at.end}, NOWHERE);
	}
	/* A run has all of letters and the new one. */
	reader->n_letters += reader->n_letters < MOST_LETTERS - 1;
	for (int i = reader->n_letters - 1; i > 0; i--)
	{
		reader->letters[i] = reader->letters[i - 1];
		reader->starts[i] = reader->starts[i - 1];
	}
	reader->letters[0] = code;
	reader->starts[0] = at.start;
}

static void
end_piece(Reader *reader)
{
	if (reader->piece != CLASS_SPACE)
		add_letter(reader, END, (Span){reader->piece_end, reader->piece_end});
	reader->piece = CLASS_SPACE;
	reader->n_letters = 0;
}

static void
read_letter(Reader *reader, Class class, uint64_t code)
{
	class = class == CLASS_WORD ? CLASS_LETTER : class;
	if (class != reader->piece)
		end_piece(reader);
	if (class == CLASS_SPACE)
		return;
	if (reader->piece == CLASS_SPACE)
		add_letter(reader, BEGIN, (Span){reader->at.start, reader->at.start});
	reader->piece = class;
	reader->piece_end = reader->at.end;
	add_letter(reader, code, reader->at);
}

/* ---- Characters --------------------------------------------------------- */

static Class
class_of(int32_t code)
{
	uint32_t mask;

	if (code >= 0 && code < 0x80)
	{
		if ((uint32_t) ((code | 0x20) - 'a') < 26 || (uint32_t) (code - '0') < 10)
			return CLASS_LETTER;
		return code > ' ' && code < 0x7F ? CLASS_SIGN : CLASS_SPACE;
	}
	if (code < 0)
		return CLASS_SPACE;
	mask = U_GET_GC_MASK(code);
	if ((mask & (U_GC_Z_MASK | U_GC_C_MASK)) != 0)
		return CLASS_SPACE;
	if ((mask & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) == 0)
		return CLASS_SIGN;
	switch ((ULineBreak) u_getIntPropertyValue(code, UCHAR_LINE_BREAK))
	{
		case U_LB_IDEOGRAPHIC:
		case U_LB_CONDITIONAL_JAPANESE_STARTER:
		case U_LB_NONSTARTER:
		case U_LB_COMPLEX_CONTEXT:
			return CLASS_WORD;
		default:
			return CLASS_LETTER;
	}
}

/* Both readers over a text, of which they count or spread the features. */
static bool
read_text(Reader *reader, LmBytes text)
{
	const uint8_t *bytes = (const uint8_t *) text.data;

	for (size_t start = 0, end; start < text.size; start = end)
	{
		size_t left = text.size - start;
		size_t piece = left < LM_POLL_SIZE ? left : LM_POLL_SIZE;
		int32_t most = (int32_t) (left < piece + U8_MAX_LENGTH ? left : piece + U8_MAX_LENGTH);
		int32_t i = 0;

		/* A character that begins before the end of the piece may reach beyond it. */
		while ((size_t) i < piece)
		{
			int32_t code;
			Class class;

			reader->at.start = start + (size_t) i;
			U8_NEXT(bytes + start, i, most, code);
			reader->at.end = start + (size_t) i;
			class = class_of(code);
			code = u_foldCase(code < 0 ? 0 : code, U_FOLD_CASE_DEFAULT);
			read_word(reader, class, (uint64_t) code);
			read_letter(reader, class, (uint64_t) code);
		}
		end = start + (size_t) i;
		if (!reader->good || !lm_text_go_on(reader->host, reader->error))
			return false;
	}
	end_word(reader);
	end_piece(reader);
	if (reader->previous != BEGIN)
		count(reader, mix(mix(2, reader->previous), END), LM_FEATURE_WORDS, reader->previous_at,
			  NOWHERE);
	return reader->good;
}

bool
lm_features_add(LmFeatures *features, const LmHost *host, LmBytes text, uint32_t part,
				LmError *error)
{
	Reader reader = {.features = features,
					 .host = host,
					 .seed = part,
					 .previous = BEGIN,
					 .error = error,
					 .good = true};

	return read_text(&reader, text);
}

bool
lm_features_spread(double *bytes, const double *weights, const LmFeatures *features,
				   const LmHost *host, LmBytes text, uint32_t part, LmError *error)
{
	Spread spread = {features, weights, bytes};
	Reader reader = {.spread = &spread,
					 .host = host,
					 .seed = part,
					 .previous = BEGIN,
					 .error = error,
					 .good = true};

	return read_text(&reader, text);
}
