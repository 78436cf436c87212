/*
 * Endpoints from the inside: what was read is one struct for each kind of the
 * text.  A wrapper has what it wraps, so an endpoint is a chain.
 */
#ifndef PROTOCOLS_ENDPOINT_H
#define PROTOCOLS_ENDPOINT_H

#include <plait/endpoint.h>

struct endpoint_value {
	bool is_set;
	char *text; /* of a text, a host, an address or a path; else NULL */
	uint64_t number; /* seconds are in microseconds */
};

struct plait_endpoint {
	unsigned refs;
	const struct plait_endpoint_kind *kind;
	struct plait_endpoint *inner;	/* of a wrapper */
	struct endpoint_value values[]; /* one for each key of the kind */
};

enum { ENDPOINT_MICROSECONDS = 1000000, ENDPOINT_MAX_PLAIN = 4 };

static inline bool endpoint_wraps(const struct plait_endpoint_kind *kind)
{
	return kind->wrap_listening != NULL || kind->wrap_connecting != NULL;
}

/* An endpoint without values, or NULL. */
struct plait_endpoint *
plait_i_endpoint_new(const struct plait_endpoint_kind *kind);

/* The number of the key of that name, or -1. */
int plait_i_endpoint_key(const struct plait_endpoint_kind *kind,
			 const char *name);

/* The kind of that name, or NULL. */
const struct plait_endpoint_kind *plait_i_endpoint_kind(const char *name);

/* A line of a file may hold anything, and a message is written to terminals:
   puts `?' in place of what commands them. */
void plait_i_endpoint_make_printable(char *text);

/*
 * Connects f to e, which is for that.  Gives the connector, or NULL with errno
 * and the reason in why, of PLAIT_ENDPOINT_WHY_SIZE bytes, empty before; then
 * plait_i_endpoint_refused() gives the failure.
 */
struct plait_connector *plait_i_endpoint_connect(const struct plait_endpoint *e,
						 struct plait_reactor *r,
						 struct plait_factory *f,
						 char *why);
plait_value plait_i_endpoint_refused(const struct plait_endpoint *e, int err,
				     const char *why);

#endif
