# test/t/030_pinned.pl - a generated column, an expression index and a constraint over a fixed version: dumped and
# restored, from another server by postgres_fdw, and as an owner without the model.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('pinned', 0);
my $folder = PostgreSQL::Test::Utils::tempdir();
my $restore = "$FindBin::RealBin/../../scripts/gpt-restore";

# "a_..." is dumped before the tables of the extension, "z_..." after them.
$node->safe_psql('postgres', 'CREATE DATABASE app');
my $job = $node->safe_psql('app', <<'SQL');
CREATE EXTENSION gpt;
CREATE TABLE review AS SELECT i AS id, (ARRAY['good', 'bad', 'fine', 'cold'])[1 + i % 4] || ' soup ' || md5(i::text) AS body FROM generate_series(1, 300) i;
SELECT gpt_train('mood', $$SELECT body, body ~ 'good|fine' AS label FROM review$$, '{"layers": 1, "channels": 16, "heads": 1, "context": 64, "tokenizer": "bytes", "steps": 5, "seed": 1}');
SQL
is($node->safe_psql('app', "SELECT gpt_wait($job)"), 'succeeded', 'a classifier is trained');
$node->safe_psql('app', <<'SQL');
CREATE TABLE a_column (id integer PRIMARY KEY, body text, mood text GENERATED ALWAYS AS (gpt_classify('mood@1'::gpt_model_version, body)) STORED);
INSERT INTO a_column SELECT id, body FROM review WHERE id <= 60;
CREATE TABLE z_check (body text CHECK (gpt_classify('mood@1'::gpt_model_version, body) IS NOT NULL), version gpt_model_version);
INSERT INTO z_check VALUES ('soup', 'mood@1'), ('cold', 'none@12');
CREATE INDEX review_mood ON review (gpt_classify('mood@1'::gpt_model_version, body));
CREATE MATERIALIZED VIEW moods AS SELECT gpt_classify('mood@1'::gpt_model_version, body) AS mood, count(*) FROM review GROUP BY 1;
SQL
my $contents = q{
	SELECT * FROM a_column ORDER BY id;
	SELECT * FROM z_check ORDER BY version;
	SELECT * FROM moods ORDER BY 1;
	SET enable_seqscan = off;
	SELECT string_agg(id::text, ',' ORDER BY id) FROM review WHERE gpt_classify('mood@1'::gpt_model_version, body) = 'true';
	EXPLAIN (COSTS OFF) SELECT id FROM review WHERE gpt_classify('mood@1'::gpt_model_version, body) = 'true';
};
my $expected = $node->safe_psql('app', $contents);
like($expected, qr/Index Cond/, 'a lookup uses the index');

sub empty_database
{
	my ($name) = @_;

	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $name; CREATE DATABASE $name");
	return $name;
}

# restored by the script, in one run and in parallel
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$folder/dump", 'app' ], 'pg_dump');
$node->command_ok([ $restore, '-d', empty_database('one'), '-1', "$folder/dump" ], 'gpt-restore in one transaction');
is($node->safe_psql('one', $contents), $expected, 'has the same rows, answers and plan');
$node->command_ok([ $restore, '-d', empty_database('many'), '-j', '2', "$folder/dump" ], 'gpt-restore -j 2');
is($node->safe_psql('many', $contents), $expected, 'has them too');
my (undef, $out, $err) = $node->psql('many', q{SELECT gpt_drop_model('mood')});
like($err, qr/column mood of table a_column depends on mood\@1\n.*index review_mood depends on mood\@1/s, 'the objects of the restored database keep the version');
$node->safe_psql('many', 'REINDEX TABLE review; REINDEX INDEX CONCURRENTLY review_mood; REFRESH MATERIALIZED VIEW moods; VACUUM FULL ANALYZE review, a_column');
is($node->safe_psql('many', $contents), $expected, 'indexes made anew have the same answers');
$node->command_fails_like([ $restore, '-d', 'many', '-C', '-j', '2', "$folder/dump" ], qr/-C is not possible with -j/, 'an option that cannot be repeated');

# by pg_restore alone: what cannot be computed is an error that names the cure, nothing is wrong in silence
$node->command_checks_all([ 'pg_restore', '-d', empty_database('plain'), "$folder/dump" ], 1, [],
	[qr/COPY failed for table "a_column": ERROR:  model "mood\@1" does not exist\nHINT:  If this restores a dump: .* scripts\/gpt-restore/, qr/COPY failed for table "z_check": .*altered/],
	'pg_restore fails for tables that need the model');
is($node->safe_psql('plain', 'SELECT (SELECT count(*) FROM a_column), (SELECT count(*) FROM z_check), (SELECT count(*) FROM moods)'), '0|0|2', 'and leaves them empty');
$node->command_ok([ 'pg_restore', '-d', 'plain', '--data-only', '--table=a_column', '--table=z_check', "$folder/dump" ], 'the cure of the hint');
is($node->safe_psql('plain', $contents), $expected, 'completes the database');
$node->command_ok([ 'pg_dump', '-f', "$folder/dump.sql", 'app' ], 'pg_dump as SQL');
$node->command_checks_all([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', empty_database('plain'), '-f', "$folder/dump.sql" ], 3, [], [qr/gpt-restore/], 'psql stops with the hint');

# an index alone needs nothing: pg_restore makes it after the models, in parallel too, where it waits for them
$node->safe_psql('app', 'DROP TABLE a_column, z_check');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$folder/index", 'app' ], 'a dump with an expression index and a materialised view');
for my $options ([], [ '-j', '2' ])
{
	delete local $ENV{PGAPPNAME}; # sessions of pg_restore are known by their name
	$node->command_ok([ 'pg_restore', '-d', empty_database('plain'), @$options, "$folder/index" ], "pg_restore @$options makes the index");
	like($node->safe_psql('plain', q{SET enable_seqscan = off; EXPLAIN SELECT id FROM review WHERE gpt_classify('mood@1'::gpt_model_version, body) = 'true'}), qr/review_mood/, 'which is used');
}

# binary values
$node->safe_psql('many', "COPY z_check TO '$folder/binary' WITH (FORMAT binary); CREATE TABLE copy (LIKE z_check); COPY copy FROM '$folder/binary' WITH (FORMAT binary)");
is($node->safe_psql('many', 'SELECT * FROM copy EXCEPT SELECT * FROM z_check'), '', 'binary values are read as they were written');

# postgres_fdw
$node->safe_psql('many', sprintf(<<'SQL', $node->host, $node->port));
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'many', extensions 'gpt');
CREATE USER MAPPING FOR CURRENT_USER SERVER loop;
CREATE FOREIGN TABLE far (id integer, body text) SERVER loop OPTIONS (table_name 'review');
SQL
my $far = q{SELECT id FROM far WHERE gpt_classify('mood@1'::gpt_model_version, body) = 'true'};
like($node->safe_psql('many', "EXPLAIN (VERBOSE, COSTS OFF) $far"), qr/Remote SQL: SELECT id FROM public\.review WHERE \(\(public\.gpt_classify\('mood\@1'::public\.gpt_model_version, body\) = 'true'::text\)\)/,
	'postgres_fdw sends a call of a fixed version to the other server');
is($node->safe_psql('many', "SELECT string_agg(id::text, ',' ORDER BY id) FROM ($far) f"), (split /\n/, $expected)[-3], 'which answers the same');
unlike($node->safe_psql('many', "EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM far WHERE gpt_classify('mood\@1', body) = 'true'"), qr/Remote SQL.*gpt_classify/, 'and not one by the name');

# An owner without SELECT on the model: what the server computes for a table, it computes as the table's owner.
$node->safe_psql('many', 'CREATE ROLE keeper; CREATE ROLE writer; ALTER TABLE review OWNER TO keeper; ALTER TABLE a_column OWNER TO keeper; GRANT INSERT ON a_column TO writer; DROP MATERIALIZED VIEW moods');
(undef, undef, $err) = $node->psql('many', 'REINDEX INDEX review_mood');
like($err, qr/permission denied for model "mood"\nHINT:  Its owner, or a superuser, can call gpt_grant\('mood', 'keeper'\)/, 'REINDEX by a superuser needs the privilege of the table\'s owner');
(undef, undef, $err) = $node->psql('many', 'ANALYZE review');
like($err, qr/permission denied for model "mood"/, 'so does ANALYZE');
(undef, undef, $err) = $node->psql('many', q{SET ROLE writer; INSERT INTO a_column VALUES (1000, 'soup')});
like($err, qr/permission denied for model "mood".*'writer'/s, 'who inserts a row needs it for a generated column');
$node->safe_psql('many', q{SELECT gpt_grant('mood', 'keeper'), gpt_grant('mood', 'writer')});
$node->safe_psql('many', q{REINDEX INDEX review_mood; ANALYZE review; SET ROLE writer; INSERT INTO a_column VALUES (1000, 'soup')});
pass('with the grants they all work');

done_testing();
