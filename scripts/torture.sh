#!/bin/bash
#
# scripts/torture.sh [PART]... - runs the programs test/torture/NN_name.pl on private servers, and sums up.
#
# Each part prints TAP, and as its last lines what it did:
#
#   # torture: KIND INJECTED OBSERVED    faults of a kind; KIND may have blanks
#   # torture: inputs N                  inputs that were tried
#   # torture: lost N                    work or models that were lost
#   # torture: load TEXT                 how the load was held
#
# The last line is "load held: ..., faults survived: KIND N, ..., inputs tried: N, lost: N"; the exit status is 0
# when every part passed and each kind that was injected was observed. docs/torture.md says what the parts do.
#
#   TORTURE_SHARE=5     percent of the faults, inputs and time of each part (100; 10 to prove)
#   TORTURE_SEED=N      of the random moments and places (drawn and shown)
#   TORTURE_CALLS=open,malloc   of 04_calls: these calls only
#   --prove [PATCH]...  builds a copy with each of test/torture/broken/*.patch; the part that the patch names must fail
#
# As root it runs in a mount namespace of its own, with 64 MB of /dev/shm and a small disk for the parts that fill one.
# check.sh sets TORTURE_WORK, a folder with the built source and the tree of programs, and TORTURE_LOGS.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
if [ "$(id -u)" = 0 ] && [ -z "${TORTURE_MOUNTS:-}" ] && unshare -m true 2>/dev/null; then
	TORTURE_MOUNTS=1 exec unshare -m "$0" "$@"
fi
cd "$root" || exit 1
. scripts/cluster.sh

[ "${1:-}" != --prove ] || TORTURE_SHARE=${TORTURE_SHARE:-10}
export TORTURE_SHARE=${TORTURE_SHARE:-100} TORTURE_SEED=${TORTURE_SEED:-$RANDOM}
export LC_ALL=C.UTF-8 LANG=C.UTF-8 PGTZ=UTC
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGDATA MAKEFLAGS MAKELEVEL MFLAGS
limit=${TORTURE_LIMIT:-3600}

own=$(mktemp -d "${TMPDIR:-/tmp}/gpt-torture-XXXXXX") || exit 1
chmod 755 "$own"
work=${TORTURE_WORK:-$own}
logs=${TORTURE_LOGS:-$root/build/torture}
rm -rf "$logs" && mkdir -p "$logs" || exit 1

finish()
{
	trap '' INT TERM
	# shellcheck disable=SC2046 # a list of numbers
	kill $(jobs -p) 2>/dev/null
	cluster_stop_all "$own"
	wait
	! mountpoint -q "$own/small" || umount -l "$own/small"
	rm -rf "$own"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Actions that only root may do, seen by this script's processes alone.
small_places()
{
	[ -n "${TORTURE_MOUNTS:-}" ] || return 0
	mount --make-rprivate / && mount -t tmpfs -o size=64m,mode=1777 none /dev/shm && mkdir -p "$own/small" &&
		mount -t tmpfs -o "size=${TORTURE_SMALL_DISK_KB:-6144}k,mode=755,uid=$(id -u "$(server_user)")" none "$own/small" &&
		export TORTURE_SMALL_DISK=$own/small
}

copy_source()
{
	mkdir -p "$1" && tar --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude="./sql/gpt--$(sed -n "s/^default_version = '\(.*\)'/\1/p" gpt.control).sql" -cf - . | tar -C "$1" -xf -
}

build()
{
	make -s -C "$1/src" -j"$(nproc)" all build/torture/fault.so PG_CONFIG="$PG_CONFIG" && cluster_tree "$1" "$1/src"
}

# Builds what check.sh has not built.
prepare()
{
	[ -z "${TORTURE_WORK:-}" ] || return 0
	copy_source "$work/src" && build "$work" >"$logs/build.log" 2>&1 && return
	tail -n 30 "$logs/build.log"
	return 1
}

# run_part FOLDER FILE LOG: runs a part against the source and tree in FOLDER.
run_part()
{
	local folder=$1 file=$2 log=$3 name pgxs

	name=$(basename "$file" .pl)
	pgxs=$("$PG_CONFIG" --pgxs)
	pgxs=${pgxs%/makefiles/*}
	as_server rm -rf "$own/perl/$name"
	as_server mkdir -p "$own/perl/$name"
	as_server env -C "$folder/src/test" PATH="$(cluster_bin "$folder"):$PATH" PERL5LIB="$pgxs/test/perl" \
		PG_REGRESS="$pgxs/test/regress/pg_regress" TESTDIR="$own/perl/$name" TMPDIR="$own/perl" \
		TORTURE_FAULT_LIBRARY="$folder/src/build/torture/fault.so" \
		timeout -k 10 "$limit" perl "$folder/src/$file" </dev/null >"$log" 2>&1 &
	wait $!
}

# Why a part did not pass; nothing when it did. STATUS is the program's.
complaint()
{
	awk -v status="$2" '
		/^ok [0-9]/ { n++ }
		/^not ok [0-9]/ { n++; failed++ }
		/^1\.\.[0-9]+/ { planned = 1; plan = substr($0, 4) + 0 }
		/^# torture: .* [0-9]+ [0-9]+$/ && $(NF - 1) > 0 && $NF == 0 {
			sub(/^# torture: /, ""); sub(/ [0-9]+ [0-9]+$/, ""); unseen = unseen " " $0
		}
		END {
			if (failed) printf "%d of %d failed; ", failed, n
			else if (!planned || plan != n || status != 0) printf "ended with status %d after %d tests; ", status, n
			if (unseen != "") printf "injected, but never observed:%s; ", unseen
		}' "$1"
}

# The one line, out of all logs.
sum_up()
{
	grep -hs '^# torture: ' "$@" | awk '
		{ sub(/^# torture: /, "") }
		/^load / { sub(/^load /, ""); load = load ((load == "") ? "" : "; ") $0; next }
		/^inputs [0-9]+$/ { inputs += $2; next }
		/^lost [0-9]+$/ { lost += $2; next }
		/ [0-9]+ [0-9]+$/ {
			observed = $NF; sub(/ [0-9]+ [0-9]+$/, "")
			if (!($0 in n)) order[++kinds] = $0
			n[$0] += observed
		}
		END {
			printf("load held: %s, faults survived: ", (load == "") ? "not run" : load)
			for (i = 1; i <= kinds; i++) printf("%s%s %d", (i > 1) ? ", " : "", order[i], n[order[i]])
			printf("%s, inputs tried: %d, lost: %d\n", kinds ? "" : "none", inputs, lost)
		}'
}

# The files of the parts that are named, or of all.
parts()
{
	local name

	if [ $# = 0 ]; then
		find test/torture -maxdepth 1 -name '[0-9][0-9]_*.pl' | sort
		return
	fi
	for name in "$@"; do
		find test/torture -maxdepth 1 -name "${name}_*.pl" -o -maxdepth 1 -name "$name.pl" -o -maxdepth 1 -name "[0-9][0-9]_$name.pl" | grep . ||
			{ echo "there is no part $name" >&2 && return 1; }
	done
}

# Parts that judge a time or a load run alone, the others two at once. The shortened form judges own times only: of it,
# the part that has a job of idle priority runs alone.
alone="21_pgbench"
[ "$TORTURE_SHARE" -lt 30 ] || alone+=" 02_stop 20_sessions 22_cancels 24_signals"

# Runs a part and says how it went; a process of its own, which takes the part with it when it is stopped.
judge_part()
{
	local file=$1 name log start=$SECONDS status why

	# shellcheck disable=SC2046 # a list of numbers
	trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM
	name=$(basename "$file" .pl) log=$logs/$name.log
	run_part "$work" "$file" "$log"
	status=$?
	[ "$status" != 124 ] || echo "# stopped after $limit s" >>"$log"
	why=$(complaint "$log" "$status")
	echo "$status" >"$logs/$name.status"
	printf '%-20s %5d s  %s\n' "$name" $((SECONDS - start)) "${why:-passed}"
	[ -n "$why" ] || return 0
	touch "$own/failed"
	grep -a -A 6 '^not ok' "$log" | head -n 60
	# A part that died says why in its last lines.
	[[ "$why" != *"ended with status"* ]] || tail -n 8 "$log" | sed "s/^/$name: died: /"
	cp -r "$own/perl/$name/tmp_check/log" "$logs/$name-servers" 2>/dev/null
}

torture()
{
	local files file lone=() running=0

	files=$(parts "$@") || return 2
	prepare || return 1
	for file in $files; do
		if [[ " $alone " = *" $(basename "$file" .pl) "* ]]; then
			lone+=("$file")
			continue
		fi
		[ "$running" -lt 2 ] || wait -n
		judge_part "$file" &
		running=$((running + 1))
	done
	wait
	for file in ${lone[@]+"${lone[@]}"}; do
		judge_part "$file" &
		wait
	done
	echo "share $TORTURE_SHARE %, seed $TORTURE_SEED, $(nproc) cores"
	sum_up "$logs"/*.log
	[ ! -e "$own/failed" ]
}

# prove [PATCH]...: a line "part: NN_name" of a patch says who must notice, a line "share: N" with which share of the faults.
# Files that no patch changes are built once.
prove()
{
	local patch part share folder=$own/broken log failed=0 why name

	[ $# -gt 0 ] || set -- test/torture/broken/*.patch
	prepare || return 1
	for patch in "$@"; do
		name=$(basename "$patch" .patch)
		part=$(sed -n 's/^part: //p' "$patch") share=$(sed -n 's/^share: //p' "$patch") log=$logs/broken-$name.log
		rm -rf "$folder" && mkdir "$folder" && chmod 755 "$folder" && cp -a "$work/src" "$folder/src"
		if ! patch -d "$folder/src" -p1 -s <"$patch" || ! build "$folder" >"$log" 2>&1; then
			echo "$name: cannot be applied or built" && failed=1 && continue
		fi
		TORTURE_SHARE=${share:-$TORTURE_SHARE} run_part "$folder" "test/torture/$part.pl" "$log"
		why=$(complaint "$log" $?)
		if [ -n "$why" ]; then
			echo "$name: $part notices: $why"
			grep -a -m 2 '^not ok' "$log" | sed 's/^/    /'
		else
			echo "$name: $part does not notice" && failed=1
		fi
	done
	return "$failed"
}

small_places || exit 1
mkdir -p "$own/perl" && chown "$(server_user)" "$own/perl"
if [ "${1:-}" = --prove ]; then
	shift
	prove "$@"
else
	torture "$@"
fi
