# test/t/002_no_preload.pl - without preload jobs run, and one that a restart cut off waits for gpt_resume.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('plain', 0);

my $job = submit($node, 'simple', 20);
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job runs without preload');
nothing_is_left($node);
my $stats = q{SELECT calls, rows, scope FROM gpt_stat_models WHERE model = 'simple'};
is($node->safe_psql('postgres', "SELECT gpt_score('simple', ARRAY['line', 'x']) IS NOT NULL; $stats"),
	"t\n1|2|session", 'a session counts its calls');
is($node->safe_psql('postgres', $stats), '0|0|session', 'which are not those of another session');

is($node->safe_psql('postgres', q{SELECT effective, reason FROM gpt_settings WHERE name = 'gpt.autostart'}),
	'off|the server does not preload gpt',
	'gpt_settings says that jobs do not start again');

# a restart
$job = submit($node, 'cut_off', 200);
my $held = hold_in_training($node, $job);
like($node->safe_psql('postgres', "SELECT note FROM gpt_jobs WHERE job = $job"),
	qr/does not preload gpt.*gpt_resume/, 'the row of a job says that it does not survive a restart by itself');
cmp_ok(own_seconds_of_fast_stop($node), '<', 2.5, 'a fast shutdown in the middle of a job takes less than 2.5 seconds');
let_go($held);
$node->start;
my ($status, $out, $err) = $node->psql('postgres', "SELECT gpt_wait($job)");
isnt($status, 0, 'waiting for a job that nobody runs is an error');
like($err, qr/gpt_resume/, 'which names gpt_resume');
is($node->safe_psql('postgres', "SELECT gpt_resume($job)"), 't', 'gpt_resume starts the job again');
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'and it ends');
is($node->safe_psql('postgres', "SELECT gpt_resume($job)"), 'f', 'there is nothing to resume in a job that has ended');
nothing_is_left($node);

# kill -9 of the worker: the server starts it again
$job = submit($node, 'killed', 60);
kill_held(hold_in_training($node, $job));
wait_until_up($node);
$node->poll_query_until('postgres', "SELECT state = 'succeeded' FROM gpt_jobs WHERE job = $job");
is(state_of($node, $job), 'succeeded', 'a job whose worker was killed goes on without preload');
nothing_is_left($node);

# a worker of another database waits for the only slot, connected; meanwhile its job's owner may not log in any more
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION gpt; CREATE ROLE carol LOGIN; GRANT EXECUTE ON FUNCTION gpt_train TO carol');
my $busy = submit($node, 'busy', 1000000);
wait_for_step($node, $busy, 1);
$job = $node->safe_psql('other', q{SELECT gpt_train('waits', 'SELECT i::text FROM generate_series(1, 100) i', '{"steps": 2, "tokenizer": "bytes"}')},
	extra_params => [ '-U', 'carol' ]);
$node->poll_query_until('other', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'gpt trainer' AND usename = 'carol'");
$node->safe_psql('other', 'ALTER ROLE carol NOLOGIN');
$node->safe_psql('postgres', "SELECT gpt_cancel($busy)");
is($node->safe_psql('other', "SELECT gpt_wait($job)"), 'failed', 'the job of an owner who may not log in any more fails');
like($node->safe_psql('other', "SELECT error FROM gpt_jobs WHERE job = $job"), qr/its owner "carol" is not permitted to log in/, 'with the reason');
is($node->safe_psql('postgres', "SELECT gpt_wait($busy)"), 'cancelled', 'and the other was cancelled');
nothing_is_left($node);

done_testing();
