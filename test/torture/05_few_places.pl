# test/torture/05_few_places.pl - ten jobs and three places for background workers, one job crashes its worker on
# purpose: nine end, the bad one fails after three tries with the reason, the server is up.
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

my $N_JOBS = 10;
my $node = torture_node('places', 'max_worker_processes = 3');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION crash() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_lock_shared(1, 1);    -- not before all jobs are submitted
	EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -SEGV ' || pg_backend_pid());
	PERFORM pg_sleep(60);
	RETURN 'never';
END $$;
SQL

my ($in, $held) = ('', '');
my $holder = IPC::Run::start [ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres' ], '<', \$in, '>', \$held;
$in = "SELECT pg_advisory_lock(1, 1);\nSELECT 'held';\n";
$holder->pump until $held =~ /held/;

my (@good, $bad);
my $place = int(draw(0, $N_JOBS));
for my $n (0 .. $N_JOBS - 1)
{
	if ($n == $place)
	{
		$bad = $node->safe_psql('postgres', q{SELECT gpt_train('bad', 'SELECT crash()', '{"steps": 1, "tokenizer": "bytes"}')});
		next;
	}
	push @good, train($node, "good_$n", 20);
}
$holder->finish;
my $query = "SELECT count(*) FROM gpt_jobs WHERE state IN ('queued', 'running')";
wait_until('all jobs have ended', sub { my ($status, $out) = ask_crashing($node, $query); return $status == 0 && $out eq '0' }, 180);
for my $job (@good)
{
	my $state = state_of($node, $job);
	lost(1) if $state ne 'succeeded';
	is($state, 'succeeded', "job $job ends");
}
is(state_of($node, $bad), 'failed', 'the job that crashes its worker fails');
like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $bad"), qr/ended unexpectedly 3 times/, 'and says why');
my @crashes = slurp_file($node->logfile) =~ /(background worker "gpt trainer[^"]*" \(PID \d+\) was terminated by signal 11)/g;
is(scalar(@crashes), 3, 'it was tried three times');
fault('crashing job', 1) for @crashes;
is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_versions"), scalar(@good), 'each other job published one version');
is($node->safe_psql('postgres', "SELECT count(DISTINCT torture_digest(model)) FROM gpt_models"), '1', 'all of the same weights');
nothing_is_left($node);
finish();
