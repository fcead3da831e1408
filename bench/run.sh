#!/bin/bash
#
# bench/run.sh - the first part of `make bench`: training speed of models XS, S and M beside PyTorch, interleaved.
#
# ROUNDS times (3) in turn: ours in float32, PyTorch in float32, ours in `auto`, PyTorch in bfloat16 (autocast), each a
# process of its own on THREADS threads (2). Prints every line, and for each model the median over the rounds of
#   float32   ours in float32 / PyTorch in float32
#   auto      ours in auto / the faster of PyTorch's two
# and then the speed of S on one thread and on two. PyTorch is Debian's python3-torch with libopenblas0-openmp, which
# the packages script installs in its group "bench"; the pthread flavour makes PyTorch slower with a second thread.
# MODELS="XS S" takes some of them; STEPS_XS, STEPS_S, STEPS_M are the steps of a process; KERNELS=0 leaves out the
# table of matrix products that comes first.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh build bench >&2
rounds=${ROUNDS:-3}
openmp=$(find /usr/lib -maxdepth 2 -type d -name openblas-openmp | head -n 1)
declare -A steps=([XS]=${STEPS_XS:-30} [S]=${STEPS_S:-8} [M]=${STEPS_M:-3})

ours()
{
	PRECISION=$1 build/bench/train "$2" "${steps[$2]}"
}

# An override of the kernels that OpenBLAS would choose is not passed on: it could only make the other side slower.
theirs()
{
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE PRECISION="$1" LD_LIBRARY_PATH=$openmp /usr/bin/python3 bench/torch_train.py "$2" "${steps[$2]}"
}

rate()
{
	sed -n -E 's/.*tokens_per_second ([0-9]+).*/\1/p' <<<"$1"
}

median()
{
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

ratio()
{
	awk -v a="$1" -v b="$2" -v c="${3:-0}" 'BEGIN { printf "%.3f", a / (b > c ? b : c) }'
}

if [ "${KERNELS:-1}" != 0 ]; then
	build/bench/kernels
fi
for model in ${MODELS:-XS S M}; do
	float32=() auto=()
	for ((round = 0; round < rounds; round++)); do
		a=$(ours float32 "$model")
		b=$(theirs float32 "$model") || b=
		c=$(ours auto "$model")
		d=$(theirs bfloat16 "$model") || d=
		printf '%s\n' "$a" "$b" "$c" "$d"
		if [ -n "$b" ] && [ -n "$d" ]; then
			float32+=("$(ratio "$(rate "$a")" "$(rate "$b")")")
			auto+=("$(ratio "$(rate "$c")" "$(rate "$b")" "$(rate "$d")")")
		fi
	done
	if [ ${#float32[@]} -gt 0 ]; then
		printf '%s: float32 / PyTorch float32: median %s of %s\n' "$model" "$(median "${float32[@]}")" "${float32[*]}"
		printf '%s: auto / the faster of PyTorch: median %s of %s\n' "$model" "$(median "${auto[@]}")" "${auto[*]}"
	fi
done
for precision in float32 auto; do
	gains=()
	for ((round = 0; round < rounds; round++)); do
		one=$(THREADS=1 ours "$precision" S)
		two=$(THREADS=2 ours "$precision" S)
		gains+=("$(ratio "$(rate "$two")" "$(rate "$one")")")
	done
	printf 'S, %s: 2 threads / 1: median %s of %s\n' "$precision" "$(median "${gains[@]}")" "${gains[*]}"
done
