/*
 * The handshake, step by step: each time that something has come, OpenSSL goes
 * on until it wants more, or has a question.
 *
 * A question (which context? is this certificate good?) goes to the program,
 * outside of OpenSSL, and the answer may be a deferred.  While it is pending
 * the transport below is paused and what has come already is held; when the
 * connection ends, it is cancelled.
 *
 * A factory makes TURN_STEPS steps a turn, and a step gets STEP_BYTES bytes: a
 * crowd of clients, or a peer that sends much, must not keep other connections
 * waiting.  Whoever comes later waits for the next turn in the same way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "protocols/tls/connection.h"
#include "protocols/tls/failure.h"
#include "protocols/tls/hello.h"
#include "protocols/tls/info.h"
#include "protocols/tls/verify.h"

enum { TURN_STEPS = 16, STEP_BYTES = 16 * 1024 };

static void tls_run(struct tls *t);

/* ---- what waits -------------------------------------------------- */

/* Keeps what OpenSSL has not read. */
static void tls_hold(struct tls *t, const void *data, size_t len)
{
	if (len == 0 || t->state != TLS_SHAKING)
		return;
	if (t->held == NULL)
		t->held = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (t->held == NULL || plait_buf_append(t->held, data, len) < 0)
		plait_i_tls_fail(t, plait_no_memory());
}

/* OpenSSL reads these bytes, as far as it gets; what is left is held. */
static void tls_feed(struct tls *t, const unsigned char *data, size_t len)
{
	t->bio.next = data;
	t->bio.left = len;
	tls_run(t);
	tls_hold(t, t->bio.next, t->bio.left);
	t->bio.left = 0;
}

static void tls_wait_for_turn(struct tls *t)
{
	if (t->state != TLS_SHAKING || tls_waits(t))
		return;
	plait_list_append(&t->factory->turns, &t->turn);
	plait_i_tls_settle_input(t);
}

/* A step takes so many bytes at most; when the handshake is done, all. */
static void tls_take(struct tls *t, const unsigned char *data, size_t len)
{
	size_t n =
		t->state == TLS_SHAKING && len > STEP_BYTES ? STEP_BYTES : len;

	tls_feed(t, data, n);
	if (n == len)
		return;
	if (t->state == TLS_OPEN) {
		tls_feed(t, data + n, len - n);
	} else {
		tls_hold(t, data + n, len - n);
		tls_wait_for_turn(t);
	}
}

/* What it has waited for is there. */
static void tls_go_on(struct tls *t)
{
	struct plait_buf *held = t->held;

	t->held = NULL;
	if (held != NULL)
		tls_take(t, plait_buf_data(held), plait_buf_size(held));
	else
		tls_run(t);
	plait_buf_unref(&held);
	plait_i_tls_settle_input(t);
}

/* Those who come to wait now are behind the last of those who wait. */
void plait_i_tls_next_turn(void *arg)
{
	struct tls_factory *f = arg;
	struct plait_list *l;

	f->steps = 0;
	while (f->steps < TURN_STEPS &&
	       (l = plait_list_first(&f->turns)) != NULL) {
		f->steps++;
		plait_list_remove(l);
		tls_go_on(plait_container(l, struct tls, turn));
	}
	if (f->steps > 0)
		plait_timer_start(f->reactor, &f->turn, 0,
				  plait_i_tls_next_turn, f);
}

static void tls_mind_turns(struct tls *t)
{
	struct tls_factory *f = t->factory;

	if (plait_timer_is_running(&f->turn))
		return;
	f->reactor = plait_transport_reactor(&t->base);
	plait_timer_start(f->reactor, &f->turn, 0, plait_i_tls_next_turn, f);
}

/* Counts a step; false: there were enough in this turn. */
static bool tls_has_turn(struct tls *t)
{
	if (t->factory->steps >= TURN_STEPS)
		return false;
	t->factory->steps++;
	tls_mind_turns(t);
	return true;
}

/* ---- questions --------------------------------------------------- */

/* Asks the program, which answered() is told, now or later. */
static void tls_ask(struct tls *t, plait_value v, plait_callback *answered)
{
	t->asking = true;
	t->answer = plait_maybe_deferred(v);
	plait_deferred_add_both(t->answer, answered, t);
	t->asking = false;
	plait_i_tls_settle_input(t);
}

/* Takes the answer, and says whether anybody still wants it. */
static bool tls_take_answer(struct tls *t, plait_value *result,
			    plait_value *ret)
{
	struct plait_deferred *d = t->answer;

	if (d == NULL)
		return false;
	t->answer = NULL;
	*ret = plait_value_take(result);
	plait_deferred_free(&d);
	return true;
}

/* v is taken. */
static enum tls_answer tls_refused(struct tls *t, plait_value v)
{
	plait_failure_unref(&t->refusal);
	t->refusal = plait_value_failure(&v);
	return TLS_NO;
}

/* v is borrowed. */
static enum tls_answer tls_switch(struct tls *t, const plait_value *v)
{
	struct plait_tls_context *c =
		plait_value_get(v, &plait_tls_context_type);
	SSL_CTX *ctx;
	int ok;

	if (!c->settings.is_server)
		return tls_refused(t,
				   plait_fail_errno(&plait_error_os, EINVAL,
						    "the context is none for a "
						    "server"));
	ERR_clear_error();
	ctx = plait_i_tls_context_use(c);
	ok = plait_i_tls_hello_switch(t->ssl, ctx, &c->settings);
	SSL_CTX_free(ctx);
	if (!ok)
		return tls_refused(t, plait_no_memory());
	plait_tls_context_unref(&t->context);
	t->context = plait_tls_context_ref(c);
	t->asked.tickets = &t->context->tickets;
	return TLS_YES;
}

static plait_value tls_chosen(plait_value *result, void *arg)
{
	struct tls *t = arg;
	plait_value v;

	if (!tls_take_answer(t, result, &v))
		return *result;
	if (plait_value_is_failure(&v))
		t->asked.choice = tls_refused(t, plait_value_take(&v));
	else if (plait_value_is_none(&v))
		t->asked.choice = TLS_YES;
	else
		t->asked.choice = tls_switch(t, &v);
	plait_value_free(&v);
	if (!t->asking)
		tls_go_on(t);
	return PLAIT_NONE;
}

static void tls_ask_choice(struct tls *t)
{
	const struct tls_settings *s = &t->context->settings;
	struct plait_address peer = { .family = 0 };
	struct plait_tls_hello hello = { .name = t->asked.name, .peer = &peer };

	plait_transport_peer(plait_transport_below(&t->base), &peer);
	tls_ask(t, s->choose(&hello, s->arg), tls_chosen);
}

static plait_value tls_judged(plait_value *result, void *arg)
{
	struct tls *t = arg;
	plait_value v;

	if (!tls_take_answer(t, result, &v))
		return *result;
	if (plait_value_is_failure(&v))
		t->asked.verdict = tls_refused(t, plait_value_take(&v));
	else
		t->asked.verdict = TLS_YES;
	plait_value_free(&v);
	if (!t->asking)
		tls_go_on(t);
	return PLAIT_NONE;
}

static void tls_ask_verdict(struct tls *t)
{
	const struct tls_settings *s = &t->context->settings;
	struct plait_tls_info info;
	void *memory;

	if (plait_i_tls_info_make(t, &info, &memory) < 0) {
		plait_i_tls_fail(t, plait_no_memory());
		return;
	}
	t->asked.verdict = TLS_ASKED;
	tls_ask(t, s->verify(&info, s->arg), tls_judged);
	free(memory);
}

/* ---- steps ------------------------------------------------------- */

/* The program has refused the peer, or OpenSSL has. */
static plait_value tls_reason(const struct tls *t)
{
	const struct plait_error *kind = t->asked.verdict == TLS_NO
						 ? &plait_error_tls_verify
						 : &plait_error_tls_handshake;

	if (t->refusal == NULL)
		return plait_i_tls_handshake_failed(PLAIT_HERE, t->ssl);
	ERR_clear_error();
	if (plait_failure_check(t->refusal, &plait_error_no_memory))
		return plait_no_memory();
	return plait_fail_because(kind, t->refusal, "this end refused it");
}

/* The handshake of a connection that was in the clear before. */
static void tls_started(struct tls *t)
{
	struct plait_promise *started = t->started;

	t->started = NULL;
	if (t->shuts) {
		plait_i_tls_say_end(t);
		plait_transport_write_lost(&t->base);
	}
	plait_transport_writable(&t->base);
	plait_fire(&started, PLAIT_NONE);
}

/* A server, and a client that goes on with a session, ask now. */
static bool tls_must_ask(const struct tls *t)
{
	return t->context->settings.verify != NULL &&
	       t->asked.verdict == TLS_NOT_ASKED &&
	       SSL_get0_peer_certificate(t->ssl) != NULL;
}

static void tls_shaken(struct tls *t)
{
	if (tls_must_ask(t)) {
		tls_ask_verdict(t);
		return;
	}
	if (t->asked.verdict == TLS_NO) {
		plait_i_tls_say_end(t);
		plait_i_tls_fail(t, tls_reason(t));
		return;
	}
	plait_timer_stop(&t->deadline);
	if (!t->context->settings.is_server)
		plait_i_tls_context_resumed(t->ssl);
	t->state = TLS_OPEN;
	if (t->made)
		tls_started(t);
	else
		plait_i_tls_connect(t);
}

static void tls_step(struct tls *t, bool *goes_on)
{
	int r;

	*goes_on = true;
	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	if (r == 1) {
		tls_shaken(t);
		return;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*goes_on = false;
		break;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		tls_ask_choice(t);
		break;
	case SSL_ERROR_WANT_RETRY_VERIFY:
		tls_ask_verdict(t);
		break;
	default:
		plait_i_tls_fail(t, tls_reason(t));
		break;
	}
}

static void tls_run(struct tls *t)
{
	bool goes_on = true;

	while (goes_on && t->state == TLS_SHAKING && !tls_waits(t))
		tls_step(t, &goes_on);
	if (t->state == TLS_OPEN)
		plait_i_tls_read(t);
}

/* ---- from below -------------------------------------------------- */

void plait_i_tls_shake(struct tls *t)
{
	tls_run(t);
}

void plait_i_tls_shake_later(struct tls *t)
{
	tls_wait_for_turn(t);
	tls_mind_turns(t);
}

void plait_i_tls_received(struct tls *t, const void *data, size_t len)
{
	if (t->state == TLS_CLEAR) {
		plait_transport_received(&t->base, data, len);
	} else if (t->state == TLS_SHAKING &&
		   (tls_waits(t) || !tls_has_turn(t))) {
		tls_hold(t, data, len);
		tls_wait_for_turn(t);
	} else {
		tls_take(t, data, len);
	}
}

/* A peer that only closes its sending half in a handshake cannot finish it,
   unless it has sent all that this needs. */
void plait_i_tls_read_lost(struct tls *t)
{
	t->bio.is_over = true;
	if (t->state == TLS_CLEAR)
		plait_transport_read_lost(&t->base);
	else if (t->answer != NULL)
		plait_i_tls_fail(t, plait_fail(&plait_error_tls_handshake,
					       "the peer hung up"));
	else
		tls_run(t);
}

/* A context that was chosen later is not asked. */
void plait_i_tls_tell_failed(const struct tls_factory *f,
			     struct plait_transport *below,
			     const struct plait_failure *why)
{
	const struct plait_tls_context *c = f->context;
	struct plait_address peer = { .family = 0 };

	if (c == NULL || c->settings.failed == NULL)
		return;
	plait_transport_peer(below, &peer);
	c->settings.failed(&peer, why, c->settings.arg);
}

/* What the transport below calls a clean end may be that of a stream which
   somebody has cut. */
static void tls_check_end(struct tls *t, const struct plait_failure *why)
{
	if (t->state == TLS_OPEN && !t->read_over &&
	    plait_failure_check(why, &plait_error_connection_done))
		plait_i_tls_fail(t, plait_fail(&plait_error_tls_truncated,
					       "no close_notify has come"));
}

void plait_i_tls_lost(struct tls *t, const struct plait_failure *why)
{
	bool shook = t->state == TLS_SHAKING ||
		     (t->state == TLS_OVER && t->why != NULL);
	struct plait_promise *started = t->started;

	t->started = NULL;
	tls_check_end(t, why);
	plait_i_tls_stop(t);
	if (!t->made && shook)
		plait_i_tls_tell_failed(t->factory,
					plait_transport_below(&t->base), why);
	plait_fire(&started, plait_failure_value(why));
}

/* ---- its beginning and its end ----------------------------------- */

static void tls_is_late(void *arg)
{
	struct tls *t = arg;

	plait_i_tls_fail(t, plait_fail(&plait_error_tls_handshake,
				       "not done in %g seconds",
				       t->context->settings.handshake_timeout));
}

/* Gives an SSL with its BIO; or returns false, with an error of OpenSSL. */
static bool tls_set_up_ssl(struct tls *t)
{
	SSL_CTX *ctx = plait_i_tls_context_use(t->context);
	BIO *bio = plait_i_tls_bio_new(t->context->bio, &t->bio);

	t->ssl = bio != NULL ? SSL_new(ctx) : NULL;
	SSL_CTX_free(ctx);
	if (t->ssl == NULL) {
		BIO_free(bio);
		return false;
	}
	SSL_set_bio(t->ssl, bio, bio);
	return SSL_set_app_data(t->ssl, &t->asked) == 1;
}

static bool tls_set_up_client(struct tls *t, const char *name)
{
	SSL_set_connect_state(t->ssl);
	if (name == NULL)
		return true;
	t->asked.name = strdup(name);
	if (t->asked.name == NULL) {
		ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
		return false;
	}
	plait_i_tls_context_resume(t->context, t->ssl, name);
	return plait_i_tls_verify_name(t->ssl, &t->context->settings, name);
}

static bool tls_set_up(struct tls *t, const char *name)
{
	if (!tls_set_up_ssl(t))
		return false;
	if (!t->context->settings.is_server)
		return tls_set_up_client(t, name);
	SSL_set_accept_state(t->ssl);
	return true;
}

plait_value plait_i_tls_begin(struct tls *t, struct plait_tls_context *c,
			      const char *name)
{
	t->context = plait_tls_context_ref(c);
	t->asked.tickets = &t->context->tickets;
	t->process = getpid();
	t->bio.above = &t->base;
	t->state = TLS_SHAKING;
	ERR_clear_error();
	if (!tls_set_up(t, name))
		return plait_i_tls_failed(PLAIT_HERE,
					  &plait_error_tls_handshake,
					  "it cannot begin");
	plait_timer_start(plait_transport_reactor(&t->base), &t->deadline,
			  c->settings.handshake_timeout, tls_is_late, t);
	return PLAIT_NONE;
}

/* Nobody was built: the connection ends in order, or there is no memory for
   it, which fails as an attempt does. */
static void tls_not_built(struct tls *t, int err)
{
	struct plait_transport *below = plait_transport_below(&t->base);

	if (err == ENOMEM) {
		plait_transport_begin_handshake(below);
		plait_i_tls_fail(t, plait_no_memory());
		return;
	}
	if (t->ssl != NULL)
		plait_i_tls_say_end(t);
	t->state = TLS_OVER;
	plait_transport_lose_connection(below);
}

void plait_i_tls_connect(struct tls *t)
{
	struct plait_transport *below = plait_transport_below(&t->base);
	struct plait_address peer = { .family = 0 };
	struct plait_protocol *inner;

	plait_transport_end_handshake(below);
	plait_transport_peer(below, &peer);
	inner = plait_factory_build_protocol(t->factory->base.inner, &peer);
	if (inner == NULL) {
		tls_not_built(t, errno);
		return;
	}
	t->made = true;
	plait_transport_made(&t->base, inner);
}
