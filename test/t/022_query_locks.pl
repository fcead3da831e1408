# test/t/022_query_locks.pl - a training query that releases advisory locks does not release those that say who runs the
# job: one job at a time under gpt.max_workers = 1, each trained once, also where the query fails or is ended.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use Test::More;

my $node = start_node('query_locks', 1);

$node->safe_psql('postgres', <<'SQL');
-- What the process that runs the query has of our classes, from 0x6770, when all is released that can be; and one by one, as their keys are shown.
CREATE FUNCTION release() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	lock record;
	held text;
BEGIN
	PERFORM pg_advisory_unlock_all();
	FOR lock IN SELECT * FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() LOOP
		PERFORM pg_advisory_unlock(lock.classid::int, lock.objid::int), pg_advisory_unlock((lock.classid::bigint << 32) | lock.objid::bigint);
	END LOOP;
	PERFORM pg_advisory_lock(77);
	SELECT string_agg(objsubid::text, ' ' ORDER BY objsubid) INTO held FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid > 2;
	RETURN 'held ' || held;
END $$;
CREATE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); RAISE 'no rows today'; END $$;
CREATE FUNCTION sleep() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); PERFORM pg_sleep(60); RETURN 'x'; END $$;
SQL

sub train
{
	my ($model, $query, $steps) = @_;

	return "SELECT gpt_train('$model', '$query', '{\"steps\": $steps, \"layers\": 1, \"heads\": 1, \"channels\": 8, \"context\": 16, \"tokenizer\": \"bytes\"}');";
}

# The fourth sleeps in its query, so that its worker is ended there.
$node->safe_psql('postgres', 'BEGIN;'
	  . train('a', 'SELECT release() || body AS body FROM line', 30)
	  . train('b', 'SELECT release() || body AS body FROM line', 30)
	  . train('c', 'SELECT body FROM line WHERE fail() IS NULL', 30)
	  . train('d', 'SELECT body FROM line WHERE sleep() IS NULL', 30)
	  . train('e', 'SELECT release() || body AS body FROM line', 30)
	  . 'COMMIT;');
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'gpt trainer')}), 'the fourth job sleeps');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gpt trainer'}), '1', 'and is the only one that runs');
is($node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'gpt trainer'}), 't', 'its worker is ended');
is($node->safe_psql('postgres', q{SELECT gpt_wait(max(job), '300 s') FROM gpt_jobs}), 'succeeded', 'the last job ends');
is($node->safe_psql('postgres', q{SELECT string_agg(model || ' ' || state, ', ' ORDER BY job) FROM gpt_jobs}),
	'a succeeded, b succeeded, c failed, d cancelled, e succeeded', 'each ends as its query does');
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_job a JOIN gpt_job b ON a.job < b.job AND b.started_at < a.finished_at}), '0', 'no two ran at once');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT tries::text, ' ') FROM gpt_job}), '1', 'and none was tried twice');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(() = $log =~ / of gpt started: /g), 5, 'nor begun twice');
is($node->safe_psql('postgres', q{SELECT gpt_generate('a', 'held', max_tokens => 1) IS NOT NULL}), 't', 'a model is there');
nothing_is_left($node);

# The query sees its own process hold job and slot after it has released what it can; what it locked itself is released
# after it.
$node->safe_psql('postgres', train('f', q{SELECT CASE WHEN release() = ''held 26480 26481'' THEN body END AS body FROM line}, 200000));
wait_for_step($node, 6, 1);
is($node->safe_psql('postgres', q{SELECT string_agg(objsubid::text, ' ' ORDER BY objsubid) FROM pg_locks WHERE locktype = 'advisory'}), '26480 26481',
	'a worker has its two locks after the query, and none of the query\'s');
$node->safe_psql('postgres', 'SELECT gpt_cancel(6)');
$node->safe_psql('postgres', 'SELECT gpt_wait(6)');

# A query that catches the cancellation: its process is ended.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION stubborn() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(60);
		EXCEPTION WHEN query_canceled THEN
		END;
	END LOOP;
END $$;
SQL
$node->safe_psql('postgres', train('g', 'SELECT stubborn() AS body', 30));
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'gpt trainer')}), 'a query that catches cancellations runs');
is($node->safe_psql('postgres', q{SELECT gpt_cancel(7)}), 't', 'its job is cancelled');
is($node->safe_psql('postgres', q{SELECT gpt_wait(7, '30 s')}), 'cancelled', 'and ends');
nothing_is_left($node);
done_testing();
