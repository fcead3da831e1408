/*
 * src/corpus/replay.c
 *
 * Counts of old rows go in, the ones to learn again come out. Groups of equal rows lie on a line in
 * the order of a hash with the seed, each as long as it has rows; marks at equal distances say how
 * many of each are drawn (systematic sampling). So a text that is in six of ten old rows is in six
 * of ten drawn ones, and the number of all is exact.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "corpus/replay.h"

GptReplay *
gpt_replay_create(uint64 seed)
{
	GptReplay *replay = palloc0(sizeof(GptReplay));

	replay->seed = seed;
	replay->counts = gpt_row_counts_create();
	return replay;
}

void
gpt_replay_free(GptReplay *replay)
{
	gpt_row_counts_free(replay->counts);
	pfree(replay);
}

/* The key covers everything that tells rows apart; labels count as they are written. */
uint64
gpt_replay_key(const GptSourceRow *row, const uint64 *hash)
{
	struct
	{
		uint64 hash[2];
		uint64 labels;
		double weight;
		double target;
	} all = {{hash[0], hash[1]}, row->validation, row->weight, row->target};

	/* A sum, because in an array of labels the order does not matter. */
	for (int i = 0; i < row->n_labels; i++)
		all.labels += lm_row_mix(hash_bytes_extended((const unsigned char *) row->labels[i],
													 (int) strlen(row->labels[i]), 1));
	return hash_bytes_extended((const unsigned char *) &all, sizeof(all), 0);
}

static uint64
seeded(const GptReplay *replay, uint64 key)
{
	return lm_row_mix(hash_bytes_extended((const unsigned char *) &key, sizeof(key), replay->seed));
}

void
gpt_replay_count(GptReplay *replay, uint64 key)
{
	gpt_row_counts_add(replay->counts, seeded(replay, key), 0, 0, 0);
}

/* Marks that lie before this place, of so many on a line of that length. */
static int64
marks_before(double place, int64 n_marks, double length)
{
	return (int64) (place * (double) n_marks / length);
}

void
gpt_replay_choose(GptReplay *replay, int64 wanted)
{
	GptRowCounts *counts = replay->counts;
	double length = 0;
	double place = 0;

	gpt_row_counts_finish(counts);
	for (size_t i = 0; i < counts->n; i++)
		length += counts->groups[i].n_rows;
	replay->chosen = (int64) Min((double) wanted, length);
	for (size_t i = 0; i < counts->n; i++)
	{
		LmRowGroup *group = &counts->groups[i];
		int64 before = marks_before(place, replay->chosen, length);

		CHECK_FOR_INTERRUPTS();
		place += group->n_rows;
		group->n_rows = (uint32) (marks_before(place, replay->chosen, length) - before);
	}
}

bool
gpt_replay_draw(GptReplay *replay, uint64 key)
{
	LmRowGroup *group =
		lm_row_groups_find(replay->counts->groups, replay->counts->n, seeded(replay, key));

	if (group == NULL || group->n_rows == 0)
		return false;
	group->n_rows--;
	return true;
}
