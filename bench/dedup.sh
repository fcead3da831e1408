#!/bin/bash
#
# bench/dedup.sh CORPORA - repeated rows: recall, precision and speed of gpt_duplicates (two minutes).
#
# CORPORA is the directory of the public texts (../shared/data/corpora). bench/dedup.py makes the rows: short (20 to 50
# bytes), medium (500), long (5,000), zh (40 to 400 characters of Chinese); CASES has a list of KIND:EDIT:ROWS, where
# EDIT is chars or words. The speed is bytes of text by the processor time of the session, which has one thread; the
# time of the query (reading and sorting the table) is part of it. The last lines are rows made to be slow: all have the
# same shingles but none is near another one, or all are near one another.
set -euo pipefail

corpora=$(realpath "${1:?the directory of the texts is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
cases=${CASES:-short:chars:100000 short:words:100000 medium:chars:100000 medium:words:100000 long:chars:10000 long:words:10000 zh:chars:100000}

start_server dedup <<SETTINGS
gpt.nice = 0
SETTINGS
psql+=(-At)
"${psql[@]}" <<'SQL'
CREATE TABLE line (id integer, planted integer, body text);
-- Seconds of processor time of the session.
CREATE FUNCTION seconds() RETURNS float8 LANGUAGE sql VOLATILE AS
	$$ SELECT (a[14]::float8 + a[15]::float8) / 100 FROM regexp_split_to_array(pg_read_file('/proc/' || pg_backend_pid() || '/stat'), ' ') a $$;
SQL

# find NAME QUERY: prints the speed, and leaves the rows that were found in "$work/found"
find_rows()
{
	"${psql[@]}" -v name="$1" -v query="$2" <<SQL
SELECT gpt_duplicates('SELECT ''a'' FROM generate_series(1, 9)') \g /dev/null
SELECT seconds() AS before, clock_timestamp() AS began \gset
CREATE TEMPORARY TABLE found AS SELECT d.row, kept_row FROM gpt_duplicates(:'query') d;
SELECT seconds() AS after, clock_timestamp() AS ended, (SELECT sum(octet_length(body)) FROM line) / 1e6 AS size \gset
SELECT format('%s: %s rows, %s MB, %s MB/s of processor time, %s MB/s of time', :'name', (SELECT count(*) FROM line), round(:size, 1),
	round((:size / (:after - :before))::numeric, 1), round((:size / extract(epoch FROM :'ended'::timestamptz - :'began'::timestamptz))::numeric, 1));
\o $work/found
SELECT f.row || ' ' || kept_row FROM found f;
SQL
}

for case in $cases; do
	IFS=: read -r kind edit rows <<<"$case"
	bench/dedup.py make "$corpora" "$kind" "$edit" "$rows" >"$work/rows"
	"${psql[@]}" -c 'TRUNCATE line' -c '\copy line FROM STDIN' <"$work/rows"
	find_rows "$kind, 5 % of the $edit" 'SELECT body FROM line ORDER BY id'
	bench/dedup.py judge "$work/rows" <"$work/found"
done
"${psql[@]}" -c 'TRUNCATE line' -c "INSERT INTO line SELECT i, 0, string_agg(w, ' ' ORDER BY hashint8(i * 1000 + n))
	FROM generate_series(1, 40000) i, (SELECT n, md5(n::text) AS w FROM generate_series(1, 12) n) w GROUP BY i"
find_rows 'the same shingles in another order' 'SELECT body FROM line'
"${psql[@]}" -c 'TRUNCATE line' -c "INSERT INTO line SELECT i, 0, repeat('the same text again and again ', 14) || i FROM generate_series(1, 200000) i"
find_rows 'all near one another' 'SELECT body FROM line'
