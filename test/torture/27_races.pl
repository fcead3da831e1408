# test/torture/27_races.pl - two sessions change models of one name, or of two names, at the same moment: each pair of
# what can be done to a model. Each round ends with a clean gpt_check: no version without a model, no adapter without a
# base, no object without a row.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $is_short = ($ENV{TORTURE_SHARE} // 100) < 10;
my $ROUNDS = $is_short ? 3 : share(500);
my $RACES = $is_short ? 30 : 18; # of a round, of all pairs on one name and on two, in turn: three or five rounds have them all
my $QUICK = $is_short ? 3 : 1; # times a round those without jobs besides

my $node = start_node('races', 1);
$node->append_conf('postgresql.conf', "log_statement = none\nlog_min_messages = log\ngpt.max_workers = 3\nfsync = off\nmax_locks_per_transaction = 256");
$node->restart;
$node->safe_psql('postgres', <<'SQL');
SELECT gpt_train('full', 'SELECT body FROM line WHERE id < 20',
	'{"steps": 1, "layers": 1, "heads": 1, "channels": 8, "context": 16, "tokenizer": "bytes", "validation_fraction": 0}');
SELECT gpt_wait(max(job)) FROM gpt_jobs;
SELECT gpt_finetune('full', 'SELECT body FROM line WHERE id < 20', '{"steps": 1, "method": "lora", "rank": 1, "into": "adapter"}');
SELECT gpt_wait(max(job)) FROM gpt_jobs;
CREATE ROLE reader;
CREATE TABLE race (round int, race int, session int, kind text, name text, other text, late float8, PRIMARY KEY (round, race, session));
CREATE TABLE outcome (round int, race int, session int, state text, message text);

CREATE FUNCTION act(kind text, name text, other text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	rows text := 'SELECT body FROM line WHERE id < 20';
	small jsonb := '{"steps": 1, "tokenizer": "bytes", "validation_fraction": 0, "layers": 1, "heads": 1, "channels": 8, "context": 16}';
BEGIN
	CASE kind
		WHEN 'train' THEN PERFORM gpt_train(other, rows, small);
		WHEN 'finetune' THEN PERFORM gpt_finetune(name, rows, jsonb_build_object('steps', 1, 'into', other, 'if_running', 'queue', 'keep_versions', 1));
		WHEN 'publish' THEN PERFORM gpt_finetune(name, rows, jsonb_build_object('steps', 1, 'method', 'lora', 'into', other));
		WHEN 'copy' THEN PERFORM gpt_copy_model(name, other);
		WHEN 'rename' THEN PERFORM gpt_rename_model(name, other);
		WHEN 'drop' THEN PERFORM gpt_drop_model(name, length(name) % 2 = 0);
		WHEN 'merge' THEN PERFORM gpt_merge(name);
		WHEN 'rollback' THEN PERFORM gpt_rollback(name, 1);
		WHEN 'grant' THEN PERFORM gpt_grant(name, 'reader');
	END CASE;
END $$;

-- The races of a round, one every 12 ms: each session begins at the same time, or one of them so much later that jobs publish.
CREATE PROCEDURE race(what int, who int, start timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	r record;
	problem text;
	said text;
BEGIN
	FOR r IN SELECT * FROM race WHERE round = what AND session = who ORDER BY race LOOP
		PERFORM pg_sleep(extract(epoch FROM start + (r.race * 12 + r.late) * interval '1 ms' - clock_timestamp()));
		BEGIN
			problem := NULL;
			PERFORM act(r.kind, r.name, r.other);
		EXCEPTION WHEN OTHERS THEN
			problem := SQLSTATE; said := SQLERRM;
		END;
		COMMIT;
		INSERT INTO outcome VALUES (r.round, r.race, who, problem, CASE WHEN problem IS NOT NULL THEN said END);
		COMMIT;
	END LOOP;
END $$;

-- What is there before: of name a full version, an adapter of "full", or an adapter of the other name's; of the other name nothing or a version.
CREATE PROCEDURE prepare(what int) LANGUAGE plpgsql AS $$
DECLARE
	r record;
	form int;
	other text;
BEGIN
	FOR r IN SELECT DISTINCT round, race FROM race WHERE round = what LOOP
		form := random() * 5;
		other := 'y' || r.race;
		PERFORM gpt_copy_model(CASE WHEN form < 2 THEN 'full' ELSE 'adapter' END, 'x' || r.race);
		IF form % 2 = 0 THEN
			PERFORM gpt_copy_model('full', other);
			-- as if it had been trained from there: the content is the same
			UPDATE gpt_version SET base = other WHERE model = 'x' || r.race AND base = 'full';
		END IF;
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE clean() LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	LOOP
		name := (SELECT model FROM gpt_models WHERE model NOT IN ('full', 'adapter') ORDER BY base IS NULL, model LIMIT 1);
		EXIT WHEN name IS NULL;
		PERFORM gpt_drop_model(name, true);
		COMMIT;
	END LOOP;
	PERFORM gpt_forget_jobs('0');
END $$;
SQL

my @kinds = qw(train finetune publish copy rename drop merge rollback grant);
my @pairs = map { my $first = $_; map { [ $kinds[$first], $kinds[$_] ] } $first .. $#kinds } 0 .. $#kinds;
my @races = map { my $pair = $_; map { [ @$pair, $_ ] } 1, 2 } @pairs;
my @quick = grep { $_->[0] =~ /copy|rename|drop|merge/ && $_->[1] =~ /copy|rename|drop|merge/ } @races;
my $generation = child_generation($node);
my @connection = ('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres');
my (@unclean, $n_races);

for my $round (1 .. $ROUNDS)
{
	my @values;
	my @these = ((map { $races[ (($round - 1) * $RACES + $_) % @races ] } 0 .. $RACES - 1), (@quick) x $QUICK);

	for my $race (1 .. @these)
	{
		my ($first, $second, $n_names) = @{ $these[ $race - 1 ] };
		my @late = ($race <= $RACES && rand(3) < 1 ? rand(60) : rand(2), rand(2));
		my ($x, $y) = ("x$race", "y$race");

		push @values, "($round, $race, 1, '$first', '$x', '$y', $late[0])",
		  $n_names == 1 ? "($round, $race, 2, '$second', '$x', '$y', $late[1])" : "($round, $race, 2, '$second', '$y', '$x', $late[1])";
		$n_races++;
	}
	$node->safe_psql('postgres', 'INSERT INTO race VALUES ' . join(', ', @values) . "; CALL prepare($round)");
	my $start = $node->safe_psql('postgres', q{SELECT clock_timestamp() + interval '80 ms'});
	my @sessions = map { IPC::Run::start([ @connection, '-c', "CALL race($round, $_, '$start')" ], '<', \undef, '>', \my $out, '2>', \my $err) } 1, 2;
	$_->finish for @sessions;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM gpt_jobs WHERE state IN ('queued', 'running')") or die 'jobs do not end';
	my $wrong = $node->safe_psql('postgres', q{SELECT string_agg(kind || ' ' || object, ', ') FROM gpt_check(true)});
	push @unclean, "round $round: $wrong" if $wrong ne '';
	$node->safe_psql('postgres', 'CALL clean()');
}

is(join("\n", @unclean), '', 'every round ends with a clean gpt_check');
is($node->safe_psql('postgres', 'SELECT count(*) FROM outcome'), 2 * $n_races, 'every session came back');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT state || ' ' || message, E'\\n') FROM outcome WHERE state NOT IN ('42704', '42710', '55006', '55000', '2BP01')"),
	'', 'with success or a documented error');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT kind, ' ') FROM race r WHERE NOT EXISTS
	(SELECT FROM race s JOIN outcome o USING (round, race, session) WHERE s.kind = r.kind AND o.state IS NULL)}), '', 'and each kind succeeds now and then');
is($node->safe_psql('postgres', 'SELECT string_agg(model, \' \' ORDER BY model) FROM gpt_models'), 'adapter full', 'what is left can be removed');
is(child_generation($node), $generation, 'the server never restarted');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/deadlock detected/, 'nobody waits for each other');
nothing_is_left($node);
log_is_clean($node);
report_load(sprintf('%d races of two sessions for models', $n_races));
done_testing();
