#!/bin/bash
#
# bench/topk.sh - how many tokens ORDER BY gpt_score LIMIT k and a condition on a score read of those of a full scan
# (some minutes).
#
# ROWS (10,000) rows of 200 tokens: words of Zipf's law, the n-th with a probability in proportion to n^-s, where s is
# drawn for each row from 0.7 to 2.2 (TENTHS="7 22"), so that some texts repeat few words, as lines of logs do, and
# others have many. A word is one token. A model of 2 layers and 64 channels (SHAPE="2 1 64") learns STEPS (300) on a
# tenth of them. In turn, with gpt.batching: all rows, and the LIMIT (20) least perplexities. The rows must be the same.
# Prints tokens and the session's processor time of both, and their ratios; then those of conditions that a tenth and a
# half of the rows meet.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rows=${ROWS:-10000} limit=${LIMIT:-20} steps=${STEPS:-300}
read -r layers heads channels <<<"${SHAPE:-2 1 64}"
read -r least most <<<"${TENTHS:-7 22}"

start_server topk <<SETTINGS
gpt.nice = 0
fsync = off
max_parallel_workers_per_gather = 0
SETTINGS
psql+=(-At)

"${psql[@]}" >/dev/null <<SQL
SELECT setseed(0.5);
CREATE TABLE word AS SELECT i AS n, ' ' || translate(to_hex(256 + 2 * i), '0123456789', 'ghijklmnop') AS word FROM generate_series(1, 1500) i;
CREATE TABLE cumulated AS SELECT s, n, sum(n ^ -(s / 10.0)) OVER (PARTITION BY s ORDER BY n) / sum(n ^ -(s / 10.0)) OVER (PARTITION BY s) AS up_to
	FROM generate_series($least, $most) s, generate_series(1, 1500) n;
CREATE INDEX ON cumulated (s, up_to, n);
-- words by their place in the cumulated distribution, for each exponent
CREATE TABLE zipf AS SELECT s, array_agg(word ORDER BY slot) AS words FROM generate_series(0, 8191) slot, LATERAL (
	SELECT s, (SELECT n FROM cumulated c WHERE c.s = g.s AND c.up_to >= (slot + 0.5) / 8192 ORDER BY up_to LIMIT 1) AS n FROM generate_series($least, $most) g (s)) z JOIN word USING (n) GROUP BY s;
CREATE FUNCTION text_of(exponent int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	of_s text[] := (SELECT words FROM zipf WHERE s = exponent);
	result text := '';
BEGIN
	FOR i IN 1..200 LOOP
		result := result || of_s[1 + floor(random() * 8192)::int];
	END LOOP;
	RETURN result;
END \$\$;
CREATE TABLE line AS SELECT i AS id, text_of(($least + floor(random() * ($most - $least + 1)))::int) AS body FROM generate_series(1, $rows) i;
VACUUM ANALYZE line;
SELECT gpt_train_tokenizer('t', 'SELECT string_agg(word, '''') FROM word, generate_series(1, 20) i GROUP BY i', '{"vocabulary": 1850}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('m', 'SELECT body FROM line WHERE id % 10 = 0', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 256,
	"tokenizer": "t", "steps": $steps, "seed": 1, "threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SQL
"${psql[@]}" -c "SELECT round(avg(gpt_count_tokens('m', body)), 1) || ' tokens a row' FROM line WHERE id <= 100"

# measure QUERY: tokens, processor seconds, and a hash of the rows
measure()
{
	"${psql[@]}" <<SQL | awk -F '|' '$1 == "tokens" { tokens = $2 } $1 == "at" { at[++n] = $2 } $1 == "rows" { rows = $2 } END { print tokens, (at[2] - at[1]) / 1e9, rows }'
SELECT gpt_score('m', 'a') > 0 \g /dev/null
SELECT 'at', split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
CREATE TEMP TABLE result AS $1;
SELECT 'at', split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SELECT 'rows', md5(string_agg(r::text, ' ' ORDER BY s, id)) FROM (SELECT * FROM result ORDER BY s, id LIMIT ${2:-NULL}) r;
SELECT 'tokens', sum(tokens_computed) FROM gpt_stat_models WHERE model = 'm';
SQL
}
# row NAME QUERY [ROWS]: beside the scan of all rows
row()
{
	"${psql[@]}" -c "SELECT gpt_stat_reset()" >/dev/null
	read -r tokens seconds rows_of <<<"$(measure "$2" "${3:-}")"
	echo "$1: $tokens tokens, $seconds s; $(bc <<<"scale=3; $tokens / ${all_tokens:-$tokens}") of the tokens and $(bc <<<"scale=3; $seconds / ${all_seconds:-$seconds}") of the time of all rows"
}

row "all rows" "SELECT id, gpt_score('m', body) AS s FROM line" "$limit"
all_tokens=$tokens all_seconds=$seconds all_rows=$rows_of
row "LIMIT $limit" "SELECT id, gpt_score('m', body) AS s FROM line ORDER BY s, id LIMIT $limit" "$limit"
[ "$rows_of" = "$all_rows" ] && echo "the same rows" || echo "OTHER ROWS"
for share in 0.1 0.5; do
	bound=$("${psql[@]}" -c "SELECT percentile_cont($share) WITHIN GROUP (ORDER BY gpt_score('m', body)) FROM line")
	row "perplexity below that of $share of the rows" "SELECT id, 1 AS s FROM line WHERE gpt_score('m', body) < $bound"
done
