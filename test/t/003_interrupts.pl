# test/t/003_interrupts.pl - whoever is told to stop stops within a second.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('interrupts', 1);
my $LIMIT = 1.5;    # a second, and half of one for what measures it

$node->safe_psql('postgres', OWN_SECONDS);

# The worker of a job is gone soon after some SQL, and the job is cancelled.
sub ends_soon
{
	my ($job, $pid, $sql, $name) = @_;

	cmp_ok(own_seconds_until_gone(sub { $node->safe_psql('postgres', $sql) }, $pid), '<', $LIMIT, "$name within a second");
	is(state_of($node, $job), 'cancelled', 'which is cancelled');
}

# A statement ends soon after its statement_timeout.
sub times_out
{
	my ($call, $name) = @_;
	my ($status, $out, $err) = $node->psql('postgres', qq{SET statement_timeout = '300ms';
		DO \$\$ DECLARE began float8 := own_seconds(); BEGIN PERFORM $call;
		EXCEPTION WHEN query_canceled THEN RAISE NOTICE '% after %', SQLERRM, own_seconds() - began; END \$\$});

	like($err, qr/statement timeout/, "statement_timeout ends $name");
	cmp_ok($err =~ /after ([\d.]+)$/m ? $1 : 1e9, '<', $LIMIT, 'within a second');
}

my $job = submit($node, 'cancelled', 1000000);
my $pid = wait_for_step($node, $job, 5);
ends_soon($job, $pid, "SELECT gpt_cancel($job)", 'gpt_cancel ends a job');
nothing_is_left($node);

$job = submit($node, 'terminated', 1000000);
$pid = wait_for_step($node, $job, 5);
ends_soon($job, $pid, "SELECT pg_terminate_backend($pid)", 'pg_terminate_backend ends a job');
nothing_is_left($node);

# a job in its query
$job = $node->safe_psql('postgres', q{SELECT gpt_train('sleeper', 'SELECT body FROM line, pg_sleep(600)', '{"steps": 1}')});
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE job = $job");
ends_soon($job, $node->safe_psql('postgres', "SELECT pid FROM gpt_stat_progress_train WHERE job = $job"), "SELECT gpt_cancel($job)",
	'gpt_cancel ends a job in its query');

# statement_timeout in gpt_wait and gpt_generate
$job = submit($node, 'waited', 1000000);
wait_for_step($node, $job, 1);
times_out("gpt_wait($job)", 'gpt_wait');
is($node->safe_psql('postgres', "SELECT gpt_wait($job, '100 ms')"), 'running', 'gpt_wait with a time-out returns the state');
$node->safe_psql('postgres', "SELECT gpt_cancel($job)");

# A large context and many tokens: generation takes much longer than the time-out.
$job = $node->safe_psql('postgres', q{SELECT gpt_train('slow', 'SELECT body FROM line',
	'{"steps": 1, "layers": 8, "heads": 8, "channels": 512, "context": 512, "tokenizer": "bytes", "batch_size": 1}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a larger model is trained');
times_out("count(gpt_generate('slow', 'line', max_tokens => 400, seed => i)) FROM generate_series(1, 100) i", 'gpt_generate');
times_out("count(gpt_score('slow', repeat(body, 500))) FROM line", 'gpt_score');

# a job keeps the matrix library that it began with, in which its weights live
$job = submit($node, 'kept', 60);
my $held = hold_in_training($node, $job);
$node->append_conf('postgresql.conf', q{gpt.blas_library = '/nonexistent/libblas.so'});
$node->reload;
let_go($held);
is($node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')"), 'succeeded', 'a job outlives a change of gpt.blas_library');
is(state_of($node, $job), 'succeeded', 'and the server does');

# after all of that the session still works
is($node->safe_psql('postgres', "SELECT length(gpt_generate('slow', 'line', max_tokens => 5, seed => 1)) >= 0"), 't', 'the model still generates');
nothing_is_left($node);

done_testing();
