/*
 * The sockets of a host as lines of text, for who looks at a test that failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/print.h"
#include "reactor/kernel/address.h"
#include "reactor/simulation/world.h"

enum { NETSTAT_PLACE = INET6_ADDRSTRLEN + 8 };

static void netstat_show_place(const struct place *p, char *ret)
{
	bool is_ipv4 = plait_i_place_is_ipv4(p);
	const void *ip = is_ipv4 ? (const void *)&p->ip.s6_addr[12]
				 : (const void *)&p->ip;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, ip, text, sizeof(text));
	if (p->port != 0)
		snprintf(ret, NETSTAT_PLACE, "%s:%u", text, p->port);
	else
		snprintf(ret, NETSTAT_PLACE, "%s:*", text);
}

static void netstat_print_unix(const struct socket_look *look, struct print *p)
{
	union kernel_address name = { .any.sa_family = AF_UNIX };
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];

	memcpy(&name, look->unix_name, look->unix_length);
	plait_i_address_from_kernel(&a, &name, look->unix_length);
	plait_address_str(&a, text, sizeof(text));
	plait_i_print(p, "%s %zu %zu %s %s\n", look->protocol, look->received,
		      look->sent, text, look->state);
}

static void netstat_print(const struct sim_socket *s, struct print *p)
{
	char local[NETSTAT_PLACE], remote[NETSTAT_PLACE];
	struct socket_look look;

	s->ops->look(s, &look);
	if (look.unix_name != NULL) {
		netstat_print_unix(&look, p);
		return;
	}
	netstat_show_place(&look.local, local);
	netstat_show_place(&look.remote, remote);
	plait_i_print(p, "%s %zu %zu %s %s %s\n", look.protocol, look.received,
		      look.sent, local, remote, look.state);
}

int plait_host_netstat(const struct plait_host *h, struct plait_buf *b)
{
	struct print p = { .to = b };
	const struct plait_list *l;

	if (h == NULL || b == NULL)
		return -ENOMEM;
	plait_list_for_each (l, &h->sockets.all)
		netstat_print(plait_container(l, const struct sim_socket, link),
			      &p);
	return p.error;
}
