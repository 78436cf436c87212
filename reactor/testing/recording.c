/*
 * The recording transport: a connection whose peer is the test.
 *
 * What is written goes through a window to the peer, who has all that came
 * through in one buffer; the rest is unsent, as it would be with a slow peer.
 * So unsent is empty unless the window is 0.  What the test does happens at
 * once, as an event would; what the protocol asks for is answered from the
 * loop.  The struct lives as long as the reactor, so that a test may look at
 * it after the connection was lost.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/testing.h>

#include "reactor/net/errors.h"
#include "reactor/net/protocol.h"
#include "reactor/testing/recording.h"

struct recording {
	struct plait_transport base;
	struct transport_owner counting;
	struct plait_factory *counted; /* NULL: not by this connection */
	struct loop_member member;
	struct loop_task settling, arriving, answering, keep;
	struct plait_timer deadline; /* of closing */
	struct plait_address host, peer;
	struct output unsent;
	struct plait_buf *written;
	struct plait_buf *input; /* came while reading was paused */
	size_t window;
	const struct plait_failure *why; /* it is to be lost, for this reason */
	bool eof_waits;			 /* behind the input */
	bool eof;			 /* the protocol knows of it */
	bool peer_left;			 /* ... and that ends the connection */
	bool shut;			 /* we send no more */
	bool clean;			 /* how it was lost */
	bool draining; /* before why is told, input is delivered */
	bool end_carried;
	bool delivering;
};

static const struct transport_ops recording_ops;

/* The recording transport that t must be, for that function. */
static struct recording *recording_of(const struct plait_transport *t,
				      const char *function)
{
	if (t->ops != &recording_ops)
		plait_die(function,
			  "a %s transport is not one of a testing "
			  "reactor",
			  t->ops->name);
	return plait_container(t, struct recording, base);
}

static struct recording *self_of(const struct plait_transport *t)
{
	return plait_container(t, struct recording, base);
}

static bool is_closing(const struct recording *s)
{
	return s->base.disconnecting || s->peer_left;
}

static bool is_finished(const struct recording *s)
{
	return is_closing(s) && s->unsent.size == 0 &&
	       (!transport_is_held(&s->base) || s->peer_left);
}

static bool is_write_finished(const struct recording *s)
{
	return s->base.write_closed && s->unsent.size == 0 && !s->shut;
}

static bool wants_input(const struct recording *s)
{
	return !s->base.reading_paused && !is_closing(s) &&
	       !loop_is_forked(s->base.reactor) && plait_buf_size(s->input) > 0;
}

/* Something that has come, and nobody has handled. */
static bool has_unread(const struct recording *s)
{
	return plait_buf_size(s->input) > 0 ||
	       plait_i_transport_has_unread(&s->base);
}

/* The end waits behind what is unread, but not for a reader of nothing. */
static bool end_is_due(const struct recording *s)
{
	return s->eof_waits && s->why == NULL && !is_closing(s) &&
	       !loop_is_forked(s->base.reactor) &&
	       (s->base.reading_paused ? !has_unread(s)
				       : plait_buf_size(s->input) == 0);
}

static bool waits_for_reader(const struct recording *s)
{
	return s->draining && s->base.reading_paused && !is_closing(s) &&
	       !s->base.leaving;
}

static void out_of_time(void *arg)
{
	struct recording *s = arg;

	if (!s->draining) {
		plait_i_transport_give_up(&s->base);
		return;
	}
	s->draining = false;
	plait_i_loop_next_turn(s->base.reactor, &s->answering);
}

static void wait(struct recording *s, double seconds)
{
	if (!plait_timer_is_running(&s->deadline))
		plait_timer_start(s->base.reactor, &s->deadline, seconds,
				  out_of_time, s);
}

static void mind_deadline(struct recording *s)
{
	if (waits_for_reader(s))
		wait(s, s->base.limits.linger_timeout);
	else if (is_closing(s) && !is_finished(s))
		wait(s, s->base.limits.close_timeout);
	else
		plait_timer_stop(&s->deadline);
}

/* Leaves to the loop what there is to tell, if anything. */
static void settle(struct recording *s)
{
	loop_task_cancel(&s->settling);
	if (s->base.lost)
		return;
	mind_deadline(s);
	if ((s->why != NULL && !waits_for_reader(s)) || is_finished(s) ||
	    is_write_finished(s))
		plait_i_loop_next_turn(s->base.reactor, &s->answering);
	else if (wants_input(s) || end_is_due(s))
		plait_i_loop_arrive(s->base.reactor, &s->arriving);
	/* Behind the answer, which may be the last. */
	plait_i_transport_output_changed(&s->base);
}

static void run_settling(struct loop_task *task)
{
	settle(plait_container(task, struct recording, settling));
}

/* Once for all that a callback does, as on a socket. */
static void touch(struct recording *s)
{
	plait_i_loop_after_callback(s->base.reactor, &s->settling);
}

static void drop(struct plait_buf *b)
{
	plait_buf_consume(b, plait_buf_size(b));
}

static void lose(struct recording *s, const struct plait_failure *why)
{
	if (s->base.lost)
		return;
	s->clean = plait_failure_check(why, &plait_error_connection_done);
	plait_timer_stop(&s->deadline);
	loop_task_cancel(&s->settling);
	loop_task_cancel(&s->arriving);
	plait_i_output_drop(&s->unsent, s->base.reactor);
	plait_i_transport_lost(&s->base, why);
	drop(s->input);
	/* In a child that a callback has forked it is still to be abandoned. */
	if (!loop_is_forked(s->base.reactor))
		loop_part(&s->member);
}

static void out_of_memory(struct recording *s)
{
	plait_i_transport_abort(&s->base, &plait_i_failure_no_memory);
}

static void tell_eof(struct recording *s)
{
	s->eof_waits = false;
	s->eof = true;
	if (!plait_i_transport_read_lost(&s->base))
		s->peer_left = true;
}

/*
 * One piece of the input, in memory of its own: the protocol may deliver to
 * itself and to others, and whoever keeps what it was lent is found out.
 */
static void deliver_piece(struct recording *s)
{
	size_t size = plait_buf_size(s->input);
	size_t n = size < POOL_READ_SIZE ? size : POOL_READ_SIZE;
	struct plait_buf *piece = plait_buf_copy(plait_buf_data(s->input), n);

	if (piece == NULL) {
		out_of_memory(s);
		return;
	}
	plait_buf_consume(s->input, n);
	plait_i_transport_data(&s->base, plait_buf_data(piece), n);
	plait_buf_unref(&piece);
}

/*
 * Delivers what is wanted.  What comes meanwhile, from inside the protocol,
 * only joins the input, to be delivered when that has returned.
 */
static void deliver_input(struct recording *s)
{
	bool any = false;

	if (s->delivering)
		return;
	s->delivering = true;
	while (wants_input(s)) {
		deliver_piece(s);
		any = true;
	}
	s->delivering = false;
	/* A socket's end comes with an event of its own. */
	if (!any && end_is_due(s))
		tell_eof(s);
}

/* The connection is broken; what had come before is delivered first. */
static void drain(struct recording *s)
{
	plait_i_transport_broken(&s->base, s->why);
	deliver_input(s);
	if (waits_for_reader(s))
		return;
	s->draining = false;
	lose(s, s->why);
}

static void answer(struct recording *s)
{
	loop_task_cancel(&s->answering);
	if (s->draining) {
		drain(s);
	} else if (s->why != NULL) {
		lose(s, s->why);
	} else if (is_finished(s)) {
		lose(s, &plait_i_failure_connection_done);
	} else if (is_write_finished(s)) {
		s->shut = true;
		plait_i_transport_write_lost(&s->base);
	}
	settle(s);
}

static void run_answer(struct loop_task *task)
{
	answer(plait_container(task, struct recording, answering));
}

/* The callbacks have returned, so their answer need not wait. */
static void end_event(struct recording *s)
{
	settle(s);
	if (s->base.inside == 0 && plait_list_is_linked(&s->answering.link))
		answer(s);
}

/* What a socket's event would bring, and the answer to that. */
static void arrive(struct loop_task *task)
{
	struct recording *s = plait_container(task, struct recording, arriving);

	deliver_input(s);
	end_event(s);
}

/* The peer takes what its window lets through.  0 or -ENOMEM. */
static int send_some(struct recording *s, const char *data, size_t len)
{
	size_t n = len < s->window ? len : s->window;
	int r = plait_buf_append(s->written, data, n);

	if (n > 0)
		transport_is_active(&s->base);
	if (r == 0 && s->window != SIZE_MAX)
		s->window -= n;
	if (r < 0 || n == len)
		return r;
	return plait_i_output_add(&s->unsent, s->base.reactor, data + n,
				  len - n);
}

static void recording_write(struct plait_transport *t,
			    const struct iovec *pieces, int n)
{
	struct recording *s = self_of(t);
	int r = 0;

	for (int i = 0; i < n && r == 0; i++)
		r = send_some(s, pieces[i].iov_base, pieces[i].iov_len);
	if (r < 0)
		out_of_memory(s);
	touch(s);
}

static void recording_write_buf(struct plait_transport *t,
				struct plait_buf *buf)
{
	struct recording *s = self_of(t);
	struct iovec piece = {
		.iov_base = (void *)(uintptr_t)plait_buf_data(buf),
		.iov_len = plait_buf_size(buf),
	};

	if (s->window > 0) {
		recording_write(t, &piece, 1);
		return;
	}
	if (plait_i_output_add_buf(&s->unsent, t->reactor, buf) < 0)
		out_of_memory(s);
	touch(s);
}

static void recording_touch(struct plait_transport *t)
{
	touch(self_of(t));
}

static void recording_set_reading(struct plait_transport *t, bool on)
{
	touch(self_of(t));
}

/* The first reason is the one that is told. */
static void recording_abort(struct plait_transport *t,
			    const struct plait_failure *why, bool reset)
{
	struct recording *s = self_of(t);

	plait_i_output_drop(&s->unsent, s->base.reactor);
	if (s->why == NULL)
		s->why = why;
	else
		plait_failure_unref(&why);
	plait_i_loop_next_turn(t->reactor, &s->answering);
	touch(s);
}

static struct output *recording_output(struct plait_transport *t)
{
	return &self_of(t)->unsent;
}

static int recording_host(struct plait_transport *t, struct plait_address *ret)
{
	*ret = self_of(t)->host;
	return 0;
}

static int recording_peer(struct plait_transport *t, struct plait_address *ret)
{
	*ret = self_of(t)->peer;
	return 0;
}

static bool recording_peer_has_closed(const struct plait_transport *t)
{
	const struct recording *s = self_of(t);

	return s->eof || s->eof_waits || s->why != NULL;
}

static const struct transport_ops recording_ops = {
	.name = "recording",
	.write = recording_write,
	.write_buf = recording_write_buf,
	.lose = recording_touch,
	.abort = recording_abort,
	.lose_write = recording_touch,
	.set_reading = recording_set_reading,
	.output = recording_output,
	.peer_has_closed = recording_peer_has_closed,
	.host = recording_host,
	.peer = recording_peer,
};

static bool member_is_closing(const struct loop_member *m)
{
	const struct recording *s =
		plait_container(m, const struct recording, member);

	return is_closing(s) && s->why == NULL;
}

/* The reactor shuts down. */
static void lose_member(struct loop_member *m)
{
	struct recording *s = plait_container(m, struct recording, member);
	plait_value v;

	if (!is_finished(s)) {
		v = plait_fail(&plait_error_connection_lost,
			       "the reactor was shut down");
		recording_abort(&s->base, plait_value_failure(&v), true);
	}
	plait_i_transport_leave(&s->base);
}

/* In a forked child. */
static void abandon_member(struct loop_member *m)
{
	struct recording *s = plait_container(m, struct recording, member);

	loop_task_cancel(&s->answering);
	plait_i_transport_abandon(&s->base);
}

static struct plait_transport *member_transport(struct loop_member *m)
{
	return &plait_container(m, struct recording, member)->base;
}

static const struct loop_member_ops recording_member_ops = {
	.lose = lose_member,
	.is_closing = member_is_closing,
	.abandon = abandon_member,
	.transport = member_transport,
};

static void free_recording(struct recording *s)
{
	plait_i_output_drop(&s->unsent, s->base.reactor);
	plait_failure_unref(&s->why);
	plait_buf_unref(&s->written);
	plait_buf_unref(&s->input);
	free(s);
}

static void run_keep(struct loop_task *task)
{
	free_recording(plait_container(task, struct recording, keep));
}

struct plait_transport *plait_i_recording_new(struct plait_reactor *r,
					      const struct plait_address *host,
					      const struct plait_address *peer,
					      struct transport_owner *owner)
{
	struct recording *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct recording){
		.member.ops = &recording_member_ops,
		.settling.run = run_settling,
		.arriving.run = arrive,
		.answering.run = run_answer,
		.keep.run = run_keep,
		.host = *host,
		.peer = *peer,
		.written = plait_buf_new(PLAIT_BUF_UNBOUNDED),
		.input = plait_buf_new(PLAIT_BUF_UNBOUNDED),
		.window = SIZE_MAX,
	};
	plait_i_transport_init(&s->base, &recording_ops, r, owner);
	if (s->written == NULL || s->input == NULL) {
		free_recording(s);
		errno = ENOMEM;
		return NULL;
	}
	plait_i_loop_join(r, &s->member);
	plait_i_loop_keep(r, &s->keep);
	return &s->base;
}

static void stop_counting(struct transport_owner *o,
			  const struct plait_failure *why)
{
	plait_factory_stop(
		plait_container(o, struct recording, counting)->counted);
}

void plait_i_recording_count(struct plait_transport *t, struct plait_factory *f)
{
	struct recording *s = self_of(t);

	s->counted = f;
	s->counting.lost = stop_counting;
	t->owner = &s->counting;
}

/* Takes out what was written.  NULL with no memory for a new buffer. */
static struct plait_buf *take_written(struct recording *s)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	struct plait_buf *written = s->written;

	if (b == NULL)
		return NULL;
	s->written = b;
	return written;
}

static bool carry_bytes(struct recording *from, struct plait_transport *to)
{
	struct plait_buf *b;

	if (plait_buf_size(from->written) == 0 || plait_testing_is_paused(to))
		return false;
	b = take_written(from);
	if (b == NULL) {
		out_of_memory(from);
		return false;
	}
	plait_testing_deliver(to, plait_buf_data(b), plait_buf_size(b));
	plait_buf_unref(&b);
	return true;
}

static bool carry_end(struct recording *from, struct plait_transport *to)
{
	plait_value v;

	if (from->end_carried || plait_buf_size(from->written) > 0 ||
	    (!from->base.lost && !from->shut))
		return false;
	from->end_carried = true;
	if (!from->base.lost || from->clean) {
		plait_testing_deliver_eof(to);
		return true;
	}
	v = plait_fail(&plait_error_connection_lost, "by the other end");
	plait_testing_lose(to, plait_value_failure(&v));
	plait_value_free(&v);
	return true;
}

bool plait_i_recording_carry(struct plait_transport *from,
			     struct plait_transport *to)
{
	struct recording *s = recording_of(from, "plait_testing_pump");

	recording_of(to, "plait_testing_pump");
	return carry_bytes(s, to) || carry_end(s, to);
}

struct plait_protocol *plait_testing_protocol(struct plait_transport *t)
{
	return recording_of(t, __func__)->base.protocol;
}

void plait_testing_deliver(struct plait_transport *t, const void *data,
			   size_t len)
{
	struct recording *s = recording_of(t, __func__);

	if (s->eof || s->eof_waits || s->why != NULL || is_closing(s))
		return;
	if (plait_buf_append(s->input, data, len) < 0)
		out_of_memory(s);
	else
		deliver_input(s);
	end_event(s);
}

void plait_testing_deliver_eof(struct plait_transport *t)
{
	struct recording *s = recording_of(t, __func__);

	if (s->eof || is_closing(s))
		return;
	s->eof_waits = true;
	deliver_input(s);
	end_event(s);
}

/* Not under the feet of the protocol, nor before what a reader holds. */
static bool must_wait(const struct recording *s)
{
	return s->base.inside > 0 ||
	       (s->base.reading_paused && !is_closing(s) && has_unread(s));
}

void plait_testing_lose(struct plait_transport *t,
			const struct plait_failure *why)
{
	struct recording *s = recording_of(t, __func__);

	if (!must_wait(s)) {
		lose(s, why);
		return;
	}
	if (s->base.lost || s->why != NULL)
		return;
	s->why = plait_failure_ref(why);
	s->draining = true;
	s->base.write_closed = s->shut = true;
	plait_i_output_drop(&s->unsent, s->base.reactor);
	if (s->base.inside == 0)
		plait_i_transport_broken(&s->base, why);
	settle(s);
}

const struct plait_buf *plait_testing_written(struct plait_transport *t)
{
	return recording_of(t, __func__)->written;
}

void plait_testing_clear(struct plait_transport *t)
{
	drop(recording_of(t, __func__)->written);
}

/* What fits goes through, piece by piece.  0 or -ENOMEM. */
static int send_unsent(struct recording *s)
{
	struct iovec piece;
	size_t n;
	int r;

	while (plait_i_output_gather(&s->unsent, &piece, 1, &n) > 0 &&
	       s->window > 0) {
		if (n > s->window)
			n = s->window;
		r = plait_buf_append(s->written, piece.iov_base, n);
		if (r < 0)
			return r;
		plait_i_output_consume(&s->unsent, s->base.reactor, n);
		transport_is_active(&s->base);
		plait_timer_stop(&s->deadline);
		if (s->window != SIZE_MAX)
			s->window -= n;
	}
	return 0;
}

void plait_testing_set_window(struct plait_transport *t, size_t bytes)
{
	struct recording *s = recording_of(t, __func__);
	bool waited = s->unsent.size > 0;

	s->window = bytes;
	if (send_unsent(s) < 0)
		out_of_memory(s);
	if (waited)
		end_event(s);
}

bool plait_testing_is_connected(struct plait_transport *t)
{
	return !recording_of(t, __func__)->base.lost;
}

bool plait_testing_is_aborted(struct plait_transport *t)
{
	return recording_of(t, __func__)->base.aborted;
}

bool plait_testing_is_paused(struct plait_transport *t)
{
	return recording_of(t, __func__)->base.reading_paused;
}
