#!/bin/bash
#
# scripts/dist.sh [--check] - makes build/gpt-VERSION.zip, the archive for PGXN, of the commit REF (HEAD by default).
#
# With --check it makes the archive in a temporary folder, unpacks it, and tests that it holds everything that the build
# and META.json need. Prints TAP.
set -euo pipefail
cd "$(dirname "$0")/.."

ref=${REF:-HEAD}
if ! git rev-parse -q --verify "$ref^{commit}" >/dev/null 2>&1; then
	[ "${1:-}" != --check ] || { echo "1..0 # SKIP no git repository"; exit; }
	echo "make dist needs the git repository" >&2
	exit 1
fi
version=$(git show "$ref:gpt.control" | sed -n "s/^default_version = '\(.*\)'/\1/p")
name=gpt-$version

# archive FOLDER: .gitattributes says what stays out.
archive()
{
	mkdir -p "$1"
	git archive --format=zip --prefix="$name/" -o "$1/$name.zip" "$ref"
}

# ok NUMBER NAME OUTPUT: passes when OUTPUT, the list of what is wrong, is empty.
ok()
{
	[ -z "$3" ] || printf 'not '
	echo "ok $1 - $2"
	[ -z "$3" ] || echo "# ${3//$'\n'/$'\n'# }"
}

check()
{
	local work file plan

	work=$(mktemp -d)
	# shellcheck disable=SC2064 # the value of now
	trap "rm -rf '$work'" EXIT
	archive "$work"
	unzip -q "$work/$name.zip" -d "$work/unpacked"
	echo "1..4"
	ok 1 "the archive has one folder, $name" "$(ls "$work/unpacked" | grep -vxF "$name")"
	ok 2 "it has each file of the repository but those of git and CI" "$(
		diff <(git ls-tree -r --name-only "$ref" | grep -vE '^\.(ci/|git)' | sort) \
			<(cd "$work/unpacked/$name" && find . -type f -o -type l | sed 's|^\./||' | sort)
	)"
	cd "$work/unpacked/$name"
	ok 3 "META.json names files that exist, and the version of the archive" "$(
		perl -MJSON::PP -0777 -e 'my $meta = decode_json(<STDIN>); my $gpt = $meta->{provides}{gpt};
			print "version $_\n" for grep { $_ ne $ARGV[0] } $meta->{version}, $gpt->{version};
			print "$_\n" for grep { !-f } $gpt->{file}, $gpt->{docfile};' "$version" <META.json
	)"
	plan=$(env -u MAKEFLAGS -u MAKELEVEL make -n install PG_CONFIG="${PG_CONFIG:-pg_config}" DESTDIR="$work/installed" 2>&1) || true
	ok 4 "its Makefile compiles each source and installs the control file and all scripts" "$(
		find src -name '*.c' | sed 's|c$|o|' | cat - <(printf '%s\n' gpt.control "sql/gpt--$version.sql" sql/*--*.sql sql/released/*.sql | grep -vxF "sql/released/gpt--$version.sql") |
			while read -r file; do
				[[ "$plan" = *"${file#./}"* ]] || echo "$file"
			done
	)"
}

if [ "${1:-}" = --check ]; then
	check
else
	[ -z "$(git status --porcelain 2>/dev/null)" ] || echo "note: changes that are not committed are not in the archive"
	archive build
	echo "build/$name.zip"
fi
