#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "tests/tls_peer.h"

enum { MAX_FLIGHT = 64 * 1024 };

static void ssl_must(bool ok)
{
	if (!ok)
		ERR_print_errors_fp(stderr);
	plait_assert(ok);
}

static void tls_path(char path[128], const char *name, const char *suffix)
{
	snprintf(path, 128, CERTIFICATES "%s.%s", name, suffix);
}

static SSL_CTX *end_context(bool is_client, const char *certificate,
			    int version)
{
	SSL_CTX *c = SSL_CTX_new(is_client ? TLS_client_method()
					   : TLS_server_method());
	char path[128], key[128];

	ssl_must(c != NULL && SSL_CTX_set_min_proto_version(c, version) &&
		 SSL_CTX_set_max_proto_version(c, version) &&
		 SSL_CTX_load_verify_file(c, CERTIFICATES "authority.pem"));
	if (is_client)
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	if (certificate == NULL)
		return c;
	tls_path(path, certificate, "pem");
	tls_path(key, certificate, "key");
	SSL_CTX_set_security_level(c, 0);
	ssl_must(SSL_CTX_use_certificate_chain_file(c, path) &&
		 SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM));
	return c;
}

static bool is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* To read its files takes as long as a handshake: so a context is kept. */
static SSL_CTX *end_context_kept(bool is_client, const char *certificate,
				 int version)
{
	static struct {
		SSL_CTX *context;
		const char *certificate;
		int version;
	} kept[2][4];

	for (int i = 0; i < 4; i++) {
		if (kept[is_client][i].context == NULL) {
			kept[is_client][i].context =
				end_context(is_client, certificate, version);
			kept[is_client][i].certificate = certificate;
			kept[is_client][i].version = version;
		}
		if (is_same_text(kept[is_client][i].certificate, certificate) &&
		    kept[is_client][i].version == version)
			return kept[is_client][i].context;
	}
	plait_die(__func__, "there are more contexts");
}

void tls_peer_begin(struct tls_peer *p, bool is_client, const char *certificate,
		    int version)
{
	SSL_CTX *c = end_context_kept(is_client, certificate, version);

	*p = (struct tls_peer){ .ssl = SSL_new(c),
				.in = BIO_new(BIO_s_mem()),
				.out = BIO_new(BIO_s_mem()),
				.got = plait_buf_new(SIZE_MAX),
				.limit = SIZE_MAX,
				.max_records = SIZE_MAX,
				.changed = SIZE_MAX,
				.piece = SIZE_MAX };
	ssl_must(p->ssl != NULL && p->in != NULL && p->out != NULL);
	BIO_set_mem_eof_return(p->in, -1);
	SSL_set_bio(p->ssl, p->in, p->out);
	if (!is_client) {
		SSL_set_accept_state(p->ssl);
		return;
	}
	SSL_set_connect_state(p->ssl);
	ssl_must(SSL_set_tlsext_host_name(p->ssl, TLS_NAME) &&
		 SSL_set1_host(p->ssl, TLS_NAME));
}

void tls_peer_end(struct tls_peer *p)
{
	SSL_free(p->ssl);
	plait_buf_unref(&p->got);
	ERR_clear_error();
}

static void end_note_error(struct tls_peer *p, int n)
{
	switch (SSL_get_error(p->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_ZERO_RETURN:
		p->is_done = true;
		break;
	default:
		p->is_broken = true;
	}
	ERR_clear_error();
}

/* Goes on with the handshake, and reads what there is. */
static void end_step(struct tls_peer *p)
{
	char bytes[4096];
	int n;

	ERR_clear_error();
	if (!p->is_up && !p->is_broken) {
		n = SSL_do_handshake(p->ssl);
		p->is_up = n == 1;
		if (n != 1)
			end_note_error(p, n);
	}
	if (!p->is_up || p->is_done || p->is_broken)
		return;
	while ((n = SSL_read(p->ssl, bytes, sizeof(bytes))) > 0)
		plait_buf_append(p->got, bytes, (size_t)n);
	end_note_error(p, n);
}

struct plait_buf *tls_peer_take(struct tls_peer *p)
{
	struct plait_buf *b = plait_buf_new(SIZE_MAX);
	char bytes[4096];
	int n;

	while ((n = BIO_read(p->out, bytes, sizeof(bytes))) > 0)
		plait_buf_append(b, bytes, (size_t)n);
	return b;
}

/* The length of the record at data, with its head, or of what there is. */
static size_t record_size(const char *data, size_t size)
{
	const unsigned char *head = (const unsigned char *)data;
	size_t len = size < 5 ? size : 5u + head[3] * 256u + head[4];

	return len < size ? len : size;
}

/* Of size bytes, those that a limit on records lets through. */
static size_t end_records(struct tls_peer *p, const char *data, size_t size)
{
	size_t at = 0;

	while (at < size && p->records < p->max_records) {
		at += record_size(data + at, size - at);
		p->records++;
	}
	return at;
}

/* Delivers what the peer has to send, as far as it may; returns whether that
   was anything. */
static bool end_send(struct tls_peer *p, struct plait_transport *t)
{
	struct plait_buf *b = tls_peer_take(p);
	size_t size = plait_buf_size(b), at = 0, n;
	char data[MAX_FLIGHT];

	plait_assert(size <= sizeof(data));
	memcpy(data, plait_buf_data(b), size);
	if (p->changed >= p->sent && p->changed - p->sent < size)
		data[p->changed - p->sent] ^= 0x10;
	size = end_records(p, data, size);
	if (size > p->limit - p->sent)
		size = p->limit - p->sent;
	p->is_cut |= size < plait_buf_size(b);
	while (at < size) {
		n = p->piece > 0 ? p->piece : record_size(data + at, size - at);
		n = size - at < n ? size - at : n;
		plait_testing_deliver(t, data + at, n);
		at += n;
	}
	p->sent += size;
	plait_buf_unref(&b);
	return size > 0;
}

static bool end_hear(struct tls_peer *p, struct plait_transport *t)
{
	const struct plait_buf *b = plait_testing_written(t);
	size_t size = plait_buf_size(b);

	if (size > 0)
		ssl_must(BIO_write(p->in, plait_buf_data(b), (int)size) ==
			 (int)size);
	plait_testing_clear(t);
	return size > 0;
}

void tls_peer_talk(struct tls_peer *p, struct plait_transport *t)
{
	bool sent, heard;

	do {
		end_step(p);
		sent = end_send(p, t);
		plait_testing_advance(plait_transport_reactor(t), 0);
		heard = end_hear(p, t);
	} while (sent || heard);
}

void tls_peer_write(struct tls_peer *p, const char *text)
{
	ssl_must(SSL_write(p->ssl, text, (int)strlen(text)) ==
		 (int)strlen(text));
}

void tls_peer_close(struct tls_peer *p)
{
	SSL_shutdown(p->ssl);
	ERR_clear_error();
}
