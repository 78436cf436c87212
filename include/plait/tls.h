/*
 * TLS, in a library of its own, libplait-tls, which stands on OpenSSL 3:
 *
 *	cc ... $(pkg-config --cflags --libs plait-tls)
 *
 * <plait/plait.h> does not include this header, and this header needs none of
 * OpenSSL.
 *
 * A connection with TLS is a transport that wraps another one, and a protocol
 * cannot tell the difference: connection_made() is called when the handshake is
 * done, so what it writes is secret, and the peer is the one that it should be.
 *
 *	static const struct plait_tls_server_options options = {
 *		.certificate.file = "server.pem",
 *		.key.file = "server.key",
 *	};
 *	char why[PLAIT_TLS_WHY_SIZE];
 *	struct plait_tls_context *c =
 *		plait_tls_server_new(&options, why, sizeof(why));
 *
 *	plait_listen_tls(r, 443, &factory, c, NULL, NULL);
 *
 * What is not set is safe: TLS 1.2 or 1.3, authenticated ciphers only, the
 * certificate and the name of a server are checked, 10 seconds for a handshake.
 * plait_tls(7) has each default and its reason.
 */
#ifndef PLAIT_TLS_H
#define PLAIT_TLS_H

#include <plait/failure.h>
#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The kinds of failures of TLS, each under its parent:
 *
 *	connect
 *	  tls_handshake
 *	    tls_verify
 *	connection_lost
 *	  tls
 *	    tls_truncated
 */
extern const struct plait_error plait_error_tls_handshake;
extern const struct plait_error plait_error_tls_verify;
extern const struct plait_error plait_error_tls;
extern const struct plait_error plait_error_tls_truncated;

/*
 * Returns the number of the alert that the peer has sent, such as 40 for
 * "handshake failure", if this made the failure f; -1 if not.
 */
int plait_tls_failure_alert(const struct plait_failure *f);

/*
 * Returns what was wrong with the certificate of the peer, if this made the
 * failure f: a number that OpenSSL's <openssl/x509_vfy.h> names, such as 10,
 * X509_V_ERR_CERT_HAS_EXPIRED.  0 if not.
 */
int plait_tls_failure_verify_error(const struct plait_failure *f);

/* ---- what a connection has agreed on ----------------------------- */

/* A certificate as it was sent, in DER. */
struct plait_tls_certificate {
	const void *der;
	size_t size;
};

/* All of it is borrowed from the connection, until that is lost. */
struct plait_tls_info {
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
	const char *alpn;    /* the protocol that both want; NULL: none */
	const char *name; /* of the server, as the client knows it, or NULL */
	bool resumed;	  /* from a session before, without certificates */
	bool verified;	  /* the certificate was checked, and is good */
	/* Those of the peer; the first is its own.  A session that was resumed
	   may have that one alone. */
	const struct plait_tls_certificate *certificates;
	size_t n_certificates; /* 0: it has shown none */
	uintptr_t reserved[4]; /* zero */
};

/*
 * Stores what the TLS connection t, or the one that t wraps, has agreed on.
 * Returns 0; -ENOTSUP if there is no TLS; -ENOTCONN if its handshake is not
 * done, or the connection is lost; -ENOMEM.  If it fails, *ret is unchanged.
 */
int plait_transport_tls_info(struct plait_transport *t,
			     struct plait_tls_info *ret);

/* ---- contexts ---------------------------------------------------- */

/*
 * A context says how the connections of one side are made: with which
 * certificate, for which protocols, whom they trust.  It counts its references,
 * which may be used, ended and made in any thread; so one context serves the
 * reactors of several threads.
 */
struct plait_tls_context;

/* Certificates, or a key, as PEM text: what is in that file, or those bytes,
   which are borrowed for the call. */
struct plait_tls_pem {
	const char *file; /* is read by the call, and by a reload */
	const void *bytes;
	size_t size;
};

/* What a client says first; all of it is borrowed for the call. */
struct plait_tls_hello {
	const char *name; /* of the server that it wants; NULL: it names none */
	const struct plait_address *peer;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Is called when a client's first message is there, and returns the context for
 * the connection, as plait_tls_context_value() makes one; none for the context
 * that it came with; a failure, which refuses the client; or a deferred that
 * fires with one of these, plait_chain(&d).  While that is pending, the
 * handshake waits.  If the client goes, or takes too long, it is cancelled.
 */
typedef plait_value plait_tls_choose(const struct plait_tls_hello *hello,
				     void *arg);

/*
 * Is called when OpenSSL has found nothing wrong with the peer's certificate,
 * or was told not to look at it.  The peer is refused if this returns a
 * failure, which becomes the cause of the failure that is told; and not if it
 * returns a value or none.  It may return a deferred, plait_chain(&d): while
 * that is pending, the handshake waits, and it is cancelled if the peer goes or
 * takes too long.  peer is borrowed for the call.
 */
typedef plait_value plait_tls_verify(const struct plait_tls_info *peer,
				     void *arg);

/*
 * Is called when a handshake with a client has failed, because nobody else is
 * told: its protocol was never connected.  Both are borrowed for the call.
 */
typedef void plait_tls_failed(const struct plait_address *peer,
			      const struct plait_failure *why, void *arg);

/* Zero means the default.  Everything but arg is borrowed for the call; arg as
   long as the context is in use. */
struct plait_tls_server_options {
	/* The server's, and then those of the authorities between it and one
	   that clients know.  No key: it is in the certificate's text. */
	struct plait_tls_pem certificate, key;
	/* The protocols that it speaks, the best first; NULL ends the list.  A
	   client that speaks none of them is refused; one that names none is
	   not. */
	const char *const *alpn;
	/* Clients must show a certificate that one of these has signed. */
	struct plait_tls_pem client_authorities;
	bool client_may_have_none; /* ... or no certificate at all */
	plait_tls_choose *choose;
	plait_tls_verify *verify; /* of the certificate of a client */
	plait_tls_failed *failed;
	void *arg;		  /* of these three */
	double handshake_timeout; /* seconds; 0: 10; INFINITY: none */
	bool no_resumption;	  /* gives no tickets */
	const char *min_version;  /* "TLSv1.3"; NULL: "TLSv1.2" */
	uintptr_t reserved[7];	  /* zero */
};

struct plait_tls_client_options {
	/* Who may sign for servers; neither: those that the system trusts. */
	struct plait_tls_pem authorities;
	/* The client's own; neither: it has none. */
	struct plait_tls_pem certificate, key;
	const char *const *alpn;     /* the best first; NULL ends the list */
	bool accept_any_name;	     /* signed for whoever it was */
	bool accept_any_certificate; /* whoever has signed it, and when */
	plait_tls_verify *verify;    /* of the certificate of a server */
	void *arg;		     /* of verify */
	double handshake_timeout;    /* seconds; 0: 10; INFINITY: none */
	bool no_resumption;	     /* keeps no sessions */
	const char *min_version;     /* "TLSv1.3"; NULL: "TLSv1.2" */
	uintptr_t reserved[7];	     /* zero */
};

/* The size of a buffer that has room for any message below, with its NUL. */
#define PLAIT_TLS_WHY_SIZE 512

/*
 * Give a context with one reference.  Return NULL with errno if that fails:
 * EINVAL if the options are wrong, or what they name; ENOMEM; or why a file
 * cannot be read.  Then why, unless size is 0, has a message in one line
 * without a newline, with what OpenSSL says, such as
 *
 *	key server.key: it is not the key of the certificate
 */
struct plait_tls_context *
plait_tls_server_new(const struct plait_tls_server_options *options, char *why,
		     size_t size);
struct plait_tls_context *
plait_tls_client_new(const struct plait_tls_client_options *options, char *why,
		     size_t size);

/* The first gives one more reference, the second ends one and sets *cp to
   NULL. */
struct plait_tls_context *plait_tls_context_ref(struct plait_tls_context *c);
void plait_tls_context_unref(struct plait_tls_context **cp);
/* The same, for __attribute__((cleanup)). */
void plait_tls_context_cleanup(struct plait_tls_context **cp);

/*
 * Reads all files again that the options of c have named, and takes the new
 * certificate and key instead, if they are not NULL; both are borrowed for the
 * call.  Connections that begin from now on have what is new, and the others
 * keep what they have.  Any thread may call this.
 *
 * Returns 0, or -errno with a message in why, as above; then c is unchanged.
 */
int plait_tls_context_reload(struct plait_tls_context *c,
			     const struct plait_tls_pem *certificate,
			     const struct plait_tls_pem *key, char *why,
			     size_t size);

/* What tickets are encrypted with (AES-256 in CBC mode), and authenticated
   (HMAC with SHA-256).  All of it is random. */
struct plait_tls_ticket_key {
	unsigned char name[16]; /* is in the ticket, in the clear */
	unsigned char hmac_key[32];
	unsigned char aes_key[32];
};

/*
 * From now on the first of these n keys makes the tickets of the server c, and
 * each of them opens one; a client whose ticket another than the first has
 * opened is given a new one.  If n is 0, the context uses a key of its own, as
 * it does in the beginning.  A reload changes nothing in that.  The keys are
 * copied.  Any thread may call this.
 *
 * Servers with the same keys go on with each other's sessions, if their
 * certificates are for the same names, and they ask the same of clients.
 *
 * Returns 0; -EINVAL if c is for clients, keys is NULL, two keys have one name,
 * or a part of a key was not filled in; -E2BIG if n is above 16; -ENOMEM if c
 * is NULL.  If it fails, c is unchanged.
 */
int plait_tls_context_set_ticket_keys(struct plait_tls_context *c,
				      const struct plait_tls_ticket_key *keys,
				      size_t n);

/*
 * A value that is a context, for plait_tls_choose.  Takes the reference, and
 * sets *cp to NULL.  A NULL context gives the failure for no memory.
 */
extern const struct plait_type plait_tls_context_type;
plait_value plait_tls_context_value(struct plait_tls_context **cp);

/* ---- connections ------------------------------------------------- */

/*
 * As plait_listen_tcp(), with TLS: the factory builds a protocol when the
 * handshake with a client is done.  The port has a reference to the context c.
 * Returns also -EINVAL if c is none for a server, and -ENOMEM if it is NULL.
 */
int plait_listen_tls(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f, struct plait_tls_context *c,
		     const struct plait_listen_options *options,
		     struct plait_port **ret);

/*
 * As plait_connect_tcp(), with TLS.  host is also the name, or the IP address,
 * for which the certificate of the server must be good; borrowed for the call.
 * The connector has a reference to the context c.
 *
 * The handshake is part of connecting: the timeout is for both, and
 * plait_connector_stop_connecting() ends both.  If the handshake fails,
 * connection_failed() is told a failure of the kind plait_error_tls_handshake,
 * or plait_error_connect_timeout.
 *
 * Returns NULL with errno, and tells nobody, if c is none for a client, or if
 * host is NULL and c does not accept any name (EINVAL), or c is NULL or there
 * is no memory (ENOMEM).  After that it is as plait_connect_tcp().
 */
struct plait_connector *
plait_connect_tls(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f, struct plait_tls_context *c,
		  const struct plait_connect_options *options);

/*
 * Gives a factory that wraps inner in TLS, on whatever carries the bytes: on
 * ports or connectors of any kind, and within or around other wrappers.  It has
 * a reference to the context c; inner is borrowed as long as it is in use.
 *
 * Which end a connection is, is decided by the context.  A client checks that
 * the certificate of the server is good for name, a name or an IP address,
 * which is borrowed for the call; a server takes NULL.  If c is NULL, a
 * connection begins without TLS, until plait_tls_start().
 *
 * Returns NULL with errno: ENOMEM; EINVAL if name is NULL, c is for clients,
 * and c does not accept any name.
 */
struct plait_factory *plait_tls_wrap_factory(struct plait_tls_context *c,
					     struct plait_factory *inner,
					     const char *name);

/*
 * Ends the program's use of such a factory, at any time, and sets *fp to NULL.
 * It stays as long as it has a port, a connector or a connection.
 */
void plait_tls_factory_free(struct plait_factory **fp);
/* The same, for __attribute__((cleanup)). */
void plait_tls_factory_cleanup(struct plait_factory **fp);

/*
 * STARTTLS: begins TLS on a connection that is up, whose factory
 * plait_tls_wrap_factory() has wrapped without a context.  What was written
 * before is sent as it is; what is written from now on waits for the handshake
 * and is secret.  c and name are as there.
 *
 * Gives a deferred, never NULL, that fires with none when the handshake is
 * done.  It fails with plait_error_tls_handshake if the handshake fails, and
 * then the connection is lost for that reason; and at once, with EINVAL, if t
 * cannot begin TLS, if c or name do not fit, or if t has received something
 * that its protocol has not handled.  That was not secret, so whoever can
 * change what is sent may have put it there: abort the connection.
 *
 * Cancelling the deferred aborts the connection.
 */
struct plait_deferred *plait_tls_start(struct plait_transport *t,
				       struct plait_tls_context *c,
				       const char *name,
				       const char *where) PLAIT_MUST_USE;
#define plait_tls_start(...) (plait_tls_start)(__VA_ARGS__, PLAIT_HERE)

/*
 * From now on plait_endpoint_parse() knows endpoints of the kind tls, in the
 * whole process.  Any thread may call this.  Returns 0, or what
 * plait_endpoint_register() returns.
 *
 *	tls:poetry.example:10000
 *	tls:poetry.example:10000:ca=roots.pem:alpn=h2,http/1.1
 *	tls:10000:cert=server.pem:key=server.key:minVersion=TLSv1.3
 */
int plait_tls_register_endpoints(void);

#ifdef __cplusplus
}
#endif

#endif
