/*
 * What /etc/resolv.conf says: which servers to ask, and how.
 *
 * The reader is pure: it takes text and gives a struct.  It never refuses a
 * file.  What it does not know or cannot read it skips, as the C library does.
 */
#ifndef REACTOR_RESOLV_CONF_H
#define REACTOR_RESOLV_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include <plait/address.h>

enum {
	RESOLV_SERVERS = 3, /* that are used; further ones are ignored */
	RESOLV_PORT = 53,
};

/*
 * Whoever works with these settings holds a reference.  So a lookup keeps the
 * settings that it has begun with when the file is read again.
 */
struct resolv_conf {
	unsigned refs;
	struct plait_address servers[RESOLV_SERVERS]; /* port RESOLV_PORT */
	unsigned n_servers;			      /* at least 1 */
	/* The domains to search, in order, without a dot at the end; the root
	   is "".  They are not checked: a name made with one may be bad. */
	const char *const *search;
	size_t n_search;
	unsigned ndots;	   /* 0 to 15 */
	unsigned timeout;  /* seconds, 1 to 30 */
	unsigned attempts; /* rounds through all servers, 1 to 5 */
	bool rotate;
	bool edns0;
	bool use_vc;	     /* TCP from the beginning */
	bool single_request; /* A first, and then AAAA */
	bool no_aaaa;
	bool trust_ad;
};

/* What is read.  All is borrowed for the call. */
struct resolv_conf_source {
	const char *text; /* of the file; may be NULL if length is 0 */
	size_t length;
	const char *localdomain; /* $LOCALDOMAIN or NULL; instead of search */
	const char *res_options; /* $RES_OPTIONS or NULL; after those of text */
	/* The name of this host, or NULL.  Without `search' and `domain', what
	   is behind its first dot is searched. */
	const char *host;
	/* Returns the number of an interface, for fe80::1%eth0; 0: there is
	   none.  If it is NULL, scopes must be numbers. */
	unsigned (*interface)(void *arg, const char *name);
	void *arg;
};

/* Gives the settings with one reference, or NULL without memory. */
struct resolv_conf *
plait_i_resolv_conf_read(const struct resolv_conf_source *from);

/* Returns c itself, with one more reference. */
struct resolv_conf *plait_i_resolv_conf_ref(struct resolv_conf *c);

/* Takes a reference; the last frees it.  *cp becomes NULL, and may be NULL. */
void plait_i_resolv_conf_unref(struct resolv_conf **cp);

#endif
