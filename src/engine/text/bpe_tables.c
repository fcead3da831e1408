/*
 * src/engine/text/bpe_tables.c
 *
 * The description of a BPE in, its tables out: the tokens of the bytes, the merges by their pairs,
 * and where pieces are cut (text/cuts.h).
 */
#include "text/bpe.h"
#include "text/utf8.h"

#define POLL_MERGES 4096

static bool add_merges(LmBpe *bpe, const LmTokenizerSpec *spec, LmError *error);

bool
lm_bpe_create(LmBpe *bpe, const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	size_t n_slots = lm_table_size((size_t) spec->n_merges);

	memset(bpe, 0, sizeof *bpe);
	bpe->host = *host;
	bpe->merge_mask = (uint32_t) (n_slots - 1);
	bpe->key = host->hash_key;
	bpe->merges = lm_array_allocate(host, n_slots, sizeof *bpe->merges, error);
	if (!bpe->merges)
		return false;
	bpe->unknown = spec->unknown;
	bpe->fuse_unknown = spec->fuse_unknown;
	lm_bpe_find_bytes(bpe->byte_ids, spec);
	if (add_merges(bpe, spec, error) &&
		(spec->kind != LM_TOKENIZER_BPE || lm_cuts_create(&bpe->cuts, host, spec, error)))
		return true;
	lm_bpe_free(bpe);
	return false;
}

void
lm_bpe_fork(LmBpe *fork, const LmBpe *bpe, const LmHost *host)
{
	*fork = *bpe;
	fork->host = *host;
	fork->after_unknown = false;
	fork->cache = NULL;
	fork->text_size = 0;
}

void
lm_bpe_free(LmBpe *bpe)
{
	lm_free(&bpe->host, bpe->merges);
	lm_cuts_free(&bpe->cuts, &bpe->host);
	lm_free(&bpe->host, bpe->cache);
	memset(bpe, 0, sizeof *bpe);
}

void
lm_bpe_find_bytes(int32_t *byte_ids, const LmTokenizerSpec *spec)
{
	bool flagged = spec->kind != LM_TOKENIZER_BPE;

	for (int byte = 0; byte < 256; byte++)
		byte_ids[byte] = -1;
	for (int id = 0; id < spec->n_tokens; id++)
		if (!spec->special[id] && spec->tokens[id].size == 1 &&
			(flagged ? spec->flags && spec->flags[id] & LM_TOKEN_BYTE : lm_spec_makes(spec, id)))
			byte_ids[(unsigned char) spec->tokens[id].data[0]] = id;
}

/* Enters the merges in the hash table; two merges of the same pair are an error. */
static bool
add_merges(LmBpe *bpe, const LmTokenizerSpec *spec, LmError *error)
{
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		const LmMerge *merge = &spec->merges[rank];
		uint64_t key = lm_merge_key(merge->left, merge->right);
		uint32_t slot = lm_hash_pair(bpe->key, key) & bpe->merge_mask;

		if (rank % POLL_MERGES == 0 && !lm_text_go_on(&bpe->host, error))
			return false;

		for (; bpe->merges[slot].key != 0; slot = (slot + 1) & bpe->merge_mask)
			if (bpe->merges[slot].key == key)
				return lm_fail(error, LM_ERR_FORMAT, rank,
							   "merges %d and %d are both of tokens %d and %d",
							   bpe->merges[slot].rank, rank, merge->left, merge->right);
		bpe->merges[slot] = (LmMergeSlot){key, rank, merge->result};
	}
	return true;
}
