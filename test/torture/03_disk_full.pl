# test/torture/03_disk_full.pl - the disk of the jobs' files becomes full at random moments: the job fails with a
# message that names the file, versions stay, and gpt_resume ends in the weights of the undisturbed run when there is
# room.
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
use Time::HiRes qw(time usleep);
use Torture;

my $STEPS = 150;
my $disk = $ENV{TORTURE_SMALL_DISK};    # without it the writes are made to fail

my $node = torture_node('disk');
my $job = train($node, 'undisturbed', $STEPS);
my $run_seconds = seconds_of(sub { $node->safe_psql('postgres', "SELECT gpt_wait($job)") });
my $expected = digest($node, 'undisturbed');
my $folder = $node->data_dir . '/gpt';

if ($disk)
{
	$node->stop('fast');
	rmdir $folder or die "$folder: $!";
	symlink $disk, $folder or die "$folder: $!";
	$node->start;
}
else
{
	note('no small disk: mounting takes root');
	preload($node);
}

# Leaves so many bytes.
sub fill
{
	my ($room) = @_;

	if (!$disk)
	{
		arm('gpt trainer', 'write', 1, 'fail_from');
		return;
	}
	my ($free) = (split ' ', (split /\n/, `df -B1 --output=avail $disk`)[1]);
	my $size = $free - $room;
	system('fallocate', '-l', int($size), "$disk/filler") if $size > 0;
}

sub make_room
{
	disarm() unless $disk;
	unlink "$disk/filler" if $disk;
}

my @runs = 1 .. share(20);
my $retries = 5 * @runs;    # of runs that had ended before the disk was full
while (defined(my $n = shift @runs))
{
	my $model = "run_$n";
	my $at_once = $n % 4 == 0;

	fill(draw(0, 8000)) if $at_once;
	$job = train($node, $model, $STEPS);
	if (!$at_once)
	{
		wait_for_training($node, $job);
		usleep(draw(0, $run_seconds * 0.6) * 1e6);
		fill(draw(0, 1_000_000));
	}
	my $state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '2 min')");
	my $error = $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job");
	make_room();
	if ($state eq 'succeeded')
	{
		fault('disk full', 0);
		push @runs, $n + @runs + 1 if $retries-- > 0;
	}
	else
	{
		fault('disk full', 1);
		is($state, 'failed', "run $n: the job fails");
		like($error, qr/could not (write|extend|create|fsync|rename).* "gpt\/pgsql_tmp_[^"]+".*No space left on device/s, 'and names the file and the cause');
		is(digest($node, 'undisturbed'), $expected, 'an old version is intact');
		$node->safe_psql('postgres', "SELECT gpt_resume($job)");
		$state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '2 min')");
	}
	my $got = $state eq 'succeeded' ? digest($node, $model) : '';
	lost(1) if $got ne $expected;
	is("$state $got", "succeeded $expected", "run $n ends in the weights of the undisturbed one");
}
nothing_is_left($node);
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process died');
finish();
