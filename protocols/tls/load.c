/*
 * Reading certificates and keys.
 *
 * A text may have anything between its blocks, as files of certificates have.
 * A key that is encrypted is refused: OpenSSL would ask for its password on the
 * terminal, and wait.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "protocols/tls/failure.h"
#include "protocols/tls/load.h"

/* ---- what is wrong ----------------------------------------------- */

int plait_i_tls_why(const struct tls_why *why, int err, const char *what,
		    const char *file, const char *text)
{
	ERR_clear_error();
	snprintf(why->text, why->size, "%s%s%s: %s", what,
		 file != NULL ? " " : "", file != NULL ? file : "", text);
	return -err;
}

int plait_i_tls_why_openssl(const struct tls_why *why, const char *what,
			    const char *file)
{
	unsigned long first = ERR_peek_error();
	char text[PLAIT_TLS_WHY_SIZE];
	bool no_memory = !ERR_SYSTEM_ERROR(first) &&
			 ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE;

	plait_i_tls_errors(text, sizeof(text));
	return plait_i_tls_why(why, no_memory ? ENOMEM : EINVAL, what, file,
			       text);
}

/* ---- reading ----------------------------------------------------- */

/* A text that is read, and what it is for messages. */
struct tls_text {
	BIO *bio;
	const char *what, *file;
	const struct tls_why *why;
};

static int text_failed(const struct tls_text *t, const char *text)
{
	return plait_i_tls_why(t->why, EINVAL, t->what, t->file, text);
}

static int text_failed_openssl(const struct tls_text *t)
{
	return plait_i_tls_why_openssl(t->why, t->what, t->file);
}

static int text_open(struct tls_text *t, const struct plait_tls_pem *pem,
		     const char *what, const struct tls_why *why)
{
	*t = (struct tls_text){ .what = what, .file = pem->file, .why = why };
	ERR_clear_error();
	errno = 0;
	if (pem->file != NULL)
		t->bio = BIO_new_file(pem->file, "r");
	else if (pem->size <= INT_MAX)
		t->bio = BIO_new_mem_buf(pem->bytes, (int)pem->size);
	if (t->bio != NULL)
		return 0;
	if (pem->file != NULL && errno != 0 && errno != ENOMEM)
		return plait_i_tls_why(why, errno, what, pem->file,
				       strerror(errno));
	return plait_i_tls_why(why, ENOMEM, what, pem->file, strerror(ENOMEM));
}

static void text_close(struct tls_text *t)
{
	BIO_free(t->bio);
	ERR_clear_error();
}

static int text_no_password(char *buf, int size, int writing, void *arg)
{
	return -1;
}

/* Is true if a read has failed because no block of that sort is left. */
static bool text_is_over(void)
{
	unsigned long last = ERR_peek_last_error();

	return ERR_GET_LIB(last) == ERR_LIB_PEM &&
	       ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

/* Stores the next certificate, or NULL behind the last. */
static int text_next(struct tls_text *t, X509 **ret)
{
	ERR_clear_error();
	*ret = PEM_read_bio_X509(t->bio, NULL, text_no_password, NULL);
	if (*ret == NULL && !text_is_over())
		return text_failed_openssl(t);
	return 0;
}

/*
 * Calls take() for each certificate, with its number; take() returns 1, or 0
 * with an error of OpenSSL.
 */
static int text_for_each(struct tls_text *t, SSL_CTX *ctx,
			 int (*take)(SSL_CTX *ctx, X509 *x, unsigned number))
{
	unsigned n = 0;
	X509 *x;
	int err;

	for (;; n++) {
		err = text_next(t, &x);
		if (err < 0)
			return err;
		if (x == NULL)
			break;
		if (take(ctx, x, n) != 1)
			err = text_failed_openssl(t);
		X509_free(x);
		if (err < 0)
			return err;
	}
	return n > 0 ? 0 : text_failed(t, "there is no certificate in it");
}

/* ---- this end ---------------------------------------------------- */

static int certificate_take(SSL_CTX *ctx, X509 *x, unsigned number)
{
	return number == 0 ? SSL_CTX_use_certificate(ctx, x)
			   : (int)SSL_CTX_add1_chain_cert(ctx, x);
}

static int certificate_load(SSL_CTX *ctx, const struct plait_tls_pem *pem,
			    const struct tls_why *why)
{
	struct tls_text t;
	int err = text_open(&t, pem, "certificate", why);

	if (err < 0)
		return err;
	err = text_for_each(&t, ctx, certificate_take);
	text_close(&t);
	return err;
}

static int key_use(const struct tls_text *t, SSL_CTX *ctx, EVP_PKEY *key)
{
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		unsigned long last = ERR_peek_last_error();

		if (ERR_GET_LIB(last) != ERR_LIB_X509)
			return text_failed_openssl(t);
	} else if (SSL_CTX_check_private_key(ctx) == 1) {
		return 0;
	}
	return text_failed(t, "it is not the key of the certificate");
}

/* What a reader of keys says of a text without one, and of one that it does not
   know. */
static bool text_has_no_key(void)
{
	unsigned long first = ERR_peek_error();

	return text_is_over() || (ERR_GET_LIB(first) == ERR_LIB_OSSL_DECODER &&
				  ERR_GET_REASON(first) == ERR_R_UNSUPPORTED);
}

static int key_read(struct tls_text *t, SSL_CTX *ctx)
{
	EVP_PKEY *key =
		PEM_read_bio_PrivateKey(t->bio, NULL, text_no_password, NULL);
	unsigned long last = ERR_peek_last_error();
	int err;

	if (key == NULL && text_has_no_key())
		return text_failed(t, "there is no key in it that is known");
	if (key == NULL && ERR_GET_LIB(last) == ERR_LIB_PEM &&
	    ERR_GET_REASON(last) == PEM_R_BAD_PASSWORD_READ)
		return text_failed(t, "it is encrypted with a password");
	if (key == NULL)
		return text_failed_openssl(t);
	err = key_use(t, ctx, key);
	EVP_PKEY_free(key);
	return err;
}

static int key_load(SSL_CTX *ctx, const struct plait_tls_pem *pem,
		    const struct tls_why *why)
{
	struct tls_text t;
	int err = text_open(&t, pem, "key", why);

	if (err < 0)
		return err;
	err = key_read(&t, ctx);
	text_close(&t);
	return err;
}

int plait_i_tls_load_certificate(SSL_CTX *ctx,
				 const struct plait_tls_pem *certificate,
				 const struct plait_tls_pem *key,
				 const struct tls_why *why)
{
	int err = certificate_load(ctx, certificate, why);

	if (err < 0)
		return err;
	return key_load(ctx, tls_pem_is_empty(key) ? certificate : key, why);
}

/* ---- the others -------------------------------------------------- */

static int authority_trust(SSL_CTX *ctx, X509 *x, unsigned number)
{
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
}

static int authority_announce(SSL_CTX *ctx, X509 *x, unsigned number)
{
	return authority_trust(ctx, x, number) == 1
		       ? SSL_CTX_add_client_CA(ctx, x)
		       : 0;
}

/* One that another has signed may be trusted alone, too. */
int plait_i_tls_load_authorities(SSL_CTX *ctx,
				 const struct plait_tls_pem *authorities,
				 bool announce, const struct tls_why *why)
{
	struct tls_text t;
	int err = text_open(&t, authorities, "authorities", why);

	if (err < 0)
		return err;
	err = text_for_each(&t, ctx,
			    announce ? authority_announce : authority_trust);
	text_close(&t);
	X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx),
			     X509_V_FLAG_PARTIAL_CHAIN);
	return err;
}
