# test/t/021_function_protocol.pl - every function of the extension called by the function call protocol, which no SQL
# precedes: by a plain role and a superuser, with too many and too few arguments, NULLs and bytes that are no value. The
# server lives.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;

use GptTest;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Test::More;

sub read_bytes
{
	my ($socket, $size) = @_;
	my $bytes = '';

	while (length($bytes) < $size)
	{
		die "the server closed the connection\n" if !sysread($socket, $bytes, $size - length($bytes), length($bytes));
	}
	return $bytes;
}

# The next messages until the session is ready again: their types, and the SQLSTATE or value of the last that has one.
sub answer
{
	my ($socket) = @_;
	my ($types, $found) = ('', '');

	for (;;)
	{
		my ($type, $size) = unpack('a1 N', read_bytes($socket, 5));
		my $body = read_bytes($socket, $size - 4);

		$types .= $type;
		($found) = $body =~ /\0?C(.{5})\0/s if $type eq 'E';
		$found = substr($body, 4) if $type eq 'V';
		return ($types, $found) if $type eq 'Z';
	}
}

sub connect_as
{
	my ($node, $role) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "no connection: $!";
	my $body = pack('N', 196608) . "user\0$role\0database\0postgres\0\0";

	syswrite($socket, pack('N', length($body) + 4) . $body);
	answer($socket);
	return $socket;
}

# format: 0 text, 1 binary; an undefined argument is NULL.
sub call
{
	my ($socket, $function, $format, @arguments) = @_;
	my $body = pack('N n n n', $function, 1, $format, scalar(@arguments));

	$body .= defined $_ ? pack('N', length($_)) . $_ : pack('N', 0xFFFFFFFF) for @arguments;
	$body .= pack('n', 0);
	syswrite($socket, 'F' . pack('N', length($body) + 4) . $body);
	return answer($socket);
}

my $node = start_node('protocol', 0);
$node->safe_psql('postgres', 'CREATE ROLE plain LOGIN');
my @functions = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT p.oid, p.pronargs, p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gpt')
SQL
cmp_ok(scalar(@functions), '>=', 45, 'the catalog lists the functions of the extension');

my $calls = 0;
for my $role ('plain', $ENV{PGUSER} // scalar(getpwuid($<)))
{
	my $socket = connect_as($node, $role);

	for my $function (@functions)
	{
		my ($oid, $n, $name) = @$function;

		for my $value (undef, '', 'x', '1', '{}', '{1,NULL}', "\x00\x00\x00\x01", "\xFF\xFF\xFF\xFF", "\x00\x00\x00\x01" x 8, "\x7F" x 16)
		{
			for my $count ($n, $n + 1, $n - 1)
			{
				call($socket, $oid, $_, ($value) x $count), $calls++ for $count >= 0 ? (0, 1) : ();
			}
		}
	}
	my ($types, $tokens) = call($socket, (grep { $_->[2] eq 'gpt_count_tokens' } @functions)[0][0], 0, 'bytes', 'four');
	is($tokens, '4', "$role: a call with values that fit is answered");
}
cmp_ok($calls, '>', 4000, 'all were called');
unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'no process of the server has crashed');
is($node->safe_psql('postgres', q{SELECT gpt_count_tokens('bytes', 'four')}), '4', 'and it answers');

done_testing();
