/*
 * UDP for test_udp_peers.py, where other programs are the other end.
 *
 *	peer serve IP			says its port, and sends back what comes
 *	peer ask IP PORT TEXT...	sends each text as a datagram, and
 *writes what comes back, a line each
 *
 * An answer that does not come leaves it waiting: who has started it knows for
 * how long.  If nobody has the port it says so, and ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/plait.h>

static void peer_echoes(struct plait_datagram_protocol *p, const void *data,
			size_t len, const struct plait_datagram_info *info)
{
	plait_datagram_reply(p, data, len, info);
}

/* Signals end it from here on. */
static void peer_says_its_port(struct plait_datagram_protocol *p)
{
	struct plait_address at;

	plait_port_host(p->port, &at);
	printf("%u\n", plait_address_port(&at));
	fflush(stdout);
}

static const struct plait_datagram_ops echo_ops = {
	.name = "echo",
	.started = peer_says_its_port,
	.received = peer_echoes,
};

static int peer_serves(struct plait_reactor *r, const char *ip)
{
	static struct plait_datagram_protocol p = { .ops = &echo_ops };
	struct plait_udp_options o = { .iface = ip, .max_size = 65535 };

	if (plait_listen_udp(r, 0, &p, &o, NULL) < 0)
		return 1;
	return plait_reactor_run(r) < 0;
}

struct asker {
	struct plait_datagram_protocol base;
	struct plait_reactor *reactor;
	char **texts; /* that it has not sent yet */
};

static struct asker *asker_of(struct plait_datagram_protocol *p)
{
	return plait_container(p, struct asker, base);
}

static void asker_asks(struct plait_datagram_protocol *p)
{
	const char *text = *asker_of(p)->texts++;

	if (text == NULL)
		plait_reactor_stop(asker_of(p)->reactor);
	else
		plait_datagram_send(p, text, strlen(text), NULL);
}

static void asker_hears(struct plait_datagram_protocol *p, const void *data,
			size_t len, const struct plait_datagram_info *info)
{
	printf("%.*s\n", (int)len, (const char *)data);
	asker_asks(p);
}

static void asker_fails(struct plait_datagram_protocol *p,
			const struct plait_failure *why,
			const struct plait_address *to)
{
	puts(plait_failure_check(why, &plait_error_connection_refused)
		     ? "refused"
		     : plait_failure_message(why));
	plait_reactor_stop(asker_of(p)->reactor);
}

static const struct plait_datagram_ops asker_ops = {
	.name = "asker",
	.started = asker_asks,
	.received = asker_hears,
	.failed = asker_fails,
};

static int peer_asks(struct plait_reactor *r, char **argv)
{
	static struct asker a = { .base.ops = &asker_ops };

	a.reactor = r;
	a.texts = argv + 2;
	if (plait_connect_udp(r, argv[0], (unsigned)strtoul(argv[1], NULL, 10),
			      &a.base, NULL, NULL) < 0)
		return 1;
	return plait_reactor_run(r) < 0;
}

int main(int argc, char **argv)
{
	struct plait_reactor *r = plait_reactor_new(NULL);
	int rc = 2;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		rc = peer_serves(r, argv[2]);
	else if (argc >= 5 && strcmp(argv[1], "ask") == 0)
		rc = peer_asks(r, argv + 2);
	plait_reactor_free(&r);
	return rc;
}
