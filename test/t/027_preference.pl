# test/t/027_preference.pl - a training on preferences that was interrupted keeps what its base says; and the gate of
# publish_if decides once, whatever happens while it compares.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('preference', 1);
my $steps = 60;

$node->safe_psql('postgres', <<'SQL');
ALTER SYSTEM SET gpt.checkpoint_interval = 0;
SELECT pg_reload_conf();
CREATE TABLE answer AS SELECT 'question ' || i AS prompt, md5(i::text) || ' yes' AS chosen, md5((i + 1)::text) || ' no, not at all' AS rejected
	FROM generate_series(1, 300) i;
CREATE TABLE noise AS SELECT md5((i * 3)::text) AS body FROM generate_series(1, 300) i;
-- a row that is measured only while nobody holds the lock
CREATE FUNCTION is_open() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN true; END$$;
SQL

sub ended
{
	my ($job) = @_;

	return answer_of($node, 'postgres', "SELECT gpt_wait($job, '300 s')");
}

# The tensors of a version: what stands behind the header, which names the run.
sub weights
{
	my ($model, $version) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT encode(sha256(substr(object, 9 + get_byte(object, 0) + 256 * get_byte(object, 1) + 65536 * get_byte(object, 2))), 'hex')
		FROM (SELECT lo_get(weights) AS object FROM gpt_versions WHERE model = '$model' AND version = $version) m});
}

sub losses
{
	my ($job) = @_;

	return $node->safe_psql('postgres', "SELECT string_agg(step || ':' || validation_loss || (measures ->> 'kl_per_token'), ' ' ORDER BY step)
		FROM gpt_train_log WHERE job = $job AND validation_loss IS NOT NULL");
}

sub prefer
{
	my ($into) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('base', 'SELECT prompt, chosen, rejected FROM answer',
		'{"into": "$into", "steps": $steps, "batch_size": 4, "patience": 0}')});
}

is(ended(submit($node, 'base', 20)), 'succeeded', 'a base is trained');

# preferences: undisturbed, and cancelled and resumed
my $job = prefer('whole');
is(ended($job), 'succeeded', 'preferences are learnt');
my $reference = weights('whole', 1);
my $reference_losses = losses($job);
$job = prefer('cancelled');
cancel_held($node, $job, hold_at_step($node, $job, 20));
is(ended($job), 'cancelled', 'a job is cancelled');
$node->safe_psql('postgres', "SELECT gpt_resume($job)");
is(ended($job), 'succeeded', 'and resumed');
is(weights('cancelled', 1), $reference, 'its weights are those of the undisturbed run');
is(losses($job), $reference_losses, 'and so are losses and divergence');
# what the base says of other rows is not known
$job = prefer('changed');
cancel_held($node, $job, hold_at_step($node, $job, 20));
is(ended($job), 'cancelled', 'a job is cancelled');
unlink glob($node->data_dir . '/gpt/*.tokens');
$node->safe_psql('postgres', "DELETE FROM answer WHERE prompt = 'question 7'; SELECT gpt_resume($job)");
is(ended($job), 'failed', 'without its token file it cannot go on');
like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"), qr/^rows of query have changed since the training began/, 'if rows have changed');

# the gate: killed while it compares
sub gate
{
	my ($into, $rows) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('base', 'SELECT body FROM $rows', '{"into": "$into", "steps": 60, "batch_size": 8,
		"learning_rate": 0.003, "patience": 0, "publish_if": "better", "publish_query": "SELECT body FROM line WHERE id <= 20 AND is_open()"}')});
}

sub versions
{
	my ($model) = @_;

	return $node->safe_psql('postgres', "SELECT string_agg(version || ' ' || state || CASE WHEN current THEN ' current' ELSE '' END, ', ' ORDER BY version)
		FROM gpt_versions WHERE model = '$model'");
}

for my $case (['better', 'line', '1 final, 2 final current'], ['worse', 'noise', '1 final current, 2 candidate'])
{
	my ($name, $rows, $wanted) = @$case;

	$node->safe_psql('postgres', "SELECT gpt_copy_model('base', 'undisturbed_$name'); SELECT gpt_copy_model('base', '$name')");
	is(ended(gate("undisturbed_$name", $rows)), 'succeeded', "$name weights are compared");
	is(versions("undisturbed_$name"), $wanted, 'and decided on');

	$job = gate($name, $rows);
	my $held = hold_in_training($node, $job);
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(77)');
	let_go($held);
	wait_through_restarts($node, "SELECT EXISTS (SELECT FROM gpt_stat_progress_train WHERE job = $job AND phase = 'comparing with the current version')");
	like(versions($name), qr/2 partial/, 'while it compares, the version is partial');
	kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM gpt_stat_progress_train WHERE job = $job");
	eval { $holder->quit };
	wait_until_up($node);
	is(ended($job), 'succeeded', 'killed there, the job goes on');
	like(versions($name), $name eq 'better' ? qr/^1 final, \d final current$/ : qr/^1 final current, \d candidate$/, 'and decides alike');
	is(weights($name, (versions($name) =~ /, (\d)/)[0]), weights("undisturbed_$name", 2), 'on the same weights');
}

nothing_is_left($node);
$node->stop;
done_testing();
