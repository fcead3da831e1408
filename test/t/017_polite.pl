# test/t/017_polite.pl - what a job does not hold while it trains: snapshot, locks, cores; and what others see of it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep usleep);

my $options = '{"steps": 1000000, "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4, "threads": 8, "patience": 0}';

# One field of a file below /proc, by its place after the program's name in parentheses (3 is the state).
sub stat_field
{
	my ($path, $number) = @_;
	my ($after) = slurp_file($path) =~ /\)\s+(.*)/s;

	return (split /\s+/, $after)[ $number - 3 ];
}

# The share of a processor that a thread takes in so many seconds.
sub processor_share
{
	my ($task, $seconds) = @_;
	my $before = stat_field("$task/stat", 14) + stat_field("$task/stat", 15);

	sleep $seconds;
	return (stat_field("$task/stat", 14) + stat_field("$task/stat", 15) - $before) / $seconds / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Nice level and policy of a process, or of a thread by its folder.
sub priority
{
	my ($who) = @_;
	my $path = $who =~ m{/} ? "$who/stat" : "/proc/$who/task/$who/stat";

	return stat_field($path, 19) . '/' . stat_field($path, 41);
}

for my $preload (1, 0)
{
	my $name = $preload ? 'with preload' : 'without preload';
	my $node = start_node($preload ? 'preloaded' : 'plain', $preload);

	$node->append_conf('postgresql.conf', "gpt.nice = idle\ngpt.train_threads = 2\n") if $preload;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nsession_preload_libraries = 'gpt'\ngpt.train_threads = 2\n") if !$preload;
	$node->restart;
	$node->safe_psql('postgres', 'ALTER TABLE line ADD PRIMARY KEY (id)');
	my $job = $node->safe_psql('postgres', "SELECT gpt_train('polite', 'SELECT body FROM line', '$options')");
	my $pid = wait_for_step($node, $job, 3);

	# progress as another session sees it
	my $step = $node->safe_psql('postgres', "SELECT step FROM gpt_stat_progress_train WHERE job = $job");
	my $seconds = own_seconds_until(sub { },
		sub { $node->safe_psql('postgres', "SELECT step > $step FROM gpt_stat_progress_train WHERE job = $job") eq 't' }, $pid);
	cmp_ok($seconds, '<', 2.5, "$name: progress moves within two seconds for another session");
	note("it took $seconds s");

	# snapshots and locks: a short transaction that writes progress may be seen, one that stays may not
	my $idle = 'backend_xmin IS NULL AND backend_xid IS NULL';
	ok($node->poll_query_until('postgres', "SELECT $idle FROM pg_stat_activity WHERE pid = $pid"), "$name: the worker holds no snapshot and no transaction");
	# A worker that loses its core while it writes is seen in a transaction for longer: then the looks are repeated.
	my $held = 0;
	for my $try (1 .. 10)
	{
		$held = grep { $node->safe_psql('postgres', "SELECT $idle FROM pg_stat_activity WHERE pid = $pid") eq 't' } 1 .. 20;
		last if $held >= 15;
	}
	cmp_ok($held, '>=', 15, "$name: in nearly every look");
	ok( $node->poll_query_until(
			'postgres', "SELECT count(*) > 0 AND bool_and(locktype = 'advisory' AND objsubid NOT IN (1, 2)) FROM pg_locks WHERE pid = $pid"),
		"$name: it holds locks of its own class only");

	# who it is
	is($node->safe_psql('postgres', "SELECT backend_type, application_name, usename = current_user FROM pg_stat_activity WHERE pid = $pid"),
		'gpt trainer|gpt|t', "$name: pg_stat_activity says what it is");
	like(slurp_file("/proc/$pid/cmdline"), qr/gpt trainer/, "$name: so does its title");
	like(slurp_file("/proc/$pid/cmdline"), qr/job $job\b.*step \d+/, "$name: with job and step");
	unlike(slurp_file("/proc/$pid/cmdline"), qr/job.*job/, "$name: and the job is named once");

	# cores
	my @tasks = glob("/proc/$pid/task/*");
	# One more reads the next batch ahead and computes nothing, and with a low priority the process itself only waits.
	my @computing = grep { slurp_file("$_/comm") =~ /^gpt pool$/ || (!$preload && m{/$pid$}) } @tasks;
	cmp_ok(scalar @computing, '<=', 2, "$name: it computes with no more threads than gpt.train_threads");
	if ($preload)
	{
		my @other = grep { stat_field("$_/stat", 41) != 5 } @computing;
		is(scalar @other, 0, "$name: with gpt.nice = idle every thread that computes is scheduled as SCHED_IDLE");
		is(priority($pid), priority($node->{_pid}), "$name: the one that touches the server has the server's priority");
		cmp_ok(processor_share("/proc/$pid/task/$pid", 1), '<', 0.25, "$name: and hardly computes");
		SKIP:
		{
			skip 'there are no autogroups', 2 unless -e "/proc/$pid/autogroup" && slurp_file("/proc/$pid/autogroup") =~ /autogroup/;
			my %seen;
			for (my $looks = 0; $looks < 200 || ($looks < 6000 && !$seen{0}); $looks++)
			{
				$seen{(slurp_file("/proc/$pid/autogroup") =~ /nice (-?\d+)/)[0]}++;
				usleep(10_000);
			}
			cmp_ok($seen{19} // 0, '>', 100, "$name: its autogroup has the lowest priority while it computes");
			cmp_ok($seen{0} // 0, '>', 0, "$name: and not while it writes its progress");
		}
	}
	else
	{
		is(join(', ', map { priority($_) } @tasks), join(', ', (priority($node->{_pid})) x @tasks), "$name: with gpt.nice = 0 all have the server's priority");
	}

	# the source of its rows
	$node->safe_psql('postgres', "UPDATE line SET body = body || '!' WHERE id <= 200");
	my $stderr = '';
	$node->psql('postgres', 'VACUUM (VERBOSE) line', stderr => \$stderr);
	like($stderr, qr/tuples: 200 removed, 400 remain, 0 are dead but not yet removable/, "$name: VACUUM removes dead rows of the source");
	is($node->safe_psql('postgres', "SET lock_timeout = '30s'; ALTER TABLE line ADD COLUMN more int; ALTER TABLE line ALTER body TYPE varchar; SELECT 'altered'"),
		'altered', "$name: ALTER TABLE of the source is not blocked");
	is($node->safe_psql('postgres', "SET lock_timeout = '30s'; DROP TABLE line; SELECT 'dropped'"), 'dropped', "$name: nor is DROP TABLE");
	$step = $node->safe_psql('postgres', "SELECT step FROM gpt_stat_progress_train WHERE job = $job");
	ok($node->poll_query_until('postgres', "SELECT step > $step FROM gpt_stat_progress_train WHERE job = $job"), "$name: and training goes on");

	# its end
	$seconds = own_seconds_until_gone(sub { $node->safe_psql('postgres', "SELECT gpt_cancel($job)") }, $pid);
	cmp_ok($seconds, '<', 2, "$name: a cancelled job ends at once");
	is(state_of($node, $job), 'cancelled', "$name: and is cancelled");
	$node->stop;
}

done_testing();
