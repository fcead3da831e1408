# test/t/GptTest.pm - what the restart tests share: a server with the extension and a table of text, and waiting.
package GptTest;

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(max sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(start_node submit wait_for_step hold_at_step hold_when hold_in_training let_go cancel_held kill_held answer_of wait_through_restarts wait_until_up state_of files_of_jobs seconds_of
  own_seconds_until own_seconds_until_gone own_seconds_of_fast_stop OWN_SECONDS nothing_is_left);

# A function of a session: seconds that pass while none of its threads waits for a core. Threads that end may not lie
# between two looks.
use constant OWN_SECONDS => <<'SQL';
CREATE FUNCTION own_seconds() RETURNS float8 LANGUAGE sql VOLATILE AS $$
	SELECT extract(epoch FROM clock_timestamp())::float8 - coalesce(sum(split_part(
		pg_read_file('/proc/self/task/' || task || '/schedstat', 0, 100, true), ' ', 2)::float8), 0) / 1e9
	FROM pg_ls_dir('/proc/self/task') task
$$;
SQL

# A running server; preload says whether it preloads the library.
sub start_node
{
	my ($name, $preload) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 1);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt'") if $preload;
	$node->append_conf('postgresql.conf', "max_worker_processes = 10\nautovacuum = off\nrestart_after_crash = on\ngpt.nice = 0\n");
	$node->start;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION gpt;
CREATE TABLE line AS
	SELECT i AS id, 'line ' || i || ' says ' || md5(i::text) || ' and ' || md5((i * 7)::text) AS body FROM generate_series(1, 400) i;
SQL
	return $node;
}

# Submits a job of a small model; returns its number. A step takes some milliseconds.
sub submit
{
	my ($node, $model, $steps) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_train('$model', 'SELECT body FROM line',
		'{"steps": $steps, "layers": 2, "heads": 2, "channels": 64, "context": 64, "tokenizer": "bytes", "batch_size": 8, "patience": 0}')});
}

sub state_of
{
	my ($node, $job, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT state FROM gpt_jobs WHERE job = $job");
}

# Waits until a running job has done so many steps; returns the process that runs it.
sub wait_for_step
{
	my ($node, $job, $step, $database) = @_;

	# In one session: a short job would be over before a second one is connected.
	return answer_of($node, $database // 'postgres', look_for($job, "step >= $step", 'COMMIT', ''))
	  || die "job $job was not seen at step $step: " . state_of($node, $job, $database);
}

# Waits until a running job has done so many steps (0: begins to train), and holds it: a session locks its row of progress,
# for which the worker waits when it next tells its progress, and so before the job can end. However small its steps are
# and whatever else the machine does, the job runs when the test goes on. Returns what is held: process and session.
sub hold_at_step
{
	my ($node, $job, $step) = @_;

	return hold_when($node, $job, $step > 0 ? "step >= $step" : "phase = 'training'");
}

# Holds a job that has begun to train, and mostly made some steps, of which it has told none.
sub hold_in_training
{
	my ($node, $job) = @_;
	my $held = hold_at_step($node, $job, 0);
	my $end = computed($held->{pid}) + 0.04;

	for my $look (1 .. 180_000)
	{
		last if computed($held->{pid}) >= $end;
		last if $look % 50 == 0 && $held->{gate}->query_safe("SELECT count(*) FROM pg_locks WHERE pid = $held->{pid} AND NOT granted") > 0;
		usleep(1_000);
	}
	return $held;
}

sub hold_when
{
	my ($node, $job, $condition) = @_;
	my ($gate, $pid);

	# The server may be starting.
	for (1 .. 300)
	{
		last if eval
		{
			$gate = $node->background_psql('postgres');
			$pid = $gate->query_safe('BEGIN; '
				  . look_for($job, $condition, 'PERFORM pg_stat_clear_snapshot()', "PERFORM FROM gpt_progress WHERE job = $job FOR UPDATE;"));
			1;
		};
		usleep(100_000);
	}
	$pid || die "job $job was not held when $condition: " . state_of($node, $job);
	return { pid => $pid, gate => $gate };
}

# Lets a job go on. The session ends with its server, if that is gone.
sub let_go
{
	my ($held) = @_;

	eval { $held->{gate}->query('ROLLBACK') };
	eval { $held->{gate}->quit };
}

sub cancel_held
{
	my ($node, $job, $held) = @_;

	$node->safe_psql('postgres', "SELECT gpt_cancel($job)");
	let_go($held);
}

sub kill_held
{
	my ($held) = @_;

	kill 'KILL', $held->{pid};
	let_go($held);
}

# Statements that look for the process of a job until the condition of its progress holds, or the job has ended.
sub look_for
{
	my ($job, $condition, $between, $found) = @_;

	return qq{
		DO \$\$
		DECLARE
			found integer;
		BEGIN
			FOR i IN 1 .. 18000 LOOP
				found := (SELECT pid FROM gpt_stat_progress_train WHERE job = $job AND $condition);
				EXIT WHEN found IS NOT NULL OR (SELECT state NOT IN ('queued', 'running') FROM gpt_jobs WHERE job = $job);
				$between;
				PERFORM pg_sleep(0.01);
			END LOOP;
			$found
			PERFORM set_config('test.pid', found::text, false);
		END \$\$;
		SELECT nullif(current_setting('test.pid'), '')};
}

# The answer of a server that may be starting, or about to end this session because a worker was killed.
sub answer_of
{
	my ($node, $database, $query) = @_;

	for (1 .. 300)
	{
		my $answer = eval { $node->safe_psql($database, $query) };
		return $answer if defined $answer;
		usleep(100_000);
	}
	die "no answer to: $query";
}

# Until the query gives true, on a server that may restart meanwhile: poll_query_until dies of a broken pipe when its psql
# ends before it has read the query.
sub wait_through_restarts
{
	my ($node, $query) = @_;

	for (1 .. 1800)
	{
		return 1 if answer_of($node, 'postgres', $query) eq 't';
		usleep(100_000);
	}
	die "not true after three minutes: $query";
}

# After the death of a process: the server needs a moment to notice it.
sub wait_until_up
{
	my ($node) = @_;

	usleep(200_000);
	answer_of($node, 'postgres', 'SELECT 1');
}

sub seconds_of
{
	my ($code) = @_;
	my $start = time;

	$code->();
	return time - $start;
}

# How long a machine takes to give a thread a core depends on what else it does: that time is no part of what a test
# judges. It is counted for each thread, by its file; nothing where the kernel does not count it.
sub waits
{
	my %waits;

	for my $file (map { glob("/proc/$_/task/*/schedstat") } @_)
	{
		$waits{$file} = $1 / 1e9 if (first_line($file) // '') =~ /^\d+ (\d+)/;
	}
	return %waits;
}

# Processor time that the threads of a process have had, in seconds.
sub computed
{
	my ($pid) = @_;

	return sum(0, map { (first_line($_) // '') =~ /^(\d+) / ? $1 / 1e9 : 0 } glob("/proc/$pid/task/*/schedstat"));
}

sub first_line
{
	my ($file) = @_;

	open(my $handle, '<', $file) or return undef;
	return scalar <$handle>;
}

sub is_gone
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return 1;
	my $line = <$file> // return 1;
	return $line =~ /\) [ZX]/;
}

# Runs the code, and then until_true until it is true; returns the seconds since the code ended, without those in which
# threads of the processes waited for a core. That this one waited matters at the end alone, of which it hears late: a
# worker that sleeps is no faster for it.
sub own_seconds_until
{
	my ($code, $until_true, @pids) = @_;

	$code->();
	my ($then, $own) = (time, 0);
	my %before = waits($$, @pids);
	for (1 .. 36000)
	{
		my $is_true = $until_true->();
		my ($now, %after) = (time, waits($$, @pids));
		my $waited = sum(0, map { $after{$_} - ($before{$_} // 0) } grep { $is_true || !m{^/proc/$$/} } keys %after);

		$own += max(0, $now - $then - $waited);
		return $own if $is_true;
		($then, %before) = ($now, %before, %after);
		usleep(5_000);
	}
	die 'not true after three minutes';
}

# The same for processes that a signal ends.
sub own_seconds_until_gone
{
	my ($code, @pids) = @_;

	return own_seconds_until($code, sub { return !grep { !is_gone($_) } @pids }, @pids);
}

# The same for a server that a fast shutdown ends.
sub own_seconds_of_fast_stop
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @children = grep { is_child($_, $postmaster) } map { m{/(\d+)$} } glob('/proc/[0-9]*');
	my $seconds = own_seconds_until_gone(sub { kill 'INT', $postmaster }, $postmaster, @children);

	$node->_update_pid(0);
	return $seconds;
}

sub is_child
{
	my ($pid, $parent) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return 0;
	my $line = <$file> // return 0;
	return $line =~ /\) \w $parent /;
}

sub files_of_jobs
{
	my ($node) = @_;

	return grep { -f } glob($node->data_dir . '/gpt/*');
}

# After every job has ended: no process, lock, progress row, large object without a row, or file but those from which a failed or
# cancelled job could be continued.
sub nothing_is_left
{
	my ($node) = @_;

	my $kept = join('|', split(/\n/, $node->safe_psql('postgres', "SELECT run_id FROM gpt_job WHERE state IN ('failed', 'cancelled')")));
	my @files = files_of_jobs($node);

	@files = grep { !m{/pgsql_tmp_($kept)\.(tokens|ckpt)$} } @files if $kept ne '';
	is(join(' ', @files), '', 'no file of a job is left');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('gpt trainer', 'gpt starter')"),
		'no worker is left');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', 'no lock is left');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM gpt_progress'), '0', 'no progress row is left');
	is( $node->safe_psql(
			'postgres', 'SELECT count(*) FROM pg_largeobject_metadata
			WHERE oid NOT IN (SELECT weights FROM gpt_version UNION ALL SELECT object FROM gpt_tokenizer)'),
		'0',
		'no large object is left');
}

1;
