# test/t/011_pgbouncer.pl - everything through PgBouncer in transaction mode: nothing depends on the session.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($program) = grep { -x } ('/usr/sbin/pgbouncer', '/usr/bin/pgbouncer');
plan skip_all => 'pgbouncer is not installed' if !defined $program;

my $node = start_node('behind', 1);
my $folder = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($server, $server_port) = ($node->host, $node->port);
my $user = $node->safe_psql('postgres', 'SELECT current_user');

append_to_file("$folder/users.txt", qq{"$user" ""\n});
append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
postgres = host=$server port=$server_port dbname=postgres user=$user
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $folder
auth_type = any
auth_file = $folder/users.txt
pool_mode = transaction
default_pool_size = 2
server_reset_query_always = 1
server_reset_query = DISCARD ALL
pidfile = $folder/pgbouncer.pid
logfile = $folder/pgbouncer.log
INI
system_or_bail($program, '-d', '-q', "$folder/pgbouncer.ini");

# It listens a moment after its starter has ended.
for (1 .. 300)
{
	last if -S "$folder/.s.PGSQL.$port";
	select(undef, undef, undef, 0.1);
}

END
{
	my $status = $?;
	kill 'QUIT', (split /\s/, slurp_file("$folder/pgbouncer.pid"))[0] if defined $folder && -f "$folder/pgbouncer.pid";
	$? = $status;
}

# Runs SQL through the pooler in a psql of its own: each statement may meet another server process.
sub pooled
{
	my ($sql) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-h', $folder, '-p', $port, '-d', 'postgres', '-f', '-' ], '<', \$sql, '>', \$out, '2>', \$err)
	  or diag($err);
	chomp $out;
	return $out;
}

my $options = '{"steps": 30, "layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4}';
my $job = pooled("SELECT gpt_train('pooled', 'SELECT body FROM line', '$options')");
like($job, qr/^\d+$/, 'gpt_train through the pooler returns a job');
is(pooled("SELECT gpt_wait($job)"), 'succeeded', 'gpt_wait through it sees the end');
is(pooled(q{SELECT gpt_generate('pooled', 'line', seed => 5)}), $node->safe_psql('postgres', q{SELECT gpt_generate('pooled', 'line', seed => 5)}),
	'texts are those of a direct session');
is(pooled(q{SELECT gpt_score('pooled', 'line 3')}), $node->safe_psql('postgres', q{SELECT gpt_score('pooled', 'line 3')}), 'so are scores');
is(pooled("SELECT state FROM gpt_jobs WHERE job = $job"), 'succeeded', 'views work');

# transactions
is(pooled("BEGIN; SELECT gpt_train('undone', 'SELECT body FROM line', '$options') IS NULL; ROLLBACK; SELECT count(*) FROM gpt_jobs WHERE model = 'undone'"),
	"f\n0", 'a transaction that rolls back leaves no job');
$job = pooled("SELECT gpt_train('long', 'SELECT body FROM line', '{\"steps\": 1000000, \"layers\": 1, \"channels\": 32, \"tokenizer\": \"bytes\"}')");
wait_for_step($node, $job, 3);
is(pooled("SELECT count(*) FROM gpt_stat_progress_train WHERE job = $job AND step > 0"), '1', 'progress is seen through the pooler');
is(pooled("SELECT gpt_cancel($job)"), 't', 'gpt_cancel through it cancels');
is(pooled("SELECT gpt_wait($job)"), 'cancelled', 'and the job ends');

# many clients on two connections
my @queries = ("SELECT gpt_score('pooled', 'line ' || i) FROM generate_series(1, 5) i") x 6;
my @clients = map { my %client = (out => '', sql => $_); $client{run} = IPC::Run::start([ 'psql', '-XqAt', '-h', $folder, '-p', $port, '-d', 'postgres', '-c', $_ ], '>', \$client{out}); \%client } @queries;
$_->{run}->finish for @clients;
my %answers = map { $_->{out} => 1 } @clients;
is(scalar keys %answers, 1, 'six clients over two connections get the same scores');
is((keys %answers)[0], $node->safe_psql('postgres', $queries[0]) . "\n", 'which are those of a direct session');

# A session that is bound to a server process: LISTEN needs one of its own, outside of the pooler.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN gpt_job');
$job = pooled("SELECT gpt_train('heard', 'SELECT body FROM line', '$options')");
is(pooled("SELECT gpt_wait($job)"), 'succeeded', 'another job ends');
my $heard = '';
for (1 .. 100)
{
	$heard .= join('', $listener->query('SELECT 1'));
	last if $heard =~ /succeeded/;
	select(undef, undef, undef, 0.05);
}
like($heard, qr/notification "gpt_job" with payload "\{"job": $job, "state": "succeeded"\}"/, 'a direct session hears of jobs submitted through the pooler');
$listener->quit;

nothing_is_left_but($node);
done_testing();

sub nothing_is_left_but
{
	my ($server) = @_;

	is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', 'no lock is left in the pooled sessions');
	return;
}
