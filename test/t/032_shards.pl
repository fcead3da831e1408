# test/t/032_shards.pl - models on several servers: gpt_distribute, and scoring where the rows are, by postgres_fdw,
# PL/Proxy and standbys.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptServers;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

my ($here, $east, $west) = start_servers([ 'here', 'east', 'west' ], preload => 1, conf => "gpt.peer_timeout = '5min'\n");
connect_servers($here, $east, $west);
my $shared = "$FindBin::RealBin/..";

sub error_of
{
	my ($node, $sql) = @_;
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	return $error;
}

# The roles of the members may take versions.
$_->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION gpt_distribute(text, text[]), gpt_distribute_put(bigint, bytea), gpt_distribute_take(jsonb),
	gpt_train(text, text, jsonb), gpt_finetune(text, text, jsonb) TO trainer') for $here, $east, $west;
fill_line($here, 1, 300);
my $shape = '"layers": 1, "channels": 16, "heads": 1, "context": 64, "tokenizer": "bytes", "batch_size": 8, "threads": 1, "steps": 3, "seed": 1';

# The answer to a query, as soon as it has one; it may be asked for 100 s, also while the server starts.
sub wait_on
{
	my ($node, $sql) = @_;

	for (my $end = time + 100; time < $end; select undef, undef, undef, 0.025)
	{
		my ($status, $answer) = $node->psql('postgres', $sql);
		return $answer if $status == 0 && $answer ne '';
	}
	return 'nothing';
}

# Starts a job as the owner of the models, and returns its end.
sub train
{
	my ($call) = @_;
	my $job = $here->safe_psql('postgres', "SET ROLE trainer; SELECT $call");

	return $here->safe_psql('postgres', "SELECT gpt_wait($job, '180 s')");
}

is(train("gpt_train('m', 'SELECT body FROM line', '{$shape}')"), 'succeeded', 'a model is trained');
is(train("gpt_finetune('m', 'SELECT body AS text, id % 2 = 0 AS label FROM line', '{\"into\": \"c\", \"threads\": 1, \"steps\": 2}')"), 'succeeded', 'and a classifier');
is(train("gpt_finetune('m', 'SELECT body FROM line', '{\"into\": \"lora\", \"method\": \"lora\", \"threads\": 1, \"steps\": 2}')"), 'succeeded', 'and an adapter');

# -- the same bytes there
my $sent = $here->safe_psql('postgres', <<'SQL');
SET ROLE trainer;
SELECT server, version, bytes > 0 FROM gpt_distribute('lora', '{east, west}');
SELECT server, version, bytes > 0 FROM gpt_distribute('c@1', '{east}');
SELECT server, version, bytes FROM gpt_distribute('m', '{east}');
SQL
is($sent, "east|m\@1|t\neast|lora\@1|t\nwest|m\@1|t\nwest|lora\@1|t\neast|c\@1|t\neast|m\@1|0", 'a base goes with its adapter, and what is there is not sent again');
my $facts = "SELECT model, version, sha256, tokenizer, config, task, search, base, base_version, state FROM gpt_version WHERE model <> 'c' ORDER BY model";
is($east->safe_psql('postgres', $facts), $here->safe_psql('postgres', $facts), 'the versions there are the same');
my $calls = "SELECT gpt_score('lora', 'line 7'), gpt_classify('c', 'line 7'), gpt_generate('m', 'line', 5, seed => 1), gpt_embed('m', 'line 7')";
is($east->safe_psql('postgres', $calls), $here->safe_psql('postgres', $calls), 'so are their answers');
is($east->safe_psql('postgres', 'SELECT * FROM gpt_check(true)'), '', 'gpt_check finds nothing');
is($east->safe_psql('postgres', 'SELECT DISTINCT pg_get_userbyid(lomowner) FROM pg_largeobject_metadata'), 'trainer', 'they belong to the mapped role');
is($east->safe_psql('postgres', "SELECT count(*) FROM gpt_version WHERE query IS NOT NULL OR options IS NOT NULL OR report IS NOT NULL OR watermark IS NOT NULL"),
	'0', 'nothing of the training travels');

# -- versions follow
train("gpt_finetune('m', 'SELECT body FROM line WHERE id < 50', '{\"steps\": 1}')");
$here->safe_psql('postgres', "SET ROLE trainer; SELECT * FROM gpt_distribute('m', '{east, west}')");
my $current = "SELECT version FROM gpt_models WHERE model = 'm'";
is($west->safe_psql('postgres', $current), '2', 'the next version is current there');
$here->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_rollback('m', 1); SELECT gpt_set_image_type('m', 'int8'); SELECT * FROM gpt_distribute('m', '{west}')");
is($west->safe_psql('postgres', "SELECT version, image_type FROM gpt_model WHERE model = 'm'"), '1|int8', 'a rollback and the type of images follow');
$here->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_set_image_type('m', 'float32'); SELECT * FROM gpt_distribute('m', '{west}')");

# -- errors
$here->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_copy_model('c', 'other')");
$west->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_copy_model('m', 'other')");
like(error_of($here, "SET ROLE trainer; SELECT * FROM gpt_distribute('other', '{west}')"),
	qr/42710: version 1 of model "other" is another one on this server.*CONTEXT:  server "west"/s, 'another version of the same number is an error');
$here->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_copy_model('c', 'theirs')");
$west->safe_psql('postgres', "SET ROLE trainer; SELECT gpt_copy_model('m', 'theirs'); RESET ROLE;
	SELECT format('ALTER LARGE OBJECT %s OWNER TO CURRENT_USER', weights) FROM gpt_version WHERE model = 'theirs' \\gexec");
like(error_of($here, "SET ROLE trainer; SELECT * FROM gpt_distribute('theirs', '{west}')"),
	qr/42501: model "theirs" belongs to another role on this server\nDETAIL:  Server "west" reports this/, 'so is a model of another role there');
like(error_of($here, "SELECT * FROM gpt_distribute('none', '{west}')"), qr/42704: model "none" does not exist/, 'a model that does not exist');
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{south}')"), qr/42704: server "south" does not exist/, 'a server that does not exist');
like(error_of($here, "SELECT * FROM gpt_distribute('m', array_fill('west'::text, '{1001}'))"), qr/54000: servers has 1001 names, the limit is 1000/, 'too many servers');
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{NULL}')"), qr/22023: servers must be a list of names, without null/, 'a name that is null');
like(error_of($here, "CREATE ROLE stranger; GRANT EXECUTE ON FUNCTION gpt_distribute(text, text[]) TO stranger; GRANT USAGE ON FOREIGN SERVER west TO stranger;
	SELECT gpt_grant('m', 'stranger'); SET ROLE stranger; SELECT * FROM gpt_distribute('m', '{west}')"), qr/42501: must be owner of model "m"/, 'a user of a model does not send it');
like(error_of($here, "SET ROLE stranger; SELECT gpt_copy_model('m', 's'); SELECT * FROM gpt_distribute('s', '{east}')"),
	qr/42501: permission denied for foreign server east/, 'USAGE on the server');
like(error_of($here, "SET ROLE stranger; SELECT * FROM gpt_distribute('s', '{west}')"),
	qr/42704: user mapping not found for user "stranger", server "west".*CREATE USER MAPPING/s, 'a user mapping');
like(error_of($here, "CREATE USER MAPPING FOR stranger SERVER west OPTIONS (user 'trainer'); SET ROLE stranger; SELECT * FROM gpt_distribute('s', '{west}')"),
	qr/2F003: password is required/, 'the password of the mapping');
like(error_of($here, "ALTER USER MAPPING FOR stranger SERVER west OPTIONS (ADD password 'wrong'); SET ROLE stranger; SELECT * FROM gpt_distribute('s', '{west}')"),
	qr/08001: could not connect to server "west".*password authentication failed/s, 'a wrong password');
my $socket = $west->host;
$here->safe_psql('postgres', "CREATE SERVER trusting FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$socket', port '" . $west->port . "', dbname 'postgres');
	GRANT USAGE ON FOREIGN SERVER trusting TO stranger; CREATE USER MAPPING FOR stranger SERVER trusting OPTIONS (user 'trainer', password 'any')");
like(error_of($here, "SET ROLE stranger; SELECT * FROM gpt_distribute('s', '{trusting}')"),
	qr/2F003: password is required.*does not request a password/s, 'a server that asks for no password');
$here->safe_psql('postgres', 'CREATE FOREIGN DATA WRAPPER another; CREATE SERVER strange FOREIGN DATA WRAPPER another; CREATE USER MAPPING FOR CURRENT_USER SERVER strange');
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{strange}')"), qr/42809: server "strange" is not a server of postgres_fdw/, 'a server of another wrapper');
$east->safe_psql('postgres', "CREATE DATABASE empty");
$here->safe_psql('postgres', "CREATE SERVER empty FOREIGN DATA WRAPPER postgres_fdw OPTIONS (" . connection_of($east, 'empty') . ");
	CREATE USER MAPPING FOR CURRENT_USER SERVER empty OPTIONS (user '" . $east->safe_psql('postgres', 'SELECT current_user') . "', password '" . password_of('postgres') . "')");
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{empty}')"), qr/42704: extension gpt does not exist on server "empty"/, 'a server without the extension');
$east->safe_psql('postgres', "UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'gpt'");
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{east}')"), qr/55000: server "east" has version 0\.1 of gpt, this server has version \S+/, 'another version of the extension');
$east->safe_psql('postgres', "UPDATE pg_extension SET extversion = (SELECT extversion FROM pg_available_extension_versions WHERE false) WHERE false;
	UPDATE pg_extension SET extversion = default_version FROM pg_available_extensions a WHERE extname = 'gpt' AND a.name = 'gpt'");

# -- a hostile sender: whatever it says, nothing is published
my $count = 'SELECT count(*) FROM gpt_version';
my $before = $west->safe_psql('postgres', $count);
my $objects = $west->safe_psql('postgres', 'SELECT count(*) FROM pg_largeobject_metadata');
$west->safe_psql('postgres', <<'SQL');
CREATE TABLE sent AS SELECT lo_get(t.object) || lo_get(v.weights) AS bytes, jsonb_build_object('model', 'forged', 'version', 1, 'run_id', v.run_id, 'size', v.size,
	'sha256', encode(v.sha256, 'hex'), 'tokenizer', encode(v.tokenizer, 'hex'), 'tokenizer_size', t.size, 'config', v.config, 'image_type', 'float32', 'current', true) AS facts
	FROM gpt_version v JOIN gpt_tokenizer t ON t.sha256 = v.tokenizer WHERE v.model = 'm' AND v.version = 1;
CREATE FUNCTION forge(bytes bytea, facts jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gpt_distribute_put(0, bytes);
	RETURN coalesce('published ' || gpt_distribute_take(facts), 'NULL');
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
GRANT SELECT ON sent TO trainer;
SQL
my $forged = $west->safe_psql('postgres', <<'SQL');
SET ROLE trainer;
SELECT what, forge(b, f) FROM sent s, LATERAL (VALUES
	('a byte of the weights', set_byte(bytes, length(bytes) - 1, get_byte(bytes, length(bytes) - 1) # 1), facts),
	('a byte of the tokenizer', set_byte(bytes, 20, get_byte(bytes, 20) # 1), facts),
	('truncated', substr(bytes, 1, length(bytes) - 4), facts),
	('longer', bytes || '\x00', facts),
	('a huge size', bytes, facts || '{"size": 9223372036854775807}'),
	('a negative size', bytes, facts || '{"size": -5}'),
	('a huge tokenizer', bytes, facts || '{"tokenizer_size": 2000000000}'),
	('another configuration', bytes, jsonb_set(facts, '{config,channels}', '32')),
	('no configuration', bytes, facts || '{"config": 3}'),
	('another run', bytes, facts || '{"run_id": "00000000-0000-4000-8000-000000000000"}'),
	('another hash', bytes, facts || jsonb_build_object('sha256', repeat('00', 32))),
	('no hash', bytes, facts || '{"sha256": "zz"}'),
	('a member is missing', bytes, facts - 'run_id'),
	('a name that is none', bytes, facts || '{"model": "a@b"}'),
	('a number out of range', bytes, facts || '{"version": 0}'),
	('a base without an adapter', bytes, facts || jsonb_build_object('base', 'm', 'base_version', 1, 'base_sha256', repeat('00', 32))),
	('statistics of something else', bytes, facts || '{"search": "00ff"}'),
	('a type of images', bytes, facts || '{"image_type": "int3"}'),
	('facts that are a list', bytes, '[1]')) v (what, b, f);
SQL
is(join(', ', map { (split /\|/)[1] } split /\n/, $forged), join(', ', ('22P03') x 4, ('22P03') x 3, ('XX001') x 1, ('22P03') x 4, ('22P03') x 1, '42602', ('22P03') x 4, '22023'), 'altered bytes and facts are errors')
  or diag $forged;
is($west->safe_psql('postgres', "$count; SELECT count(*) FROM pg_largeobject_metadata"), "$before\n$objects", 'and leave nothing behind');
is($west->safe_psql('postgres', "BEGIN; SELECT gpt_distribute_put(0, substr(bytes, 1, 9)) FROM sent; SELECT gpt_distribute_put(9, substr(bytes, 10)) FROM sent;
	SELECT gpt_distribute_take(facts) FROM sent; ROLLBACK; SELECT coalesce(gpt_distribute_take(facts)::text, 'missing') FROM sent"), "\n\n1\nmissing", 'the bytes themselves are taken, in pieces, and go with the transaction');
is($west->safe_psql('postgres', "BEGIN; SAVEPOINT a; SELECT gpt_distribute_put(0, bytes) FROM sent; ROLLBACK TO a; SELECT coalesce(gpt_distribute_take(facts)::text, 'missing') FROM sent"),
	"\nmissing", 'and with a subtransaction');
# Other files are opened between the pieces: the number of one that was closed would be theirs.
is($west->safe_psql('postgres', "BEGIN; SAVEPOINT a; SELECT gpt_distribute_put(0, substr(bytes, 1, 9)) FROM sent; RELEASE a; $count; SELECT gpt_distribute_put(9, substr(bytes, 10)) FROM sent;
	SELECT gpt_distribute_take(facts) FROM sent; ROLLBACK"), "\n$before\n\n1", 'but not when that ends well');
like(error_of($west, "SELECT gpt_distribute_put(5, 'x')"), qr/22023: the piece at 5 is not the next one/, 'a piece at another place');

# -- TLS: a server shows a certificate of its authority for the address that was asked for, or is not connected with
my ($authority, $other) = map { make_authority($_) } 'authority', 'other';
certify($west, $authority);
$here->safe_psql('postgres', "CREATE SERVER safe FOREIGN DATA WRAPPER postgres_fdw OPTIONS (${\connection_of($west)}, sslmode 'verify-full', sslrootcert '$authority.crt');
	CREATE USER MAPPING FOR CURRENT_USER SERVER safe OPTIONS (user 'trainer', password '${\password_of('trainer')}')");
$west->safe_psql('postgres', q{SELECT format('GRANT EXECUTE ON FUNCTION %s TO trainer', string_agg(oid::regprocedure::text, ', ')) FROM pg_proc WHERE proname LIKE 'gpt\_member\_%' \gexec});
sub train_safely
{
	my ($model) = @_;
	my ($job, $state) = ends_of_job($here, sub { $here->safe_psql('postgres', qq{SELECT gpt_train('$model', 'SELECT body FROM line', '{$shape, "servers": ["safe"], "data": "dealt", "sync": 2}')}) });

	return $state . "\n" . $here->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job");
}
is(train_safely('safe'), "succeeded\n", 'a server with the right certificate trains');
is($here->safe_psql('postgres', q{SELECT count(*) FROM gpt_distribute('safe', '{safe}')}), 1, 'and takes a model');
my %wrong = (
	"SET sslrootcert '$other.crt'" => qr/08001: could not connect to server "safe"\nDETAIL:.*certificate verify failed/,
	"SET host 'localhost'" => qr/08001: could not connect to server "safe"\nDETAIL:.*certificate for "127.0.0.1".* does not match host name "localhost"/s,
	"SET port '@{[$east->port]}'" => qr/08001: could not connect to server "safe"\nDETAIL:.*server does not support SSL/);
for my $option (sort keys %wrong)
{
	$here->safe_psql('postgres', "ALTER SERVER safe OPTIONS ($option)");
	like(error_of($here, q{SELECT gpt_distribute('safe', '{safe}')}), $wrong{$option}, "a wrong one is an error: $option");
	like(train_safely('unsafe'), qr/failed\ncould not connect to server "safe"\nDETAIL: .*certificate verify failed/, 'of a training too') if $option =~ /rootcert/;
	$here->safe_psql('postgres', "ALTER SERVER safe OPTIONS (SET sslrootcert '$authority.crt', SET host '127.0.0.1', SET port '@{[$west->port]}')");
}

# -- of several hosts, one that does not answer a connection leaves time for the next
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die 'no port is free';
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Blocking => 0) } 1 .. 8;
$here->safe_psql('postgres', "CREATE SERVER pair FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1,127.0.0.1', port '@{[join ',', $listener->sockport, $east->port]}', dbname 'postgres', connect_timeout '1');
	CREATE USER MAPPING FOR CURRENT_USER SERVER pair OPTIONS (user 'trainer', password '${\password_of('trainer')}')");
# On a busy machine the second one may take as long.
my $answered = '';
for (1 .. 5)
{
	last if ($answered = ($here->psql('postgres', q{SELECT server FROM gpt_distribute('c', '{pair}')}))[1]) ne '';
}
is($answered, 'pair', 'the next host of a server is asked when the first one is gone');
undef @waiting;

# -- a server without room for the files of a training: an error at the beginning, waited for later
sub files_of_east
{
	$east->append_conf('postgresql.conf', "temp_file_limit = '$_[0]'");
	$east->reload;
	wait_on($east, "SELECT 1 WHERE current_setting('temp_file_limit') = '$_[0]'");
}

sub train_on_east
{
	return $here->safe_psql('postgres', qq{SELECT gpt_train('room', 'SELECT body FROM line', '{$shape, "steps": $_[0], "servers": ["east"], "data": "dealt", "sync": 2}')});
}

files_of_east('10kB');
my ($room, $end) = ends_of_job($here, sub { train_on_east(10) });
is($end . "\n" . $here->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $room"), "failed\ntemporary file size exceeds temp_file_limit (10kB)\nDETAIL: Server \"east\" reports this.", 'no room at the beginning');
files_of_east('-1');
$room = train_on_east(1000000);
is(wait_on($here, "SELECT state FROM gpt_job_servers WHERE job = $room AND member = 1 AND step > 2 AND state = 'training'"), 'training', 'a training goes on');
files_of_east('10kB');
$east->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%gpt_member\_%' AND pid <> pg_backend_pid()});
is(wait_on($here, "SELECT state FROM gpt_job_servers WHERE job = $room AND error LIKE 'temporary file size exceeds%'"), 'lost', 'no room when a server comes back');
files_of_east('-1');
is(wait_on($here, "SELECT epoch > 1 FROM gpt_job_servers WHERE job = $room AND member = 1 AND state = 'training' AND step > 4"), 't', 'the others wait for it');
$here->safe_psql('postgres', "SELECT gpt_cancel($room)");
is($here->safe_psql('postgres', "SELECT gpt_wait($room)"), 'cancelled', 'and it is cancelled');

# -- a server whose only worker is busy is waited for before rows are read
my $few = q{'SELECT ''line '' || i AS body FROM generate_series(1, 50) i'};
my $busy = $east->safe_psql('postgres', "SELECT gpt_train('busy', $few, '{$shape, \"steps\": 1000000}')");
is(wait_on($east, "SELECT step > 0 FROM gpt_jobs WHERE job = $busy AND step > 0"), 't', 'a server trains a model of its own');
my $late = $here->safe_psql('postgres', qq{SELECT gpt_train('late', $few, '{$shape, "servers": ["east"], "sync": 2}')});
is(wait_on($here, "SELECT state FROM gpt_job_servers WHERE job = $late AND error LIKE '%no free slot%'"), 'lost', 'and has no slot for another one');
$east->safe_psql('postgres', "SELECT gpt_cancel($busy)");
is($here->safe_psql('postgres', "SELECT gpt_wait($late, '180 s')"), 'succeeded', 'until it has ended');

# -- scoring where the rows are
$here->safe_psql('postgres', "SET ROLE trainer; SELECT * FROM gpt_distribute('m\@1', '{east, west}'); SELECT * FROM gpt_distribute('c', '{west}')");
fill_line($east, 301, 400);
fill_line($west, 401, 500);
$here->safe_psql('postgres', <<'SQL');
ALTER SERVER east OPTIONS (ADD extensions 'gpt', ADD async_capable 'true', ADD fetch_size '30');
ALTER SERVER west OPTIONS (ADD extensions 'gpt', ADD async_capable 'true', ADD fetch_size '30');
CREATE TABLE shard (id bigint, text text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE shard_east PARTITION OF shard FOR VALUES FROM (301) TO (401) SERVER east OPTIONS (table_name 'line');
CREATE FOREIGN TABLE shard_west PARTITION OF shard FOR VALUES FROM (401) TO (501) SERVER west OPTIONS (table_name 'line');
ALTER FOREIGN TABLE shard_east ALTER COLUMN text OPTIONS (column_name 'body');
ALTER FOREIGN TABLE shard_west ALTER COLUMN text OPTIONS (column_name 'body');
INSERT INTO line SELECT id, text FROM shard;
SQL
my $score = q{gpt_score('m@1'::gpt_model_version, text)};
my $plan = $here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT id, $score FROM shard");
is(() = $plan =~ /Async Foreign Scan\n.*\n\s+Remote SQL: SELECT id, public\.gpt_score\('m\@1'::public\.gpt_model_version, body, .*\) FROM public\.line/g, 2, 'both servers compute the result, at once')
  or diag $plan;
my $rows = "SELECT id, $score, length(text) FROM %s WHERE id > 300 ORDER BY id";
is($here->safe_psql('postgres', sprintf $rows, 'shard'), $here->safe_psql('postgres', sprintf($rows, 'line') =~ s/text/body/gr), 'its results are those of one server');
is($here->safe_psql('postgres', "SET gpt.batching = off; " . sprintf $rows, 'shard'), $here->safe_psql('postgres', sprintf $rows, 'shard'), 'and those without it');

# expression of the list, in a table with one => whether the server there computes it
my %pushed = (
	"gpt_classify('c\@1'::gpt_model_version, 'a ' || text)" => 1,
	"round(gpt_score('m\@1'::gpt_model_version, coalesce(text, '')))" => 1,
	"(gpt_embed('m\@1'::gpt_model_version, text))[1]" => 1,
	"CASE WHEN id > 450 THEN gpt_score('m\@1'::gpt_model_version, text) END" => 0,
	"gpt_score('m\@1', text)" => 0,
	"gpt_score('m\@1'::gpt_model_version, upper(text))" => 0,
	"gpt_score('m\@1'::gpt_model_version, text), tableoid" => 0,
	"gpt_score('m\@1'::gpt_model_version, text), shard_west" => 0);
for my $list (sort keys %pushed)
{
	my $query = "SELECT $list FROM shard_west ORDER BY id DESC";
	my $explained = $here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $query");
	is(scalar($explained =~ /Remote SQL: SELECT .*gpt_.* FROM/), $pushed{$list} ? 1 : '', "$list " . ($pushed{$list} ? 'is computed there' : 'is not')) or diag $explained;
	is($here->safe_psql('postgres', $query), $here->safe_psql('postgres', "SET gpt.batching = off; $query"), 'with the same result');
}

# -- arguments of aggregates: the aggregate over a partitioned table, and how many servers compute its calls, without sending texts
$here->safe_psql('postgres', "CREATE TABLE shard_here PARTITION OF shard FOR VALUES FROM (1) TO (101); INSERT INTO shard SELECT id, body FROM line WHERE id <= 100;
	CREATE TABLE same AS SELECT * FROM shard");
my %aggregated = (
	"round(avg($score)::numeric, 6), max($score), count(*) FROM shard" => 2,
	"id % 2, round(avg($score)::numeric, 6) FROM shard GROUP BY 1" => 2,
	"string_agg(gpt_classify('c\@1'::gpt_model_version, text), ',' ORDER BY id) FROM shard WHERE id > 401 HAVING min($score) > 0" => 1,
	"text, sum($score) FROM shard GROUP BY text" => 0,
	"round((avg($score) FILTER (WHERE id > 450))::numeric, 6) FROM shard" => 0,
	"round(avg(CASE WHEN id > 320 THEN $score END)::numeric, 6) FROM shard" => 0,
	"id % 2, round(avg($score)::numeric, 6) FROM shard GROUP BY GROUPING SETS ((1), ())" => 2,
	"id % 2, round(avg($score)::numeric, 6) FROM shard GROUP BY GROUPING SETS ((id % 2), (id % 3))" => 0);
for my $list (sort keys %aggregated)
{
	my $explained = $here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT $list");
	is(() = $explained =~ /Remote SQL: SELECT (?:id, )?public\.gpt_(?!.*, body FROM)/g, $aggregated{$list}, "$aggregated{$list} servers compute $list") or diag $explained;
	is($here->safe_psql('postgres', "SELECT $list ORDER BY 1"), $here->safe_psql('postgres', "SELECT $list ORDER BY 1" =~ s/FROM shard/FROM same/r), 'with the result of one server');
}
is($here->safe_psql('postgres', "CREATE SEQUENCE drawn; SELECT count($score) > 100 FROM (SELECT nextval('drawn')::text AS text FROM line UNION ALL SELECT text FROM shard_west) q;
	SELECT last_value - (SELECT count(*) FROM line) FROM drawn"), "t\n0", 'a text that changes when it is computed is computed once');
$here->safe_psql('postgres', 'DROP TABLE shard_here');
like(error_of($here, q{SELECT gpt_train('t', 'SELECT text FROM shard', '{"servers": ["west"], "steps": 1}')}),
	qr/22023: query reads foreign table "shard_west" of server "west"\nDETAIL:  That server trains on its own rows/, 'a training that would read the rows of a server twice is refused');
like(error_of($here, q{SELECT gpt_train('t', 'SELECT text FROM shard', '{"servers": ["west"], "data": "dealt", "sync": "step", "steps": 1}')}),
	qr/55000: this server has no address for gradients/, 'and one whose gradients have no road, at once');
unlike($here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT $score FROM shard_west FOR UPDATE"), qr/SELECT .*gpt_.* FROM/, 'rows that are locked are scored here');
unlike($here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT $score FROM shard_west WHERE random() < 2"), qr/SELECT .*gpt_.* FROM/, 'and rows of a condition that is checked here');
is($here->safe_psql('postgres', "CREATE TABLE scored AS SELECT id, $score AS s FROM shard; INSERT INTO scored SELECT id, $score FROM shard; SELECT count(*), count(DISTINCT s) > 150 FROM scored"), '400|t', 'into a table');
is($here->safe_psql('postgres', "PREPARE p AS SELECT count(s) FROM (SELECT $score AS s FROM shard WHERE id > \$1 OFFSET 0) q; SET plan_cache_mode = force_generic_plan; EXECUTE p(450); EXECUTE p(300)"), "50\n200", 'in a generic plan');
is($here->safe_psql('postgres', "BEGIN; DECLARE c CURSOR FOR SELECT id, $score > 0 FROM shard_west ORDER BY id; FETCH 2 FROM c; MOVE 50 IN c; FETCH 1 FROM c"), "401|t\n402|t\n453|t", 'with a cursor');
is($here->safe_psql('postgres', "SELECT count(*) FROM line l JOIN LATERAL (SELECT $score AS s FROM shard_west w WHERE w.id = l.id OFFSET 0) q ON true WHERE q.s > 0"), '100', 'as the inner side of a nested loop');
$here->safe_psql('postgres', 'ALTER SERVER west OPTIONS (DROP extensions)');
unlike($here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT $score FROM shard_west"), qr/SELECT .*gpt_.* FROM/, 'a server that does not name the extension sends its rows');

# -- PL/Proxy: the query itself runs on all servers at once
SKIP:
{
	skip 'PL/Proxy is not installed', 3
	  if $here->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'plproxy'") eq '0';
	my @places = map { "dbname=postgres host=" . $_->host . " port=" . $_->port } $east, $west;

	$here->safe_psql('postgres', <<"SQL");
CREATE EXTENSION plproxy;
CREATE SERVER shards FOREIGN DATA WRAPPER plproxy OPTIONS (p0 '$places[0]', p1 '$places[1]');
CREATE USER MAPPING FOR CURRENT_USER SERVER shards OPTIONS (user 'trainer');
CREATE FUNCTION scored(first_id bigint) RETURNS TABLE (id bigint, score float8) LANGUAGE plproxy AS
	\$\$ CLUSTER 'shards'; RUN ON ALL; SELECT id, gpt_score('m\@1', body) AS score FROM line WHERE id >= first_id ORDER BY id; \$\$;
CREATE FUNCTION written(first_id bigint) RETURNS TABLE (id bigint, written text) LANGUAGE plproxy AS
	\$\$ CLUSTER 'shards'; RUN ON ALL; SELECT id, gpt_generate('m\@1', left(body, 8), 5, seed => 1) AS written FROM line WHERE id >= first_id; \$\$;
CREATE FUNCTION shard_of(line_id bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT (line_id > 400)::integer';
CREATE FUNCTION class_of(line_id bigint) RETURNS SETOF text LANGUAGE plproxy AS
	\$\$ CLUSTER 'shards'; RUN ON shard_of(line_id); SELECT gpt_classify('c', body) FROM line WHERE id = line_id; \$\$;
SQL
	is($here->safe_psql('postgres', 'SELECT * FROM scored(350) ORDER BY id'), $here->safe_psql('postgres', q{SELECT id, gpt_score('m@1', body) FROM line WHERE id >= 350 ORDER BY id}), 'PL/Proxy scores where the rows are');
	is($here->safe_psql('postgres', 'SELECT * FROM written(398) WHERE id < 404 ORDER BY id'), $here->safe_psql('postgres', q{SELECT id, gpt_generate('m@1', left(body, 8), 5, seed => 1) FROM line WHERE id BETWEEN 398 AND 403 ORDER BY id}), 'and writes there');
	is($here->safe_psql('postgres', 'SELECT class_of(310), class_of(470)'), $here->safe_psql('postgres', q{SELECT (SELECT gpt_classify('c', body) FROM line WHERE id = 310), (SELECT gpt_classify('c', body) FROM line WHERE id = 470)}), 'and classifies a row on its server');
}

# -- standbys that answer: one connection string for both, and both at once
$west->backup('base', backup_options => ['--checkpoint=fast']);
my @standbys = map { my $node = PostgreSQL::Test::Cluster->new($_); $node->init_from_backup($west, 'base', has_streaming => 1); $node->start; $node } 'first', 'second';
$west->wait_for_catchup($_, 'replay', $west->lsn('insert')) for @standbys;
my $ports = join(',', map { $_->port } @standbys);
my $backwards = join(',', map { $_->port } reverse @standbys);
my $options = "host '127.0.0.1,127.0.0.1', dbname 'postgres', target_session_attrs 'standby', extensions 'gpt', async_capable 'true'";
$here->safe_psql('postgres', join '', map { my ($name, $list) = @$_; <<"SQL" } [ 'readers', $ports ], [ 'others', $backwards ]);
CREATE SERVER $name FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($options, port '$list');
GRANT USAGE ON FOREIGN SERVER $name TO trainer;
CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (user 'trainer', password '${\password_of('trainer')}', password_required 'false');
CREATE FOREIGN TABLE line_$name (id bigint, text text OPTIONS (column_name 'body')) SERVER $name OPTIONS (table_name 'line');
CREATE FOREIGN TABLE port_$name (setting text) SERVER $name OPTIONS (schema_name 'public', table_name 'own_port');
SQL
$west->safe_psql('postgres', "CREATE VIEW own_port AS SELECT setting FROM pg_settings WHERE name = 'port'; GRANT SELECT ON own_port TO PUBLIC");
$west->wait_for_catchup($_, 'replay', $west->lsn('insert')) for @standbys;
is($here->safe_psql('postgres', 'SELECT (SELECT setting FROM port_readers), (SELECT setting FROM port_others)'), join('|', map { $_->port } @standbys), 'a session takes the first standby of its list');
my $both = "SELECT id, $score FROM line_readers WHERE id % 2 = 0 UNION ALL SELECT id, $score FROM line_others WHERE id % 2 = 1";
is(() = $here->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $both") =~ /Async Foreign Scan\n.*\n\s+Remote SQL: SELECT id, public\.gpt_score/g, 2, 'both standbys score at once');
is($here->safe_psql('postgres', "$both ORDER BY 1"), $west->safe_psql('postgres', 'SELECT id, gpt_score(\'m@1\', body) FROM line ORDER BY 1'), 'with the results of the primary');
like(error_of($here, "SELECT * FROM gpt_distribute('m', '{readers}')"), qr/0A000: cannot set transaction read-write mode during recovery.*CONTEXT:  server "readers"/s, 'nothing can be sent to a standby');

# -- standbys that train: a standby may be a member, and the next one takes its place
$west->safe_psql('postgres', 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO trainer');
$west->wait_for_catchup($_, 'replay', $west->lsn('insert')) for @standbys;
my $tiny = $shape =~ s/"steps": 3/"patience": 0/r;
my $over = $here->safe_psql('postgres', qq{SELECT gpt_train('over', 'SELECT body FROM line', '{$tiny, "steps": 1000000, "servers": ["readers"], "data": "local", "sync": 10}')});
is(wait_on($here, "SELECT state FROM gpt_job_servers WHERE job = $over AND member = 1 AND step >= 10"), 'training', 'a standby trains on its rows');
$standbys[0]->stop('immediate');
is($here->safe_psql('postgres', 'SELECT setting FROM port_readers'), $standbys[1]->port, 'a new session takes the next one when the first is gone');
is(wait_on($here, "SELECT state FROM gpt_job_servers WHERE job = $over AND member = 1 AND epoch > 1 AND step > 10"), 'training', 'so does a training');
$here->safe_psql('postgres', "SELECT gpt_cancel($over)");

# -- the standby of a coordinator goes on with its trainings, and waits for a server that is away at that moment
my %sync = (rounds => '"sync": 20, "steps": 400', steps => '"sync": "step", "steps": 120');
$_->append_conf('postgresql.conf', "gpt.max_workers = 3\ngpt.gradient_address = '127.0.0.1'"), $_->reload for $west, $east, $standbys[1];
wait_on($_, "SELECT 1 WHERE current_setting('gpt.max_workers') = '3'") for $west, $east, $standbys[1];
connect_servers($west, $east);
delete $sync{steps} unless -e $west->config_data('--pkglibdir') . '/gpt_gloo.so';
my %jobs = map { $_ => $west->safe_psql('postgres', qq{SELECT gpt_train('$_', 'SELECT body FROM line', '{$tiny, $sync{$_}, "servers": ["east"]}')}) } sort keys %sync;
my $all = join ',', values %jobs;
is(wait_on($west, "SELECT count(*) FROM gpt_jobs WHERE job IN ($all) AND state = 'running' AND steps > 0 HAVING count(*) = " . keys %jobs), keys %jobs, 'a server trains with another one');
$east->stop('fast');
$west->wait_for_catchup($standbys[1], 'replay', $west->lsn('flush'));
$west->stop('immediate');
$standbys[1]->promote;
is(wait_on($standbys[1], "SELECT count(*) FROM gpt_job_servers WHERE job IN ($all) AND state = 'lost' AND error LIKE 'could not connect%' HAVING count(*) = " . keys %jobs), keys %jobs, 'its standby takes over, and waits');
$east->start;
is($standbys[1]->safe_psql('postgres', "SELECT string_agg(gpt_wait(job, '180 s'), ',') FROM gpt_jobs WHERE job IN ($all)"), join(',', ('succeeded') x keys %jobs), 'until the other one is back');
is($standbys[1]->safe_psql('postgres', "SELECT bool_and(data_changed) FROM gpt_jobs WHERE job IN ($all)"), 't', 'rows were read again');

# -- a hostile server, or one that stops answering: an error that names it, and no hang
my $version = $here->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'gpt'});
my ($stranger, $place) = start_stranger();
my %strange = (
	garbage => qr/08001: could not connect to server "strange_garbage"/,
	silent => qr/08001: could not connect to server "strange_silent".*timeout expired/s,
	stops => qr/57014: canceling statement due to statement timeout/,
	cut => qr/08006: lost the connection to server "strange_cut"/,
	version => qr/55000: server "strange_version" has version 9\.9 of gpt/,
	answer => qr/08P01: server "strange_answer" gave an answer that gpt does not give/,
	rows => qr/08006: lost the connection to server "strange_rows".*answered with several rows/s,
	copy => qr/08006: lost the connection to server "strange_copy".*answered with COPY/s,
	error => qr/08001: could not connect to server "strange_error"\nDETAIL:  The server's message is not valid text\./);
for my $way (sort keys %strange)
{
	$here->safe_psql('postgres', "CREATE SERVER strange_$way FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '$place', dbname '$way', connect_timeout '@{[$way eq 'silent' ? 1 : 60]}', sslmode 'disable', gssencmode 'disable');
		CREATE USER MAPPING FOR CURRENT_USER SERVER strange_$way");
	like(error_of($here, ($way eq 'stops' ? "SET statement_timeout = '500ms'; " : '') . "SELECT * FROM gpt_distribute('m', '{strange_$way}')"), $strange{$way}, "a server that gives this: $way");
}
kill 'KILL', $stranger;
waitpid $stranger, 0;

# A process that speaks the server's protocol as its database's name says; returns it and its port.
sub start_stranger
{
	my $listener = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1') or die 'no port is free';
	my $child = fork;
	my @held;

	return ($child, $listener->sockport) if $child;
	while (my $client = $listener->accept)
	{
		my ($way) = receive($client, 1) =~ /database\0(\w+)/;
		my ($query, $kind) = ('', '');

		if ($way eq 'garbage') { syswrite $client, 'x' x 100; next; }
		if ($way eq 'silent') { push @held, $client; next; }
		syswrite $client, message('R', pack 'N', 0) . message('Z', 'I');
		while (($kind, my $body) = receive($client))
		{
			$query = (split /\0/, $body)[1] if $kind eq 'P';
			syswrite $client, message('C', "SET\0") . message('Z', 'I') if $kind eq 'Q';
			next if $kind ne 'S';
			last if $way eq 'cut';
			if ($way eq 'stops') { push @held, $client; last; }
			my @row = $query =~ /extversion/ ? ('public', $way eq 'version' ? '9.9' : $version) : $query =~ /take/ ? ('77') : ();
			my $answer = message('1', '') . message('2', '') . message('T', pack('n', scalar @row) . join '', map { "c\0" . pack 'NnNnNn', 0, 0, 25, 65535, 4294967295, 0 } @row);
			$answer .= message('D', pack('n', scalar @row) . join '', map { pack('N', length) . $_ } @row) x ($way eq 'rows' ? 2 : 1) if @row;
			$answer = message('1', '') . message('2', '') . message('G', pack 'Cn', 0, 0) if $way eq 'copy';
			$answer = message('E', "SFATAL\0C00000\0M\xff\xfe\0\0") if $way eq 'error';
			syswrite $client, $answer . ($way =~ /copy|error/ ? '' : message('C', "SELECT 1\0")) . message('Z', 'I');
		}
	}
	exit;
}

sub message
{
	my ($kind, $body) = @_;

	return $kind . pack('N', 4 + length $body) . $body;
}

# A message: its kind and its body; the first one of a connection has no kind. Nothing at the end.
sub receive
{
	my ($client, $first) = @_;
	my ($kind, $size, $body) = ('', '', '');

	$first || read($client, $kind, 1) or return;
	read($client, $size, 4) or return;
	read $client, $body, unpack('N', $size) - 4;
	return $first ? $body : ($kind, $body);
}

done_testing();
