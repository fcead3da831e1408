#!/bin/bash
#
# scripts/fuzz.sh SECONDS PROGRAM - runs a target of libFuzzer (make fuzz-programs) for so long. Prints TAP: one test.
#
# It begins with the files of test/fuzz/corpus/TARGET; files with new ways through the code go to build/fuzz/corpus. A
# file that breaks the target is kept beside the program: "PROGRAM FILE" runs it again.
set -u
program=$2
name=$(basename "$program" | sed 's/^fuzz_//')
folder=$(dirname "$program")
seeds=test/fuzz/corpus/$name
log=$folder/$name.log

echo "1..1"
mkdir -p "$folder/corpus/$name"
# A hundredth of the memory of a server, for files of a few kB.
"$program" -max_total_time="$1" -max_len=8192 -timeout=20 -malloc_limit_mb=64 -rss_limit_mb=2048 -print_final_stats=1 \
	-artifact_prefix="$folder/$name-" "$folder/corpus/$name" "$seeds" >"$log" 2>&1
status=$?
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
if [ "$status" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
	echo "ok 1 - $name: $runs files in $1 s, each an error or a valid file"
else
	echo "not ok 1 - $name"
	grep -vE '^#[0-9]+' "$log" | tail -n 60 | sed 's/^/# /'
	exit 1
fi
