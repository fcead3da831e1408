# test/t/018_images.pl - images that sessions share: made once, mapped by all, rebuilt where they are damaged, gone with
# their versions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Basename;
use IPC::Run;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_node('images', 1);
my $options = '"layers": 2, "heads": 2, "channels": 128, "context": 32, "tokenizer": "bytes", "batch_size": 4, "steps": 2, "patience": 0';
my $directory = $node->data_dir . '/base/pgsql_tmp';
my $score = q{SELECT gpt_score('m', 'line 5')};

sub train
{
	my ($model, $seed) = @_;
	my $job = $node->safe_psql('postgres', qq{SELECT gpt_train('$model', 'SELECT body FROM line', '{$options, "seed": $seed}')});

	is($node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')"), 'succeeded', "model $model is trained");
}

# The images of models.
sub images
{
	my @files = sort(glob("$directory/pgsql_tmp_gpt_image_*_float32*"));

	return @files;
}

# The inode of the image that a server process has mapped.
sub mapped
{
	my ($pid) = @_;
	my ($line) = grep { /gpt_image_\w+_float32/ } split(/\n/, slurp_file("/proc/$pid/maps"));

	return defined $line ? (split(' ', $line))[4] : 'none';
}

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

$node->append_conf('postgresql.conf', "log_min_messages = debug1\nmax_prepared_transactions = 1");
$node->restart;
train('m', 1);
is(scalar(images()), 0, 'a model that nobody has used has no image');

# sessions that need it at once make it once
my $log = -s $node->logfile;
my $value;
my @pids;
$node->safe_psql('postgres', 'CREATE TABLE result (pid integer, score float8)');
{
	my @runs = map {
		my ($in, $out, $error) = ("INSERT INTO result SELECT pg_backend_pid(), gpt_score('m', 'line 5');\n", '', '');
		IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$error)
	} 1 .. 6;
	$_->finish for @runs;
}
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT score) FROM result'), '6|1', 'six sessions at once score the same');
is(scalar(images()), 1, 'there is one image');
my $made = () = slurp_file($node->logfile, $log) =~ /made image "[^"]*_float32"/g;
is($made, 1, 'and it was made once');
$value = $node->safe_psql('postgres', $score);
my ($image) = images();
is((stat $image)[2] & 0777, 0600, 'it is the server\'s alone');

# two sessions map one file, and stay with it when it is gone
my @psql;
for my $i (0, 1)
{
	$psql[$i] = { in => '', out => '', timer => IPC::Run::timer(60) };
	$psql[$i]->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$psql[$i]->{in}, '>', \$psql[$i]->{out}, $psql[$i]->{timer});
}

sub ask
{
	my ($session, $query) = @_;

	$session->{out} = '';
	$session->{in} .= "$query;\n\\echo done\n";
	$session->{run}->pump until $session->{out} =~ /^done$/m;
	(my $answer = $session->{out}) =~ s/\n?done\n$//;
	return $answer;
}
@pids = map { ask($_, 'SELECT pg_backend_pid()') } @psql;
ask($_, $score) for @psql;
is(mapped($pids[0]), (stat $image)[1], 'a session maps the image');
is(mapped($pids[1]), mapped($pids[0]), 'another one maps the same file');
like($node->safe_psql('postgres', 'SELECT model, version, type, size > 4096, created_at <= last_used_at, last_used_at <= now() FROM gpt_images WHERE model IS NOT NULL'),
	qr/^m\|1\|float32\|t\|t\|t$/, 'gpt_images shows it');
$node->safe_psql('postgres', q{CREATE ROLE stranger; GRANT USAGE ON SCHEMA public TO stranger});
is($node->safe_psql('postgres', 'SET ROLE stranger; SELECT count(*) FROM gpt_images'), '0', 'to whom may use the model');
my (undef, undef, $error) = $node->psql('postgres', "SET ROLE stranger; $score");
like($error, qr/permission denied for model "m"/, 'a role without privilege has nothing of it');

# damage
my $size = -s $image;
for my $damage (
	[ 'a byte flipped in the image', sub { flip($image, $size - 1000) } ],
	[ 'a byte flipped in the header', sub { flip($image, 20) } ],
	[ 'a file cut short', sub { truncate($image, $size - 4096) } ],
	[ 'an empty file', sub { truncate($image, 0) } ],
	[ 'garbage', sub { open(my $h, '>', $image); print $h 'x' x $size; close($h) } ],
	[ 'a file that others may write to', sub { chmod(0666, $image) } ],
	[ 'a symbolic link', sub { rename($image, "$directory/other"); symlink("$directory/other", $image) } ],
	[ 'a removed file', sub { unlink($image) } ])
{
	my ($name, $do) = @$damage;

	$log = -s $node->logfile;
	# in place for nobody: sessions that had it mapped have another file by now
	if ($name ne 'a removed file')
	{
		unlink($image);
		$node->safe_psql('postgres', $score);
		$log = -s $node->logfile;
	}
	$do->();
	is($node->safe_psql('postgres', $score), $value, "$name: the same score");
	like(slurp_file($node->logfile, $log), qr/made image "[^"]*_float32"/, 'of an image made anew');
	$log = -s $node->logfile;
	is($node->safe_psql('postgres', $score), $value, 'which the next session finds');
	unlike(slurp_file($node->logfile, $log), qr/made image/, 'whole');
}
unlink("$directory/other");
utime(undef, 1000, $image);
my $inode = (stat $image)[1];
is($node->safe_psql('postgres', $score), $value, 'a file of another time is read whole');
is((stat $image)[1], $inode, 'and kept where it is good');
isnt((stat $image)[9], 1000, 'with its time set right');
ask($_, $score) for @psql;
isnt(mapped($pids[0]), $inode, 'the first sessions still have the image that they began with');

# kill -9 while an image is made: the server starts again, without its files
unlink($image);
$log = -s $node->logfile;
open(my $aside, '>', "$image.tmp");
print $aside 'half';
close($aside);
is($node->safe_psql('postgres', 'SELECT kind, object FROM gpt_check()'), 'leftover file|base/pgsql_tmp/' . basename("$image.tmp"), 'gpt_check names a half-written file');
is($node->safe_psql('postgres', $score), $value, 'a half-written file that was left behind is in nobody\'s way');
ok(!-e "$image.tmp", 'and is gone');
is($node->safe_psql('postgres', 'SELECT * FROM gpt_check(true)'), '', 'images are nothing that gpt_check complains of');
kill('KILL', $pids[1]);
$_->{run}->kill_kill for @psql;
wait_until_up($node);
is(scalar(images()), 0, 'after a crash no image is left');
is(answer_of($node, 'postgres', $score), $value, 'and the model scores');
$node->restart;
is(scalar(images()), 0, 'nor after a restart');

# kill -9 in the middle of making one, which takes a while for a larger model
{
	my $large = $node->safe_psql('postgres', q{SELECT gpt_train('large', 'SELECT body FROM line',
		'{"layers": 2, "heads": 8, "channels": 768, "context": 32, "tokenizer": "bytes", "batch_size": 2, "steps": 1, "patience": 0}')});
	is($node->safe_psql('postgres', "SELECT gpt_wait($large, '300 s')"), 'succeeded', 'a larger model is trained');
	my $wanted = $node->safe_psql('postgres', q{SELECT gpt_score('large', 'line 5')});
	my $half = '';

	for my $try (1 .. 10)
	{
		unlink(images());
		my %session = (in => '', out => '', timer => IPC::Run::timer(60));
		$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$session{in}, '>', \$session{out}, '2>', \my $ignored, $session{timer});
		my $pid = ask(\%session, 'SELECT pg_backend_pid()');
		$session{in} .= "SELECT gpt_score('large', 'line 5');\n";
		$session{run}->pump_nb;
		for (1 .. 20000)
		{
			($half) = grep { /_float32\.tmp/ } glob("$directory/*");
			last if defined $half || grep { !/tmp$/ } images();
			usleep(200);
		}
		kill('KILL', $pid) if defined $half;
		$session{run}->kill_kill;
		last if defined $half;
	}
	ok(defined $half, 'a server process was killed in the middle of making an image');
	wait_until_up($node);
	is(scalar(images()), 0, 'nothing of it is left');
	is(answer_of($node, 'postgres', q{SELECT gpt_score('large', 'line 5')}), $wanted, 'and the model scores as before');
	is(scalar(images()), 1, 'from an image made anew');
	$node->safe_psql('postgres', q{SELECT gpt_drop_model('large')});
	is(answer_of($node, 'postgres', $score), $value, 'the other model scores too');
}

# gone with their versions
train('other', 2);
$node->safe_psql('postgres', "$score; SELECT gpt_score('other', 'x')");
is(scalar(images()), 2, 'two models have two images');
$node->safe_psql('postgres', q{BEGIN; SELECT gpt_drop_model('other'); ROLLBACK});
is(scalar(images()), 2, 'a drop that is rolled back leaves them');
$node->safe_psql('postgres', q{BEGIN; SELECT gpt_drop_model('other'); PREPARE TRANSACTION 'drop'});
is(join(' ', images()), $image, 'one that is prepared takes it');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'drop'; SELECT gpt_score('other', 'x')});
is(scalar(images()), 2, 'and it is made again where the model stays');
$node->safe_psql('postgres', q{SELECT gpt_copy_model('other', 'copy'); SELECT gpt_drop_model('other')});
is(scalar(images()), 2, 'a copy of a dropped model has its image');
$node->safe_psql('postgres', q{SELECT gpt_drop_model('copy')});
is(join(' ', images()), $image, 'which goes with the last one');
my $job = $node->safe_psql('postgres', q{SELECT gpt_finetune('m', 'SELECT body FROM line', '{"steps": 2, "patience": 0}')});
is($node->safe_psql('postgres', "SELECT gpt_wait($job, '300 s')"), 'succeeded', 'a new version is published');
is(scalar(images()), 0, 'the image of the replaced version goes');
$node->safe_psql('postgres', $score);
is(scalar(images()), 1, 'the new one has its own');
is($node->safe_psql('postgres', q{SELECT gpt_rollback('m'); SELECT count(*) FROM gpt_images WHERE model = 'm'}), "1\n0", 'a rollback removes it');
is($node->safe_psql('postgres', $score), $value, 'the old version scores as before');

# the least recently used ones go
train($_->[0], $_->[1]) for ([ 'one', 11 ], [ 'two', 12 ], [ 'three', 13 ]);
$node->safe_psql('postgres', "SELECT gpt_score('one', 'x')");
$node->safe_psql('postgres', "SELECT gpt_score('two', 'x')");
$size = $node->safe_psql('postgres', q{SELECT max(size) FROM gpt_images WHERE type = 'float32'});
cmp_ok($size, '>', 1024 * 1024, 'images are large enough for the test');
my $limit = int(2.5 * $size / 1024 / 1024);
$node->append_conf('postgresql.conf', "gpt.max_image_size = '${limit}MB'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('gpt.max_image_size') = '${limit}MB'");
$node->safe_psql('postgres', "SELECT gpt_score('one', 'y')");
$node->safe_psql('postgres', "SELECT gpt_score('three', 'x')");
is($node->safe_psql('postgres', q{SELECT string_agg(model, ' ' ORDER BY model) FROM gpt_images WHERE type = 'float32'}), 'one three',
	'within gpt.max_image_size the least recently used images go');
$node->append_conf('postgresql.conf', "gpt.max_image_size = '1MB'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('gpt.max_image_size') = '1MB'");
(undef, undef, $error) = $node->psql('postgres', "$score; SELECT gpt_score('two', 'x')");
like($error, qr/WARNING:  sessions do not share the image of model "m".*DETAIL:  It has \d+ MB, gpt.max_image_size is 1 MB/s, 'an image that is too large is the session\'s own');
my $warnings = () = $error =~ /WARNING/g;
is($warnings, 1, 'it says so once');
(undef, undef, $error) = $node->psql('postgres', "SET gpt.max_memory = '1MB'; $score");
like($error,
	qr/ERROR:  memory required is \d+ MB, gpt.max_memory is 1 MB.*HINT:  .*With a gpt.max_image_size of more than \d+ MB, sessions share it/s,
	'and where the session has no room for it, how it would');
is($node->safe_psql('postgres', $score), $value, 'and scores the same');
$node->append_conf('postgresql.conf', "gpt.max_image_size = '1GB'");
$node->restart;

# a directory that cannot be written
$node->safe_psql('postgres', $score);
unlink(glob("$directory/*"));
chmod(0500, $directory);
my $answer;
(undef, $answer, $error) = $node->psql('postgres', $score);
is($answer, $value, 'where the directory cannot be written the score is the same');
like($error, qr/WARNING:  sessions do not share.*Could not create file/s, 'with a warning');
chmod(0700, $directory);

# parallel workers
$node->safe_psql('postgres', $score);
my $forced = $node->safe_psql('postgres', q{SELECT CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END});
is($node->safe_psql('postgres', qq{SET $forced = on; SELECT gpt_score('m', 'line 5')}), $value, 'a parallel worker maps the image');

# base backups do without them; a standby makes its own
cmp_ok(scalar(images()), '>', 0, 'there are images');
$node->backup('base');
is(join(' ', glob($node->backup_dir . '/base/base/pgsql_tmp/*')), '', 'a base backup has none');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $score), $value, 'a standby scores the same');
is(scalar(glob($standby->data_dir . '/base/pgsql_tmp/pgsql_tmp_gpt_image_*_float32')) ? 1 : 0, 1, 'from an image of its own');
is($standby->safe_psql('postgres', q{SELECT model, version FROM gpt_images WHERE model = 'm'}), 'm|1', 'which gpt_images shows there');
(undef, undef, $error) = $standby->psql('postgres', q{SELECT gpt_set_image_type('m', 'float32')});
like($error, qr/cannot execute gpt_set_image_type\(\) during recovery|cannot execute/, 'where the type cannot be set');

is($node->safe_psql('postgres', q{DROP EXTENSION gpt; SELECT 1}), '1', 'the extension is dropped');
is(join(' ', glob("$directory/pgsql_tmp_gpt_*")), '', 'with it all images go');
done_testing();
