/*
 * The transport above: what is read and written when the handshake is done, and
 * how a connection ends.
 *
 * OpenSSL is asked for plaintext until it wants more bytes, so nothing that has
 * come stays behind in it.  What it writes goes into the queue of the transport
 * below, which sends when the callback has returned.  So no call of OpenSSL
 * ever wants to write, and the two directions need not know of each other.
 *
 * The end of the peer's stream is its close_notify, and nothing else: if the
 * transport below ends without it, somebody may have cut the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <openssl/err.h>

#include "protocols/tls/connection.h"
#include "protocols/tls/failure.h"
#include "protocols/tls/info.h"

enum {
	READ_SIZE = 32 * 1024,
	RECORD_SIZE = SSL3_RT_MAX_PLAIN_LENGTH,
	MAX_BELOW = 64 * 1024,	  /* of ciphertext that waits there */
	MAX_SENT = 256 * 1024,	  /* of plaintext that is taken at once */
	MAX_ANSWERED = 16 * 1024, /* of OpenSSL's own answers that wait there */
	IDLE_SECONDS = 1,
	WORTH_TRIMMING = 64 /* connections, with the buffers of 2 MiB */
};

/* ---- ending ------------------------------------------------------ */

/*
 * In a child made by fork() what the program was asked is the parent's: nobody
 * in the child is told of a cancel, and if it is answered there, nobody hears.
 */
static void tls_ask_no_more(struct tls *t)
{
	struct plait_deferred *answer = t->answer;

	t->answer = NULL;
	if (answer != NULL && t->process != getpid())
		plait_deferred_pause(answer);
	else
		plait_deferred_free(&answer);
}

void plait_i_tls_stop(struct tls *t)
{
	t->state = TLS_OVER;
	plait_timer_stop(&t->deadline);
	plait_list_remove(&t->turn);
	plait_list_remove(&t->busy);
	plait_buf_unref(&t->held);
	tls_ask_no_more(t);
}

static void tls_lose_below(struct tls *t)
{
	t->ended = true;
	plait_transport_lose_connection_because(plait_transport_below(&t->base),
						t->why);
}

/*
 * Until the inner protocol is connected, nobody but the transport below has to
 * know.  Then what has come is delivered first, and end() is called.
 */
void plait_i_tls_fail(struct tls *t, plait_value why)
{
	struct plait_promise *started = t->started;

	if (t->state == TLS_OVER) {
		plait_value_free(&why);
		return;
	}
	t->started = NULL;
	t->why = plait_value_failure(&why);
	plait_i_tls_stop(t);
	if (!t->made)
		tls_lose_below(t);
	else
		plait_transport_broken(&t->base, t->why);
	plait_fire(&started, plait_failure_value(t->why));
}

void plait_i_tls_say_end(struct tls *t)
{
	ERR_clear_error();
	SSL_shutdown(t->ssl);
}

/* ---- buffers ----------------------------------------------------- */

/*
 * The buffers that are freed lie between what connections keep, so free() gives
 * none of it back to the system: that takes malloc_trim().
 */
static void tls_trim(struct tls_factory *f)
{
	if (f->freed < WORTH_TRIMMING)
		return;
	f->freed = 0;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/*
 * OpenSSL has two buffers for a connection, of 17 KB each.  To free them after
 * each record, as it can, costs a tenth of what a small record does; to keep
 * them is too much for a connection on which nothing happens.
 */
static void tls_look(void *arg)
{
	struct tls_factory *f = arg;
	struct plait_list *l, *next;
	struct tls *t;

	plait_list_for_each_safe (l, next, &f->busy) {
		t = plait_container(l, struct tls, busy);
		if (!t->moved) {
			plait_list_remove(l);
			SSL_free_buffers(t->ssl);
			f->freed++;
		}
		t->moved = false;
	}
	tls_trim(f);
	if (!plait_list_is_empty(&f->busy))
		plait_timer_start(f->reactor, &f->look, IDLE_SECONDS, tls_look,
				  f);
}

void plait_i_tls_is_busy(struct tls *t)
{
	struct tls_factory *f = t->factory;

	t->moved = true;
	if (plait_list_is_linked(&t->busy))
		return;
	plait_list_append(&f->busy, &t->busy);
	f->reactor = plait_transport_reactor(&t->base);
	if (!plait_timer_is_running(&f->look))
		plait_timer_start(f->reactor, &f->look, IDLE_SECONDS, tls_look,
				  f);
}

/* ---- reading ----------------------------------------------------- */

void plait_i_tls_settle_input(struct tls *t)
{
	struct plait_transport *below = plait_transport_below(&t->base);
	bool reads = t->state == TLS_SHAKING ? !tls_waits(t) : t->wants_input;

	if (reads)
		plait_transport_resume_reading(below);
	else
		plait_transport_pause_reading(below);
}

/*
 * The peer sends no more.  TLS 1.3 lets this end go on; before it, the peer
 * takes nothing any more, and wants the same answer.
 */
static void tls_peer_ends(struct tls *t)
{
	t->read_over = true;
	plait_transport_read_lost(&t->base);
	if (SSL_version(t->ssl) < TLS1_3_VERSION)
		plait_transport_lose_connection(&t->base);
}

/* To ask OpenSSL once more would give the same answer, at the cost of half a
   record. */
static bool tls_has_read_all(const struct tls *t)
{
	return t->bio.left == 0 && !t->bio.is_over && !SSL_has_pending(t->ssl);
}

static bool tls_read_some(struct tls *t, unsigned char *plain, size_t size,
			  size_t *ret)
{
	int r;

	t->bio.answers = true;
	r = SSL_read_ex(t->ssl, plain, size, ret);
	t->bio.answers = false;
	return r == 1;
}

/*
 * OpenSSL answers each request for new keys, and each attempt to renegotiate,
 * by itself.  A peer that asks again and again and takes no answer would fill
 * the memory with them.
 */
static void tls_mind_answers(struct tls *t)
{
	if (plait_transport_unsent(plait_transport_below(&t->base)) == 0)
		t->bio.answered = 0;
	else if (t->bio.answered > MAX_ANSWERED)
		plait_i_tls_fail(t, plait_fail(&plait_error_tls,
					       "the peer asks and does not "
					       "read the answers"));
}

/* Fills the buffer; returns how many bytes there are, and the error that has
   ended it, or SSL_ERROR_NONE. */
static size_t tls_decrypt(struct tls *t, unsigned char *plain, int *error)
{
	size_t used = 0, n;

	*error = SSL_ERROR_NONE;
	while (used < READ_SIZE) {
		tls_clear_errors();
		if (!tls_read_some(t, plain + used, READ_SIZE - used, &n)) {
			*error = SSL_get_error(t->ssl, 0);
			break;
		}
		used += n;
		if (tls_has_read_all(t)) {
			*error = SSL_ERROR_WANT_READ;
			break;
		}
	}
	return used;
}

static void tls_read_failed(struct tls *t, int error, plait_value why)
{
	if (t->state != TLS_OPEN)
		plait_value_free(&why);
	else if (error == SSL_ERROR_ZERO_RETURN)
		tls_peer_ends(t);
	else
		plait_i_tls_fail(t, why);
}

/* What OpenSSL says is taken before the program is called, which may use it,
   too. */
void plait_i_tls_read(struct tls *t)
{
	unsigned char plain[READ_SIZE];
	plait_value why = PLAIT_NONE;
	int error = SSL_ERROR_NONE;
	size_t n;

	plait_i_tls_is_busy(t);
	tls_mind_answers(t);
	while (error == SSL_ERROR_NONE && t->state == TLS_OPEN &&
	       !t->read_over) {
		n = tls_decrypt(t, plain, &error);
		if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ &&
		    error != SSL_ERROR_ZERO_RETURN)
			why = plait_i_tls_broke(PLAIT_HERE);
		if (n > 0)
			plait_transport_received(&t->base, plain, n);
	}
	if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ)
		tls_read_failed(t, error, why);
	if (t->write_reads)
		plait_transport_writable(&t->base);
}

/* ---- writing ----------------------------------------------------- */

static void tls_drained(struct plait_producer *p)
{
	struct tls *t = plait_container(p, struct tls, drained);

	t->draining = false;
	plait_transport_unregister_producer(plait_transport_below(&t->base));
	plait_transport_writable(&t->base);
}

static void tls_drains_no_more(struct plait_producer *p)
{
	plait_container(p, struct tls, drained)->draining = false;
}

static const struct plait_producer_ops drained_ops = {
	.name = "tls",
	.resume = tls_drained,
	.stop = tls_drains_no_more,
};

/* Much ciphertext waits below: the rest stays plain until it is sent. */
static ssize_t tls_wait_for_room(struct tls *t)
{
	if (t->draining)
		return -EAGAIN;
	t->draining = true;
	t->drained.ops = &drained_ops;
	plait_transport_register_producer(plait_transport_below(&t->base),
					  &t->drained, false);
	return -EAGAIN;
}

/* Returns how many bytes lie in the pieces from an offset on, in one piece: as
   they are, or copied into record, if small pieces make one record. */
static size_t pieces_gather(const struct iovec *pieces, int n, size_t offset,
			    unsigned char *record, const unsigned char **ret)
{
	size_t used = 0, len;

	while (offset >= pieces->iov_len) {
		offset -= pieces->iov_len;
		pieces++;
		n--;
	}
	len = pieces->iov_len - offset;
	*ret = (const unsigned char *)pieces->iov_base + offset;
	if (len >= RECORD_SIZE || n == 1)
		return len;
	*ret = record;
	for (; n > 0 && used < RECORD_SIZE; pieces++, n--, offset = 0) {
		len = pieces->iov_len - offset;
		if (len > RECORD_SIZE - used)
			len = RECORD_SIZE - used;
		memcpy(record + used,
		       (const unsigned char *)pieces->iov_base + offset, len);
		used += len;
	}
	return used;
}

static size_t pieces_size(const struct iovec *pieces, int n)
{
	size_t size = 0;

	for (int i = 0; i < n; i++)
		size += pieces[i].iov_len;
	return size;
}

/* Without memory the connection cannot go on, and neither after any other
   error. */
static ssize_t tls_cannot_write(struct tls *t, int error)
{
	plait_value why;

	t->write_reads = error == SSL_ERROR_WANT_READ;
	if (t->write_reads)
		return -EAGAIN;
	why = plait_i_tls_broke(PLAIT_HERE);
	error = plait_failure_check(plait_value_failure(&why),
				    &plait_error_no_memory)
			? ENOMEM
			: EPROTO;
	plait_value_free(&why);
	return -error;
}

/* Writes a record of these bytes, or of the first of them.  What is below goes
   with it, if nothing follows, or if there is enough. */
static bool tls_write_record(struct tls *t, const unsigned char *data,
			     size_t len, bool is_last, size_t *ret)
{
	bool ok;

	t->bio.is_last = is_last || plait_transport_unsent(
					    plait_transport_below(&t->base)) +
						    RECORD_SIZE >=
					    MAX_BELOW;
	tls_clear_errors();
	ok = SSL_write_ex(t->ssl, data, len, ret) == 1;
	t->bio.is_last = false;
	return ok;
}

static ssize_t tls_encrypt(struct tls *t, const struct iovec *pieces, int n)
{
	struct plait_transport *below = plait_transport_below(&t->base);
	size_t size = pieces_size(pieces, n), taken = 0, len;
	unsigned char record[RECORD_SIZE];
	const unsigned char *data;

	if (plait_transport_unsent(below) >= MAX_BELOW)
		return tls_wait_for_room(t);
	plait_i_tls_is_busy(t);
	while (taken < size && taken < MAX_SENT &&
	       plait_transport_unsent(below) < MAX_BELOW) {
		len = pieces_gather(pieces, n, taken, record, &data);
		if (!tls_write_record(t, data, len,
				      taken + len == size && len <= RECORD_SIZE,
				      &len))
			break;
		taken += len;
	}
	if (taken == 0)
		return tls_cannot_write(t, SSL_get_error(t->ssl, 0));
	if (taken < size)
		tls_wait_for_room(t);
	return (ssize_t)taken;
}

/* In the clear, or what was written before TLS began. */
static ssize_t tls_pass(struct tls *t, const struct iovec *pieces, int n,
			size_t most)
{
	size_t sent = 0, len;

	for (int i = 0; i < n && sent < most; i++) {
		len = pieces[i].iov_len;
		if (len > most - sent)
			len = most - sent;
		plait_transport_write(plait_transport_below(&t->base),
				      pieces[i].iov_base, len);
		sent += len;
	}
	return (ssize_t)sent;
}

static ssize_t tls_send(struct plait_transport *base,
			const struct iovec *pieces, int n)
{
	struct tls *t = tls_of(base);
	ssize_t sent;

	if (t->clear > 0) {
		sent = tls_pass(t, pieces, n, t->clear);
		t->clear -= (size_t)sent;
		return sent;
	}
	switch (t->state) {
	case TLS_CLEAR:
		return tls_pass(t, pieces, n, SIZE_MAX);
	case TLS_SHAKING:
		return -EAGAIN;
	case TLS_OPEN:
		return tls_encrypt(t, pieces, n);
	case TLS_OVER:
		break;
	}
	return -EPIPE;
}

/* ---- the table --------------------------------------------------- */

static int tls_want(struct plait_transport *base, unsigned wants)
{
	struct tls *t = tls_of(base);

	t->wants_input = wants & PLAIT_TRANSPORT_WANTS_INPUT;
	plait_i_tls_settle_input(t);
	return 0;
}

static int tls_shut(struct plait_transport *base)
{
	struct tls *t = tls_of(base);

	switch (t->state) {
	case TLS_CLEAR:
		plait_transport_lose_write_connection(
			plait_transport_below(base));
		return -EINPROGRESS;
	case TLS_SHAKING:
		t->shuts = true;
		return -EINPROGRESS;
	case TLS_OPEN:
		plait_i_tls_say_end(t);
		return 0;
	case TLS_OVER:
		break;
	}
	return 0;
}

/*
 * What was dropped need not be told by a reset: without close_notify the peer
 * does not believe that it has got everything.
 */
static enum plait_transport_ended tls_end(struct plait_transport *base,
					  enum plait_transport_end how)
{
	struct tls *t = tls_of(base);

	if (t->why != NULL && !t->ended) {
		tls_lose_below(t);
		return PLAIT_TRANSPORT_ENDS_LATER;
	}
	if (how == PLAIT_TRANSPORT_END_SENT && t->state == TLS_OPEN)
		plait_i_tls_say_end(t);
	plait_i_tls_stop(t);
	return plait_transport_end_below(base, how);
}

static void tls_done(struct plait_transport *base)
{
	struct tls *t = tls_of(base);

	plait_i_tls_stop(t);
	if (t->started != NULL && t->process == getpid())
		plait_promise_drop(&t->started);
	plait_failure_unref(&t->why);
	plait_failure_unref(&t->refusal);
	SSL_free(t->ssl);
	free(t->memory);
	free(t->asked.name);
	plait_tls_context_unref(&t->context);
}

const struct plait_transport_ops plait_i_tls_ops = {
	.name = "tls",
	.size = sizeof(struct tls),
	.send = tls_send,
	.want = tls_want,
	.shut = tls_shut,
	.end = tls_end,
	.done = tls_done,
};

int plait_transport_tls_info(struct plait_transport *base,
			     struct plait_tls_info *ret)
{
	struct tls *t;
	int err = 0;

	if (base == NULL)
		return -ENOMEM;
	while (base != NULL && base->ops != &plait_i_tls_ops)
		base = plait_transport_below(base);
	if (base == NULL)
		return -ENOTSUP;
	t = tls_of(base);
	if (t->ssl == NULL || !SSL_is_init_finished(t->ssl) ||
	    plait_transport_below(base) == NULL)
		return -ENOTCONN;
	if (t->memory == NULL)
		err = plait_i_tls_info_make(t, &t->info, &t->memory);
	if (err == 0)
		*ret = t->info;
	return err;
}
