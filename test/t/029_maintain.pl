# test/t/029_maintain.pl - a maintained column: kill -9 beside changes, restarts with and without preload, roles,
# copies, rows that others have locked. test/sql/maintain.sql has what one session sees.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_node('maintain', 0);

sub ask { return $node->safe_psql('postgres', shift) }
sub worker { return answer_of($node, 'postgres', q{SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'gpt maintainer'}) }

my $job = ask(q{SELECT gpt_train('odd', 'SELECT body AS text, id % 2 AS label FROM line',
	'{"steps": 3, "layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes"}')});
is(ask("SELECT gpt_wait($job)"), 'succeeded', 'a classifier is trained');
ask(<<'SQL');
CREATE TABLE message (id integer PRIMARY KEY, version integer NOT NULL DEFAULT 1, body text, label text);
INSERT INTO message (id, body) SELECT i, 'message ' || i FROM generate_series(1, 1500) i;
CREATE TABLE computed (id integer, version integer);
-- says what was computed, in the transaction of the worker
CREATE FUNCTION kept(id integer, version integer, label text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO computed VALUES (id, version); RETURN label; END $$;
-- changes rows until there is a table "enough"
CREATE PROCEDURE change() LANGUAGE plpgsql AS $$
BEGIN
	WHILE to_regclass('enough') IS NULL LOOP
		UPDATE message SET version = version + 1, body = 'changed ' || random() WHERE id = 1 + floor(random() * 1500)::integer;
		INSERT INTO message (id, body) SELECT 2000 + count(*), 'new' FROM message;
		COMMIT;
	END LOOP;
END $$;
SQL

# kill -9 while rows change
my $expression = q{kept(id, version, gpt_classify('odd', body))};
is(ask("SELECT gpt_maintain('message', 'label', \$\$$expression\$\$)"), '1', 'a column is maintained');
my $n_kills = 3;
for my $i (1 .. $n_kills)
{
	my ($answer, $error) = ('', '');
	my $changes = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', 'CALL change()' ], '>', \$answer, '2>', \$error);
	my $pid;

	# A worker that dies before it has committed anything, again and again, is not started any more.
	wait_through_restarts($node, "SELECT rows > 100 * ($i - 1) FROM gpt_maintained");
	usleep(20_000) until $pid = worker();
	usleep(10_000 * $i);
	kill 'KILL', $pid;
	eval { $changes->finish };
	wait_until_up($node);
}
answer_of($node, 'postgres', 'CREATE TABLE enough ()');
ok(wait_through_restarts($node, q{SELECT gpt_maintain_wait('message', 'label', '60 s')}), "the column is current after $n_kills times kill -9");
is(ask(q{SELECT count(*) FILTER (WHERE label IS DISTINCT FROM gpt_classify('odd', body)) FROM message}), '0', 'every row is right');
is(ask('SELECT count(*) FROM (SELECT FROM computed GROUP BY id, version HAVING count(*) > 1) c'), '0', 'no row was computed again after its commit');
is(ask('SELECT count(*) > 1500, count(*) = count(label) FROM message'), 't|t', 'rows were inserted meanwhile');

# without preload, a restart leaves rows that wait until somebody asks
ask(q{UPDATE gpt_maintenance SET failed = true; UPDATE message SET body = 'before the restart' WHERE id = 1;});
$node->restart;
ask(q{UPDATE gpt_maintenance SET failed = false});
is(ask(q{SELECT state, waiting, lag > '0 s' FROM gpt_maintained}), 'behind|1|t', 'a changed row waits');
is(ask('SELECT gpt_maintain_run()'), '1', 'gpt_maintain_run finds it');
is(ask(q{SELECT gpt_maintain_wait('message', 'label', '60 s'); SELECT state, lag FROM gpt_maintained}), "t\ncurrent|", 'and starts the worker');

# a row that another session has locked holds nobody up
my $locker = $node->background_psql('postgres');
$locker->query_safe(q{BEGIN; UPDATE message SET body = 'locked' WHERE id = 2});
ask(q{UPDATE message SET body = 'beside it' WHERE id = 3; UPDATE gpt_maintenance SET generation = generation});
ask(q{INSERT INTO gpt_mark SELECT nextval('gpt_mark_mark_seq'), 1, 0, '2', now(), 0});
ask(q{UPDATE message SET version = version WHERE id = 4; UPDATE message SET body = 'starts the worker' WHERE id = 4});
ok($node->poll_query_until('postgres', q{SELECT label = gpt_classify('odd', body) AND NOT EXISTS (SELECT FROM gpt_mark WHERE key = '4') FROM message WHERE id = 4}),
	'other rows are computed meanwhile');
ok($node->poll_query_until('postgres', q{SELECT phase = 1 FROM gpt_mark WHERE key = '2'}), 'a locked row is left for later');
$locker->query_safe('COMMIT');
$locker->quit;
is(ask(q{SELECT gpt_maintain_wait('message', 'label', '60 s')}), 't', 'and computed then');
is(ask(q{SELECT label = gpt_classify('odd', 'locked') FROM message WHERE id = 2}), 't', 'with its new text');

# roles: the worker is the owner of the table, whoever calls and whoever inserts
ask(<<'SQL');
CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN;
GRANT CREATE ON SCHEMA public TO alice; GRANT EXECUTE ON FUNCTION gpt_maintain(regclass, text, text, jsonb) TO alice, bob;
SET ROLE alice;
CREATE TABLE hers (id integer PRIMARY KEY, body text, who text);
GRANT INSERT, SELECT, TRIGGER ON hers TO bob;
RESET ROLE;
SELECT gpt_maintain('hers', 'who', $$session_user || ' ' || current_user || ' ' || body$$);
SET ROLE bob;
INSERT INTO hers VALUES (1, 'by bob');
SQL
is(ask(q{SELECT gpt_maintain_wait('hers', 'who', '60 s'); SELECT who FROM hers}), "t\nalice alice by bob", 'the expression of a superuser runs as the owner of the table');
my ($status, $out, $error) = $node->psql('postgres', q{SET ROLE bob; SELECT gpt_maintain('hers', 'who', 'body')});
like($error, qr/must be owner of table "hers"/, 'a role that owns no table maintains none');
is(ask(q{SET ROLE bob; SELECT count(*) FROM gpt_maintained; SELECT gpt_maintain_run()}), "0\n0", 'nor sees those of others');
is(ask(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'alice'}), 't', 'a worker ends when it is told to');
ask(q{ALTER ROLE alice NOLOGIN; INSERT INTO hers VALUES (2, 'too late')});
ok($node->poll_query_until('postgres', q{SELECT state = 'failed' FROM gpt_maintained WHERE relation = 'hers'::regclass}), 'an owner that cannot log in stops the maintenance');
is(ask(q{SELECT last_error FROM gpt_maintained WHERE relation = 'hers'::regclass}), 'its owner "alice" is not permitted to log in', 'which says why');
is(ask(q{ALTER ROLE alice LOGIN; SET ROLE alice; SELECT gpt_maintain_run(); SELECT gpt_maintain_wait('hers', 'who', '60 s'); SELECT who FROM hers WHERE id = 2}),
	"1\nt\nalice alice too late", 'gpt_maintain_run tries again');

# a filling that met a lock on the table goes on by itself
ask('CREATE TABLE held (id integer PRIMARY KEY, body text, label text); INSERT INTO held VALUES (1, \'one\')');
$locker = $node->background_psql('postgres');
$locker->query_safe("BEGIN; SELECT gpt_maintain('held', 'label', 'upper(body)'); COMMIT; BEGIN; LOCK TABLE held");
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'held'::regclass AND NOT granted});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_locks WHERE relation = 'held'::regclass AND NOT granted});
$locker->query_safe('COMMIT');
$locker->quit;
is(ask(q{SELECT gpt_maintain_wait('held', 'label', '20 s'); SELECT label FROM held; DROP TABLE held}), "t\nONE", 'a filling goes on after a lock on the table');

# another owner's triggers never run as the role of before
ask(<<'SQL');
GRANT CREATE ON SCHEMA public TO bob;
CREATE TABLE given (id integer PRIMARY KEY, body text, label text);
INSERT INTO given VALUES (1, 'one');
CREATE TABLE split (id integer PRIMARY KEY, body text, label text) PARTITION BY RANGE (id);
CREATE TABLE split1 PARTITION OF split FOR VALUES FROM (0) TO (100);
CREATE TABLE ran (as_role text); GRANT INSERT ON ran TO public;
SQL
ask("SELECT gpt_maintain('$_', 'label', 'upper(body)'); SELECT gpt_maintain_wait('$_', 'label', '60 s')") for 'given', 'split';
ask(<<'SQL');
ALTER TABLE given OWNER TO bob;
ALTER TABLE split1 OWNER TO bob;
SET ROLE bob;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (current_user); RETURN NEW; END$$;
CREATE TRIGGER tell BEFORE UPDATE ON given FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER tell BEFORE UPDATE ON split1 FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO given VALUES (2, 'two');
INSERT INTO split1 VALUES (2, 'two');
SQL
for my $table ('given', 'split')
{
	$node->poll_query_until('postgres', "SELECT tries > 0 FROM gpt_maintenance WHERE relation = '$table'::regclass");
	like(ask("SELECT error FROM gpt_maintenance WHERE relation = '$table'::regclass"), qr/^role "\w+" no longer owns table "(given|split1)"/,
		"the maintenance of $table stops when an owner changes");
}
is(ask('SELECT count(*) FROM ran'), '0', 'and no trigger ran');
is(ask(q{GRANT EXECUTE ON FUNCTION tell() TO public; SELECT gpt_maintain('given', 'label', 'upper(body)');
	SELECT gpt_maintain_wait('given', 'label', '60 s'); SELECT DISTINCT as_role FROM ran; SELECT label FROM given WHERE id = 2; DROP TABLE given, split, ran}) =~ s/^\d+\n//r,
	"t\nbob\nTWO", 'called again, the worker is the new owner');

# a copy does nothing before gpt_maintain is called there, and then goes on
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'a database is dumped');
ask('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', $dump ], 'and restored');
is($node->safe_psql('copy', q{SELECT relation, state, owner FROM gpt_maintained ORDER BY relation::text}), "hers|copied|\nmessage|copied|", 'its columns are copies');
is($node->safe_psql('copy', q{INSERT INTO message (id, body) VALUES (-1, 'in the copy'); SELECT gpt_maintain_run(); SELECT waiting FROM gpt_maintained WHERE waiting > 0}),
	"0\n1", 'rows are marked there, and wait');
$node->safe_psql('copy', "SELECT gpt_maintain('message', 'label', \$\$$expression\$\$)");
is($node->safe_psql('copy', q{SELECT gpt_maintain_wait('message', 'label', '60 s'); SELECT count(*) = (SELECT count(*) FROM message) FROM message WHERE label = gpt_classify('odd', body);
	SELECT count(*) FROM computed WHERE id = -1}), "t\nt\n1", 'until gpt_maintain is called');
is($node->safe_psql('copy', 'SELECT count(*) FROM (SELECT FROM computed WHERE id NOT BETWEEN 1 AND 5 GROUP BY id, version HAVING count(*) > 1) c'),
	'0', 'which computes no row again');
$node->safe_psql('copy', q{SELECT gpt_unmaintain('message', 'label')});

# with preload, the launcher starts the worker after a restart
ask(q{UPDATE gpt_maintenance SET failed = true; UPDATE message SET body = 'before the second restart' WHERE id = 5; UPDATE gpt_maintenance SET failed = false});
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt'");
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT state = 'current' FROM gpt_maintained WHERE relation = 'message'::regclass}), 'with preload a worker starts by itself');

# the end, while the worker is at work
ask(q{UPDATE message SET body = body || '!'});
is(ask(q{SELECT gpt_unmaintain('message', 'label')}), 't', 'a maintenance ends while rows wait');
is(ask(q{SELECT count(*) FROM gpt_mark; SELECT count(*) FROM pg_trigger WHERE tgrelid = 'message'::regclass}), "0\n0", 'without marks and triggers');
ask(q{SELECT gpt_maintain('message', 'label', 'body'); DROP TABLE message});
is(ask(q{SELECT count(*) FROM gpt_maintained WHERE relation::text = 'message'}), '0', 'a table is dropped while it is filled');
done_testing();
