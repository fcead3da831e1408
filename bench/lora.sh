#!/bin/bash
#
# bench/lora.sh - an adapter against all weights: fine-tuning from the same base, each at its best of three learning
# rates.
#
# MODEL (M) is trained for BASE_STEPS (250) on the bytes of BASE_TEXT (the first two thirds of Tiny Shakespeare), and
# then for STEPS (50) on those of TEXT (the last third): all weights, and an adapter of RANK (16) beside them. The last
# line says whether the adapter's loss on the held-out tenth of TEXT is within 2 % of that of all weights, the adapter
# below 2 % of the weights and the memory of its training below 60 %. A quarter of an hour for M on two cores; MODEL=XS
# shows that it works.
set -euo pipefail
cd "$(dirname "$0")/.."

model=${MODEL:-M} base_steps=${BASE_STEPS:-250} steps=${STEPS:-50}
work=$(mktemp -d "${TMPDIR:-/tmp}/gpt-lora-XXXXXX")
trap 'rm -rf "$work"' EXIT

make -s build/bench/lora
head -n 26667 examples/tinyshakespeare.txt >"$work/base_text"
tail -n +26668 examples/tinyshakespeare.txt >"$work/text"
base_text=${BASE_TEXT:-$work/base_text} text=${TEXT:-$work/text}
build/bench/lora "$model" base "$work/base" "$base_steps" "$base_text"
for rate in ${FULL_RATES:-1e-4 3e-4 1e-3}; do
	build/bench/lora "$model" full "$work/base" "$steps" "$text" "$rate" | tee -a "$work/full"
done
for rate in ${LORA_RATES:-1e-3 3e-3 1e-2}; do
	build/bench/lora "$model" lora "$work/base" "$steps" "$text" "$rate" | tee -a "$work/lora"
done

# The line of the lowest loss: its loss, the share that is trained, seconds a step, memory by the formula and at most.
best()
{
	sed -E 's/.* after ([0-9.]+) trained ([0-9.]+) % step ([0-9.]+) s memory ([0-9]+) MB at_most ([0-9]+) MB/\1 \2 \3 \4 \5/' "$1" | sort -n | head -n 1
}

read -r full_loss _ full_step full_memory full_most < <(best "$work/full")
read -r lora_loss share lora_step lora_memory lora_most < <(best "$work/lora")
awk -v fl="$full_loss" -v ll="$lora_loss" -v share="$share" -v fm="$full_memory" -v lm="$lora_memory" -v fa="$full_most" -v la="$lora_most" \
	-v fs="$full_step" -v ls="$lora_step" 'BEGIN {
	printf "loss %.4f against %.4f (%+.1f %%), adapter %.2f %% of the weights, memory %.0f %% (%.0f %% at most), time of a step %.0f %%: %s\n",
		ll, fl, 100 * (ll / fl - 1), share, 100 * lm / fm, 100 * la / fa, 100 * ls / fs,
		ll <= 1.02 * fl && share < 2 && lm < 0.6 * fm && la < 0.6 * fa ? "passed" : "not passed" }'
