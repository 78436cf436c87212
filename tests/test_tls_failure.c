/*
 * What OpenSSL says, as failures of plait: the errors are put into its queue as
 * OpenSSL does it.
 */
#include <openssl/bio.h>
#include <openssl/err.h>

#include "protocols/tls/failure.h"
#include "tests/harness.h"

static SSL_CTX *context;
static SSL *ssl;

static void ssl_setup(void)
{
	context = SSL_CTX_new(TLS_method());
	ssl = SSL_new(context);
	ck_assert_ptr_nonnull(ssl);
}

static void ssl_teardown(void)
{
	SSL_free(ssl);
	SSL_CTX_free(context);
}

/* The failure v, which is taken, is of this kind and says that. */
static void is_failure(plait_value v, const struct plait_error *kind,
		       const char *message, int alert, int verify_error)
{
	const struct plait_failure *f = plait_value_failure(&v);

	ck_assert_str_eq(plait_failure_kind(f)->name, kind->name);
	ck_assert_str_eq(plait_failure_message(f), message);
	ck_assert_int_eq(plait_tls_failure_alert(f), alert);
	ck_assert_int_eq(plait_tls_failure_verify_error(f), verify_error);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	plait_value_free(&v);
}

GROUP("handshake", .setup = ssl_setup, .teardown = ssl_teardown);

TEST(an_alert_of_the_peer_is_told_with_its_number, PURE)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
	is_failure(plait_i_tls_handshake_failed("here", ssl),
		   &plait_error_tls_handshake,
		   "the peer says: handshake failure (alert 40)", 40, 0);
}

TEST(a_certificate_that_is_refused_is_told_in_words_and_as_a_number, PURE)
{
	SSL_set_verify_result(ssl, X509_V_ERR_CERT_HAS_EXPIRED);
	ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
	is_failure(plait_i_tls_handshake_failed("here", ssl),
		   &plait_error_tls_verify, "certificate has expired", -1,
		   X509_V_ERR_CERT_HAS_EXPIRED);
}

TEST(a_verdict_that_the_program_has_overruled_is_no_reason, PURE)
{
	SSL_set_verify_result(ssl, X509_V_ERR_CERT_HAS_EXPIRED);
	ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
	is_failure(plait_i_tls_handshake_failed("here", ssl),
		   &plait_error_tls_handshake, "no shared cipher", -1, 0);
}

TEST(a_peer_that_hangs_up_in_the_handshake_is_no_truncation, PURE)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING);
	is_failure(plait_i_tls_handshake_failed("here", ssl),
		   &plait_error_tls_handshake, "the peer hung up", -1, 0);
}

GROUP("queue", .setup = ssl_setup, .teardown = ssl_teardown);

TEST(an_end_without_a_close_notify_is_a_truncation, PURE)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING);
	is_failure(plait_i_tls_broke("here"), &plait_error_tls_truncated,
		   "unexpected eof while reading", -1, 0);
}

TEST(an_alert_on_a_connection_is_no_truncation, PURE)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	is_failure(plait_i_tls_broke("here"), &plait_error_tls,
		   "the peer says: bad record mac (alert 20)", 20, 0);
}

static const struct {
	int reason, alert;
	const char *says;
} newer_alerts[] = {
	{ SSL_R_TLSV13_ALERT_MISSING_EXTENSION, 109,
	  "the peer says: missing extension (alert 109)" },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, 116,
	  "the peer says: certificate required (alert 116)" },
};

TEST(an_alert_of_tls_1_3_has_words_too, PURE, EACH_OF(newer_alerts))
{
	ERR_raise(ERR_LIB_SSL, newer_alerts[_i].reason);
	is_failure(plait_i_tls_broke("here"), &plait_error_tls,
		   newer_alerts[_i].says, newer_alerts[_i].alert, 0);
}

TEST(all_errors_are_told_with_what_they_are_about, PURE)
{
	ck_assert_ptr_null(BIO_new_file("/nowhere/server.pem", "r"));
	is_failure(plait_i_tls_failed("here", &plait_error_any, "certificate"),
		   &plait_error_any,
		   "certificate: No such file or directory: "
		   "calling fopen(/nowhere/server.pem, r); no such file",
		   -1, 0);
}

TEST(an_error_without_a_text_is_told_as_numbers, PURE)
{
	ERR_raise(ERR_LIB_USER, 77);
	is_failure(plait_i_tls_broke("here"), &plait_error_tls,
		   "error 77 of library 128", -1, 0);
}

TEST(an_empty_queue_is_told, PURE)
{
	is_failure(plait_i_tls_broke("here"), &plait_error_tls,
		   "OpenSSL does not say why", -1, 0);
}

TEST(more_errors_than_fit_are_cut_off_and_taken, PURE)
{
	char text[1000];

	for (int i = 0; i < 12; i++)
		ERR_raise_data(ERR_LIB_SSL, SSL_R_BAD_LENGTH,
			       "of a rather long record with the number %d", i);
	ck_assert_int_eq(plait_i_tls_errors(text, sizeof(text)), 255);
	ck_assert_uint_eq(strlen(text), 255);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

TEST(no_memory_for_openssl_is_the_failure_for_no_memory, PURE)
{
	ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
	is_failure(plait_i_tls_broke("here"), &plait_error_no_memory, "", -1,
		   0);
}

TEST(no_memory_for_a_failure_of_tls_is_the_same, PURE)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	fault_alloc_at(0, true);
	is_failure(plait_i_tls_broke("here"), &plait_error_no_memory, "", -1,
		   0);
}

GROUP("numbers");

TEST(a_failure_without_numbers_has_none, PURE)
{
	is_failure(plait_fail(&plait_error_tls, "%s", ""), &plait_error_tls, "",
		   -1, 0);
	is_failure(plait_fail_with(&plait_error_tls, plait_int(7), "%s", ""),
		   &plait_error_tls, "", -1, 0);
	ck_assert_int_eq(plait_tls_failure_alert(NULL), -1);
	ck_assert_int_eq(plait_tls_failure_verify_error(NULL), 0);
}

TEST(the_numbers_are_written, PURE)
{
	plait_value v;
	char text[64];

	ERR_raise(ERR_LIB_SSL, SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	v = plait_i_tls_broke("here");
	plait_value_str(plait_failure_detail(plait_value_failure(&v)), text,
			sizeof(text));
	ck_assert_str_eq(text, "alert 20");
	plait_value_free(&v);
}

TEST(kinds_descend_from_those_of_connections, PURE)
{
	ck_assert_ptr_eq(plait_error_tls_handshake.parent,
			 &plait_error_connect);
	ck_assert_ptr_eq(plait_error_tls_truncated.parent, &plait_error_tls);
	ck_assert_ptr_eq(plait_error_tls.parent, &plait_error_connection_lost);
}
