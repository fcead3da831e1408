# test/t/013_upgrade.pl - pg_upgrade of a server that preloads the library, into a new cluster of the same version.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = start_node('old', 1);
my $small = '"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4';

$old->safe_psql('postgres', 'CREATE ROLE alice LOGIN; GRANT EXECUTE ON FUNCTION gpt_train TO alice; GRANT SELECT ON line TO alice');
my $job = $old->safe_psql('postgres', qq{SELECT gpt_train('kept', 'SELECT body FROM line', '{"steps": 20, $small}')}, extra_params => [ '-U', 'alice' ]);
is($old->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a model is trained');
my $running = $old->safe_psql('postgres', qq{SELECT gpt_train('unfinished', 'SELECT body FROM line', '{"steps": 1000000, $small}')});
wait_for_step($old, $running, 3);
my $query = q{SELECT model, version, owner, sha256, weights FROM gpt_versions JOIN gpt_version USING (model, version, weights);
	SELECT id, gpt_score('kept', body) FROM line WHERE id < 10 ORDER BY id; SELECT gpt_generate('kept', 'line 7', seed => 2)};
my $expected = $old->safe_psql('postgres', $query);
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt'\nmax_worker_processes = 10\ngpt.nice = 0\n");
my ($bin) = run_command([ 'pg_config', '--bindir' ]);
my @command = (
	'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
chdir ${PostgreSQL::Test::Utils::tmp_check};
command_ok([ @command, '--check' ], 'pg_upgrade --check of a server that preloads the library');
my $seconds = seconds_of(sub { command_ok(\@command, 'pg_upgrade') });
note("it took $seconds s");
unlike(join('', map { slurp_file($_) } glob($new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log')), qr/gpt (launcher|trainer|starter)/, 'no worker of ours runs meanwhile');

$new->start;
is($new->safe_psql('postgres', $query), $expected, 'models, owners and scores are the same afterwards');
$job = $new->safe_psql('postgres', qq{SELECT gpt_train('new', 'SELECT body FROM line', '{"steps": 20, $small}')}, extra_params => [ '-U', 'alice' ]);
is($new->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a new job runs');
is(state_of($new, $running), 'running', 'a job that ran before the upgrade does not start');
is($new->safe_psql('postgres', "SELECT gpt_cancel($running)"), 't', 'and can be cancelled');
is($new->safe_psql('postgres', 'SELECT count(*) FROM gpt_jobs', extra_params => [ '-U', 'alice' ]), '1', 'roles see the jobs since the upgrade');

is($new->safe_psql('postgres', 'SELECT * FROM gpt_check(true)'), '', 'gpt_check finds nothing');

done_testing();
