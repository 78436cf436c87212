/*
 * The echo over TLS by hand: OpenSSL on the sockets, and epoll.  What OpenSSL
 * cannot write at once is kept, and the connection is not read from until that
 * is gone.
 *
 * It does what plait does by default: TLS 1.2 and 1.3, two tickets, buffers
 * that are released when they are empty.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls.h"

enum { EVENTS = 256 };

struct tls_conn {
	int fd;
	SSL *ssl;
	uint32_t events; /* that epoll waits for */
	bool is_up;	 /* the handshake is done */
	char *unsent;	 /* NULL: nothing */
	size_t size, sent;
};

static int epoll;
static SSL_CTX *context;
static char in[READ_SIZE];

static void context_begin(void)
{
	struct tls_pem pem = tls_pem_new();
	BIO *certificate = BIO_new_mem_buf(pem.certificate, -1);
	BIO *key = BIO_new_mem_buf(pem.key, -1);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	X509 *x = PEM_read_bio_X509(certificate, NULL, NULL, NULL);

	context = SSL_CTX_new(TLS_server_method());
	must_tls(context != NULL &&
			 SSL_CTX_set_min_proto_version(context,
						       TLS1_2_VERSION) &&
			 SSL_CTX_use_certificate(context, x) &&
			 SSL_CTX_use_PrivateKey(context, k),
		 "context");
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
	/* Else each record takes a call for its head, and one for the rest. */
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"b", 1);
	EVP_PKEY_free(k);
	X509_free(x);
	BIO_free(certificate);
	BIO_free(key);
}

static void tls_conn_wait(struct tls_conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->events == events)
		return;
	c->events = events;
	must(epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e) == 0, "epoll_ctl");
}

static void tls_conn_free(struct tls_conn *c)
{
	SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	close(c->fd);
	free(c->unsent);
	free(c);
}

/* Waits for what OpenSSL wants, or frees c; returns false then. */
static bool tls_conn_wants(struct tls_conn *c, int n)
{
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		tls_conn_wait(c, EPOLLIN);
		return true;
	case SSL_ERROR_WANT_WRITE:
		tls_conn_wait(c, EPOLLOUT);
		return true;
	default:
		tls_conn_free(c);
		return false;
	}
}

/* Returns whether c is there, and all is sent. */
static bool tls_conn_flush(struct tls_conn *c)
{
	while (c->sent < c->size) {
		int n = SSL_write(c->ssl, c->unsent + c->sent,
				  (int)(c->size - c->sent));

		if (n <= 0)
			return tls_conn_wants(c, n) && false;
		c->sent += (size_t)n;
	}
	free(c->unsent);
	c->unsent = NULL;
	c->size = c->sent = 0;
	tls_conn_wait(c, EPOLLIN);
	return true;
}

/* The same: echoes what has come. */
static bool tls_conn_echo(struct tls_conn *c, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		int n = SSL_write(c->ssl, in + sent, (int)(len - sent));

		if (n <= 0 &&
		    SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_WRITE) {
			tls_conn_free(c);
			return false;
		}
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	if (sent == len)
		return true;
	c->unsent = allocate(len - sent);
	c->size = len - sent;
	memcpy(c->unsent, in + sent, c->size);
	tls_conn_wait(c, EPOLLOUT);
	return false;
}

/* Reads until OpenSSL has no whole record: epoll would not tell of one. */
static void tls_conn_ready(struct tls_conn *c)
{
	int n;

	ERR_clear_error();
	if (!c->is_up) {
		n = SSL_accept(c->ssl);
		if (n <= 0) {
			tls_conn_wants(c, n);
			return;
		}
		c->is_up = true;
	}
	if (c->unsent != NULL && !tls_conn_flush(c))
		return;
	while ((n = SSL_read(c->ssl, in, sizeof(in))) > 0)
		if (!tls_conn_echo(c, (size_t)n))
			return;
	tls_conn_wants(c, n);
}

static void tls_conn_accept(int listener)
{
	struct tls_conn *c;
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN };

		c = allocate(sizeof(*c));
		c->fd = fd;
		c->events = EPOLLIN;
		c->ssl = SSL_new(context);
		must_tls(c->ssl != NULL && SSL_set_fd(c->ssl, fd), "SSL_new");
		e.data.ptr = c;
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
	}
}

static void serve(const void *what, unsigned number)
{
	struct epoll_event events[EVENTS], e = { .events = EPOLLIN };
	int listener;

	context_begin();
	listener = listen_on_loopback();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	must(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) == 0,
	     "epoll");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr != NULL)
				tls_conn_ready(events[i].data.ptr);
			else
				tls_conn_accept(listener);
		}
	}
}

const struct work works[] = {
	{ "tls", serve, NULL },
	{ 0 },
};
