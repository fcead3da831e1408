#!/bin/bash
#
# bench/little.sh FOLDER - bits a byte of the last tenth of texts, after a default training on the rest, beside PPMd.
#
# FOLDER holds the corpora. Each text is one row, cut at the last end of a line within its first nine tenths; names are
# a row a name as well, where the end of a name counts as its newline. Two books are the first 150 kB and the 300 kB
# from byte 400,000 of war-and-peace.txt. Ours is gpt_score(model, last tenth, 'bits_per_byte') after gpt_train with
# OPTIONS (a JSON object, default '{}': no options), once for each of SEEDS (1), with THREADS (2). PPMd is 7-Zip's with
# its best order of 2 to 16: the size of the whole less the size of the head. 7-Zip takes less memory for a smaller file
# and then forgets the beginning of it, so both go into one archive beside a larger file, each compressed by itself,
# with the same 256 MB. CORPORA names some of corpus names names_rows book150 book300 tang stories shakespeare wikitext
# tolstoy. Prints a row for each: ours by seed, the network alone on the validation side and with n-grams, PPMd, and the
# ratio of the mean to PPMd. 10 minutes a row and seed.
set -euo pipefail

corpora=$(realpath "${1:?the folder of the corpora is missing}")
options=${OPTIONS:-'{}'}
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

start_server little <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.threads = ${THREADS:-2}
SETTINGS
psql+=(-At)

# The text of a name, into $work/whole.
whole()
{
	case $1 in
		corpus) cat "$corpora/corpus.en" ;;
		names | names_rows) cat "$corpora/names.txt" ;;
		book150) head -c 150000 "$corpora/war-and-peace.txt" ;;
		book300) tail -c +400001 "$corpora/war-and-peace.txt" | head -c 300000 ;;
		tang) cat "$corpora/tang_poems_2000.txt" ;;
		stories) cat "$corpora/tinystories_sample.txt" ;;
		shakespeare) cat "$corpora/tinyshakespeare.txt" ;;
		wikitext) cat "$corpora/wikitext2.valid.txt" ;;
		tolstoy) cat "$corpora/war-and-peace.txt" ;;
		*) echo "little: \"$1\" is no corpus" >&2 && return 1 ;;
	esac
}

# Cuts $work/whole into head and tail.
cut_tail()
{
	local size

	size=$(head -c "$(($(stat -c %s "$work/whole") * 9 / 10))" "$work/whole" | sed '$d' | wc -c)
	head -c "$size" "$work/whole" >"$work/head"
	tail -c "+$((size + 1))" "$work/whole" >"$work/tail"
}

# Bytes that 7-Zip's PPMd of an order needs for the tail after the head.
ppmd_bytes()
{
	rm -f "$work/both.7z"
	(cd "$work" && 7z a -t7z -ms=off "-m0=PPMd:o=$1:mem=256m" both.7z head whole zeros >/dev/null)
	7z l -slt "$work/both.7z" | awk '/^Path = /{path = $3} /^Packed Size = /{size[path] = $4} END {print size["whole"] - size["head"]}'
}

ppmd()
{
	local least=0 bytes order

	truncate -s 20M "$work/zeros"
	for order in {2..16}; do
		bytes=$(ppmd_bytes "$order")
		[ "$least" = 0 ] || [ "$bytes" -lt "$least" ] || continue
		least=$bytes best=$order
	done
	awk -v bytes="$least" -v size="$(stat -c %s "$work/tail")" -v order="$best" 'BEGIN {printf "%.4f (order %d)", 8 * bytes / size, order}'
}

# The parts as tables of one row, or of a row a line.
load()
{
	local split="ARRAY[:'content']"

	[ "$1" != names_rows ] || split="string_to_array(rtrim(:'content', E'\\n'), E'\\n')"
	for part in head tail; do
		{
			printf "\\\\set content \`cat '%s'; printf x\`\n" "$work/$part"
			echo "SELECT left(:'content', -1) AS content \\gset"
			echo "DROP TABLE IF EXISTS $part; CREATE TABLE $part AS SELECT r AS body FROM unnest($split) r;"
		} | "${psql[@]}" -q 2>/dev/null
	done
}

score()
{
	local seed=$1

	"${psql[@]}" -c "SELECT gpt_train('m', 'SELECT body FROM head', '$options'::jsonb || '{\"seed\": $seed}')" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && return 1; }
	"${psql[@]}" -F ' ' <<SQL
SELECT round((CASE WHEN count(*) = 1 THEN max(gpt_score('m', body, 'bits_per_byte'))
	ELSE -sum(gpt_score('m', body, 'logprob', true)) / ln(2) / sum(octet_length(body) + 1) END)::numeric, 4) FROM tail;
SELECT round(coalesce((conditions ->> 'network_validation_loss')::float8 / m.validation_loss * m.validation_bits_per_byte, m.validation_bits_per_byte)::numeric, 4),
	round(m.validation_bits_per_byte::numeric, 4), m.vocabulary, m.parameters, j.step, round((conditions ->> 'epochs')::numeric, 1),
	round(extract(epoch FROM finished_at - started_at))
FROM gpt_models m, gpt_jobs j WHERE j.job = (SELECT max(job) FROM gpt_jobs) AND m.model = 'm';
SELECT gpt_drop_model('m') \g /dev/null
SQL
}

echo "text | bytes | PPMd | ours by seed | mean to PPMd | network alone and with n-grams on validation, vocabulary, parameters, steps, epochs, seconds"
for name in ${CORPORA:-corpus names names_rows book150 book300 tang stories shakespeare wikitext tolstoy}; do
	whole "$name" >"$work/whole"
	cut_tail
	theirs=$(ppmd)
	load "$name"
	ours=() more=()
	for seed in ${SEEDS:-1}; do
		mapfile -t lines < <(score "$seed")
		ours+=("${lines[0]}") more+=("${lines[1]}")
	done
	ratio=$(printf '%s\n' "${ours[@]}" | awk -v theirs="${theirs%% *}" '{sum += $1} END {printf "%.3f", sum / NR / theirs}')
	echo "$name | $(stat -c %s "$work/whole") | $theirs | ${ours[*]} | $ratio | ${more[*]/%/;}"
done
