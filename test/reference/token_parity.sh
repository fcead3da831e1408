#!/bin/bash
#
# test/reference/token_parity.sh [BYTES] - the tokens of gpt beside those of other libraries, on BYTES (20,000,000) of mixed text
# (mixed_text.py), token for token. Prints a line for each vocabulary; the exit status is 1 if any row differs.
#
#   TOKENIZERS   files NAME.json for Hugging Face's library, NAME.model for sentencepiece: a folder (default: build/tokenizers)
#   NPM_FOLDER      a folder with node_modules/tiktoken, whose gpt2, cl100k_base and o200k_base are compared too
#   JUDGE        the Python that has `tokenizers` and `sentencepiece` (python3); JUDGE_ROOT: where its / is, if that is a chroot
#   ONLY         names to take, of all
#
# A judge that is missing is named and left out.
set -uo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=bench/server.sh
. bench/server.sh

size=${1:-20000000} parity=test/reference/token_parity.py folder=${TOKENIZERS:-build/tokenizers} judge=${JUDGE:-python3} status=0
exchange=$(mktemp -d "${JUDGE_ROOT:-}/tmp/parity-XXXXXX")
inside=${exchange#"${JUDGE_ROOT:-}"}
chmod 755 "$exchange"

start_server parity <<SETTINGS
fsync = off
SETTINGS
trap 'cluster_stop "$work"; cluster_stop_all "$work"; rm -rf "$work" "$exchange"' EXIT
cp "$parity" "$exchange/judge.py"
python3 test/reference/mixed_text.py "$size" "$exchange/rows" || exit 1
"${psql[@]}" -c 'CREATE TABLE row (number integer, body text)'
python3 "$parity" copy "$exchange/rows" | "${psql[@]}" -c 'COPY row FROM STDIN' || exit 1

# ours FILE: ids of gpt, by the reader of the file
ours()
{
	"${psql[@]}" -At <<-SQL | grep '^{' | python3 "$parity" arrays "$exchange/rows" "$exchange/ours"
		\\lo_import $1
		SELECT gpt_import_tokenizer('judged', :LASTOID);
		SELECT gpt_tokenize('judged', body) FROM row ORDER BY number;
	SQL
}

# judged NAME FILE COMMAND...: the command writes $exchange/theirs
judged()
{
	local name=$1 file=$2 judge_version
	shift 2
	[[ -z ${ONLY:-} || " $ONLY " == *" $name "* ]] || return
	if ! judge_version=$("$@" 2>"$exchange/errors"); then
		echo "$name: skipped, $(tail -n 1 "$exchange/errors")"
		return
	fi
	echo -n "$name ($judge_version): "
	ours "$file" && python3 "$parity" compare "$exchange/rows" "$exchange/ours" "$exchange/theirs" || status=1
}

for encoding in gpt2 cl100k_base o200k_base; do
	if [ -d "${NPM_FOLDER:-.}/node_modules/tiktoken" ]; then
		python3 "$parity" ranks "$NPM_FOLDER/node_modules/tiktoken/encoders/$encoding.json" >"$exchange/$encoding.tiktoken"
		script=$PWD/test/reference/token_parity.js
		judged "$encoding" "$exchange/$encoding.tiktoken" \
			env -C "$NPM_FOLDER" node "$script" "$encoding" "$exchange/rows" "$exchange/theirs"
	else
		echo "$encoding: skipped, no node_modules/tiktoken"
	fi
done
for file in "$folder"/*.json "$folder"/*.model; do
	[ -f "$file" ] || continue
	name=$(basename "$file")
	cp "$file" "$exchange/$name"
	command=library
	[[ $file == *.json ]] || command=pieces
	judged "$name" "$file" $judge "$inside/judge.py" "$command" "$inside/$name" "$inside/rows" "$inside/theirs"
	rm -f "$exchange/$name"
done
exit $status
