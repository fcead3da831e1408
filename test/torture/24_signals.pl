# test/torture/24_signals.pl - a thousand signals a second to a worker that trains and to a session that generates:
# handlers run on the main thread only, and weights and texts are what they are without.
#
# The signals are those that the server sends to its processes itself. One that is no longer pending when the next is
# sent was delivered: that is what "observed" counts. On a busy machine the process does not run within each
# millisecond, and signals of a kind that pend are one. The server keeps SIGURG blocked and reads it where it waits, so
# that one is only sent.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my @SIGNALS = qw(USR1 USR2 ALRM URG HUP);
my %NUMBER = (HUP => 1, USR1 => 10, USR2 => 12, ALRM => 14, URG => 23);
my $STEPS = share(8000, 600);
my $GENERATIONS = share(1000, 40);
my $INTERVAL_US = 1000;
my $SHAPE = '"layers": 2, "heads": 2, "channels": 64, "context": 64, "tokenizer": "bytes", "batch_size": 8, "patience": 0, "threads": 2';
my $JOB = qq{'SELECT body FROM line', '{"steps": $STEPS, $SHAPE}'};
my $TEXTS = "SELECT md5(string_agg(gpt_generate('calm', 'line ' || i, max_tokens => 200, seed => i), ' ' ORDER BY i)) FROM generate_series(1, $GENERATIONS) i";

my $node = start_node('signals', 1);
$node->append_conf('postgresql.conf', "gpt.train_threads = 2\ngpt.threads = 2\nlog_statement = none\nlog_min_messages = fatal");
$node->restart;

my (%sent, %delivered);
my $threads_seen = 0;
my %unmasked;

# Every signal of SIGNALS must be blocked in each thread but the first.
sub look_at_threads
{
	my ($pid) = @_;

	for my $thread (grep { $_ != $pid } proc_threads($pid))
	{
		my %status = proc_status("$pid/task/$thread") or next;
		next unless $status{SigBlk};
		my $blocked = hex $status{SigBlk};

		$threads_seen++;
		for (@SIGNALS, qw(INT TERM QUIT CHLD))
		{
			my $number = $NUMBER{$_} // { INT => 2, TERM => 15, QUIT => 3, CHLD => 17 }->{$_};
			$unmasked{"$_ in $status{Name}"}++ unless $blocked & (1 << ($number - 1));
		}
	}
	return;
}

# Sends signals to a process until it is gone or $done says so.
sub disturb
{
	my ($pid, $done) = @_;
	my $next = time;
	my $n = 0;
	my $waits = 0;
	my $last;

	while (!$done->())
	{
		my $signal = $SIGNALS[ $n % @SIGNALS ];

		if (defined $last)
		{
			my %status = proc_status($pid) or last;
			my $pending = hex($status{ShdPnd} // 0) | hex($status{SigPnd} // 0);

			# A process that waits for a core takes it when it has one: no other is sent before. URG waits for a latch.
			if ($last ne 'URG' && $pending & (1 << ($NUMBER{$last} - 1)) && $waits++ < 60_000)
			{
				usleep($INTERVAL_US);
				next;
			}
			$delivered{$last}++ if $waits < 60_000;
			$waits = 0;
		}
		last unless kill($signal, $pid);
		$sent{$signal}++;
		$last = $signal;
		$next += $INTERVAL_US / 1e6;
		my $rest = $next - time;
		usleep($rest * 1e6) if $rest > 0;
		$next = time if $rest < -0.1;
		look_at_threads($pid) if $n++ % 10 == 0;
	}
	return $n;
}

# ---- training
# ------------------------------------------------------------------------------------------------------------------

my $job = $node->safe_psql('postgres', "SELECT gpt_train('calm', $JOB)");
my $calm_seconds = seconds_of(sub { is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a job ends undisturbed') });
my $calm_texts = $node->safe_psql('postgres', $TEXTS);

$job = $node->safe_psql('postgres', "SELECT gpt_train('disturbed', $JOB)");
my $pid = wait_for_step($node, $job, 1);
my $started = time;
my $n = disturb($pid, sub { 0 });
my $seconds = time - $started;
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', "a job ends under $n signals");
is($node->safe_psql('postgres', "SELECT tries FROM gpt_jobs WHERE job = $job"), '1', 'in one try');
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT substring(object FROM 9 + get_byte(object, 0) + 256 * get_byte(object, 1) + 65536 * get_byte(object, 2)))
	FROM (SELECT lo_get(weights) AS object FROM gpt_version) o}), '2 1', 'the weights behind the header are the same, bit for bit');
my $n_training = $n;
my $rate = $seconds > 0 ? $n / $seconds : 0;

# ---- generating
# ------------------------------------------------------------------------------------------------------------------

my ($in, $out, $err) = ('', '', '');
my $session = IPC::Run::start [ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', 'postgres', '-d', 'postgres' ], '<', \$in, '>', \$out, '2>', \$err;
$in = "SELECT 'pid ' || pg_backend_pid();\n";
$session->pump until $out =~ /pid (\d+)\n/;
$pid = $1;
$out = '';
$in = "$TEXTS;\nSELECT 'end';\n";
$session->pump_nb;
$n = disturb($pid, sub { $session->pump_nb; return $out =~ /^end$/m || $err =~ /ERROR/ });
$session->finish;
is($err, '', 'the session has no error');
is((split /\n/, $out)[0], $calm_texts, "the texts are the same under $n signals");

# ---- what must hold
# --------------------------------------------------------------------------------------------------------------

cmp_ok($threads_seen, '>', 0, "threads were there: looked at $threads_seen times");
is(join(', ', sort keys %unmasked), '', 'every signal is blocked in every thread but the first');
cmp_ok($delivered{$_} // 0, '>=', ($sent{$_} // 0) - 2, "$_ arrived: " . ($delivered{$_} // 0) . ' of ' . ($sent{$_} // 0))
  for grep { $_ ne 'URG' } @SIGNALS;
nothing_is_left($node);
check_is_clean($node);
log_is_clean($node);

my ($all_sent, $all_delivered) = (0, 0);
for (grep { $_ ne 'URG' } @SIGNALS) { $all_sent += $sent{$_}; $all_delivered += $delivered{$_} }
report_fault('signal', $all_sent, $all_delivered);
report_load(sprintf('%d signals to a worker at %.0f a second, %d to a session; results the same', $n_training, $rate, $n));
done_testing();
