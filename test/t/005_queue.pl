# test/t/005_queue.pl - without preload jobs run in order, one at a time, and those of one model never at once; what has
# no place for a worker says so; listeners hear of every change.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('queue', 0);

# in order
my @jobs = map { submit($node, "ordered_$_", 20) } 1 .. 5;
is($node->safe_psql('postgres', "SELECT string_agg(gpt_wait(job, '300 s'), ' ') FROM unnest(ARRAY[" . join(',', @jobs) . ']) job'),
	join(' ', ('succeeded') x 5), 'five jobs end without preload and with one slot');
is($node->safe_psql('postgres', 'SELECT string_agg(job::text, \' \' ORDER BY started_at) FROM gpt_jobs'),
	join(' ', @jobs), 'in the order of their submission');
is($node->safe_psql('postgres', 'SELECT count(*) FROM gpt_jobs a JOIN gpt_jobs b ON a.job < b.job AND b.started_at < a.finished_at'),
	'0', 'and one at a time');
nothing_is_left($node);

# one model after another, with two slots: a job of another model passes by
$node->append_conf('postgresql.conf', 'gpt.max_workers = 2');
$node->reload;
my $options = '{"steps": 10, "if_running": "queue"}';
my $long = submit($node, 'long', 1000000);
wait_for_step($node, $long, 5);
my $next = $node->safe_psql('postgres', q{SELECT gpt_train('long', 'SELECT body FROM line', '{"steps": 5, "layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes", "if_running": "queue"}')});
my $other = submit($node, 'other', 20);
is($node->safe_psql('postgres', "SELECT gpt_wait($other, '300 s')"), 'succeeded', 'a job of another model runs meanwhile');
is(state_of($node, $next), 'queued', 'a job of the same model waits, though there is a slot');
kill 'TERM', $node->safe_psql('postgres', "SELECT pid FROM gpt_stat_progress_train WHERE job = $long");
is($node->safe_psql('postgres', "SELECT gpt_wait($next, '300 s')"), 'succeeded', 'it runs when the first one was ended');
is(state_of($node, $long), 'cancelled', 'which is cancelled');
@jobs = map { $node->safe_psql('postgres', "SELECT gpt_finetune('other', 'SELECT body FROM line', '$options')") } 1 .. 4;
$node->restart;
$node->safe_psql('postgres', "SELECT gpt_resume(job) FROM gpt_jobs WHERE state IN ('queued', 'running') ORDER BY job");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM gpt_jobs WHERE kind = 'finetune' AND state = 'succeeded'}),
	'four fine-tunes of one model end, across a restart');
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_jobs a JOIN gpt_jobs b ON a.job < b.job AND b.started_at < a.finished_at WHERE a.kind = 'finetune' AND b.kind = 'finetune'}),
	'0', 'never two at once');
is($node->safe_psql('postgres', q{SELECT string_agg(base_version::text, ' ' ORDER BY job) FROM gpt_jobs WHERE kind = 'finetune'}), '1 2 3 4', 'each starts from the one before');

# listeners
my $heard = $node->safe_psql('postgres', q{LISTEN gpt_job;
	SELECT gpt_train('heard', 'SELECT body FROM line', '{"steps": 2, "layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes"}') AS job \gset
	SELECT gpt_wait(:job, '300 s');
	DO $$ BEGIN PERFORM pg_sleep(0.3); END $$;
	SELECT 1;});
is(join(' ', $heard =~ /"state": "(\w+)"/g), 'queued running succeeded', 'a listener hears of each state');

# more jobs than places, all of one transaction: those without a worker are started by the workers of the others, also
# where two end at once, and by the session that waits, which alone can do it where there is one place
for my $places (2, 1)
{
	$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($places + 1));
	$node->restart;
	for my $round (1 .. 2 * $places - 1)
	{
		is( $node->safe_psql('postgres', qq{CREATE TEMP TABLE crowd AS SELECT gpt_train('crowd $places $round ' || i, 'SELECT body FROM line',
				'{"steps": 20, "layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes"}') AS job FROM generate_series(1, 6) i;
			SELECT string_agg(gpt_wait(job, '300 s'), ' ' ORDER BY job DESC) FROM crowd}),
			join(' ', ('succeeded') x 6), "the session that submits more jobs than there are places for workers, $places, waits for the last of them");
	}
}

# no place for a worker
for my $preload (0, 1)
{
	$node->append_conf('postgresql.conf', $preload ? "shared_preload_libraries = 'gpt'\nmax_worker_processes = 2" : 'max_worker_processes = 1');
	$node->restart;
	my $job = submit($node, "placeless_$preload", 5);
	like($node->safe_psql('postgres', "SELECT note FROM gpt_jobs WHERE job = $job"),
		qr/max_worker_processes is @{[$preload + 1]}/, 'the row of a job without a place names the setting and its value');
	$node->append_conf('postgresql.conf', 'max_worker_processes = 10');
	$node->restart;
	$node->safe_psql('postgres', "SELECT gpt_resume($job)") unless $preload;
	is($node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')"), 'succeeded', 'it runs when there is one');
	unlike($node->safe_psql('postgres', "SELECT coalesce(note, '') FROM gpt_jobs WHERE job = $job"), qr/max_worker/, 'and the note is gone');
}

# the extension, its schema, its database go while a job runs
my ($kept, %before);
for my $command ('DROP EXTENSION gpt CASCADE', 'DROP SCHEMA s CASCADE', 'DROP DATABASE victim WITH (FORCE)')
{
	$node->safe_psql('postgres', 'CREATE DATABASE victim');
	%before = map { $_ => 1 } files_of_jobs($node);
	$node->safe_psql('victim', q{CREATE SCHEMA s; CREATE EXTENSION gpt SCHEMA s; ALTER DATABASE victim SET search_path = s, public;});
	$node->safe_psql('victim', q{CREATE TABLE public.line AS SELECT 'line ' || i AS body FROM generate_series(1, 100) i;
		SELECT gpt_train('m', 'SELECT body FROM public.line', '{"steps": 1000000000, "layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes"}')});
	ok($node->poll_query_until('victim', 'SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE step > 0'), 'a job runs');
	if ($command =~ /EXTENSION/)
	{
		$node->safe_psql('victim', 'SELECT gpt_cancel(1)');
		$node->safe_psql('victim', q{SELECT gpt_wait(1), gpt_train('n', query, options) FROM gpt_job});
		ok($node->poll_query_until('victim', 'SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE step > 0'), 'another one was cancelled');
		my $database = $node->safe_psql('victim', 'SELECT oid FROM pg_database WHERE datname = current_database()');
		append_to_file($node->data_dir . "/gpt/pgsql_tmp_01234567-89ab-cdef-0123-456789abcdef_m1_${database}_10_50.kept", 'of a member');
		$kept = () = grep { !$before{$_} } files_of_jobs($node);
	}
	$node->safe_psql($command =~ /DATABASE/ ? 'postgres' : 'victim', $command);
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('gpt trainer', 'gpt starter')}), "its worker ends after $command");
	is("$kept files, then " . join(' ', grep { !$before{$_} } files_of_jobs($node)), '5 files, then ', 'the files of its jobs are gone, and what members kept') if $command =~ /EXTENSION/;
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS victim WITH (FORCE)');
}

done_testing();
