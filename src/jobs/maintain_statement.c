/*
 * src/jobs/maintain_statement.c
 *
 * The facts of a maintained table go in; the statements of a batch come out.
 *
 * All names are qualified and quoted. The rows of a batch are named tuplestores, as the transition
 * tables of triggers are: gpt_rows has what was read, gpt_values also the values. Their columns are
 * PREFIX0 (number of the item), PREFIX1 (whether the column is null), PREFIX2 ... (the key), then
 * the columns that the expression reads, by their names, and PREFIXv (the value).
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "jobs/maintain_batch.h"

#define FIRST_KEY 2

/* "t.key = x AND ..."; the other side of key i is `other`, printed with prefix and number. */
static void
append_join(StringInfo sql, const GptBatch *batch)
{
	for (int i = 0; i < batch->table.n_keys; i++)
		appendStringInfo(sql, "%st.%s %s v.%s%d", i > 0 ? " AND " : "", batch->table.keys[i].name,
						 batch->table.keys[i].equals, batch->prefix, FIRST_KEY + i);
}

/* The select list of rows of the table t, after the number of the item. */
static void
append_columns(StringInfo sql, const GptBatch *batch)
{
	const GptMaintainedTable *table = &batch->table;

	appendStringInfo(sql, "t.%s IS NULL AS %s1", table->column.name, batch->prefix);
	for (int i = 0; i < table->n_keys; i++)
		appendStringInfo(sql, ", t.%s AS %s%d", table->keys[i].name, batch->prefix, FIRST_KEY + i);
	for (int i = 0; i < table->n_reads; i++)
		appendStringInfo(sql, ", t.%s", table->reads[i].name);
}

char *
gpt_batch_marked_statement(const GptBatch *batch)
{
	const GptMaintainedTable *table = &batch->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT CAST(w.number AS pg_catalog.int4) AS %s0, ", batch->prefix);
	append_columns(&sql, batch);
	appendStringInfo(&sql,
					 " FROM pg_catalog.unnest($1) WITH ORDINALITY AS w(key, number) JOIN %s AS t "
					 "ON ",
					 table->source);
	for (int i = 0; i < table->n_keys; i++)
		appendStringInfo(&sql, "%st.%s %s %s", i > 0 ? " AND " : "", table->keys[i].name,
						 table->keys[i].equals, gpt_key_value(table, "w.key", i));
	appendStringInfoString(&sql, " ORDER BY w.number");
	return sql.data;
}

/*
 * Behind the last key. A comparison of rows can use the key's index as a whole, but there its
 * operators are found by their names.
 */
static void
append_behind(StringInfo sql, const GptMaintainedTable *table)
{
	bool plain = true;

	for (int i = 0; i < table->n_keys; i++)
		plain = plain && table->keys[i].plain;
	if (plain)
	{
		for (int i = 0; i < table->n_keys; i++)
			appendStringInfo(sql, "%st.%s", i > 0 ? ", " : " WHERE ROW(", table->keys[i].name);
		for (int i = 0; i < table->n_keys; i++)
			appendStringInfo(sql, "%s%s", i > 0 ? ", " : ") OPERATOR(pg_catalog.>) ROW(",
							 gpt_key_value(table, "$1", i));
		appendStringInfoChar(sql, ')');
		return;
	}
	appendStringInfoString(sql, " WHERE false");
	for (int last = 0; last < table->n_keys; last++)
	{
		appendStringInfoString(sql, " OR (");
		for (int i = 0; i <= last; i++)
			appendStringInfo(sql, "%st.%s %s %s", i > 0 ? " AND " : "", table->keys[i].name,
							 i < last ? table->keys[i].equals : table->keys[i].greater,
							 gpt_key_value(table, "$1", i));
		appendStringInfoChar(sql, ')');
	}
}

char *
gpt_batch_next_statement(const GptBatch *batch)
{
	const GptMaintainedTable *table = &batch->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT CAST(pg_catalog.row_number() OVER () AS pg_catalog.int4) AS %s0, r.* "
					 "FROM (SELECT ",
					 batch->prefix);
	append_columns(&sql, batch);
	appendStringInfo(&sql, " FROM %s AS t", table->source);
	if (batch->maintenance->last_key != NULL)
		append_behind(&sql, table);
	for (int i = 0; i < table->n_keys; i++)
		appendStringInfo(&sql, "%st.%s", i > 0 ? ", " : " ORDER BY ", table->keys[i].name);
	appendStringInfoString(&sql, " LIMIT $2) AS r");
	return sql.data;
}

char *
gpt_batch_compute_statement(const GptBatch *batch)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s.*, (%s) AS %sv FROM gpt_rows AS %s", batch->table.alias,
					 batch->maintenance->expression, batch->prefix, batch->table.alias);
	return sql.data;
}

/*
 * The row as it is now and as it was read are the same, bit by bit: types need no equality. There
 * is a column to compare.
 */
static void
append_same(StringInfo sql, const GptMaintainedTable *table)
{
	for (int i = 0; i < table->n_reads; i++)
		appendStringInfo(sql, "%st.%s", i > 0 ? ", " : "CAST(ROW(", table->reads[i].name);
	for (int i = 0; i < table->n_reads; i++)
		appendStringInfo(sql, "%sv.%s",
						 i > 0 ? ", " : ") AS pg_catalog.record) OPERATOR(pg_catalog.*=) CAST(ROW(",
						 table->reads[i].name);
	appendStringInfoString(sql, ") AS pg_catalog.record)");
}

char *
gpt_batch_lock_statement(const GptBatch *batch)
{
	const GptMaintainedTable *table = &batch->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT v.%s0 FROM gpt_values AS v JOIN %s AS t ON ", batch->prefix,
					 table->source);
	append_join(&sql, batch);
	if (table->n_reads > 0)
	{
		appendStringInfoString(&sql, " WHERE ");
		append_same(&sql, table);
	}
	appendStringInfoString(&sql, " FOR NO KEY UPDATE OF t SKIP LOCKED");
	return sql.data;
}

char *
gpt_batch_update_statement(const GptBatch *batch, bool same_type)
{
	const GptMaintainedTable *table = &batch->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "WITH w AS (UPDATE %s AS t SET %s = v.%sv FROM gpt_values AS v WHERE ",
					 table->source, table->column.name, batch->prefix);
	append_join(&sql, batch);
	appendStringInfo(&sql, " AND v.%s0 OPERATOR(pg_catalog.=) ANY ($1)", batch->prefix);
	if (same_type)
		appendStringInfo(&sql,
						 " AND NOT (CAST(ROW(t.%s) AS pg_catalog.record) OPERATOR(pg_catalog.*=) "
						 "CAST(ROW(v.%sv) AS pg_catalog.record))",
						 table->column.name, batch->prefix);
	appendStringInfo(&sql, " RETURNING v.%s0 AS number, ", batch->prefix);
	if (table->n_reads > 0)
		append_same(&sql, table);
	else
		appendStringInfoString(&sql, "true");
	appendStringInfoString(&sql, " AS same) SELECT number FROM w WHERE NOT same");
	return sql.data;
}

char *
gpt_batch_clear_statement(const GptBatch *batch)
{
	const GptMaintainedTable *table = &batch->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS t SET %s = NULL WHERE ", table->source,
					 table->column.name);
	for (int i = 0; i < table->n_keys; i++)
		appendStringInfo(&sql, "%st.%s %s %s", i > 0 ? " AND " : "", table->keys[i].name,
						 table->keys[i].equals, gpt_key_value(table, "$1", i));
	return sql.data;
}
