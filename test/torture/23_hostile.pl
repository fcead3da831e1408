# test/torture/23_hostile.pl - calls of every function of the extension with arguments that nobody means. Only the
# SQLSTATEs of docs/sql.md may come back, the server never restarts, and the memory of a session stays bounded.
#
# The functions come from pg_proc, so that a new one is called too. Each call is a statement of psql in a transaction
# that is rolled back, unless what it does may stay. A call that takes long ends by statement_timeout, which is
# documented as well.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $CALLS = share(20000, 200);
my $SEED = $ENV{TORTURE_SEED} // 1;
my $CALLS_OF_SESSION = 1000;
my $MEMORY_GROWTH_MB = 96;    # of a session; a megabyte of text is a million tokens in several arrays

# Changes that may stay: they leave nothing behind that the next call could not meet.
my $KEPT = qr/^gpt_(generate|score|tokenize|detokenize|count_tokens|options|version|import_tokenizer|can_use|object_owner|wait)$/;

srand($SEED);
note("seed $SEED");

my $node = start_node('hostile', 1);
$node->append_conf('postgresql.conf', "gpt.max_memory = '512MB'\nlog_min_messages = log\nlog_statement = none\nlog_min_error_statement = panic");
$node->restart;
my $JOB = $node->safe_psql('postgres', <<'SQL');
SELECT gpt_train('m', 'SELECT body FROM line', '{"steps": 3, "layers": 1, "heads": 1, "channels": 8, "context": 32, "vocabulary": 300}')
SQL
is($node->safe_psql('postgres', "SELECT gpt_wait($JOB)"), 'succeeded', 'a model is there');
$node->safe_psql('postgres', q{SELECT gpt_import_tokenizer('t', gpt_export_tokenizer('m'))});
my $OBJECT = $node->safe_psql('postgres', 'SELECT weights FROM gpt_models');
my $TOKENIZER_JSON = $node->safe_psql('postgres', q{SELECT convert_from(lo_get(object), 'UTF8') FROM gpt_tokenizers WHERE tokenizer = 't'});
my $DOCUMENTED = documented_states();

cmp_ok(scalar(keys %$DOCUMENTED), '>', 10, 'docs/sql.md lists the SQLSTATEs');

# ---- arguments
# ---------------------------------------------------------------------------------------------------------------

our @TEXTS = (
	"NULL", "''", "'x'", "repeat('x', 1048576)", "repeat('word ', 4000)", "repeat(E'\\U0001F600', 3000)", "repeat(E'\\n', 20000)",
	"E'\\x01\\x02\\x1b[31m'", "E'\\u200b\\u202e\\ufeff'", "E'<|endoftext|>'", "repeat('<|endoftext|>', 500)", "'NaN'", "E'a\\\\b''c\"d\$\$'",
	"'%s%n%d%1\$s'", "(SELECT string_agg(chr(i), '') FROM generate_series(1, 0xd7ff) i)", "E'e\\u0301'", "repeat('ab', 50000)",
	"'Robert''); DROP TABLE line; --'", "chr(1114111)", "'line 17 says'", "'line'", "repeat(' ', 70000)");
$_ =~ s/0xd7ff/55295/ for @TEXTS;
our @NAMES = (
	"NULL", "''", "'m'", "'m'", "'m'", "'t'", "'bytes'", "'chars'", "'m\@1'", "'m\@0'", "'m\@2'", "'m\@99999999999999'", "'m\@-1'", "'m\@+1'", "'m\@ 1'",
	"'m\@1.0'", "'m\@1e0'", "'m\@'", "'\@1'", "'\@'", "'a\@b\@3'", "'m\@2147483647'", "'m\@2147483648'", "'m\@NULL'", "'M'", "' m'", "'m '",
	"repeat('n', 63)", "repeat('n', 64)", "repeat('n', 1048576)", "repeat(E'\\u00e9', 31) || 'n'", "repeat(E'\\u00e9', 32)", "E'a\\x01b'", "E'\\t'", "E'm\\n'",
	"'\"m\"'", "'o''clock'", "'pg_catalog.m'", "E'\\u202em'", "'../../m'", "'nothing'", "'gpt_model'");
my @INTEGERS = qw(NULL 0 1 2 7 -1 100 257 256 2147483647 -2147483648 2147483646 65536 1048577);
my @BIGINTS = qw(NULL 0 1 -1 2 9223372036854775807 (-9223372036854775808) 2147483648 9000000000000001 4294967296);
my @REALS = ("NULL", "0", "1", "0.5", "-1", "1.0000001", "'NaN'", "'Infinity'", "'-Infinity'", "1e308", "1e-308", "5e-324", "-0.0", "1e-30", "100");
my @INTEGER_ARRAYS = (
	"NULL", "'{}'", "'{1,2,3}'", "'{NULL}'", "'{1,NULL,2}'", "'{{1,2},{3,4}}'", "'[-5:-3]={1,2,3}'", "'{2147483647}'", "'{-2147483648}'", "'{-1}'",
	"'{299,300}'", "array_fill(65, ARRAY[100000])", "array_fill(255, ARRAY[300, 300])", "array_fill(NULL::int, ARRAY[1000])", "'{{{{{{1}}}}}}'", "'{0}'");
my @TEXT_ARRAYS = (
	"NULL", "'{}'", "'{\"\"}'", "'{NULL}'", "'{a,NULL}'", "'{{a,b},{c,d}}'", "'[0:1]={a,b}'", "ARRAY[repeat('x', 1048576)]", "array_fill('stop'::text, ARRAY[5000])",
	"'{\"<|endoftext|>\"}'", "ARRAY[E'\\n']", "array_fill(''::text, ARRAY[100])");
my @INTERVALS = ("'0'", "'1 microsecond'", "'-1 day'", "'10 ms'", "'-178000000 years'", "'0.5 ms'", "'20 ms'", "'178000000 years'");
my @QUERIES = (
	"NULL", "''", "'SELECT'", "'SELECT body FROM line'", "'SELECT body FROM line'", "'SELECT body FROM line WHERE false'", "'SELECT id FROM line'", "'SELECT * FROM line'",
	"'SELECT body, body FROM line'", "'SELECT body AS prompt FROM line'", "'SELECT body AS text, id AS label FROM line'", "'SELECT body AS prompt, body AS completion FROM line'",
	"'DROP TABLE line'", "'DELETE FROM line RETURNING body'", "'WITH d AS (DELETE FROM line RETURNING body) SELECT body FROM d'", "'SELECT body FROM line; SELECT 1'",
	"'SELECT body FROM line FOR UPDATE'", "'SELECT \$1::text'", "'SELECT body FROM nothing'", "'SELECT NULL::text'", "'SELECT ''''::text'", "'VALUES (''a''), (''b'')'",
	"'TABLE line'", "'COPY line TO STDOUT'", "'BEGIN'", "'COMMIT'", "'SELECT repeat(''x'', 1048576)'", "'SELECT 1/0 || ''x'''", "'SELECT body INTO other FROM line'",
	"'EXPLAIN SELECT body FROM line'", "repeat('(', 20000)", "'SELECT ' || repeat('(', 20000) || '1'", "'SELECT ' || repeat('body || ', 2000) || 'body FROM line'",
	"'SELECT E''\\x00'''", "'SELECT body, true AS is_validation FROM line'", "'SELECT body, 1 AS is_validation FROM line'", "'SELECT body, NULL::boolean AS is_validation FROM line'",
	"'SELECT body::varchar FROM line'", "'SELECT body::bytea FROM line'", "'SELECT ARRAY[body] FROM line'", "'SELECT body, ''NaN''::float8 AS weight FROM line'", "'-- nothing'", "';'",
	"'SELECT body FROM line ORDER BY id'", "'SET ROLE nobody'", "'SELECT gpt_train(''x'', ''SELECT 1'')::text'", "'LISTEN x'", "'PREPARE p AS SELECT 1'", "'DECLARE c CURSOR FOR SELECT 1'");
my @JOBS = ($JOB, $JOB, 'NULL', 0, -1, 99, '9223372036854775807', '(-9223372036854775808)');
my @OIDS = ($OBJECT, 'NULL', 0, 1, 4294967295, 16384);
my @METRICS = ("NULL", "''", "'perplexity'", "'tokens'", "'Tokens'", "'max_surprise'", "'bits_per_byte'", "'logprob'", "'mean_logprob'", "repeat('x', 100000)", "E'perplexity\\n'");
my @SPECIAL = ("NULL", "'NaN'", "''");
my @OPTION_VALUES = (
	'null', '0', '1', '-1', '1e400', '1e-400', '-0', '0.5', '3', '9223372036854775808', '"x"', '""', '"NaN"', 'true', 'false', '[]', '[1]', '{}', '{"a": 1}', '2147483648',
	'"bytes"', '"auto"', '99999999999999999999999999999999', '"\u00e9"', '1.5', '"' . ('x' x 3000) . '"', '100', '65537', '512');
my @OPTIONS = split /\n/, $node->safe_psql('postgres', 'SELECT DISTINCT option FROM gpt_options()');

sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

sub options_argument
{
	my @malformed = ('NULL', "'[]'", "'1'", "'\"x\"'", "'null'", "'{}'", "'{}'", "'{\"\": 1}'", "'{\"unknown\": 1}'", "('{\"' || repeat('k', 100000) || '\": 1}')::jsonb",
		"(repeat('{\"a\":', 3000) || '1' || repeat('}', 3000))::jsonb", "(repeat('[', 3000) || repeat(']', 3000))::jsonb", "'{\"steps\": 1, \"steps\": 2}'", "'{\"normalize\": \"NFC\"}'",
		"'{\"normalize\": 1}'", "'{\"normalize\": [\"NFC\"]}'");
	my @pairs;

	return random_from(@malformed) if rand() < 0.2;
	push @pairs, '"' . random_from(@OPTIONS) . '": ' . random_from(@OPTION_VALUES) for 1 .. 1 + rand(4);
	return quoted('{' . join(', ', @pairs) . '}') . '::jsonb';
}

# A tokenizer.json with bytes changed, cut off, or with a part of it replaced.
sub json_argument
{
	my $json = $TOKENIZER_JSON;
	my $kind = int(rand(7));
	my @fixed = (
		"NULL", "''", "'{}'", "'[]'", "'null'", "repeat('[', 100000)", "repeat('{\"model\":', 100000)", "'{\"model\": {}}'", "'{\"model\": {\"type\": \"BPE\"}}'",
		"'{\"encoder\": {}, \"merges\": \"\"}'", "'{\"encoder\": {\"a\": 0}, \"merges\": \"a b\"}'", "'{\"encoder\": {\"a\": -1}, \"merges\": 1}'", "repeat('1', 1048576)",
		"'{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1e99}, \"merges\": []}}'", "'{\"model\": {\"type\": \"WordLevel\", \"vocab\": {}}}'", "'{\"normalizer\": ' || repeat('{\"type\": \"Sequence\", \"normalizers\": [', 2000)",
		"'{\"normalizer\": ' || repeat('{\"type\": \"Sequence\", \"normalizers\": [', 500) || '{\"type\": \"NFC\"}' || repeat(']}', 500) || ', \"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}'");

	return random_from(@fixed) if $kind == 0;
	if ($kind == 1) { $json = substr($json, 0, int(rand(length $json))) }
	elsif ($kind == 2) { substr($json, int(rand(length $json)), 1) = chr(1 + int(rand(126))) for 1 .. 1 + rand(4) }
	elsif ($kind == 3) { my $n = 0; my $which = int(rand(300)); $json =~ s/: ?(\d+)/$n++ == $which ? ': ' . random_from(qw(-1 0 99999999999 1.5 "x" null 255 300 299)) : ": $1"/ge }
	elsif ($kind == 4) { my ($from, $to) = (int(rand(length $json)), int(rand(200))); substr($json, $from, $to) = '' }
	elsif ($kind == 5)
	{
		my @names = $json =~ /"(\w+)":/g;
		my $name = random_from(@names);
		my $value = random_from(@OPTION_VALUES);

		$json =~ s/"\Q$name\E": ?("[^"]*"|\d+|null|true|false|\{|\[)/"$name": $value/;
	}
	$json =~ s/\0//g;
	return quoted($json);
}

# Texts of a megabyte are few: they take a while, and show no more in great numbers.
sub text_argument
{
	my $text = random_from(@TEXTS);

	return $text =~ /1048576/ && rand() < 0.9 ? "'some text'" : $text;
}

sub argument
{
	my ($function, $name, $type) = @_;

	return options_argument() if $type eq 'jsonb';
	return json_argument() if $name eq 'json';
	return random_from(@JOBS) if $name eq 'job' || ($name eq 'after' && $type eq 'bigint');
	return random_from(@INTERVALS) if $type eq 'interval';
	return random_from(@METRICS) if $name eq 'metric';
	return random_from(@QUERIES) if $name =~ /query/;
	return random_from(@NAMES) if $name =~ /^(model|name|model_or_tokenizer|function|new_name|into|source|target|role|type)/ && $type =~ /^(text|name)$/;
	return text_argument() if $type =~ /^(text|character varying)$/;
	return random_from(@INTEGERS) if $type eq 'integer';
	return random_from(@BIGINTS) if $type eq 'bigint';
	return random_from(@REALS) if $type =~ /^(double precision|real)$/;
	return random_from(@INTEGER_ARRAYS) if $type eq 'integer[]';
	return random_from(@TEXT_ARRAYS) if $type eq 'text[]';
	return random_from(@OIDS) if $type eq 'oid';
	return random_from(qw(true false NULL)) if $type eq 'boolean';
	return random_from("NULL", "'00000000-0000-0000-0000-000000000000'", "(SELECT run_id FROM gpt_version LIMIT 1)") if $type eq 'uuid';
	return random_from("NULL", "'postgres'", "'nobody'", "'public'", "''", "repeat('r', 64)") if $type =~ /^(name|regrole)$/;
	return 'NULL';
}

# ---- calls
# -------------------------------------------------------------------------------------------------------------------

# Every function that belongs to the extension: name, and its input arguments with types.
sub functions
{
	my $rows = $node->safe_psql('postgres', <<'SQL');
SELECT p.proname || '|' || COALESCE((SELECT string_agg(COALESCE(p.proargnames[i], '') || ':' || format_type(p.proargtypes[i - 1], NULL), ';' ORDER BY i)
	FROM generate_series(1, p.pronargs) i), '') || '|' || p.pronargdefaults || '|' || p.prokind::text
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'gpt'
WHERE NOT 'internal'::regtype = ANY (p.proargtypes)
ORDER BY 1
SQL
	my @functions;

	for (split /\n/, $rows)
	{
		my ($name, $arguments, $defaults, $kind) = split /\|/, $_, -1;

		push @functions, { name => $name, arguments => [ map { [ split /:/, $_, 2 ] } split /;/, $arguments ], defaults => $defaults, kind => $kind };
	}
	return @functions;
}

sub call
{
	my ($function) = @_;
	my @arguments = @{ $function->{arguments} };
	my $given = @arguments - int(rand($function->{defaults} + 1));
	my @values;

	$given = @arguments if rand() < 0.7;
	for my $i (0 .. $given - 1)
	{
		my ($name, $type) = @{ $arguments[$i] };
		my $value = argument($function->{name}, $name, $type);

		# What is in front must often be right for what is behind to be looked at.
		$value = "'m'" if $name =~ /^model/ && rand() < 0.4 && $function->{name} !~ /train$/;
		$value = "'new'" if $name =~ /^(model|name|new_name)$/ && rand() < 0.6 && $function->{name} =~ /train|import|copy|rename/;
		$value = "'SELECT body FROM line'" if $name eq 'query' && rand() < 0.5;
		# Nobody waits for ever on purpose: without a time-out only for jobs that have ended or are not there.
		push @values, $value =~ /::/ ? $value : "($value)::$type";
	}
	return "SELECT $function->{name}(" . join(', ', @values) . ')';
}

# The SQLSTATEs in the table of docs/sql.md.
sub documented_states
{
	my %states;

	for (split /\n/, slurp_file("$FindBin::RealBin/../../docs/sql.md"))
	{
		next unless /^\| (`[0-9A-Z]{5}`(?:, `[0-9A-Z]{5}`)*) \|/;
		$states{$_} = 1 for $1 =~ /`(\w+)`/g;
	}
	return \%states;
}

# ---- a session
# ---------------------------------------------------------------------------------------------------------------

my %seen;
my %undocumented;
my ($n_calls, $n_answered, $n_succeeded) = (0, 0, 0);

# Runs calls in one session; returns what it used of memory near its beginning and at its end, in MB.
sub session
{
	my ($database, $calls, $role) = @_;
	my $script = "$PostgreSQL::Test::Utils::tmp_check/hostile.sql";
	my $memory = q{SELECT 'memory ' || (regexp_match(pg_read_file('/proc/self/status'), 'RssAnon:\s+(\d+)'))[1];};
	my $n = 0;
	my $used = 'nothing';
	my ($status, $out, $err);

	open my $file, '>', $script or die $!;
	print $file "\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\nSET statement_timeout = '2s';\nSET client_min_messages = warning;\n";
	print $file "SELECT gpt_version() IS NULL;\n" . "SELECT count(gpt_tokenize('bytes', repeat('x', 1048576)));\n" if $database eq 'postgres';
	print $file "$memory\n" if $role eq 'postgres';
	print $file "SET ROLE $role;\n";
	for my $function_and_call (@$calls)
	{
		my ($function, $call) = @$function_and_call;
		my $kept = $function->{name} =~ $KEPT;

		$n++;
		print $file "\\warn >$n\n", ($kept ? '' : "BEGIN;\n"), "$call;\n", ($kept ? '' : "ROLLBACK;\n");
	}
	print $file "\\warn >end\n$memory\n";
	close $file;
	($status, $out, $err) = ('', '', '');
	IPC::Run::run [ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', $database, '-f', $script ], '>', \$out, '2>', \$err;
	ok($? == 0, "psql reads all of its calls in $database as $role") or diag(substr($err, -2000));
	$n_calls += $n;

	my $number = 0;
	my %answered;
	for my $line (split /\n/, $err)
	{
		if ($line =~ /^>(\d+|end)$/) { $number = $1; $answered{$number} = 1; next }
		next unless $number && $number ne 'end' && $line =~ /(ERROR|FATAL|PANIC):  ([0-9A-Z]{5}): (.*)$/;
		my ($level, $state, $message) = ($1, $2, $3);
		$seen{$state}++;
		next if $level eq 'ERROR' && $DOCUMENTED->{$state};
		$undocumented{"$level $state: " . substr($message, 0, 40)} //= substr($calls->[ $number - 1 ][1], 0, 600);
	}
	$n_answered += grep { /^\d+$/ } keys %answered;
	return map { $_ / 1024 } $out =~ /^memory (\d+)$/mg;
}

my @functions = functions();
cmp_ok(scalar(@functions), '>', 10, 'there are functions to call: ' . scalar(@functions));
my $generation = child_generation($node);
my $growth = 0;

$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
my @all = map { my $f = $functions[ $_ % @functions ]; [ $f, call($f) ] } 0 .. $CALLS - 1;
while (my @calls = splice @all, 0, $CALLS_OF_SESSION)
{
	my $role = rand() < 0.15 ? 'stranger' : 'postgres';
	my @memory = session('postgres', \@calls, $role);

	$growth = $memory[1] - $memory[0] if @memory == 2 && $memory[1] - $memory[0] > $growth;
}

# Databases whose texts may be no UTF-8: bytes of every kind reach the functions there.
for my $encoding (qw(SQL_ASCII LATIN1))
{
	my $database = lc $encoding;
	my @bytes = ("E'\\xff\\xfe'", "E'\\xc3'", "E'\\xed\\xa0\\x80'", "repeat(E'\\xe9', 100000)", "E'm\\xff'", "E'\\xf4\\x90\\x80\\x80'", "E'\\x80'");
	my @calls;

	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION gpt; CREATE TABLE line AS SELECT 1 AS id, \'some text\'::text AS body');
	local @TEXTS = (@bytes, @bytes, grep { !/\\u|\\U|chr\(/ } @TEXTS);
	local @NAMES = (@bytes, grep { !/\\u|\\U/ } @NAMES);
	push @calls, [ $functions[ $_ % @functions ], call($functions[ $_ % @functions ]) ] for 0 .. int($CALLS / 20);
	session($database, \@calls, 'postgres');
}

# ---- what must hold
# ----------------------------------------------------------------------------------------------------------

is($n_answered, $n_calls, "each of $n_calls calls was made");
is(join("\n", map { "$_\n\t$undocumented{$_}" } sort keys %undocumented), '', 'only documented SQLSTATEs came back');
is(child_generation($node), $generation, 'the server never restarted');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gpt trainer'}), '0', 'no job was started by what was rolled back');
cmp_ok($growth, '<', $MEMORY_GROWTH_MB, sprintf('a session grew by no more than %d MB of memory (%.1f)', $MEMORY_GROWTH_MB, $growth));
cmp_ok(scalar(keys %seen), '>', $CALLS < 1000 ? 4 : 8, 'errors of many kinds came back: ' . join(' ', map { "$_ x $seen{$_}" } sort keys %seen));
check_is_clean($node);
log_is_clean($node);

report_inputs($n_calls);
report_load(sprintf('%d hostile calls of %d functions, largest growth of a session %.1f MB', $n_calls, scalar(@functions), $growth));
report_lost(scalar(keys %undocumented));
done_testing();
