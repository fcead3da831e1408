#!/usr/bin/perl
#
# scripts/docs.pl CLUSTER FILE... - runs the SQL of documents, so that it cannot rot. Prints TAP.
#
# CLUSTER is a folder of scripts/cluster.sh with a running server. Each file gets a database of its own, and one psql
# session runs its ```sql blocks in order. A block is one test: it fails when psql, or a job that the block submits,
# reports an error. Between two blocks the runner waits for all jobs. HTML comments, which readers of the rendered
# document do not see, direct it:
#
#   <!-- sql ... -->          runs the SQL in the comment, for tables that the text takes for granted
#   <!-- error: text -->      the next block shows an error: it must report one that contains the text
#   <!-- replace: a => b -->  the next block runs with b in place of a; several are possible
#
# Trainings are tiny: test/docs/setup.sql puts functions of the same names before gpt_train and gpt_finetune, which
# shrink the model to one layer and the time to 0.6 s or 4 steps, and pass all other options on. That file also has
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

# The document as a list of {line, sql, error, hidden}. A comment that directs nothing is an error.
sub blocks
{
	my ($file) = @_;
	my (@blocks, $block, %next);

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
			undef $block;
		}
		elsif ($line =~ /^<!-- error: (.*) -->$/) { $next{error} = $1; }
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

# The script of one psql session. Lines "@@ number" in its messages separate the blocks.
sub script
{
	my ($blocks) = @_;
	my $script = "\\i :source/test/docs/setup.sql\n";

	for my $i (0 .. $#$blocks)
	{
		my $block = $blocks->[$i];
		$script .= "\\warn '\@\@' $i\n";
		$script .= "\\echo '\\n----' line $block->{line}\n" if $full && !$block->{hidden};
		# The semicolon ends a statement that lacks its own, before it swallows the next block.
		$script .= $block->{sql} . "\n;\n";
		$script .= "\\o /dev/null\nSELECT docs.finish();\n\\o\n" unless $full;
	}
	return $script . "\\warn '\@\@' end\n";
}

# Runs psql on a script, and returns its messages as a list of lines.
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
		$full ? open(STDOUT, '>&', \*STDERR) : open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', "$folder/messages");
		exec(@psql, '-d', $database, '-v', "source=$root", '-v', 'tiny=' . ($full ? 'false' : 'true'), '-f', 'script');
	}
	waitpid($pid, 0);
	return split /\n/, slurp("$folder/messages");
}

sub run_file
{
	my ($file) = @_;
	my $name = substr($file, 0, length("$root/")) eq "$root/" ? substr($file, length("$root/")) : $file;
	my $database = 'docs_' . lc($name =~ s/\W+/_/gr);
	my $folder = tempdir(CLEANUP => 1);
	my @blocks = blocks($file);
	my (@messages, $current, %lines);

	system(@psql, '-q', '-d', 'postgres', '-c', 'SET client_min_messages = warning',
		'-c', "DROP DATABASE IF EXISTS $database WITH (FORCE)", '-c', "CREATE DATABASE $database") == 0 or die "no database\n";
	$current = 'set-up';
	for (session($folder, $database, script(\@blocks)))
	{
		if (/^\@\@ (\w+)$/) { $current = $1; $lines{$current} //= []; }
		else { push @{ $lines{$current} }, $_; }
	}
	for my $i (0 .. $#blocks)
	{
		judge($name, $blocks[$i], $lines{$i});
	}
	my @early = @{ $lines{'set-up'} // [] };
	ok(0, "$name runs to its end", @early) if !$lines{end} || errors(\@early);
	system(@psql, '-q', '-d', 'postgres', '-c', "DROP DATABASE $database WITH (FORCE)");
}

sub errors
{
	return grep { /^psql:.*:\d+: (?:ERROR|FATAL|PANIC|error):|WARNING:  job \d+ of a block/ } @{ $_[0] // [] };
}

sub judge
{
	my ($name, $block, $messages) = @_;
	my $title = "$name:$block->{line}";
	my @errors = errors($messages);

	if (!$messages) { ok(0, $title, 'psql did not come to this block'); }
	elsif ($block->{hidden}) { ok(0, "$title, hidden", @$messages) if @errors; }
	elsif (!defined $block->{error}) { ok(!@errors, $title, @$messages); }
	else
	{
		ok((@errors && !grep { index($_, $block->{error}) < 0 } @errors),
			"$title, which shows an error", "expected: $block->{error}", @$messages);
	}
}
