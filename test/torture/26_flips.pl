# test/torture/26_flips.pl - random bytes of a model's large object are flipped, and it is cut off at random places: the
# answer is always "data corrupted", in a session that has loaded nothing; one that has loaded the model may go on with
# what it has. Never is there another text.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", $FindBin::RealBin;
use GptTest;
use Load;
use Test::More;

my $FLIPS = share(2000, 100);
my $CUTS = share(200, 20);
my $SEED = (($ENV{TORTURE_SEED} // 1) % 1000) / 1000;

my $node = start_node('flips', 1);
my $job = $node->safe_psql('postgres', <<'SQL');
SELECT gpt_train('m', 'SELECT body FROM line', '{"steps": 3, "layers": 1, "heads": 1, "channels": 8, "context": 32, "tokenizer": "bytes"}')
SQL
is($node->safe_psql('postgres', "SELECT gpt_wait($job)"), 'succeeded', 'a model is there');

# What comes of the model as it stands now: a text, or the error's state.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION outcome() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN gpt_generate('m', 'line', 8, seed => 7) || gpt_score('m', 'line');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

-- Changes one byte, asks, and changes it back.
CREATE FUNCTION flipped(place integer, change integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	object oid := (SELECT weights FROM gpt_version);
	before bytea := lo_get(object, place, 1);
	result text;
BEGIN
	PERFORM lo_put(object, place, set_byte(before, 0, get_byte(before, 0) # change));
	result := outcome();
	PERFORM lo_put(object, place, before);
	RETURN result;
END $$;

CREATE FUNCTION cut_off(length integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	object oid := (SELECT weights FROM gpt_version);
	whole bytea := lo_get(object);
	file integer := lo_open(object, 131072);
	result text;
BEGIN
	PERFORM lo_truncate(file, length);
	PERFORM lo_close(file);
	result := outcome();
	PERFORM lo_put(object, 0, whole);
	RETURN result;
END $$;

-- Half of the places lie in the header, which is a small part of the file.
CREATE FUNCTION places(n integer, seed float8) RETURNS TABLE (place integer, change integer) LANGUAGE plpgsql AS $$
DECLARE
	size integer := (SELECT size FROM gpt_version);
BEGIN
	PERFORM setseed(seed);
	FOR i IN 1..n LOOP
		place := floor(random() * CASE i % 2 WHEN 0 THEN size ELSE least(size, 2048) END);
		change := 1 + floor(random() * 255);
		RETURN NEXT;
	END LOOP;
END $$;
SQL

my $good = $node->safe_psql('postgres', 'SELECT outcome()');
unlike($good, qr/^[0-9A-Z]{5}$/, 'unaltered, it gives a text');
unlink(glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_gpt_image_*')); # new sessions read the object again

my $flips = $node->safe_psql('postgres', <<"SQL");
SELECT r, count(*) FROM (SELECT flipped(place, change) AS r FROM places($FLIPS, $SEED)) f GROUP BY r
SQL
is($flips, "XX001|$FLIPS", "$FLIPS flipped bytes are data corrupted");

my $cuts = $node->safe_psql('postgres', <<"SQL");
SELECT r, count(*) FROM (SELECT cut_off(place) AS r FROM places($CUTS, $SEED)) f GROUP BY r
SQL
is($cuts, "XX001|$CUTS", "$CUTS truncations are data corrupted");

# With the model in the memory of the session: what was whole when it was loaded, or an error.
my $loaded = $node->safe_psql('postgres', <<"SQL");
SELECT outcome() \\gset
SELECT count(*) FROM (SELECT flipped(place, change) AS r FROM places($FLIPS, $SEED)) f WHERE r NOT IN (:'outcome', 'XX001')
SQL
is($loaded, '0', 'a session that has loaded the model gives its text or an error');

is($node->safe_psql('postgres', 'SELECT outcome()'), $good, 'unaltered again, it gives the same text');
is($node->safe_psql('postgres', 'SELECT count(*) FROM gpt_check(verify => true)'), '0', 'gpt_check finds nothing');
log_is_clean($node);
my ($noticed_flips) = $flips =~ /^XX001\|(\d+)$/m;
my ($noticed_cuts) = $cuts =~ /^XX001\|(\d+)$/m;
report_fault('flipped bytes of weights', $FLIPS, $noticed_flips // 0);
report_fault('truncations of weights', $CUTS, $noticed_cuts // 0);
$node->stop;
done_testing();
