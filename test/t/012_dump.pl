# test/t/012_dump.pl - pg_dump and pg_restore: the same models, owners, grants and scores; what a partial dump leaves
# out; who may dump; jobs of another server never start.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $options = '{"steps": 20, "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "words", "batch_size": 4}';
my $node = start_node('source', 1);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

# A database of a role that is no superuser; a model and a tokenizer of alice, which bob may use.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE dba LOGIN;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE carol LOGIN;
CREATE DATABASE app OWNER dba;
SQL
$node->safe_psql('app', <<'SQL');
CREATE EXTENSION gpt;
GRANT EXECUTE ON FUNCTION gpt_train, gpt_train_tokenizer TO alice;
CREATE TABLE line AS SELECT i AS id, 'line ' || i || ' says ' || md5(i::text) AS body FROM generate_series(1, 200) i;
GRANT SELECT ON line TO alice;
SQL
my $words = $node->safe_psql('app', q{SELECT gpt_train_tokenizer('words', 'SELECT body FROM line', '{"vocabulary": 300}')}, extra_params => [ '-U', 'alice' ]);
is($node->safe_psql('app', "SELECT gpt_wait($words)"), 'succeeded', 'a tokenizer is trained');
for my $model ('story', 'other')
{
	my $job = $node->safe_psql('app', "SELECT gpt_train('$model', 'SELECT body FROM line', '$options')", extra_params => [ '-U', 'alice' ]);
	is($node->safe_psql('app', "SELECT gpt_wait($job)"), 'succeeded', "model $model is trained");
}
$node->safe_psql('app', q{SELECT format('GRANT SELECT ON LARGE OBJECT %s TO bob', weights) FROM gpt_models WHERE model = 'story' \gexec});

# What must be the same. Jobs apart: these are looked at one by one.
my $contents = q{
	SELECT model, version, owner, architecture, parameters, tokenizer, loss, validation_loss, size, weights,
		created_at, state, query, options, published_by,
		report, evaluation, profile FROM gpt_versions ORDER BY 1, 2;
	SELECT tokenizer, kind, vocabulary, size, sha256, object FROM gpt_tokenizers ORDER BY 1;
	SELECT oid, pg_get_userbyid(lomowner), lomacl FROM pg_largeobject_metadata ORDER BY 1;
	SELECT oid, obj_description(oid, 'pg_largeobject'), md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1;
	SELECT id, gpt_score('story', body), gpt_score('other', body, 'logprob') FROM line WHERE id <= 20 ORDER BY id;
	SELECT gpt_generate('story', 'line 7', max_tokens => 20, seed => 3), gpt_tokenize('words', 'line 7 says');
	SELECT count(*), sum(loss) FROM gpt_train_log JOIN gpt_jobs USING (job) WHERE gpt_jobs.model IN ('story', 'other');
};
my $use = q{SELECT string_agg(model || version, ' ' ORDER BY model), gpt_score('story', 'line 1') FROM gpt_models};
my $expected = $node->safe_psql('app', $contents);
my $expected_use = $node->safe_psql('app', $use, extra_params => [ '-U', 'bob' ]);

# A job that runs and one that waits while the dump is made.
my $running = $node->safe_psql('app', qq{SELECT gpt_train('unfinished', 'SELECT body FROM line', '{"steps": 1000000, "layers": 1, "channels": 32, "tokenizer": "bytes"}')});
my $waiting = $node->safe_psql('app', q{SELECT gpt_train_tokenizer('waiting', 'SELECT body FROM line')});
$node->poll_query_until('app', "SELECT count(*) = 1 FROM gpt_stat_progress_train WHERE job = $running AND step > 0");

# A server with the roles, whose numbers differ from those of the first.
sub target
{
	my ($name) = @_;
	my $target = PostgreSQL::Test::Cluster->new($name);

	$target->init;
	$target->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt'\ngpt.nice = 0\n");
	$target->start;
	$target->safe_psql('postgres', 'CREATE ROLE first LOGIN; CREATE ROLE second LOGIN');
	return $target;
}

# New databases for the further restores; pg_restore says nothing, otherwise the test fails.
sub restore_ok
{
	my ($target, $database, $test, @arguments) = @_;

	$target->safe_psql('postgres', "CREATE DATABASE $database");
	$target->command_ok([ 'pg_restore', '-d', $database, @arguments ], $test);
	return;
}

# who may dump
$node->command_fails([ 'pg_dump', '-U', 'dba', '-Fc', '-f', $dump, 'app' ], 'the owner of a database cannot dump it without grants');
$node->safe_psql('app', 'GRANT pg_read_all_data TO dba');
$node->command_ok([ 'pg_dump', '-U', 'dba', '-Fc', '-f', $dump, 'app' ],
	'with pg_read_all_data the owner of a database, who is no superuser, dumps it');

# roles and the whole database, into a new server
my $target = target('target');
my $globals = PostgreSQL::Test::Utils::tempdir() . '/globals.sql';
$node->command_ok([ 'pg_dumpall', '--globals-only', '-f', $globals ], 'pg_dumpall writes the roles');
$target->safe_psql('postgres', join("\n", grep { !/^(CREATE|ALTER) ROLE postgres/ } split /\n/, slurp_file($globals)));
restore_ok($target, 'app', 'pg_restore of a dump by the owner of the database', $dump);
is($target->safe_psql('app', $contents), $expected, 'models, owners, grants, tokenizers, scores and texts are the same after the restore');
is($target->safe_psql('app', $use, extra_params => [ '-U', 'bob' ]), $expected_use, 'a role uses what was granted to it');
my ($status, $out, $err) = $target->psql('app', $use, extra_params => [ '-U', 'carol' ]);
like($err, qr/permission denied/, 'and a stranger nothing');
is($target->safe_psql('app', 'SELECT count(*) FROM gpt_jobs'), '5', 'a superuser sees the jobs of the other server');
for my $role ('alice', 'first', 'second', 'carol')
{
	is($target->safe_psql('app', q{SELECT count(*) FROM gpt_jobs}, extra_params => [ '-U', $role ]), '0', "$role, whose number may be that of another role there, sees no queries");
}
is($target->safe_psql('app', q{SELECT owner FROM gpt_tokenizers}), 'alice', 'names of tokenizers too');
(undef, undef, $err) = $target->psql('app', q{SELECT gpt_drop_tokenizer('words')}, extra_params => [ '-U', 'second' ]);
like($err, qr/must be owner/, 'which a stranger cannot drop');

# jobs of the other server
sub foreign_jobs_stay
{
	my ($server, $database) = @_;

	is($server->safe_psql($database, "SELECT state FROM gpt_jobs WHERE job = $running"), 'running', 'the row of a job that ran says so');
	$server->restart;
	my $job = $server->safe_psql($database, "SELECT gpt_train('new', 'SELECT body FROM line', '$options')");
	is($server->safe_psql($database, "SELECT gpt_wait($job)"), 'succeeded', 'a new job runs after a restore and a restart');
	is($server->safe_psql($database, "SELECT count(*) FROM gpt_jobs WHERE job IN ($running, $waiting) AND tries = (job = $running)::int AND state IN ('queued', 'running')"),
		'2', 'and those of the other server did not start');
	cmp_ok($job, '>', $waiting, 'the sequence of jobs was restored');
	(undef, undef, my $error) = $server->psql($database, "SELECT gpt_resume($waiting)");
	like($error, qr/another database or cluster/, 'nor can be resumed');
	(undef, undef, $error) = $server->psql($database, "SELECT gpt_wait($waiting)");
	like($error, qr/another database or cluster/, 'waiting for one is an error');
	is($server->safe_psql($database, "SELECT gpt_cancel($running), gpt_cancel($waiting)"), 't|t', 'they can be cancelled');
	is($server->safe_psql($database, 'SELECT gpt_score(\'new\', \'line 1\') > 0'), 't', 'the new model scores');
	return;
}
is($target->safe_psql('app', q{SELECT * FROM gpt_check(true) WHERE kind <> 'copied job'}), '', 'gpt_check finds nothing but copied jobs after the restore');
foreign_jobs_stay($target, 'app');

# other forms
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dump.d", 'app' ], 'pg_dump in parallel');
restore_ok($target, 'parallel', 'pg_restore in parallel', '-j', '2', "$dump.d");
is($target->safe_psql('parallel', $contents), $expected, 'a parallel restore has the same contents');

$node->command_ok([ 'pg_dump', '-f', "$dump.sql", 'app' ], 'pg_dump as plain SQL');
$target->safe_psql('postgres', 'CREATE DATABASE plain');
$target->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$dump.sql" ], 'psql runs the script');
is($target->safe_psql('plain', $contents), $expected, 'a restore from SQL has the same contents');

# --no-owner: everything belongs to the role that restores
restore_ok($target, 'ownerless', 'pg_restore --no-owner', '--no-owner', '--no-acl', $dump);
is($target->safe_psql('ownerless', q{SELECT count(*) FROM gpt_models WHERE owner = current_user}), '2', '--no-owner gives the models to the role that restores');
is($target->safe_psql('ownerless', q{SELECT gpt_score('story', 'line 5')}), $node->safe_psql('app', q{SELECT gpt_score('story', 'line 5')}), 'with the same scores');

# dumps without large objects: rows without their objects are no models
$node->command_ok([ 'pg_dump', '-B', '-Fc', '-f', "$dump.b", 'app' ], 'pg_dump -B');
restore_ok($target, 'without', 'pg_restore of a dump without large objects', "$dump.b");
is($target->safe_psql('without', 'SELECT count(*) FROM gpt_models'), '0', 'a dump without large objects has no models');
cmp_ok($target->safe_psql('without', 'SELECT count(*) FROM gpt_check()'), '>=', 3, 'gpt_check reports the rows without objects');
(undef, undef, $err) = $target->psql('without', q{SELECT gpt_score('story', 'line 5')});
like($err, qr/model "story" does not exist/, 'which using one says');
$node->command_ok([ 'pg_dump', '-n', 'public', '-Fc', '-f', "$dump.n", 'app' ], 'pg_dump -n');
$target->safe_psql('postgres', 'CREATE DATABASE one_schema');
$target->safe_psql('one_schema', 'CREATE EXTENSION gpt');
run_log([ 'pg_restore', '-d', $target->connstr('one_schema'), "$dump.n" ]);
is($target->safe_psql('one_schema', 'SELECT count(*), (SELECT count(*) FROM line) FROM gpt_models'), '0|200', 'a dump of one schema has its tables and no models');

$node->command_ok([ 'pg_dump', '-n', 'public', '-b', '-Fc', '-f', "$dump.nb", 'app' ], 'pg_dump -n -b');
$target->safe_psql('postgres', 'CREATE DATABASE with_objects');
$target->safe_psql('with_objects', 'CREATE EXTENSION gpt');
run_log([ 'pg_restore', '-d', $target->connstr('with_objects'), "$dump.nb" ]);
is($target->safe_psql('with_objects', q{SELECT gpt_score('story', 'line 5')}), $node->safe_psql('app', q{SELECT gpt_score('story', 'line 5')}),
	'has models that score the same');

# where the extension already is, in another schema: rows come in by their table's old name, so it must not be there
# before
$target->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$target->safe_psql('elsewhere', 'CREATE SCHEMA "Other"; CREATE EXTENSION gpt SCHEMA "Other"');
my $result = run_log([ 'pg_restore', '-d', $target->connstr('elsewhere'), $dump ]);
ok(!$result, 'pg_restore where the extension is in another schema reports errors');
is($target->safe_psql('elsewhere', 'SELECT count(*) FROM "Other".gpt_models'), '0', 'and brings no models in');

# the extension in a schema of its own
$node->safe_psql('postgres', 'CREATE DATABASE schemas');
$node->safe_psql('schemas', 'CREATE SCHEMA "Odd Name"; CREATE EXTENSION gpt SCHEMA "Odd Name"; CREATE TABLE line AS SELECT \'line \' || i AS body FROM generate_series(1, 50) i');
$node->safe_psql('app', "SELECT gpt_cancel($waiting), gpt_cancel($running)");
my $job = $node->safe_psql('schemas', qq{SELECT "Odd Name".gpt_train('m', 'SELECT body FROM line', '{"steps": 3, "layers": 1, "channels": 32, "tokenizer": "bytes"}')});
$node->safe_psql('schemas', qq{SELECT "Odd Name".gpt_wait($job)});
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.s", 'schemas' ], 'pg_dump with the extension in a schema of its own');
restore_ok($target, 'schemas', 'and pg_restore', "$dump.s");
is( $target->safe_psql('schemas', q{SELECT "Odd Name".gpt_score('m', 'line 5')}),
	$node->safe_psql('schemas', q{SELECT "Odd Name".gpt_score('m', 'line 5')}),
	'give the same score');

done_testing();
