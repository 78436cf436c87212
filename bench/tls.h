/*
 * What the programs of the benchmark that do TLS share: a certificate that is
 * made when the program starts, for a name that nobody checks.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include <openssl/ssl.h>

#include "bench.h"

/* The certificate and its key, as PEM; freed by nobody. */
struct tls_pem {
	char *certificate, *key;
	size_t certificate_size, key_size;
};

struct tls_pem tls_pem_new(void);

/* Ends the program with what OpenSSL says, unless ok. */
void must_tls(bool ok, const char *what);

#endif
