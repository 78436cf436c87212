/*
 * Sessions of clients.  A server of TLS 1.3 gives some tickets after the
 * handshake, and whoever sees one twice knows that both connections are of one
 * client; so each is used once.  Sessions of TLS 1.2 may be used again, and the
 * server need not give another.
 */
#include <stdlib.h>
#include <string.h>

#include "protocols/tls/session.h"

enum { MAX_SESSIONS = 64 };

struct tls_session {
	struct plait_list link;
	SSL_SESSION *session;
	char name[];
};

static struct tls_session *session_of(struct plait_list *l)
{
	return plait_container(l, struct tls_session, link);
}

static void session_forget(struct tls_sessions *s, struct tls_session *one)
{
	plait_list_remove(&one->link);
	SSL_SESSION_free(one->session);
	free(one);
	s->n--;
}

void plait_i_tls_sessions_init(struct tls_sessions *s)
{
	plait_list_init(&s->list);
	s->n = 0;
}

void plait_i_tls_sessions_drop(struct tls_sessions *s)
{
	struct plait_list *l;

	while ((l = plait_list_first(&s->list)) != NULL)
		session_forget(s, session_of(l));
}

static bool sessions_have(const struct tls_sessions *s,
			  const SSL_SESSION *session)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->list) {
		if (session_of(l)->session == session)
			return true;
	}
	return false;
}

void plait_i_tls_sessions_keep(struct tls_sessions *s, const char *name,
			       SSL_SESSION *session)
{
	size_t size = strlen(name) + 1;
	struct tls_session *one = NULL;

	if (!sessions_have(s, session))
		one = malloc(sizeof(*one) + size);
	if (one == NULL) {
		SSL_SESSION_free(session);
		return;
	}
	if (s->n >= MAX_SESSIONS)
		session_forget(s, session_of(s->list.prev));
	*one = (struct tls_session){ .session = session };
	memcpy(one->name, name, size);
	plait_list_insert(s->list.next, &one->link);
	s->n++;
}

static struct tls_session *session_find(struct tls_sessions *s,
					const char *name)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->list) {
		if (strcmp(session_of(l)->name, name) == 0)
			return session_of(l);
	}
	return NULL;
}

SSL_SESSION *plait_i_tls_sessions_take(struct tls_sessions *s, const char *name)
{
	struct tls_session *one = session_find(s, name);
	SSL_SESSION *session;

	if (one == NULL)
		return NULL;
	session = one->session;
	SSL_SESSION_up_ref(session);
	if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
		session_forget(s, one);
	return session;
}
