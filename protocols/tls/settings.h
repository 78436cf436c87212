/*
 * What the options of a context said.
 */
#ifndef PROTOCOLS_TLS_SETTINGS_H
#define PROTOCOLS_TLS_SETTINGS_H

#include <plait/tls.h>

/* What the options said that is asked for later.  It never changes. */
struct tls_settings {
	bool is_server;
	bool has_authorities; /* from a file, or from bytes */
	bool accepts_any_name, accepts_any_certificate;
	bool client_may_have_none;
	bool no_resumption;
	int min_version; /* as OpenSSL numbers them */
	double handshake_timeout;
	plait_tls_choose *choose;
	plait_tls_verify *verify;
	plait_tls_failed *failed;
	void *arg;
	/* Of files alone; what came as bytes is in the SSL_CTX. */
	char *certificate_file, *key_file, *authorities_file;
	unsigned char *alpn; /* as it is sent: each behind its length */
	unsigned alpn_size;
};

#endif
