# test/t/004_few_places.pl - jobs that were cut off or that wait all end, with one place for a worker only; time decides
# about steps; what a query leaves behind is undone; the views work on a standby.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('few_places', 1);

# one place: the launcher of logical replication and ours take the other two
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
submit($node, "queued_$_", 20) for 1 .. 5;
$node->restart;
ok($node->poll_query_until('postgres', "SELECT count(*) = 5 FROM gpt_jobs WHERE state = 'succeeded'"),
	'five jobs end with one place for a worker, also across a restart');
nothing_is_left($node);

# two rows are running at once, then one slot is left for both
$node->append_conf('postgresql.conf', "max_worker_processes = 10\ngpt.max_workers = 2");
$node->restart;
my @held = map { hold_in_training($node, submit($node, "cut_off_$_", 150)) } 1 .. 2;
$node->stop('immediate');
let_go($_) for @held;
$node->append_conf('postgresql.conf', 'gpt.max_workers = 1');
$node->start;
ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM gpt_jobs WHERE model LIKE 'cut_off%' AND state = 'succeeded'"),
	'both of two jobs that were cut off end where there is one slot now');
nothing_is_left($node);

# time decides
my $job = $node->safe_psql('postgres', q{SELECT gpt_train('timed', 'SELECT body FROM line', '{"minutes": 0.02}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job that is given minutes computes its steps');
is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_jobs WHERE job = $job AND steps > 0 AND step <= steps"), '1', 'and records them');

# what a function of the query leaves behind
$node->safe_psql('postgres', 'CREATE FUNCTION object() RETURNS text LANGUAGE sql AS $$SELECT lo_create(0)::text$$');
$job = $node->safe_psql('postgres', q{SELECT gpt_train('object', 'SELECT body || object() AS body FROM line LIMIT 50',
	'{"steps": 2, "layers": 1, "channels": 32, "tokenizer": "bytes"}')});
$node->safe_psql('postgres', "SELECT gpt_wait($job)");
nothing_is_left($node);

# a standby
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM gpt_jobs'), 't', 'a standby shows the jobs');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM gpt_stat_progress_train'), '0', 'and no progress');
is( $standby->safe_psql('postgres', q{SELECT gpt_score('timed', 'line 1')}),
	$node->safe_psql('postgres', q{SELECT gpt_score('timed', 'line 1')}),
	'a score is the same there');
my ($status, $out, $err) = $standby->psql('postgres', q{SELECT gpt_train('x', 'SELECT body FROM line')});
like($err, qr/cannot train on a standby/, 'training there is a clear error');

done_testing();
