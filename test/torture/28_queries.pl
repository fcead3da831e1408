# test/torture/28_queries.pl - random statements with calls of models in every clause, each with batching on and off:
# the same rows in the same order, or the same error, and the server lives.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Queries;
use Test::More;

my $STATEMENTS = share(50_000);
$STATEMENTS = 400 if ($ENV{TORTURE_SHARE} // 100) <= 2;
my $OF_SESSION = 250;
my @COSTS = qw(min_parallel_table_scan_size parallel_setup_cost parallel_tuple_cost);

srand(($ENV{TORTURE_SEED} // 1) + 28);

my $node = start_node('queries', 1);
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
fsync = off
max_parallel_workers_per_gather = 0
max_parallel_workers = 4
CONF
$node->restart;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE item AS SELECT i AS id, nullif(i % 10, 4) AS n,
	CASE i % 3 WHEN 0 THEN true WHEN 1 THEN false END AS flag,
	CASE WHEN i % 13 = 5 THEN NULL WHEN i % 17 = 3 THEN '' ELSE
		repeat('word ' || i || ' ', i % 4) || left(md5(i::text), i % 7) END AS body,
	CASE WHEN i % 5 > 0 THEN md5((i * 3)::text) END AS other,
	CASE i % 4 WHEN 0 THEN 'lm' WHEN 1 THEN 'tuned' WHEN 2 THEN 'tuned2' END AS model
	FROM generate_series(1, 40) i;
ALTER TABLE item ADD PRIMARY KEY (id);
CREATE TABLE thing (LIKE item INCLUDING ALL);
INSERT INTO thing SELECT * FROM item;
CREATE TABLE note AS SELECT i AS id, 1 + i * 7 % 45 AS item,
	nullif(left(md5((i * 11)::text), i % 9), '') AS body FROM generate_series(1, 60) i;
CREATE INDEX ON note (item);
CREATE TABLE part (id integer, body text, model text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE part3 PARTITION OF part FOR VALUES FROM (20) TO (MAXVALUE);
INSERT INTO part SELECT i, 'part ' || md5((i * 5)::text), CASE i % 3 WHEN 0 THEN 'lm' ELSE 'tuned' END
FROM generate_series(1, 30) i;
ANALYZE;
SQL
my $SMALL = '"layers": 1, "heads": 1, "channels": 8, "context": 32, "tokenizer": "bytes", "seed": 1,
	"validation_fraction": 0';
my $ADAPTER = '"steps": 5, "method": "lora", "rank": 2, "learning_rate": 0.05';
$node->safe_psql('postgres', <<"SQL");
SELECT gpt_train('lm', 'SELECT body FROM line', '{"steps": 20, $SMALL}');
SELECT gpt_train('clf', 'SELECT body AS text, chr(97 + id % 3) AS label FROM line', '{"steps": 20, $SMALL}');
SELECT gpt_train('num', 'SELECT body AS text, id / 7.0 AS label FROM line', '{"steps": 20, $SMALL}');
SELECT gpt_wait(job) FROM gpt_jobs;
SELECT gpt_finetune('lm', 'SELECT body FROM line WHERE id < 100', '{$ADAPTER, "into": "tuned"}');
SELECT gpt_finetune('lm', 'SELECT body FROM line WHERE id > 300', '{$ADAPTER, "into": "tuned2"}');
SELECT gpt_wait(job) FROM gpt_jobs;
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_models"), 5, 'the models are there');
my $pinned = $node->safe_psql('postgres', q{SELECT to_regtype('gpt_model_version') IS NOT NULL}) eq 't';
my $generation = child_generation($node);

# What a session says to each statement, with batching on or off.
sub answers
{
	my ($batching, $rows, @statements) = @_;
	my $script = "$PostgreSQL::Test::Utils::tmp_check/queries-$batching.sql";
	my $n = 0;
	my @answers;
	my ($out, $err) = ('', '');

	open my $file, '>', $script or die $!;
	print $file <<"HEAD";
\\set VERBOSITY sqlstate
\\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET statement_timeout = '60s';
SET gpt.batching = $batching;
SET gpt.batch_rows = $rows;
VACUUM thing;
HEAD
	for (@statements)
	{
		my ($text, $kind) = @$_;

		print $file "\\echo >", $n++, "\n";
		print $file "SET max_parallel_workers_per_gather = 2;\n", map { "SET $_ = 0;\n" } @COSTS if $kind eq 'parallel';
		print $file "$text\nROLLBACK;\n";
		print $file map { "RESET $_;\n" } 'max_parallel_workers_per_gather', @COSTS if $kind eq 'parallel';
	}
	print $file "\\echo >end\n";
	close $file;
	# Errors and rows in the order in which they come.
	my @psql = ('psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres', '-f', $script);
	IPC::Run::run \@psql, '>&', \$out;
	for (split /^(?=>\d+$|>end$)/m, $out)
	{
		next unless /^>(\d+)\n(.*)\z/s;
		my ($number, $answer) = ($1, $2);

		# The line of the script differs in nothing; "no transaction" is the ROLLBACK's.
		$answer =~ s/^psql:[^\n]*?:\d+: //mg;
		$answer =~ s/^WARNING:  25P01[^\n]*\n//mg;
		$answer = join('', sort split /^/m, $answer) if $statements[$number][1] eq 'change';
		$answers[$number] = $answer;
	}
	push @answers, undef while @answers < @statements;
	return @answers;
}

my ($n_same, $n_errors, $n_batched, $n_asked, @different, %states) = (0, 0, 0, 0);
my @left = map { [ statement(pinned => $pinned) ] } 1 .. $STATEMENTS;
while (my @statements = splice @left, 0, $OF_SESSION)
{
	my $rows = random_from(1, 3, 7, 64);
	my @on = answers('on', $rows, @statements);
	my @off = answers('off', $rows, @statements);

	for my $i (0 .. $#statements)
	{
		my ($on, $off) = ($on[$i] // 'nothing', $off[$i] // 'nothing');

		# Others of the statement follow from the first.
		my ($state) = grep { $_ ne '25P02' } $off =~ /^ERROR:  (\w{5})/mg;
		$states{$state}++ if defined $state;
		if ($on eq $off) { $n_same++; next }
		push @different, $statements[$i][0];
		note("batch_rows $rows: $statements[$i][0]\n--- on:\n" . substr($on, 0, 1500) . "\n--- off:\n" .
		  substr($off, 0, 1500)) if @different <= 20;
	}
	last if child_generation($node) ne $generation;

	# How many of them the node takes part in.
	for (grep { $_->[1] eq 'select' } @statements[ 0 .. ($#statements < 20 ? $#statements : 20) ])
	{
		my ($status, $plan) = $node->psql('postgres', "SET gpt.batching = on; EXPLAIN (COSTS off) $_->[0]");

		next if $status;
		$n_asked++;
		$n_batched++ if $plan =~ /GptBatch/;
	}
}
is(child_generation($node), $generation, 'the server lives');
is(scalar(@different), 0, "$n_same statements give the same rows or the same error");
my $n_failed = 0;
$n_failed += $_ for values %states;
note('errors: ' . join(', ', map { "$_ $states{$_}" } sort keys %states));
# Most statements work, and some rows fail.
cmp_ok($n_failed, '<', 0.2 * $STATEMENTS, 'few statements fail');
cmp_ok($states{'22012'} // 0, '>', 0, 'some divide by zero');
is(join(' ', grep { !/^(21000|22011|22012|27000)$/ } sort keys %states), '', 'and nothing else goes wrong');
cmp_ok($n_batched, '>', $n_asked / 10, "many plans have the node ($n_batched of $n_asked)");
log_is_clean($node);
report_inputs($STATEMENTS);
report_lost(0);
done_testing();
