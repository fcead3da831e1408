# test/torture/22_cancels.pl - statements of every long kind, cancelled by pg_cancel_backend or by statement_timeout at
# random moments: the statement ends within 250 ms (99 of 100), and no thread, mapping or descriptor stays behind.
#
# One psql runs the statements. A procedure in another session watches pg_stat_activity for a statement's number, sleeps
# for a random while and sends the cancel. A statement that ended before counts as injected, not as observed. The time
# in which threads of the session wait for a core is none of the statement's.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $STATEMENTS = share(300, 24);
my $LIMIT_MS = 250;
my $LONGEST_DELAY_MS = 400;
my $SPARE_MAPPINGS = 4;    # the C library's own, which come and go

srand($ENV{TORTURE_SEED} // 1);

my $node = start_node('cancels', 1);
$node->append_conf('postgresql.conf', "gpt.max_workers = 3\ngpt.threads = 2\nlog_statement = none\nlog_min_messages = log");
$node->restart;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE big AS SELECT i, string_agg(chr(97 + (i * j * 19) % 26) || md5((i * j)::text), CASE WHEN i % 2 = 0 THEN ' ' ELSE E'\n' END) AS body
	FROM generate_series(1, 12) i, generate_series(1, 30000) j GROUP BY i;
CREATE TABLE one AS SELECT string_agg(body, ' ') AS body FROM big;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM line', '{"vocabulary": 500}') AS job \gset
SELECT gpt_wait(:job);
CREATE TABLE ids AS SELECT array_agg(1 + i % 400) AS ids FROM generate_series(1, 6000000) i;
CREATE TABLE json AS SELECT convert_from(lo_get(object), 'UTF8') AS json FROM gpt_tokenizers WHERE tokenizer = 't';
SQL
my $job = $node->safe_psql('postgres', q{SELECT gpt_train('slow', 'SELECT body FROM line',
	'{"steps": 1, "layers": 8, "heads": 8, "channels": 512, "context": 512, "tokenizer": "t", "batch_size": 1, "validation_fraction": 0}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a model that takes its time is there');
my $asleep = $node->safe_psql('postgres', q{SELECT gpt_train('asleep', 'SELECT body FROM line, pg_sleep(6000)', '{"steps": 1}')});
$node->poll_query_until('postgres', "SELECT state = 'running' FROM gpt_jobs WHERE job = $asleep") or die 'no job sleeps';

# Each takes longer than the longest delay, or nearly.
my %KINDS = (
	generate => q{SELECT count(gpt_generate('slow', 'line', max_tokens => 1000, seed => 20 * %d + i)) FROM generate_series(1, 20) i},
	search => q{SELECT count(gpt_generate('slow', 'line %d', max_tokens => 1000, beams => 4, length_penalty => 10)) FROM generate_series(1, 20) i},
	prompt => q{SELECT count(gpt_generate('slow', repeat('a long prompt ', 4000), max_tokens => 100, seed => i)) FROM generate_series(1, 20) i},
	score => q{SELECT gpt_score('slow', repeat('some text of %d ', 20000))},
	scores => q{SELECT sum(gpt_score('slow', body)) FROM line},
	tokenize => q{SELECT count(gpt_tokenize('t', body)) FROM one, generate_series(1, 20)},
	tokens => q{SELECT sum(gpt_count_tokens('t', left(body, 1048576))) FROM big, generate_series(1, 20)},
	detokenize => q{SELECT count(gpt_detokenize('t', ids)) FROM ids, generate_series(1, 20)},
	tokenizer => q{SELECT count(gpt_train_tokenizer('new ' || i, 'SELECT body FROM big')) FROM generate_series(1, 20000) i},
	import => q{SELECT count(gpt_import_tokenizer('imported', json)) FROM json, generate_series(1, 100000)},
	train => q{SELECT count(gpt_train('model of ' || i, 'SELECT body FROM line', '{"steps": 1}')) FROM generate_series(1, 20000) i},
	wait => qq{SELECT gpt_wait($asleep)},
	load => q{SELECT count(gpt_generate('slow', 'y', max_tokens => 1000, seed => i)) FROM generate_series(1, 20) i});
my @KINDS = sort keys %KINDS;

my $folder = $PostgreSQL::Test::Utils::tmp_check;
my $script = "$folder/cancels.sql";
my (@calls, @cancels);

sub look
{
	my ($name) = @_;

	return "SELECT pg_backend_pid() AS pid \\gset\n\\setenv GPT_PID :pid\n"
	  . "\\! ls /proc/\$GPT_PID/task >$folder/$name.task; ls -l /proc/\$GPT_PID/fd >$folder/$name.fd; cat /proc/\$GPT_PID/maps >$folder/$name.maps\n";
}

open my $file, '>', $script or die $!;
print $file "SET client_min_messages = error;\n";
# Everything that a session makes once is made before the first look, by statements that end in each way.
print $file "SELECT length(gpt_generate('slow', 'line', max_tokens => 1)) >= 0, gpt_score('slow', 'line') > 0;\n";
for my $timeout (100, 300)
{
	print $file "SET statement_timeout = '${timeout}ms';\n", sprintf($KINDS{$_}, $_ eq 'score' ? 1 : 0) . ";\n"
	  for grep { $_ ne 'train' } @KINDS;
}
print $file look('before');
for my $n (1 .. $STATEMENTS)
{
	my $kind = $KINDS[ $n % @KINDS ];
	my $delay = int(rand($LONGEST_DELAY_MS)) + 1;
	my $by_timeout = rand() < 0.5;

	# The last third are first statements of a session: the model is loaded in them, the threads are started.
	my $fresh = $n > $STATEMENTS * 2 / 3;
	print $file look('after') if $fresh && !@calls || $fresh && !$calls[-1]{fresh};
	print $file "\\c\nSET client_min_messages = error;\n" if $fresh;
	push @calls, { n => $n, kind => $kind, delay => $delay, by_timeout => $by_timeout, fresh => $fresh };
	push @cancels, "($n, $delay)" unless $by_timeout;
	print $file "SET statement_timeout = ", ($by_timeout ? $delay : 0), ";\n";
	my $sql = sprintf($KINDS{$kind}, $n);
	$sql =~ s/^SELECT /SELECT $n AS call_$n, /;
	$sql =~ s/, (count|sum)\(/, $1(/;
	print $file "SELECT 'begin $n ' || extract(epoch FROM clock_timestamp()) || ' ' || own_seconds();\n\\warn >$n\n$sql;\n"
	  . "SELECT 'end $n ' || extract(epoch FROM clock_timestamp()) || ' ' || own_seconds();\n";
}
close $file;

$node->safe_psql('postgres', OWN_SECONDS);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE cancel (n int PRIMARY KEY, delay float8);
CREATE FUNCTION current_call(OUT pid int, OUT n int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_stat_clear_snapshot();
	SELECT a.pid, substring(a.query FROM 'call_(\d+)')::int INTO pid, n FROM pg_stat_activity a
		WHERE a.application_name = 'cancelled' AND a.state = 'active' AND a.query ~ 'call_\d+';
END $$;
CREATE FUNCTION is_connected() RETURNS boolean LANGUAGE sql AS $$ SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'cancelled' $$;
CREATE PROCEDURE send_cancels(calls int) LANGUAGE plpgsql AS $$
DECLARE
	seen record;
	wanted record;
	done int := 0;
	absent int := 0;
BEGIN
	WHILE done < calls AND absent < 200 LOOP
		SELECT * INTO seen FROM current_call();
		IF seen.n IS NULL OR seen.n <= done THEN
			absent := CASE WHEN is_connected() THEN 0 ELSE absent + 1 END;
			PERFORM pg_sleep(CASE WHEN absent > 0 THEN 0.05 ELSE 0.002 END);
			CONTINUE;
		END IF;
		done := seen.n;
		SELECT * INTO wanted FROM cancel c WHERE c.n = seen.n;
		CONTINUE WHEN NOT FOUND;
		PERFORM pg_sleep(wanted.delay / 1000);
		SELECT * INTO seen FROM current_call();
		IF seen.n = wanted.n THEN
			PERFORM pg_cancel_backend(seen.pid);
			RAISE NOTICE 'sent % %', wanted.n, extract(epoch FROM clock_timestamp());
		END IF;
	END LOOP;
END $$;
SQL
$node->safe_psql('postgres', 'INSERT INTO cancel VALUES ' . join(', ', @cancels));

my ($out, $err, $sent) = ('', '', '');
my @psql = ('psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres');
my $canceller = IPC::Run::start [ @psql, '-d', 'postgres', '-c', "CALL send_cancels($STATEMENTS)" ], '2>', \$sent;
IPC::Run::run [ @psql, '-v', 'VERBOSITY=sqlstate', '-d', "dbname=postgres application_name=cancelled", '-f', $script ], '>', \$out, '2>', \$err;
is($?, 0, 'psql runs all statements') or diag(substr($err, -1000));
$canceller->finish;

# ---- how long it took
# ---------------------------------------------------------------------------------------------------------

my (%begin, %end, %waited, %sent, %state, $number);
while ($out =~ /^(begin|end) (\d+) ([\d.]+) ([\d.]+)$/mg)
{
	($1 eq 'begin' ? \%begin : \%end)->{$2} = $3;
	$waited{$2} += ($3 - $4) * ($1 eq 'begin' ? -1 : 1);
}
while ($sent =~ /sent (\d+) ([\d.]+)/g) { $sent{$1} = $2 }
for (split /\n/, $err)
{
	if (/^>(\d+)$/) { $number = $1 }
	elsif (/(?:ERROR|FATAL):  (\w{5})/ && defined $number) { $state{$number} //= $1 }
}

my (@ms, %of_kind, %others);
my %injected = (cancel => 0, timeout => 0);
my %observed = (cancel => 0, timeout => 0);
for my $call (@calls)
{
	my ($n, $how) = ($call->{n}, $call->{by_timeout} ? 'timeout' : 'cancel');
	my $told = $call->{by_timeout} ? defined $begin{$n} && $begin{$n} + $call->{delay} / 1000 : $sent{$n};

	$injected{$how}++ if $told;
	$others{"$call->{kind}: $state{$n}"}++ if defined $state{$n} && $state{$n} ne '57014';
	next unless $told && defined $end{$n} && ($state{$n} // '') eq '57014';
	$observed{$how}++;
	push @ms, 1000 * ($end{$n} - $told - $waited{$n});
	push @{ $of_kind{$call->{kind}} }, $ms[-1];
}
for (@KINDS)
{
	my @of_kind = @{ $of_kind{$_} // [] };

	note(sprintf('%-12s %3d ended, median %.0f ms, longest %.0f ms', $_, scalar(@of_kind), median(@of_kind) // 0, quantile(1, @of_kind) // 0));
}
my $p99 = quantile(0.99, @ms) // 1e9;

cmp_ok(scalar(@ms), '>=', $STATEMENTS * 0.7, 'most statements were interrupted in their course: ' . scalar(@ms) . " of $STATEMENTS");
cmp_ok($p99, '<=', $LIMIT_MS, sprintf('a statement ends within %d ms of being told (p99 %.0f ms, median %.0f ms, longest %.0f ms)', $LIMIT_MS, $p99, median(@ms) // 0, quantile(1, @ms) // 0));
is(join(', ', sort keys %others), '', 'no other error came of it');
ok(@{ $of_kind{$_} // [] } > 0, "$_ was interrupted") for @KINDS;

# ---- what stays behind
# ----------------------------------------------------------------------------------------------------------

sub lines { my ($name) = @_; return split /\n/, slurp_file("$folder/$name") }

cmp_ok(scalar(lines('before.task')), '>', 1, 'the session computes with threads');
is(scalar(lines('after.task')), scalar(lines('before.task')), 'no thread is left: ' . scalar(lines('before.task')));

sub descriptors { my ($name) = @_; return scalar grep { / -> / && !m{/(base|global|pg_wal|pg_xact)/|/base/|pgsql_tmp} } lines($name) }
is(descriptors('after.fd'), descriptors('before.fd'), 'no descriptor is left: ' . descriptors('before.fd'));
cmp_ok(scalar(lines('after.maps')), '<=', scalar(lines('before.maps')) + $SPARE_MAPPINGS, 'no mapping is left: ' . scalar(lines('before.maps')) . ' before, ' . scalar(lines('after.maps')) . ' after');

$node->safe_psql('postgres', "SELECT gpt_cancel($asleep)");
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM gpt_jobs WHERE state IN ('queued', 'running')");
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_jobs WHERE model LIKE 'model of%'}), '0', 'no job of a cancelled statement is there');
nothing_is_left($node);
check_is_clean($node);
log_is_clean($node);

report_fault('cancelled statement', $injected{cancel}, $observed{cancel});
report_fault('timed out statement', $injected{timeout}, $observed{timeout});
report_load(sprintf('%d statements end within %.0f ms of being told (p99; median %.0f)', scalar(@ms), $p99, median(@ms) // 0));
done_testing();
