/*
 * peer serve PATH
 * peer ask PATH TEXT [FILE]
 *
 * One end of a UNIX connection, for test_unix_peers.py, which has others at the
 * other end.  A server sends back what it gets, with the descriptors that came
 * with it; to a browser it says "Nevermore".  A client sends a text, with a
 * file if there is one, and prints what comes back, and how the files begin
 * that come with it.  PATH may be an abstract name, "@name".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <plait/plait.h>

struct peer {
	struct plait_protocol base;
	int fds[PLAIT_FDS_MAX];
	size_t n_fds; /* that came, and go back with the next bytes */
};

static void peer_fds(struct plait_protocol *p, const int *fds, size_t n)
{
	struct peer *self = plait_self(p, struct peer);

	memcpy(self->fds, fds, n * sizeof(*fds));
	self->n_fds = n;
}

/* ---- the server ---------------------------------------------------------- */

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	struct peer *self = plait_self(p, struct peer);

	if (len > 4 && memcmp(data, "GET ", 4) == 0) {
		plait_transport_printf(p->transport,
				       "HTTP/1.0 200 OK\r\n\r\nNevermore\n");
		plait_transport_lose_connection(p->transport);
		return;
	}
	plait_transport_send_fds(p->transport, data, len, self->fds,
				 self->n_fds);
	self->n_fds = 0;
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.size = sizeof(struct peer),
	.data_received = echo_received,
	.fds_received = peer_fds,
};

static void listens(void *nothing)
{
	puts("listens");
}

static int serve(struct plait_reactor *r, const char *path)
{
	static struct plait_factory echo = { .protocol = &echo_ops };
	int err = plait_listen_unix(r, path, &echo, NULL, NULL);

	if (err < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
		return 1;
	}
	plait_call_when_running(r, listens, NULL);
	return plait_reactor_run(r) < 0;
}

/* ---- the client ---------------------------------------------------------- */

static const char *text;
static int file = -1;
static int status;

static void ask_made(struct plait_protocol *p)
{
	plait_transport_send_fds(p->transport, text, strlen(text), &file,
				 file >= 0);
	plait_transport_lose_write_connection(p->transport);
}

static void ask_received(struct plait_protocol *p, const void *data, size_t len)
{
	struct peer *self = plait_self(p, struct peer);
	char begin[100];
	ssize_t n;

	printf("%.*s", (int)len, (const char *)data);
	for (size_t i = 0; i < self->n_fds; i++) {
		n = pread(self->fds[i], begin, sizeof(begin), 0);
		printf("[%.*s]", n > 0 ? (int)n : 0, begin);
		close(self->fds[i]);
	}
	self->n_fds = 0;
}

static const struct plait_protocol_ops ask_ops = {
	.name = "asker",
	.size = sizeof(struct peer),
	.connection_made = ask_made,
	.data_received = ask_received,
	.fds_received = peer_fds,
};

static struct plait_reactor *reactor;

static void ask_over(struct plait_factory *f, struct plait_connector *c,
		     const struct plait_failure *why)
{
	char said[200];

	if (plait_failure_kind(why) != &plait_error_connection_done) {
		plait_failure_str(why, said, sizeof(said));
		fprintf(stderr, "%s\n", said);
		status = 1;
	}
	plait_reactor_stop(reactor);
}

static const struct plait_factory_ops ask_factory_ops = {
	.name = "asker",
	.connection_failed = ask_over,
	.connection_lost = ask_over,
};

static int ask(const char *path)
{
	static struct plait_factory asker = { .ops = &ask_factory_ops,
					      .protocol = &ask_ops };

	plait_connect_unix(reactor, path, &asker, NULL);
	plait_reactor_run(reactor);
	return status;
}

int main(int argc, char **argv)
{
	int ret = 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	reactor = plait_reactor_new(NULL);
	if (reactor == NULL)
		return 1;
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		ret = serve(reactor, argv[2]);
	} else if (argc >= 4 && strcmp(argv[1], "ask") == 0) {
		text = argv[3];
		file = argc > 4 ? open(argv[4], O_RDONLY | O_CLOEXEC) : -1;
		ret = ask(argv[2]);
	}
	plait_reactor_free(&reactor);
	return ret;
}
