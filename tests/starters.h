/*
 * Every public function that returns a deferred, as programs use it, in each
 * state that it can find: a lock that is free, held, or has a line; a client
 * whose server answers, refuses or is silent.
 *
 * A starter is one such use.  It runs in a scene, which has the objects that
 * the function needs.  What a function waits for are the works of its scene:
 * a timer each, or, in a composition, another scene.  So a lock_run() in a
 * timeout in a gather is a tree of three scenes.
 *
 * scripts/check-cancel sees to it that the table in starters.c has every
 * function.
 */
#ifndef TESTS_STARTERS_H
#define TESTS_STARTERS_H

#include <stdbool.h>

#include <plait/plait.h>

#include "tests/servers.h"

enum { MAX_WORKS = 8 };

/* How long a work without a scene takes: twice this, in seconds. */
#define TURN 0.25

struct scene;

struct starter {
	const char *name;  /* of the function */
	const char *state; /* that it finds */
	struct plait_deferred *(*start)(struct scene *s);
	void (*stop)(struct scene *s); /* NULL: there is nothing */
	unsigned works;		       /* how many of its works may be scenes */
	bool at_once;		       /* it has fired when it is returned */
	bool goes_on;	    /* a cancel only ends the wait: the work goes on */
	bool fails;	    /* it ends in a failure, if nobody cancels it */
	bool answers;	    /* its canceller answers something else */
	bool fires_late;    /* what fires it does not know of a cancel */
	bool others;	    /* who wait beside it, and go on */
	bool is_alone;	    /* it can be no part of a composition */
	bool needs_sockets; /* a testing reactor cannot do this */
	bool has_threads;   /* where time is real, so no run is like another */
};

extern const struct starter starters[];
extern const int n_starters;

/* That one of them; the test fails if there is none. */
const struct starter *starter_of(const char *name, const char *state);

struct work {
	struct scene *scene;
	struct plait_timer timer;
	struct plait_promise *promise;
};

struct scene {
	/* What it is, which stays when it is started again. */
	const struct starter *starter;
	struct scene *parts[MAX_WORKS]; /* scenes instead of works, or NULL */
	bool lenient; /* anything may fail: only what is left is checked */

	/* What happens in it. */
	struct plait_reactor *reactor;
	struct work works[MAX_WORKS];
	unsigned begun;	  /* of those */
	unsigned running; /* ... and not over */
	unsigned started; /* how often this was started and has not settled */
	unsigned settled; /* how often its deferred was seen to fire */
	bool failed;	  /* ... with a failure */

	struct plait_timer timer; /* for what is done to it from elsewhere */
	struct caller caller;
	struct plait_port *port;
	struct plait_lock *lock;
	struct plait_semaphore *semaphore;
	struct plait_queue *queue;
	struct plait_shared *shared;
	struct plait_event *event;
	struct plait_pool *pool;
	struct plait_resolver *resolver;
	struct plait_looping_call *looping_call;
	struct plait_cooperator *cooperator;
	struct plait_client_service *service;
	struct plait_coiterator *tasks[2];
	struct plait_scope *scope, *inner;
	struct plait_scope_entry entry;
	struct plait_deferred *others[3]; /* who waits for the same */
	plait_value held;
	unsigned steps;
	unsigned aside; /* of another task */
};

/*
 * Starts the scene, of whatever state it is, on that reactor.  What it did
 * before is over: it was stopped, or never started.
 */
struct plait_deferred *scene_start(struct scene *s, struct plait_reactor *r);

/*
 * The next work of a scene, and the same as a callback: for starters of other
 * files.
 */
struct plait_deferred *scene_work(struct scene *s);
plait_value scene_then_work(plait_value *result, void *scene);

/*
 * Stops what the scene and its parts still do, and frees their objects.
 * Returns NULL if these are as they must be when the deferred has settled, or
 * what is wrong, valid until the next call.
 */
const char *scene_stop(struct scene *s);

/* True if a work of the scene or of a part of it is under way that a cancel
   should have stopped. */
bool scene_is_working(const struct scene *s);

#endif
