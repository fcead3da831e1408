#!/bin/bash
#
# bench/precision.sh SAMPLE - model S on Tiny Shakespeare's bytes in float32 and in bfloat16 (about an hour).
#
# SEEDS ("1 2 3") each give initial weights and batches, the same for both; the recipe is bench/convergence.c's. Fails
# unless the mean validation losses after STEPS (1000) lie within 0.01 nats of each other.
set -euo pipefail

sample=$(realpath "${1:?the sample text is missing}")
cd "$(dirname "$0")/.."
steps=${STEPS:-1000}
differences=()

for seed in ${SEEDS:-1 2 3}; do
	declare -A loss=()
	for precision in float32 bfloat16; do
		loss[$precision]=$(SEED=$seed PRECISION=$precision STEPS=$steps build/bench/convergence - "$sample" |
			awk -v steps="$steps" '$1 == steps { print $3 }')
	done
	differences+=("$(awk -v a="${loss[bfloat16]}" -v b="${loss[float32]}" 'BEGIN { print a - b }')")
	echo "seed $seed, step $steps: float32 ${loss[float32]}, bfloat16 ${loss[bfloat16]}, difference ${differences[-1]}"
done
printf '%s\n' "${differences[@]}" | awk '
	{ sum += $1 }
	END { mean = sum / NR; printf "mean difference %.4f\n", mean; exit (mean > 0.01 || mean < -0.01) }'
