#!/bin/bash
#
# bench/tokenizers.sh FOLDER [CORPUS...] - the default tokenizer and five chosen by hand, for equal minutes.
#
# FOLDER holds NAME.csv with the columns body and is_validation (bench/tokenizers.py writes them); CORPUS names some of
# the ten. Each training has MINUTES (1) and one thread, and nothing runs beside it. Afterwards gpt_evaluate scores all
# held-out rows, each with its end, and the sum is divided by their bytes: the same bytes for every tokenizer. A
# character that a tokenizer of characters does not know counts 8 bits a byte besides its token. TOKENIZERS (lines
# NAME=OPTIONS) names others. SEED (0). RESULTS is a file that keeps the lines of all runs; earlier runs count too.
set -euo pipefail

folder=$(realpath "${1:?the folder of the corpora is missing}")
shift
minutes=${MINUTES:-1}
results=${RESULTS:-$(mktemp)}
tokenizers=${TOKENIZERS:-'auto={}
bytes={"tokenizer": "bytes"}
chars={"tokenizer": "chars"}
bpe512={"vocabulary": 512}
bpe2048={"vocabulary": 2048}
bpe8192={"vocabulary": 8192}'}
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

start_server tokenizers <<SETTINGS
gpt.train_threads = 1
gpt.nice = 0
max_worker_processes = 16
SETTINGS

ask()
{
	"${psql[@]}" -At "$@"
}

load()
{
	ask <<-SQL
		CREATE TABLE corpus (body text, is_validation boolean);
		\\copy corpus FROM '$folder/$1.csv' CSV HEADER
		ANALYZE corpus;
	SQL
}

# One training; a vocabulary that the corpus cannot fill becomes the largest that it can.
run()
{
	local corpus=$1 name=$2 options=$3 state reached

	while true; do
		ask -v options="$options" -v minutes="$minutes" -v seed="${SEED:-0}" >/dev/null <<-'SQL'
			SELECT gpt_train('m', 'SELECT body, is_validation FROM corpus',
				jsonb_build_object('minutes', :minutes, 'seed', :seed) || :'options') AS job \gset
			SELECT gpt_wait(:job);
		SQL
		state=$(ask -c "SELECT state || '|' || coalesce(error, '') FROM gpt_jobs ORDER BY job DESC LIMIT 1")
		[ "${state%%|*}" != succeeded ] || break
		reached=$(sed -n 's/.*documents can support, which is \([0-9]*\).*/\1/p' <<<"$state")
		[ -n "$reached" ] || { echo "$corpus $name: $state" >&2; return; }
		options=$(sed "s/\"vocabulary\": [0-9]*/\"vocabulary\": $reached/" <<<"$options")
	done
	{
		ask -F' ' -v corpus="$corpus" -v name="$name" <<-'SQL'
			SET search_path = public;
			SELECT sum(octet_length(body)) AS bytes, sum(8 * (octet_length(body) -
				octet_length(gpt_detokenize('m', gpt_tokenize('m', body))))) AS lost FROM corpus WHERE is_validation \gset
			SELECT value AS loss FROM gpt_evaluate('m', 'SELECT body FROM corpus WHERE is_validation', '{"include_end": true}')
				WHERE metric = 'loss' \gset
			SELECT value AS tokens FROM gpt_evaluate('m', 'SELECT body FROM corpus WHERE is_validation', '{"include_end": true}')
				WHERE metric = 'tokens' \gset
			SELECT :'corpus', :'name', split_part(m.tokenizer, '@', 1), m.vocabulary, m.parameters, m.context,
				j.steps, j.corpus_tokens, round((j.corpus_tokens * 1.0 / j.bytes)::numeric, 4),
				round(m.validation_bits_per_byte::numeric, 4),
				round(((:loss * :tokens / ln(2) + :lost) / :bytes)::numeric, 4),
				round(extract(epoch FROM j.finished_at - j.started_at)), j.steps * (c ->> 'batch_size')::integer *
				(c ->> 'accumulate')::integer * (c ->> 'context')::integer,
				round((c ->> 'tokens_per_second')::numeric), c ->> 'preset'
			FROM gpt_models m, gpt_jobs j, LATERAL (SELECT j.conditions AS c) c ORDER BY j.job DESC LIMIT 1;
			SELECT gpt_drop_model('m') \g /dev/null
		SQL
	} | tee -a "$results" >&2
}

[ $# -gt 0 ] || set -- shakespeare tolstoy stories tang names logs code json japanese german
for corpus; do
	load "$corpus"
	while IFS='=' read -r name options <&3; do
		run "$corpus" "$name" "$options"
	done 3<<<"$tokenizers"
	ask -c 'DROP TABLE corpus'
done

# The mean of all runs of a corpus and a tokenizer, and its ratio to the best one chosen by hand.
awk '
	{
		key = $1 " " $2
		sum[key] += $11
		n[key]++
		what[key] = $3 " " $4 " " $5
		if (!(key in seen)) { seen[key] = 1; order[++m] = key }
	}
	END {
		for (i = 1; i <= m; i++) {
			split(order[i], part, " ")
			mean = sum[order[i]] / n[order[i]]
			if (part[2] != "auto" && (!(part[1] in best) || mean < best[part[1]])) best[part[1]] = mean
		}
		printf "%-12s %-9s %-6s %10s %10s %6s %9s %6s\n",
			"corpus", "choice", "kind", "vocabulary", "parameters", "runs", "bits/byte", "ratio"
		for (i = 1; i <= m; i++) {
			split(order[i], part, " "); split(what[order[i]], facts, " ")
			mean = sum[order[i]] / n[order[i]]
			printf "%-12s %-9s %-6s %10d %10d %6d %9.4f %6.3f\n", part[1], part[2], facts[1], facts[2], facts[3],
				n[order[i]], mean, part[1] in best ? mean / best[part[1]] : 1
		}
	}' "$results"
