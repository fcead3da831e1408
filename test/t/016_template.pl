# test/t/016_template.pl - copies of databases, and databases that are dropped while a job runs there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('template', 1);
my $small = '"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4';

$node->safe_psql('postgres', 'CREATE DATABASE app TEMPLATE postgres');
ok(1, 'a database with the extension is copied while nothing runs, with preload');
my $job = $node->safe_psql('app', qq{SELECT gpt_train('copied', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($node->safe_psql('app', "SELECT gpt_wait($job)"), 'succeeded', 'a job runs in the copy');

# rows of a queued and of a running job in a copy: submitted while autostart is off, so that nothing starts them after a
# crash
my $running = $node->safe_psql('app', qq{SELECT gpt_train('running', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
my $waiting = $node->safe_psql('app', qq{SELECT gpt_train('waiting', 'SELECT body FROM line', '{"steps": 20, $small}')});
wait_for_step($node, $running, 3, 'app');
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'gpt.autostart = off');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'app'}), 'with gpt.autostart = off nothing stays in the database');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE app');
my @files = files_of_jobs($node);
cmp_ok(scalar @files, '>', 0, 'a running job has files');
$node->append_conf('postgresql.conf', 'gpt.autostart = on');
$node->restart;
wait_for_step($node, $running, 5, 'app');
my $new = $node->safe_psql('copy', qq{SELECT gpt_train('new', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($node->safe_psql('copy', "SELECT string_agg(job || ' ' || state, ', ' ORDER BY job) FROM gpt_jobs WHERE job IN ($running, $waiting)"),
	"$running running, $waiting queued", 'rows of jobs are in the copy');
is($node->safe_psql('copy', "SELECT gpt_cancel($running), gpt_cancel($waiting)"), 't|t', 'where they can be cancelled');
is($node->safe_psql('copy', q{SELECT gpt_score('copied', 'line 1')}), $node->safe_psql('app', q{SELECT gpt_score('copied', 'line 1')}), 'models of the copy score the same');
is(state_of($node, $running, 'app'), 'running', 'the job itself goes on');
is_deeply([ grep { -f } @files ], \@files, 'and has its files');
$node->safe_psql('app', "SELECT gpt_cancel($running)");
is($node->safe_psql('app', "SELECT gpt_wait($running)"), 'cancelled', 'until it is cancelled itself');
is($node->safe_psql('app', "SELECT gpt_wait($waiting)"), 'succeeded', 'the waiting one runs in its own database');
is($node->safe_psql('copy', "SELECT gpt_wait($new)"), 'succeeded', 'and a new one in the copy');
is($node->safe_psql('copy', 'SELECT count(*) FROM gpt_models'), '2', 'which has no other');

# a database that is dropped during a job
$node->append_conf('postgresql.conf', 'gpt.checkpoint_retention = 0');
$node->reload;
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'gpt launcher'});
$running = $node->safe_psql('app', qq{SELECT gpt_train('dropped', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
$node->safe_psql('app', qq{SELECT gpt_train('after', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
wait_for_step($node, $running, 3, 'app');
# The server gives up when the worker is there after five seconds.
is($node->psql('postgres', 'DROP DATABASE app WITH (FORCE)'), 0, 'a database is dropped while a job runs in it');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('gpt trainer', 'gpt starter')}), 'its worker is gone');
is($node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'gpt launcher'}), $launcher, 'the launcher lives');
$job = $node->safe_psql('copy', qq{SELECT gpt_train('later', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($node->safe_psql('copy', "SELECT gpt_wait($job)"), 'succeeded', 'jobs of other databases run');
$node->restart;
$job = $node->safe_psql('copy', qq{SELECT gpt_train('last', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($node->safe_psql('copy', "SELECT gpt_wait($job)"), 'succeeded', 'also after a restart');
is($node->safe_psql('copy', 'SELECT * FROM gpt_check(true)'), '', 'gpt_check finds nothing in the copy');
is(join(' ', files_of_jobs($node)), '', 'files of the dropped database are gone');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');

done_testing();
