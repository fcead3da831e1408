#!/bin/bash
#
# bench/shards.sh - rows that are scored on one server and on two, each pinned to a core of its own: the same rows in
# one foreign partition and in two, through postgres_fdw with async append. The processor time of the sessions of the
# shards tells what machines of one core would need: the one that needs most, or the coordinator.
#
#   ROWS=200000 ROUNDS=3 SHAPE="1 2 64" (layers, heads, channels) CORES="0 1"
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster.sh
. scripts/cluster.sh
rows=${ROWS:-200000} rounds=${ROUNDS:-3} fetch=${FETCH:-5000}
read -r layers heads channels <<<"${SHAPE:-1 2 64}"
read -ra cores <<<"${CORES:-0 1}"
work=$(mktemp -d /tmp/gpt-shards-XXXXXX)
chmod 755 "$work"
trap 'for name in here east west; do cluster_stop "$work/$name"; done; cluster_stop_all "$work"; rm -rf "$work"' EXIT
cluster_tree "$work" .
[ "$(id -u)" != 0 ] || chown "$(server_user)" "$work"

start()
{
	mkdir "$work/$1"
	ln -s "$work/tree" "$work/$1/tree"
	[ "$(id -u)" != 0 ] || chown "$(server_user)" "$work/$1"
	printf '%s\n' "shared_preload_libraries = 'gpt'" 'fsync = off' 'max_wal_size = 4GB' 'jit = off' |
		cluster_init "$work/$1"
	cluster_start "$work/$1"
	[ -z "$2" ] || taskset -a -pc "$2" "$(head -1 "$work/$1/data/postmaster.pid")" >/dev/null
	ask "$1" 'CREATE EXTENSION gpt'
}

ask()
{
	"$(cluster_bin "$work/$1")/psql" -h "$(cat "$work/$1/socket")" -U postgres -d postgres -XqAt \
		-v ON_ERROR_STOP=1 -c "$2"
}

start here ''
start east "${cores[0]}"
start west "${cores[1]}"
order="'order ' || i || ' of ' || (ARRAY['tea', 'soup', 'rice', 'bread'])[1 + i % 4] || ' came late"
ask here "CREATE TABLE text AS SELECT $order' AS body FROM generate_series(1, 2000) i"
job=$(ask here "SELECT gpt_train('m', 'SELECT body FROM text', '{\"layers\": $layers, \"heads\": $heads,
	\"channels\": $channels, \"context\": 64, \"tokenizer\": \"bpe\", \"vocabulary\": 400,
	\"steps\": 20, \"seed\": 1}')")
ask here "SELECT gpt_wait($job)" >/dev/null
ask here 'CREATE EXTENSION postgres_fdw'
for name in east west; do
	ask "$name" "CREATE TABLE line AS SELECT i AS id, $order, and the driver was not polite to me at all' AS body
		FROM generate_series(1, $rows) i; ALTER TABLE line ADD PRIMARY KEY (id)"
	ask "$name" 'VACUUM ANALYZE line'
	ask here "CREATE SERVER $name FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$(cat "$work/$name/socket")',
			dbname 'postgres', extensions 'gpt', async_capable 'true', fetch_size '$fetch');
		CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (user 'postgres');
		CREATE FOREIGN TABLE ticks_$name (ticks bigint) SERVER $name OPTIONS (table_name 'ticks');
		CREATE FOREIGN TABLE line_$name (id bigint, body text) SERVER $name OPTIONS (table_name 'line')"
done
ask here "SELECT * FROM gpt_distribute('m', '{east, west}')"
ask here "CREATE TABLE one (id bigint, body text) PARTITION BY RANGE (id);
	CREATE FOREIGN TABLE one_east PARTITION OF one FOR VALUES FROM (1) TO ($((rows + 1)))
		SERVER east OPTIONS (table_name 'line');
	CREATE TABLE two (id bigint, body text) PARTITION BY RANGE (id);
	CREATE FOREIGN TABLE two_east PARTITION OF two FOR VALUES FROM (1) TO ($((rows / 2 + 1)))
		SERVER east OPTIONS (table_name 'lower_half');
	CREATE FOREIGN TABLE two_west PARTITION OF two FOR VALUES FROM ($((rows / 2 + 1))) TO ($((rows + 1)))
		SERVER west OPTIONS (table_name 'upper_half')"
ask east "CREATE TABLE lower_half AS SELECT * FROM line WHERE id <= $rows / 2"
ask west "CREATE TABLE upper_half AS SELECT * FROM line WHERE id > $rows / 2"

# Ticks of the sessions of gpt's foreign tables and of this one, before and after the statement.
measure()
{
	ask here "DO \$\$
	DECLARE n bigint; s float8; began timestamptz;
	BEGIN
		PERFORM id FROM one LIMIT 1; PERFORM id FROM line_west LIMIT 1;
		began := clock_timestamp();
		SELECT count(*), sum(score) INTO n, s
		FROM (SELECT gpt_score('m@1'::gpt_model_version, body) AS score FROM $1 OFFSET 0) q;
		RAISE NOTICE '% % %', n, round(s::numeric, 3),
			round(extract(epoch FROM clock_timestamp() - began)::numeric, 2);
		PERFORM set_config('bench.own', concat_ws('+', stat[14], stat[15]), false)
		FROM string_to_array(pg_read_file('/proc/self/stat'), ' ') stat;
		RAISE NOTICE 'ticks % % %', (SELECT ticks FROM ticks_east), (SELECT ticks FROM ticks_west),
			current_setting('bench.own');
	END \$\$" 2>&1 | sed -n 's/^NOTICE: *//p'
}
for name in east west; do
	ask "$name" "CREATE VIEW ticks AS SELECT stat[14]::bigint + stat[15]::bigint AS ticks
		FROM string_to_array(pg_read_file('/proc/self/stat'), ' ') stat"
done
measure one >/dev/null
for ((round = 1; round <= rounds; round++)); do
	for table in one two; do
		mapfile -t lines < <(measure $table)
		read -r n sum seconds <<<"${lines[0]}"
		read -r _ east west own <<<"${lines[1]}"
		most=$((east > west ? east : west))
		[ $((own)) -le "$most" ] || most=$((own))
		echo "$table $n rows, sum $sum: $seconds s, processor time (1/100 s) east $east west $west" \
			"here $((own)), most $most"
		declare "$table=$most"
	done
	echo "round $round: two shards $(bc -l <<<"scale=2; $one / $two") times as fast"
done
