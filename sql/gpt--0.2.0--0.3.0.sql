/* sql/gpt--0.2.0--0.3.0.sql: what 0.3.0 adds to 0.2.0. */
\echo Use "ALTER EXTENSION gpt UPDATE" to load this file. \quit
