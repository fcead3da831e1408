/*
 * include/engine/tokenizer.h
 *
 * Text to token ids and back. A tokenizer is built from a description (LmTokenizerSpec) that the
 * server reads from a tokenizer.json, or that lm_bpe_train and lm_chars_train make; it is immutable
 * afterwards.
 *
 *   kind BPE            text -> split (regular expressions, ICU) -> bytes -> merges -> ids
 *   kind BYTES          one token a byte; ids 0..255 are the byte values
 *   kind CHARS          one token a code point; a code point without a token becomes `unknown`
 *   kind SENTENCEPIECE  text -> characters, or bytes of one without a token -> merges -> ids
 *   kind UNIGRAM        text -> the tokens whose scores have the largest sum -> ids
 *
 * Text is UTF-8. Special tokens are never produced from text: a text that spells "<|endoftext|>" is
 * encoded as those thirteen characters. LM_ENCODE_SPECIAL is the exception. Other added tokens are
 * found in a text before anything else.
 */
#ifndef LM_TOKENIZER_H
#define LM_TOKENIZER_H

#include <stddef.h>
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/host.h"

#define LM_END_OF_TEXT "<|endoftext|>"
#define LM_UNKNOWN "<|unknown|>"
#define LM_MAX_VOCABULARY (1 << 20)
#define LM_MAX_TOKEN_SIZE 1024 /* bytes of one token */
#define LM_MAX_PATTERNS 8 /* splits, one after the other */
#define LM_SPACE_SIGN "\xE2\x96\x81" /* U+2581, how SentencePiece spells a space */

/* The kinds of tokenizers; the comment at the top draws them. */
typedef enum LmTokenizerKind
{
	LM_TOKENIZER_BPE,
	LM_TOKENIZER_BYTES,
	LM_TOKENIZER_CHARS,
	LM_TOKENIZER_SENTENCEPIECE,
	LM_TOKENIZER_UNIGRAM,
} LmTokenizerKind;

/* "bpe", "bytes", "chars", "sentencepiece", "unigram"; NULL after the last */
const char *lm_tokenizer_kind_name(int kind);

/* How a token differs from an ordinary one of the vocabulary. */
typedef enum LmTokenFlag
{
	LM_TOKEN_ADDED = 1, /* is found in a text before the split and the merges */
	LM_TOKEN_LSTRIP = 2, /* added or special: takes the white space on its left */
	LM_TOKEN_RSTRIP = 4, /* on its right */
	LM_TOKEN_WORD = 8, /* added or special: not inside a word */
	LM_TOKEN_NORMALIZED = 16, /* added or special: is found after normalisation */
	LM_TOKEN_OUTSIDE = 32, /* added: the split and the merges never make it */
	LM_TOKEN_BYTE = 64, /* its one byte stands in for characters without a token */
	LM_TOKEN_SIGNS = 128, /* added: is found in a text that spells its spaces as U+2581 */
} LmTokenFlag;

/* The space in front of a text. */
typedef enum LmPrefix
{
	LM_PREFIX_NONE,
	LM_PREFIX_ALWAYS,
	LM_PREFIX_MISSING, /* unless the text begins with one */
} LmPrefix;

/* size bytes at data, without a terminating 0; it owns nothing. */
typedef struct LmBytes
{
	const char *data;
	size_t size;
} LmBytes;

/* A merge of BPE: two tokens and the token that they become. */
typedef struct LmMerge
{
	int32_t left;
	int32_t right;
	int32_t result; /* the token whose bytes are left's followed by right's */
} LmMerge;

/* The description of a tokenizer. It owns nothing: the arrays are its maker's. */
typedef struct LmTokenizerSpec
{
	LmTokenizerKind kind;
	/* normalise to NFC before splitting; encode and decode then round-trip NFC text only */
	bool normalize_nfc;
	/* BPE: the split, an ICU regular expression; NULL means GPT-2's; gaps are pieces too */
	const char *pattern;
	/* BPE: patterns that split the pieces of the one before, up to the first NULL */
	const char *further[LM_MAX_PATTERNS - 1];
	int n_tokens; /* ids are 0 .. n_tokens - 1, special tokens among them */
	LmBytes *tokens; /* [n_tokens] raw bytes (not the ByteLevel alphabet); a special token's name */
	bool *special; /* [n_tokens] true: never produced from text, never sampled, but for the end */
	int n_merges;
	LmMerge *merges; /* [n_merges] in order of rank */
	int32_t end_of_text; /* id, or -1 */
	int32_t beginning; /* BOS: the id in front of a scored text; -1: end_of_text serves */
	int32_t unknown; /* id, or -1; CHARS, SENTENCEPIECE and UNIGRAM only */
	uint8_t *flags; /* [n_tokens] of LmTokenFlag; NULL: all 0 */
	double *scores; /* [n_tokens] UNIGRAM: logarithms of probabilities */
	bool normalize_nfkc; /* normalise to NFKC instead */
	/* SENTENCEPIECE, UNIGRAM: a table of characters instead (text/charsmap.h); size 0: none */
	LmBytes charsmap;
	/* the same: spaces at both ends of a text go, and of several the first stays */
	bool collapse_spaces;
	/* UNIGRAM: sums of scores have the precision of float, as SentencePiece's have */
	bool single_precision;
	bool ignore_merges; /* BPE: a piece that is a token is that token */
	bool fuse_unknown; /* neighbours without a token are one `unknown` */
	bool space_sign; /* a U+2581 of a text is a space; SENTENCEPIECE and UNIGRAM */
	bool split_spaces; /* a piece begins at each space; SENTENCEPIECE and UNIGRAM */
	bool strip_space; /* a text that is decoded loses the space in front of it */
	LmPrefix prefix;
	bool prefix_once; /* only in front of the whole text, not after an added token too */
} LmTokenizerSpec;

/* A tokenizer that is ready to encode and decode. */
typedef struct LmTokenizer LmTokenizer;

/* GPT-2's split as an ICU regular expression. */
extern const char *const lm_gpt2_pattern;
/* Those of cl100k_base and Llama 3, of Qwen 2 and 3, of o200k_base, and of single digits. */
extern const char *const lm_cl100k_pattern;
extern const char *const lm_qwen2_pattern;
extern const char *const lm_o200k_pattern;
extern const char *const lm_digit_pattern;

/* Whether a pattern is a known one that leaves no gap between its matches in any text. */
bool lm_pattern_covers(const char *pattern);

/*
 * Copies and checks spec: sizes within the limits, ids in range, merges that join to their result
 * and occur once, distinct tokens, special tokens where an id must be one, all 256 bytes present
 * for BPE (in their order for BYTES), single characters for CHARS, a pattern that ICU compiles.
 * NULL with LM_ERR_FORMAT, _LIMIT, _LIBRARY, _MEMORY or _STOPPED. Lives until lm_tokenizer_free.
 * Not safe for use by two threads at once (ICU matcher state).
 */
LmTokenizer *lm_tokenizer_create(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
void lm_tokenizer_free(LmTokenizer *tokenizer);

/*
 * An image of a tokenizer holds its tables, and the order of its tokens where it is sorted, in one
 * block without pointers, which can be shared by mapping; opening it costs next to nothing for BPE.
 * image: _image_size bytes, aligned to 64. The image must outlive the tokenizers that are opened
 * over it. Its content is trusted: give it only its own bytes, or a file with a checksum. NULL with
 * LM_ERR_FORMAT, _LIBRARY or _MEMORY.
 */
size_t lm_tokenizer_image_size(const LmTokenizer *tokenizer);
void lm_tokenizer_image_build(void *image, const LmTokenizer *tokenizer);
LmTokenizer *lm_tokenizer_open(const LmHost *host, const void *image, size_t size, LmError *error);

/*
 * The description the tokenizer was built from; lives as long as it. That of a BPE that was opened
 * has no tokens and no merges.
 */
const LmTokenizerSpec *lm_tokenizer_spec(const LmTokenizer *tokenizer);

/*
 * *normal is the NFC form of a text: the form that a tokenizer with normalize_nfc cuts into tokens,
 * and that such a model reads and writes. It is allocated through host; the caller releases it with
 * lm_normal_free. LM_ERR_ENCODING for invalid UTF-8; LM_ERR_LIMIT where the form is larger than a
 * text may be; LM_ERR_STOPPED, LM_ERR_MEMORY, LM_ERR_LIBRARY.
 */
bool lm_normalize_nfc(const LmHost *host, LmBytes *normal, LmBytes text, LmError *error);
void lm_normal_free(const LmHost *host, LmBytes normal);

/* A growing array of ids; zero it before first use, release with lm_tokens_free. */
typedef struct LmTokens
{
	int32_t *ids;
	size_t count;
	size_t capacity;
} LmTokens;

/* Appends one id; on LM_ERR_MEMORY tokens holds what it held. _free leaves it empty. */
bool lm_tokens_append(const LmHost *host, LmTokens *tokens, int32_t id, LmError *error);
void lm_tokens_free(const LmHost *host, LmTokens *tokens);

/*
 * Appends the ids of text[0..size) to tokens; on failure tokens holds what it held. Asks
 * should_stop at least every 64 KiB of text. LM_ERR_ENCODING for invalid UTF-8 (BPE and CHARS) and
 * for a character without a token where there is no `unknown`; LM_ERR_LIMIT beyond 1 GiB of text or
 * 16 MiB of one word, and where the pattern needs too much time or stack; LM_ERR_STOPPED,
 * LM_ERR_MEMORY.
 */
bool lm_tokenizer_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
						 LmError *error);

/* What a part of a text is. */
typedef enum LmEncodeFlag
{
	LM_ENCODE_SPECIAL = 1, /* names of special tokens in it become those tokens */
	LM_ENCODE_INSIDE = 2, /* it is not the beginning: no space comes in front of it */
} LmEncodeFlag;

/*
 * The same for a part of a text; flags are of LmEncodeFlag. Never give LM_ENCODE_SPECIAL for words
 * of a user: encode a template with it and the words without.
 */
bool lm_tokenizer_encode_part(LmTokenizer *tokenizer, LmTokens *tokens, const char *text,
							  size_t size, int flags, LmError *error);

/*
 * Many documents at once, on all threads of an engine. The results are those of lm_tokenizer_encode
 * for each of them, and do not depend on threads. The tokenizer must outlive the encoder and may be
 * used between runs.
 */
typedef struct LmEncoder LmEncoder;

#define LM_ENCODER_DOCUMENTS 8192 /* in a run, at most */

/* One document of a run: text and ids are the caller's memory. */
typedef struct LmEncoding
{
	const char *text;
	size_t size;
	int flags; /* of LmEncodeFlag; of a text that is not marked */
	bool marked; /* a marked text (engine/marked_text.h) ... */
	bool flagged; /* ... whose ids of context are flagged */
	int32_t *ids; /* where they go ... */
	/* ... if they are not more: without NFC and prefix a text has at most a token a byte */
	size_t capacity;
	size_t count; /* how many there are */
	/* false: encode it alone. It is large, or the engine was stopped, or it is in error */
	bool done;
} LmEncoding;

/*
 * A tokenizer for each thread of the engine, in memory of host. NULL with LM_ERR_MEMORY or
 * LM_ERR_LIBRARY.
 */
LmEncoder *lm_encoder_create(LmEngine *engine, const LmTokenizer *tokenizer, const LmHost *host,
							 LmError *error);
void lm_encoder_free(LmEncoder *encoder);
/* Sets count, done and what ids points to. The caller called lm_engine_begin. */
void lm_encoder_run(LmEncoder *encoder, LmEncoding *documents, int n_documents);

/*
 * A tokenizer that shares the tables of another, for one more thread; host gives its scratch
 * memory. The other must outlive it. NULL with LM_ERR_MEMORY or _LIBRARY.
 */
LmTokenizer *lm_tokenizer_fork(const LmTokenizer *tokenizer, const LmHost *host, LmError *error);

/*
 * The bytes of one token, as they appear in decoded text: empty for special tokens and for ids out
 * of range. Lives as long as the tokenizer. Decoding a sequence is concatenation; the result need
 * not be valid UTF-8.
 */
LmBytes lm_tokenizer_bytes(const LmTokenizer *tokenizer, int32_t id);
/* The same, but of a special token its name. */
LmBytes lm_tokenizer_name(const LmTokenizer *tokenizer, int32_t id);

/* Places first .. end - 1 in the order of tokens by their bytes. */
typedef struct LmTokenRange
{
	int32_t first;
	int32_t end;
} LmTokenRange;

/*
 * Tokens in the order of their bytes. _sort makes the order, 4 bytes a token, unless there is one
 * already; tokenizers of bytes and of characters have none, because no token of theirs begins with
 * another.
 * _longer returns the places of all tokens that are longer than the bytes (at least one) and begin
 * with them, without special tokens; none where there is no order. _beginning: with those that are
 * these bytes, which come first. _ordered returns the token at a place. LM_ERR_MEMORY,
 * LM_ERR_STOPPED.
 */
bool lm_tokenizer_sort(LmTokenizer *tokenizer, LmError *error);
LmTokenRange lm_tokenizer_longer(const LmTokenizer *tokenizer, LmBytes beginning);
LmTokenRange lm_tokenizer_beginning(const LmTokenizer *tokenizer, LmBytes beginning);
int32_t lm_tokenizer_ordered(const LmTokenizer *tokenizer, int32_t place);

/*
 * Byte-level BPE (Gage 1994; Sennrich et al. 2016; Radford et al. 2019).
 *
 * A trainer counts pieces of text, in any order, and then merges: its result depends on the counts
 * alone, not on threads nor on the memory that it has. Ties between pairs of equal count go to the
 * greater pair, compared as (bytes of left, bytes of right). A piece longer than a token can be is
 * counted in parts.
 */
typedef struct LmBpeTrainer LmBpeTrainer;

/* How a trainer counts and what it learns. All zeros: GPT-2's split, and all pairs that repeat. */
typedef struct LmBpeOptions
{
	const char *pattern; /* as in LmTokenizerSpec; it is copied */
	/* one at most: texts are counted as the tokenizer sees them */
	bool normalize_nfc, normalize_nfkc;
	/* merges whose pair occurs less often are not learnt; below 2: 2 */
	int64_t min_count;
	/*
	 * No token cuts a character: it is whole characters, or a part of one. And none has letters of
	 * two scripts (text/token_shape.h).
	 */
	bool whole_characters;
	LmEngine *engine; /* its threads count; it outlives the trainer. NULL: the caller's thread */
	/*
	 * Bytes that the trainer may take, beside a few MB for each thread; 0: no limit. Counting takes
	 * up to half of them, and is then full. Merging takes at least twice the bytes of all distinct
	 * words (or twice their characters, where tokens are whole ones), and goes faster with three
	 * times as much.
	 */
	size_t memory;
} LmBpeOptions;

/* NULL with LM_ERR_FORMAT, _LIMIT, _MEMORY or _LIBRARY. options may be NULL. */
LmBpeTrainer *lm_bpe_trainer_create(const LmHost *host, const LmBpeOptions *options,
									LmError *error);
void lm_bpe_trainer_free(LmBpeTrainer *trainer);

/*
 * Counts the words of a text, or of n texts, which a few MB at a time makes fastest. Errors of
 * lm_tokenizer_encode; *failed is the number of the text that one is about. LM_ERR_LIMIT when the
 * trainer is full, until the caller has spilled it. After that, and after LM_ERR_STOPPED, the same
 * call with the same texts goes on where it ended, and no other may come between.
 */
bool lm_bpe_trainer_add(LmBpeTrainer *trainer, const char *text, size_t size, LmError *error);
bool lm_bpe_trainer_add_many(LmBpeTrainer *trainer, const LmBytes *texts, int n, int *failed,
							 LmError *error);

/*
 * Adds count occurrences, at least one, of a word of 1 to LM_MAX_TOKEN_SIZE bytes that was counted
 * elsewhere with the same pattern. A trainer of the counts of all texts makes what one of the texts
 * makes. LM_ERR_LIMIT when the trainer is full; LM_ERR_MEMORY; LM_ERR_ARGUMENT for another size or
 * count, and once it merges.
 */
bool lm_bpe_trainer_put(LmBpeTrainer *trainer, LmBytes word, int64_t count, LmError *error);

/*
 * Beyond the memory, counted words go out in blocks, each of one of LM_BPE_PARTS parts, and come
 * back after the last text, twice:
 *
 *   while (!_add(...))
 *       if (_full) while ((block = _spill(&part)).size > 0) store the block at the end of the part;
 *       else error
 *   if (_spilled)
 *       while ((block = _spill(&part)).size > 0) store it;
 *       while ((part = _wanted()) >= 0)
 *           for each block of the part: _restore(block);
 *           _restored();
 *   _finish(...)
 *
 * A block lives until the next call. _spill: data is NULL on LM_ERR_MEMORY. _restore: LM_ERR_FORMAT
 * for a damaged block, LM_ERR_MEMORY. _restored: LM_ERR_MEMORY; LM_ERR_LIMIT where the words do not
 * fit into the memory; the trainer is then of no use.
 */
#define LM_BPE_PARTS 32
bool lm_bpe_trainer_full(const LmBpeTrainer *trainer);
bool lm_bpe_trainer_spilled(const LmBpeTrainer *trainer);
LmBytes lm_bpe_trainer_spill(LmBpeTrainer *trainer, int *part, LmError *error);
int lm_bpe_trainer_wanted(const LmBpeTrainer *trainer);
bool lm_bpe_trainer_restore(LmBpeTrainer *trainer, LmBytes block, LmError *error);
bool lm_bpe_trainer_restored(LmBpeTrainer *trainer, LmError *error);

/* Bytes that the trainer holds, and the distinct words that it has counted and not spilled. */
size_t lm_bpe_trainer_memory(const LmBpeTrainer *trainer);
size_t lm_bpe_trainer_words(const LmBpeTrainer *trainer);

/*
 * Up to n_merges merges towards n_tokens ids, for a caller that shows how far it is; the first call
 * also counts all pairs, and from it on no text is counted. *done when n_tokens exist or no pair
 * occurs often enough. lm_bpe_trainer_tokens: the ids that exist. LM_ERR_STOPPED: the call can be
 * repeated; LM_ERR_MEMORY; LM_ERR_LIMIT where merging does not fit into the memory;
 * LM_ERR_ARGUMENT for n_tokens below 257 or beyond LM_MAX_VOCABULARY.
 */
bool lm_bpe_trainer_merge(LmBpeTrainer *trainer, int n_tokens, int n_merges, bool *done,
						  LmError *error);
int lm_bpe_trainer_tokens(const LmBpeTrainer *trainer);

/*
 * Merges until n_tokens ids exist: 256 bytes, the merges, then LM_END_OF_TEXT as the last id. Fewer
 * when no pair occurs often enough: *n_reached says how many. The spec is owned by the trainer, and
 * lives until the next call. It can be called again with another size, larger or smaller: a smaller
 * vocabulary is the beginning of a larger one. Errors of lm_bpe_trainer_merge.
 */
const LmTokenizerSpec *lm_bpe_trainer_finish(LmBpeTrainer *trainer, int n_tokens, int *n_reached,
											 LmError *error);

/* Collects the code points of texts for a CHARS tokenizer. */
typedef struct LmCharsTrainer LmCharsTrainer;

/*
 * _add: errors of lm_tokenizer_encode. _finish: the spec, which belongs to the trainer, has the
 * collected code points in order, then LM_UNKNOWN, then LM_END_OF_TEXT; LM_ERR_LIMIT,
 * LM_ERR_MEMORY.
 */
LmCharsTrainer *lm_chars_trainer_create(const LmHost *host, LmError *error);
bool lm_chars_trainer_add(LmCharsTrainer *trainer, const char *text, size_t size, LmError *error);
const LmTokenizerSpec *lm_chars_trainer_finish(LmCharsTrainer *trainer, LmError *error);
void lm_chars_trainer_free(LmCharsTrainer *trainer);

/* BYTES: 256 bytes, then LM_END_OF_TEXT as id 256. Static, lives for ever. */
const LmTokenizerSpec *lm_bytes_spec(void);

/* UTF-8 as Unicode 15 table 3-7 defines it. Length of the valid character at text, or 0. */
int lm_utf8_length(const char *text, size_t size);
/* True for valid UTF-8; else *position is the offset of the first byte that is not. */
bool lm_utf8_valid(const char *text, size_t size, size_t *position);

#endif /* LM_TOKENIZER_H */
