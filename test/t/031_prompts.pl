# test/t/031_prompts.pl - prompts' beginnings between sessions (gpt.prompt_cache): found, for whom, damaged, killed,
# dropped.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('prompts', 1);
my $options = '"layers": 2, "heads": 2, "channels": 32, "context": 256, "tokenizer": "bytes", "batch_size": 2, "steps": 3, "patience": 0, "ngrams": false';
my $directory = $node->data_dir . '/base/pgsql_tmp';

sub train
{
	my ($function, $model, $more) = @_;
	my $job = $node->safe_psql('postgres', qq{SELECT $function('$model', 'SELECT body FROM line', '{$options$more}')});

	return $node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')");
}

sub prompts
{
	my @files = sort(glob("$directory/pgsql_tmp_gpt_prompt_*"));

	return @files;
}

# The answer to a prompt in a new session, and how many tokens of it the model did not compute. $begin: a letter, so
# that each case has a beginning of its own.
sub ask
{
	my ($begin, $end, %how) = @_;
	my $on = $how{on} // $node;
	my $model = $how{model} // 'm';

	return split(/\n/, answer_of($on, 'postgres', ($how{set} // '') . qq{
		SELECT sum(prefix_tokens) AS before FROM gpt_stat_models WHERE model = '$model' \\gset
		SELECT md5(gpt_generate('$model', repeat('$begin', 150) || '$end', 20, seed => 1));
		SELECT sum(prefix_tokens) - :before FROM gpt_stat_models WHERE model = '$model';}));
}

sub reused { return (ask(@_))[1]; }

sub flip
{
	my ($file, $offset) = @_;

	open(my $handle, '+<:raw', $file) || die $!;
	seek($handle, $offset, 0);
	read($handle, my $byte, 1);
	seek($handle, $offset, 0);
	print $handle chr(ord($byte) ^ 1);
	close($handle);
}

# Prompts of a query one by one.
$node->append_conf('postgresql.conf', 'gpt.batching = off');
$node->reload;
is(train('gpt_train', 'm', ''), 'succeeded', 'a model is trained');

# found by the session after the one that saw it a second time
my ($wanted) = ask('a', 'four', set => 'SET gpt.prompt_cache = off;');
is(scalar(prompts()), 0, 'off writes nothing');
is(reused('a', 'one'), '0', 'the first session computes the beginning');
is(scalar(prompts()), 0, 'and nothing is written of one that was seen once');
is(reused('a', 'two'), '0', 'the second session computes it too');
is(scalar(prompts()), 1, 'and writes it, because it recurs');
my ($file) = prompts();
is((stat $file)[2] & 0777, 0600, 'for the server alone');
is(reused('a', 'three'), '128', 'the third session finds its whole pages');
my ($answer, $n) = ask('a', 'four');
is("$answer $n", "$wanted 128", 'with the answer of one that computes all');
is(reused('a', 'five', set => 'SET gpt.prompt_cache = off;'), '0', 'off looks for nothing');
is(scalar(prompts()), 1, 'one file serves them all');
my $logprob = q{SELECT gpt_logprob('m', repeat('a', 150) || '?', 'yes')};
is($node->safe_psql('postgres', "SET gpt.prompt_cache = off; $logprob"), $node->safe_psql('postgres', $logprob), 'also before a completion that is scored');

# several texts together: what most of them share, the second time
my $array = q{SELECT md5(array_to_string(gpt_generate('m', ARRAY(SELECT repeat('b', 150) || i FROM generate_series(1, 4) i), 5, seed => 1), ' '));};
my $off = $node->safe_psql('postgres', "SET gpt.prompt_cache = off; $array");
is($node->safe_psql('postgres', $array), $off, 'texts together are those without');
is(scalar(prompts()), 1, 'and their beginning is not written the first time');
is($node->safe_psql('postgres', $array), $off, 'nor do they differ the second time');
is(scalar(prompts()), 2, 'when it is');
is($node->safe_psql('postgres', $array), $off, 'or when it is read');
is(reused('b', '1'), '128', 'by a single text too');

# a stream finds it, too
is($node->safe_psql('postgres', q{SELECT md5(string_agg(text, '' ORDER BY position)) FROM gpt_stream('m', repeat('a', 150) || 'four', 20, seed => 1)}), $wanted, 'a stream says the same');

# privileges first, and to each role its own
$node->safe_psql('postgres', q{CREATE ROLE other; CREATE ROLE stranger; SELECT gpt_grant('m', 'other');
	GRANT pg_read_all_stats TO other});
my $log = -s $node->logfile;
my (undef, undef, $error) = $node->psql('postgres', q{SET ROLE stranger; SELECT gpt_generate('m', repeat('a', 150) || 'four', 20, seed => 1)});
like($error, qr/permission denied for model "m"/, 'a role without privilege finds nothing');
is(reused('a', 'six', set => 'SET ROLE other;'), '0', 'another role does not find it');
is(reused('a', 'seven', set => 'SET ROLE other;') . reused('a', 'eight', set => 'SET ROLE other;'), '0128', 'but its own');
my $all = "SET gpt.prompt_cache = 'all';";
is(reused('a', 'nine', set => $all) . reused('a', 'ten', set => $all) . reused('a', 'eleven', set => "SET ROLE other; $all"), '00128', 'with "all" it finds that of another role');

# another version, and an adapter: other keys and values
is(train('gpt_train', 'm2', ', "seed": 3'), 'succeeded', 'another model is trained');
is(reused('a', 'one', model => 'm2'), '0', 'which finds nothing of the first');

# damage
for my $damage (
	[ 'a byte flipped in a page', sub { flip($file, (-s $file) - 1000) } ],
	[ 'a byte flipped in the header', sub { flip($file, 20) } ],
	[ 'a byte flipped in the checksums', sub { flip($file, 82) } ],
	[ 'a file cut short', sub { truncate($file, (-s $file) - 4096) } ],
	[ 'an empty file', sub { truncate($file, 0) } ],
	[ 'a file that others may write to', sub { chmod(0666, $file) } ],
	[ 'a symbolic link', sub { rename($file, "$directory/other"); symlink("$directory/other", $file) } ])
{
	my ($name, $do) = @$damage;

	$do->();
	is((ask('a', 'four'))[0], $wanted, "$name: the same answer");
	is(join(' ', ask('a', 'four')), "$wanted 128", 'and a file that was written anew');
}
unlink("$directory/other");

# nothing can be written: no word of it
rename($file, "$file.kept");
mkdir($file);
($answer, $n) = ask('a', 'four');
is("$answer $n", "$wanted 0", 'where the file cannot be written, the session computes');
unlike(slurp_file($node->logfile, $log), qr/gpt_prompt|WARNING/, 'without a word');
rmdir($file);
rename("$file.kept", $file);

# kill -9 while sessions write: the server starts again, without the files
my @sessions = map { my ($in, $out) = ('', ''); { in => \$in, out => \$out, run => IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \my $error) } } 1 .. 2;
for my $session (@sessions)
{
	${ $session->{in} } .= "SELECT pg_backend_pid();\n";
	$session->{run}->pump until ${ $session->{out} } =~ /\d+\n/;
	($session->{pid}) = ${ $session->{out} } =~ /(\d+)/;
	${ $session->{in} } .= "SELECT count(gpt_generate('m', repeat(chr(65 + i % 50), 200) || i, 2)) FROM generate_series(1, 100000) i;\n";
	$session->{run}->pump_nb;
}
my $before = scalar(prompts());
for (1 .. 300)
{
	$_->{run}->pump_nb for @sessions;
	last if scalar(prompts()) > $before + 2;
	select(undef, undef, undef, 0.01);
}
ok(scalar(prompts()) > $before, 'two sessions write beginnings');
open(my $aside, '>', "$file" . '_1.tmp');
close($aside);
kill('KILL', $sessions[0]->{pid});
$_->{run}->kill_kill for @sessions;
wait_until_up($node);
is(scalar(prompts()), 0, 'after a crash no file is left');
is((ask('a', 'four'))[0], $wanted, 'and the model answers as before');

# what a dead session left behind goes when another one makes room; so does what was used least recently
ask('a', 'four');
($file) = prompts();
open($aside, '>', "$file" . '_1.tmp');
print $aside 'half';
close($aside);
ask('c', 'one');
ask('c', 'two');
ok(!-e "$file" . '_1.tmp', 'what was left behind is removed');
is(scalar(prompts()), 2, 'two beginnings have files');
$node->append_conf('postgresql.conf', 'gpt.max_image_size = 1MB');
$node->reload;
utime(1000, (stat $file)[9], $file);
ask($_, 'one'), ask($_, 'two') for ('d' .. 'g');
ok(!-e $file, 'the least recently used one makes room');
my $size = 0;
$size += -s $_ for prompts();
ok($size > 0 && $size <= 256 * 1024, 'and all together stay within a quarter of gpt.max_image_size');

# the files of a version go with it

$node->safe_psql('postgres', q{SELECT gpt_drop_model('m')});
is(scalar(prompts()), 0, 'and a version takes its files with it');
$node->stop;
done_testing();
