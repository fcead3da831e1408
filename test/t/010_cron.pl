# test/t/010_cron.pl - pg_cron: trainings that it starts, over a connection and in a background worker of its own, and
# that overlap.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('cron', 1);

if (($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'})) eq '0')
{
	plan skip_all => 'pg_cron is not installed (postgresql-15-cron)';
}
my $socket = $node->host;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt, pg_cron'\ncron.host = '$socket'\nmax_worker_processes = 20\n");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
note('pg_cron ' . $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'}));

# pg_cron runs "@reboot" when its process starts: the shortest schedule that it has; the next one is a minute.
my $small = '"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4';
$node->safe_psql('postgres', qq{SELECT cron.schedule('at start', '\@reboot',
	\$\$SELECT gpt_train('start_' || (SELECT count(*) FROM gpt_jobs), 'SELECT body FROM line', '{"steps": 20, $small}')\$\$)});
my $n = 0;
for my $workers ('off', 'on')
{
	$node->append_conf('postgresql.conf', "cron.use_background_workers = $workers");
	$node->restart;
	ok($node->poll_query_until('postgres', "SELECT count(*) = $n + 1 FROM gpt_jobs WHERE model LIKE 'start%' AND state = 'succeeded'"),
		"cron.use_background_workers = $workers: a scheduled training starts, and ends well");
	$n++;
	ok($node->poll_query_until('postgres', "SELECT count(*) = $n FROM cron.job_run_details WHERE status = 'succeeded'"),
		'pg_cron saw its command succeed');
	is($node->safe_psql('postgres', "SELECT gpt_score('start_' || $n - 1, 'line 1') > 0"), 't', 'the model scores');
}
$node->safe_psql('postgres', q{SELECT cron.unschedule('at start')});
nothing_is_left($node);

# Two commands that fall into the same minute: one trains, the other is skipped.
$node->safe_psql('postgres', qq{SELECT cron.schedule('nightly ' || i, '* * * * *',
	\$\$SELECT gpt_finetune('start_0', 'SELECT body FROM line', '{"if_running": "skip", "steps": 100000}')\$\$) FROM generate_series(1, 2) i});
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM cron.job_run_details WHERE command LIKE '%gpt_finetune%' AND status = 'succeeded'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE command LIKE '%gpt_finetune%' AND status = 'succeeded'}),
	'2', 'two commands of the same minute both succeed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_jobs WHERE kind = 'finetune'}), '1', 'and one of them trains: "if_running": "skip"');
$node->safe_psql('postgres', q{SELECT cron.unschedule(jobid) FROM cron.job});
$node->safe_psql('postgres', q{SELECT gpt_cancel(job) FROM gpt_jobs WHERE state IN ('queued', 'running')});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM gpt_jobs WHERE state IN ('queued', 'running')});

# Without preload of gpt, a maintained column with rows that wait since a restart.
$node->safe_psql('postgres', q{CREATE TABLE note (id integer PRIMARY KEY, body text, label text);
	SELECT gpt_maintain('note', 'label', 'upper(body)'); UPDATE gpt_maintenance SET failed = true; INSERT INTO note VALUES (1, 'it waits');
	SELECT cron.schedule('maintain', '@reboot', 'SELECT gpt_maintain_run()')});
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'");
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT label = 'IT WAITS' FROM note}), 'gpt_maintain_run in pg_cron starts the worker of a column, without preload');

done_testing();
