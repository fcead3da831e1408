# test/torture/04_calls.pl - the k-th open, write, fsync, rename, mmap, thread or allocation fails, in a training and in
# a session that scores and generates: an error or a success, never a crash, a hang, or other weights; also crashes in
# the midst of a file, little address space, little temporary space, and (scripts/torture.sh) 64 MB of shared memory.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use lib "$FindBin::RealBin/../t";
use Fault;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $STEPS = 5;
my $MOST = share(100);    # faults of a kind
my $WAIT = '180 s';

my $node = torture_node('calls', 'gpt.train_threads = 2', 'gpt.threads = 2', 'fsync = on');
my $job = train($node, 'undisturbed', $STEPS);
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'the undisturbed run ends');
my $expected = digest($node, 'undisturbed');
my $kernels = kernels_of($job);
my $n = 0;
preload($node);

# The places k to try, of so many calls: all, or the first, the last and some between.
sub places
{
	my ($n_calls) = @_;

	return 1 .. $n_calls if $n_calls <= $MOST;
	my %places = (1 => 1);
	$places{ 1 + int(draw(0, $n_calls)) } = 1 while keys %places < $MOST;
	return sort { $a <=> $b } keys %places;
}

# What a job has computed its products by: a matrix library that cannot be loaded leaves them to the built-in kernels,
# with other bits, and the job's row says so.
sub kernels_of
{
	my ($number) = @_;

	return $node->safe_psql('postgres', "SELECT conditions ->> 'kernels' FROM gpt_jobs WHERE job = $number");
}

sub has_wrong_weights
{
	my ($number, $model) = @_;

	return digest($node, $model) ne $expected && kernels_of($number) eq $kernels;
}

# Since the last call.
my $offset = 0;

sub crashes
{
	my @lines = grep { /PANIC|was terminated by signal|TRAP:|terminate called/ } split /\n/, slurp_file($node->logfile, $offset);

	$offset = -s $node->logfile;
	return join("\n", @lines);
}

sub server_is_back
{
	wait_until('the server is back', sub { my ($status) = ask_crashing($node, 'SELECT 1'); return $status == 0 });
	ask_crashing($node, "SELECT gpt_wait(max(job), '$WAIT') FROM gpt_jobs");
}

# Trains, disturbed; then, where that failed, undisturbed. Returns what is wrong, or ''.
sub disturbed_run
{
	my ($call, $k, $action) = @_;
	my $model = 'run_' . ++$n;

	arm('gpt trainer', $call, $k, $action);
	my $number = train($node, $model, $STEPS);
	my ($status, $state, $error) = ask_crashing($node, "SELECT gpt_wait($number, '$WAIT')");
	my ($n_calls, $n_failed) = disarm();
	fault("failed $call", 1, $n_failed) if $n_failed;
	return "no answer: $error" if $status != 0;
	return "hang or lost job: $state" if $state !~ /^(succeeded|failed)$/;
	return "failed without a fault" if $state eq 'failed' && !$n_failed;
	if ($state eq 'failed')
	{
		$node->safe_psql('postgres', "SELECT gpt_resume($number)");
		$state = $node->safe_psql('postgres', "SELECT gpt_wait($number, '$WAIT')");
	}
	return "then $state: " . $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $number") if $state ne 'succeeded';
	return has_wrong_weights($number, $model) ? 'other weights' : '';
}

# Scores and generates, disturbed.
my $use = "SELECT gpt_score('undisturbed', 'line 5 says something'), gpt_generate('undisturbed', 'line', max_tokens => 10, seed => 1)";
my $answer = $node->safe_psql('postgres', $use);

sub disturbed_use
{
	my ($call, $k) = @_;

	arm('victim', $call, $k);
	my ($status, $out, $err) = ask_crashing($node, "SET statement_timeout = '$WAIT'; $use",
		connstr => $node->connstr('postgres') . ' application_name=victim', timeout => 240);
	my ($n_calls, $n_failed) = disarm();
	fault("failed $call", 1, $n_failed) if $n_failed;
	return '' if $status == 0 && $out eq $answer;
	return "other answer: $out" if $status == 0;
	return "hang: $err" if $err =~ /statement timeout/;
	return $err =~ /ERROR:|FATAL:/ && $n_failed ? '' : "status $status: $err";
}

for my $case (
	map { my $call = $_; map { [ $call, $_ ] } 'training', 'use' } split(/,/, $ENV{TORTURE_CALLS} || 'open,write,fsync,rename,mmap,thread,malloc'))
{
	my ($call, $where) = @$case;
	my @bad;
	my @places;

	if ($where eq 'training')
	{
		arm('gpt trainer', $call, 0);
		my $number = train($node, 'counted_' . ++$n, $STEPS);
		$node->safe_psql('postgres', "SELECT gpt_wait($number)");
		my ($n_calls) = disarm();
		@places = places($n_calls);
		cmp_ok($n_calls, '>', 0, "$call in a training: $n_calls calls");
	}
	else
	{
		arm('victim', $call, 0);
		ask_crashing($node, $use, connstr => $node->connstr('postgres') . ' application_name=victim');
		my ($n_calls) = disarm();
		@places = places($n_calls);
		note("$call in a session: $n_calls calls");
	}
	for my $k (@places)
	{
		my $wrong = $where eq 'training' ? disturbed_run($call, $k) : disturbed_use($call, $k);
		next if $wrong eq '';
		push @bad, "k = $k: $wrong";
		server_is_back();
		last if @bad >= 5;
	}
	lost(scalar(grep { /other weights|other answer/ } @bad));
	is(join("\n", @bad), '', "$call in a $where: " . @places . ' places, an error or the right result');
	is(crashes(), '', 'and no crash');
}

# a write that writes half
my @bad = grep { $_ ne '' } map { disturbed_run('write', $_, 'short') } 1 .. share(20);
is(join("\n", @bad), '', 'a short write is an error or the right result');

# Little address space for the whole server.
@bad = ();
for my $megabytes (map { int(draw(250, 900)) } 1 .. share(20))
{
	$node->stop('fast');
	system('prlimit', "--pid=$$", '--as=' . $megabytes * 1024 * 1024 . ':unlimited') == 0 or die 'prlimit';
	my $started = $node->start(fail_ok => 1);
	system('prlimit', "--pid=$$", '--as=unlimited:unlimited');
	if (!$started)
	{
		note("$megabytes MB are too few for the server");
		$node->start;
		next;
	}
	my $model = 'run_' . ++$n;
	my ($status, $out, $err) = ask_crashing($node, $use, timeout => 240);
	push @bad, "$megabytes MB: $out $err" if $status == 0 ? $out ne $answer : $err !~ /ERROR|FATAL|^psql:/;
	# Too few for a session, perhaps.
	my $number = eval { train($node, $model, $STEPS) };
	my ($status2, $state, $err2) = ask_crashing($node, 'SELECT gpt_wait(' . ($number // 'NULL::bigint') . ", '$WAIT')");
	$node->restart;
	fault('little address space', 1);
	next unless defined $number;
	push @bad, "$megabytes MB: training $state $err2" if $status2 == 0 && $state !~ /^(succeeded|failed)$/;
	if (state_of($node, $number) ne 'succeeded')
	{
		ask_crashing($node, "SELECT gpt_resume($number)");
		ask_crashing($node, "SELECT gpt_wait($number, '$WAIT')");
	}
	push @bad, "$megabytes MB: other weights" if has_wrong_weights($number, $model);
}
is(join("\n", @bad), '', 'little address space: an error or the right result');
is(crashes(), '', 'and no crash');

# Little temporary space.
$node->safe_psql('postgres', "ALTER SYSTEM SET temp_file_limit = '8kB'");
$node->reload;
my $number = train($node, 'temporary', $STEPS);
my $state = $node->safe_psql('postgres', "SELECT gpt_wait($number, '$WAIT')");
like($state, qr/^(succeeded|failed)$/, 'little temporary space: an error or a success');
fault('little temporary space', 1);
$node->safe_psql('postgres', 'ALTER SYSTEM RESET temp_file_limit');
$node->reload;
if ($state eq 'failed')
{
	like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $number"), qr/temp_file_limit/, 'an error that names the setting');
	$node->safe_psql('postgres', "SELECT gpt_resume($number)");
	$node->safe_psql('postgres', "SELECT gpt_wait($number, '$WAIT')");
}
is(digest($node, 'temporary'), $expected, 'and the right weights when there is room');

# A crash in the midst of a file: the job goes on by itself.
preload($node);
for my $case (map { my $k = $_; map { [ $_, $k ] } 'write', 'rename', 'open' } 1 .. share(20))
{
	my ($call, $k) = @$case;
	my $model = 'run_' . ++$n;

	arm('gpt trainer', $call, $k, 'crash');
	my $crashed = train($node, $model, $STEPS);
	wait_until('the job has ended',
		sub { my ($status, $out) = ask_crashing($node, "SELECT state IN ('succeeded', 'failed') FROM gpt_jobs WHERE job = $crashed"); return $status == 0 && $out eq 't' });
	my (undef, $n_failed) = disarm();
	fault("crash in $call", 1, $n_failed) if $n_failed;
	my $got = digest($node, $model);
	lost(1) if $got ne $expected;
	is($got, $expected, "a crash at $call $k: the weights are those of the undisturbed run");
}

note('/dev/shm: ' . (split ' ', (split /\n/, `df -h --output=size /dev/shm`)[1])[0]);
nothing_is_left($node);
finish();
