# test/t/028_stats.pl - gpt_stat_models with preload: exact under many sessions and parallel workers, apart for each
# database, gone after a crash.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SESSIONS = 50;
my $ROUNDS = 4;
my $counts = q{SELECT calls, rows, errors, tokens_in, tokens_out, batches, first_tokens, prefix_hits + prefix_misses
	FROM gpt_stat_models WHERE model = 'm'};

my $node = start_node('stats', 1);
$node->append_conf('postgresql.conf', 'max_connections = 70');
$node->restart;
my $job = $node->safe_psql('postgres', q{SELECT gpt_train('m', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 16, "context": 32, "tokenizer": "bytes", "batch_size": 4, "steps": 2,
		"patience": 0, "seed": 1}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a model is trained');

# One round of a session: texts alone and together, an error that is caught, a transaction that is rolled back, one that
# fails in the end.
my $script = $node->basedir . '/calls.sql';
append_to_file($script, <<'SQL');
SELECT gpt_score('m', 'line 5');
SELECT gpt_score('m', ARRAY['line 1', NULL, 'line 2']);
DO $$ BEGIN PERFORM gpt_classify('m', 'line'); EXCEPTION WHEN wrong_object_type THEN NULL; END $$;
BEGIN;
SELECT gpt_generate('m', 'line', 3, temperature => 0, stop => '{}');
SELECT gpt_stream('m', 'line', 3, temperature => 0);
ROLLBACK;
SQL

sub run_sessions
{
	my ($sessions, $rounds) = @_;

	$node->safe_psql('postgres', 'SELECT gpt_stat_reset()');
	$node->command_ok([ 'pgbench', '-n', '-c', $sessions, '-j', 2, '-t', $rounds, '-f', $script, 'postgres' ],
		"$sessions sessions");
	return $node->safe_psql('postgres', $counts);
}
my @one = split(/\|/, run_sessions(1, 1));
is(join(' ', @one[0 .. 2]), '5 5 1', 'one session counts its calls, texts and errors');
is(run_sessions($SESSIONS, $ROUNDS), join('|', map { $_ * $SESSIONS * $ROUNDS } @one),
	"$SESSIONS sessions at once count as many times as much");
is($node->safe_psql('postgres', q{SELECT image_hits + image_misses FROM gpt_stat_models WHERE model = 'm'}),
	$SESSIONS, 'each of them loaded the model');
is($node->safe_psql('postgres', q{SELECT seconds > 0 AND first_token_seconds > 0 AND first_token_seconds < seconds
	AND last_used_at > stats_reset, scope
	FROM gpt_stat_models WHERE model = 'm'}), 't|server', 'time passed');

# an error inside of a call, whose first text has gone to the server's counts: a time-out, which on a busy machine may
# come before that
$node->safe_psql('postgres', q{CREATE TABLE long AS SELECT repeat('line 5 ', 800000) AS body});
my $error;
for my $timeout (100, 400, 1600)
{
	$node->safe_psql('postgres', 'SELECT gpt_stat_reset()');
	(undef, undef, $error) = $node->psql('postgres', "SET statement_timeout = $timeout; 
		SELECT gpt_score('m', ARRAY['line', body]) FROM long");
	last if $node->safe_psql('postgres', q{SELECT rows FROM gpt_stat_models WHERE model = 'm'}) > 0;
}
like($error, qr/statement timeout/, 'a call runs out of time');
is($node->safe_psql('postgres', q{SELECT calls, rows, errors FROM gpt_stat_models WHERE model = 'm'}), '1|1|1',
	'which is an error of the model');

# parallel workers
$node->safe_psql('postgres', 'SELECT gpt_stat_reset()');
like($node->safe_psql('postgres', <<'SQL'), qr/Workers Launched: 2/, 'two workers score');
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off; SET jit = off;
EXPLAIN ANALYZE SELECT count(gpt_score('m', body)) FROM line;
SQL
is($node->safe_psql('postgres', q{SELECT calls, rows FROM gpt_stat_models WHERE model = 'm'}), '400|400', 'and count');

# databases
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE postgres');
is($node->safe_psql('other', q{SELECT calls FROM gpt_stat_models WHERE model = 'm'}), '0',
	'a copy of the database begins with zeros');
$node->safe_psql('other', q{SELECT gpt_score('m', 'line 5')});
my $since = q{SELECT stats_reset FROM gpt_stat_models WHERE model = 'm'};
my $before = $node->safe_psql('postgres', $since);
$node->safe_psql('other', 'SELECT gpt_stat_reset()');
is($node->safe_psql('other', q{SELECT calls FROM gpt_stat_models WHERE model = 'm'}), '0', 'and resets its own counts');
is($node->safe_psql('postgres', q{SELECT calls FROM gpt_stat_models WHERE model = 'm'}), '400',
	'not those of the other');
is($node->safe_psql('postgres', $since), $before, 'whose stats_reset stays');
is($node->safe_psql('other', "SELECT ($since) > '$before'"), 't', 'and is another one');

# a crash of a session
my $pid = $node->safe_psql('postgres', q{SELECT gpt_score('m', 'line 5'); SELECT pid FROM pg_stat_activity
	WHERE backend_type = 'gpt launcher'});
kill 'KILL', (split(/\n/, $pid))[-1];
wait_until_up($node);
is($node->safe_psql('postgres', q{SELECT calls, errors, seconds FROM gpt_stat_models WHERE model = 'm'}), '0|0|0',
	'after a crash counts begin anew');
is($node->safe_psql('postgres', "SELECT ($since) > '$before'"), 't', 'which stats_reset says');
is($node->safe_psql('postgres', q{SELECT gpt_score('m', 'line 5') > 0; SELECT calls FROM gpt_stat_models
	WHERE model = 'm'}), "t\n1", 'and go on');

done_testing();
