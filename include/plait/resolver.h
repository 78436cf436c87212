/*
 * Names: which addresses a name has, which names an address has, and records
 * of any type.  Nothing here blocks, every lookup ends in time, and each is
 * cancelled for real.  A failure tells a name that does not exist from a name
 * of which nothing could be found out.
 *
 * A resolver reads the hosts file, asks DNS servers and remembers what they
 * have answered.  Each reactor has a resolver with the settings of the system;
 * a program that wants other settings makes a resolver of its own.
 */
#ifndef PLAIT_RESOLVER_H
#define PLAIT_RESOLVER_H

#include <plait/address.h>
#include <plait/deferred.h>
#include <plait/dns.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_resolver;

/* Zero means the default.  All that it points to is borrowed for the call. */
struct plait_resolver_options {
	const char *hosts;		     /* NULL: "/etc/hosts" */
	const char *resolv_conf;	     /* NULL: "/etc/resolv.conf" */
	const char *nsswitch_conf;	     /* NULL: "/etc/nsswitch.conf" */
	const struct plait_address *servers; /* instead of resolv_conf's */
	size_t server_count;   /* 3 at most; 0: those of resolv_conf */
	size_t cache_size;     /* bytes; 0: 1 MiB; 1: no cache */
	double timeout;	       /* seconds for each lookup and query; 0: 30 */
	bool system;	       /* look up with getaddrinfo(), in threads */
	uintptr_t reserved[8]; /* zero */
};

/*
 * Gives a resolver that works in the loop of r, which is borrowed until r is
 * freed.  options may be NULL.  Opens nothing and reads no file before the
 * first lookup.  Returns NULL with errno set: ENOMEM; EINVAL if a reserved word
 * of the options is not 0, there are too many servers, or a server has no IP;
 * or ENOTSUP if system is set and r has a virtual clock.  A timeout that is
 * negative or not a number aborts.
 */
struct plait_resolver *
plait_resolver_new(struct plait_reactor *r,
		   const struct plait_resolver_options *options);

/*
 * Frees the resolver.  What is under way fails with plait_error_abandoned
 * before this returns, and so does what the callbacks of these failures begin
 * with this resolver.  Does nothing if *rp is NULL; *rp is NULL afterwards.
 */
void plait_resolver_free(struct plait_resolver **rp);
/* The same, for __attribute__((cleanup)). */
void plait_resolver_cleanup(struct plait_resolver **rp);

/*
 * Returns the resolver of the reactor, borrowed: the reactor makes it when it
 * is asked for the first time, and frees it with itself.  Do not free it.
 * Returns NULL without memory; this need not be checked, because the functions
 * below take NULL and give a deferred that has failed.
 */
struct plait_resolver *plait_reactor_resolver(struct plait_reactor *r);

/* Zero means the default. */
struct plait_resolve_options {
	int family;	/* AF_INET or AF_INET6; 0: both */
	unsigned port;	/* of the addresses */
	double timeout; /* seconds; 0: that of the resolver */
	bool no_search; /* the name is whole: add no domain to it */
	struct plait_resolver *resolver; /* borrowed; NULL: the reactor's */
	uintptr_t reserved[8];		 /* zero */
};

/* The addresses of a name. */
struct plait_addresses {
	size_t count;			   /* 1 at least */
	const struct plait_address *items; /* sorted, the best first */
	double ttl;	  /* for so many seconds they are good */
	const char *name; /* the name that has them, without aliases */
	/* The server that has told of the first; no address if it was none. */
	struct plait_address server;
	bool cached;	       /* ... it has told that earlier */
	uintptr_t reserved[4]; /* zero */
};

/* The names of an address, in the same way. */
struct plait_names {
	size_t count;		  /* 1 at least */
	const char *const *items; /* the first is the chief one */
	double ttl;
	uintptr_t reserved[4]; /* zero */
};

extern const struct plait_type plait_addresses_type;
extern const struct plait_type plait_names_type;

/*
 * Return what such a value holds, borrowed from the value.  They abort if the
 * value is of another type.
 */
const struct plait_addresses *plait_value_addresses(const plait_value *v,
						    const char *where);
#define plait_value_addresses(...)                                             \
	(plait_value_addresses)(__VA_ARGS__, PLAIT_HERE)
const struct plait_names *plait_value_names(const plait_value *v,
					    const char *where);
#define plait_value_names(...) (plait_value_names)(__VA_ARGS__, PLAIT_HERE)

/*
 * Looks up the addresses of name, which is borrowed for the call: a host name,
 * or a numeric address.  options may be NULL; it is copied.  Gives a deferred
 * that fires from the loop with a value of plait_addresses_type, or with a
 * failure of a kind below plait_error_dns_lookup.  Cancelling it ends the
 * lookup: its timers are gone when the cancel returns, and its sockets are
 * closed when the turn ends.  A question that others have asked too goes on for
 * them.
 */
struct plait_deferred *
plait_resolve(struct plait_reactor *r, const char *name,
	      const struct plait_resolve_options *options,
	      const char *where) PLAIT_MUST_USE;
#define plait_resolve(...) (plait_resolve)(__VA_ARGS__, PLAIT_HERE)

/*
 * Looks up the names of an address, which is borrowed for the call; its port
 * does not count, nor do family, port and no_search of the options.  Gives a
 * deferred that fires with a value of plait_names_type.  All else is as with
 * plait_resolve().
 */
struct plait_deferred *
plait_resolve_address(struct plait_reactor *r,
		      const struct plait_address *address,
		      const struct plait_resolve_options *options,
		      const char *where) PLAIT_MUST_USE;
#define plait_resolve_address(...)                                             \
	(plait_resolve_address)(__VA_ARGS__, PLAIT_HERE)

/*
 * Asks the DNS for the records of that type which name has (PLAIT_DNS_MX, or
 * any number).  name is borrowed for the call, and whole: no domain is added,
 * and no file is looked at.  Gives a deferred that fires from the loop with
 * struct plait_dns_answer, also from the cache, or with a failure as
 * plait_resolve() does.  Cancelling it is as there.
 */
struct plait_deferred *plait_dns_query(struct plait_resolver *rs,
				       const char *name, unsigned type,
				       const char *where) PLAIT_MUST_USE;
#define plait_dns_query(...) (plait_dns_query)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
