# test/t/GptServers.pm - several servers that know each other, for the tests of training and scoring over servers.
#
#   my ($here, $east, $west) = start_servers([ 'here', 'east', 'west' ], preload => 1);
#   connect_servers($here, $east, $west);
#   $here->safe_psql('postgres', q{SELECT gpt_train('m', 'SELECT body FROM line', '{"servers": ["east", "west"]}')});
#
# initdb runs once; the others are copies with a system identifier of their own. Tests talk to them by their Unix
# sockets, without a password; they talk to each other on 127.0.0.1 (the port of each is free there), with the passwords
# of their user mappings (scram-sha-256). Each has the extensions gpt and postgres_fdw in the database postgres, the
# roles postgres (superuser) and trainer (which may create in the schema public), and an empty table line (id, body)
# that both may read; fill_line gives it rows.
package GptServers;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_servers connect_servers connection_of password_of make_authority certify fill_line processes_of
  kill_process set_peer_timeout poll_through_restarts member_session ends_of_job);

# Running servers of these names. Options: preload, whether they preload gpt (the first one needs it, or starts workers
# on demand); conf, lines for postgresql.conf; each, lines for one name ({ east => "…" }); sql, statements for the database
# postgres of each.
sub start_servers
{
	my ($names, %options) = @_;
	my ($first, @others) = map { PostgreSQL::Test::Cluster->new($_) } @$names;

	$first->init(allows_streaming => 1);
	write_settings($first, %options);
	$first->start;
	$first->safe_psql('postgres', setup_statements() . ($options{sql} // ''));
	$first->stop;
	if (@others)
	{
		$first->backup_fs_cold('servers');
		for my $node (@others)
		{
			$node->init_from_backup($first, 'servers');
			renew_identifier($node);
		}
	}
	for my $node ($first, @others)
	{
		$node->append_conf('postgresql.conf', $options{each}{ $node->name } // '');
		$node->start;
	}
	return ($first, @others);
}

sub write_settings
{
	my ($node, %options) = @_;

	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'gpt'") if $options{preload};
	$node->append_conf('postgresql.conf', <<"CONF" . ($options{conf} // ''));
listen_addresses = '127.0.0.1'
max_connections = 30
max_worker_processes = 10
autovacuum = off
restart_after_crash = on
log_statement = ddl
password_encryption = 'scram-sha-256'
gpt.nice = 0
CONF
	unlink $node->data_dir . '/pg_hba.conf';
	$node->append_conf('pg_hba.conf', "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
}

my @new_key = ('-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1');

# A certificate authority; returns the path of its files without .crt and .key.
sub make_authority
{
	my ($name) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir() . "/$name";

	system_log('openssl', 'req', '-new', '-x509', '-days', '1', @new_key, '-subj', "/CN=$name", '-keyout', "$path.key", '-out', "$path.crt") == 0
	  or die 'openssl could not make an authority';
	return $path;
}

# A running server offers TLS with a certificate for 127.0.0.1 that the authority has signed.
sub certify
{
	my ($node, $authority) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir() . '/server';

	append_to_file("$path.ext", 'subjectAltName = IP:127.0.0.1');
	system_log('openssl', 'req', '-new', @new_key, '-subj', '/CN=127.0.0.1', '-keyout', "$path.key", '-out', "$path.csr") == 0
	  && system_log('openssl', 'x509', '-req', '-days', '1', '-in', "$path.csr", '-CA', "$authority.crt",
		'-CAkey', "$authority.key", '-CAcreateserial', '-extfile', "$path.ext", '-out', "$path.crt") == 0
	  or die 'openssl could not make a certificate';
	chmod 0600, "$path.key";
	$node->append_conf('postgresql.conf', "ssl = on\nssl_cert_file = '$path.crt'\nssl_key_file = '$path.key'");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT setting = 'on' FROM pg_settings WHERE name = 'ssl'}) or die 'no TLS';
}

sub setup_statements
{
	my ($superuser, $trainer) = (password_of('postgres'), password_of('trainer'));

	# The superuser has the name of the system's user.
	return <<"SQL";
SELECT format('ALTER ROLE %I PASSWORD %L', current_user, '$superuser') \\gexec
CREATE ROLE trainer LOGIN PASSWORD '$trainer';
GRANT CREATE, USAGE ON SCHEMA public TO trainer;
CREATE EXTENSION gpt;
CREATE EXTENSION postgres_fdw;
GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO trainer;
CREATE TABLE line (id bigint PRIMARY KEY, body text NOT NULL);
GRANT SELECT ON line TO trainer;
SQL
}

# A copy of a cluster has its system identifier, the first eight bytes of pg_control. The CRC-32C of what stands before
# it follows the data; pg_resetwal then writes the identifier into the log.
sub renew_identifier
{
	my ($node) = @_;
	my $file = $node->data_dir . '/global/pg_control';
	my $bytes = slurp_file($file);
	my $length = checked_length($bytes);
	my ($identifier) = unpack('Q<', $bytes);

	substr($bytes, 0, 8) = pack('Q<', $identifier + $node->port);
	substr($bytes, $length, 4) = pack('L<', crc32c(substr($bytes, 0, $length)));
	open my $handle, '+<:raw', $file or die "$file: $!";
	print $handle $bytes;
	close $handle;
	system_log('pg_resetwal', '-f', '-D', $node->data_dir) == 0 or die 'pg_resetwal failed';
}

# How many bytes of pg_control its checksum covers.
sub checked_length
{
	my ($bytes) = @_;
	my $crc = 0xFFFFFFFF;

	for (my $i = 0; $i + 8 <= 512; $i += 4)
	{
		$crc = add_to_crc($crc, substr($bytes, $i, 4));
		return $i + 4 if ($crc ^ 0xFFFFFFFF) == unpack('L<', substr($bytes, $i + 4, 4));
	}
	die 'pg_control has no checksum where one was expected';
}

sub crc32c
{
	my ($bytes) = @_;

	return add_to_crc(0xFFFFFFFF, $bytes) ^ 0xFFFFFFFF;
}

# Castagnoli's polynomial, reflected; bit by bit.
sub add_to_crc
{
	my ($crc, $bytes) = @_;

	for my $byte (unpack('C*', $bytes))
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc;
}

# The password of a role, the same on every server.
sub password_of
{
	my ($role) = @_;

	return "the password of $role";
}

# host, port and dbname of a server as another one reaches it, for CREATE SERVER.
sub connection_of
{
	my ($node, $database) = @_;

	return "host '127.0.0.1', port '" . $node->port . "', dbname '" . ($database // 'postgres') . "'";
}

# Foreign servers of the members' names on the coordinator, with user mappings of its superuser and of trainer to the
# same roles there. trainer may use them.
sub connect_servers
{
	my ($coordinator, @members) = @_;
	my $sql = '';

	for my $node (@members)
	{
		my ($name, $options) = ($node->name, connection_of($node));
		my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
		$sql .= "CREATE SERVER $name FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($options);
			GRANT USAGE ON FOREIGN SERVER $name TO trainer;
			CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (user '$superuser', password '" . password_of('postgres') . "');
			CREATE USER MAPPING FOR trainer SERVER $name OPTIONS (user 'trainer', password '" . password_of('trainer') . "');\n";
	}
	$coordinator->safe_psql('postgres', $sql);
}

# The rows first .. last of the table line; the text of a row depends on its number alone, so that servers with other
# ranges have other rows.
sub fill_line
{
	my ($node, $first, $last) = @_;

	$node->safe_psql('postgres', "INSERT INTO line
		SELECT i, 'line ' || i || ' says ' || md5(i::text) || ' and ' || md5((i * 7)::text) FROM generate_series($first, $last) i");
}

# The processes of a server that take part in trainings, as ([ pid, kind ], …): the postmaster, workers of gpt, and
# client sessions of foreign servers (of application_name gpt).
sub processes_of
{
	my ($node) = @_;
	my @found = ([ (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0], 'postmaster' ]);

	push @found, map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres',
		"SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type LIKE 'gpt %' OR application_name = 'gpt' ORDER BY pid");
	return @found;
}

# kill -9 of a process; of a postmaster, its children are left to notice it.
sub kill_process
{
	my ($pid) = @_;

	# An empty one would be this test's own group.
	$pid =~ /^[1-9]\d*$/ or die "no process to kill: '$pid'";
	return kill('KILL', $pid) == 1;
}

# Jobs that start from now on take a server for lost after such a silence. One that is short is for the tests of silence
# alone: on busy cores it makes losses of servers that are merely slow.
sub set_peer_timeout
{
	my ($node, $timeout) = @_;

	$node->append_conf('postgresql.conf', "gpt.peer_timeout = '$timeout'");
	$node->reload;
	poll_through_restarts($node, "SELECT current_setting('gpt.peer_timeout') = '$timeout'") or die 'gpt.peer_timeout is not set';
}

# Whether a query gives true, which may take 100 s: how long depends on what else the machine does. Meanwhile the server
# may start again, as it does when it has lost a process.
sub poll_through_restarts
{
	my ($node, $sql) = @_;
	my $end = time + 100;

	until (($node->psql('postgres', $sql))[1] eq 't')
	{
		return 0 if time > $end;
		select undef, undef, undef, 0.015;
	}
	return 1;
}

# The session of a server that is a member, as soon as there is one; the other one only answers.
sub member_session
{
	my ($node) = @_;
	my $sql = q{FROM pg_stat_activity WHERE query LIKE '%gpt_member\_%' AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1};

	for (1 .. 2000)
	{
		my $pid = ($node->psql('postgres', "SELECT pid $sql"))[1];
		return $pid if $pid ne '';
		select undef, undef, undef, 0.02;
	}
	die 'no session is a member on ' . $node->name;
}

# The number and the state of a job that the code starts, when it has ended. A server that gives no sign of life for 900 ms
# at the beginning fails the job; where that is only a busy machine's, the job is started again.
sub ends_of_job
{
	my ($node, $start, $job) = @_;

	for my $try (1 .. 5)
	{
		$job = $start->() if $try > 1 || !defined $job;
		my $state = $node->safe_psql('postgres', "SELECT gpt_wait($job, '180 s')");
		return ($job, $state) if $try == 5
		  || $node->safe_psql('postgres', "SELECT error FROM gpt_jobs WHERE job = $job") !~ /its server did not answer within/;
	}
}

1;
