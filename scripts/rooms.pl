#!/usr/bin/perl
#
# scripts/rooms.pl - who calls whom, between source files: reads `nm -A` of all objects, prints what breaks the rules of the rooms.
#
#   rooms.pl up       calls (and uses of variables) that go up, or across from one room to another on the same floor
#   rooms.pl circles  circles of more than two files, and circles that cross rooms
#
# A floor may call those below it. src/engine/serve and src/engine/train stand side by side, as do src/serve and src/jobs.
use strict;
use warnings;

my @floors = (
	[qw(engine/base)], [qw(engine/text engine/kernels engine/formats)], [qw(engine/model)], [qw(engine/train engine/serve)],
	[qw(core)], [qw(store)], [qw(remote)], [qw(corpus)], [qw(train)], [qw(jobs serve)], [qw(sql)]);
my %floor;
for my $i (0 .. $#floors)
{
	$floor{$_} = $i for @{ $floors[$i] };
}

my (%file_of, @uses);
while (<STDIN>)
{
	my ($object, $kind, $name) = /^(\S+)\.o:[0-9a-f ]*([A-Za-z]) (\S+)$/ or next;
	if ($kind eq 'U') { push @uses, [ $object, $name ]; }
	elsif ($kind =~ /^[TDBRVW]$/) { $file_of{$name} = $object; }
}
die "no objects\n" unless @uses;

sub room { return $_[0] =~ m{^src/(engine/\w+|\w+)/} ? $1 : $_[0]; }

my (%calls, %names);
for my $use (@uses)
{
	my ($caller, $name) = @$use;
	my $callee = $file_of{$name};
	next if !defined $callee || $callee eq $caller;
	$calls{$caller}{$callee} = 1;
	push @{ $names{$caller}{$callee} }, $name;
}

# Tarjan, "Depth-first search and linear graph algorithms", 1972: the strongly connected parts.
my ($count, @stack, %index, %low, %on_stack, @circles) = (0);
sub visit
{
	my ($file) = @_;
	no warnings 'recursion';

	$index{$file} = $low{$file} = $count++;
	push @stack, $file;
	$on_stack{$file} = 1;
	for my $callee (sort keys %{ $calls{$file} })
	{
		visit($callee) unless defined $index{$callee};
		$low{$file} = $low{$callee} if $on_stack{$callee} && $low{$callee} < $low{$file};
	}
	return if $low{$file} != $index{$file};
	my @part;
	do { push @part, pop @stack; delete $on_stack{ $part[-1] }; } until $part[-1] eq $file;
	push @circles, [ sort @part ] if @part > 1;
}

if ($ARGV[0] eq 'up')
{
	for my $caller (sort keys %calls)
	{
		for my $callee (sort keys %{ $calls{$caller} })
		{
			my ($from, $to) = (room($caller), room($callee));

			if (!defined $floor{$from} || !defined $floor{$to}) { print "$caller.c or $callee.c lies in no room\n"; }
			elsif ($from ne $to && $floor{$to} >= $floor{$from})
			{
				print "$caller.c calls $callee.c: @{ $names{$caller}{$callee} }\n";
			}
		}
	}
}
else
{
	for my $file (sort keys %calls) { visit($file) unless defined $index{$file}; }
	for my $circle (@circles)
	{
		my %rooms = map { room($_) => 1 } @$circle;
		print join(', ', map { "$_.c" } @$circle), "\n" if @$circle > 2 || keys %rooms > 1;
	}
}
