#!/bin/bash
#
# scripts/check.sh - builds a copy of the repository, runs every test in private clusters, and sums up.
#
# Two kinds of suites run side by side. Those of the engine compute: three of them run at once, two programs of each, at a
# low priority. Those with servers wait for a part of their time: three of them run at once, and one that waits for full
# minutes beside them. No test may hang on what else the machine does; those that give a job an idle priority follow alone.
# Nothing is written to the system or the checkout but build/check, where the logs stay, and no process stays. The last
# line is "N passed, N failed, N skipped"; the exit status is 0 when nothing failed.
#
#   SUITES="unit sql"   runs these suites only (build always runs); names as in the functions suite_* below, and a file of
#                       test/t as restart:011_pgbouncer
#   FUZZ_SECONDS=60     how long libFuzzer runs, over all of its targets
#   REF=HEAD            checks a commit instead of the files of the checkout
#   GPT_TEST_DATA       the folder of shared test data, else ../shared/data; tests that need it skip without it
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
. scripts/cluster.sh

# The variable marks each process of the run, so that finish() finds it wherever it has gone.
if [ -z "${GPT_CHECK_WORK:-}" ]; then
	GPT_CHECK_WORK=$(mktemp -d "${TMPDIR:-/tmp}/gpt-check-XXXXXX") || exit 1
	export GPT_CHECK_WORK
	exec "$0" "$@"
fi
work=$GPT_CHECK_WORK
chmod 755 "$work"
src=$work/src logs=$work/logs
mkdir "$src" "$logs" "$work/records" || exit 1

SUITES=${SUITES:-format border dist unit sanitize threads fuzz sql preloaded isolation pgtap docs restart torture}
# Far above what a test takes: the suites slow one another down, and so does what else the machine does.
limit=(timeout -k 10 1800)
jobs=$(nproc)
export LC_ALL=C.UTF-8 LANG=C.UTF-8 PGTZ=UTC
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGDATA MAKEFLAGS MAKELEVEL MFLAGS

# Runs a command so that a signal to this script is not held up by it.
run()
{
	"$@" </dev/null &
	wait $!
}

# The processes of the run but the one that asks and its parents. Servers rewrite their environment, but work in a folder
# of the run.
processes()
{
	local pid=$BASHPID own=" " found

	while [ "$pid" -gt 1 ]; do
		own+="$pid "
		pid=$(sed -n 's/^PPid:[[:blank:]]*//p' "/proc/$pid/status")
	done
	# Filtered afterwards, when the commands that look are no more.
	found=$(grep -lsaF "GPT_CHECK_WORK=$work" /proc/[0-9]*/environ
		find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$work/*" 2>/dev/null)
	for pid in $(cut -d / -f 3 <<<"$found" | sort -u); do
		[[ "$own" = *" $pid "* ]] || [ ! -e "/proc/$pid" ] || echo "$pid"
	done
}

# Waits up to SECONDS until no process of the run is left, and prints those that are.
wait_for_processes()
{
	local end=$((SECONDS + $1)) left

	while left=$(processes) && [ -n "$left" ] && [ "$SECONDS" -lt "$end" ]; do
		sleep 0.1
	done
	echo "$left"
}

finish()
{
	local pid

	trap '' INT TERM
	for pid in $(processes); do
		kill "$pid" 2>/dev/null
	done
	cluster_stop_all "$work"
	for pid in $(wait_for_processes 10); do
		kill -KILL "$pid" 2>/dev/null
	done
	wait
	if mkdir -p "$root/build/check" 2>/dev/null && [ -w "$root/build/check" ]; then
		rm -rf "$root/build/check" && cp -r "$logs" "$root/build/check"
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- counting ---------------------------------------------------------------------------------------------------

# record NAME PASSED FAILED SKIPPED SECONDS [PART]: adds to the line NAME of the summary, below the suite that runs.
record()
{
	printf '%s\t%d\t%d\t%d\t%d\n' "${@:1:5}" >>"$work/records/$suite"
	record_line "${6:-$1}" "${@:2:4}"
}

record_line()
{
	printf '%-28s %6d passed %4d failed %4d skipped %5d s\n' "$@"
}

# Counts the TAP in a log: "passed failed skipped". STATUS is the program's. No plan, fewer or more tests than planned,
# or a program that fails without a failed test count as one failure.
count_tap()
{
	awk -v status="$2" '
		/^ok [0-9].*# *[Ss][Kk][Ii][Pp]/ { n++; skipped++; next }
		/^ok [0-9]/ { n++; passed++; next }
		/^not ok [0-9].*# *TODO/ { n++; passed++; next }
		/^not ok [0-9]/ { n++; failed++; next }
		/^1\.\.0/ { planned = 1; none = 1; plan = 0; next }
		/^1\.\.[0-9]+/ { planned = 1; plan = substr($0, 4) + 0 }
		END {
			if (none && n == 0 && status == 0) { skipped = 1; n = plan = 0; planned = 1 }
			else if (!planned || plan != n || (status != 0 && !failed)) failed++
			print passed + 0, failed + 0, skipped + 0
		}' "$1"
}

# The log of a failed test: its last lines now; what failed is repeated beside the sums, where it is seen first.
show()
{
	local found

	found=$(grep -aE -e '^(not ok|# +Failed|# +at |# +got|# +expected|# +died|# Tests were run but|# stopped after)' \
		-e 'Dubious|error running|\.\.\. FAILED' -e ' s  (ended with status|injected, but)|^[0-9]{2}_[a-z_]+: died' "$2" | head -n 12)
	cut -c 1-300 <<<"${found:-$(tail -n 1 "$2")}" | sed "s|^|$1: |" >>"$work/failures"
	echo "---- $1: last lines of its log"
	tail -n 60 "$2"
	echo "----"
}

# tap_suite NAME FILES COMMAND...: runs "COMMAND file" for each file, which prints TAP; at_once files at a time.
tap_suite()
{
	local name=$1 files=$2 start=$SECONDS file log running=0 p f s passed=0 failed=0 skipped=0

	shift 2
	for file in $files; do
		[ "$running" -lt "${at_once:-1}" ] || wait -n
		tap_file "$(tap_log "$name" "$file")" "$@" "$file" &
		running=$((running + 1))
	done
	wait
	for file in $files; do
		log=$(tap_log "$name" "$file") p=0 f=1 s=0
		read -r p f s <"$log.counts"
		rm -f "$log.counts"
		[ "$f" = 0 ] || { grep -a -A 5 '^not ok' "$log" | head -n 100 && show "$(basename "$file")" "$log"; }
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	executed $((passed + failed))
	# A part of a suite has a line of its own when it ends.
	record "$name" "$passed" "$failed" "$skipped" $((SECONDS - start)) ${part:+"$part"}
}

tap_log()
{
	echo "$logs/${1//[^a-z]/-}-$(basename "$2").log"
}

# tap_file LOG COMMAND...: runs a command into LOG, and counts its tests in LOG.counts.
tap_file()
{
	local log=$1 began=$SECONDS status

	shift
	run "$@" >"$log" 2>&1
	status=$?
	[ "$status" != 124 ] || echo "# stopped after $((SECONDS - began)) s" >>"$log"
	count_tap "$log" "$status" >"$log.counts"
}

# Notes that a test was run.
executed()
{
	[ "$1" = 0 ] || touch "$work/executed"
}

# regress_suite NAME PROGRAM FOLDER FILES: pg_regress or pg_isolation_regress on the cluster in FOLDER. A test whose
# output has a line that starts with "SKIP" counts as skipped.
regress_suite()
{
	local name=$1 program=$2 folder=$3 tests=$4 start=$SECONDS out log passed failed skipped=0 status test

	log=$logs/${name//[^a-z]/-}.log out=$folder/${name//[^a-z]/-}
	as_server mkdir "$out"
	if [ -n "$tests" ]; then
		# shellcheck disable=SC2086 # a list of words
		run as_server env PGHOST="$(cat "$folder/socket")" "${limit[@]}" \
			"$pgxs/test/$program" --bindir="$(cluster_bin "$folder")" --user=postgres \
			--host="$(cat "$folder/socket")" --inputdir="$src/test" --outputdir="$out" --dbname=regression \
			--load-extension=gpt $tests >"$log" 2>&1
		status=$?
		passed=$(grep -cE '^(test +|ok [0-9]|     ).*\.\.\. ok|^ok [0-9]+' "$log")
		failed=$(grep -cE '\.\.\. FAILED|^not ok' "$log")
		for test in $tests; do
			! grep -qs '^SKIP' "$out/results/$test.out" || skipped=$((skipped + 1))
		done
		if [ "$status" != 0 ]; then
			[ "$failed" -gt 0 ] || failed=1
			show "$name" "$log"
			[ ! -f "$out/regression.diffs" ] || head -n 200 "$out/regression.diffs"
		fi
		cp "$out"/regression.diffs "$logs/${name//[^a-z]/-}.diffs" 2>/dev/null
		executed $((passed + failed))
		record "$name" $((passed - skipped)) "$failed" "$skipped" $((SECONDS - start))
	else
		record "$name" 0 0 0 0
	fi
}

# step NAME COMMAND...: one test that is a command.
step()
{
	local name=$1 start=$SECONDS log=$logs/${1//[^a-z]/-}.log

	shift
	if run "$@" >"$log" 2>&1; then
		record "$name" 1 0 0 $((SECONDS - start))
	else
		show "$name" "$log"
		record "$name" 0 1 0 $((SECONDS - start))
		return 1
	fi
}

# ---- suites -----------------------------------------------------------------------------------------------------

copy_source()
{
	if [ -n "${REF:-}" ]; then
		git archive "$REF" | tar -C "$src" -xf -
	else
		tar --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
			--exclude="./sql/gpt--$(sed -n "s/^default_version = '\(.*\)'/\1/p" gpt.control).sql" -cf - . | tar -C "$src" -xf -
	fi
}

build()
{
	make -C "$src" -j"$jobs" all build/torture/fault.so PG_CONFIG="$PG_CONFIG" WERROR=-Werror && cluster_tree "$work" "$src"
}

suite_format()
{
	if command -v clang-format >/dev/null; then
		step format make -s -C "$src" format-check
	else
		echo "format: clang-format is not installed"
		record format 0 0 1 0
	fi
}

suite_border()
{
	tap_suite border "$src" scripts/border.sh
}

# The archive of the checkout's last commit.
suite_dist()
{
	tap_suite dist "$root/scripts/dist.sh" dist_check
}

dist_check()
{
	"${limit[@]}" "$1" --check
}

suite_unit()
{
	step "build of unit tests" make -C "$src" -j"$jobs" unit-programs WERROR=-Werror || return
	tap_suite unit "$(find "$src/build/unit" -maxdepth 1 -type f -name 'test_*' | sort)" in_source
}

suite_sanitize()
{
	step "build of sanitized tests" make -C "$src" -j"$jobs" unit-programs SANITIZE=1 WERROR=-Werror || return
	tap_suite "unit, sanitized" "$(find "$src/build/unit-sanitize" -maxdepth 1 -type f -name 'test_*' | sort)" in_source
}

# The tests that run work on the pool; test_generate runs what test_many would, test_trainer what test_trace would. A
# race ends a program with status 66.
suite_threads()
{
	local sources

	sources=$(echo test/unit/test_{attention,encoder,engine,generate,infer,linear,panels,reader,score,trainer}.c)
	step "build for ThreadSanitizer" make -C "$src" -j"$jobs" unit-programs \
		UNIT_SOURCES="$sources" SANITIZE=thread WERROR=-Werror || return
	tap_suite "threads" "$(find "$src/build/unit-thread" -maxdepth 1 -type f -name 'test_*' | sort)" in_source
}

# A minute of libFuzzer in all, at the lowest priority: its processor time is what the others leave.
suite_fuzz()
{
	if ! command -v clang >/dev/null; then
		echo "fuzz: clang is not installed"
		record fuzz 0 0 1 0
		return
	fi
	step "build of fuzz targets" make -C "$src" -j"$jobs" fuzz-programs || return
	tap_suite fuzz "$(find "$src/build/fuzz" -maxdepth 1 -type f -name 'fuzz_*' | sort)" fuzz_file
}

fuzz_file()
{
	local n

	n=$(find "$src/build/fuzz" -maxdepth 1 -type f -name 'fuzz_*' | wc -l)
	in_source nice -n 19 scripts/fuzz.sh $((${FUZZ_SECONDS:-60} / n)) "$1"
}

in_source()
{
	(cd "$src" && exec "${limit[@]}" "$@")
}

# make_cluster FOLDER [PRELOAD]: makes and starts a cluster. Jobs have an ordinary priority: at an idle one they would
# wait for whatever else the machine does.
make_cluster()
{
	mkdir -p "$1" && ln -sfn "$work/tree" "$1/tree" && chown "$(server_user)" "$1" &&
		printf '%s\n' "fsync = off" "shared_preload_libraries = '${2:-}'" "timezone = 'UTC'" "datestyle = 'ISO, MDY'" \
			"max_connections = 50" "log_statement = 'ddl'" "gpt.nice = 0" | cluster_init "$1" && cluster_start "$1"
}

# The cluster without preload and the one with it, each started when a suite first needs it. The suites of one cluster run
# one after another.
cluster()
{
	[ -f "$work/$1/socket" ] && return
	make_cluster "$work/$1" "${2:-}" >"$logs/cluster-$1.log" 2>&1 && return
	show "cluster $1" "$logs/cluster-$1.log"
	record "cluster $1" 0 1 0 0
	return 1
}

# Lines that no server may have written to its log, whatever the suites saw.
suite_log()
{
	local log

	for log in "$work"/*/data/server.log; do
		[ -f "$log" ] || continue
		cp "$log" "$logs/server-$(basename "${log%/data/*}").log"
		step "log of cluster $(basename "${log%/data/*}")" clean_log "$log"
	done
}

clean_log()
{
	! grep -aE 'PANIC|was terminated by signal|TRAP:|leak|detected write past' "$1"
}

names()
{
	find "$1" -maxdepth 1 -name "*.$2" | sed 's|.*/||; s|\.[^.]*$||' | sort | tr '\n' ' '
}

suite_sql()
{
	cluster plain && regress_suite sql regress/pg_regress "$work/plain" "$(names "$src/test/sql" sql)"
}

# Preloading changes who starts a job and what its row says, not what a model learns or answers: the longest of the tests
# about that run without preload only, and so do the names that an installation finds taken.
without_preload_only="architecture batch beams classify columns constrained evaluate healing hostile_names lora maintain many multilabel"
without_preload_only+=" ngrams overfit pairs pinned predict preference prompted prompts publish_if recipe recompute retrieval sampling"
without_preload_only+=" speculative token_scores tokenizer typed values watermark"

suite_preloaded()
{
	local tests

	tests=$(names "$src/test/sql" sql | tr ' ' '\n' | grep -vxF "${without_preload_only// /$'\n'}" | tr '\n' ' ')
	cluster preloaded gpt && regress_suite "sql, preloaded" regress/pg_regress "$work/preloaded" "$tests"
}

suite_isolation()
{
	cluster plain &&
		regress_suite isolation isolation/pg_isolation_regress "$work/plain" "$(names "$src/test/specs" spec)"
}

# Each pgTAP file gets a database of its own, with pgTAP in public and the extension in the schema. A file that brought
# the server down must not spoil the next one.
pgtap_file()
{
	local schema=$1 file=$2 socket name psql

	socket=$(cat "$work/preloaded/socket")
	psql="$(cluster_bin "$work/preloaded")/psql"
	for _ in $(seq 30); do
		! "$(cluster_bin "$work/preloaded")/pg_isready" -q -h "$socket" || break
		sleep 1
	done
	name="tap $(basename "$file" .sql), $schema"
	{
		echo "CREATE DATABASE \"$name\";"
		echo "ALTER DATABASE \"$name\" SET search_path = \"$schema\", public;"
		echo "ALTER DATABASE \"$name\" SET client_min_messages = warning;"
	} | as_server "$psql" -XqAt -v ON_ERROR_STOP=1 -h "$socket" -U postgres -d postgres || return 1
	{
		echo "CREATE EXTENSION pgtap SCHEMA public;"
		echo "CREATE SCHEMA IF NOT EXISTS \"$schema\";"
		echo "CREATE EXTENSION gpt SCHEMA \"$schema\";"
	} | as_server "$psql" -XqAt -v ON_ERROR_STOP=1 -h "$socket" -U postgres -d "$name" || return 1
	as_server env PGOPTIONS=--client-min-messages=warning "${limit[@]}" pg_prove -v --psql-bin "$psql" -h "$socket" -U postgres -d "$name" "$file"
}

# A file that says "-- One schema is enough" runs in public only.
suite_pgtap()
{
	local files

	files=$(find "$src/test/tap" -maxdepth 1 -name '*.sql' | sort)
	cluster preloaded gpt || return
	tap_suite "pgTAP in public" "$files" pgtap_file public
	# shellcheck disable=SC2086 # a list of words
	tap_suite "pgTAP in Odd Name" "$(grep -L '^-- One schema is enough' $files)" pgtap_file "Odd Name"
}

docs_file()
{
	as_server env PG_CONFIG="$PG_CONFIG" "${limit[@]}" "$src/scripts/docs.pl" "$work/preloaded" "$1"
}

suite_docs()
{
	cluster preloaded gpt &&
		tap_suite docs "$(find "$src/README.md" "$src"/docs -name 'README.md' -o -name 'quickstart*.md' -o -name guide.md -o -name sql.md -o -name operations.md | sort)" docs_file
}

perl_file()
{
	local tests

	tests=$work/perl/$(basename "$1" .pl)
	as_server mkdir -p "$tests"
	as_server env -C "$src/test" PATH="$(cluster_bin "$work"):$PATH" PERL5LIB="$pgxs/test/perl" TESTDATADIR="$tests/tmp_check" TESTLOGDIR="$tests/tmp_check/log" \
		PG_REGRESS="$pgxs/test/regress/pg_regress" TESTDIR="$tests" TMPDIR="$work/perl" "${limit[@]}" prove -v "$1" || {
		set -- $?
		tail -n 40 "$tests"/tmp_check/log/*
		return "$1"
	}
}

# One file of test/t.
suite_restart()
{
	tap_suite restart "$src/test/t/$1.pl" perl_file
}

# The shortened form; a part counts as one test file. Two parts run at once, but those alone that need idle cores.
suite_torture()
{
	local start=$SECONDS out=$logs/torture-$1.log folder=$logs/torture-$1 parts log p f s passed=0 failed=0 skipped=0 status

	# Longer forms judge more times.
	[ "${TORTURE_SHARE:-2}" -lt 30 ] || torture_alone=".*"
	parts=$(names "$src/test/torture" pl | tr ' ' '\n' | grep '^[0-9]' | grep -x $([ "$1" = alone ] || echo -v) -- "$torture_alone")
	[ -n "$parts" ] || return
	# shellcheck disable=SC2086 # a list of words
	TORTURE_SHARE=${TORTURE_SHARE:-2} TORTURE_LIMIT=600 TORTURE_WORK=$work TORTURE_LOGS=$folder TMPDIR=$work run "$src/scripts/torture.sh" $parts >"$out" 2>&1
	status=$?
	for log in "$folder"/*.log; do
		read -r p f s < <(count_tap "$log" "$(cat "${log%.log}.status" 2>/dev/null || echo 1)")
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
	[ "$failed" = 0 ] || show "torture $1" "$out"
	tail -n 1 "$out"
	executed $((passed + failed))
	record torture "$passed" "$failed" "$skipped" $((SECONDS - start)) "torture $1"
}

# ---- the order --------------------------------------------------------------------------------------------------

# Restart tests that take long come first, so that no lane waits for one at the end. Some measure a share of the cores or
# give a job an idle priority: those run alone.
long="007_resume 051_train_steps 032_shards 050_train_servers 005_queue 001_restart 014_standby 003_interrupts 002_no_preload 004_few_places"
alone="017_polite"
torture_alone="21_pgbench"
# pg_cron begins a command with the minute.
waiting="010_cron"

restart_files()
{
	local all

	all=$(names "$src/test/t" pl)
	case $1 in
		shared) printf '%s\n' $long $all | awk -v all="$all" -v alone="$alone $waiting" 'index(" " all, " " $1 " ") && !index(" " alone " ", " " $1 " ") && !seen[$1]++' ;;
		alone) printf '%s\n' $all | awk -v alone="$alone" 'index(" " alone " ", " " $1 " ")' ;;
	esac | sed 's/^/restart:/'
}

# The suites of a list that SUITES has, as one chain with "+" between them.
chain()
{
	local name chain=

	for name in "$@"; do
		[[ " $SUITES " != *" ${name%%:*} "* && " $SUITES " != *" $name "* ]] || chain+=+$name
	done
	echo "${chain#+}"
}

# Runs a chain's suites, SUITE or SUITE:PART, one after another. Their lines appear when each has ended.
run_chain()
{
	local one

	for one in ${1//+/ }; do
		suite=${one%%:*} part=
		[ "$suite" = "$one" ] || part=${one#*:}
		"suite_$suite" $part >"$logs/$suite${part:+-$part}.out" 2>&1
		cat "$logs/$suite${part:+-$part}.out"
		rm "$logs/$suite${part:+-$part}.out"
	done
}

# run_lanes N CHAIN...: runs the chains, N at a time.
run_lanes()
{
	local lanes=$1 chain running=0

	shift
	for chain in "$@"; do
		[ "$running" -lt "$lanes" ] || wait -n
		run_chain "$chain" </dev/null &
		running=$((running + 1))
	done
	wait
}

# shellcheck disable=SC2046 # chains have no blanks
run_suites()
{
	local files=() file

	mkdir "$work/perl" && chown "$(server_user)" "$work/perl"
	mapfile -t files < <(restart_files shared)
	# Two programs of a lane at a time, so that the lane that ends last has work for both cores.
	(
		renice -n 10 "$BASHPID" >/dev/null
		at_once=2
		run_lanes 3 $(chain sanitize) $(chain threads unit) $(chain format border dist fuzz)
	) &
	run_lanes 1 $(chain "restart:$waiting") &
	run_lanes 3 $(chain "${files[0]}") $(chain sql isolation) $(chain preloaded pgtap docs) $(chain torture:beside) $(for file in "${files[@]:1}"; do chain "$file"; done) &
	wait
	run_lanes 1 $(for file in $(restart_files alone) torture:alone; do chain "$file"; done) &
	wait
}

# Stops the clusters; no other process may be left, which no suite could see.
end_servers()
{
	local left

	for folder in "$work"/{plain,preloaded}; do
		[ ! -f "$folder/socket" ] || cluster_stop "$folder"
	done
	left=$(wait_for_processes 10)
	[ -z "$left" ] || { ps -o pid,ppid,user,args -p "${left//$'\n'/,}" && false; }
}

# ---- the run ----------------------------------------------------------------------------------------------------

begin=$SECONDS suite=first part=
if step packages scripts/packages.sh build test && copy_source && step build build; then
	pgxs=$("$PG_CONFIG" --pgxs)
	pgxs=${pgxs%/makefiles/*}
	# The folder of test data must be readable by the server's user; otherwise a copy of it is.
	GPT_TEST_DATA=$(realpath -m "${GPT_TEST_DATA:-$root/../shared/data}")
	if [ ! -d "$GPT_TEST_DATA" ]; then
		echo "$GPT_TEST_DATA is missing: the tests that need it are skipped"
	elif ! as_server test -r "$GPT_TEST_DATA/MANIFEST.tsv"; then
		cp -r "$GPT_TEST_DATA" "$work/test-data" && GPT_TEST_DATA=$work/test-data
	fi
	export GPT_TEST_DATA
	run_suites
	suite=last
	step "no process is left" end_servers
	suite_log
fi

suite=last
[ -f "$work/executed" ] || record "no test was run" 0 1 0 0
# The sums of each name, in the order of the suites.
sums=$(for suite in first $(tr ' ' '\n' <<<"$SUITES" | cut -d : -f 1 | uniq) last; do cat "$work/records/$suite" 2>/dev/null; done | awk -F '\t' -v OFS='\t' '
	!($1 in passed) { name[++n] = $1 }
	{ passed[$1] += $2; failed[$1] += $3; skipped[$1] += $4; seconds[$1] += $5 }
	END { for (i = 1; i <= n; i++) print name[i], passed[name[i]], failed[name[i]], skipped[name[i]], seconds[name[i]] }')
echo
while IFS=$'\t' read -ra line; do
	record_line "${line[@]}"
done <<<"$sums"
cat "$work/failures" 2>/dev/null
echo "$("$PG_CONFIG" --version), $jobs cores, $((SECONDS - begin)) s"
awk -F '\t' '{ passed += $2; failed += $3; skipped += $4 } END {
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' <<<"$sums"
