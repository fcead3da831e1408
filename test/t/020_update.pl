# test/t/020_update.pl - ALTER EXTENSION gpt UPDATE from each released version gives what a new installation has.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use GptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('updated', 1);
my $present = $node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'gpt'");

# Everything that an installation consists of, without oids.
my $catalog = <<'SQL';
WITH member AS (
	SELECT d.classid, d.objid, d.objid::text AS id FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
	WHERE e.extname = 'gpt' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
SELECT 'function ' || p.oid::regprocedure || ' ' || CASE WHEN p.prokind = 'a' THEN (SELECT a::text FROM pg_aggregate a WHERE a.aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END || coalesce(p.proacl::text, '') || coalesce(obj_description(p.oid, 'pg_proc'), '')
	FROM pg_proc p JOIN member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
UNION ALL
SELECT 'relation ' || c.oid::regclass || ' ' || c.relkind::text || c.relpersistence::text || coalesce(c.relacl::text, '') || coalesce(c.reloptions::text, '')
		|| coalesce(obj_description(c.oid, 'pg_class'), '') || coalesce(CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END, '')
	FROM pg_class c JOIN member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass
UNION ALL
SELECT 'column ' || a.attrelid::regclass || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || a.attnotnull::text
		|| a.attidentity::text || a.attcollation::regcollation || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || coalesce(col_description(a.attrelid, a.attnum), '')
	FROM pg_attribute a JOIN member m ON m.objid = a.attrelid AND m.classid = 'pg_class'::regclass
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0
UNION ALL
SELECT 'constraint ' || c.conname || ' ' || pg_get_constraintdef(c.oid)
	FROM pg_constraint c JOIN member m ON m.objid = c.conrelid AND m.classid = 'pg_class'::regclass
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN member m ON m.objid = i.indrelid AND m.classid = 'pg_class'::regclass
UNION ALL
SELECT 'trigger ' || t.evtname || t.evtevent || t.evtfoid::regproc || t.evttags::text || coalesce(obj_description(t.oid, 'pg_event_trigger'), '')
	FROM pg_event_trigger t JOIN member m ON m.objid = t.oid AND m.classid = 'pg_event_trigger'::regclass
UNION ALL
SELECT 'dumped ' || string_agg(c::regclass::text, ' ' ORDER BY c::regclass::text) || e.extcondition::text
	FROM pg_extension e, unnest(e.extconfig) c WHERE e.extname = 'gpt' GROUP BY e.extcondition
ORDER BY 1
SQL
my $expected = $node->safe_psql('postgres', $catalog);
cmp_ok(scalar(split(/\n/, $expected)), '>', 100, 'an installation has many parts');

my @released = split(/\n/, $node->safe_psql('postgres', "SELECT version FROM pg_available_extension_versions
	WHERE name = 'gpt' AND version <> '$present' ORDER BY version"));
cmp_ok(scalar(@released), '>=', 1, 'there are released versions');
for my $version (@released)
{
	my $database = "from_$version";

	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$node->safe_psql($database, qq{CREATE EXTENSION gpt VERSION '$version'});
	isnt($node->safe_psql($database, $catalog), $expected, "version $version is another one");
	my ($status, $out, $error) = $node->psql($database, q{SELECT gpt_train('m', 'SELECT ''text'' AS body')});
	like($error, qr/extension "gpt" is at version \Q$version\E, but the library needs \Q$present\E.*HINT:.*ALTER EXTENSION gpt UPDATE/s,
		'its functions say what to do');

	# a job of that time
	$node->safe_psql($database, q{INSERT INTO gpt_job (model, kind, state, owner, query, options, settings, run_id, system_identifier, database)
		SELECT 'old', 'train', 'succeeded', 10, 'SELECT 1', '{}', '{}', gen_random_uuid(), system_identifier,
			(SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_system()});
	$node->safe_psql($database, 'ALTER EXTENSION gpt UPDATE');
	is($node->safe_psql($database, "SELECT extversion FROM pg_extension WHERE extname = 'gpt'"), $present, 'it is updated');
	my $updated = $node->safe_psql($database, $catalog);
	is($updated, $expected, 'and then has what a new installation has');
	is($node->safe_psql($database, "SELECT model, kind, state, data_changed FROM gpt_jobs"), 'old|train|succeeded|f', 'with the jobs of before');
	my $job = $node->safe_psql($database, q{SELECT gpt_train('m', 'SELECT ''line '' || i AS body FROM generate_series(1, 50) i',
		'{"layers": 1, "heads": 1, "channels": 16, "context": 16, "tokenizer": "bytes", "steps": 3}')});
	is($node->safe_psql($database, "SELECT gpt_wait($job, '300 s')"), 'succeeded', 'and trains');

	# views of users rest on ours, which then keep the order of their columns
	my $score = $version eq '0.1.0' ? 'gpt_score(text, text, text)' : 'gpt_score(text, text, text, boolean)';
	my $generate = 'gpt_generate(text, text, integer, float8, integer, float8, float8, float8, ';
	my $more = 'gpt_texts, bigint, integer, float8, float8, float8, jsonb, gpt_texts, text[], text, jsonb, text, text';
	$node->safe_psql('postgres', qq{CREATE DATABASE "$database used"});
	$node->safe_psql("$database used", qq{CREATE EXTENSION gpt VERSION '$version'; CREATE VIEW mine AS SELECT * FROM gpt_models;
		CREATE VIEW score AS SELECT body, gpt_score('m', body) AS perplexity FROM (VALUES ('line 7')) v (body); REVOKE EXECUTE ON FUNCTION $score FROM PUBLIC;
		CREATE VIEW written AS SELECT gpt_generate('m', 'line', 3, stop => ARRAY['no text'], seed => 1) AS text; REVOKE EXECUTE ON FUNCTION ${generate}text[], bigint) FROM PUBLIC});
	my $before = $node->safe_psql("$database used", q{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'gpt_models'::regclass AND attnum > 0});
	$node->safe_psql("$database used", 'ALTER EXTENSION gpt UPDATE');
	like($node->safe_psql("$database used", q{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'gpt_models'::regclass AND attnum > 0}),
		qr/^\Q$before\E( .*\bcurrent task labels\b.*)? clean$/, 'where a view rests on gpt_models, the new columns come last');
	is($node->safe_psql("$database used", q{SELECT count(*) FROM mine; SELECT count(task) FROM gpt_versions}), "0\n0", 'and both can be read');
	$job = $node->safe_psql("$database used", q{SELECT gpt_train('m', 'SELECT ''line '' || i AS body FROM generate_series(1, 50) i',
		'{"layers": 1, "heads": 1, "channels": 16, "context": 16, "tokenizer": "bytes", "steps": 3}')});
	$node->safe_psql("$database used", "SELECT gpt_wait($job, '300 s')");
	is($node->safe_psql("$database used", q{SELECT perplexity = gpt_score('m', body), perplexity < gpt_score('m', body, include_end => true),
		has_function_privilege('public', 'gpt_score(text, text, text, boolean)', 'EXECUTE') FROM score}),
		't|t|f', 'a view that calls gpt_score stays as it is, and so do privileges on it');
	is($node->safe_psql("$database used", qq{SELECT text = gpt_generate('m', 'line', 3, seed => 1, beams => 1, stop => 'no text'), gpt_generate('m', 'line', 3, beams => 2) IS NOT NULL,
		has_function_privilege('public', '$generate$more)', 'EXECUTE') FROM written}), 't|t|f', 'the same goes for gpt_generate');
}
done_testing();
