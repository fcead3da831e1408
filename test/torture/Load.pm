# test/torture/Load.pm - what the parts of the load share: counts scaled by TORTURE_SHARE, lines for the summary,
# processes of the server as /proc shows them, and medians.
package Load;

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw(SEEK_SET);
use Test::More;

our @EXPORT = qw(share report_fault report_load report_inputs report_lost quantile median proc_status proc_fds proc_maps proc_threads
  child_generation check_is_clean log_is_clean random_from has_function);

# A count of the full run, scaled; at least 1, or what is given.
sub share
{
	my ($count, $least) = @_;
	my $scaled = int($count * ($ENV{TORTURE_SHARE} // 100) / 100);

	$least //= 1;
	return $scaled > $least ? $scaled : $least;
}

# Lines that the summary of all parts is made of.
sub report_fault  { my ($kind, $injected, $observed) = @_; note("torture: $kind $injected $observed"); return; }
sub report_load   { note("torture: load $_[0]");   return; }
sub report_inputs { note("torture: inputs $_[0]"); return; }
sub report_lost   { note("torture: lost $_[0]");   return; }

sub quantile
{
	my ($share, @values) = @_;

	return undef unless @values;
	@values = sort { $a <=> $b } @values;
	my $place = int($share * @values);
	return $values[ $place < @values ? $place : -1 ];
}

sub median { return quantile(0.5, @_) }

sub random_from { return $_[ int(rand(@_)) ] }

# /proc/<process>[/task/<thread>]/status as a hash; empty when the process is gone.
sub proc_status
{
	my ($path) = @_;
	my %status;

	open my $file, '<', "/proc/$path/status" or return ();
	while (<$file>) { $status{$1} = $2 if /^(\w+):\s*(.*)$/ }
	close $file;
	return %status;
}

sub proc_threads { return map { m{/(\d+)$} ? $1 : () } glob("/proc/$_[0]/task/*") }

# What the descriptors of a process lead to, without the files of tables, which the server opens and closes as it likes.
sub proc_fds
{
	my ($pid) = @_;

	return grep { defined && !m{/(base|global|pg_wal|pg_xact|pg_subtrans|pg_multixact)/} } map { readlink } glob("/proc/$pid/fd/*");
}

sub proc_maps
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/maps" or return ();
	my @lines = <$file>;
	close $file;
	return @lines;
}

# When the server last began to start children anew: its checkpointer changes with every crash restart.
sub child_generation
{
	my ($node) = @_;

	return $node->safe_psql('postgres', "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
}

# What gpt_check finds wrong, contents and hashes among it: nothing.
sub check_is_clean
{
	my ($node) = @_;

	is($node->safe_psql('postgres', q{SELECT string_agg(kind || ' ' || object || ': ' || detail, E'\n') FROM gpt_check(true)}), '', 'gpt_check finds nothing wrong');
	return;
}

# What a server that only did its work has never written.
sub log_is_clean
{
	my ($node) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	my @bad = grep { /PANIC|was terminated by signal|TRAP:|leak|detected write past/ } split /\n/, $log;

	is(join("\n", @bad), '', 'the log shows no crash and no leak');
	return;
}

sub has_function
{
	my ($node, $signature) = @_;

	return $node->safe_psql('postgres', "SELECT to_regprocedure('$signature') IS NOT NULL") eq 't';
}

1;
