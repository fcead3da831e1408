# test/t/015_basebackup.pl - a base backup while a job runs, a clone that is to run no jobs, and logical replication of
# everything.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('original', 1);
my $small = '"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4, "patience": 0';

$node->append_conf('postgresql.conf', "wal_level = logical\ngpt.checkpoint_interval = 1");
$node->restart;

# a base backup while a job runs
my $job = $node->safe_psql('postgres', qq{SELECT gpt_train('long', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
my $waiting = $node->safe_psql('postgres', qq{SELECT gpt_train('waiting', 'SELECT body FROM line', '{"steps": 20, $small}')});
wait_for_step($node, $job, 3);
cmp_ok(scalar files_of_jobs($node), '>', 0, 'a running job has files');
$node->backup('base');
is(join(' ', glob($node->backup_dir . '/base/gpt/*')), '', 'a base backup has none of them');
command_ok([ 'pg_verifybackup', $node->backup_dir . '/base' ], 'and is complete');

my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
$clone->append_conf('postgresql.conf', 'gpt.autostart = off');
$clone->start;
is($clone->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY job) FROM gpt_jobs WHERE job IN ($job, $waiting)"), 'running queued',
	'a clone has the rows of jobs');
is($clone->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gpt trainer'}), '0', 'with gpt.autostart = off it runs none');
is($clone->safe_psql('postgres', "SELECT gpt_cancel($job), gpt_cancel($waiting)"), 't|t', 'they can be cancelled there');
my $new = $clone->safe_psql('postgres', qq{SELECT gpt_train('new', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($clone->safe_psql('postgres', "SELECT gpt_wait($new)"), 'succeeded', 'and new ones run');
is($clone->safe_psql('postgres', "SELECT count(*) FROM gpt_jobs WHERE job IN ($job, $waiting) AND state = 'cancelled'"), '2', 'the others do not');
$clone->stop;
is(state_of($node, $job), 'running', 'the original goes on');
$node->safe_psql('postgres', "SELECT gpt_cancel($waiting), gpt_cancel($job)");
$node->safe_psql('postgres', "SELECT gpt_wait($job)");

# logical replication of every table
my $subscriber = start_node('subscriber', 1);
$subscriber->safe_psql('postgres', 'TRUNCATE line');
$node->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($node, 'everything');
$job = $node->safe_psql('postgres', qq{SELECT gpt_train('published', 'SELECT body FROM line', '{"steps": 200, $small}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a publication FOR ALL TABLES does not disturb training');
$job = $node->safe_psql('postgres', qq{SELECT gpt_train('long', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
$waiting = $node->safe_psql('postgres', qq{SELECT gpt_train('waiting', 'SELECT body FROM line', '{"steps": 20, $small}')});
wait_for_step($node, $job, 3);
$node->wait_for_catchup('everything');
is($subscriber->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY job) FROM gpt_jobs WHERE job IN ($job, $waiting)"), 'running queued',
	'rows of jobs arrive at a subscriber');
$subscriber->restart;
$subscriber->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'gpt launcher'});
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM gpt_models'), '0', 'versions without their large objects are no models');
my (undef, undef, $error) = $subscriber->psql('postgres', "SELECT gpt_resume($waiting)");
like($error, qr/another database or cluster/, 'a job of the publisher cannot be resumed at the subscriber');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION everything');
$subscriber->safe_psql('postgres', q{SELECT setval('gpt_job_job_seq', 1000)});
$new = $subscriber->safe_psql('postgres', qq{SELECT gpt_train('own', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($subscriber->safe_psql('postgres', "SELECT gpt_wait($new)"), 'succeeded', 'a job of its own runs');
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM gpt_jobs WHERE job IN ($job, $waiting) AND state IN ('running', 'queued')"), '2',
	'and the others never started');
$node->safe_psql('postgres', "SELECT gpt_cancel($waiting), gpt_cancel($job)");

done_testing();
