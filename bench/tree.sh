#!/bin/bash
# bench/tree.sh MODEL STEPS LEAVES MEMBERS
#
# Steps along a tree (bench/tree.c) of members on this machine, one core each, over the gradient channel on the loopback
# interface. All members print the same hash of parameters, which is that of MEMBERS=1. Needs gpt_gloo.so.
set -eu
cd "$(dirname "$0")/.."
meeting=$(mktemp -d)
trap 'rm -rf "$meeting"' EXIT
pids=()
for ((member = 0; member < $4; member++)); do
	taskset -c $((member % $(nproc))) build/bench/tree "$1" "$2" "$3" "$member" "$4" "$meeting" &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid"
done
