# test/t/003_interrupts.pl - whoever is told to stop stops within a second.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = start_node('interrupts', 1);
my $LIMIT = 1.5;    # a second, and half of one for psql and a busy machine

# How long a job takes to reach a state after some SQL.
sub seconds_until_state
{
	my ($job, $sql, $state) = @_;

	return seconds_of(
		sub {
			$node->safe_psql('postgres', $sql);
			usleep(20_000) until state_of($node, $job) eq $state;
		});
}

my $job = submit($node, 'cancelled', 1000000);
wait_for_step($node, $job, 5);
cmp_ok(seconds_until_state($job, "SELECT gpt_cancel($job)", 'cancelled'), '<', $LIMIT, 'gpt_cancel ends a job within a second');
nothing_is_left($node);

$job = submit($node, 'terminated', 1000000);
my $pid = wait_for_step($node, $job, 5);
cmp_ok(seconds_until_state($job, "SELECT pg_terminate_backend($pid)", 'cancelled'),
	'<', $LIMIT, 'pg_terminate_backend cancels a job within a second');
nothing_is_left($node);

# a job in its query
$job = $node->safe_psql('postgres', q{SELECT gpt_train('sleeper', 'SELECT body FROM line, pg_sleep(60)', '{"steps": 1}')});
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE job = $job");
cmp_ok(seconds_until_state($job, "SELECT gpt_cancel($job)", 'cancelled'), '<', $LIMIT, 'gpt_cancel ends a job in its query');

# statement_timeout in gpt_wait and gpt_generate
$job = submit($node, 'waited', 1000000);
wait_for_step($node, $job, 1);
my ($status, $out, $err);
my $seconds = seconds_of(sub { ($status, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT gpt_wait($job)") });
like($err, qr/statement timeout/, 'statement_timeout ends gpt_wait');
cmp_ok($seconds, '<', $LIMIT, 'within a second');
is($node->safe_psql('postgres', "SELECT gpt_wait($job, '100 ms')"), 'running', 'gpt_wait with a time-out returns the state');
$node->safe_psql('postgres', "SELECT gpt_cancel($job)");

# A large context and many tokens: generation takes much longer than the time-out.
$job = $node->safe_psql('postgres', q{SELECT gpt_train('slow', 'SELECT body FROM line',
	'{"steps": 1, "layers": 8, "heads": 8, "channels": 512, "context": 512, "tokenizer": "bytes", "batch_size": 1}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a larger model is trained');
$seconds = seconds_of(sub {
	($status, $out, $err) = $node->psql('postgres',
		"SET statement_timeout = '300ms'; SELECT count(gpt_generate('slow', 'line', max_tokens => 400, seed => i)) FROM generate_series(1, 100) i") });
like($err, qr/statement timeout/, 'statement_timeout ends gpt_generate');
cmp_ok($seconds, '<', $LIMIT, 'within a second');
$seconds = seconds_of(sub {
	($status, $out, $err) = $node->psql('postgres',
		"SET statement_timeout = '300ms'; SELECT count(gpt_score('slow', repeat(body, 500))) FROM line") });
like($err, qr/statement timeout/, 'statement_timeout ends gpt_score');
cmp_ok($seconds, '<', $LIMIT, 'within a second');

# a job keeps the matrix library that it began with, in which its weights live
$job = submit($node, 'kept', 500);
wait_for_step($node, $job, 5);
$node->append_conf('postgresql.conf', q{gpt.blas_library = '/nonexistent/libblas.so'});
$node->reload;
is($node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')"), 'succeeded', 'a job outlives a change of gpt.blas_library');
is(state_of($node, $job), 'succeeded', 'and the server does');

# after all of that the session still works
is($node->safe_psql('postgres', "SELECT length(gpt_generate('slow', 'line', max_tokens => 5, seed => 1)) >= 0"), 't', 'the model still generates');
nothing_is_left($node);

done_testing();
