# test/t/023_submissions.pl - a transaction that submits many jobs starts as many workers as can run at once, and so
# does one that fails after it has cancelled many.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use Test::More;

my $N = $ENV{GPT_SUBMISSIONS} // 300;
my $node = start_node('submissions', 0);

$node->append_conf('postgresql.conf', "max_worker_processes = 60\ngpt.max_workers = 2");
$node->restart;
$node->safe_psql('postgres', <<'SQL');
-- The most workers that are seen at once within a second, while jobs run.
CREATE FUNCTION most_workers() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	most bigint := 0;
BEGIN
	FOR i IN 1 .. 200 LOOP
		PERFORM pg_stat_clear_snapshot(), pg_sleep(0.005);
		most := greatest(most, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gpt trainer'));
	END LOOP;
	RETURN most;
END $$;
CREATE FUNCTION submit(model text) RETURNS bigint LANGUAGE sql AS $$
	SELECT gpt_train(model, 'SELECT body FROM line',
		'{"steps": 20, "layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "validation_fraction": 0}') $$;
SQL
# Two run at once; one that ends, and one that has just been started by it, are seen beside them.
is($node->safe_psql('postgres', "SELECT count(submit('m' || i)) FROM generate_series(1, $N) i"), $N, 'many jobs are submitted at once');
cmp_ok($node->safe_psql('postgres', 'SELECT most_workers()'), '<=', 10, 'and few workers start');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 5 FROM gpt_jobs WHERE state = 'succeeded'}), 'each that ends starts the next one');
# The statement is slow, so that workers come across jobs whose rows it has locked: one of them waits for it.
my ($cancelled, $waiting, $most) = split /\n/, $node->safe_psql('postgres', q{BEGIN;
	SELECT bool_and(gpt_cancel(job)) FROM (SELECT job, pg_sleep(0.02) FROM gpt_jobs WHERE state = 'queued' ORDER BY job LIMIT 100) j;
	SELECT most_workers(); ROLLBACK; SELECT most_workers()});
is($cancelled, 't', 'many are cancelled, slowly');
cmp_ok($waiting, '<=', 10, 'few workers wait for a cancellation of many');
cmp_ok($most, '<=', 10, 'and few start when it is rolled back');
is($node->safe_psql('postgres', q{SELECT bool_and(gpt_cancel(job)) FROM gpt_jobs WHERE state = 'queued'}), 't', 'many are cancelled');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM gpt_jobs WHERE state IN ('queued', 'running')}), 'and no job is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_jobs WHERE state = 'failed'}), '0', 'none failed');
done_testing();
