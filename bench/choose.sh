#!/bin/bash
#
# bench/choose.sh DIRECTORY - how often gpt_choose is right, by what its ratings are (half a minute).
#
# DIRECTORY has models/stories260K and corpora/tinystories_sample.txt. The model chooses what follows the beginning of a
# story: its next sentence among five, or the last word of its next sentence among five; the other four are of other
# stories.
set -euo pipefail

directory=$(realpath "${1:?the directory of model and texts is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

start_server choose <<SETTINGS
gpt.nice = 0
SETTINGS
"${psql[@]}" -qAt -F ' ' <<SQL
\\lo_import '$directory/models/stories260K/stories260K-F32.gguf'
SELECT count(gpt_import('stories', :LASTOID)) AS imported \\gset
\\set texts \`cat '$directory/corpora/tinystories_sample.txt'\`
CREATE TABLE story AS SELECT id, regexp_split_to_array(replace(body, E'\\n', ' '), '(?<=[.!?"])\\s+') AS parts
FROM regexp_split_to_table(:'texts', '(?=(?:Once upon a time|One day, a))') WITH ORDINALITY t(body, id) WHERE length(body) > 200;
CREATE TABLE part AS SELECT id, n, part, hashint8(id * 1000 + n) AS place FROM story, unnest(parts) WITH ORDINALITY p(part, n)
WHERE length(part) BETWEEN 16 AND 90;
CREATE TABLE word AS SELECT w, min(place) AS place FROM part, regexp_split_to_table(part, '[^a-z]+') w WHERE length(w) > 3 GROUP BY w HAVING count(*) BETWEEN 3 AND 40;
CREATE TABLE question AS
WITH next AS (SELECT DISTINCT ON (p.id) p.*, array_to_string(s.parts[greatest(n - 4, 1):n - 1], ' ') AS before FROM part p JOIN story s USING (id)
	WHERE n > 3 ORDER BY p.id, p.place),
last AS (SELECT *, (regexp_match(part, '^(.*) ([a-z]{4,})[.!?]$')) AS cut FROM next)
SELECT 'sentence' AS kind, before AS prompt, ' ' || part AS answer, (SELECT array_agg(' ' || o.part) FROM (SELECT part FROM part o WHERE o.id <> n.id
	ORDER BY hashint8(o.place::bigint * 7919 + n.place) LIMIT 4) o) AS others FROM next n
UNION ALL SELECT 'word', before || ' ' || cut[1], ' ' || cut[2], (SELECT array_agg(' ' || o.w) FROM (SELECT w FROM word o WHERE o.w <> cut[2]
	ORDER BY hashint8(o.place::bigint * 7919 + n.place) LIMIT 4) o) FROM last n WHERE cut IS NOT NULL;
SELECT format('%-8s %-9s per %-6s %s of %s', kind, CASE WHEN subtract THEN 'subtract' ELSE 'raw' END, per,
	round(avg((gpt_choose('stories', prompt, others || answer, subtract => subtract, per => per) = answer)::int), 3), count(*))
FROM question, unnest('{t,f}'::boolean[]) subtract, unnest('{choice,token,byte}'::text[]) per GROUP BY kind, subtract, per ORDER BY kind, subtract DESC, per;
SQL
