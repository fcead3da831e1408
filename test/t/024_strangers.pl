# test/t/024_strangers.pl - what other sessions do holds up nobody's jobs: one that has changed a model and is idle,
# when a job is to publish it and has the only slot; one that changes a large object that is to go; NOTIFY that fails,
# when a job begins or ends.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use IPC::Run;
use Test::More;

my $node = start_node('strangers', 1);
my $small = '"layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "validation_fraction": 0';

$node->append_conf('postgresql.conf', "gpt.publish_interval = '1s'\nlog_min_messages = log");
$node->reload;
sub sql { return $node->safe_psql('postgres', $_[0]) }

# A session that stays open; returns it and what it has said.
sub session
{
	my ($in, $out) = ('', '');
	my $psql = IPC::Run::start [ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres' ], '<', \$in, '>', \$out;

	return sub {
		$in .= "$_[0]\nSELECT 'said';\n";
		$psql->pump until $out =~ /said\n/;
		$out = '';
	};
}

sql("SELECT gpt_train('m', 'SELECT body FROM line', '{\"steps\": 1, $small}'); SELECT gpt_wait(1)");
my $idle = session();

# ---- a model that an idle session has changed
$idle->("BEGIN; SELECT gpt_set_image_type('m', 'bfloat16');");
sql("SELECT gpt_finetune('m', 'SELECT body FROM line', '{\"steps\": 1}')");
sql("SELECT gpt_train('other', 'SELECT body FROM line', '{\"steps\": 1, $small}')");
is(sql(q{SELECT gpt_wait(3, '300 s')}), 'succeeded', 'another job runs while one waits for an idle session');
is(sql('SELECT state FROM gpt_jobs WHERE job = 2'), 'running', 'that one waits');
is(sql('SELECT phase FROM gpt_stat_progress_train WHERE job = 2'), 'waiting to publish', 'and says so');
is(sql('SELECT gpt_cancel(2); SELECT gpt_wait(2)'), "t\ncancelled", 'and can be cancelled');
sql('SELECT gpt_resume(2)');
sql("SELECT gpt_finetune('other', 'SELECT body FROM line', '{\"steps\": 1}')");
is(sql(q{SELECT gpt_wait(4, '300 s')}), 'succeeded', 'it waits again, and again another one runs');
$idle->('COMMIT;');
is(sql(q{SELECT gpt_wait(2, '300 s')}), 'succeeded', 'when the session commits the job publishes');
is(sql(q{SELECT string_agg(model || '@' || version, ' ' ORDER BY model, version) FROM gpt_versions}), 'm@1 m@2 other@1 other@2', 'its version');

# ---- partial versions are left out meanwhile
$idle->("BEGIN; SELECT gpt_set_image_type('m', 'int8');");
sql("SELECT gpt_finetune('m', 'SELECT body FROM line', '{\"steps\": 100000000}')");
my ($log, $seen) = ('', 0);
for (1 .. 1200)
{
	$log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	last if $seen = $log =~ /job 5 of gpt does not publish yet, because of another session: it holds a lock/;
	select(undef, undef, undef, 0.05);
}
ok($seen, 'a partial version is not waited for');
my $step = sql('SELECT step FROM gpt_stat_progress_train');
ok($node->poll_query_until('postgres', "SELECT step > $step FROM gpt_stat_progress_train"), 'the training goes on');
is(sql('SELECT gpt_cancel(5); SELECT gpt_wait(5)'), "t\ncancelled", 'and can be cancelled');
$idle->('ROLLBACK;');

# ---- a version that is to go, whose large object another session changes or removes
my $kept = 2;
for my $change ('GRANT SELECT ON LARGE OBJECT %s TO pg_monitor', 'SELECT lo_unlink(%s)')
{
	$idle->(sprintf "BEGIN; $change;", sql("SELECT min(weights) FROM gpt_versions WHERE model = 'other'"));
	sql("SELECT gpt_finetune('other', 'SELECT body FROM line', '{\"steps\": 1, \"keep_versions\": $kept}')");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE phase = 'waiting to publish'"), "$change: waited for");
	$idle->('COMMIT;');
	is(sql(q{SELECT gpt_wait(max(job), '300 s') FROM gpt_jobs}), 'succeeded', 'the job publishes');
	$kept--;
}
is(sql(q{SELECT string_agg(version::text, ' ') FROM gpt_versions WHERE model = 'other'}), '4', 'the older versions are gone');

# ---- NOTIFY fails, as it does when the queue is full: a listener keeps its tail, and its next page cannot be written
$idle->("LISTEN gpt_job; SELECT pg_advisory_lock(9); BEGIN; SELECT 1;");
sql('CREATE FUNCTION gate() RETURNS boolean LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock_shared(9) IS NOT NULL $$');
my $queue = $node->data_dir . '/pg_notify';
sql("BEGIN; SELECT gpt_train('slow', 'SELECT body FROM line WHERE gate()', '{\"steps\": 1, $small}');"
	. "SELECT gpt_train('q' || i, 'SELECT body FROM line', '{\"steps\": 1, $small}') FROM generate_series(1, 3) i; COMMIT");
chmod 0500, $queue;
my $full = 0;
# Long ones until a page is full, then short ones until nothing fits on it.
for my $size (7900, 1)
{
	for (1 .. 100)
	{
		my ($status) = $node->psql('postgres', "SELECT pg_notify('c' || i, repeat('x', $size) || $_) FROM generate_series(1, 9) i", on_error_stop => 1);
		last if $full = $status != 0;
	}
}
ok($full, 'NOTIFY fails');
$idle->('SELECT pg_advisory_unlock(9);');
is(sql(q{SELECT gpt_wait(max(job), '300 s') FROM gpt_jobs}), 'succeeded', 'jobs end where it does, and start the next ones');
is(sql(q{SELECT string_agg(DISTINCT state, ' ') FROM gpt_jobs WHERE model ~ '^(slow|q)'}), 'succeeded', 'all of them');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/could not notify of job \d+ of gpt/, 'the log says that nobody was notified');
chmod 0700, $queue;
$idle->('ROLLBACK;');
nothing_is_left($node);
done_testing();
