# test/torture/Torture.pm - what the parts of `make torture` share: how much to do, a training to disturb, its
# undisturbed twin, and what is counted. See scripts/torture.sh for the lines that a part ends in.
package Torture;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use lib "$FindBin::RealBin/../t";
use GptTest;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(share draw fault inputs lost load_held finish torture_node model_kinds train wait_until ask_crashing wait_for_training digest
  is_alive trainer_title);

srand($ENV{TORTURE_SEED} || 1);

my (@kinds, %injected, %observed, @loads);
my ($n_inputs, $n_lost) = (0, 0);

# How many of n in this run, at least 1.
sub share
{
	my ($n) = @_;
	my $scaled = int($n * ($ENV{TORTURE_SHARE} || 100) / 100 + 0.5);

	return $scaled < 1 ? 1 : $scaled;
}

# A random number of [from, to).
sub draw
{
	my ($from, $to) = @_;

	return $from + rand($to - $from);
}

# ---- what is counted -------------------------------------------------------------------------------

# Counts a fault, and whether it was seen to hit.
sub fault
{
	my ($kind, $was_observed, $n) = @_;

	push @kinds, $kind unless exists $injected{$kind};
	$n = 1 unless defined $n;
	$injected{$kind} += $n;
	$observed{$kind} += $was_observed ? $n : 0;
}

sub inputs { $n_inputs += $_[0] }
sub lost { $n_lost += $_[0] }
sub load_held { push @loads, $_[0] }

# Ends a part.
sub finish
{
	cmp_ok($observed{$_}, '>', 0, "$_: observed $observed{$_} of $injected{$_}") for @kinds;
	is($n_lost, 0, 'nothing was lost');
	done_testing();
	note("torture: $_ $injected{$_} $observed{$_}") for @kinds;
	note("torture: load $_") for @loads;
	note("torture: inputs $n_inputs") if $n_inputs;
	note("torture: lost $n_lost");
}

# ---- a training ------------------------------------------------------------------------------------

# A server that preloads the library and checkpoints after every step; digest() works in its database.
sub torture_node
{
	my ($name, @settings) = @_;
	my $node = start_node($name, 1);

	$node->append_conf('postgresql.conf', join("\n", 'gpt.checkpoint_interval = 0', "log_line_prefix = '%m [%p] %b '", @settings));
	$node->restart;
	$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION torture_digest(m text) RETURNS text LANGUAGE sql AS $$
	SELECT encode(sha256(substr(o, 9 + get_byte(o, 0) + 256 * get_byte(o, 1) + 65536 * get_byte(o, 2))), 'hex') || ' ' ||
		v.loss || ' ' || coalesce(v.validation_loss, 0)
	FROM (SELECT lo_get(weights) AS o, loss, validation_loss FROM gpt_versions WHERE model = m AND state = 'final'
		ORDER BY version DESC LIMIT 1) v
$$;
SQL
	return $node;
}

my $PROMPTS = 'SELECT left(body, 20) AS prompt, right(body, 10) AS completion FROM line';

# Queries and options of models of each kind. A classifier's checkpoints have 100 MB, so it does one step in 20.
my %KINDS = (
	text => ['SELECT body FROM line'],
	'n-grams' => [ 'SELECT body FROM line', ', "ngrams": true' ],
	prefix => [ $PROMPTS, ', "architecture": "prefix"' ],
	encoder => [ $PROMPTS, ', "architecture": "encoder_decoder"' ],
	template => [ $PROMPTS, ', "prompt_template": "Q: {prompt} A: "' ],
	numbers => [ 'SELECT body AS text, id / 7.0 AS label FROM line', '', 20 ],
	labels => [ q{SELECT body AS text, CASE WHEN id % 2 = 0 THEN ''even'' ELSE ''odd'' END AS label FROM line}, '', 20 ]);

sub model_kinds { return sort keys %KINDS }

# Submits the training that is disturbed: dropout, several epochs, accumulation, validation. Returns its number.
sub train
{
	my ($node, $model, $steps, $kind) = @_;
	my ($query, $options, $slower) = @{ $KINDS{ $kind // 'text' } };

	$steps = int($steps / ($slower // 1));
	$options //= '';
	return $node->safe_psql('postgres', qq{SELECT gpt_train('$model', '$query', '{"steps": $steps,
		"layers": 2, "heads": 2, "channels": 64, "context": 64, "tokenizer": "bytes", "batch_size": 4, "accumulate": 2,
		"dropout": 0.1, "patience": 0, "seed": 5$options}')});
}

# The tensors' bytes of a model's last version as a hash, and its losses; '' where there is none. What precedes the
# tensors names the run, which differs.
sub digest
{
	my ($node, $model) = @_;

	return $node->safe_psql('postgres', "SELECT torture_digest('$model')");
}

# Waits until the code returns something true, which is returned; dies after so many seconds.
sub wait_until
{
	my ($what, $code, $seconds) = @_;
	my $end = time + ($seconds || 120);

	while (time < $end)
	{
		my $result = $code->();
		return $result if $result;
		usleep(10_000);
	}
	die "waited in vain until $what\n";
}

sub is_alive
{
	my ($pid) = @_;

	return 0 unless open(my $file, '<', "/proc/$pid/stat");
	my $line = <$file> // '';
	return $line =~ /\) ([A-Z])/ && $1 ne 'Z' && $1 ne 'X' ? 1 : 0;
}

# What the process says it does, like "postgres: gpt trainer for job 3 job 3 training, step 7/300, loss 5.1".
sub trainer_title
{
	my ($pid) = @_;

	return '' unless open(my $file, '<', "/proc/$pid/cmdline");
	my $line = <$file> // '';
	$line =~ s/\0.*//s;
	return $line;
}

# psql's status, output and errors. A server that crashes can end psql before it has read the statement, at which
# PostgreSQL::Test dies: that is an answer as bad as any other.
sub ask_crashing
{
	my ($node, $statement, %options) = @_;
	my ($status, $out, $err) = eval { $node->psql('postgres', $statement, %options) };

	return defined $status ? ($status, $out, $err) : (2, '', "psql: $@");
}

# Waits until a worker makes steps of the job; returns its process, or 0 when the job has ended before.
sub wait_for_training
{
	my ($node, $job) = @_;

	return wait_until(
		"job $job trains",
		sub {
			my ($status, $out) = ask_crashing($node,
				"SELECT j.state, coalesce(p.pid, 0), coalesce(p.phase, '') FROM gpt_jobs j LEFT JOIN gpt_stat_progress_train p USING (job) WHERE job = $job");
			return 0 if $status != 0 || $out eq '';
			my ($state, $pid, $phase) = split /\|/, $out;
			return '0E0' if $state !~ /^(queued|running)$/;
			return $pid && $phase =~ /^(training|writing a checkpoint)$/ && is_alive($pid) ? $pid : 0;
		}) + 0;
}

1;
