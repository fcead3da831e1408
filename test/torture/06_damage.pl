# test/torture/06_damage.pl - flipped bytes and truncations of the checkpoint and the token file of cancelled jobs:
# gpt_resume always ends in "corrupted", never in weights, and with the true file in those of the undisturbed run.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use lib "$FindBin::RealBin/../t";
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $STEPS = 120;
my $N_JOBS = 8;    # damaged at once
my $N_FLIPS = share(2000);
my $N_CUTS = share(200);

my $node = torture_node('damage', 'gpt.max_workers = 4');
my $job = train($node, 'undisturbed', $STEPS);
$node->safe_psql('postgres', "SELECT gpt_wait($job)");
my $expected = digest($node, 'undisturbed');

# A cancelled job, its model and its state. On a busy machine a job may end before it is cancelled.
sub cancelled_job
{
	my ($n) = @_;
	my ($number, $model, $state);

	for my $try (1 .. 10)
	{
		$model = "run_${n}_$try";
		$number = train($node, $model, $STEPS);
		wait_until("job $number has a checkpoint", sub {
			return $node->safe_psql('postgres', "SELECT state NOT IN ('queued', 'running') OR "
				. "(SELECT step > 5 FROM gpt_stat_progress_train WHERE job = $number) FROM gpt_jobs WHERE job = $number") eq 't' });
		$node->safe_psql('postgres', "SELECT gpt_cancel($number)");
		$state = $node->safe_psql('postgres', "SELECT gpt_wait($number)");
		last if $state eq 'cancelled';
	}
	return ($number, $model, $state);
}

# Cancelled jobs, each with its two files.
my @jobs;
for my $n (1 .. $N_JOBS)
{
	my ($number, $model, $state) = cancelled_job($n);
	is($state, 'cancelled', "job $number is cancelled");
	my $id = $node->safe_psql('postgres', "SELECT run_id FROM gpt_job WHERE job = $number");
	my %files = map { ($_ => $node->data_dir . "/gpt/pgsql_tmp_$id.$_") } ('ckpt', 'tokens');
	push @jobs, { job => $number, model => $model, files => \%files, bytes => { map { ($_ => read_bytes($files{$_})) } keys %files } };
}

# As bytes: slurp_file of the server's tests would translate.
sub read_bytes
{
	my ($path) = @_;

	open(my $handle, '<:raw', $path) or die "$path: $!";
	local $/;
	return scalar <$handle>;
}

sub write_bytes
{
	my ($path, $bytes) = @_;

	open(my $handle, '>:raw', $path) or die "$path: $!";
	print $handle $bytes;
	close $handle or die $!;
}

# Half of the places lie in the first kilobytes, where headers are.
sub damage
{
	my ($bytes, $kind) = @_;
	my $range = draw(0, 1) < 0.5 && length($bytes) > 4096 ? 4096 : length($bytes);
	my $place = int(draw(0, $range));

	return (substr($bytes, 0, $place), "cut at $place") if $kind eq 'truncation';
	my $mask = draw(0, 1) < 0.5 ? 1 << int(draw(0, 8)) : int(draw(1, 256));
	substr($bytes, $place, 1) = chr(ord(substr($bytes, $place, 1)) ^ $mask);
	return ($bytes, "byte $place ^ $mask");
}

my @todo = (('flipped byte') x $N_FLIPS, ('truncation') x $N_CUTS);
my $good = 0;
my @bad;
my $round = 0;
while (@todo)
{
	my $extension = $round++ % 2 ? 'tokens' : 'ckpt';
	my @now;
	for my $entry (@jobs)
	{
		my $kind = shift @todo or last;
		my ($bytes, $what) = damage($entry->{bytes}{$extension}, $kind);
		write_bytes($entry->{files}{$extension}, $bytes);
		push @now, [ $entry, $kind, $what ];
	}
	my $list = join(', ', map { $_->[0]{job} } @now);
	$node->safe_psql('postgres', "SELECT gpt_resume(job) FROM unnest(ARRAY[$list]) job");
	for my $try (@now)
	{
		my ($entry, $kind, $what) = @$try;
		my $number = $entry->{job};
		my $row = $node->safe_psql('postgres', "SELECT gpt_wait($number, '1 min'), error FROM gpt_jobs WHERE job = $number");
		$row = $node->safe_psql('postgres', "SELECT state, error FROM gpt_jobs WHERE job = $number");
		my $refused = $row =~ /^failed\|.*"gpt\/pgsql_tmp_[^"]+\.$extension" is corrupted/;
		fault($kind, $refused);
		$refused ? $good++ : push @bad, "$extension, $what: $row";
		write_bytes($entry->{files}{$_}, $entry->{bytes}{$_}) for keys %{ $entry->{files} };
	}
	last if @bad > 20;
}
inputs($good + @bad);
is(join("\n", @bad), '', "$good damaged files were refused as corrupted");
$node->safe_psql('postgres', "SELECT gpt_resume($_->{job})") for @jobs;
for my $entry (@jobs)
{
	my $state = $node->safe_psql('postgres', "SELECT gpt_wait($entry->{job}, '2 min')");
	my $got = $state eq 'succeeded' ? digest($node, $entry->{model}) : '';
	lost(1) if $got ne $expected;
	is($got, $expected, "job $entry->{job} ends with its true files in the weights of the undisturbed run");
}
nothing_is_left($node);
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process died');
finish();
