# Training whose steps are those of three servers: the same bits as on one, whoever is killed meanwhile.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use GptServers;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($here, $east, $west) = start_servers([ 'here', 'east', 'west' ], preload => 1, conf => <<'CONF');
gpt.checkpoint_interval = 0
gpt.peer_timeout = '5min'
gpt.max_workers = 4
gpt.gradient_address = '127.0.0.1'
CONF
plan skip_all => 'gpt_gloo.so is not installed' unless -e $here->config_data('--pkglibdir') . '/gpt_gloo.so';
connect_servers($here, $east, $west);
fill_line($here, 1, 400);

sub query
{
	return $here->safe_psql('postgres', $_[0]);
}

my %calls; # what started a job

sub start
{
	my ($call) = @_;
	my $job = query("SELECT $call");

	$calls{$job} = $call;
	return $job;
}

sub train
{
	my ($model, $options) = @_;

	# Rows are dealt out unless a test says more.
	$options = qq{"data": "dealt", $options} if $options =~ /"servers"/;
	return start(qq{gpt_train('$model', 'SELECT body FROM line ORDER BY id', '{"tokenizer": "bytes", "layers": 1, "dropout": 0.1,
		"heads": 2, "channels": 32, "context": 32, "batch_size": 4, "threads": 1, "sync": "step", $options}')});
}

# The job may have to be started again: its variable has the last number.
sub job_ends
{
	my ($job, $state, $name) = @_;
	my $call = $calls{$job};

	($job, my $end) = ends_of_job($here, sub { start($call) }, $job);
	is($end, $state, $name) or diag query("SELECT state, error, note FROM gpt_jobs WHERE job = $job");
	$_[0] = $job;
}

sub weights_of
{
	my ($model) = @_;

	# The header of the file names the model.
	return query("SELECT md5(substr(f, 9 + get_byte(f, 0) + 256 * get_byte(f, 1) + 65536 * get_byte(f, 2)))
		FROM (SELECT lo_get(weights) AS f FROM gpt_version WHERE model = '$model') v");
}

sub wait_for
{
	return poll_through_restarts($here, $_[0]);
}

sub kill_coordinator
{
	wait_for('SELECT count(*) = 1 FROM gpt_stat_progress_train');
	kill_process(query('SELECT pid FROM gpt_stat_progress_train'));
}

# rule: 1, 2 and 3 servers make the same weights
my $steps = 100;
job_ends(train('one', qq{"steps": $steps}), 'succeeded', 'one server trains');
job_ends(train('two', qq{"servers": ["east"], "steps": $steps}), 'succeeded', 'two servers do');
job_ends(train('three', qq{"servers": ["east", "west"], "steps": $steps}), 'succeeded', 'three servers do');
is(weights_of('two'), weights_of('one'), 'two servers make the weights of one');
is(weights_of('three'), weights_of('one'), 'and so do three');
is(query(q{SELECT string_agg(concat_ws(' ', server, state, step, epoch = 1 OR (SELECT count(error) > 0 FROM gpt_job_servers WHERE job = s.job)), ', ' ORDER BY member) FROM gpt_job_servers s
	WHERE job = (SELECT max(job) FROM gpt_jobs)}), "ended $steps t, east ended $steps t, west ended $steps t", 'in one epoch, but for losses');
job_ends(train('half', qq{"servers": ["east", "west"], "steps": 20, "gradient_type": "bfloat16"}), 'succeeded', 'gradients travel as bfloat16');

# rule: adapters too
query(q{SELECT gpt_distribute('one', '{east, west}')});
for my $adapter ([ 'adapter of one', '' ], [ 'adapter of three', '"servers": ["east", "west"], "data": "dealt",' ])
{
	job_ends(start(qq{gpt_finetune('one', 'SELECT body FROM line ORDER BY id', '{"into": "$adapter->[0]", "method": "lora", "rank": 2,
		"threads": 1, "steps": 20, $adapter->[1] "sync": "step"}')}), 'succeeded', $adapter->[0]);
}
is(weights_of('adapter of three'), weights_of('adapter of one'), 'three servers make the adapter of one');

# rule: a session whose engine is started again between two runs has lost its state, and nothing else
my $kept = train('kept', '"steps": 1000000');
wait_for("SELECT step > 0 FROM gpt_job WHERE job = $kept");
query("SELECT gpt_cancel($kept); SELECT gpt_wait($kept)");
query(<<'SQL');
CREATE EXTENSION dblink;
CREATE FUNCTION become(name text, member int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE kept gpt_job := (SELECT j FROM gpt_job j WHERE model = 'kept'); part text;
BEGIN
	PERFORM dblink_connect(name, format('host=%s port=%s dbname=postgres user=postgres', current_setting('unix_socket_directories'), current_setting('port')));
	PERFORM x FROM dblink(name, format('SELECT gpt_member_begin(%L)', jsonb_build_object('protocol', 1, 'run_id', kept.run_id, 'job', kept.job, 'model', 'kept',
		'member', member, 'members', 3, 'data', 'dealt', 'secret', repeat('ab', 32)))) AS r(x text);
	FOREACH part IN ARRAY '{tokens,checkpoint}'::text[] LOOP
		PERFORM a FROM dblink(name, format('SELECT gpt_member_put(%1$L, 0, bytes), gpt_member_take(%1$L, sha256(bytes)) FROM pg_read_binary_file(%2$L) bytes', part,
			format('gpt/pgsql_tmp_%s.%s', kept.run_id, CASE part WHEN 'tokens' THEN part ELSE 'ckpt' END))) AS r(a text, b text);
	END LOOP;
	RETURN (SELECT convert_from(x, 'UTF8') FROM dblink(name, 'SELECT gpt_member_mesh(1)') AS r(x bytea));
END $$;
CREATE FUNCTION error_of(name text, first bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM x FROM dblink(name, format('SELECT gpt_member_run(%s, 1, 1)', first)) AS r(x text);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN RETURN SQLERRM;
END $$;
SQL
is(query(q{SELECT ARRAY[become('a', 1), become('b', 2)] AS addresses, substring(error_of('a', 1 << 30) FROM 'at step (\d+)') AS step \gset
	SELECT sum(dblink_send_query(name, format('SELECT gpt_member_run(%s, 2, 1, %L) ->> %L', :'step', jsonb_build_object('addresses', :'addresses'::text[], 'member', n), 'crc')))
	FROM (VALUES ('a', 0), ('b', 1)) v(name, n);
	SELECT count(x), count(DISTINCT x) FROM unnest('{a,b}'::text[]) name, dblink_get_result(name) AS r(x text);
	SELECT count(x) FROM unnest('{a,b}'::text[]) name, dblink_get_result(name) AS r(x text);
	SELECT x FROM dblink('a', $$SELECT gpt_generate('one', 'x', max_tokens => 1) IS NOT NULL FROM set_config('gpt.threads', '2', false)$$) AS r(x text);
	SELECT error_of('a', 0)}), "2\n2|1\n0\nt\nthe member has no state of the training", 'two sessions make steps, and one starts its engine again');

# rule: whoever is killed, the weights are the same
for my $victim ([ 'a member', sub { kill_process(member_session($east)) } ], [ 'the coordinator', sub { kill_coordinator() } ],
	[ 'a member that is stopped', sub { kill('STOP', $_[0] = member_session($west)) } ])
{
	my ($name, $kill) = @$victim;
	my $job;

	set_peer_timeout($here, $name =~ /stopped/ ? '1s' : '5min');
	for (1 .. 5)
	{
		# With the short timeout a connection that is slow fails the job.
		$job = train($name, qq{"servers": ["east", "west"], "steps": $steps});
		wait_for("SELECT step >= 5 OR state = 'failed' FROM gpt_job WHERE job = $job");
		last if query("SELECT state FROM gpt_job WHERE job = $job") eq 'running';
	}
	my $pid;
	$kill->($pid);
	# A coordinator that dies may begin with the same epoch again.
	wait_for("SELECT bool_or(epoch > 1 OR state = 'ended') FROM gpt_job_servers WHERE job = $job") or diag query("SELECT * FROM gpt_job_servers WHERE job = $job");
	kill('CONT', $pid) if $pid;
	job_ends($job, 'succeeded', "$name is killed, and the training ends");
	is(weights_of($name), weights_of('one'), 'with the same weights');
}

set_peer_timeout($here, '5min');

# rule: servers with rows of their own make steps together
fill_line($east, 401, 500);
fill_line($west, 501, 700);
my $own = '"servers": ["east", "west"], "data": "local", "steps": 40';
job_ends(train('own', $own), 'succeeded', 'three servers with rows of their own make steps together');
my $again = train('own again', $own);
wait_for("SELECT step BETWEEN 3 AND 30 FROM gpt_job WHERE job = $again") or diag 'too late';
kill_process(member_session($east));
job_ends($again, 'succeeded', 'also when one is lost');
is(weights_of('own again'), weights_of('own'), 'with the same weights: each goes on in its rows where it was');
isnt(weights_of('own'), weights_of('one'), 'of other rows than those of one server');
my $epoch = train('own epoch', '"servers": ["east", "west"], "data": "local", "epochs": 0.25');
job_ends($epoch, 'succeeded', 'a quarter of an epoch');
job_ends(my $alone = train('epoch', '"epochs": 0.25'), 'succeeded', 'and one of one server');
cmp_ok(abs(query("SELECT a.step::float8 / b.step FROM gpt_jobs a, gpt_jobs b WHERE a.job = $epoch AND b.job = $alone") - 1.75), '<', 0.1,
	'an epoch is one of the rows of all servers');

# rule: the clock of the coordinator ends a training
my $timed = train('timed', '"servers": ["east", "west"], "data": "dealt", "minutes": 0.03');
job_ends($timed, 'succeeded', 'minutes');
like(query("SELECT note FROM gpt_jobs WHERE job = $timed"), qr/ended by minutes/, 'end it');
is(query("SELECT string_agg(state, ' ') || count(DISTINCT step) FROM gpt_job_servers WHERE job = $timed"), 'ended ended ended1', 'after the same step everywhere');
cmp_ok(query("SELECT learning_rate FROM gpt_train_log WHERE job = $timed ORDER BY step DESC LIMIT 1"), '<', 0.002, 'with the learning rate that time gives');

# rule: a server whose call fails ends the step that the others wait in
my $failing = train('failing', '"servers": ["east"], "steps": 1000000');
wait_for("SELECT step > 0 FROM gpt_job WHERE job = $failing");
$east->safe_psql('postgres', 'ALTER FUNCTION gpt_member_run RENAME TO gpt_member_runs');
job_ends($failing, 'failed', 'a function that is missing there fails the job');
like(query("SELECT error FROM gpt_jobs WHERE job = $failing"), qr/gpt_member_run.*does not exist\nDETAIL: Server "east" reports this.\nHINT: Look whether the extension gpt/, 'with the reason');
$east->safe_psql('postgres', 'ALTER FUNCTION gpt_member_runs RENAME TO gpt_member_run');

# rule: an address for gradients that a server does not have is an error; a port that another one has is waited for
sub gradients_at
{
	my ($node, $address) = @_;

	$node->append_conf('postgresql.conf', "gpt.gradient_address = '$address'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('gpt.gradient_address') = '$address'");
}

for my $node ($east, $here)
{
	gradients_at($node, '192.0.2.1');
	my $job = train('nowhere', '"servers": ["east"], "steps": 10');
	job_ends($job, 'failed', 'an address of another machine fails the job');
	like(query("SELECT error FROM gpt_jobs WHERE job = $job"), qr/could not open gpt.gradient_address: could not listen at "192.0.2.1".*@{[$node == $east ? 'Server "east" reports this' : '']}.*\nHINT: Set gpt.gradient_address/s, 'with the reason');
	gradients_at($node, '127.0.0.1');
}
# Nor may a server answer what is none.
$east->safe_psql('postgres', 'ALTER FUNCTION gpt_member_mesh RENAME TO own_mesh');
for my $answer ([ '\x01', qr/server "east" gave a wrong answer during the training\nDETAIL: It is no address/ ],
	[ 'nowhere:1', qr/could not exchange gradients with server "east": address "nowhere:1" is not valid/ ])
{
	$east->safe_psql('postgres', "CREATE OR REPLACE FUNCTION gpt_member_mesh(epoch integer) RETURNS bytea LANGUAGE sql AS 'SELECT ''$answer->[0]''::bytea'");
	my $job = train('nowhere', '"servers": ["east"], "steps": 10');
	job_ends($job, 'failed', 'an answer that is no address fails the job');
	like(query("SELECT error FROM gpt_jobs WHERE job = $job"), $answer->[1], 'and the error names the server');
}
$east->safe_psql('postgres', 'DROP FUNCTION gpt_member_mesh; ALTER FUNCTION own_mesh RENAME TO gpt_member_mesh');
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
gradients_at($east, '127.0.0.1:' . $listener->sockport);
my $taken = train('taken', '"servers": ["east"], "steps": 10');
wait_for(q{SELECT count(*) > 0 FROM gpt_stat_progress_train WHERE phase = 'training'});
close $listener;
job_ends($taken, 'succeeded', 'a port that is free soon is waited for');
done_testing();
