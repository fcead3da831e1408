# test/torture/25_same_name.pl - many sessions at once train a model of one new name, a tokenizer of one name, drop and
# make again: one of them has the name, the others get a documented error, and nothing is left without an owner.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SESSIONS = 30;
my $ROUNDS = share(20, 2);

my $node = start_node('same_name', 1);
$node->append_conf('postgresql.conf', "max_connections = 60\nlog_statement = none\nlog_min_messages = log");
$node->restart;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE piece AS SELECT id, format('{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "%s": 2}}, "pre_tokenizer": {"type": "Split", '
	'"pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false}, "decoder": {"type": "Fuse"}}', chr(99 + id)) AS json FROM generate_series(0, 4) id;
CREATE TABLE outcome (round int, kind text, client int, state text, message text);
CREATE FUNCTION attempt(round int, kind text, client int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	problem text := NULL;
	what text := NULL;
BEGIN
	-- all at once: whoever has the lock in shared mode waits for the driver, who has it in exclusive mode
	PERFORM pg_advisory_xact_lock_shared(1, 1);
	BEGIN
		IF kind = 'train' THEN
			PERFORM gpt_train('model ' || round, 'SELECT body FROM line',
				'{"steps": 2, "layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes"}');
			PERFORM pg_sleep(0.05);    -- so that the others come while this one is not committed
		ELSE
			PERFORM gpt_import_tokenizer('tokenizer ' || round, json) FROM piece WHERE id = client % 5;
			IF client % 10 = 0 THEN PERFORM gpt_drop_tokenizer('tokenizer ' || round); END IF;
		END IF;
	EXCEPTION WHEN OTHERS THEN
		problem := SQLSTATE; what := SQLERRM;
	END;
	INSERT INTO outcome VALUES (round, kind, client, problem, what);
END $$;
SQL
my @target = ('-h', $node->host, '-p', $node->port, '-U', 'postgres', 'postgres');
my $folder = $PostgreSQL::Test::Utils::tmp_check;
my $generation = child_generation($node);

for my $round (1 .. $ROUNDS)
{
	for my $kind (qw(train tokenizer))
	{
		my ($in, $held, $out, $err) = ('', '', '', '');
		my $driver = IPC::Run::start [ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres' ], '<', \$in, '>', \$held;

		$in = "SELECT pg_advisory_lock(1, 1);\nSELECT 'held';\n";
		$driver->pump until $held =~ /held/;
		open my $file, '>', "$folder/attempt.sql" or die $!;
		print $file "SELECT attempt($round, '$kind', :client_id);\n";
		close $file;
		my $clients = IPC::Run::start [ 'pgbench', '-n', '-c', $SESSIONS, '-t', 1, '-f', "$folder/attempt.sql", @target ], '>', \$out, '2>', \$err;
		$node->poll_query_until('postgres', "SELECT count(*) = $SESSIONS FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 1 AND objid = 1")
		  or die "the sessions do not wait: $err";
		$driver->finish;
		$clients->finish;
	}
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM gpt_jobs WHERE state IN ('queued', 'running')");
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM outcome'), 2 * $ROUNDS * $SESSIONS, 'every attempt came back');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT state || ' ' || message, E'\\n') FROM outcome WHERE state !~ '^(42710|55006|42704)\$'"), '', 'with success or a documented error');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT round FROM outcome WHERE kind = 'train' AND state IS NULL GROUP BY round HAVING count(*) = 1) o}), $ROUNDS, 'one session of all has the name');
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT model) FROM gpt_jobs WHERE state = 'succeeded'}), "$ROUNDS $ROUNDS", 'whose job makes the model');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM outcome WHERE kind = 'tokenizer' AND state IS NULL}), '>=', $ROUNDS, 'a tokenizer is made by those who wait for one another');
is($node->safe_psql('postgres', 'SELECT count(*) FROM gpt_tokenizers WHERE object NOT IN (SELECT oid FROM pg_largeobject_metadata)'), '0', 'every name of a tokenizer has its object');
# What is unused goes with the next tokenizer that is dropped.
$node->safe_psql('postgres', q{SELECT gpt_import_tokenizer('last', json) FROM piece LIMIT 1; SELECT gpt_drop_tokenizer('last')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM gpt_tokenizer t WHERE kind <> 'bytes' AND NOT EXISTS (SELECT FROM gpt_tokenizer_name n WHERE n.sha256 = t.sha256)
	AND NOT EXISTS (SELECT FROM gpt_version v WHERE v.tokenizer = t.sha256)}), '0', 'and every tokenizer its name');
is(child_generation($node), $generation, 'the server never restarted');
nothing_is_left($node);
check_is_clean($node);
log_is_clean($node);
report_load(sprintf('%d times %d sessions want one name', 2 * $ROUNDS, $SESSIONS));
done_testing();
