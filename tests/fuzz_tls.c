/*
 * TLS with a peer that a fuzzer plays.  It has a genuine end of OpenSSL, whose
 * records it delivers, changes, drops and doubles, and puts bytes of its own
 * between them.  Whatever comes: the connection ends, each end is told once,
 * and a stream without a genuine close_notify never ends well.
 *
 *	byte 0	which end plait is, and the version
 *	then	a step: a byte, and what it needs
 */
#include <string.h>

#include <openssl/err.h>

#include <plait/tls.h>

#include "tests/fuzz.h"
#include "tests/tls_peer.h"

enum { MAX_SIZE = 4096, A_WHILE = 60 };

enum step {
	TALK,	/* all that the peer has to say */
	RECORD, /* the next of its records */
	BYTES,	/* a length, and so many bytes of the fuzzer's */
	CHANGE, /* where, and how the next record is changed */
	DROP,	/* the next record is not delivered */
	DOUBLE, /* it is delivered twice */
	SAY,	/* the peer writes */
	CLOSE,	/* the peer ends its stream */
	WRITE,	/* plait's end writes, ends, aborts, pauses, resumes */
	LOSE,
	ABORT,
	PAUSE,
	RESUME,
	WAIT,
	STEPS
};

static struct {
	unsigned made, lost;
	bool is_done; /* it was told so */
	bool closes;  /* one of the ends has ended it */
	struct plait_protocol *protocol;
	struct plait_tls_context *contexts[2];
	struct plait_reactor *reactor;
	struct plait_transport *t;
	struct tls_peer peer;
} fuzzed;

static void fuzzed_made(struct plait_protocol *p)
{
	fuzzed.made++;
	fuzzed.protocol = p;
}

static void fuzzed_received(struct plait_protocol *p, const void *data,
			    size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void fuzzed_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	fuzzed.lost++;
	fuzzed.protocol = NULL;
	fuzzed.is_done = plait_failure_check(why, &plait_error_connection_done);
}

static const struct plait_protocol_ops fuzzed_ops = {
	.name = "fuzzed",
	.connection_made = fuzzed_made,
	.data_received = fuzzed_received,
	.connection_lost = fuzzed_lost,
};

static void make_contexts(void)
{
	const struct plait_tls_server_options server = {
		.certificate.file = CERTIFICATES "good.pem",
		.key.file = CERTIFICATES "good.key",
	};
	const struct plait_tls_client_options client = {
		.authorities.file = CERTIFICATES "authority.pem",
	};

	if (fuzzed.contexts[0] != NULL)
		return;
	fuzzed.contexts[0] = plait_tls_client_new(&client, NULL, 0);
	fuzzed.contexts[1] = plait_tls_server_new(&server, NULL, 0);
	plait_assert(fuzzed.contexts[0] != NULL && fuzzed.contexts[1] != NULL);
}

static void deliver(const void *data, size_t len)
{
	plait_testing_deliver(fuzzed.t, data, len);
	plait_testing_advance(fuzzed.reactor, 0);
}

static void do_record(struct fuzz *f, enum step step)
{
	struct plait_buf *b = tls_peer_take(&fuzzed.peer);
	size_t size = plait_buf_size(b);
	char bytes[MAX_SIZE];

	if (size > sizeof(bytes))
		size = sizeof(bytes);
	if (size > 0)
		memcpy(bytes, plait_buf_data(b), size);
	if (step == CHANGE && size > 0)
		bytes[fuzz_byte(f) % size] ^= (char)fuzz_byte(f);
	if (step != DROP)
		deliver(bytes, size);
	if (step == DOUBLE)
		deliver(bytes, size);
	plait_buf_unref(&b);
}

static void do_bytes(struct fuzz *f)
{
	size_t len = fuzz_byte(f);

	if (len > f->left)
		len = f->left;
	deliver(f->data, len);
	f->data += len;
	f->left -= len;
}

static void do_to_transport(enum step step)
{
	struct plait_transport *t;

	if (fuzzed.protocol == NULL)
		return;
	t = fuzzed.protocol->transport;
	if (step == WRITE)
		plait_transport_write(t, "words", 5);
	else if (step == LOSE)
		plait_transport_lose_connection(t);
	else if (step == ABORT)
		plait_transport_abort_connection(t);
	else if (step == PAUSE)
		plait_transport_pause_reading(t);
	else
		plait_transport_resume_reading(t);
	fuzzed.closes |= step == LOSE;
	plait_testing_advance(fuzzed.reactor, 0);
}

/* An alert about what was changed may have ended it. */
static void peer_say(void)
{
	SSL_write(fuzzed.peer.ssl, "words", 5);
	ERR_clear_error();
}

static void do_step(struct fuzz *f, enum step step)
{
	switch (step) {
	case TALK:
		tls_peer_talk(&fuzzed.peer, fuzzed.t);
		break;
	case RECORD:
	case CHANGE:
	case DROP:
	case DOUBLE:
		do_record(f, step);
		break;
	case BYTES:
		do_bytes(f);
		break;
	case SAY:
		if (fuzzed.peer.is_up && !fuzzed.closes)
			peer_say();
		break;
	case CLOSE:
		if (fuzzed.peer.is_up)
			tls_peer_close(&fuzzed.peer);
		fuzzed.closes |= fuzzed.peer.is_up;
		break;
	case WAIT:
		plait_testing_advance(fuzzed.reactor, fuzz_byte(f) / 16.0);
		break;
	default:
		do_to_transport(step);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };
	struct fuzz f = { data, size < MAX_SIZE ? size : MAX_SIZE };
	struct plait_factory factory = { .protocol = &fuzzed_ops }, *wrapped;
	unsigned kind = fuzz_byte(&f);
	bool is_server = kind & 1;

	make_contexts();
	fuzzed.made = fuzzed.lost = 0;
	fuzzed.is_done = fuzzed.closes = false;
	fuzzed.protocol = NULL;
	fuzzed.reactor = plait_testing_reactor_new();
	wrapped = plait_tls_wrap_factory(fuzzed.contexts[is_server], &factory,
					 is_server ? NULL : TLS_NAME);
	fuzzed.t = plait_testing_connect(fuzzed.reactor, wrapped);
	tls_peer_begin(&fuzzed.peer, is_server, is_server ? NULL : "good",
		       versions[kind >> 1 & 1]);
	while (f.left > 0)
		do_step(&f, fuzz_byte(&f) % STEPS);
	if (fuzzed.protocol != NULL)
		plait_transport_resume_reading(fuzzed.protocol->transport);
	plait_testing_deliver_eof(fuzzed.t);
	plait_testing_advance(fuzzed.reactor, A_WHILE);
	plait_assert(!plait_testing_is_connected(fuzzed.t));
	plait_assert(fuzzed.lost == fuzzed.made);
	plait_assert(!fuzzed.is_done || fuzzed.closes);
	tls_peer_end(&fuzzed.peer);
	plait_tls_factory_free(&wrapped);
	plait_reactor_free(&fuzzed.reactor);
	return 0;
}
