# test/torture/Queries.pm - random statements with calls of models in every clause, in the manner of sqlsmith:
# expressions of a wanted type over the columns in scope, around them queries, subqueries, joins and changes of rows.
#
# A statement gives the same rows in the same order whenever its plan is the same; those of parallel plans come sorted.
package Queries;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(statement);

my $aliases; # given so far in this statement
my $calls;   # of models in this statement

sub one_of { return $_[ int(rand(@_)) ] }
sub chance { return rand() < $_[0] }

# A statement to run in both ways: its text, and its kind. Options: pinned, whether there is the type of pinned
# versions.
sub statement
{
	my (%options) = @_;
	my ($kind, $text);

	do
	{
		($aliases, $calls) = (0, 0);
		$kind = one_of(('select') x 12, ('change') x 4, 'cursor', 'loop', 'prepared', 'parallel', 'parallel', 'create');
		$text = __PACKAGE__->can("statement_$kind")->(\%options);
	} until $calls > 0;
	return ($text, $kind);
}

sub statement_select { my ($options) = @_; return query($options, [], 2, undef) . ';' }

# Rows that come in the order of processes are sorted, and no limit chooses among them.
sub statement_parallel
{
	my ($options) = @_;
	my $scope = [];
	my $from = from({ %$options, unlimited => 1 }, $scope, 1);
	my $where = chance(0.6) ? ' WHERE ' . boolean($options, $scope, 2) : '';

	return one_of(
		sub { 'SELECT count(*), sum(' . integer($options, $scope, 2) . ') FROM ' . $from . $where },
		sub { 'SELECT count(*) FILTER (WHERE ' . boolean($options, $scope, 2) . '), max(' .
		  real($options, $scope, 2) . ") FROM $from$where" },
		sub { "SELECT " . text($options, $scope, 2) . " AS k, count(*) FROM $from$where GROUP BY 1 ORDER BY 1" },
		sub { 'SELECT * FROM (SELECT ' . text($options, $scope, 2) . " AS a, " . integer($options, $scope, 1) .
		  " AS b FROM $from$where) q ORDER BY 1, 2" })->() . ';';
}

sub statement_create { my ($options) = @_; return 'CREATE TEMP TABLE made AS ' . query($options, [], 2, 'named') .
  '; SELECT * FROM made; DROP TABLE made;' }

sub statement_cursor
{
	my ($options) = @_;
	my $fetch = join ' ', map { 'FETCH ' . one_of(1, 2, 3, 7, 20) . ' FROM c;' } 1 .. 3;

	return 'BEGIN; DECLARE c ' . one_of('', 'NO SCROLL ', 'SCROLL ') . 'CURSOR FOR ' .
	  query($options, [], 2, undef) . "; $fetch CLOSE c; COMMIT;";
}

sub statement_loop
{
	my ($options) = @_;
	my $end = chance(0.3) ? 'EXIT WHEN length(said) > 200;' : '';

	return "DO \$do\$ DECLARE r record; said text := ''; BEGIN FOR r IN " . query($options, [], 2, 'named') .
	  " LOOP said := said || r::text; $end END LOOP; RAISE WARNING '%', md5(said); END \$do\$;";
}

sub statement_prepared
{
	my ($options) = @_;
	my $query = query($options, [ [ undef, {'$1' => 'text', '$2' => 'integer'} ] ], 2, undef);
	my $plan = one_of('auto', 'force_generic_plan', 'force_custom_plan');

	return "SET plan_cache_mode = $plan; PREPARE p (text, integer) AS $query; EXECUTE p ('a b', 3); EXECUTE p (NULL, 5); " .
	  'DEALLOCATE p; RESET plan_cache_mode;';
}

# Changes rows, shows the rows of the table, and takes everything back.
sub statement_change
{
	my ($options) = @_;
	my $scope = [ [ 'thing', columns('item') ] ];
	my $returning = chance(0.5) ? ' RETURNING thing.id, ' . any($options, $scope, 1) : '';
	my $where = chance(0.7) ? ' WHERE ' . boolean($options, $scope, 2) : '';
	my $change = one_of(
		sub { 'UPDATE thing SET body = ' . text($options, $scope, 2) . (chance(0.5) ? ', n = ' .
		  integer($options, $scope, 1) : '') . $where . $returning },
		sub {
			my $both = [ @$scope, [ 'o', columns('note') ] ];

			return 'UPDATE thing SET body = ' . text($options, $both, 2) .
			  ' FROM note o WHERE o.item = thing.id AND ' . boolean($options, $both, 1);
		},
		sub { "DELETE FROM thing$where$returning" },
		sub { 'INSERT INTO thing (id, n, body, model) SELECT 1000 + row_number() OVER (), q.* FROM (' .
			  typed_query($options, 'integer', 'text', 'text') . ") q$returning" },
		sub {
			my $both = [ @$scope, [ 'excluded', columns('item') ] ];

			return 'INSERT INTO thing (id, n, body) SELECT s.id, s.item, s.body FROM note s ON CONFLICT (id) DO UPDATE SET body = ' .
			  text($options, $both, 1) . $returning;
		},
		sub {
			my $both = [ @$scope, [ 's', columns('note') ] ];

			return 'MERGE INTO thing USING (SELECT DISTINCT ON (item) * FROM note ORDER BY item, id) s ON s.item = thing.id ' .
			  'WHEN MATCHED AND ' . boolean($options, $both, 1) . ' THEN UPDATE SET body = ' . text($options, $both, 1) .
			  ' WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, body) VALUES (2000 + s.id, ' .
			  text($options, [ [ 's', columns('note') ] ], 1) . ')';
		},
		sub { 'WITH w AS (UPDATE thing SET body = ' . text($options, $scope, 1) .
		  "$where RETURNING id, body) SELECT " . any($options, [ [ 'w', { id => 'integer', body => 'text' } ] ], 2) .
		  ' FROM w' })->();

	return "BEGIN; $change; SELECT md5(string_agg(i::text, ' ' ORDER BY i::text)) FROM thing i; ROLLBACK;";
}

# ---- queries --------------------------------------------------------------------------------------------------------

sub columns
{
	my ($table) = @_;
	my %tables = (
		item => { id => 'integer', n => 'integer', flag => 'boolean', body => 'text', other => 'text',
			model => 'model' },
		note => { id => 'integer', item => 'integer', body => 'text' },
		part => { id => 'integer', body => 'text', model => 'model' });

	return $tables{$table};
}

sub alias { return 'a' . ++$aliases }

# A query with one to three columns; named: each has a name of its own. An order over all columns makes limits exact.
sub query
{
	my ($options, $outer, $depth, $named) = @_;
	my $form = rand();

	return 'SELECT * FROM (' . query($options, $outer, $depth - 1, 'named') . ') ' . alias()
	  if $depth > 0 && $form < 0.06;
	return 'WITH c AS ' . one_of('', 'MATERIALIZED ', 'NOT MATERIALIZED ') . '(' .
	  typed_query($options, 'text', 'integer') . ') SELECT ' .
	  any($options, [ [ 'c', { t => 'text', i => 'integer' } ] ], 2) . ' AS x FROM c' if $depth > 0 && $form < 0.14;
	return typed_query($options, 'text', 'integer') .
	  one_of(' UNION ', ' UNION ALL ', ' INTERSECT ', ' EXCEPT ', ' EXCEPT ALL ') .
	  typed_query($options, 'text', 'integer') if $depth > 0 && $form < 0.2;
	return grouped($options, $outer, $depth, $named) if $form < 0.4;
	return plain($options, $outer, $depth, $named);
}

sub plain
{
	my ($options, $outer, $depth, $named) = @_;
	my $scope = [@$outer];
	my $from = from($options, $scope, $depth);
	my @list = map { any($options, $scope, 2) } 1 .. one_of(1, 1, 2, 3);
	my $windowed = chance(0.08) ? ', ' . one_of('sum', 'max', 'count') . '(' . integer($options, $scope, 1) .
	  ') OVER (' . one_of('', 'PARTITION BY ' . text($options, $scope, 1) . ' ') . 'ORDER BY ' .
	  integer($options, $scope, 1) . ')' : '';
	my $query = 'SELECT ' . (chance(0.12) && !$windowed ? 'DISTINCT ' : '') . list($named, @list) .
	  ($windowed ? $windowed . ($named ? ' AS w' : '') : '') . " FROM $from";

	$query .= ' WHERE ' . boolean($options, $scope, 3) if chance(0.65);
	$query .= ' ORDER BY ' . join(', ', map { $_ . one_of('', ' DESC', ' NULLS FIRST') } 1 .. @list) if chance(0.4);
	$query .= limit() if chance(0.35);
	return $query;
}

sub grouped
{
	my ($options, $outer, $depth, $named) = @_;
	my $scope = [@$outer];
	my $from = from($options, $scope, $depth);
	my $key = chance(0.7) ? one_of(text($options, $scope, 1), integer($options, $scope, 1)) : undef;
	my $filter = chance(0.3) ? ' FILTER (WHERE ' . boolean($options, $scope, 1) . ')' : '';
	my $aggregate = one_of(
		sub { 'sum(' . integer($options, $scope, 2) . ')' },
		sub { 'max(' . one_of(text($options, $scope, 2), real($options, $scope, 2)) . ')' },
		sub { 'count(DISTINCT ' . text($options, $scope, 1) . ')' },
		sub { 'array_agg(' . text($options, $scope, 1) . ' ORDER BY ' . integer($options, $scope, 1) . ')' },
		sub { 'bool_or(' . boolean($options, $scope, 2) . ')' })->() . $filter;
	my $query = 'SELECT ' . list($named, defined $key ? ($key, $aggregate) : $aggregate) . " FROM $from";

	$query .= ' WHERE ' . boolean($options, $scope, 2) if chance(0.5);
	# A number alone in GROUP BY would be a place in the list.
	$query .= ' GROUP BY 1' if defined $key;
	$query .= ' HAVING ' . one_of('count(*) > 1', 'length(max(' . text($options, $scope, 1) . ')) > 1', 'max(' .
	  real($options, $scope, 1) . ') > 1') if chance(0.3);
	$query .= ' ORDER BY 1' if defined $key && chance(0.5);
	return $query;
}

sub list
{
	my ($named, @list) = @_;
	my $n = 0;

	return join(', ', $named ? map { $_ . ' AS x' . ++$n } @list : @list);
}

# A query with columns of these types, named t, i, r, b, and numbered where a type comes again.
sub typed_query
{
	my ($options, @types) = @_;
	my $scope = [];
	my $from = from($options, $scope, 1);
	my %seen;
	my @list = map { my $name = substr($_, 0, 1); $name .= $seen{$name} if $seen{$name}++; of_type($_,
	  $options, $scope, 2) . " AS $name" } @types;

	return 'SELECT ' . join(', ', @list) . " FROM $from" . (chance(0.5) ? ' WHERE ' .
	  boolean($options, $scope, 2) : '');
}

sub limit { return one_of(' LIMIT ' . int(rand(12)), ' LIMIT 5 OFFSET ' .
  int(rand(9)), ' OFFSET 3', ' FETCH FIRST 4 ROWS ONLY') }

# A FROM list, whose tables come into the scope.
sub from
{
	my ($options, $scope, $depth) = @_;
	my $form = rand();
	my $first = alias();
	my $table = one_of('item', 'item', 'note', 'part');

	if ($form < 0.15 && $depth > 0)
	{
		my $query = typed_query($options, 'text', 'integer', 'real') . (!$options->{unlimited} && chance(0.4) ? limit() : '');

		push @$scope, [ $first, { t => 'text', i => 'integer', r => 'real' } ];
		return "($query) $first";
	}
	push @$scope, [ $first, columns($table) ];
	return "$table $first" if $form < 0.65;

	my $second = alias();
	if ($form < 0.75)
	{
		push @$scope, [ $second, { t => 'text' } ];
		return "$table $first CROSS JOIN LATERAL (SELECT " . text($options, [ [ $first, columns($table) ] ], 1) .
		  ' AS t' . one_of('', ' LIMIT 1', ' OFFSET 0') . ") $second";
	}
	my $both = [ [ $first, columns($table) ], [ $second, columns('note') ] ];
	my $condition = "$second.item = $first.id" . (chance(0.5) ? ' AND ' . boolean($options, $both, 1) : '');

	push @$scope, [ $second, columns('note') ];
	return "$table $first " . one_of('JOIN', 'LEFT JOIN', 'JOIN', 'RIGHT JOIN', 'FULL JOIN') .
	  " note $second ON $condition" if $condition !~ / AND /;
	return "$table $first " . one_of('JOIN', 'LEFT JOIN', 'JOIN') . " note $second ON $condition";
}

# ---- expressions ----------------------------------------------------------------------------------------------------

sub any { my ($options, $scope, $depth) = @_; return of_type(one_of('text', 'text', 'integer', 'real', 'boolean'),
  $options, $scope, $depth) }

sub of_type
{
	my ($type, @arguments) = @_;

	return text(@arguments) if $type eq 'text';
	return integer(@arguments) if $type eq 'integer';
	return $type eq 'real' ? real(@arguments) : boolean(@arguments);
}

# A column of a type, or undef.
sub column
{
	my ($scope, $type) = @_;
	my @found;

	for my $table (@$scope)
	{
		my ($name, $columns) = @$table;

		push @found, map { defined $name ? "$name.$_" : $_ } grep { $columns->{$_} eq $type } sort keys %$columns;
	}
	return @found ? one_of(@found) : undef;
}

# A language model, or a classifier: a name, or an expression that gives one.
sub language_model
{
	my ($scope) = @_;
	my $column = column($scope, 'model');

	return $column if defined $column && chance(0.25);
	return one_of(q('lm'), q('lm'), q('tuned'), q('tuned2'));
}

sub classifier
{
	my ($options) = @_;

	return one_of(q('clf'), $options->{pinned} ? q('clf@1'::gpt_model_version) : q('clf@1'));
}

sub text
{
	my ($options, $scope, $depth) = @_;
	my $column = column($scope, 'text');

	$column = one_of(q('a b c'::text), q('line 7'::text)) if !defined $column || chance(0.05);
	return $column if $depth <= 0;
	return one_of(
		sub { $column }, sub { $column },
		sub { $calls++; 'gpt_classify(' . classifier($options) . ', ' . text($options, $scope, $depth - 1) . ')' },
		sub { $calls++; 'gpt_classify(' . classifier($options) . ', ' . text($options, $scope, $depth - 1) . ')' },
		sub { $calls++; 'gpt_classify(\'clf\', ' . text($options, $scope, $depth - 1) . ', 0.5)' },
		sub { $calls++; 'gpt_generate(' . language_model($scope) . ', ' . text($options, $scope, $depth - 1) . ', ' .
		  one_of(1, 2, 3) . ', ' . one_of('0', '0.8') . ', seed => ' .
		  one_of(1, 2, 'NULL::bigint + 1, temperature => 0') .
		  ')' } )->() =~ s/, 0(?:\.8)?, seed => NULL::bigint \+ 1, temperature => 0/, 0/r
	  if chance(0.6);
	return one_of(
		sub { 'upper(' . text($options, $scope, $depth - 1) . ')' },
		sub { '(' . text($options, $scope, $depth - 1) . " || ' ' || " . text($options, $scope, $depth - 1) . ')' },
		sub { 'left(' . text($options, $scope, $depth - 1) . ', ' . integer($options, $scope, 0) . ' % 9)' },
		sub { 'coalesce(' . text($options, $scope, $depth - 1) . ', ' . text($options, $scope, $depth - 1) . ')' },
		sub { 'nullif(' . text($options, $scope, $depth - 1) . ', ' . text($options, $scope, 0) . ')' },
		sub { 'CASE WHEN ' . boolean($options, $scope, $depth - 1) . ' THEN ' . text($options, $scope, $depth - 1) .
		  (chance(0.5) ? ' WHEN ' . boolean($options, $scope, $depth - 1) . ' THEN ' .
		  text($options, $scope, $depth - 1) : '') . ' ELSE ' . text($options, $scope, $depth - 1) . ' END' },
		sub { 'CASE ' . text($options, $scope, $depth - 1) . " WHEN 'a' THEN " . text($options, $scope, $depth - 1) .
		  " WHEN 'b' THEN 'x' END" },
		sub { '(SELECT ' . subquery_of($options, $scope, 'text') . ')' },
		sub { integer($options, $scope, $depth - 1) . '::text' })->();
}

sub integer
{
	my ($options, $scope, $depth) = @_;
	my $column = column($scope, 'integer') // one_of(1, 2, 3);

	return $column if $depth <= 0;
	return one_of(
		sub { $column }, sub { $column },
		sub { 'length(' . text($options, $scope, $depth - 1) . ')' },
		sub { 'length(' . text($options, $scope, $depth) . ')' },
		sub { '(' . integer($options, $scope, $depth - 1) . ' + ' . integer($options, $scope, $depth - 1) . ')' },
		sub { 'CASE WHEN ' . boolean($options, $scope, $depth - 1) . ' THEN ' .
		  integer($options, $scope, $depth - 1) . ' END' },
		sub { 'array_length(ARRAY(SELECT ' . subquery_of($options, $scope, 'text', 'all') . '), 1)' },
		# some rows of most tables divide by zero
		sub { chance(0.3) ? '(100 / (' . integer($options, $scope, 0) . ' - 7))' : 'coalesce(' .
		  integer($options, $scope, $depth - 1) . ', 0)' })->();
}

sub real
{
	my ($options, $scope, $depth) = @_;
	my $column = column($scope, 'real');

	return $column // integer($options, $scope, 0) . '::float8' if $depth <= 0;
	return one_of(
		sub { $calls++; 'gpt_score(' . language_model($scope) . ', ' . text($options, $scope, $depth - 1) . ')' },
		sub { $calls++; 'gpt_score(' . language_model($scope) . ', ' . text($options, $scope, $depth - 1) . ', ' .
		  one_of(q('logprob'), q('bits_per_byte'), q('tokens')) . ')' },
		sub { $calls++; 'gpt_logprob(' . language_model($scope) . ', ' . text($options, $scope, $depth - 1) . ', ' .
		  text($options, $scope, $depth - 1) . ')' },
		sub { $calls++; q{gpt_predict('num', } . text($options, $scope, $depth - 1) . ')' },
		sub { $calls++; q{(gpt_embed('lm', } . text($options, $scope, $depth - 1) . '))[1]::float8' },
		sub { 'greatest(' . real($options, $scope, $depth - 1) . ', ' . real($options, $scope, $depth - 1) . ')' },
		sub { 'CASE WHEN ' . boolean($options, $scope, $depth - 1) . ' THEN ' . real($options, $scope, $depth - 1) .
		  ' ELSE 0 END' })->();
}

sub boolean
{
	my ($options, $scope, $depth) = @_;
	my $column = column($scope, 'boolean');

	return $column if $depth <= 0 && defined $column && chance(0.5);
	return integer($options, $scope, 0) . one_of(' > ', ' < ', ' = ', ' <> ') . int(rand(40)) if $depth <= 0;
	return one_of(
		sub { integer($options, $scope, 0) . one_of(' > ', ' < ', ' <> ') . int(rand(40)) },
		sub { '(' . boolean($options, $scope, $depth - 1) . one_of(' AND ', ' AND ', ' OR ') .
		  boolean($options, $scope, $depth - 1) . ')' },
		sub { '(' . boolean($options, $scope, $depth - 1) . one_of(' AND ', ' OR ') .
		  boolean($options, $scope, $depth - 1) . one_of(' AND ', ' OR ') . boolean($options, $scope, $depth - 1) .
		  ')' },
		sub { 'NOT (' . boolean($options, $scope, $depth - 1) . ')' },
		sub { text($options, $scope, $depth) . one_of(' = ', ' <> ', ' < ') .
		  one_of(q('a'), q('b'), q('c'), text($options, $scope, 0)) },
		sub { text($options, $scope, $depth) . q{ IN ('a', 'b')} },
		sub { text($options, $scope, $depth) . q{ LIKE '%a%'} },
		sub { real($options, $scope, $depth) . one_of(' > ', ' < ') . one_of('1', '-20', '3.5', '250') },
		sub { text($options, $scope, $depth) . one_of(' IS NULL', ' IS NOT NULL') },
		sub { text($options, $scope, 1) . one_of(' IN ', ' NOT IN ') . '(SELECT ' .
		  subquery_of($options, $scope, 'text', 'all') . ')' },
		sub { one_of('', 'NOT ') . 'EXISTS (SELECT ' . subquery_of($options, $scope, 'text', 'all') . ')' },
		sub { $calls++; '(' . boolean($options, $scope, 0) . q{) IS DISTINCT FROM (gpt_classify('clf', } .
		  text($options, $scope, 0) . q{) = 'a')} })->();
}

# What follows SELECT in a subquery of one column, often correlated; all: any number of rows, else one at most.
sub subquery_of
{
	my ($options, $outer, $type, $all) = @_;
	my $name = alias();
	my $table = one_of('note', 'item', 'part');
	my $scope = [ @$outer, [ $name, columns($table) ] ];
	my $key = column($outer, 'integer');
	my $where = defined $key && chance(0.7) ? " WHERE $name.id " . one_of('=', '<', '=') .
	  " $key" : " WHERE $name.id < 6";
	my $query = of_type($type, $options, chance(0.7) ? [ [ $name, columns($table) ] ] : $scope, 1) .
	  " FROM $table $name$where";

	$query .= ' AND ' . boolean($options, $scope, 1) if chance(0.5);
	return $query if $all && chance(0.8);
	return "$query ORDER BY $name.id LIMIT 1";
}

1;
