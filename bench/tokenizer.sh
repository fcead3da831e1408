#!/bin/bash
#
# bench/tokenizer.sh - encoding by the engine and by Hugging Face's `tokenizers`, one thread each, the same rows, in
# turn.
#
# For each tokenizer.json of the folder TOKENIZERS (build/tokenizers) and each text (English, Chinese, mixed): ROUNDS
# (3) times gpt, then the library's encode_batch_fast; bytes a second of processor time, the best of the rounds, and the
# ratio. The hash of the ids must be the same. SIZE (8,000,000) bytes of rows of about 500 characters, from the test
# data (GPT_TEST_DATA, else ../shared/data) and test/reference/mixed_text.py. JUDGE is the Python with `tokenizers`
# (python3), JUDGE_ROOT its root where it is a chroot, ONLY the names to take; JUDGE= leaves the library out.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${GPT_TEST_DATA:-../shared/data} folder=${TOKENIZERS:-build/tokenizers} size=${SIZE:-8000000} judge=${JUDGE-python3}
make -s build/bench/tokenizer
exchange=$(mktemp -d "${JUDGE_ROOT:-}/tmp/tokenizer-XXXXXX")
trap 'rm -rf "$exchange"' EXIT
inside=${exchange#"${JUDGE_ROOT:-}"}
cp bench/tokenizer.py "$exchange"
corpora=$data/corpora
python3 bench/tokenizer.py rows "$size" "$exchange/English" "$corpora"/{war-and-peace.txt,tinyshakespeare.txt,wikitext2.valid.txt}
python3 bench/tokenizer.py rows "$size" "$exchange/Chinese" "$corpora/tang_poems_2000.txt" "$data/classify/waimai_zh.train.csv"
python3 test/reference/mixed_text.py "$size" "$exchange/mixed"

# field NAME LINE: the number after the name
field()
{
	sed -n "s|.*$1 \([0-9a-f.]*\).*|\1|p" <<<"$2"
}

larger()
{
	awk -v a="$1" -v b="$2" 'BEGIN { print (a > b ? a : b) }'
}

printf '%-14s %-8s %10s %10s %7s\n' vocabulary text 'gpt MB/s' library ratio
for file in "$folder"/*.json; do
	name=$(basename "$file" .json)
	[[ -z ${ONLY:-} || " $ONLY " == *" $name "* ]] || continue
	cp "$file" "$exchange/judged.json"
	python3 bench/tokenizer.py spec "$file" "$exchange/spec"
	for text in English Chinese mixed; do
		ours=0 theirs=0
		for ((round = 0; round < ${ROUNDS:-3}; round++)); do
			line=$(build/bench/tokenizer "$exchange/spec" "$exchange/$text" 1)
			ours=$(larger "$ours" "$(field MB/s "$line")")
			[ -n "$judge" ] || continue
			# shellcheck disable=SC2086
			other=$(env RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $judge "$inside/tokenizer.py" library "$inside/judged.json" \
				"$inside/$text")
			theirs=$(larger "$theirs" "$(field MB/s "$other")")
			[ "$(field ids "$line")" = "$(field ids "$other")" ] || echo "$name, $text: the ids differ" >&2
		done
		printf '%-14s %-8s %10s %10s %7s\n' "$name" "$text" "$ours" "$theirs" \
			"$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf (b > 0 ? "%.1f" : "-"), (b > 0 ? a / b : 0) }')"
	done
done
