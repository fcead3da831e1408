# test/torture/01_kill.pl - kill -9 of worker, launcher, and a session, and immediate shutdowns, at random moments of
# a run: it ends by itself, in the weights of the undisturbed run, and leaves nothing behind. Run after run makes a
# model of another kind.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use lib "$FindBin::RealBin/../t";
use GptTest;
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Torture;

my $STEPS = 250;
my $MAX_TRIES = 3;

my $node = torture_node('kill');
my (%run_seconds, %expected);
my @kinds = shuffle(model_kinds());

# The undisturbed run of a kind, once.
sub undisturbed
{
	my ($kind) = @_;
	my $start = time;

	return if $expected{$kind};
	my $number = train($node, "undisturbed $kind", $STEPS, $kind);
	is($node->safe_psql('postgres', "SELECT gpt_wait($number)"), 'succeeded', "the undisturbed run ends, $kind");
	$run_seconds{$kind} = time - $start;
	$expected{$kind} = digest($node, "undisturbed $kind");
	note("an undisturbed run takes $run_seconds{$kind} s");
}

undisturbed('text');
my $job;

my $n_kills = share(50);
my @todo = map { ('worker', 'backend', 'launcher')[ $_ % 3 ] } 0 .. $n_kills - 1;
push @todo, ('immediate shutdown') x share(20);
@todo = shuffle @todo;

# A process to kill, of a kind.
sub victim
{
	my ($kind, $worker) = @_;

	return $worker if $kind eq 'worker';
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'gpt launcher'")
	  if $kind eq 'launcher';
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'bystander'");
}

# A session that uses a model meanwhile; it dies with the server, or is ended by it.
sub start_bystander
{
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') . ' application_name=bystander', '-c',
			"SELECT count(gpt_score('undisturbed text', body)) FROM line, generate_series(1, 1000000)" ],
			'>', \$out, '2>', \$err);

	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bystander'");
	return $handle;
}

# Waits until the server takes connections again.
sub wait_for_server
{
	wait_until('the server is back', sub { my ($status) = ask_crashing($node, 'SELECT 1'); return $status == 0 });
}

# Does harm to a run; true when it hit a step.
sub disturb
{
	my ($kind, $worker) = @_;
	my $bystander = $kind eq 'backend' ? start_bystander() : undef;
	my $pid = $kind eq 'immediate shutdown' ? 0 : victim($kind, $worker);
	my $training = is_alive($worker) && trainer_title($worker) =~ / (training|writing a checkpoint)/;
	my $offset = -s $node->logfile;
	my $hit;

	if ($kind eq 'immediate shutdown')
	{
		$node->stop('immediate');
		$hit = !is_alive($worker);
		$node->start;
	}
	else
	{
		kill 'KILL', $pid;
		wait_until("process $pid is gone", sub { !is_alive($pid) });
		$hit = wait_until('the server notices', sub { slurp_file($node->logfile, $offset) =~ /\(PID $pid\) was terminated by signal 9/ });
		wait_until("worker $worker is gone", sub { !is_alive($worker) });
		wait_for_server();
	}
	$bystander->finish if $bystander;
	return $training && $hit;
}

my $runs = 0;
my @bad;
my $retries = 5 * @todo;    # of faults that came too late
while (@todo)
{
	my $model = 'run_' . ++$runs;
	my @done;

	my $of_kind = $kinds[ $runs % @kinds ];
	undisturbed($of_kind);
	$job = train($node, $model, $STEPS, $of_kind);
	while (@todo)
	{
		my $worker = wait_for_training($node, $job) or last;
		usleep(draw(0, $run_seconds{$of_kind} / 2) * 1e6);
		my $row = answer_of($node, 'postgres', "SELECT tries, state FROM gpt_jobs WHERE job = $job");
		my ($tries, $state) = split /\|/, $row;
		last if $state ne 'running';
		next if $tries >= $MAX_TRIES;
		my $kind = shift @todo;
		my $hit = disturb($kind, $worker);
		# One that came too late has hit nothing.
		my $ended = $node->safe_psql('postgres', "SELECT state = 'succeeded' FROM gpt_jobs WHERE job = $job") eq 't';
		my $name = $kind eq 'immediate shutdown' ? $kind : "kill $kind";
		push @done, $name;
		fault($name, $hit && !$ended);
		push @todo, $kind if (!$hit || $ended) && $retries-- > 0;
	}
	my $state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '5 min')");
	my $got = digest($node, $model);
	lost(1) if $state ne 'succeeded' || $got ne $expected{$of_kind};
	ok($state eq 'succeeded' && $got eq $expected{$of_kind}, 
		"run $runs, $of_kind, ends in the weights of the undisturbed one after: " . join(', ', @done))
	  or diag("state $state, weights $got, expected $expected{$of_kind}, error "
		  . $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"));
}
nothing_is_left($node);
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal (?!9\b)\d/, 'no process died of itself');
finish();
