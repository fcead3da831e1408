# test/torture/21_pgbench.pl - how much of its read-write throughput pgbench keeps while a job trains with default
# settings, on the same cores. Pairs of short runs, beside the job and with the job held, in alternating order, and the
# median of their ratios: disks and machines that others use too change their speed from minute to minute.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $JUDGED = ($ENV{TORTURE_SHARE} // 100) >= 30;
my $PAIRS = share(31, 1);
my $SECONDS = $JUDGED ? 4 : 1;
my $SCALE = $JUDGED ? 10 : 2;
my $CLIENTS = 2;
my $KEPT = 0.8;

my $node = start_node('pgbench', 1);
$node->append_conf('postgresql.conf', <<'CONF');
gpt.nice = 'idle'
fsync = on
autovacuum = on
log_statement = none
max_wal_size = '1GB'
shared_buffers = '128MB'
CONF
$node->restart;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE document AS SELECT i AS id, 'document ' || i || ' says ' || md5(i::text) || ' and ' || md5((i * 7)::text) AS body FROM generate_series(1, 20000) i;
SQL
my @target = ('-h', $node->host, '-p', $node->port, '-U', 'postgres', 'postgres');
IPC::Run::run [ 'pgbench', '-i', '-q', '-s', $SCALE, @target ], '>', '/dev/null', '2>', '/dev/null';
is($?, 0, 'pgbench makes its tables');

sub throughput
{
	my ($out, $err) = ('', '');

	IPC::Run::run [ 'pgbench', '-n', '-M', 'prepared', '-c', $CLIENTS, '-j', 1, '-T', $SECONDS, @target ], '>', \$out, '2>', \$err;
	return $out =~ /tps = ([\d.]+)/ ? $1 : die "no throughput: $err";
}

# One job for all runs, held by a signal while pgbench runs alone. Where nothing is judged it is a small one, which
# trains at once.
my $job =
  $JUDGED ? $node->safe_psql('postgres', "SELECT gpt_train('beside', 'SELECT body FROM document')")
  : submit($node, 'beside', 1_000_000);
my $pid = wait_for_step($node, $job, 30);

sub step { return $node->safe_psql('postgres', "SELECT step FROM gpt_stat_progress_train WHERE job = $job") }

sub throughput_alone
{
	kill('STOP', $pid) == 1 or die "process $pid is gone";
	# Its priority is idle: it stops when it has a core.
	wait_until_stopped();
	my $tps = throughput();

	like(slurp_file("/proc/$pid/stat"), qr/^\d+ \(.*\) T /, 'the job was held');
	kill 'CONT', $pid;
	return $tps;
}

sub wait_until_stopped
{
	for (1 .. 18_000)
	{
		return if slurp_file("/proc/$pid/stat") =~ /\) T /;
		usleep(10_000);
	}
	die 'the job does not stop';
}

my $steps = 0;

sub throughput_beside_job
{
	my $from = step();
	my $tps = throughput();

	$steps += step() - $from;
	return $tps;
}

throughput();    # warms up
my (@ratios, @alone, @beside);
for my $pair (1 .. $PAIRS)
{
	my ($alone, $beside);

	if ($pair % 2) { $alone = throughput_alone(); $beside = throughput_beside_job() }
	else { $beside = throughput_beside_job(); $alone = throughput_alone() }
	push @alone, $alone;
	push @beside, $beside;
	push @ratios, $beside / $alone;
	note(sprintf('pair %d: %.0f alone, %.0f beside the job, %.1f %%', $pair, $alone, $beside, 100 * $beside / $alone));
}
# Beside a short run, a job of idle priority has a turn only if the machine has one to give.
for (1 .. 120)
{
	last if $JUDGED || $steps > 0;
	throughput_beside_job();
}
is(state_of($node, $job), 'running', 'the job ran all the while');
$node->safe_psql('postgres', "SELECT gpt_cancel($job)");
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'cancelled', 'and can be cancelled');
my $kept = median(@ratios);

cmp_ok($steps, '>', 0, "the job made $steps steps beside it");
SKIP:
{
	skip 'too short to be judged', 1 unless $JUDGED;
	cmp_ok($kept, '>=', $KEPT, sprintf('pgbench keeps %.0f %% of its throughput (%.1f %%)', 100 * $KEPT, 100 * $kept));
}
check_is_clean($node);
log_is_clean($node);

report_load(sprintf('pgbench keeps %.0f %% (%.0f of %.0f transactions a second, medians of %d pairs) beside a job', 100 * $kept, median(@beside), median(@alone), $PAIRS));
done_testing();
