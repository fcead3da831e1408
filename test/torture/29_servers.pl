# What administrators do to servers in the middle of a training over both: they restart them, drop what it uses, fill a
# disk, start trainings that want each other's slots. Each training goes on as soon as it can, or ends with an error
# that names the server; then nothing of it is left on the other one.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use GptServers;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

plan skip_all => 'a share of 5 % is the least' if ($ENV{TORTURE_SHARE} // 100) < 5;
my ($here, $east) = start_servers([ 'here', 'east' ], preload => 1, conf => <<'CONF');
gpt.checkpoint_interval = 0
gpt.peer_timeout = '1s'
gpt.max_workers = 3
gpt.gradient_address = '127.0.0.1'
CONF
my $superuser = $here->safe_psql('postgres', 'SELECT current_user');
my $grant = 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO trainer';
my $number = 0;
connect_servers($here, $east);
connect_servers($east, $here);
fill_line($here, 1, 300);
fill_line($east, 301, 500);
$_->safe_psql('postgres', "GRANT SELECT ON line TO PUBLIC; $grant") for $here, $east;

# ---- what the scenarios share ----

# Starts a training on a server over the other one; returns its number.
sub start
{
	my ($node, $options, $role) = @_;
	my $other = $node == $here ? 'east' : 'here';

	$number++;
	return ask($node, ($role ? "SET ROLE $role; " : '') . qq{SELECT gpt_train('m$number', 'SELECT body FROM line', '{"layers": 1,
		"heads": 2, "channels": 32, "context": 32, "tokenizer": "bytes", "batch_size": 4, "threads": 1,
		"patience": 0, "seed": 3, "publish": "last",
		"servers": ["$other"], $options}')});
}

# The answer of a server that may restart.
sub ask
{
	my ($node, $sql) = @_;

	return wait_until("an answer to $sql", sub {
		my ($status, $answer) = $node->psql('postgres', $sql);
		return $status == 0 && "$answer ";
	}) =~ s/ $//r;
}

sub until_true
{
	my ($node, $sql) = @_;

	return wait_until($sql, sub { ($node->psql('postgres', $sql))[1] eq 't' }, 60);
}

sub at_step
{
	my ($node, $job, $step) = @_;

	until_true($node, "SELECT step >= $step FROM gpt_jobs WHERE job = $job");
}

sub end_of
{
	my ($node, $job) = @_;

	until_true($node, "SELECT state NOT IN ('queued', 'running') FROM gpt_jobs WHERE job = $job");
	return ask($node, "SELECT concat_ws(E'\\n', state, error) FROM gpt_jobs WHERE job = $job");
}

sub weights_of
{
	my ($node, $job) = @_;

	return ask($node, "SELECT md5(substr(o, 9 + get_byte(o, 0) + 256 * get_byte(o, 1) + 65536 * get_byte(o, 2)))
		FROM (SELECT lo_get(weights) AS o FROM gpt_version WHERE model = (SELECT model FROM gpt_job WHERE job = $job)) w");
}

sub end_session_of_member
{
	$east->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE query LIKE '%gpt_member\_%' AND pid <> pg_backend_pid()});
}

sub set
{
	my ($node, $setting, $value) = @_;

	$node->append_conf('postgresql.conf', "$setting = '$value'");
	$node->reload;
	until_true($node, "SELECT setting = '$value' FROM pg_settings WHERE name = '$setting'");
}

# ---- scenarios: kind => code that returns whether all was as it should be ----

my ($undisturbed, $steps) = (undef, 60);

# A training of steps is disturbed, and ends in the weights of the undisturbed one.
sub disturb
{
	my ($code) = @_;
	my $options = qq{"sync": "step", "steps": $steps, "dropout": 0.1};
	my $job;

	if (!defined $undisturbed)
	{
		end_of($here, $job = start($here, $options));
		$undisturbed = weights_of($here, $job);
	}
	$job = start($here, $options);
	at_step($here, $job, 1 + int(draw(0, $steps / 2)));
	$code->();
	return is(end_of($here, $job), 'succeeded', 'it goes on')
	  && is(weights_of($here, $job), $undisturbed, 'with the same weights');
}

# A training, of rounds or of steps, whose server loses what it needs, and its session. gone: what brings that about;
# back: what undoes it; error: of the job, or undef where the job waits until it is undone; data and sync: options.
sub take_away
{
	my (%way) = @_;
	my $sync = $way{sync} // (rand > 0.5 ? '"step"' : 5);
	my $data = $way{data} // (rand > 0.5 ? 'local' : 'dealt');
	my $job = start($here, qq{"sync": $sync, "data": "$data", "steps": 1000000}, $way{role});

	at_step($here, $job, 5 + int(draw(0, 20)));
	$way{gone}->();
	end_session_of_member() unless $way{ends_itself};
	if ($way{error})
	{
		my $end = end_of($here, $job);
		$way{back}->();
		return like($end, qr/^failed\n.*$way{error}/s, 'it fails with the reason');
	}
	until_true($here, "SELECT state = 'lost' AND error ~ '$way{waits}' FROM gpt_job_servers
		WHERE job = $job AND member = 1");
	until_true($here, "SELECT phase = 'waiting for servers' FROM gpt_stat_progress_train WHERE job = $job");
	my $step = ask($here, "SELECT step FROM gpt_stat_progress_train WHERE job = $job");
	usleep(2_000_000); # some tries
	my $made = ask($here, "SELECT step FROM gpt_stat_progress_train WHERE job = $job") - $step;
	$way{back}->();
	at_step($here, $job, $step + 10);
	ask($here, "SELECT gpt_cancel($job)");
	return is(end_of($here, $job) . ", $made steps", 'cancelled, 0 steps', 'it waits, makes no step meanwhile, and goes on');
}

# Trainings that want the slots of both servers, which have so many.
sub compete
{
	my ($slots, @places) = @_;
	my $good;

	set($_, 'gpt.max_workers', $slots) for $here, $east;
	my @jobs = map { [ $_, start($_, (rand > 0.5 ? '"sync": "step"' : '"sync": 5') . ', "steps": 20') ] } @places;
	$good = is(join(' ', map { end_of(@$_) } @jobs), join(' ', ('succeeded') x @jobs),
		scalar(@jobs) . " trainings share $slots slots of each server");
	set($_, 'gpt.max_workers', 3) for $here, $east;
	return $good;
}

sub small_disk
{
	my ($folder) = @_;

	mkdir "$folder/space";
	$east->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$folder/space'");
	set($east, 'temp_tablespaces', 'small');
	my $good = take_away(
		waits => 'No space left',
		gone => sub { open my $file, '>', "$folder/fill"; 1 while syswrite $file, 'x' x 65536; },
		back => sub { unlink "$folder/fill" });
	set($east, 'temp_tablespaces', '');
	$east->safe_psql('postgres', 'DROP TABLESPACE small');
	return $good;
}

sub there { my ($sql) = @_; return sub { $east->safe_psql('postgres', $sql) } }
sub at_home { my ($sql) = @_; return sub { $here->safe_psql('postgres', $sql) } }

my %scenarios = (
	'dropped server' => sub {
		take_away(error => 'server "east" does not exist', gone => at_home('DROP SERVER east CASCADE'),
			back => sub { connect_servers($here, $east) });
	},
	'dropped user mapping' => sub {
		take_away(error => 'user mapping not found for user ".*", server "east"',
			gone => at_home('DROP USER MAPPING FOR CURRENT_USER SERVER east'),
			back => at_home("CREATE USER MAPPING FOR CURRENT_USER SERVER east
				OPTIONS (user '$superuser', password '@{[password_of('postgres')]}')"));
	},
	'missing table' => sub {
		take_away(data => 'local', error => 'relation "line" does not exist\n.*Server "east"',
			gone => there('ALTER TABLE line RENAME TO elsewhere'), back => there('ALTER TABLE elsewhere RENAME TO line'));
	},
	'revoked privilege' => sub {
		take_away(role => 'trainer', error => 'permission denied for function gpt_member_\w+\n.*Server "east"', ends_itself => 1,
			gone => there('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM trainer'), back => there($grant));
	},
	'dropped extension' => sub {
		take_away(error => 'function public.gpt_member_\w+\(.*\) does not exist\n.*Server "east"', ends_itself => 1,
			gone => there('DROP EXTENSION gpt CASCADE'), back => there("CREATE EXTENSION gpt; $grant"));
	},
	'changed password' => sub {
		take_away(role => 'trainer', waits => 'password authentication failed',
			gone => there(q{ALTER ROLE trainer PASSWORD 'another'}),
			back => there("ALTER ROLE trainer PASSWORD '@{[password_of('trainer')]}'"));
	},
	'dropped database' => sub {
		$east->safe_psql('postgres', $_) for 'DROP DATABASE IF EXISTS spare', 'CREATE DATABASE spare TEMPLATE postgres';
		$here->safe_psql('postgres', q{ALTER SERVER east OPTIONS (SET dbname 'spare')});
		take_away(waits => 'does not exist', ends_itself => 1, gone => there('DROP DATABASE spare WITH (FORCE)'),
			back => at_home(q{ALTER SERVER east OPTIONS (SET dbname 'postgres')}));
	},
	'small temp_file_limit' => sub {
		take_away(data => 'dealt', sync => '"step"', waits => 'temporary file size exceeds',
			gone => sub { set($east, 'temp_file_limit', 10) }, back => sub { set($east, 'temp_file_limit', -1) });
	},
	'circle of trainings' => sub { compete(1, $here, $east) },
	'rival trainings' => sub { compete(3, $here, $here, $here) });

$scenarios{'full disk of a server'} = sub { small_disk($ENV{TORTURE_SMALL_DISK}) } if $ENV{TORTURE_SMALL_DISK};
for my $mode ('smart', 'fast', 'immediate')
{
	$scenarios{"$mode restart of the coordinator"} = sub { disturb(sub { $here->stop($mode); $here->start }) };
	$scenarios{"$mode restart of a server"} = sub { disturb(sub { $east->stop($mode); $east->start }) };
}

# ---- the run ----

my @deck;
for my $round (1 .. share(48))
{
	@deck = sort { rand() <=> 0.5 } sort keys %scenarios unless @deck;
	my $kind = shift @deck;
	note($kind);
	fault($kind, eval { $scenarios{$kind}->() } || do { diag($@) if $@; 0 });
	until_true($east, q{SELECT count(*) = 0 FROM pg_stat_activity
		WHERE application_name = 'gpt' AND backend_type = 'client backend'});
}
finish();
