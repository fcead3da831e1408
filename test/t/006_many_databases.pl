# test/t/006_many_databases.pl - twelve databases and few places for workers: every job ends; an idle database can be a
# template.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('many', 1);
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->restart;
my $options = '{"steps": 3, "layers": 1, "channels": 16, "heads": 1, "context": 32, "tokenizer": "bytes"}';

# a template of an idle database; its queued copy of a row stays as it is
is($node->safe_psql('postgres', "SELECT gpt_wait(" . submit($node, 'first', 3) . ", '300 s')"), 'succeeded', 'a job runs');
nothing_is_left($node);
$node->safe_psql('postgres', "UPDATE gpt_job SET state = 'queued'", on_error_stop => 1);
$node->safe_psql('postgres', "UPDATE gpt_job SET database = 1");
$node->command_ok(['createdb', '-h', $node->host, '-p', $node->port, '-T', 'postgres', '--maintenance-db', 'template1', 'db1'],
	'a database with the extension is a template while it is idle');
for my $i (2 .. 12)
{
	$node->safe_psql('template1', "CREATE DATABASE db$i TEMPLATE postgres STRATEGY file_copy");
}
my @databases = map { "db$_" } 1 .. 12;
$node->safe_psql($_, "SELECT gpt_train('own', 'SELECT body FROM line', '$options'); SELECT gpt_train('second', 'SELECT body FROM line', '$options')") for @databases;
$node->restart;
my $n = 0;
for my $database (@databases)
{
	$n += $node->poll_query_until($database, "SELECT count(*) = 2 FROM gpt_jobs WHERE state = 'succeeded'") ? 1 : 0;
}
is($n, 12, 'the two jobs of each of twelve databases end with max_worker_processes = 4');
is($node->safe_psql('db7', "SELECT state FROM gpt_jobs WHERE model = 'first'"), 'queued', 'a copied row was not started');

done_testing();
