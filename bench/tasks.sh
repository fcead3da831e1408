#!/bin/bash
#
# bench/tasks.sh - the second part of `make bench`: each task beside the simple tool that a user would otherwise take.
#
# The rows are ../shared/data, or GPT_TEST_DATA; without that folder nothing runs. TASKS names some of classify
# translate headlines text_to_sql preferences find judging choose little explain, in that order by default; empty for
# none. Each is the script of that name, whose variables (SEEDS, THREADS, MINUTES ...) pass through. All of them with
# three seeds take about six hours on two cores, most of it translate and little.
set -euo pipefail

cd "$(dirname "$0")/.."
data=${GPT_TEST_DATA:-../shared/data}
[ -d "$data" ] || { echo "bench/tasks.sh: no folder $data: the tasks are skipped" >&2 && exit 0; }
data=$(realpath "$data")
export GPT_TEST_DATA=$data SEEDS=${SEEDS:-1 2 3}
scripts/packages.sh build bench >&2

failed=0
for task in ${TASKS-classify translate headlines text_to_sql preferences find judging choose little explain}; do
	case $task in
		classify | find | judging | explain) arguments=("$data/classify") ;;
		preferences) arguments=("$data/corpora/tinystories_sample.txt") ;;
		little) arguments=("$data/corpora") ;;
		choose) arguments=("$data") ;;
		translate | headlines | text_to_sql) arguments=() ;;
		*) echo "bench/tasks.sh: there is no task $task" >&2 && exit 2 ;;
	esac
	printf '\n== %s\n' "$task"
	"bench/$task.sh" "${arguments[@]}" || { echo "bench/tasks.sh: $task failed" >&2 && failed=1; }
done
exit $failed
