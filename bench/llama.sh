#!/bin/bash
#
# bench/llama.sh FOLDER [MODEL...] - inference of Llama shapes beside llama.cpp, in turn (some minutes).
#
# FOLDER has the files of bench/llama.py; MODEL is 135M or 1.1B (both). LLAMA_BENCH ("llama-bench") is the command of
# llama.cpp's benchmark, and LLAMA_FOLDER the name of FOLDER for it, where it runs in another root. THREADS (2), ROUNDS
# (3), TYPES ("bfloat16:BF16 int8:Q8_0 int4:Q4_0"). In each round build/bench/decode and then llama-bench: a token of
# one sequence, and a prompt of 256 tokens. Prints tokens a second of each round, then the medians and their ratio.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=$1
shift
llama_folder=${LLAMA_FOLDER:-$folder}
read -ra llama <<<"${LLAMA_BENCH:-llama-bench}"
threads=${THREADS:-2} rounds=${ROUNDS:-3} types=${TYPES:-bfloat16:BF16 int8:Q8_0 int4:Q4_0}
make -s build/bench/decode

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# ours MODEL TYPE: tokens a second of decode and of prefill
ours()
{
	ALONE=1 ROUNDS=5 THREADS=$threads build/bench/decode "$1" "$2" | awk '$3 ~ /^(decode|prefill)$/ { print $3, $5 }'
}

# theirs FILE: the same of llama-bench, whose CSV names the columns
theirs() {
	"${llama[@]}" -t "$threads" -m "$1" -p 256 -n 32 -r 3 -o csv 2>/dev/null |
		python3 -c 'import csv, sys
for row in csv.DictReader(sys.stdin):
    print("prefill" if int(row["n_prompt"]) > 0 else "decode", "%.1f" % float(row["avg_ts"]))'
}

models=("$@")
[ $# -gt 0 ] || models=(135M 1.1B)
for model in "${models[@]}"; do
	for type in $types; do
		mine=() other=()
		for ((round = 0; round < rounds; round++)); do
			mine+=("$(ours "$model" "${type%:*}")")
			other+=("$(theirs "$llama_folder/$model-${type#*:}.gguf")")
			echo "# $model $type:" "${mine[round]//$'\n'/, }" "/ ${other[round]//$'\n'/, }"
		done
		for work in decode prefill; do
			a=$(printf '%s\n' "${mine[@]}" | awk -v work=$work '$1 == work { print $2 }' | median)
			b=$(printf '%s\n' "${other[@]}" | awk -v work=$work '$1 == work { print $2 }' | median)
			awk -v a="$a" -v b="$b" -v name="$model ${type%:*} $work" -v other="${type#*:}" \
				'BEGIN { printf "%-24s %8.1f tokens/s, llama.cpp %s %8.1f: %.2f\n", name, a, other, b, a / b }'
		done
	done
done
