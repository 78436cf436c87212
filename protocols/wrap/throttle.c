/*
 * Throttling: buckets of bytes, and the transport that takes from them.
 *
 * Each direction of a connection asks its bucket before bytes pass.  If nobody
 * waits, it gets at once what the bucket has; otherwise it waits after those
 * who wait already, so that nobody overtakes.  The bucket's timer gives out the
 * new bytes in equal shares, and calls those who got a share.  Bytes that a
 * direction got and cannot use any more are given back.
 *
 * The bucket counts in integers: whole bytes, and the fraction of the next
 * byte.  So a bucket that was never full has let pass exactly rate times the
 * time, rounded down, and the burst with which it began.
 *
 * In a child made by fork() a transport counts as being closed, and the bucket
 * calls nobody.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <plait/throttle.h>

static const uint64_t second = 1000000000;    /* ns */
static const int64_t interval = 100000000;    /* ns, between two wakeups */
static const size_t max_rate = 16000000000;   /* times a second fits */
static const size_t max_burst = SIZE_MAX / 4; /* sums fit */

enum { LEAST_SHARE = 512 }; /* small pieces cost more than they carry */

/* One direction of one connection, which asks a bucket. */
struct asker {
	struct plait_bucket *bucket; /* NULL: everything passes */
	struct plait_list waiting;   /* in the bucket: it wants more */
	struct plait_list served;    /* in the bucket: it will be called */
	size_t wants;		     /* while it waits */
	size_t quota;		     /* left of its share of this round */
	size_t got;		     /* and not used yet */
	void (*go_on)(struct asker *a);
};

struct throttled {
	struct plait_transport base;
	struct asker in, out;
	struct plait_buf *held; /* came, and waits for the bucket */
	bool wanted;		/* the inner protocol reads */
	struct plait_producer drained;
	bool draining; /* waits until all below is sent */
};

/* ---- the bucket ------------------------------------------------------ */

static size_t fewer_bytes(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t bucket_rate(const struct plait_bucket *b)
{
	return b->rate > 0 ? fewer_bytes(b->rate, max_rate) : 1;
}

static size_t bucket_size(const struct plait_bucket *b)
{
	return b->burst > 0 ? fewer_bytes(b->burst, max_burst) : bucket_rate(b);
}

static int64_t bucket_now(const struct plait_bucket *b)
{
	return (int64_t)(plait_reactor_seconds(b->reactor) * 1e9 + 0.5);
}

/* Forgets those who wait: in a child made by fork() they are the parent's. */
static void bucket_forget_all(struct plait_bucket *b)
{
	struct plait_list *l;

	while ((l = plait_list_first(&b->waiting)) != NULL)
		plait_list_remove(l);
	while ((l = plait_list_first(&b->served)) != NULL)
		plait_list_remove(l);
	b->n_waiting = 0;
	plait_timer_stop(&b->timer);
}

/* Begins, and begins anew for another reactor, which has another clock. */
static void bucket_begin(struct plait_bucket *b, struct plait_reactor *r)
{
	if (b->reactor == r && (b->n_waiting > 0 || bucket_now(b) >= b->filled))
		return;
	if (b->reactor != NULL && b->process != getpid())
		bucket_forget_all(b);
	else if (b->reactor != NULL && b->n_waiting > 0)
		plait_die("struct plait_bucket",
			  "connections of two reactors use the same bucket");
	b->process = getpid();
	b->reactor = r;
	b->room = bucket_size(b);
	b->filled = bucket_now(b);
	b->served_last = b->filled - interval;
	plait_list_init(&b->waiting);
	plait_list_init(&b->served);
}

/* Adds the bytes since the last time. */
static void bucket_fill(struct plait_bucket *b)
{
	uint64_t rate = bucket_rate(b), size = bucket_size(b), parts;
	int64_t now = bucket_now(b);
	uint64_t passed = (uint64_t)(now - b->filled);

	b->filled = now;
	if (passed / second > size / rate) {
		b->room = size;
	} else {
		parts = passed % second * rate + b->fraction;
		b->room += passed / second * rate + parts / second;
		b->fraction = parts % second;
	}
	if (b->room >= size) {
		b->room = size;
		b->fraction = 0;
	}
}

static void bucket_serve(void *arg);

/* Starts the timer for when there is a byte, but at most once an interval. */
static void bucket_wake(struct plait_bucket *b)
{
	uint64_t rate = bucket_rate(b);
	int64_t wait = b->served_last + interval - b->filled;
	int64_t byte = (int64_t)((second - b->fraction + rate - 1) / rate);

	if (plait_timer_is_running(&b->timer))
		return;
	if (b->room == 0)
		wait = byte > interval ? byte : interval;
	plait_timer_start(b->reactor, &b->timer,
			  wait > 0 ? (double)wait / 1e9 : 0, bucket_serve, b);
}

static void bucket_pour(struct plait_bucket *b, struct asker *a, size_t n)
{
	b->room -= n;
	b->passed += n;
	a->got += n;
}

/* Lets it wait for that many bytes. */
static void asker_wait(struct asker *a, size_t wants)
{
	struct plait_bucket *b = a->bucket;

	a->wants = wants;
	if (plait_list_is_linked(&a->waiting))
		return;
	a->quota = 0;
	plait_list_append(&b->waiting, &a->waiting);
	b->n_waiting++;
	b->waits++;
	bucket_fill(b);
	bucket_wake(b);
}

static void asker_wait_no_longer(struct asker *a)
{
	a->wants = 0;
	if (!plait_list_is_linked(&a->waiting))
		return;
	plait_list_remove(&a->waiting);
	a->bucket->n_waiting--;
}

/* Ends its wait, and gives back what it has not used. */
static void asker_stop(struct asker *a)
{
	struct plait_bucket *b = a->bucket;

	if (b == NULL || b->reactor == NULL)
		return;
	asker_wait_no_longer(a);
	plait_list_remove(&a->served);
	b->room = fewer_bytes(b->room + a->got, bucket_size(b));
	b->passed -= a->got;
	a->got = 0;
	if (b->n_waiting == 0)
		plait_timer_stop(&b->timer);
}

/*
 * Returns how many of so many bytes may pass now.  It then waits for the rest,
 * after those who wait already.
 */
static size_t asker_take(struct asker *a, size_t wants, struct plait_reactor *r)
{
	struct plait_bucket *b = a->bucket;
	size_t n;

	if (b == NULL)
		return wants;
	bucket_begin(b, r);
	bucket_fill(b);
	if (b->n_waiting == 0 && a->got < wants)
		bucket_pour(b, a, fewer_bytes(wants - a->got, b->room));
	n = fewer_bytes(a->got, wants);
	a->got -= n;
	if (n < wants)
		asker_wait(a, wants - n);
	else
		asker_stop(a);
	return n;
}

/*
 * Gives equal shares, first to those who have waited longest.  If the last one
 * did not get its whole share, it is the first the next time.
 */
static void bucket_share(struct plait_bucket *b)
{
	size_t share = b->room / b->n_waiting, n;
	struct asker *a;

	if (share < LEAST_SHARE)
		share = LEAST_SHARE;
	while (b->room > 0 && b->n_waiting > 0) {
		a = plait_container(plait_list_first(&b->waiting), struct asker,
				    waiting);
		if (a->quota == 0)
			a->quota = share;
		n = fewer_bytes(fewer_bytes(a->quota, a->wants), b->room);
		bucket_pour(b, a, n);
		a->wants -= n;
		a->quota -= n;
		if (!plait_list_is_linked(&a->served))
			plait_list_append(&b->served, &a->served);
		if (a->wants == 0) {
			asker_wait_no_longer(a);
		} else if (a->quota == 0) {
			plait_list_remove(&a->waiting);
			plait_list_append(&b->waiting, &a->waiting);
		}
	}
}

static void bucket_serve(void *arg)
{
	struct plait_bucket *b = arg;
	struct plait_list *l;
	struct asker *a;

	bucket_fill(b);
	b->served_last = b->filled;
	if (b->n_waiting > 0)
		bucket_share(b);
	while ((l = plait_list_first(&b->served)) != NULL) {
		plait_list_remove(l);
		a = plait_container(l, struct asker, served);
		a->go_on(a);
	}
	if (b->n_waiting > 0)
		bucket_wake(b);
}

/* ---- the transport --------------------------------------------------- */

static struct throttled *throttled_of(struct plait_transport *t)
{
	return plait_container(t, struct throttled, base);
}

static bool throttled_holds(const struct throttled *self)
{
	return self->held != NULL && plait_buf_size(self->held) > 0;
}

/* Tells the transport below and the bucket what is wanted, after a change. */
static void throttled_settle_input(struct throttled *self)
{
	struct plait_transport *below = plait_transport_below(&self->base);
	bool holds = throttled_holds(self);

	if (below == NULL || below->protocol == NULL)
		return;
	below->protocol->unread = holds;
	if (self->wanted && holds)
		asker_wait(&self->in, plait_buf_size(self->held));
	else
		asker_stop(&self->in);
	if (self->wanted && !holds)
		plait_transport_resume_reading(below);
	else
		plait_transport_pause_reading(below);
}

static void throttled_no_memory(struct throttled *self)
{
	asker_stop(&self->in);
	plait_transport_abort_connection(&self->base);
}

/* Takes the piece out first, because more may come while the protocol has it.
 */
static void throttled_deliver(struct asker *a)
{
	struct throttled *self = plait_container(a, struct throttled, in);
	struct plait_buf *piece;

	if (plait_transport_is_disconnecting(&self->base)) {
		asker_stop(a);
		return;
	}
	piece = plait_buf_copy(plait_buf_data(self->held), a->got);
	if (piece == NULL) {
		throttled_no_memory(self);
		return;
	}
	plait_buf_consume(self->held, a->got);
	a->got = 0;
	plait_transport_received(&self->base, plait_buf_data(piece),
				 plait_buf_size(piece));
	plait_buf_unref(&piece);
	if (!plait_transport_is_disconnecting(&self->base))
		throttled_settle_input(self);
}

static int throttled_hold(struct throttled *self, const void *data, size_t len)
{
	if (self->held == NULL)
		self->held = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (self->held == NULL)
		return -ENOMEM;
	return plait_buf_append(self->held, data, len);
}

static void throttled_received(struct plait_protocol *p, const void *data,
			       size_t len)
{
	struct plait_transport *t = plait_self(p, struct plait_wrapper)->above;
	struct throttled *self;
	size_t n = 0;

	if (t == NULL)
		return;
	self = throttled_of(t);
	if (!throttled_holds(self))
		n = asker_take(&self->in, len, t->reactor);
	if (n > 0)
		plait_transport_received(t, data, n);
	if (n == len || plait_transport_is_disconnecting(t))
		return;
	if (throttled_hold(self, (const char *)data + n, len - n) < 0)
		throttled_no_memory(self);
	else
		throttled_settle_input(self);
}

static int throttled_want(struct plait_transport *t, unsigned wants)
{
	throttled_of(t)->wanted = wants & PLAIT_TRANSPORT_WANTS_INPUT;
	throttled_settle_input(throttled_of(t));
	return 0;
}

static void throttled_drained(struct plait_producer *p)
{
	struct throttled *self = plait_container(p, struct throttled, drained);

	self->draining = false;
	plait_transport_unregister_producer(plait_transport_below(&self->base));
	plait_transport_writable(&self->base);
}

static void throttled_drains_no_more(struct plait_producer *p)
{
	plait_container(p, struct throttled, drained)->draining = false;
}

static const struct plait_producer_ops drained_ops = {
	.name = "throttled",
	.resume = throttled_drained,
	.stop = throttled_drains_no_more,
};

/* A slow peer must not take bytes from the bucket that it cannot use. */
static ssize_t throttled_wait_for_peer(struct throttled *self)
{
	asker_stop(&self->out);
	if (self->draining)
		return -EAGAIN;
	self->draining = true;
	plait_transport_register_producer(plait_transport_below(&self->base),
					  &self->drained, false);
	return -EAGAIN;
}

static size_t throttled_size(const struct iovec *pieces, int n)
{
	size_t size = 0;

	for (int i = 0; i < n; i++)
		size += pieces[i].iov_len;
	return size;
}

static ssize_t throttled_send(struct plait_transport *t,
			      const struct iovec *pieces, int n)
{
	struct throttled *self = throttled_of(t);
	struct plait_transport *below = plait_transport_below(t);
	size_t takes, left, len;

	if (plait_transport_unsent(below) > 0)
		return throttled_wait_for_peer(self);
	takes = asker_take(&self->out, throttled_size(pieces, n), t->reactor);
	for (left = takes; left > 0; left -= len) {
		len = fewer_bytes(pieces->iov_len, left);
		plait_transport_write(below, pieces->iov_base, len);
		pieces++;
	}
	return takes > 0 ? (ssize_t)takes : -EAGAIN;
}

/* If the connection is broken, the output may have been dropped. */
static void throttled_send_again(struct asker *a)
{
	struct throttled *self = plait_container(a, struct throttled, out);
	struct plait_transport *t = &self->base;
	struct plait_transport *below = plait_transport_below(t);

	if (below == NULL ||
	    plait_transport_unsent(t) == plait_transport_unsent(below))
		asker_stop(a);
	else
		plait_transport_writable(t);
}

static void throttled_done(struct plait_transport *t)
{
	struct throttled *self = throttled_of(t);

	asker_stop(&self->in);
	asker_stop(&self->out);
	plait_buf_unref(&self->held);
}

static const struct plait_transport_ops throttled_ops = {
	.name = "throttled",
	.size = sizeof(struct throttled),
	.send = throttled_send,
	.want = throttled_want,
	.done = throttled_done,
};

/* Output passes without a copy. */
static const struct plait_transport_ops throttled_input_ops = {
	.name = "throttled",
	.size = sizeof(struct throttled),
	.want = throttled_want,
	.done = throttled_done,
};

/* ---- the factory ----------------------------------------------------- */

static void throttled_made(struct plait_protocol *p)
{
	struct plait_throttled_factory *f =
		plait_self(p->factory, struct plait_throttled_factory);
	struct plait_transport *t = plait_wrapper_transport(p);
	struct throttled *self;

	if (t == NULL)
		return;
	self = throttled_of(t);
	self->in =
		(struct asker){ .bucket = f->in, .go_on = throttled_deliver };
	self->out = (struct asker){ .bucket = f->out,
				    .go_on = throttled_send_again };
	self->drained.ops = &drained_ops;
	plait_wrapper_connection_made(p);
}

static const struct plait_protocol_ops throttled_protocol_ops = {
	.name = "throttled",
	.base_size = sizeof(struct plait_wrapper),
	.connection_made = throttled_made,
	.data_received = throttled_received,
	.read_connection_lost = plait_wrapper_read_connection_lost,
	.write_connection_lost = plait_wrapper_write_connection_lost,
	.done = plait_wrapper_done,
};

void plait_throttled_factory_init(struct plait_throttled_factory *f,
				  struct plait_factory *inner)
{
	static const struct plait_factory_ops factory_ops = {
		PLAIT_WRAPPING_FACTORY,
		.name = "throttled",
	};

	f->base.base.ops = &factory_ops;
	f->base.base.protocol = &throttled_protocol_ops;
	f->base.inner = inner;
	f->base.transport =
		f->out != NULL ? &throttled_ops : &throttled_input_ops;
}
