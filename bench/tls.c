#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls.h"

enum { A_DAY = 24 * 60 * 60 };

void must_tls(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: ", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* What was written into bio, which is freed. */
static char *bio_text(BIO *bio, size_t *ret)
{
	char *data, *text;
	long n = BIO_get_mem_data(bio, &data);

	text = allocate((size_t)n + 1);
	for (long i = 0; i < n; i++)
		text[i] = data[i];
	*ret = (size_t)n;
	BIO_free(bio);
	return text;
}

static X509 *certificate_new(EVP_PKEY *key)
{
	X509 *x = X509_new();

	must_tls(x != NULL && X509_set_version(x, X509_VERSION_3) &&
			 ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
			 X509_gmtime_adj(X509_getm_notBefore(x), -A_DAY) &&
			 X509_gmtime_adj(X509_getm_notAfter(x), A_DAY) &&
			 X509_NAME_add_entry_by_txt(
				 X509_get_subject_name(x), "CN", MBSTRING_ASC,
				 (const unsigned char *)"bench", -1, -1, 0) &&
			 X509_set_issuer_name(x, X509_get_subject_name(x)) &&
			 X509_set_pubkey(x, key) &&
			 X509_sign(x, key, EVP_sha256()) > 0,
		 "certificate");
	return x;
}

struct tls_pem tls_pem_new(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *of_key = BIO_new(BIO_s_mem()), *of_x = BIO_new(BIO_s_mem());
	struct tls_pem pem;
	X509 *x;

	must_tls(key != NULL && of_key != NULL && of_x != NULL, "key");
	x = certificate_new(key);
	must_tls(PEM_write_bio_X509(of_x, x) &&
			 PEM_write_bio_PrivateKey(of_key, key, NULL, NULL, 0,
						  NULL, NULL),
		 "PEM");
	pem.certificate = bio_text(of_x, &pem.certificate_size);
	pem.key = bio_text(of_key, &pem.key_size);
	X509_free(x);
	EVP_PKEY_free(key);
	return pem;
}
