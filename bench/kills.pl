# bench/kills.pl - TRIALS times (60), a job trains over three servers for STEPS steps (300), and one process of one of
# them is ended by kill -9 at a random step: worker, launcher, session of a member, second session of a member (the
# heartbeat's), a session of a user, checkpointer, postmaster. Whether the job ends by itself as the undisturbed one
# did, how long the others take to notice, and how long until the step is passed at which it happened. SYNC is "step" or
# a number, ON_LOSS wait or continue, DATA dealt or local; FIRST is the kind of process to begin with, BATCH (8) the
# texts of a step. Started by bench/kills.sh; the report goes to file descriptor 3.
use strict;
use warnings;

use GptServers;
use GptTest qw(answer_of);
use IPC::Run qw(start finish);
use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

open my $report, '>&=', 3 or die "file descriptor 3: $!";
$report->autoflush(1);
my ($trials, $steps, $sync, $on_loss) = @ENV{qw(TRIALS STEPS SYNC ON_LOSS)};
my @names = qw(here east west);
my @nodes = start_servers(\@names, preload => 1, conf => "gpt.checkpoint_interval = 1\ngpt.gradient_address = '127.0.0.1'\nmax_connections = 40\n");
my ($here, @members) = @nodes;
my @kinds = (
	[ 0, 'worker', "backend_type = 'gpt trainer'" ],
	[ 1, 'session of a member', "application_name = 'gpt' AND state = 'active'" ],
	[ 2, 'session of a member', "application_name = 'gpt' AND state = 'active'" ],
	[ 0, 'postmaster', undef ],
	[ 1, 'postmaster', undef ],
	[ 1, 'heartbeat of a member', "application_name = 'gpt' AND state <> 'active'" ],
	[ 0, 'launcher', "backend_type = 'gpt launcher'" ],
	[ 2, 'checkpointer', "backend_type = 'checkpointer'" ],
	[ 0, 'session of a user', "application_name = 'user'" ],
	[ 2, 'walwriter', "backend_type = 'walwriter'" ],
	[ 1, 'session that takes an update', "application_name = 'gpt' AND state = 'active' AND query LIKE '%gpt_member_take%'" ],
	[ 2, 'session that gives a difference', "application_name = 'gpt' AND state = 'active' AND query LIKE '%gpt_member_delta%'" ]);
my $number = 0;

splice @kinds, -2 if $sync eq '"step"';

connect_servers($here, @members);
# Asks a query until its first value is neither null nor false, and returns that.
$_->safe_psql('postgres', q{CREATE FUNCTION wait_until(query text, most interval) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		value text;
	BEGIN
		WHILE clock_timestamp() < statement_timestamp() + most LOOP
			EXECUTE query INTO value;
			EXIT WHEN value <> 'false' AND value <> 'f';
			PERFORM pg_stat_clear_snapshot(), pg_sleep(0.003);
		END LOOP;
		RETURN value;
	END $$}) for @nodes;
fill_line($nodes[$_], 1 + 300 * $_, 300 + 300 * $_) for 0 .. 2;
srand($ENV{SEED} // 1);

# ---- jobs ----

sub submit_one
{
	$number++;
	return answer_of($here, 'postgres', qq{SELECT gpt_train('model$number', 'SELECT body FROM line', '{"servers": ["east", "west"], "sync": $sync,
		"data": "$ENV{DATA}", "on_loss": "$on_loss", "steps": $steps, "layers": 2, "heads": 2, "channels": 64, "context": 64, "tokenizer": "bytes",
		"batch_size": $ENV{BATCH}, "accumulate": @{[ $sync eq '"step"' ? 4 : 1 ]}, "patience": 0, "seed": 7, "publish": "last", "threads": 1}')});
}

# "state hash loss" of a job that ends by itself; gpt_wait of a server that may restart.
sub result_of
{
	my ($job) = @_;

	for (1 .. 1200)
	{
		my $state = answer_of($here, 'postgres', "SELECT state FROM gpt_jobs WHERE job = $job");
		last if $state !~ /queued|running/;
		usleep(50_000);
	}
	# without the head of the object, which has conditions and times
	return split / /, answer_of($here, 'postgres', "SELECT concat_ws(' ', j.state,
			encode(sha256(substr(object, 9 + get_byte(object, 0) + 256 * get_byte(object, 1) + 65536 * get_byte(object, 2))), 'hex'), m.validation_loss)
		FROM gpt_jobs j LEFT JOIN gpt_models m ON m.model = j.model, LATERAL (SELECT lo_get(m.weights) AS object) o WHERE j.job = $job");
}

# Returns once the job is at that step, or over.
sub wait_for_step
{
	my ($job, $step) = @_;

	answer_of($here, 'postgres', "SELECT wait_until('SELECT j.state NOT IN (''queued'', ''running'') OR p.step >= $step
		FROM gpt_jobs j LEFT JOIN gpt_stat_progress_train p USING (job) WHERE job = $job', '60 s')");
}

sub step_of
{
	my ($job) = @_;

	return answer_of($here, 'postgres', "SELECT CASE WHEN j.state IN ('queued', 'running') THEN coalesce(p.step, 0) ELSE $steps END
		FROM gpt_jobs j LEFT JOIN gpt_stat_progress_train p USING (job) WHERE job = $job");
}

# ---- observers ----

# A session on a server that the killed one is a peer of. It ends when what it sees of the job has changed: the states
# and epochs of the coordinator's table, or the number of the job's sessions here.
sub observe
{
	my ($node, $job) = @_;
	my $seen = $node == $here
	  ? "(SELECT string_agg(concat_ws(' ', member, state, epoch), ',' ORDER BY member) FROM gpt_job_servers WHERE job = $job)"
	  : q{(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gpt')::text};
	my %observer = (output => '', node => $node);
	my $query = qq{
		DO \$\$
		DECLARE
			before text := $seen;
		BEGIN
			RAISE NOTICE 'ready';
			FOR i IN 1 .. 4000 LOOP
				COMMIT;
				EXIT WHEN $seen IS DISTINCT FROM before;
				PERFORM pg_sleep(0.005);
			END LOOP;
			RAISE NOTICE 'noticed %', extract(epoch FROM clock_timestamp());
		END \$\$};

	$observer{process} = start [ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', $query ], '</dev/null', '>&', \$observer{output};
	$observer{process}->pump until $observer{output} =~ /ready|ERROR|FATAL/;
	return \%observer;
}

sub stop_process
{
	my ($process) = @_;

	$process->signal('KILL');
	eval { finish $process };
}

sub noticed_at
{
	my ($observer) = @_;

	finish $observer->{process};
	return $observer->{output} =~ /noticed ([0-9.]+)/ ? $1 : undef;
}

# ---- one trial ----

sub pid_of
{
	my ($node, $condition) = @_;

	return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] unless defined $condition;
	$condition =~ s/'/''/g;
	my $found = eval { $node->safe_psql('postgres', "SELECT wait_until('SELECT pid FROM pg_stat_activity WHERE $condition ORDER BY pid', '2 s')") };
	return $found;
}

sub start_again
{
	my ($node) = @_;

	for (1 .. 200)
	{
		$node->{_pid} = undef;
		return if $node->start(fail_ok => 1);
		usleep(50_000);
	}
	die 'a server does not start again';
}

sub trial
{
	my ($which, $kind, $condition) = @_;
	my $node = $nodes[$which];
	my $job = submit_one();
	my $user = start [ 'psql', '-XqAt', '-d', $here->connstr('postgres') . ' application_name=user', '-c', 'SELECT pg_sleep(60)' ], '</dev/null', '>', '/dev/null', '2>', '/dev/null';
	my $at = int($steps * (0.1 + rand(0.6)));
	my (@observers, $pid, $step, $killed, %result);

	wait_for_step($job, $at);
	@observers = map { observe($_, $job) } grep { ($_ == $here) != ($node == $here) } @nodes;
	$pid = pid_of($node, $condition);
	$step = step_of($job);
	if (!$pid || $step >= $steps)
	{
		# the job was over before: once more
		stop_process($_->{process}) for @observers;
		stop_process($user);
		return undef;
	}
	$killed = time;
	kill 'KILL', $pid;
	my @noticed = map { noticed_at($_) } @observers;
	start_again($node) unless defined $condition;
	usleep(10_000) while step_of($job) <= $step && $step < $steps;
	$result{recovery} = time - $killed;
	# undefined where something else had changed just before
	$result{reaction} = (grep { !defined || $_ < $killed } @noticed) ? undef : max(map { $_ - $killed } @noticed);
	@result{qw(state hash loss)} = result_of($job);
	stop_process($user);
	return \%result;
}

sub percentile
{
	my ($share, @values) = @_;

	@values = sort { $a <=> $b } @values;
	return @values ? sprintf('%.2f', $values[ min($#values, int($share * @values)) ]) : 'none';
}

# ---- all ----

my (undef, $hash, $loss) = result_of(submit_one());
my (undef, $again) = result_of(submit_one());
my (%by_kind, @all);
print $report "sync $sync, on_loss $on_loss: undisturbed loss $loss, hash " . ($hash eq $again ? 'the same twice' : 'not the same twice') . "\n";
for my $i (0 .. $trials - 1)
{
	my ($which, $kind, $condition) = @{ $kinds[ ($i + $ENV{FIRST}) % @kinds ] };
	my $result;

	$result = trial($which, $kind, $condition) until $result;
	$result->{same} = ($result->{hash} // '') eq $hash;
	push @{ $by_kind{$kind} }, $result;
	push @all, $result;
	printf $report "%2d %s %-22s %s hash %s loss %s reaction %s recovery %.2f\n", $i + 1, $names[$which], $kind, $result->{state},
	  $result->{same} ? 'equal' : 'other', $result->{loss} // 'none', defined $result->{reaction} ? sprintf('%.3f', $result->{reaction}) : 'none', $result->{recovery};
}
for my $kind (sort keys %by_kind, '')
{
	my @of = $kind eq '' ? @all : @{ $by_kind{$kind} };
	my @reactions = grep { defined } map { $_->{reaction} } @of;
	printf $report "%s: %d trials, %d succeeded, %d hashes equal, largest deviation of the loss %.2f %%; noticed by %d, median %s s, 99 %% %s s; recovery median %s s, 99 %% %s s\n",
	  $kind || 'all', scalar @of, scalar(grep { $_->{state} eq 'succeeded' } @of), scalar(grep { $_->{same} } @of),
	  100 * max(map { defined $_->{loss} ? abs($_->{loss} / $loss - 1) : 1 } @of), scalar @reactions, percentile(0.5, @reactions), percentile(0.99, @reactions),
	  percentile(0.5, map { $_->{recovery} } @of), percentile(0.99, map { $_->{recovery} } @of);
}
for my $node (@nodes)
{
	my $left = answer_of($node, 'postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gpt trainer' OR (application_name = 'gpt' AND backend_type = 'client backend')});
	my @files = grep { -f } glob($node->data_dir . '/gpt/*');
	printf $report "%s: %d processes and %d files are left\n", $node->name, $left, scalar @files;
}
done_testing() if ok(1);
