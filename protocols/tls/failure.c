/*
 * What OpenSSL says, as failures: the texts of its queue of errors, the alert
 * of the peer, and the verdict about the peer's certificate.
 *
 * A failure carries its two numbers in one word, so that it needs no further
 * allocation.  OpenSSL tells an alert of the peer as an error of its own, whose
 * number is that of the alert and 1000.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "protocols/tls/failure.h"

enum { MAX_TEXT = 256, NO_ALERT = 0xff };

/* What was in the queue.  text has all errors, the first one first. */
struct tls_said {
	char text[MAX_TEXT];
	size_t length;
	unsigned alert;
	bool no_memory, truncated, refused;
};

const struct plait_error plait_error_tls_handshake = {
	.name = "TLSHandshakeError",
	.text = "The handshake of TLS failed.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_tls_verify = {
	.name = "TLSVerifyError",
	.text = "The certificate of the peer was refused.",
	.parent = &plait_error_tls_handshake,
};

const struct plait_error plait_error_tls = {
	.name = "TLSError",
	.text = "TLS broke the connection off.",
	.parent = &plait_error_connection_lost,
};

const struct plait_error plait_error_tls_truncated = {
	.name = "TLSTruncatedError",
	.text = "The stream ended, and the peer has not said that it was "
		"whole.",
	.parent = &plait_error_tls,
};

/* ---- the numbers of a failure -------------------------------------------- */

static int reason_format(const void *ptr, char *buf, size_t size)
{
	uintptr_t n = (uintptr_t)ptr;

	if ((n & 0xff) != NO_ALERT)
		return snprintf(buf, size, "alert %u", (unsigned)(n & 0xff));
	return snprintf(buf, size, "verify error %u", (unsigned)(n >> 8));
}

static const struct plait_type reason_type = {
	.name = "tls reason",
	.format = reason_format,
};

static plait_value reason_value(unsigned alert, long verify_error)
{
	return plait_value_make(
		&reason_type,
		(void *)((uintptr_t)verify_error << 8 | (uintptr_t)alert));
}

/* NO_ALERT if the failure carries no reason. */
static uintptr_t reason_of(const struct plait_failure *f)
{
	const plait_value *v = plait_failure_detail(f);

	return plait_value_is(v, &reason_type) ? (uintptr_t)v->ptr : NO_ALERT;
}

int plait_tls_failure_alert(const struct plait_failure *f)
{
	unsigned alert = reason_of(f) & 0xff;

	return alert != NO_ALERT ? (int)alert : -1;
}

int plait_tls_failure_verify_error(const struct plait_failure *f)
{
	return (int)(reason_of(f) >> 8);
}

/* ---- the queue ----------------------------------------------------------- */

static void said_append(struct tls_said *said, const char *text)
{
	size_t room = sizeof(said->text) - said->length;
	int n = snprintf(said->text + said->length, room, "%s%s",
			 said->length > 0 ? "; " : "", text);

	said->length += (size_t)n < room ? (size_t)n : room - 1;
}

/* OpenSSL has no words for two alerts of TLS 1.3, and one of them is what every
   client gets that has forgotten its certificate. */
static const char *alert_words(unsigned alert)
{
	if (alert == SSL_AD_MISSING_EXTENSION)
		return "missing extension";
	if (alert == SSL_AD_CERTIFICATE_REQUIRED)
		return "certificate required";
	return SSL_alert_desc_string_long((int)alert);
}

/* The words for the alert have the number behind them. */
static void said_add_alert(struct tls_said *said, unsigned alert)
{
	char text[64];

	snprintf(text, sizeof(text), "the peer says: %s (alert %u)",
		 alert_words(alert), alert);
	said->alert = alert;
	said_append(said, text);
}

/* Errors of the system have the text of their errno; data is what the caller of
   OpenSSL's function was about, such as the name of a file. */
static void said_add(struct tls_said *said, unsigned long error,
		     const char *data)
{
	int reason = ERR_GET_REASON(error);
	const char *text = ERR_SYSTEM_ERROR(error)
				   ? strerror(reason)
				   : ERR_reason_error_string(error);
	char words[MAX_TEXT];

	if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
	    reason > SSL_AD_REASON_OFFSET &&
	    reason < SSL_AD_REASON_OFFSET + NO_ALERT) {
		said_add_alert(said, (unsigned)(reason - SSL_AD_REASON_OFFSET));
		return;
	}
	if (reason == ERR_R_MALLOC_FAILURE && !ERR_SYSTEM_ERROR(error))
		said->no_memory = true;
	if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
		said->truncated |= reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
		said->refused |= reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
	}
	if (text == NULL)
		snprintf(words, sizeof(words), "error %d of library %d", reason,
			 ERR_GET_LIB(error));
	else
		snprintf(words, sizeof(words), "%s%s%s", text,
			 data[0] != '\0' ? ": " : "", data);
	said_append(said, words);
}

/* Empties the queue. */
static void said_take(struct tls_said *said)
{
	unsigned long error;
	const char *data;
	int flags;

	*said = (struct tls_said){ .alert = NO_ALERT };
	while ((error = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) !=
	       0)
		said_add(said, error, flags & ERR_TXT_STRING ? data : "");
	if (said->length == 0)
		said_append(said, "OpenSSL does not say why");
}

int plait_i_tls_errors(char *buf, size_t size)
{
	struct tls_said said;

	said_take(&said);
	return snprintf(buf, size, "%s", said.text);
}

/* ---- failures ------------------------------------------------------------ */

static plait_value said_failure(const char *where,
				const struct plait_error *kind,
				const struct tls_said *said, const char *what)
{
	const char *colon = what[0] != '\0' ? ": " : "";

	if (said->no_memory)
		return plait_no_memory();
	if (said->alert == NO_ALERT)
		return (plait_fail)(where, kind, "%s%s%s", what, colon,
				    said->text);
	return (plait_fail_with)(where, kind, reason_value(said->alert, 0),
				 "%s%s%s", what, colon, said->text);
}

/* OpenSSL keeps the verdict about a certificate if the program lets it pass,
   too; so the verdict alone does not say why a handshake has failed. */
plait_value plait_i_tls_handshake_failed(const char *where, const SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);
	struct tls_said said;

	said_take(&said);
	if (said.truncated)
		return (plait_fail)(where, &plait_error_tls_handshake,
				    "the peer hung up");
	if (verdict == X509_V_OK || !said.refused || said.no_memory)
		return said_failure(where, &plait_error_tls_handshake, &said,
				    "");
	return (plait_fail_with)(where, &plait_error_tls_verify,
				 reason_value(NO_ALERT, verdict), "%s",
				 X509_verify_cert_error_string(verdict));
}

plait_value plait_i_tls_broke(const char *where)
{
	struct tls_said said;

	said_take(&said);
	return said_failure(where,
			    said.truncated ? &plait_error_tls_truncated
					   : &plait_error_tls,
			    &said, "");
}

plait_value plait_i_tls_failed(const char *where,
			       const struct plait_error *kind, const char *what)
{
	struct tls_said said;

	said_take(&said);
	return said_failure(where, kind, &said, what);
}
