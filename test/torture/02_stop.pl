# test/torture/02_stop.pl - gpt_cancel, pg_terminate_backend and fast shutdown at random moments of a run: the worker is
# gone within a second, and the run ends later in the weights of the undisturbed one.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use lib "$FindBin::RealBin/../t";
use GptTest;
use List::Util qw(shuffle max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Torture;

my $STEPS = 150;
my $LIMIT = 1;

my $node = torture_node('stop');
my $job = train($node, 'undisturbed', $STEPS);
my $run_seconds = seconds_of(sub { $node->safe_psql('postgres', "SELECT gpt_wait($job)") });
my $expected = digest($node, 'undisturbed');

# What ends the worker; the server's process takes a fast shutdown's signal.
sub send_stop
{
	my ($kind, $worker) = @_;

	if ($kind eq 'fast shutdown')
	{
		my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
		kill 'INT', $postmaster;
		return;
	}
	$node->psql('postgres', $kind eq 'cancel' ? "SELECT gpt_cancel($job)" : "SELECT pg_terminate_backend($worker)");
}

my @todo = shuffle(map { ($_) x share(20) } 'cancel', 'terminate', 'fast shutdown');
my %seconds;
my $n = 0;
my $retries = 5 * @todo;    # of stops that came when the run had ended already
while (defined(my $kind = shift @todo))
{
	my $model = 'run_' . ++$n;

	$job = train($node, $model, $STEPS);
	my $worker = wait_for_training($node, $job);
	usleep(draw(0, $run_seconds * 0.8) * 1e6);
	my $hit = $worker && is_alive($worker) && trainer_title($worker) =~ / (training|writing a checkpoint)/;
	my $seconds = own_seconds_until_gone(sub { send_stop($kind, $worker) }, $worker || ());
	if ($kind eq 'fast shutdown')
	{
		wait_until('the server is gone', sub { !-e $node->data_dir . '/postmaster.pid' });
		$node->_update_pid(0);
		$node->start;
	}
	my $state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '2 min')");
	$hit = 0 if $kind ne 'fast shutdown' && $state ne 'cancelled';
	if ($state eq 'cancelled')
	{
		$node->safe_psql('postgres', "SELECT gpt_resume($job)");
		$state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '2 min')");
	}
	fault($kind, $hit);
	push @todo, $kind if !$hit && $retries-- > 0;
	push @{ $seconds{$kind} }, $seconds if $hit;
	my $got = digest($node, $model);
	my $good = $state eq 'succeeded' && $got eq $expected;
	lost(1) unless $good;
	ok($good, "run $n ends in the weights of the undisturbed one after: $kind")
	  or diag("state $state, weights $got, expected $expected, error "
		  . $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"));
}
my @texts;
for my $kind (sort keys %seconds)
{
	my $longest = max(@{ $seconds{$kind} });

	cmp_ok($longest, '<=', $LIMIT, "$kind: the worker is gone within a second");
	push @texts, sprintf('%s %.0f ms', $kind, $longest * 1000);
}
load_held('worker gone after at most ' . join(', ', @texts));
nothing_is_left($node);
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process died of itself');
finish();
