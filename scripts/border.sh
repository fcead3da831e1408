#!/bin/bash
#
# scripts/border.sh SOURCE - holds the border between the layers, on the built tree SOURCE. Prints TAP.
#
# The engine (src/engine) knows no server, keeps no state of its own, never allocates, prints, exits, jumps or opens
# files; the library shows the server nothing but its SQL functions, worker entry points and _PG_init.
set -u
cd "$1" || exit 1
count=0

# ok NAME OUTPUT: passes when OUTPUT, the list of what breaks the rule, is empty.
ok()
{
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		echo "# ${2//$'\n'/$'\n'# }"
	fi
}

# Only objects of sources that exist: an older build may have left others.
mapfile -t compiled < <(find src -name '*.c' | sort | while read -r file; do [ ! -f "${file%.c}.o" ] || echo "${file%.c}.o"; done)
mapfile -t objects < <(printf '%s\n' "${compiled[@]}" | grep '^src/engine/')
if [ ! -f gpt.so ] || [ "${#objects[@]}" = 0 ]; then
	echo "1..1"
	echo "not ok 1 - the extension is built"
	exit 1
fi

ok "the engine includes no server header" \
	"$(grep -rnE '#include *[<"](postgres|fmgr|utils/|miscadmin|access/|catalog/|storage/|lib/|core/|store/|remote/|libpq|corpus/|jobs/|sql/)' src/engine include/engine)"

ok "a room of the engine includes headers of itself and of rooms below" "$(
	below='base'
	for room in base text kernels formats model train serve; do
		case $room in text | kernels | formats) below="base|$room" ;; model) below='base|text|kernels|model' ;; train | serve) below="base|text|kernels|model|$room" ;; esac
		grep -nE '#include "(base|text|kernels|formats|model|train|serve)/' src/engine/$room/*.[ch] | grep -vE "#include \"($below)/"
	done
)"
ok "postgres.h is the first include of each server file and of no header" "$(
	for file in src/{core,store,remote,corpus,train,jobs,serve,sql}/*.c; do
		[ ! -f "$file" ] || [ "$(grep -m 1 '#include' "$file")" = '#include "postgres.h"' ] || echo "$file"
	done
	grep -rln '#include "postgres.h"' include src/engine
)"

ok "calls go down, room by room" "$(nm -A "${compiled[@]}" | perl scripts/rooms.pl up 2>&1)"
ok "no circle of files has more than two, and none crosses rooms" \
	"$(nm -A "${compiled[@]}" | perl scripts/rooms.pl circles 2>&1)"

ok "only compat.h knows the server's version, and a file includes it where it uses a name of it" "$(
	names=$(sed -nE 's/^#define ((gpt|GPT|pg)_[A-Za-z_]+).*/\1/p' include/core/compat.h | grep -vx GPT_COMPAT_H | sort -u | paste -sd '|')
	names+='|VAR(DATA|SIZE|ATT)[A-Z0-9_]*|SET_VAR[A-Z0-9_]*|ExplainProperty[A-Za-z]*|PG_TEMP_FILES?_[A-Z]+'
	files=$(find src/{core,store,remote,corpus,train,jobs,serve,sql} include/{core,store,remote,corpus,train,jobs,serve,sql} -name '*.[ch]' ! -name compat.h)
	# shellcheck disable=SC2086 # lists of files
	grep -nE 'PG_VERSION_NUM|pg_attribute_noreturn' $files
	comm -3 <(grep -lwE "$names" $files | sort) <(grep -l '"core/compat.h"' $files | sort)
)"

# A single call is a batch of one: src/serve/call.c alone gives requests to the engine.
ok "only one file of the server gives requests to the engine's models" \
	"$(find src -name '*.o' -not -path 'src/engine/*' -exec nm -A -u {} + | grep -E ' lm_(many_start|many_step|infer|infer_hidden)$' |
		grep -v '^src/serve/call\.o:')"
# A job's lock, an outcome of a worker, errors that become values, and those that must not cross the engine; memory
# contexts release everything else.
ok "errors are caught in eight places" "$(grep -rlE '\bPG_TRY\(' src |
	grep -vxE 'src/(core/bridge|core/transaction|jobs/worker|serve/batching_step|serve/call_try|sql/sql_job|store/import_file|train/train_estimate)\.c')"

forbidden='malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|posix_memalign|aligned_alloc'
forbidden+='|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|fputc|fwrite|perror|write|dprintf'
forbidden+='|exit|_exit|abort|longjmp|_longjmp|siglongjmp|raise|kill|signal|sigaction'
forbidden+='|fopen|fdopen|freopen|open|open64|openat|creat|unlink|rename|rand|random|srand|time|setlocale'
ok "the engine calls no function that allocates, prints, exits, jumps or opens files" \
	"$(nm -A -u "${objects[@]}" | sed 's/__\([a-z]*\)_chk$/\1/' | grep -E " ($forbidden)\$")"

ok "only one file of the engine loads libraries" \
	"$(nm -A -u "${objects[@]}" | grep -E ' (dlopen|dlsym)$' | cut -d: -f1 | sort -u | tail -n +2)"

# Objects of read-only sections and of .data.rel.ro are constants.
ok "the engine has no mutable globals" \
	"$(objdump -t "${objects[@]}" | awk '/file format/ { file = $1 }
		($0 ~ / O / && $4 ~ /^\.(data|bss|tdata|tbss)/ && $4 !~ /^\.data\.rel\.ro/) || / \*COM\*/ { print file, $NF }
		($0 ~ / O / && $3 ~ /^\.(data|bss|tdata|tbss)/ && $3 !~ /^\.data\.rel\.ro/) { print file, $NF }' |
		grep -vE ' (__odr_asan.*|\.LC.*)$')"

exported=$(nm -D --defined-only gpt.so | awk '{ print $2, $3 }')
symbols=$(awk '{ print $2 }' <<<"$exported")
functions=$(sed -n 's/^T pg_finfo_//p' <<<"$exported")
ok "the library exports no data" "$(grep -v '^T' <<<"$exported")"
ok "the library exports SQL functions, worker entry points and _PG_init only" \
	"$(grep -vE '^(Pg_magic_func|_PG_init|pg_finfo_.*|gpt_[a-z_]*_main)$' <<<"$symbols" |
		grep -vxF "${functions:-none}")"
ok "_PG_init is exported" "$(grep -qx 'T _PG_init' <<<"$exported" || echo "the server would not call it")"
if [ -f gpt_gloo.so ]; then
	ok "gpt_gloo.so exports one symbol, and knows nothing of the server" "$(
		nm -D --defined-only gpt_gloo.so | awk '{ print $3 }' | grep -vx gpt_gloo_collective
		grep -nE '#include *[<"](postgres|fmgr|utils/|miscadmin|core/|remote/|train/)' src/gloo/*
		comm -12 <(nm -D -u gpt_gloo.so | awk '{ print $2 }' | sort -u) <(nm -D -u gpt.so | awk '{ print $2 }' | grep -E '^(palloc|pfree|errstart|errfinish|elog)' | sort -u)
	)"
fi
ok "each exported SQL function is declared in sql/gpt.sql" "$(
	for function in $functions; do
		grep -qE "(AS 'MODULE_PATHNAME'(, *'$function')?|$function)" sql/gpt.sql || echo "$function"
	done
)"

ok "each SQL function first checks how it is called" "$(
	# Triggers look at what they are attached to, parts of the aggregate at their state; sorts and indexes call the functions of its order without types.
	for function in $functions; do
		case $function in *_trigger | gpt_support | gpt_perplexity_* | gpt_model_version_?? | gpt_model_version_cmp | gpt_model_version_hash*) continue ;; esac
		awk -v start="^$function\\\\(PG_FUNCTION_ARGS\\\\)" '$0 ~ start { body = 1 } body && /gpt_argument_check_(call|io|receive)\(fcinfo\);/ { found = 1 }
			body && /^}/ { body = 0 } END { exit !found }' src/*/*.c || echo "$function"
	done
)"
ok "docs/internals.md names each source file" "$(
	# An optimizer's file has a row in the table of optimizers instead.
	find src -name '*.[ch]' -o -name '*.cpp' | sort | while read -r file; do
		grep -qF "\`$file\`" docs/internals.md || grep -q '^const LmOptimizer lm_' "$file" || echo "$file"
	done
	grep -oE '`src/[a-z0-9_/]+\.([ch]|cpp)`' docs/internals.md | tr -d '`' | sort -u | while read -r file; do
		[ -f "$file" ] || echo "$file does not exist"
	done
)"
names=$(sed -nE 's/^CREATE (FUNCTION|AGGREGATE|VIEW) @extschema@\.(gpt_[a-z_]+).*/\2/p' sql/gpt.sql | sort -u)
[ "$(wc -l <<<"$names")" -ge 40 ] || names="fewer than 40 names were found"
ok "docs/sql.md describes each function and view of sql/gpt.sql" "$(
	for name in $names; do
		grep -qE "^### $name|\`$name\`" docs/sql.md || echo "$name"
	done
)"
# Users do not call the parts of the aggregate and of types, the triggers, the functions of the views and the planner's, and
# those that a coordinator calls in its members.
ok "README.md lists each function and view for users, once, and no other" "$(
	public=$(grep -vE '^gpt_(perplexity_.*|texts.*|model_version_.*|.*_trigger|can_use|object_owner|job_owner|job_note|progress_rows|image_rows|stat_rows|setting_rows|support|member_.*)$' <<<"$names")
	listed=$(sed -n '/^## Functions and views/,/^## Documents/p' README.md | grep '^|' | grep -vF 'text[]' | cut -d '|' -f 2 |
		grep -oE '`gpt_[a-z_]+' | tr -d '`' | sort)
	uniq -d <<<"$listed"
	diff <(echo "$public") <(sort -u <<<"$listed")
)"
ok "docs/operations.md names each setting" "$(
	settings=$(grep -ohE '"gpt\.[a-z_]+"' src/core/settings.c | tr -d '"' | sort -u)
	[ "$(wc -l <<<"$settings")" -ge 15 ] || echo "fewer than 15 settings were found"
	for setting in $settings; do
		grep -qF "| \`$setting\` |" docs/operations.md || echo "$setting"
	done
)"
ok "links between documents lead to files and headings" "$(
	for file in *.md docs/*.md bench/*.md; do
		grep -oE '\]\([^)]+\)' "$file" | sed -E 's/^\]\((.*)\)$/\1/' | grep -v '^[a-z]*:' | sort -u | while read -r link; do
			to=$(dirname "$file")/${link%%#*}
			[ -n "${link%%#*}" ] || to=$file
			if [ ! -e "$to" ]; then
				echo "$file: $link"
			elif [ "$link" != "${link#*#}" ]; then
				grep -E '^#+ ' "$to" | sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9_ -]//g; s/ /-/g' |
					grep -qxF "${link#*#}" || echo "$file: $link"
			fi
		done
	done
)"
ok "docs/sql.md names each option of gpt_train and gpt_finetune" "$(
	options=$(tr -d '\n' <src/core/options_table.c | grep -oE '\b(BOOLEAN|INTEGER|NUMBER|LATE_NUMBER|WORD|WORD_OR_BOOLEAN|WORD_ABOUT|TEXT)\(\s*[A-Z]+,\s*[a-z0-9_]+,' |
		sed -E 's/.*,\s*([a-z0-9_]+),$/\1/')
	[ "$(wc -w <<<"$options")" -ge 59 ] || echo "only $(wc -w <<<"$options") options of src/core/options_table.c were found"
	for name in $options; do
		grep -q "^| \`$name\` " docs/sql.md || echo "$name"
	done
)"
ok "docs/sql.md has the table of privileges that test/tap/calls.psql has" "$(
	yes_or_no="'(yes|no)'"
	rows=$(sed -nE "s/^\t\('([a-z_]+)([^']*)', $yes_or_no, $yes_or_no, $yes_or_no, $yes_or_no, $yes_or_no, .*/| \`\1\`\2 | \3 | \4 | \5 | \6 | \7 |/p" test/tap/calls.psql)
	[ "$(wc -l <<<"$rows")" -gt 20 ] || echo "no row of the matrix was found"
	while IFS= read -r row; do
		grep -qxF "$row" docs/sql.md || echo "$row"
	done <<<"$rows"
)"
# Fields that PGXN Meta Spec 1.0.0 requires.
ok "META.json is valid and has the version of gpt.control" "$(
	perl -MJSON::PP -0777 -e '
		my $meta = eval { decode_json(<STDIN>) } or print("no JSON: $@"), exit;
		my ($version, $gpt, $spec) = ($ARGV[0], $meta->{provides}{gpt} // {}, $meta->{"meta-spec"} // {});
		print "$_ is missing\n" for grep { !defined $meta->{$_} || $meta->{$_} eq "" } qw(name abstract maintainer license);
		print "version $_ is not $version\n" for grep { $_ ne $version } map { $_->{version} // "" } $meta, $gpt;
		print "$version is not three numbers\n" if $version !~ /^\d+\.\d+\.\d+$/;
		print "provides: no file $_\n" for grep { !-f } map { $_ // "" } @$gpt{qw(file docfile)};
		print "meta-spec is not 1.0.0\n" if ($spec->{version} // "") ne "1.0.0";
		print "license is not postgresql\n" if $meta->{license} ne "postgresql";
		print "release_status\n" if ($meta->{release_status} // "stable") !~ /^(stable|testing|unstable)$/;
		my %known = map { $_ => 1 } qw(name abstract description version maintainer license provides prereqs release_status
			resources tags generated_by meta-spec no_index);
		print "unknown key $_\n" for grep { !$known{$_} && !/^x_/i } keys %$meta;
	' "$(sed -n "s/^default_version = '\(.*\)'/\1/p" gpt.control)" <META.json 2>&1
)"
ok "a version with a date in CHANGELOG.md has its install script in sql/released, and gpt.control's equals sql/gpt.sql" "$(
	sed -nE 's/^## ([0-9.]+) - [0-9]{4}-[0-9]{2}-[0-9]{2}$/\1/p' CHANGELOG.md | while read -r version; do
		[ -f "sql/released/gpt--$version.sql" ] || echo "no sql/released/gpt--$version.sql: call make release"
	done
	script=sql/released/gpt--$(sed -n "s/^default_version = '\(.*\)'/\1/p" gpt.control).sql
	[ ! -f "$script" ] || cmp -s "$script" sql/gpt.sql || echo "$script differs from sql/gpt.sql: call make release"
)"
ok "each patch of test/torture/broken applies" "$(
	for patch in test/torture/broken/*.patch; do
		patch -p1 -s --dry-run <"$patch" >/dev/null || echo "$patch"
	done
)"

echo "1..$count"
