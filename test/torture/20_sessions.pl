# test/torture/20_sessions.pl - a hundred sessions generate and score while a model is trained, published anew, rolled
# back, dropped and made again: only documented errors, only answers of a version that was current while the statement
# ran, and bounded memory.
#
# The driver notes every version: its score and its text, when it could first be the current one, and when it could
# last. "Could": a commit is seen between two looks at the clock, so the note is an interval that is a little too wide,
# never too narrow.
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

my $SESSIONS = 100;
my $SECONDS = share(180, 5);    # at least, and until the sessions have done enough to be judged
my $MAX_MEMORY_MB = 8;
my $BACKEND_MB = 24;    # of a session of its own: gpt.max_memory, and what a session has without models

my $node = start_node('sessions', 1);
$node->append_conf('postgresql.conf', <<'CONF');
max_connections = 130
shared_buffers = '128MB'
fsync = off
log_statement = none
log_min_messages = log
CONF
$node->restart;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE version (n bigint GENERATED ALWAYS AS IDENTITY, life int, version int, score float8, generated text, since timestamptz, until timestamptz);
CREATE TABLE life (life int, since timestamptz, until timestamptz);	-- times at which there was a model for certain
CREATE UNLOGGED TABLE answer (kind text, began timestamptz, ended timestamptz, score float8, generated text, state text, message text, client int);
ALTER TABLE answer SET (autovacuum_enabled = off);
-- One call and what came of it; the statement's snapshot is taken between the two times.
CREATE FUNCTION probe(kind text, client int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a answer;
BEGIN
	a.kind := kind; a.client := client; a.began := clock_timestamp();
	BEGIN
		IF kind = 'score' THEN
			SELECT gpt_score('m', 'line 7 says that', 'logprob') INTO a.score;
		ELSE
			SELECT gpt_generate('m', 'line 7', max_tokens => 24, temperature => 0) INTO a.generated;
		END IF;
	EXCEPTION WHEN OTHERS THEN
		a.state := SQLSTATE; a.message := SQLERRM;
	END;
	a.ended := clock_timestamp();
	INSERT INTO answer SELECT a.*;
END $$;
SQL

my $can_finetune = has_function($node, 'gpt_finetune(text, text, jsonb)');
my $can_roll_back = has_function($node, 'gpt_rollback(text, integer)');
note('there is ' . ($can_finetune ? '' : 'no ') . 'gpt_finetune, ' . ($can_roll_back ? '' : 'no ') . 'gpt_rollback');

# ---- the driver: one life of the model after another
# ---------------------------------------------------------------------------

my $SHAPE = '"layers": 2, "heads": 2, "channels": 64, "context": 64, "tokenizer": "bytes", "batch_size": 4, "patience": 0';
my %done = (trained => 0, published => 0, 'rolled back' => 0, dropped => 0);
my $life = 0;
my $open;    # the version that is current, as a row of the table

sub clock { return $node->safe_psql('postgres', 'SELECT clock_timestamp()') }

# What came before ends now at the latest; what is current began at $since at the earliest.
sub note_version
{
	my ($since) = @_;
	my $now = clock();

	$node->safe_psql('postgres', "UPDATE version SET until = '$now' WHERE n = $open") if $open;
	$open = $node->safe_psql('postgres', qq{
		INSERT INTO version (life, version, score, generated, since, until)
			SELECT $life, version, gpt_score('m', 'line 7 says that', 'logprob'), gpt_generate('m', 'line 7', max_tokens => 24, temperature => 0), '$since', 'infinity'
			FROM gpt_models WHERE model = 'm'
		RETURNING n});
	return;
}

sub wait_for_job
{
	my ($job) = @_;
	my $state = $node->safe_psql('postgres', "SELECT gpt_wait($job)");

	die "job $job: $state: " . $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job") if $state ne 'succeeded';
	return;
}

sub make_model
{
	my $since = clock();

	$life++;
	wait_for_job($node->safe_psql('postgres', qq{SELECT gpt_train('m', 'SELECT body FROM line', '{"steps": 12, "seed": $life, $SHAPE}')}));
	note_version($since);
	$node->safe_psql('postgres', "INSERT INTO life VALUES ($life, clock_timestamp(), 'infinity')");
	$done{trained}++;
	return;
}

sub finetune_model
{
	my ($n) = @_;
	my $since = clock();

	wait_for_job($node->safe_psql('postgres', qq{SELECT gpt_finetune('m', 'SELECT reverse(body) FROM line WHERE id % 7 = $n % 7', '{"steps": 6, "seed": $life$n}')}));
	note_version($since);
	$done{published}++;
	return;
}

sub roll_back
{
	my ($version) = @_;
	my $since = clock();

	$node->safe_psql('postgres', "SELECT gpt_rollback('m', $version)");
	note_version($since);
	$done{'rolled back'}++;
	return;
}

sub drop_model
{
	$node->safe_psql('postgres', "UPDATE life SET until = clock_timestamp() WHERE life = $life");
	$node->safe_psql('postgres', q{SELECT gpt_drop_model('m')});
	my $now = clock();
	$node->safe_psql('postgres', "UPDATE version SET until = '$now' WHERE n = $open");
	$open = undef;
	$done{dropped}++;
	return;
}

# ---- the run
# ---------------------------------------------------------------------------------------------------------------------

my $folder = $PostgreSQL::Test::Utils::tmp_check;
for my $kind (qw(score generate))
{
	open my $file, '>', "$folder/$kind.sql" or die $!;
	print $file "SELECT probe('$kind', :client_id);\n\\sleep 20 ms\n";
	close $file;
}
make_model();
my $generation = child_generation($node);
my ($out, $err) = ('', '');
my $start = time;
$ENV{PGAPPNAME} = 'pgbench';
$ENV{PGOPTIONS} = "-c gpt.max_memory=${MAX_MEMORY_MB}MB";
my $clients = IPC::Run::start [ 'pgbench', '-n', '-c', $SESSIONS, '-j', 4, '-T', 3600, '-f', "$folder/score.sql", '-f', "$folder/generate.sql",
	'-h', $node->host, '-p', $node->port, '-U', 'postgres', 'postgres' ], '>', \$out, '2>', \$err;
$ENV{PGAPPNAME} = 'driver';
delete $ENV{PGOPTIONS};
my (%pss, @largest);

# Memory of the sessions as the kernel sees it: each page once.
sub look_at_memory
{
	my $largest = 0;
	my $total = 0;
	my $n = 0;

	for my $pid (split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'"))
	{
		my %status = proc_status($pid) or next;
		my $anonymous = ($status{RssAnon} // '0') =~ /(\d+)/ ? $1 / 1024 : 0;

		$total += $anonymous;
		$n++;
		$largest = $anonymous if $anonymous > $largest;
	}
	push @largest, $largest;
	$pss{ scalar @largest } = { largest => $largest, total => $total, n => $n };
	return;
}

# Whether each session had an answer, and all had many: how long that takes depends on the machine.
sub is_enough
{
	return $node->safe_psql('postgres', "SELECT count(*) > 10 * $SESSIONS AND count(state) < count(*) * 0.7
		AND count(DISTINCT client) FILTER (WHERE state IS NULL) = $SESSIONS FROM answer") eq 't';
}

for (my $n = 1; time < $start + $SECONDS || (time < $start + 600 && !is_enough()); $n++)
{
	if ($can_finetune) { finetune_model($n) for 1 .. 2 }
	if ($can_finetune && $can_roll_back) { roll_back(1) }
	look_at_memory();
	drop_model();
	usleep(int(rand(300_000)));
	make_model();
}
$SECONDS = time - $start;
$clients->signal('ALRM');    # that of its own clock
$clients->finish;
is($?, 0, 'no session was lost') or diag(substr($err, -2000));

# ---- what must hold
# ----------------------------------------------------------------------------------------------------------------

my $answers = $node->safe_psql('postgres', 'SELECT count(*) FROM answer');
my $right = $node->safe_psql('postgres', 'SELECT count(*) FROM answer WHERE state IS NULL');
my $per_version = $node->safe_psql('postgres', 'SELECT count(DISTINCT (score, generated)) FROM answer WHERE state IS NULL');

cmp_ok($answers, '>', 10 * $SESSIONS, "the sessions were answered: $answers times");
cmp_ok($right, '>', $answers / 4, "$right answers of models, of $per_version kinds");
cmp_ok($done{dropped}, '>', 0, join(', ', map { "$_ $done{$_} times" } sort keys %done));
is($node->safe_psql('postgres', "SELECT count(DISTINCT client) FROM answer WHERE state IS NULL"), $SESSIONS, 'every session had an answer');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT state || ' ' || message, E'\\n') FROM answer WHERE state IS NOT NULL AND NOT (state = '42704' AND message = 'model \"m\" does not exist')"),
	'', 'no error but that the model does not exist');
is($node->safe_psql('postgres', 'SELECT count(*) FROM answer a WHERE state IS NULL AND score IS NULL AND generated IS NULL'), '0', 'no answer is empty');
my $wrong = q{FROM answer a WHERE state IS NULL AND NOT EXISTS (SELECT FROM version v WHERE (a.kind = 'score' AND v.score = a.score OR a.kind = 'generate' AND v.generated = a.generated)};
is($node->safe_psql('postgres', "SELECT count(*) $wrong)"), '0', 'every answer is of a version that was there');
is($node->safe_psql('postgres', "SELECT count(*) $wrong AND v.since <= a.ended AND v.until >= a.began)"), '0', 'and that was current while the statement ran');
cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT score) FROM version'), '>', $done{trained} / 2, 'versions can be told from one another by their scores');
is($node->safe_psql('postgres', 'SELECT count(*) FROM answer a WHERE state IS NOT NULL AND EXISTS (SELECT FROM life l WHERE l.since < a.began AND l.until > a.ended)'),
	'0', 'no error while there was a model');
my ($largest) = sort { $b <=> $a } @largest;
cmp_ok($largest, '<', $BACKEND_MB, sprintf('the memory of a session is bounded (%.1f MB of its own)', $largest));
is(child_generation($node), $generation, 'the server never restarted');
$node->safe_psql('postgres', q{SELECT gpt_drop_model('m')});
nothing_is_left($node);
check_is_clean($node);
log_is_clean($node);

my ($fullest) = sort { $b->{total} <=> $a->{total} } values %pss;
report_load(sprintf('%d sessions, %d answers in %d s, %d versions (%s); a session has %.0f MB at most, all %.0f MB', $SESSIONS, $answers, $SECONDS,
	$node->safe_psql('postgres', 'SELECT count(*) FROM version'), join(', ', map { "$_ $done{$_}" } sort keys %done), $largest, $fullest->{total}));
report_lost($answers - $right - $node->safe_psql('postgres', q{SELECT count(*) FROM answer WHERE state = '42704'}));
done_testing();
