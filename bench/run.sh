#!/bin/bash
#
# bench/run.sh - what `make bench` runs: training speed of models XS and S beside PyTorch, interleaved.
#
# ROUNDS pairs (3) of our program and PyTorch, each a process of its own, in turn: A B A B. Prints every line and
# the median ratio. PyTorch is Debian's python3-torch with libopenblas0-openmp, which the packages script
# installs in its group "bench"; the pthread flavour makes PyTorch slower with a second thread.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh build bench >&2
rounds=${ROUNDS:-3}
openmp=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1)
declare -A steps=([XS]=${STEPS_XS:-30} [S]=${STEPS_S:-8} [M]=${STEPS_M:-3})

torch_side()
{
	LD_LIBRARY_PATH=$openmp /usr/bin/python3 bench/torch_train.py "$1" "$2"
}

rate()
{
	sed -E 's/.*tokens_per_second ([0-9]+).*/\1/' <<<"$1"
}

build/bench/kernels
for model in ${MODELS:-XS S}; do
	ratios=()
	for ((round = 0; round < rounds; round++)); do
		ours=$(build/bench/train "$model" "${steps[$model]}")
		echo "$ours"
		if torch=$(torch_side "$model" "${steps[$model]}"); then
			echo "$torch"
			ratios+=("$(awk -v a="$(rate "$ours")" -v b="$(rate "$torch")" 'BEGIN { printf "%.3f", a / b }')")
		fi
	done
	if [ ${#ratios[@]} -gt 0 ]; then
		printf '%s: median ratio gpt/PyTorch %s of %s\n' "$model" \
			"$(printf '%s\n' "${ratios[@]}" | sort -n | sed -n "$(((${#ratios[@]} + 1) / 2))p")" "${ratios[*]}"
	fi
done
