# test/t/014_standby.pl - models on a streaming standby, its promotion while a job runs, and a synchronous standby that
# is missing.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('primary', 1);
my $small = '"layers": 1, "heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4, "patience": 0';

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# from the moment that the version is replayed
my $job = $node->safe_psql('postgres', qq{SELECT gpt_train('model', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a model is trained on the primary');
my $prompts = 'SELECT left(body, 10) AS prompt, right(body, 4) AS completion FROM line';
my %kinds = (
	lengthy => [ 'SELECT body FROM line', ', "context": 128' ],
	prefix => [ $prompts, ', "architecture": "prefix"' ],
	encoder => [ $prompts, ', "architecture": "encoder_decoder"' ],
	ngrams => [ 'SELECT body FROM line', ', "ngrams": true' ],
	numbers => [ 'SELECT body AS text, id / 7.0 AS label FROM line', '' ],
	labels => [ q{SELECT body AS text, CASE WHEN id % 2 = 0 THEN ''even'' ELSE ''odd'' END AS label FROM line}, '' ]);
my $numbers = $node->safe_psql('postgres', 'SELECT ' . join(', ', map { qq{gpt_train('$_', '$kinds{$_}[0]',
	'{$small, "steps": 5$kinds{$_}[1]}')} } sort keys %kinds));
is($node->safe_psql('postgres', "SELECT DISTINCT gpt_wait(job::bigint) 
	FROM regexp_split_to_table('$numbers', '[|]') job"), 'succeeded', 'and models of other kinds');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
for my $query (
	q{SELECT id, gpt_score('model', body), gpt_score('model@1', body, 'logprob') FROM line WHERE id < 10 ORDER BY id},
	q{SELECT gpt_generate('model', 'line 5', seed => 11), gpt_tokenize('model', 'line 5')},
	q{SELECT gpt_logprob('model', 'line', ' 5'), gpt_choose('model', 'line', '{a, 5}'), gpt_embed('model', 'line 5')},
	q{SELECT * FROM gpt_evaluate('model') UNION ALL SELECT * FROM gpt_evaluate('model', 'SELECT left(body, 4) AS prompt, right(body, 4) AS completion FROM line WHERE id < 4')},
	q{SELECT * FROM gpt_drift('model', 'SELECT body FROM line WHERE id < 4')},
	q{SELECT gpt_generate('prefix', 'line 5', seed => 3), gpt_logprob('prefix', 'line 5', 'x')},
	q{SELECT gpt_generate('encoder', 'line 5', beams => 2), gpt_logprob('encoder', 'line 5', 'x')},
	q{SELECT gpt_score('ngrams', body, 'logprob') FROM line WHERE id < 10 ORDER BY id},
	q{SELECT gpt_predict('numbers', array_agg(body ORDER BY id)) FROM line WHERE id < 10},
	q{SELECT id, p.* FROM line, gpt_classify_probs('labels', body) p WHERE id < 10 ORDER BY id, label},
	q{SELECT model, version, owner, sha256 FROM gpt_versions JOIN gpt_version USING (model, version) ORDER BY model})
{
	is($standby->safe_psql('postgres', $query), $node->safe_psql('postgres', $query), 'the standby answers as the primary');
}
# keys and values of prompts are the standby's own
my $long = q{SELECT md5(gpt_generate('lengthy', repeat('line ', 20) || 5, 5, seed => 1)), (SELECT prefix_tokens FROM gpt_stat_models WHERE model = 'lengthy')};
$standby->safe_psql('postgres', $long) for 1 .. 2;
my ($text) = split(/\|/, $node->safe_psql('postgres', $long));
is($standby->safe_psql('postgres', $long), "$text|96", 'a session on the standby finds what another one computed of a prompt');
for my $call (q{gpt_train('x', 'SELECT body FROM line')}, q{gpt_finetune('model', 'SELECT body FROM line')}, "gpt_resume($job)", q{gpt_drop_model('model')},
	q{gpt_rollback('model', 1)}, q{gpt_drop_version('model', 1)}, q{gpt_rename_model('model', 'y')}, q{gpt_copy_model('model', 'y')}, q{gpt_grant('model', 'postgres')},
	q{gpt_train_tokenizer('x', 'SELECT body FROM line')})
{
	my (undef, undef, $error) = $standby->psql('postgres', "SELECT $call");
	like($error, qr/ERROR:  cannot .*(standby|recovery|read-only)/, "$call: a clear error on a standby");
}

# fail-over while a job runs
my $interrupted = submit($node, 'interrupted', 200);
my $queued = $node->safe_psql('postgres', qq{SELECT gpt_train('queued', 'SELECT body FROM line', '{"steps": 20, $small}')});
my $held = hold_in_training($node, $interrupted);
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is($standby->safe_psql('postgres', "SELECT state FROM gpt_jobs WHERE job = $interrupted"), 'running', 'the standby sees that the job runs');
my (undef, undef, $error) = $standby->psql('postgres', "SELECT gpt_cancel($interrupted)");
like($error, qr/ERROR:  cannot/, 'cancelling it there is an error');
$node->stop('immediate');
let_go($held);
$standby->promote;
is($standby->safe_psql('postgres', "SELECT gpt_wait($interrupted)"), 'succeeded', 'the job goes on by itself on the promoted server');
is($standby->safe_psql('postgres', "SELECT data_changed FROM gpt_jobs WHERE job = $interrupted"), 't', 'whose row says that the rows were read anew');
is($standby->safe_psql('postgres', "SELECT gpt_wait($queued)"), 'succeeded', 'the queued job follows');
$job = $standby->safe_psql('postgres', qq{SELECT gpt_train('new', 'SELECT body FROM line', '{"steps": 20, $small}')});
is($standby->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'and new jobs run there');
nothing_is_left($standby);

# a synchronous standby that is missing; the job is held until the server knows of it
$job = submit($standby, 'waits', 150);
$held = hold_in_training($standby, $job);
$standby->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$standby->reload;
$standby->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
my $step = $standby->safe_psql('postgres', "SELECT step FROM gpt_stat_progress_train WHERE job = $job");
let_go($held);
ok($standby->poll_query_until('postgres', "SELECT step > $step + 100 FROM gpt_stat_progress_train WHERE job = $job"), 'training goes on without the synchronous standby');
ok($standby->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $held->{pid}"), 'its publication waits');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM gpt_models WHERE model = 'waits'}), '0', 'unseen');
$standby->safe_psql('postgres', "SET synchronous_commit = local; SELECT pg_cancel_backend($held->{pid})");
$standby->safe_psql('postgres', "SET synchronous_commit = local; SELECT gpt_wait($job, '300 s')");
is($standby->safe_psql('postgres', "SELECT state FROM gpt_jobs WHERE job = $job"), 'succeeded',
	'a cancellation ends the wait: the version is committed here, as the server warns');
is($standby->safe_psql('postgres', q{SELECT gpt_score('waits', 'line 1') > 0}), 't', 'and the model scores');
$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$standby->reload;
nothing_is_left($standby);

is($standby->safe_psql('postgres', 'SELECT * FROM gpt_check(true)'), '', 'gpt_check finds nothing');

done_testing();
