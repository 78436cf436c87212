/*
 * A server and a client with TLS in one reactor, whose doings are in the trace:
 * "server+made", "client+hello" for bytes, "client-ConnectionDone" for a loss,
 * "client!TLSVerifyError" for an attempt that has failed.
 */
#ifndef TESTS_TLS_ENDS_H
#define TESTS_TLS_ENDS_H

#include <plait/tls.h>

struct tls_end {
	struct plait_factory factory;
	const char *name;
	struct plait_protocol *protocol; /* the last one; NULL: none */
	struct plait_connector *connector;
	const struct plait_failure *why; /* the last one told */
	unsigned made, lost, failed, deliveries, read_lost;
	size_t received; /* bytes, which the trace has not if quiet */
	bool quiet;
	bool half_closeable;
	const char *says; /* when it is made */
	unsigned answers; /* so many "0123456789" to what comes */
	void (*on_data)(struct tls_end *e, const void *data, size_t len);
};

extern struct tls_end at_server, at_client;
extern struct plait_port *tls_port;

/* Contexts that are made from now on speak TLS 1.2 at most; tls_ends_setup()
   ends it. */
extern bool tls_ends_are_old;

/* In a group's setup and teardown. */
void tls_ends_setup(void);
void tls_ends_teardown(void);

/* The certificate and the key of that name, from scripts/make-certificates. */
struct plait_tls_pem tls_pem(const char *name);
struct plait_tls_pem tls_key(const char *name);

/* Contexts; what is not set of the options is set: the certificate "good" of a
   server, and the authority that a client trusts. */
struct plait_tls_context *
tls_server(const struct plait_tls_server_options *options);
struct plait_tls_context *
tls_client(const struct plait_tls_client_options *options);

/* One that speaks nothing newer than TLS 1.1. */
struct plait_tls_context *tls_client_of_version_1_1(void);

/* Take the references.  The first stores the port; the second connects to it,
   as poetry.example unless name says otherwise. */
void tls_listen(struct plait_tls_context *c);
void tls_connect(struct plait_tls_context *c, const char *name);

/* Both, until both ends are made. */
void tls_meet(struct plait_tls_context *of_server,
	      struct plait_tls_context *of_client);

void tls_end_write(struct tls_end *e, const char *text);
struct plait_transport *tls_end_transport(const struct tls_end *e);

/* Turns the reactor until the end has received so many bytes. */
void run_until_size(struct tls_end *e, size_t bytes);

/* Is true when a connection of the client is made or has failed. */
bool tls_client_has_outcome(void *nothing);

/* Turns the reactor until both are over, the port is closed and nothing
   lingers; the trace has what was told. */
void tls_end_all(void);

#endif
