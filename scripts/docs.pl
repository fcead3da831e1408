#!/usr/bin/perl
#
# scripts/docs.pl CLUSTER FILE... - runs the SQL of documents, so that it cannot rot. Prints TAP.
#
# CLUSTER is a folder of scripts/cluster.sh with a running server. Each file gets a database of its own, and one psql
# session runs its ```sql blocks in order. A block is one test: it fails when psql, or a job that the block submits,
# reports an error, and when the ``` block below it, which shows its output, has columns that the output lacks. Between
# two blocks the runner waits for all jobs. HTML comments, which readers of the rendered
# document do not see, direct it:
#
#   <!-- sql ... -->          runs the SQL in the comment, for tables that the text takes for granted
#   <!-- error: text -->      the next block shows an error: it must report one that contains the text
#   <!-- replace: a => b -->  the next block runs with b in place of a; several are possible
#
# Trainings are tiny: test/docs/setup.sql puts functions of the same names before gpt_train and gpt_finetune, which
# shrink the model to one layer and the training to 4 steps, and pass all other options on. That file also has
# small stand-ins for pg_cron and pgvector. psql runs in a folder of its own, in which "examples" is the one of the
# repository. The variable "source" names the root of the repository, for \i in comments.
#
#   scripts/docs.pl --full CLUSTER FILE   trains as the text says, waits only where the text waits, and prints the
#                                         results, to be pasted into the text
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $full = @ARGV && $ARGV[0] eq '--full' ? shift : '';
my ($cluster, @files) = @ARGV;
die "usage: scripts/docs.pl [--full] CLUSTER FILE...\n" unless @files;

my $root = dirname(dirname(abs_path($0)));
my $socket = slurp("$cluster/socket");
my @psql = (abs_path($cluster) . '/tree' . command_output($ENV{PG_CONFIG} // 'pg_config', '--bindir') . '/psql', '-X', '-U', 'postgres', '-h', $socket);
my $count = 0;

@files = map { abs_path($_) // die "$_: $!\n" } @files;
for my $file (@files)
{
	run_file($file);
}
print "1..$count\n";

sub slurp
{
	my ($file) = @_;

	open(my $in, '<', $file) or die "$file: $!\n";
	local $/;
	my $text = <$in>;
	$text =~ s/\n\z// if $file =~ /socket$/;
	return $text;
}

sub command_output
{
	open(my $in, '-|', @_) or die "$_[0]: $!\n";
	chomp(my $line = <$in> // '');
	return $line;
}

sub ok
{
	my ($ok, $name, @notes) = @_;

	$count++;
	print $ok ? 'ok' : 'not ok', " $count - $name\n";
	splice(@notes, 20, @notes - 20, '...') if @notes > 20;
	print map { "# $_\n" } @notes unless $ok;
}

# The document as a list of {line, sql, shown, error, hidden}. A comment that directs nothing is an error.
sub blocks
{
	my ($file) = @_;
	my (@blocks, $block, $above, %next);

	open(my $in, '<', $file) or die "$file: $!\n";
	while (my $line = <$in>)
	{
		if ($block)
		{
			if ($line !~ ($block->{hidden} ? qr/^-->/ : qr/^```/))
			{
				$block->{sql} .= $line;
				next;
			}
			for (@{ $block->{replace} // [] })
			{
				my ($from, $to) = @$_;
				$block->{sql} =~ s/\Q$from\E/$to/g or die "$file:$block->{line}: nothing to replace: $from\n";
			}
			push @blocks, $block;
			$above = $block->{hidden} ? undef : $block;
			undef $block;
			next;
		}
		if ($above && $line =~ /^```\s*$/)
		{
			$above->{shown} .= $line while defined($line = <$in>) && $line !~ /^```/;
			undef $above;
			next;
		}
		undef $above if $line =~ /\S/;
		if ($line =~ /^<!-- error: (.*) -->$/) { $next{error} = $1; }
		elsif ($line =~ /^<!-- replace: (.*?) => (.*) -->$/) { push @{ $next{replace} }, [ $1, $2 ]; }
		elsif ($line =~ /^<!-- sql (.*) -->$/) { push @blocks, { line => $., sql => "$1\n", hidden => 1 }; }
		elsif ($line =~ /^<!-- sql$/) { $block = { line => $., sql => '', hidden => 1 }; }
		elsif ($line =~ /^<!-- (sql|error|replace)/) { die "$file:$.: a comment that the runner cannot read\n"; }
		elsif ($line =~ /^```sql\s*$/)
		{
			$block = { line => $., sql => '', %next };
			%next = ();
		}
		elsif ($line =~ /\S/ && %next) { die "$file:$.: a comment for a block, without the block\n"; }
	}
	die "$file: a block has no end\n" if $block;
	return @blocks;
}

# The script of one psql session. Lines "@@ number" in its messages and its output separate the blocks.
sub script
{
	my ($blocks) = @_;
	my $script = "\\i :source/test/docs/setup.sql\n";

	for my $i (0 .. $#$blocks)
	{
		my $block = $blocks->[$i];
		$script .= "\\warn '\@\@' $i\n\\echo '\@\@' $i\n";
		# The semicolon ends a statement that lacks its own, before it swallows the next block.
		$script .= $block->{sql} . "\n;\n";
		$script .= "\\o /dev/null\nSELECT docs.finish();\n\\o\n" unless $full;
	}
	return $script . "\\warn '\@\@' end\n";
}

# Runs psql on a script, and returns its messages and its output, as lists of lines by block.
sub session
{
	my ($folder, $database, $script) = @_;

	open(my $out, '>', "$folder/script") or die "$folder/script: $!\n";
	print $out $script;
	close($out);
	symlink("$root/examples", "$folder/examples") or die "$folder/examples: $!\n";
	my $pid = fork() // die "fork: $!\n";
	if (!$pid)
	{
		chdir($folder);
		open(STDOUT, '>', "$folder/output");
		open(STDERR, '>', "$folder/messages");
		exec(@psql, '-d', $database, '-v', "source=$root", '-v', 'tiny=' . ($full ? 'false' : 'true'), '-f', 'script');
	}
	waitpid($pid, 0);
	return (by_block("$folder/messages"), by_block("$folder/output"));
}

sub by_block
{
	my ($file) = @_;
	my $current = 'set-up';
	my %lines;

	for (split /\n/, slurp($file))
	{
		if (/^\@\@ (\w+)$/) { $lines{ $current = $1 } = []; }
		else { push @{ $lines{$current} }, $_; }
	}
	return \%lines;
}

sub run_file
{
	my ($file) = @_;
	my $name = substr($file, 0, length("$root/")) eq "$root/" ? substr($file, length("$root/")) : $file;
	my $database = 'docs_' . lc($name =~ s/\W+/_/gr);
	my $folder = tempdir(CLEANUP => 1);
	my @blocks = blocks($file);

	system(@psql, '-q', '-d', 'postgres', '-c', 'SET client_min_messages = warning',
		'-c', "DROP DATABASE IF EXISTS $database WITH (FORCE)", '-c', "CREATE DATABASE $database") == 0 or die "no database\n";
	my ($messages, $output) = session($folder, $database, script(\@blocks));
	for my $i (0 .. $#blocks)
	{
		judge($name, $blocks[$i], $messages->{$i}, $output->{$i} // []);
	}
	my @early = @{ $messages->{'set-up'} // [] };
	ok(0, "$name runs to its end", @early) if !$messages->{end} || errors(\@early);
	system(@psql, '-q', '-d', 'postgres', '-c', "DROP DATABASE $database WITH (FORCE)");
}

sub errors
{
	return grep { /^psql:.*:\d+: (?:ERROR|FATAL|PANIC|error):|WARNING:  job \d+ of a block/ } @{ $_[0] // [] };
}

# The heads of tables in psql's output: the lines above "---+---", without the padding.
sub heads
{
	my @lines = @_;

	return map { join('|', split(/\s*\|\s*/, $lines[$_ - 1] =~ s/^\s+|\s+$//gr)) } grep { $lines[$_] =~ /^-[-+]*$/ } 1 .. $#lines;
}

sub judge
{
	my ($name, $block, $messages, $output) = @_;
	my $title = "$name:$block->{line}";
	my @errors = errors($messages);
	my %has = map { $_ => 1 } heads(@$output);
	my @missing = map { "the output has no table with the columns $_" } grep { !$has{$_} } heads(split /\n/, $block->{shown} // '');

	print STDERR map { "$_\n" } "---- line $block->{line}", @$output if $full && !$block->{hidden};
	if (!$messages) { ok(0, $title, 'psql did not come to this block'); }
	elsif ($block->{hidden}) { ok(0, "$title, hidden", @$messages) if @errors; }
	elsif (!defined $block->{error}) { ok(!@errors && !@missing, $title, @$messages, @missing); }
	else
	{
		ok((@errors && !grep { index($_, $block->{error}) < 0 } @errors),
			"$title, which shows an error", "expected: $block->{error}", @$messages);
	}
}
