/*
 * The servers that questions go to: see server.h.
 */
#include <limits.h>

#include "reactor/names/server.h"

static const int64_t ns_per_ms = 1000000;

enum {
	ENOUGH_ANSWERS = 3, /* to know a server by */
	MANY_ANSWERS = 16,  /* older ones count less and less */
	TIMES_MEAN = 5,	    /* how much longer than usual is too long */
	/* Milliseconds. */
	PATIENCE_UNKNOWN = 2000,
	PATIENCE_MIN = 250,
	PATIENCE_MAX = 5000,
	LAST_FOR = 5000,
	WITHOUT_EDNS_FOR = 10 * 60 * 1000,
};

void plait_i_servers_init(struct names_servers *s, struct plait_reactor *r)
{
	*s = (struct names_servers){ .reactor = r,
				     .max = NAMES_SOCKETS,
				     .room = UINT_MAX };
	plait_list_init(&s->waiting);
}

void plait_i_servers_done(struct names_servers *s)
{
	plait_assert(s->taken == 0 && plait_list_is_empty(&s->waiting));
	plait_i_resolv_conf_unref(&s->conf);
}

struct names_server *plait_i_servers_find(struct names_servers *s,
					  const struct plait_address *address)
{
	for (unsigned i = 0; s->conf != NULL && i < s->conf->n_servers; i++) {
		if (plait_address_equal(&s->known[i].address, address))
			return &s->known[i];
	}
	return NULL;
}

void plait_i_servers_set(struct names_servers *s, struct resolv_conf *conf)
{
	struct names_server known[RESOLV_SERVERS];

	if (conf == s->conf)
		return;
	for (unsigned i = 0; i < conf->n_servers; i++) {
		const struct plait_address *a = &conf->servers[i];
		const struct names_server *old = plait_i_servers_find(s, a);

		known[i] = old != NULL ? *old
				       : (struct names_server){ .address = *a };
	}
	for (unsigned i = 0; i < conf->n_servers; i++)
		s->known[i] = known[i];
	plait_i_resolv_conf_ref(conf);
	plait_i_resolv_conf_unref(&s->conf);
	s->conf = conf;
}

unsigned plait_i_servers_turn(struct names_servers *s)
{
	return s->conf != NULL && s->conf->rotate ? s->turn++ : 0;
}

/* ---- what is known of one ------------------------------------------------ */

int64_t plait_i_server_patience(const struct names_server *srv)
{
	int64_t ns;

	if (srv == NULL || srv->answers < ENOUGH_ANSWERS)
		return PATIENCE_UNKNOWN * ns_per_ms;
	ns = srv->mean * TIMES_MEAN;
	if (ns < PATIENCE_MIN * ns_per_ms)
		return PATIENCE_MIN * ns_per_ms;
	if (ns > PATIENCE_MAX * ns_per_ms)
		return PATIENCE_MAX * ns_per_ms;
	return ns;
}

void plait_i_server_answered(struct names_server *srv, int64_t took)
{
	if (srv == NULL)
		return;
	srv->failed = INT64_MIN;
	if (srv->answers < MANY_ANSWERS)
		srv->answers++;
	srv->mean += (took - srv->mean) / srv->answers;
}

void plait_i_server_failed(struct names_server *srv, int64_t now)
{
	if (srv != NULL)
		srv->failed = now + LAST_FOR * ns_per_ms;
}

void plait_i_server_refused_edns(struct names_server *srv, int64_t now)
{
	if (srv != NULL)
		srv->without_edns = now + WITHOUT_EDNS_FOR * ns_per_ms;
}

bool plait_i_server_has_failed(const struct names_server *srv, int64_t now)
{
	return srv != NULL && now < srv->failed;
}

bool plait_i_server_knows_edns(const struct names_server *srv, int64_t now)
{
	return srv == NULL || now >= srv->without_edns;
}

/* ---- sockets ------------------------------------------------------------- */

/* Who waits is given a socket as soon as there is one, so if there is one left,
   nobody waits. */
static bool servers_have_socket(const struct names_servers *s)
{
	return s->taken < s->max && s->taken < s->room;
}

bool plait_i_servers_take_socket(struct names_servers *s,
				 struct names_waiter *w)
{
	if (servers_have_socket(s)) {
		s->taken++;
		return true;
	}
	if (w != NULL)
		plait_list_append(&s->waiting, &w->link);
	return false;
}

bool plait_i_servers_lack_socket(struct names_servers *s,
				 struct names_waiter *w)
{
	if (s->taken < 2)
		return false;
	s->room = --s->taken;
	plait_list_insert(s->waiting.next, &w->link);
	return true;
}

void plait_i_servers_stop_waiting(struct names_waiter *w)
{
	plait_list_remove(&w->link);
}

void plait_i_servers_give_sockets(struct names_servers *s, unsigned n)
{
	s->taken -= n;
	while (servers_have_socket(s) && !plait_list_is_empty(&s->waiting)) {
		struct names_waiter *w = plait_container(
			s->waiting.next, struct names_waiter, link);

		plait_list_remove(&w->link);
		s->taken++;
		plait_i_loop_next_turn(s->reactor, &w->task);
	}
	if (plait_list_is_empty(&s->waiting))
		s->room = UINT_MAX;
}
