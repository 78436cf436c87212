/*
 * Tickets.  A server keeps no sessions: all that there is of one is in the
 * ticket that its client has, wrapped in a key of the server.  Servers with the
 * same keys open each other's tickets, so a key says who may have made a
 * session, and nothing about whether this server would have made it.  What says
 * that is the session id context, which lies in the ticket, too.  It is made of
 * all that a whole handshake would decide anew:
 *
 * - the names in the server's certificate, because whoever can lead a client of
 *   one server to another must not have it believe that this is the one which
 *   it knows;
 * - whether clients must show certificates, and the authorities that these are
 *   checked against, because nobody checks them when a session goes on.
 *
 * Nothing in it is of one process, or of one reading of the files.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "protocols/tls/asked.h"
#include "protocols/tls/ticket.h"

enum { IV_SIZE = 16, ID_SIZE = 32 }; /* of AES, and of SHA-256 */

/* ---- keys -------------------------------------------------------- */

void plait_i_tls_tickets_init(struct tls_tickets *t)
{
	pthread_mutex_init(&t->lock, NULL);
}

int plait_i_tls_tickets_begin(struct tls_tickets *t)
{
	return RAND_bytes(t->own.name, sizeof(t->own.name)) == 1 &&
	       RAND_priv_bytes(t->own.hmac_key, sizeof(t->own.hmac_key)) == 1 &&
	       RAND_priv_bytes(t->own.aes_key, sizeof(t->own.aes_key)) == 1;
}

void plait_i_tls_tickets_done(struct tls_tickets *t)
{
	pthread_mutex_destroy(&t->lock);
	OPENSSL_cleanse(&t->own, sizeof(t->own));
	OPENSSL_cleanse(t->set, sizeof(t->set));
}

void plait_i_tls_tickets_set(struct tls_tickets *t,
			     const struct plait_tls_ticket_key *keys, size_t n)
{
	pthread_mutex_lock(&t->lock);
	OPENSSL_cleanse(t->set, sizeof(t->set));
	if (n > 0)
		memcpy(t->set, keys, n * sizeof(*keys));
	t->n = n;
	pthread_mutex_unlock(&t->lock);
}

/* Copies the key of that name; NULL: the one for new tickets.  Returns its
   place, or -1 if there is none. */
static int tickets_find(struct tls_tickets *t, const unsigned char *name,
			struct plait_tls_ticket_key *ret)
{
	const struct plait_tls_ticket_key *keys;
	int n, at = 0;

	pthread_mutex_lock(&t->lock);
	keys = t->n > 0 ? t->set : &t->own;
	n = t->n > 0 ? (int)t->n : 1;
	while (name != NULL && at < n &&
	       memcmp(keys[at].name, name, sizeof(keys[at].name)) != 0)
		at++;
	if (at < n)
		*ret = keys[at];
	pthread_mutex_unlock(&t->lock);
	return at < n ? at : -1;
}

static bool ticket_use_key(struct plait_tls_ticket_key *key, unsigned char *iv,
			   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int makes)
{
	char hash[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
						  key->hmac_key,
						  sizeof(key->hmac_key)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash,
						 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex2(cipher, EVP_aes_256_cbc(), key->aes_key, iv,
				  makes, NULL) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

/*
 * OpenSSL makes a ticket, or wants to open one, in the middle of a call; the
 * connection has a reference to the context whose keys these are.  Returns 0 if
 * no key fits, 2 if there is to be a new ticket: in TLS 1.3 each is used once.
 */
static int ticket_came(SSL *ssl, unsigned char *name, unsigned char *iv,
		       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int makes)
{
	const struct tls_asked *asked = SSL_get_app_data(ssl);
	struct plait_tls_ticket_key key;
	int at = tickets_find(asked->tickets, makes ? NULL : name, &key);
	bool ok = true;

	if (at < 0)
		return 0;
	if (makes) {
		memcpy(name, key.name, sizeof(key.name));
		ok = RAND_bytes(iv, IV_SIZE) == 1;
	}
	ok = ok && ticket_use_key(&key, iv, cipher, mac, makes);
	OPENSSL_cleanse(&key, sizeof(key));
	if (!ok)
		return -1;
	return at == 0 && (makes || SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

/* ---- whose sessions are taken ------------------------------------ */

static int certificates_compare(const X509 *const *a, const X509 *const *b)
{
	return X509_cmp(*a, *b);
}

/* Adds the authorities, in whatever order they were read. */
static bool id_add_authorities(EVP_MD_CTX *id, SSL_CTX *ctx)
{
	STACK_OF(X509) *all =
		X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(ctx));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;
	bool ok = all != NULL;

	if (ok) {
		sk_X509_set_cmp_func(all, certificates_compare);
		sk_X509_sort(all);
	}
	for (int i = 0; ok && i < sk_X509_num(all); i++)
		ok = X509_digest(sk_X509_value(all, i), EVP_sha256(), digest,
				 &size) &&
		     EVP_DigestUpdate(id, digest, size);
	sk_X509_pop_free(all, X509_free);
	return ok;
}

/* The certificate may be renewed, for the same names. */
static bool id_add_names(EVP_MD_CTX *id, const X509 *x)
{
	int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
	unsigned char digest[EVP_MAX_MD_SIZE];
	const ASN1_OCTET_STRING *names;
	unsigned size;

	if (at < 0)
		return X509_NAME_digest(X509_get_subject_name(x), EVP_sha256(),
					digest, &size) &&
		       EVP_DigestUpdate(id, digest, size);
	names = X509_EXTENSION_get_data(X509_get_ext(x, at));
	return EVP_DigestUpdate(id, ASN1_STRING_get0_data(names),
				(size_t)ASN1_STRING_length(names));
}

/* The names are the last, as they alone have no fixed size. */
static bool id_make(EVP_MD_CTX *id, SSL_CTX *ctx, const struct tls_settings *s,
		    unsigned char ret[ID_SIZE])
{
	const char asks[] = { s->has_authorities, s->client_may_have_none };

	return EVP_DigestInit_ex(id, EVP_sha256(), NULL) &&
	       EVP_DigestUpdate(id, asks, sizeof(asks)) &&
	       (!s->has_authorities || id_add_authorities(id, ctx)) &&
	       id_add_names(id, SSL_CTX_get0_certificate(ctx)) &&
	       EVP_DigestFinal_ex(id, ret, NULL);
}

int plait_i_tls_tickets_use(SSL_CTX *ctx, const struct tls_settings *s)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char id[ID_SIZE];
	bool ok = context != NULL && id_make(context, ctx, s, id);

	EVP_MD_CTX_free(context);
	return ok && SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_came);
}
