#!/bin/bash
#
# scripts/check.sh - builds a copy of the repository, runs every test in private clusters, and sums up.
#
# Suites: build, format, border, dist, unit, unit (sanitized), threads (the pool's tests under TSan), sql and isolation
# without and with preload, pgTAP with the extension in two schemas, docs (the SQL of the documents), restart, torture (5 %
# of it). Nothing is written to the system or the checkout but build/check, where the logs stay. The last line is "N
# passed, N failed, N skipped"; the exit status is 0 when nothing failed.
#
#   SUITES="unit sql"   runs these suites only (build always runs); names as in the functions suite_* below
#   REF=HEAD            checks a commit instead of the files of the checkout
#   GPT_TEST_DATA       the folder of shared test data, else ../shared/data; tests that need it skip without it
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
. scripts/cluster.sh

SUITES=${SUITES:-format border dist unit sanitize threads sql isolation pgtap docs restart torture}
limit=(timeout -k 10 300)
jobs=$(nproc)
total_passed=0 total_failed=0 total_skipped=0 executed=0
summary=() failures=()
export LC_ALL=C.UTF-8 LANG=C.UTF-8 PGTZ=UTC
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGDATA MAKEFLAGS MAKELEVEL MFLAGS

work=$(mktemp -d "${TMPDIR:-/tmp}/gpt-check-XXXXXX") || exit 1
chmod 755 "$work"
src=$work/src logs=$work/logs
mkdir "$src" "$logs"

# Runs a command so that a signal to this script is not held up by it.
run()
{
	"$@" </dev/null &
	wait $!
}

finish()
{
	trap '' INT TERM
	# shellcheck disable=SC2046 # a list of numbers
	kill $(jobs -p) 2>/dev/null
	cluster_stop_all "$work"
	wait
	if mkdir -p "$root/build/check" 2>/dev/null && [ -w "$root/build/check" ]; then
		rm -rf "$root/build/check" && cp -r "$logs" "$root/build/check"
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- counting ---------------------------------------------------------------------------------------------------

# record NAME PASSED FAILED SKIPPED SECONDS: a line of the summary.
record()
{
	local line

	printf -v line '%-28s %6d passed %4d failed %4d skipped %5d s' "$@"
	summary+=("$line")
	echo "$line"
	total_passed=$((total_passed + $2)) total_failed=$((total_failed + $3)) total_skipped=$((total_skipped + $4))
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

# The log of a failed test: its last lines now; what failed is said again beside the sums, where it is seen first.
show()
{
	local line before=${#failures[@]}

	while read -r line; do
		failures+=("$1: ${line:0:300}")
	done < <(grep -aE '^(not ok|# +Failed|# +at |# +got|# +expected|# +died|# Tests were run but|# stopped after)|Dubious|error running|\.\.\. FAILED' "$2" | head -n 8)
	[ "${#failures[@]}" -gt "$before" ] || failures+=("$1: $(tail -n 1 "$2" | cut -c 1-300)")
	echo "---- $1: last lines of its log"
	tail -n 60 "$2"
	echo "----"
}

# tap_suite NAME FILES COMMAND...: runs "COMMAND file" for each file, which prints TAP.
tap_suite()
{
	local name=$1 files=$2 start=$SECONDS began file log status p f s passed=0 failed=0 skipped=0

	shift 2
	for file in $files; do
		log=$logs/${name//[^a-z]/-}-$(basename "$file").log
		began=$SECONDS
		run "$@" "$file" >"$log" 2>&1
		status=$?
		[ "$status" != 124 ] || echo "# stopped after $((SECONDS - began)) s" >>"$log"
		read -r p f s < <(count_tap "$log" "$status")
		[ "$f" = 0 ] || { grep -a -A 5 '^not ok' "$log" | head -n 100 && show "$(basename "$file")" "$log"; }
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	executed=$((executed + passed + failed))
	record "$name" "$passed" "$failed" "$skipped" $((SECONDS - start))
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
		executed=$((executed + passed + failed))
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
	make -C "$src" -j"$jobs" all PG_CONFIG="$PG_CONFIG" WERROR=-Werror && cluster_tree "$work" "$src"
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

# The tests that run work on the pool. A race ends a program with status 66.
suite_threads()
{
	step "build for ThreadSanitizer" make -C "$src" -j"$jobs" unit-programs SANITIZE=thread WERROR=-Werror || return
	tap_suite "threads" "$(printf '%s\n' "$src"/build/unit-thread/test_{attention,encoder,engine,generate,infer,linear,many,matmul,panels,reader,score,trace,trainer})" in_source
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

# The cluster without preload and the one with it, each started when a suite first needs it.
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
	local tests

	tests=$(names "$src/test/sql" sql)
	cluster plain && regress_suite sql regress/pg_regress "$work/plain" "$tests"
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

suite_pgtap()
{
	local files schema

	files=$(find "$src/test/tap" -maxdepth 1 -name '*.sql' | sort)
	[ -n "$files" ] && cluster preloaded gpt
	for schema in public "Odd Name"; do
		tap_suite "pgTAP in $schema" "$files" pgtap_file "$schema"
	done
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
		PG_REGRESS="$pgxs/test/regress/pg_regress" TESTDIR="$tests" TMPDIR="$work/perl" timeout -k 10 600 prove -v "$1" || {
		set -- $?
		tail -n 40 "$tests"/tmp_check/log/*
		return "$1"
	}
}

suite_restart()
{
	as_server test -d "$work/perl" || { mkdir "$work/perl" && chown "$(server_user)" "$work/perl"; }
	tap_suite restart "$(find "$src/test/t" -maxdepth 1 -name '*.pl' | sort)" perl_file
}

# The shortened form; a part counts as one test file.
suite_torture()
{
	local start=$SECONDS out=$logs/torture.log log p f s passed=0 failed=0 skipped=0 status

	step "build of faults" make -s -C "$src" build/torture/fault.so WERROR=-Werror || return
	TORTURE_SHARE=${TORTURE_SHARE:-5} TORTURE_LIMIT=300 TORTURE_WORK=$work TORTURE_LOGS=$logs/torture run "$src/scripts/torture.sh" >"$out" 2>&1
	status=$?
	for log in "$logs"/torture/*.log; do
		read -r p f s < <(count_tap "$log" "$(cat "${log%.log}.status" 2>/dev/null || echo 1)")
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
	[ "$failed" = 0 ] || show torture "$out"
	tail -n 1 "$out"
	executed=$((executed + passed + failed))
	record torture "$passed" "$failed" "$skipped" $((SECONDS - start))
}

# ---- the run ----------------------------------------------------------------------------------------------------

begin=$SECONDS
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
	for suite in $SUITES; do
		"suite_$suite"
	done
	suite_log
fi

echo
if [ "$executed" = 0 ]; then
	record "no test was run" 0 1 0 0
fi
printf '%s\n' "${summary[@]}" "${failures[@]}"
echo "$("$PG_CONFIG" --version), $jobs cores, $((SECONDS - begin)) s"
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ "$total_failed" = 0 ]
