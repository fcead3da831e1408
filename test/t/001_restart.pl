# test/t/001_restart.pl - jobs and restarts of a server that preloads the library: nothing is lost, nothing stays.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('preloaded', 1);

my $wait_event = $node->safe_psql('postgres', q{SELECT CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'GptLauncherMain' ELSE 'Extension' END});
ok($node->poll_query_until('postgres', "SELECT wait_event = '$wait_event' FROM pg_stat_activity WHERE backend_type = 'gpt launcher'"),
	'the launcher waits for work, by its name where the server knows names');

# a fast shutdown in the middle of a job
my $job = submit($node, 'restarted', 200);
my $held = hold_in_training($node, $job);
my $started_at = $node->safe_psql('postgres', "SELECT started_at FROM gpt_jobs WHERE job = $job");
my $seconds = own_seconds_of_fast_stop($node);
let_go($held);
cmp_ok($seconds, '<', 2.5, 'a fast shutdown in the middle of a job takes less than 2.5 seconds');
note("it took $seconds s");
$node->start;
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'the job goes on by itself after the restart');
is($node->safe_psql('postgres', "SELECT tries FROM gpt_jobs WHERE job = $job"), '1', 'a shutdown does not count as a try');
is($node->safe_psql('postgres', "SELECT started_at FROM gpt_jobs WHERE job = $job"), $started_at, 'and it began when it first began');
is($node->safe_psql('postgres', "SELECT gpt_score('restarted', 'line 5 says') > 0"), 't', 'its model scores');
nothing_is_left($node);

# kill -9 of the worker
$job = submit($node, 'killed', 60);
kill_held(hold_in_training($node, $job));
wait_until_up($node);
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job whose worker was killed goes on by itself');
is($node->safe_psql('postgres', "SELECT tries FROM gpt_jobs WHERE job = $job"), '2', 'a crash counts as a try');
nothing_is_left($node);

# kill -9 of the whole server
$job = submit($node, 'crashed', 150);
$held = hold_in_training($node, $job);
$node->stop('immediate');
let_go($held);
$node->start;
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job goes on after a crash of the server');
nothing_is_left($node);

# a job of a tokenizer begins anew: here it was waiting for a lock, in its query
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7)');
$job = $node->safe_psql('postgres', q{SELECT gpt_train_tokenizer('words', 'SELECT body FROM line, pg_advisory_lock_shared(7)', '{"vocabulary": 300}')});
$node->poll_query_until('postgres', "SELECT phase = 'reading' FROM gpt_stat_progress_train WHERE job = $job AND model = 'words'");
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job of a tokenizer goes on after a crash of the server');
is($node->safe_psql('postgres', q{SELECT vocabulary, tries, j.kind, steps FROM gpt_tokenizers, gpt_jobs j WHERE tokenizer = 'words' AND model = 'words'}),
	'300|2|tokenizer|43', 'which makes the tokenizer');
nothing_is_left($node);

# a job that always brings its worker down ends
$job = submit($node, 'poison', 1000000);
for my $try (1 .. 3)
{
	wait_through_restarts($node, "SELECT tries = $try AND state = 'running' FROM gpt_jobs WHERE job = $job");
	kill 'KILL', wait_for_step($node, $job, 1);
	wait_through_restarts($node, "SELECT state <> 'running' OR tries > $try FROM gpt_jobs WHERE job = $job");
}
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'failed', 'a job whose worker was killed three times fails');
like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"), qr/ended unexpectedly 3 times/, 'and says why');
nothing_is_left($node);

# a queued job waits for the running one, also across a restart
my $first = submit($node, 'first', 150);
my $second = submit($node, 'second', 50);
$held = hold_in_training($node, $first);
is(state_of($node, $second), 'queued', 'a second job waits for the first');
$node->restart;
let_go($held);
is($node->safe_psql('postgres', "SELECT gpt_wait($second)"), 'succeeded', 'and runs after a restart and the end of the first');
is(state_of($node, $first), 'succeeded', 'the first went on before');
nothing_is_left($node);

is($node->safe_psql('postgres', 'SELECT string_agg(model, \' \' ORDER BY model) FROM gpt_models'),
	'crashed first killed restarted second', 'each job published one model');
is($node->safe_psql('postgres', 'SELECT count(*) FROM gpt_version'), '5', 'of one version');

done_testing();
