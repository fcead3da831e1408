# Training over three servers: rounds of DiLoCo with rows that are dealt out; servers that are lost, silent, wrong, and
# come back; a coordinator that dies.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use GptServers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = 1000000; # steps that nobody waits for
my ($here, $east, $west) = start_servers([ 'here', 'east', 'west' ], preload => 1, each => { west => "gpt.max_workers = 12\n" }, conf => <<'CONF');
gpt.checkpoint_interval = 0
gpt.peer_timeout = '5min'
gpt.max_workers = 4
CONF
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
	my ($model, $options, $rate) = @_;

	$rate //= '"learning_rate": 0.01,';
	# Rows are dealt out unless a test says more.
	$options = qq{"data": "dealt", $options} if $options =~ /"servers"/;
	return start(qq{gpt_train('$model', 'SELECT body FROM line ORDER BY id', '{"tokenizer": "bytes", "layers": 1,
		"heads": 2, "channels": 32, "context": 32, "batch_size": 4, "threads": 1, "warmup_steps": 1, $rate $options}')});
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

sub poll
{
	return poll_through_restarts($here, $_[0]);
}

sub wait_for
{
	my ($sql) = @_;

	poll($sql) or diag query('SELECT * FROM gpt_job_servers');
}

sub kill_coordinator
{
	my ($job) = @_;

	wait_for("SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE job = $job");
	kill_process(query("SELECT pid FROM gpt_stat_progress_train WHERE job = $job"));
}

# An epoch after the first one begins where a server was lost, whose row says why.
my $lost = '(SELECT count(l.error) > 0 FROM gpt_job_servers l WHERE l.job = gpt_job_servers.job)';

sub reaches
{
	my ($job, $steps) = @_;

	return wait_for("SELECT count(*) FILTER (WHERE state = 'training' AND step > 0) = 3 AND max(step) >= $steps FROM gpt_job_servers WHERE job = $job");
}

# The hash of a model's weights, without the head of their object, which names the model and the run.
sub hash_of
{
	my ($model) = @_;

	return query("SELECT sha256(substr(object, 9 + get_byte(object, 0) + 256 * get_byte(object, 1) + 65536 * get_byte(object, 2)))
		FROM (SELECT lo_get(weights) AS object FROM gpt_models WHERE model = '$model') o");
}

# Functions that other roles have made there, and that arguments of no type would find first.
$east->safe_psql('postgres', join '', map { "CREATE FUNCTION gpt_member_$_ LANGUAGE plpgsql AS 'BEGIN RAISE ''another function''; END';" }
	  'put(text, text, bytea) RETURNS void', 'take(text, bytea) RETURNS jsonb', 'run(text, text, text, text, text) RETURNS jsonb',
	'delta(text, text) RETURNS bytea', 'begin(text) RETURNS jsonb');

# rule: three servers learn what one does
my $one = train('one', '"steps": 120');
my $three = train('three', '"servers": ["east", "west"], "sync": 10, "steps": 40, "precision": "float32"');
job_ends($one, 'succeeded', 'one server trains a model');
job_ends($three, 'succeeded', 'three servers do');
is(query("SELECT servers, step FROM gpt_jobs WHERE job = $three"), '3|40', 'gpt_jobs counts the servers');
is(query("SELECT string_agg(concat_ws(' ', member, server, state, step, epoch = 1 OR $lost, steps_per_second > 0, waiting_share BETWEEN 0 AND 1), ', ' ORDER BY member)
	FROM gpt_job_servers WHERE job = $three"), '0 ended 40 t t t, 1 east ended 40 t t t, 2 west ended 40 t t t', 'gpt_job_servers shows each');
cmp_ok(query(q{SELECT gpt_perplexity('three', body) / gpt_perplexity('one', body) FROM line WHERE id = 7}), '<', 1.25,
	'after a third of the steps the loss is near that of one server');
is($east->safe_psql('postgres', 'SELECT count(*) FROM gpt_models'), 0, 'nothing is left on the others');

# rule: what is lost is made again, with the same bits
my $calm = train('calm', '"servers": ["east", "west"], "sync": 10, "steps": 100, "channels": 96, "batch_size": 16');
job_ends($calm, 'succeeded', 'servers train undisturbed');
my $killed = train('killed', '"servers": ["east", "west"], "sync": 10, "steps": 100, "channels": 96, "batch_size": 16');
reaches($killed, 10);
kill_process(member_session($east));
wait_for("SELECT error IS NOT NULL FROM gpt_job_servers WHERE job = $killed AND member = 1");
kill_coordinator($killed);
wait_for("SELECT tries > 0 FROM gpt_jobs WHERE job = $killed");
job_ends($killed, 'succeeded', 'a member and the worker are killed, and the job succeeds');
is(hash_of('killed'), hash_of('calm'), 'the weights are those of the undisturbed training');
unlike(query("SELECT note FROM gpt_jobs WHERE job = $killed"), qr/came back without/, 'no server has come back without its state');
for my $node ($east, $west)
{
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_ls_dir('gpt')}), 'nothing that members kept is left on ' . $node->name);
}

# rule: servers train on rows of their own, which stay there
fill_line($east, 401, 600);
fill_line($west, 601, 800);
$_->safe_psql('postgres', 'GRANT SELECT ON line TO PUBLIC') for $east, $west;
my $own = train('own', '"servers": ["east", "west"], "data": "local", "word_floor": 1, "sync": 10, "steps": 40, "tokenizer": "bpe", "vocabulary": 300, "validation_fraction": 0.1', '');
job_ends($own, 'succeeded', 'three servers with rows of their own train a model');
is(query("SELECT string_agg(concat_ws(' ', member, state, step), ', ' ORDER BY member) FROM gpt_job_servers WHERE job = $own"), '0 ended 40, 1 ended 40, 2 ended 40', 'all of them');
is(query("SELECT documents FROM gpt_jobs WHERE job = $own"), 400, 'the coordinator reads its own rows alone');
like(query("SELECT gpt_model_card('own')"), qr/^\| Documents of each server \| here 400, east 200, west 200 \|$/m, 'the card of the model has the rows of all');
cmp_ok(query(q{SELECT gpt_perplexity('own', body) FROM line WHERE id = 7}), '<', 100, 'the model has learnt');
is(query("SELECT round((conditions->>'learning_rate')::numeric, 6) FROM gpt_jobs WHERE job = $own"), '0.005196', 'at a rate for the batches of three servers');

# rule: each has a table of its own, or the rows are dealt
query('CREATE TABLE only_here AS SELECT * FROM line');
for my $data ('', '"data": "dealt", ')
{
	my $job = start(qq{gpt_train('lacking', 'SELECT body FROM only_here', '{"servers": ["east"], $data "steps": 1, "layers": 1, "channels": 32, "tokenizer": "bytes"}')});
	job_ends($job, $data ? 'succeeded' : 'failed', $data ? 'dealt rows need none' : 'without a table there it is an error');
	next if $data;
	like(query("SELECT error FROM gpt_jobs WHERE job = $job"), qr/relation "only_here" does not exist\n.*"east".*\n.*"data" "dealt"/, 'that names the server and what to do');
}

# rule: so does a fine-tune, whose base they have
sub finetune
{
	my ($options) = @_;

	return start(qq{gpt_finetune('own', 'SELECT body FROM line', '{"servers": ["east", "west"], "data": "local", "sync": 5, "steps": 10, "threads": 1, $options}')});
}

my $without = finetune('"into": "without"');
job_ends($without, 'failed', 'a server without the base is an error');
like(query("SELECT error FROM gpt_jobs WHERE job = $without"), qr/does not have the base of the training, "own\@1"\n.*"(east|west)".*\n.*gpt_distribute/, 'that names it, and says what to do');
query(q{SELECT gpt_distribute('own', '{east, west}')});
my $tuned = finetune('"into": "tuned"');
job_ends($tuned, 'succeeded', 'with the base on all servers they train it further');
is(query("SELECT string_agg(concat_ws(' ', member, state, step), ', ' ORDER BY member) FROM gpt_job_servers WHERE job = $tuned"), '0 ended 10, 1 ended 10, 2 ended 10', 'all of them');
job_ends(my $adapter = finetune('"into": "adapter", "method": "lora", "rank": 2'), 'succeeded', 'and make an adapter of it');
query(q{SELECT gpt_distribute('one', '{east}')});
$east->safe_psql('postgres', $_) for q{SELECT gpt_drop_model('own')}, q{SELECT gpt_rename_model('one', 'own')};
my $other = finetune('"into": "other"');
job_ends($other, 'failed', 'another model of that name is an error');
like(query("SELECT error FROM gpt_jobs WHERE job = $other"), qr/model "own", version 1, of this server has other weights/, 'that says so');

# rule: preferences: each server compares its rows with what its copy of the base says of them
my $preference = q{SELECT 'line ' || id AS prompt, ' says ' || md5(id::text) AS chosen, ' says nothing' AS rejected FROM line};
query(q{SELECT gpt_distribute('one', '{west}')});
for my $data ('local', 'dealt')
{
	my $job = start(qq{gpt_finetune('one', \$\$$preference\$\$, '{"into": "preferred $data", "servers": ["west"], "data": "$data", "sync": 2, "steps": 2, "threads": 1}')});
	job_ends($job, 'succeeded', "preferences of $data rows");
	cmp_ok(abs(query("SELECT loss FROM gpt_train_log WHERE job = $job AND step = 1") - log(2)), '<', 0.001, 'nothing is preferred before the first step');
}

# rule: what is wrong is said with the server's name
query(q{CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
	CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere;
	CREATE SERVER stranger FOREIGN DATA WRAPPER postgres_fdw OPTIONS (} . connection_of($east) . q{);
	CREATE USER MAPPING FOR CURRENT_USER SERVER stranger OPTIONS (user 'trainer', password 'wrong')});
my $nowhere = train('wrong', '"servers": ["nowhere"], "steps": 10');
job_ends($nowhere, 'failed', 'a server that is not there is an error');
like(query("SELECT error FROM gpt_jobs WHERE job = $nowhere"), qr/could not connect to server "nowhere"/, 'that names it');
like(query("SELECT state || error FROM gpt_job_servers WHERE job = $nowhere AND member = 1"), qr/^lostcould not connect to server "nowhere": .*Connection refused [^\n]*$/, 'its row keeps why, in one line');
my $stranger = train('wrong', '"servers": ["stranger"], "steps": 10');
job_ends($stranger, 'failed', 'so is a wrong password');
like(query("SELECT error FROM gpt_jobs WHERE job = $stranger"), qr/could not connect to server "stranger".*password authentication failed/s, 'with the reason');

query(q{CREATE SERVER mirror FOREIGN DATA WRAPPER postgres_fdw OPTIONS (} . connection_of($east) . q{);
	CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (} . connection_of($here) . ')' .
	join '', map { "; CREATE USER MAPPING FOR CURRENT_USER SERVER $_ OPTIONS (user '" . $here->safe_psql('postgres', 'SELECT current_user') . "', password '" . password_of('postgres') . "')" } 'mirror', 'self');
my ($twice, $itself) = (train('twice', '"servers": ["east", "mirror"], "steps": 10'), train('itself', '"servers": ["self"], "steps": 10'));
job_ends($twice, 'failed', 'two servers that are one are an error');
like(query("SELECT error FROM gpt_jobs WHERE job = $twice"), qr/servers "(east|mirror)" and "(east|mirror)" are the same database/, 'that names both');
job_ends($itself, 'failed', 'and so is the server where the job runs');
like(query("SELECT error FROM gpt_jobs WHERE job = $itself"), qr/server "self" is the database where the job runs/, 'by name');

$west->safe_psql('postgres', q{CREATE SCHEMA silent; CREATE FUNCTION silent.gpt_member_begin(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT pg_sleep(60); SELECT $1';
	UPDATE pg_extension SET extnamespace = 'silent'::regnamespace WHERE extname = 'gpt'});
set_peer_timeout($here, '1s');
my $silence;
for (1 .. 5)
{
	# On a busy machine the connection itself may take so long.
	last if defined $silence && query("SELECT error FROM gpt_jobs WHERE job = $silence") =~ /did not answer within 1000 ms/;
	$silence = train('wrong', '"servers": ["west"], "steps": 10');
	query("SELECT gpt_wait($silence, '180 s')");
}
is(query("SELECT state FROM gpt_jobs WHERE job = $silence"), 'failed', 'so is a server that does not say that it is a member');
like(query("SELECT error FROM gpt_jobs WHERE job = $silence"), qr/lost the connection to server "west".*did not answer within 1000 ms/s, 'within gpt.peer_timeout');
set_peer_timeout($here, '5min');
# Its error has two bytes for each character from an even place on, and is cut there.
$west->safe_psql('postgres', q{ALTER ROLE postgres SET statement_timeout = '1h'; ALTER ROLE postgres SET lock_timeout = '1h'; ALTER ROLE postgres SET idle_session_timeout = '1h';
	CREATE OR REPLACE FUNCTION silent.gpt_member_begin(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION '% %', (SELECT string_agg(setting, ', ') FROM pg_settings
		WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout')), repeat('ä', 400) USING ERRCODE = '53000'; END$$});
my $full = train('wrong', '"servers": ["west"], "steps": 10');
ok(poll("SELECT state = 'lost' AND left(error, 9) = '0, 0, 0 ä' FROM gpt_job_servers WHERE job = $full AND member = 1"), 'time limits of the server do not end a training, and a long error of it is whole characters');
query("SELECT gpt_cancel($full); SELECT gpt_wait($full, '180 s')");
$west->safe_psql('postgres', q{ALTER ROLE postgres RESET ALL; UPDATE pg_extension SET extnamespace = 'public'::regnamespace WHERE extname = 'gpt'});

# rule: a server that answers wrongly, or not at all, is named, and nothing is published
# Functions that do as the model's name says, and else what they should.
$west->safe_psql('postgres', <<'SQL');
CREATE SCHEMA fake;
CREATE FUNCTION fake.way(wanted text) RETURNS boolean LANGUAGE sql AS $$ SELECT current_setting('fake.way') = wanted $$;
CREATE FUNCTION fake.gpt_member_begin(spec jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('fake.way', spec->>'model', false);
	RETURN public.gpt_member_begin(spec) || CASE spec->>'model' WHEN 'other protocol' THEN '{"protocol": 2}' WHEN 'other version' THEN '{"version": "0.1"}'
		WHEN 'no rows' THEN '{"counts": {}}' ELSE '{}' END::jsonb;
END $$;
CREATE FUNCTION fake.gpt_member_counts() RETURNS SETOF bytea LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT CASE WHEN fake.way('other survey') THEN set_byte(piece, 0, 0) ELSE piece END FROM public.gpt_member_counts() AS piece;
END $$;
CREATE FUNCTION fake.gpt_member_put(part text, at bigint, bytes bytea) RETURNS void LANGUAGE sql AS $$ SELECT public.gpt_member_put(part, at, bytes) $$;
CREATE FUNCTION fake.gpt_member_take(part text, sha256 bytea, options jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN public.gpt_member_take(part, sha256, options) || CASE WHEN fake.way('other tokenizer') AND part = 'tokenizer' AND options IS NOT NULL OR fake.way('other tokens') AND part = 'tokens'
		THEN '{"vocabulary": 299}' WHEN fake.way('other weights') AND part = 'checkpoint' THEN '{"crc": 1}' ELSE '{}' END::jsonb;
END $$;
CREATE FUNCTION fake.difference(at bigint, length integer) RETURNS bytea LANGUAGE sql AS $$
	SELECT CASE WHEN at = 0 AND fake.way('huge') THEN '\x00000060' || substr(d, 5) WHEN at = 0 AND fake.way('not a number') THEN '\x0000c07f' || substr(d, 5) ELSE d END
	FROM public.gpt_member_delta(at, length) AS d
$$;
CREATE FUNCTION fake.gpt_member_run(first bigint, steps bigint, epoch integer, mesh jsonb, share float8) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	WHILE fake.way('chatter') LOOP
		RAISE NOTICE 'gpt progress {"step": 1}';
		PERFORM pg_sleep(0.05);
	END LOOP;
	IF fake.way('silence') THEN PERFORM pg_sleep(60); END IF;
	answer := public.gpt_member_run(first, steps, epoch, mesh, share);
	RETURN answer || jsonb_build_object('sha256', encode(sha256(fake.difference(0, 16000000)), 'hex')) || CASE WHEN fake.way('other step') THEN '{"step": 3}' WHEN fake.way('many tokens') THEN '{"tokens": 1000000000}' ELSE '{}' END::jsonb;
END $$;
CREATE FUNCTION fake.gpt_member_delta(at bigint, length integer) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	piece bytea := fake.difference(at, length);
BEGIN
	FOR i IN 1 .. 200 LOOP
		EXIT WHEN NOT fake.way('flood');
		RAISE NOTICE '%', repeat('x', 1000000);
	END LOOP;
	IF fake.way('replay') AND at = 0 THEN
		PERFORM set_config('fake.first', coalesce(nullif(current_setting('fake.first', true), ''), encode(piece, 'hex')), false);
		RETURN decode(current_setting('fake.first'), 'hex');
	END IF;
	RETURN CASE WHEN fake.way('cut') THEN substr(piece, 2) WHEN fake.way('altered') THEN set_byte(piece, 9, get_byte(piece, 9) # 1) ELSE piece END;
END $$;
CREATE FUNCTION fake.gpt_member_end() RETURNS void LANGUAGE sql AS 'SELECT public.gpt_member_end()';
UPDATE pg_extension SET extnamespace = 'fake'::regnamespace WHERE extname = 'gpt';
SQL
my %wrong = (
	'other protocol' => 'Its protocol is 2, not 1',
	'other version' => 'It does not have version',
	'no rows' => '"counts.documents" is not a number',
	'other survey' => 'survey of server "west" is damaged',
	'other tokenizer' => 'Its tokenizer is another one',
	'other tokens' => 'Its tokenizer is another one',
	'other weights' => 'Its weights are not those of the other servers',
	'other step' => 'is at step 3 of the training, not 5',
	'many tokens' => '"tokens" is not a number from 0 to',
	'cut' => 'A piece of its difference has not',
	'altered' => 'Its difference was altered',
	'replay' => 'Its difference was altered, or is that of another round',
	'huge' => 'Its weights have moved by',
	'not a number' => 'block 0 of the parameters has a value out of range');
my %lost = ('chatter' => 'it made no step within', 'silence' => 'it was silent for gpt.peer_timeout', 'flood' => 'the server sent more than 64 MB');
my %jobs;

sub train_fake
{
	my ($fake) = @_;

	$jobs{$fake} = train($fake, '"servers": ["west"], "sync": 5, "steps": 20' . ($fake =~ /rows|survey|tokenizer/ ? ', "data": "local", "word_floor": 1, "tokenizer": "bpe", "vocabulary": 300' : ', "data": "dealt"'));
}

train_fake($_) for sort keys %wrong;
my %ends;
for my $fake (sort keys %wrong)
{
	(my $job, $ends{$fake}) = ends_of_job($here, sub { train_fake($fake) }, $jobs{$fake});
}
is(join(' ', grep { $_ ne 'failed' } values %ends), '', 'a wrong server fails the job');
my $wrong = join ', ', map { $jobs{$_} } keys %wrong;
my %errors = map { split /: /, $_, 2 } split /\n/, query(qq{SELECT model || ': ' || translate(error, E'\\n', ' ') FROM gpt_jobs WHERE job IN ($wrong)});
like($errors{$_}, qr/^(?=.*"west").*\Q$wrong{$_}\E/, "it is named, with the reason: $_") for sort keys %wrong;
set_peer_timeout($here, '1s');
train_fake($_) for sort keys %lost;
for my $fake (sort keys %lost)
{
	for (1 .. 5)
	{
		# Where the connection takes longer than the timeout, the job fails.
		poll("SELECT s.error LIKE '$lost{$fake}%' OR j.state = 'failed' FROM gpt_jobs j LEFT JOIN gpt_job_servers s ON s.job = j.job AND s.server = 'west' WHERE j.job = $jobs{$fake}");
		last if query("SELECT state FROM gpt_jobs WHERE job = $jobs{$fake}") ne 'failed';
		train_fake($fake);
	}
	ok(poll("SELECT error LIKE '$lost{$fake}%' FROM gpt_job_servers WHERE job = $jobs{$fake} AND server = 'west'"), "a server that does not come to an end is lost: $fake")
	  or diag query("SELECT error FROM gpt_job_servers WHERE job = $jobs{$fake}");
	query("SELECT gpt_cancel($jobs{$fake})");
}
set_peer_timeout($here, '5min');
is(query(q{SELECT count(*) FROM gpt_models WHERE model IN ('} . join("', '", keys(%wrong), keys %lost) . q{')}), 0, 'and nothing is published');
$west->safe_psql('postgres', q{UPDATE pg_extension SET extnamespace = 'public'::regnamespace WHERE extname = 'gpt'; DROP SCHEMA fake CASCADE});

# rule: a cancelled training leaves no session anywhere
my $cancelled = train('cancelled', qq{"servers": ["east", "west"], "sync": 5, "steps": $many});
reaches($cancelled, 5);
query("SELECT gpt_cancel($cancelled)");
job_ends($cancelled, 'cancelled', 'a job over servers is cancelled');
ok($east->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'gpt' AND backend_type = 'client backend'}), 'its sessions end with it');

# rule: a server that is lost comes back, also one that cannot keep its state
chmod 0500, $east->data_dir . '/gpt';
my $lossy = train('lossy', qq{"servers": ["east", "west"], "sync": 20, "steps": $many});
reaches($lossy, 20);
kill_process(member_session($east));
ok(poll("SELECT state = 'lost' OR error IS NOT NULL FROM gpt_job_servers WHERE job = $lossy AND member = 1"), 'a killed session is noticed long before gpt.peer_timeout');
reaches($lossy, 40);
wait_for("SELECT state = 'training' AND epoch > 1 FROM gpt_job_servers WHERE job = $lossy AND member = 1");
ok(poll("SELECT state || epoch || error ~ '^training([2-9]|\\d\\d)' FROM gpt_job_servers WHERE job = $lossy AND member = 1"), 'it is back, in a later epoch');
like(query("SELECT note FROM gpt_jobs WHERE job = $lossy"), qr/server "east" came back without what it had kept of step \d+/, 'without its moments, which the note says');
like(slurp_file($east->logfile), qr/WARNING:  could not create file "gpt\/pgsql_tmp_[^"]*\.kept\.tmp": Permission denied/, 'and its log why');
chmod 0700, $east->data_dir . '/gpt';
ok(poll("SELECT step % 20 > 0 FROM gpt_job_servers WHERE job = $lossy AND member = 0"), 'a step is seen before the round ends');
$west->stop('immediate');
ok(poll(qq{SELECT note ~ '^waiting for servers: "west" since [-0-9]+ [:0-9]+\\S+ \\(' FROM gpt_jobs WHERE job = $lossy}), 'gpt_jobs says for which server the job waits, and since when');
$west->start;
ok(poll("SELECT note !~ 'waiting for' FROM gpt_jobs WHERE job = $lossy"), 'until it is back');
reaches($lossy, 60);

# rule: the coordinator may die
set_peer_timeout($here, '1s');
my $step = query("SELECT step FROM gpt_jobs WHERE job = $lossy");
kill_coordinator($lossy);
wait_for("SELECT state = 'running' AND tries > 0 AND step > $step FROM gpt_jobs WHERE job = $lossy");
reaches($lossy, $step + 20);
pass('it goes on from its checkpoint, with all servers');
for (1 .. 5)
{
	# The server itself may seem dead first, or the session lost and replaced before it is stopped.
	kill('STOP', my $silent = member_session($west));
	$step = query("SELECT epoch FROM gpt_job_servers WHERE job = $lossy AND member = 2");
	wait_for("SELECT error LIKE 'it was silent for gpt.peer_timeout%' OR epoch > $step FROM gpt_job_servers WHERE job = $lossy AND member = 2");
	kill('CONT', $silent);
	last if query("SELECT error LIKE 'it was silent for gpt.peer_timeout%' FROM gpt_job_servers WHERE job = $lossy AND member = 2") eq 't';
}
like(query("SELECT error FROM gpt_job_servers WHERE job = $lossy AND member = 2"), qr/^it was silent for gpt.peer_timeout, 1000 ms/, 'a session that stops in the middle is lost');
set_peer_timeout($here, '5min');
query("SELECT gpt_cancel($lossy)");
job_ends($lossy, 'cancelled', 'and is cancelled');

# rule: on_loss
my $fails;
for (1 .. 5)
{
	$fails = train('fails', qq{"servers": ["east", "west"], "sync": 5, "steps": $many, "on_loss": "fail"});
	wait_for("SELECT state = 'failed' OR (SELECT count(*) FILTER (WHERE state = 'training' AND step > 0) = 3 FROM gpt_job_servers WHERE job = $fails) FROM gpt_jobs WHERE job = $fails");
	# A server that seemed lost for the load of the machine has failed it before.
	next if query("SELECT state FROM gpt_jobs WHERE job = $fails") eq 'failed';
	kill_process(member_session($east));
	query("SELECT gpt_wait($fails, '180 s')");
	last if query("SELECT error FROM gpt_jobs WHERE job = $fails") !~ /its server did not answer within/;
	poll_through_restarts($east, 'SELECT true');
}
is(query("SELECT state FROM gpt_jobs WHERE job = $fails"), 'failed', 'on_loss fail: the job fails');
like(query("SELECT error FROM gpt_jobs WHERE job = $fails"), qr/server "east" was lost during the training/, 'and names the server');
is(query("SELECT state || ' ' || (error IS NOT NULL) FROM gpt_job_servers WHERE job = $fails AND member = 1"), 'lost true', 'whose row keeps why');
poll_through_restarts($east, 'SELECT true'); # it has lost a process, and starts again
my $goes_on = train('goes_on', qq{"servers": ["east", "west"], "sync": 5, "steps": $many, "on_loss": "continue"});
reaches($goes_on, 5);
my @stopped = ((split /\n/, slurp_file($west->data_dir . '/postmaster.pid'))[0], split /\n/, $west->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()}));
kill('STOP', @stopped);
wait_for("SELECT state = 'lost' FROM gpt_job_servers WHERE job = $goes_on AND member = 2");
$step = query("SELECT step FROM gpt_job_servers WHERE job = $goes_on AND member = 0");
ok(poll("SELECT step > $step + 10 FROM gpt_job_servers WHERE job = $goes_on AND member = 1"), 'on_loss continue: the others do not wait for a server that accepts connections and says nothing');
kill('CONT', @stopped);
reaches($goes_on, $step);
$west->stop('immediate');
wait_for("SELECT state = 'lost' FROM gpt_job_servers WHERE job = $goes_on AND member = 2");
$step = query("SELECT step FROM gpt_job_servers WHERE job = $goes_on AND member = 0");
wait_for("SELECT step > $step + 10 FROM gpt_job_servers WHERE job = $goes_on AND member = 1");
is(query("SELECT state FROM gpt_job_servers WHERE job = $goes_on AND member = 2"), 'lost', 'on_loss continue: the others go on');
ok(poll("SELECT note LIKE 'without servers: \"west\" since %' FROM gpt_jobs WHERE job = $goes_on"), 'and gpt_jobs says without whom');
$west->start;
reaches($goes_on, $step);
pass('and a server that starts again joins');
query("SELECT gpt_cancel($goes_on)");
job_ends($goes_on, 'cancelled', 'and is cancelled');
done_testing();
