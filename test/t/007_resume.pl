# test/t/007_resume.pl - checkpoints: a run that was interrupted and continued ends in the weights of one that was not.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('resumed', 1);
my $steps = 200;
my $shape = '"layers": 2, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "batch_size": 8, "patience": 0';
set(checkpoint_interval => 0, checkpoint_retention => 3600);

sub set
{
	my (%settings) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET gpt.$_ = '$settings{$_}'") for keys %settings;
	$node->reload;
}

# A step takes a few milliseconds, half of them for its checkpoint.
sub submit_small
{
	my ($model, $n) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_train('$model', 'SELECT body FROM line', '{"steps": $n, $shape}')});
}

# Cancels a job at a step, for certain.
sub cancel_at
{
	my ($job, $step) = @_;

	cancel_held($node, $job, hold_at_step($node, $job, $step));
}

# The tensors of a model: what stands behind the header, which names the run.
sub weights
{
	my ($model) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT encode(sha256(substr(object, 9 + get_byte(object, 0) + 256 * get_byte(object, 1) + 65536 * get_byte(object, 2))), 'hex')
		FROM (SELECT lo_get(weights) AS object FROM gpt_models WHERE model = '$model') m});
}

# The losses of the log by step, where validation made a row: those rows do not depend on time.
sub losses
{
	my ($job) = @_;

	return $node->safe_psql('postgres', "SELECT string_agg(step || ':' || validation_loss, ' ' ORDER BY step) FROM gpt_train_log
		WHERE job = $job AND validation_loss IS NOT NULL");
}

sub ended
{
	my ($job) = @_;

	return answer_of($node, 'postgres', "SELECT gpt_wait($job, '300 s')");
}

sub continued_at
{
	my ($job, $offset) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);

	return $log =~ /job $job of gpt continues at step (\d+)/ ? $1 : 0;
}

sub log_offset { return -s $node->logfile; }

sub file_of
{
	my ($job, $extension) = @_;
	my $id = $node->safe_psql('postgres', "SELECT run_id FROM gpt_job WHERE job = $job");

	return $node->data_dir . "/gpt/pgsql_tmp_$id.$extension";
}

my $reference_job = submit_small('reference', $steps);
is(ended($reference_job), 'succeeded', 'an undisturbed run');
my $reference = weights('reference');
my $reference_losses = losses($reference_job);
like($reference, qr/^[0-9a-f]{64}$/, 'has weights');
is(scalar(files_of_jobs($node)), 0, 'a success leaves no file');

# cancel and resume
my $job = submit_small('cancelled', $steps);
cancel_at($job, 20);
is(ended($job), 'cancelled', 'a job is cancelled');
ok(-f file_of($job, 'ckpt') && -f file_of($job, 'tokens'), 'and keeps its files');
is(scalar(grep { /\.tmp$/ } files_of_jobs($node)), 0, 'but nothing half-written');
my $offset = log_offset();
is($node->safe_psql('postgres', "SELECT gpt_resume($job)"), 't', 'gpt_resume takes it up');
is(ended($job), 'succeeded', 'gpt_resume continues it');
cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
is(weights('cancelled'), $reference, 'its weights are those of the undisturbed run');
is(losses($job), $reference_losses, 'and so are the losses of its log');
is($node->safe_psql('postgres', "SELECT data_changed FROM gpt_jobs WHERE job = $job"), 'f', 'its rows have not changed');

# kill -9 of the worker, twice
$job = submit_small('killed', $steps);
$offset = log_offset();
for my $step (20, 100)
{
	kill_held(hold_at_step($node, $job, $step));
}
is(ended($job), 'succeeded', 'a job whose worker was killed twice succeeds');
cmp_ok(continued_at($job, $offset), '>=', 15, 'having continued');
is(weights('killed'), $reference, 'its weights are those of the undisturbed run');
is(losses($job), $reference_losses, 'and so are its losses');

# shutdowns
for my $mode ('immediate', 'fast')
{
	$job = submit_small("stopped_$mode", $steps);
	my $held = hold_at_step($node, $job, 20);
	$node->stop($mode);
	let_go($held);
	$offset = log_offset();
	$node->start;
	is(ended($job), 'succeeded', "a job goes on after a shutdown in mode $mode");
	cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
	is(weights("stopped_$mode"), $reference, 'its weights are those of the undisturbed run');
}

# before the first checkpoint with weights
set(checkpoint_interval => 3600);
$job = submit_small('early', $steps);
cancel_held($node, $job, hold_in_training($node, $job));
is(ended($job), 'cancelled', 'a job is cancelled before its first checkpoint');
$node->safe_psql('postgres', 'UPDATE line SET body = upper(body)');
is($node->safe_psql('postgres', "SELECT gpt_resume($job)"), 't', 'gpt_resume takes it up');
is(ended($job), 'succeeded', 'and continued, on the rows that it read before they were changed');
is(weights('early'), $reference, 'its weights are those of the undisturbed run');
$node->safe_psql('postgres', 'UPDATE line SET body = lower(body)');
set(checkpoint_interval => 0);

# a token file that is lost: the rows are read again
for my $changed (0, 1)
{
	$job = submit_small("lost_$changed", $steps);
	cancel_at($job, 20);
	is(ended($job), 'cancelled', 'a job is cancelled');
	unlink file_of($job, 'tokens') or die $!;
	$node->safe_psql('postgres', "UPDATE line SET body = body || '!'") if $changed;
	$node->safe_psql('postgres', "SELECT gpt_resume($job)");
	is(ended($job), 'succeeded', 'it is continued without its token file');
	is($node->safe_psql('postgres', "SELECT data_changed FROM gpt_jobs WHERE job = $job"), $changed ? 't' : 'f', 'and its row says whether the rows are others');
	if ($changed) { isnt(weights("lost_$changed"), $reference, 'other rows give other weights'); }
	else { is(weights("lost_$changed"), $reference, 'the same rows give the same weights'); }
}
$node->safe_psql('postgres', "UPDATE line SET body = left(body, -1)");

# damaged files
for my $extension ('ckpt', 'tokens')
{
	$job = submit_small("damaged_$extension", $steps);
	cancel_at($job, 20);
	is(ended($job), 'cancelled', 'a job is cancelled');
	my $file = file_of($job, $extension);
	open(my $handle, '+<:raw', $file) or die $!;
	seek($handle, int((-s $file) / 2), 0);
	read($handle, my $byte, 1);
	seek($handle, int((-s $file) / 2), 0);
	print $handle chr(ord($byte) ^ 16);
	close $handle;
	$node->safe_psql('postgres', "SELECT gpt_resume($job)");
	is(ended($job), 'failed', "it does not continue from a damaged .$extension");
	like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"), qr/gpt\/pgsql_tmp_.*\.$extension" is corrupted\n.*\nHINT/s, 'and says so');
	unlink $file or die $!;
	$node->safe_psql('postgres', "SELECT gpt_resume($job)");
	is(ended($job), 'succeeded', 'without the file it succeeds');
	is(weights("damaged_$extension"), $reference, 'with the weights of the undisturbed run');
}

# a fine-tune
sub finetune
{
	my ($into) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('reference', 'SELECT reverse(body) AS body FROM line',
		'{"steps": $steps, "batch_size": 8, "patience": 0, "into": "$into"}')});
}

is(ended(finetune('tuned')), 'succeeded', 'an undisturbed fine-tune');
isnt(weights('tuned'), $reference, 'changes the weights');
$job = finetune('tuned_killed');
$offset = log_offset();
kill_held(hold_at_step($node, $job, 20));
wait_until_up($node);
is(ended($job), 'succeeded', 'one whose worker was killed succeeds');
cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
is(weights('tuned_killed'), weights('tuned'), 'with the weights of the undisturbed one');
set(checkpoint_interval => 3600);
$job = finetune('tuned_early');
kill_held(hold_in_training($node, $job));
wait_until_up($node);
is(ended($job), 'succeeded', 'one whose worker was killed before its first checkpoint succeeds');
is(weights('tuned_early'), weights('tuned'), 'with the weights of the undisturbed one');
set(checkpoint_interval => 0);

# an adapter: its base is read again, and its own matrices come from the checkpoint
sub adapt
{
	my ($base, $into) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('$base', 'SELECT reverse(body) AS body FROM line',
		'{"method": "lora", "rank": 4, "lora_dropout": 0.1, "steps": $steps, "batch_size": 8, "patience": 0, "into": "$into"}')});
}

is(ended(adapt('reference', 'adapted')), 'succeeded', 'an undisturbed training of an adapter');
$job = adapt('reference', 'adapted_killed');
$offset = log_offset();
kill_held(hold_at_step($node, $job, 20));
wait_until_up($node);
is(ended($job), 'succeeded', 'one whose worker was killed succeeds');
cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
is(weights('adapted_killed'), weights('adapted'), 'with the matrices of the undisturbed one');
is($node->safe_psql('postgres', q{SELECT DISTINCT base FROM gpt_models WHERE model LIKE 'adapted%'}), 'reference@1', 'beside the same base');
is(ended(adapt('adapted', 'further')), 'succeeded', 'an undisturbed training of an adapter from an adapter');
$job = adapt('adapted', 'further_cancelled');
cancel_at($job, 20);
is(ended($job), 'cancelled', 'one is cancelled');
$node->safe_psql('postgres', q{SELECT gpt_rename_model('reference', 'renamed')});
$node->safe_psql('postgres', "SELECT gpt_resume($job)");
is(ended($job), 'succeeded', 'and goes on, under the new name of its base');
is(weights('further_cancelled'), weights('further'), 'with the matrices of the undisturbed one');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT base, ' ') FROM gpt_models WHERE base IS NOT NULL}), 'renamed@1', 'which all adapters rest on');
$node->safe_psql('postgres', q{SELECT gpt_rename_model('renamed', 'reference')});

# the name of an adapter's base means another model by now, of another shape or of the same
for my $channels (32, 64)
{
	my $other = qq{SELECT gpt_train('base', 'SELECT body FROM line',
		'{"steps": 5, "seed": $channels, "layers": 2, "heads": 2, "channels": $channels, "context": 64, "tokenizer": "bytes"}')};

	is(ended(submit_small('base', 5)), 'succeeded', 'a base is trained');
	$job = adapt('base', "orphan_$channels");
	cancel_at($job, 20);
	is(ended($job), 'cancelled', 'an adapter beside it is cancelled');
	$node->safe_psql('postgres', q{SELECT gpt_drop_model('base')});
	is(ended($node->safe_psql('postgres', $other)), 'succeeded', "another model of $channels channels gets the name");
	$node->safe_psql('postgres', "SELECT gpt_resume($job)");
	is(ended($job), 'failed', 'the adapter does not go on beside that one');
	like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job"), qr/^model "base", version 1, is not the one that the training started from/, 'and says so');
	is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_models WHERE model = 'orphan_$channels'"), '0', 'nothing is published');
	$node->safe_psql('postgres', q{SELECT gpt_drop_model('base')});
}

# A classifier's token file is lost, and the rows have fewer labels than the classifier. Its hashed n-grams make each
# checkpoint 100 MB, so it has few steps, and checkpoints only where it is disturbed.
sub classify
{
	my ($into) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('labelled', 'SELECT body AS text, (ARRAY[''b'', ''c''])[1 + id % 2] AS label FROM line',
		'{"steps": 20, "batch_size": 8, "patience": 0, "into": "$into"}')});
}

set(checkpoint_interval => 3600);
is(ended($node->safe_psql('postgres', q{SELECT gpt_finetune('reference', 'SELECT body AS text, (ARRAY[''a'', ''b'', ''c''])[1 + id % 3] AS label FROM line',
	'{"steps": 5, "batch_size": 8, "patience": 0, "into": "labelled"}')})), 'succeeded', 'a classifier of three labels');
is(ended(classify('relabelled')), 'succeeded', 'an undisturbed fine-tune on two of them');
set(checkpoint_interval => 0);
$job = classify('relabelled_lost');
cancel_at($job, 5);
is(ended($job), 'cancelled', 'one is cancelled');
set(checkpoint_interval => 3600);
unlink file_of($job, 'tokens') or die $!;
$node->safe_psql('postgres', "SELECT gpt_resume($job)");
is(ended($job), 'succeeded', 'it is continued without its token file');
is(weights('relabelled_lost'), weights('relabelled'), 'with the weights of the undisturbed one');
is($node->safe_psql('postgres', q{SELECT string_agg(label, ' ' ORDER BY label) FROM gpt_classify_probs('relabelled_lost', 'line 7')}), 'a b c', 'of three labels');
set(checkpoint_interval => 0);

# a fine-tune on what is new, whose base's version is removed meanwhile
sub tune_since
{
	my ($into) = @_;

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('seen', 'SELECT id, body FROM line',
		'{"since": "watermark", "replay": 0.3, "steps": $steps, "batch_size": 8, "patience": 0, "into": "$into"}')});
}

is(ended($node->safe_psql('postgres', qq{SELECT gpt_train('seen', 'SELECT id, body FROM line WHERE id <= 200',
	'{"watermark": "id", "steps": 20, $shape}')})), 'succeeded', 'a base');
is(ended(tune_since('new')), 'succeeded', 'an undisturbed fine-tune on what is new');
my %halves;
for my $into ('new_killed', 'new_lost')
{
	$halves{$into} = tune_since($into);
	cancel_at($halves{$into}, 20);
	is(ended($halves{$into}), 'cancelled', 'one is cancelled');
}
$job = $halves{new_killed};
my $lost = $halves{new_lost};
is(ended($node->safe_psql('postgres', q{SELECT gpt_finetune('seen', 'SELECT body FROM line', '{"steps": 2, "keep_versions": 1}')})), 'succeeded', 'its base gets a new version');
is($node->safe_psql('postgres', q{SELECT string_agg(version::text, ' ') FROM gpt_versions WHERE model = 'seen'}), '2', 'and loses the one that it started from');
$node->safe_psql('postgres', q{INSERT INTO line SELECT i, 'late' FROM generate_series(401, 410) i});
$offset = log_offset();
$node->safe_psql('postgres', "SELECT gpt_resume($job)");
kill_held(hold_at_step($node, $job, 100));
wait_until_up($node);
is(ended($job), 'succeeded', 'it goes on all the same, and after its worker was killed too');
cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
is(weights('new_killed'), weights('new'), 'with the weights of the undisturbed one');
is($node->safe_psql('postgres', q{SELECT DISTINCT watermark->>'value' FROM gpt_versions WHERE model LIKE 'new%'}), '400', 'and the watermark of the rows that it read');
unlink file_of($lost, 'tokens') or die $!;
$node->safe_psql('postgres', "SELECT gpt_resume($lost)");
is(ended($lost), 'failed', 'but where the rows have to be read again it fails');
like($node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $lost"), qr/^model "seen\@1" does not exist/, 'and says so');
$node->safe_psql('postgres', 'DELETE FROM line WHERE id > 400');

# prompts: an encoder beside the decoder, and a template of the user's
for my $option ('"architecture": "encoder_decoder", "encoder_layers": 1', '"prompt_template": "Q: {prompt} A: "')
{
	my ($kind) = $option =~ /(encoder|template)/;
	my $ask = qq{'SELECT left(body, 20) AS prompt, right(body, 10) AS completion FROM line', '{"steps": 120, $option,
		"layers": 1, "heads": 2, "channels": 32, "context": 64, "tokenizer": "bytes", "batch_size": 16, "dropout": 0.1,
			"patience": 0}'};

	is(ended($node->safe_psql('postgres', "SELECT gpt_train('$kind', $ask)")), 'succeeded',
		"an undisturbed training, $kind");
	$job = $node->safe_psql('postgres', "SELECT gpt_train('${kind}_killed', $ask)");
	$offset = log_offset();
	kill_held(hold_at_step($node, $job, 20));
	wait_until_up($node);
	is(ended($job), 'succeeded', 'one whose worker was killed succeeds');
	cmp_ok(continued_at($job, $offset), '>=', 15, 'from its last checkpoint');
	is(weights("${kind}_killed"), weights($kind), 'with the weights of the undisturbed one');
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT config) FROM gpt_version
		WHERE model LIKE '$kind%'"), '2|1', 'and its configuration');
}

# Gates that compare: the worker of one is killed while both wait in their queries, for a lock that ends with the
# server. The base knows its rows so well that more steps on them gain nothing sure: a tolerance lets them pass.
sub gated
{
	my ($model, $body) = @_;
	my $tolerance = $body eq 'body' ? 5 : 0;
	my $rows = "SELECT body FROM line LEFT JOIN LATERAL (SELECT pg_advisory_xact_lock_shared(7) FROM gpt_versions"
	  . " WHERE model = ''$model'' AND state = ''partial'') l ON true WHERE id <= 20";

	return $node->safe_psql('postgres', qq{SELECT gpt_finetune('$model', 'SELECT $body AS body FROM line',
		'{"steps": 40, "batch_size": 16, "patience": 0, "publish_if": "better", "publish_tolerance": $tolerance,
			"publish_query": "$rows"}')});
}

my %gates = (better => 'body', worse => 'md5(body)', better_calm => 'body', worse_calm => 'md5(body)');
$node->safe_psql('postgres', "SELECT gpt_copy_model('reference', '$_')") for sort keys %gates;
is(ended(gated("${_}_calm", $gates{$_})), 'succeeded', "an undisturbed training with a gate, $_") for 'better', 'worse';
set(max_workers => 2);
my $holder = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c',
	'SELECT pg_advisory_lock(7), pg_sleep(600)' ], '>', \my $held, '2>', \my $ending);
my %job_of = map { ($_ => gated($_, $gates{$_})) } 'better', 'worse';
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM gpt_stat_progress_train p JOIN pg_locks l USING (pid)
	WHERE p.phase = 'comparing with the current version' AND l.locktype = 'advisory' AND NOT l.granted}),
	'two gates compare at once');
is($node->safe_psql('postgres', q{SELECT string_agg(model || version, ' ' ORDER BY model) FROM gpt_models
	WHERE model IN ('better', 'worse')}), 'better1 worse1', 'neither version is current');
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM gpt_stat_progress_train WHERE job = $job_of{better}");
wait_until_up($node);
$holder->finish;
for my $gate ('better', 'worse')
{
	is(ended($job_of{$gate}), 'succeeded', "a job goes on after a kill while its gate compared, $gate");
	my $states = q{SELECT string_agg(state || CASE WHEN current THEN ' current' ELSE '' END, ', ' ORDER BY version)
		FROM gpt_versions WHERE model = };
	is($node->safe_psql('postgres', "$states '$gate'"), $node->safe_psql('postgres', "$states '${gate}_calm'"),
		'its versions are those of the undisturbed run');
	is($node->safe_psql('postgres', "SELECT count(DISTINCT gpt_score(model || '\@' || version, 'line 5'))
		FROM gpt_versions WHERE model IN ('$gate', '${gate}_calm')"),
		'2', 'and say the same');
}
is($node->safe_psql('postgres', q{SELECT string_agg(model || ' ' || current, ' ' ORDER BY model) FROM gpt_versions
	WHERE model IN ('better', 'worse') AND version > 1}),
	'better true worse false', 'the better one is current');
is($node->safe_psql('postgres', 'SELECT * FROM gpt_check(true)'), '', 'gpt_check finds nothing');
set(max_workers => 1);

# partial versions
set(publish_interval => '1 s');
$job = submit_small('partial', 1_000_000);
$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM gpt_versions WHERE model = 'partial' AND state = 'partial'");
ok($node->safe_psql('postgres', "SELECT gpt_score('partial\@' || min(version), 'line 5') > 0 FROM gpt_versions WHERE model = 'partial'"), 'a partial version can be used');
is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_models WHERE model = 'partial'"), '0', 'but is not current');
$node->safe_psql('postgres', "SELECT gpt_cancel($job)");
is(ended($job), 'cancelled', 'its job is cancelled');
$node->safe_psql('postgres', "SELECT gpt_resume($job)");
wait_for_step($node, $job, 1);
ok(1, 'its partial versions do not keep it from being continued');
$node->safe_psql('postgres', "SELECT gpt_cancel($job)");
is(ended($job), 'cancelled', 'it is cancelled again');
$node->safe_psql('postgres', "SELECT gpt_drop_model('partial')");

# where the files are lost, as after a fail-over, it goes on from the last partial version
$job = submit_small('survivor', 300);
my $survivor = hold_in_training($node, $job);
$node->safe_psql('postgres', 'SELECT pg_sleep(1.1)');    # the interval, which no step waits for
let_go($survivor);
$survivor = hold_when($node, $job, "EXISTS (SELECT FROM gpt_versions WHERE model = 'survivor')");
$node->stop('immediate');
let_go($survivor);
unlink glob($node->data_dir . '/gpt/*');
$node->append_conf('postgresql.auto.conf', 'gpt.publish_interval = 0');
$offset = log_offset();
$node->start;
is(ended($job), 'succeeded', 'a job whose files are lost goes on');
cmp_ok(continued_at($job, $offset), '>', 0, 'from its last partial version');
is($node->safe_psql('postgres', "SELECT data_changed, step FROM gpt_jobs WHERE job = $job"), 't|300', 'its row says that the rows were read again');
is($node->safe_psql('postgres', "SELECT count(*) FROM gpt_versions WHERE model = 'survivor' AND state = 'partial'"), '0', 'the final version removes the partial ones');
set(publish_interval => 0);

# retention
set(checkpoint_retention => 0);
$job = submit_small('short', $steps);
cancel_at($job, 20);
is(ended($job), 'cancelled', 'a job is cancelled');
is(scalar(files_of_jobs($node)), 0, 'with gpt.checkpoint_retention = 0 it keeps no files, and those of others go');
nothing_is_left($node);
done_testing();
