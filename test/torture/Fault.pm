# test/torture/Fault.pm - arms fault.c, which has been preloaded into a server: which call fails, the how manieth, in
# which processes. See there.
package Fault;

use strict;
use warnings;

use Errno qw(EIO ENOSPC ENOMEM EAGAIN);
use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(preload arm disarm);

my %CALLS = (
	open => [ 1, EIO ],
	write => [ 2, ENOSPC ],
	fsync => [ 3, EIO ],
	rename => [ 4, ENOSPC ],
	mmap => [ 5, ENOMEM ],
	thread => [ 6, EAGAIN ],
	malloc => [ 7, ENOMEM ]);
my %ACTIONS = (fail => 0, crash => 1, short => 2, fail_from => 3);
my $LAYOUT = 'l l q q q l a60';
my $file;

sub put
{
	my ($bytes) = @_;

	open(my $handle, -e $file ? '+<:raw' : '>:raw', $file) or die "$file: $!";
	print $handle $bytes;
	close $handle or die $!;
}

# Restarts the server with the library.
sub preload
{
	my ($node) = @_;

	$file = PostgreSQL::Test::Utils::tempdir() . '/fault';
	put(pack($LAYOUT, (0) x 6, ''));
	$node->stop('fast');
	{
		local $ENV{GPT_FAULT_FILE} = $file;
		local $ENV{LD_PRELOAD} = $ENV{TORTURE_FAULT_LIBRARY};
		$node->start;
	}
}

# The k-th call from now fails; k = 0 only counts.
sub arm
{
	my ($process, $call, $k, $action) = @_;
	my ($number, $error) = @{ $CALLS{$call} };

	disarm();
	put(pack($LAYOUT, 0, $ACTIONS{ $action || 'fail' }, $k, 0, 0, $error, $process));
	put(pack('l', $number));
}

# Returns how many calls there were, and how many failed.
sub disarm
{
	put(pack('l', 0));
	open(my $handle, '<:raw', $file) or die $!;
	read($handle, my $bytes, 128);
	my @fields = unpack($LAYOUT, $bytes);
	return @fields[ 3, 4 ];
}

1;
