/*
 * src/core/pulse.c
 *
 * Time goes in; notices to the client, and the news that it has gone, come out.
 *
 * Nothing waits for the socket: a client that does not read must not stop the process in the middle
 * of the engine, where nothing may raise an error.
 */
#include "postgres.h"

/* Nothing here looks into a connection, so the headers of Kerberos are not needed. */
#undef ENABLE_GSS

#include "access/xact.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "postgres_ext.h"
#include "utils/timestamp.h"

#include "core/pulse.h"

static GptPulseText text_of = NULL;
static TimestampTz statement_at = 0; /* beginning of the statement that it is for */
static TimestampTz sent_at = 0;

void
gpt_pulse_begin(GptPulseText text)
{
	text_of = text;
	statement_at = GetCurrentStatementStartTimestamp();
	sent_at = GetCurrentTimestamp();
}

void
gpt_pulse_end(void)
{
	text_of = NULL;
}

/* Appends a field of the message: its type and its text with the NUL. */
static size_t
put_field(char *message, size_t at, char type, const char *text)
{
	size_t size = strlen(text) + 1;

	message[at] = type;
	memcpy(message + at + 1, text, size);
	return at + 1 + size;
}

/*
 * A notice as the protocol has it, written here: ereport() could raise an error, and wait. The
 * buffer of the connection is empty, so it does not grow either.
 */
static void
send_notice(void)
{
	char text[256] = "";
	char notice[300];
	char message[400];
	size_t size = 0;

	text_of(text, sizeof(text));
	snprintf(notice, sizeof(notice), "gpt progress {%s}", text);
	size = put_field(message, size, PG_DIAG_SEVERITY, "NOTICE");
	size = put_field(message, size, PG_DIAG_SEVERITY_NONLOCALIZED, "NOTICE");
	size = put_field(message, size, PG_DIAG_SQLSTATE, "00000");
	size = put_field(message, size, PG_DIAG_MESSAGE_PRIMARY, notice);
	message[size++] = '\0';
	pq_putmessage_noblock('N', message, size);
	(void) pq_flush_if_writable();
}

void
gpt_pulse(void)
{
	TimestampTz now;

	if (text_of == NULL || MyProcPort == NULL ||
		statement_at != GetCurrentStatementStartTimestamp())
		return;
	now = GetCurrentTimestamp();
	if (!TimestampDifferenceExceeds(sent_at, now, GPT_PULSE_MS))
		return;
	sent_at = now;
	if (!pq_check_connection())
	{
		ClientConnectionLost = true;
		InterruptPending = true;
		return;
	}
	HOLD_INTERRUPTS();
	/* What waits in the buffer, such as the names of the result's columns, goes first. */
	(void) pq_flush_if_writable();
	if (!pq_is_send_pending())
		send_notice();
	RESUME_INTERRUPTS();
}
