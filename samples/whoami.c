/*
 * Tells each client who it is, as the kernel says: on a UNIX socket nobody can
 * lie about that.  A client may hand a file over that it has opened.  The
 * server tells how the file begins, even if it may not open the file itself.
 *
 * With --ask it is such a client.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/program.h"

/* ---- the server ---------------------------------------------------------- */

static void whoami_made(struct plait_protocol *p)
{
	struct plait_credentials who;

	if (plait_transport_peer_credentials(p->transport, &who) < 0) {
		plait_transport_abort_connection(p->transport);
		return;
	}
	if (who.pidfd >= 0)
		close(who.pidfd);
	plait_transport_printf(p->transport,
			       "You are user %u of group %u, process %d.\n",
			       who.uid, who.gid, who.pid);
}

/* Anything but a regular file might let the server wait for its bytes. */
static ssize_t whoami_read(int fd, char *text, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return pread(fd, text, size, 0);
}

static void whoami_tell(struct plait_protocol *p, int fd)
{
	char text[80];
	ssize_t n = whoami_read(fd, text, sizeof(text));
	char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

	if (n < 0)
		plait_transport_printf(p->transport,
				       "I cannot read that: %s.\n",
				       strerror(errno));
	else
		plait_transport_printf(p->transport, "It begins: %.*s\n",
				       (int)(end != NULL ? end - text : n),
				       text);
}

static void whoami_fds(struct plait_protocol *p, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		whoami_tell(p, fds[i]);
		close(fds[i]);
	}
}

static const struct plait_protocol_ops server_ops = {
	.name = "whoami",
	.connection_made = whoami_made,
	.fds_received = whoami_fds,
};

static void serve(struct plait_reactor *r, const char *path)
{
	static struct plait_factory server = { .protocol = &server_ops };
	const struct plait_listen_unix_options options = {
		.replace_stale = true,
	};
	int e = plait_listen_unix(r, path, &server, &options, NULL);

	if (e < 0) {
		plait_reactor_free(&r);
		die("cannot serve at %s: %s", path, strerror(-e));
	}
	program_run(r, "Telling who is there, at %s", path);
}

/* ---- the client ---------------------------------------------------------- */

struct client {
	struct plait_factory base;
	struct plait_reactor *reactor;
	int fd; /* of the file; -1: the connection has it */
	bool failed;
};

static void client_made(struct plait_protocol *p)
{
	struct client *self = plait_self(p->factory, struct client);

	plait_transport_send_fds(p->transport, "?", 1, &self->fd, 1);
	self->fd = -1;
	plait_transport_lose_write_connection(p->transport);
}

static void client_received(struct plait_protocol *p, const void *data,
			    size_t len)
{
	fwrite(data, 1, len, stdout);
}

static void client_end(struct plait_factory *f, struct plait_connector *c,
		       const struct plait_failure *why)
{
	struct client *self = plait_self(f, struct client);
	char text[256];

	if (plait_failure_kind(why) != &plait_error_connection_done) {
		plait_failure_str(why, text, sizeof(text));
		fprintf(stderr, "whoami: %s\n", text);
		self->failed = true;
	}
	plait_reactor_stop(self->reactor);
}

static const struct plait_protocol_ops client_ops = {
	.name = "asker",
	.connection_made = client_made,
	.data_received = client_received,
};

static const struct plait_factory_ops client_factory_ops = {
	.name = "asker",
	.connection_failed = client_end,
	.connection_lost = client_end,
};

/* Returns whether it got its answer. */
static bool ask(struct plait_reactor *r, const char *path, const char *file)
{
	struct client client = {
		.base = { .ops = &client_factory_ops, .protocol = &client_ops },
		.reactor = r,
		.fd = open(file, O_RDONLY | O_CLOEXEC),
	};

	if (client.fd < 0) {
		plait_reactor_free(&r);
		die("%s: %s", file, strerror(errno));
	}
	plait_connect_unix(r, path, &client.base, NULL);
	plait_reactor_run(r);
	if (client.fd >= 0)
		close(client.fd);
	return !client.failed;
}

int main(int argc, char **argv)
{
	const char *file = NULL;
	const struct program_option options[] = {
		{ "ask", "FILE", "ask, and hand that file over", read_text,
		  &file, NULL },
		{ NULL, NULL, NULL, NULL, NULL, NULL },
	};
	struct program p = {
		.about = "Tells who connects to the UNIX socket PATH.",
		.operands = "PATH",
		.min_operands = 1,
		.max_operands = 1,
		.options = options,
	};
	struct plait_reactor *r;
	bool ok = true;

	program_start(&p, argc, argv);
	r = program_reactor(&p);
	if (file != NULL)
		ok = ask(r, p.operand[0], file);
	else
		serve(r, p.operand[0]);
	plait_reactor_free(&r);
	return ok ? 0 : 1;
}
