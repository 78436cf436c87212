/*
 * The clients of the servers that do TLS: as load.c, with OpenSSL on sockets
 * that block.  They check no certificate, as the server's cost is measured.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls.h"

enum { PATIENCE = 60, LONG = 16 * 1024 };

static unsigned server, members;
static size_t bytes;
static SSL_CTX *context;
static SSL **connections;
static char out[LONG], in[LONG];

static SSL *dial(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	SSL *ssl = SSL_new(context);

	sin.sin_port = htons((uint16_t)server);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	must_tls(SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1, "SSL_connect");
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static void say(SSL *ssl, size_t len)
{
	must_tls(SSL_write(ssl, out, (int)len) == (int)len, "SSL_write");
}

static void hear(SSL *ssl, size_t len)
{
	while (len > 0) {
		int n = SSL_read(ssl, in, (int)len);

		must_tls(n > 0, "SSL_read");
		len -= (size_t)n;
	}
}

static unsigned ping(void)
{
	for (unsigned i = 0; i < members; i++)
		say(connections[i], bytes);
	for (unsigned i = 0; i < members; i++)
		hear(connections[i], bytes);
	return members;
}

/* A connection is closed when the server has answered, so its tickets have
   come. */
static unsigned come_and_go(void)
{
	for (unsigned i = 0; i < members; i++)
		connections[i] = dial();
	for (unsigned i = 0; i < members; i++)
		say(connections[i], REQUEST);
	for (unsigned i = 0; i < members; i++) {
		hear(connections[i], REQUEST);
		hang_up(connections[i]);
	}
	return members;
}

struct load {
	unsigned (*round)(void);
	size_t bytes; /* that a connection sends; 0: connections come and go */
};

static void load_rounds(const struct load *load)
{
	unsigned long rounds, operations;

	while (scanf("%lu", &rounds) == 1) {
		alarm(PATIENCE);
		for (operations = 0; rounds > 0; rounds--)
			operations += load->round();
		alarm(0);
		printf("%lu\n", operations);
		fflush(stdout);
	}
}

static void load_run(const void *what, unsigned number)
{
	const struct load *load = what;

	alarm(PATIENCE);
	context = SSL_CTX_new(TLS_client_method());
	must_tls(context != NULL, "context");
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	tell_port(0);
	must(scanf("%u", &server) == 1, "port");
	bytes = load->bytes;
	members = number;
	connections = allocate(sizeof(SSL *) * (number + 1));
	for (unsigned i = 0; i < number && bytes > 0; i++)
		connections[i] = dial();
	alarm(0);
	puts("");
	fflush(stdout);
	load_rounds(load);
}

static const struct load ping_short = { .round = ping, .bytes = 64 };
static const struct load ping_long = { .round = ping, .bytes = LONG };
static const struct load handshakes = { .round = come_and_go };

const struct work works[] = {
	{ "tls-ping-64", load_run, &ping_short },
	{ "tls-bulk", load_run, &ping_long },
	{ "tls-handshake", load_run, &handshakes },
	{ 0 },
};
