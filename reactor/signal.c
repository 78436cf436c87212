/*
 * SIGINT and SIGTERM stop a running reactor, and SIGPIPE never kills; one that
 * the program names makes a reactor say what is pending, as long as it lives.
 *
 * Signals belong to the process, so this holds the library's only state that
 * is not a reactor's, but for the count of forks: which reactor has the
 * signals.  Of those that stop, it is the first to run; another that runs
 * meanwhile leaves them alone.  Only what had its default action is taken, and
 * given back when the run ends unless somebody else has set it since.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <plait/debug.h>

#include "reactor/reactor.h"

static const int numbers[] = { SIGINT, SIGTERM, SIGPIPE };
enum { N_SIGNALS = sizeof(numbers) / sizeof(numbers[0]) };

static _Atomic(struct plait_reactor *) owner, dumper;
static atomic_int handling; /* handlers that may be looking at the owner */

/* A child that was forked from a running reactor dies as it would have. */
static void die_of(int signo)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(signo, &action, NULL);
	kill(getpid(), signo);
}

static void tell(struct plait_reactor *r, atomic_bool *arrived, int signo)
{
	if (loop_is_forked(r)) {
		die_of(signo);
	} else {
		atomic_store(arrived, true);
		thread_wake(r);
	}
}

/* Nothing in here may change errno. */
static void on_signal(int signo)
{
	struct plait_reactor *r;

	atomic_fetch_add(&handling, 1);
	r = atomic_load(&owner);
	if (r != NULL)
		tell(r, &r->signals.arrived, signo);
	atomic_fetch_sub(&handling, 1);
}

static void on_dump(int signo)
{
	struct plait_reactor *r;

	atomic_fetch_add(&handling, 1);
	r = atomic_load(&dumper);
	if (r != NULL)
		tell(r, &r->signals.dump_arrived, signo);
	atomic_fetch_sub(&handling, 1);
}

/* A handler in another thread may have read the owner just before. */
static void wait_for_handlers(void)
{
	while (atomic_load(&handling) > 0)
		sched_yield();
}

typedef void handler(int signo);

static handler *handler_of(int signo)
{
	return signo == SIGPIPE ? SIG_IGN : on_signal;
}

/* Takes numbers[i] if nobody has it.  0 or -errno. */
static int take(struct plait_reactor *r, int i)
{
	struct sigaction action = {
		.sa_handler = handler_of(numbers[i]),
		.sa_flags = SA_RESTART,
	};

	if (sigaction(numbers[i], NULL, &r->signals.old[i]) < 0)
		return -errno;
	if (r->signals.old[i].sa_handler != SIG_DFL)
		return 0;
	if (sigaction(numbers[i], &action, NULL) < 0)
		return -errno;
	r->signals.taken |= 1u << i;
	return 0;
}

static void give_back(struct plait_reactor *r, int i)
{
	struct sigaction now;

	if (sigaction(numbers[i], NULL, &now) == 0 &&
	    now.sa_handler == handler_of(numbers[i]))
		sigaction(numbers[i], &r->signals.old[i], NULL);
}

int signal_take(struct plait_reactor *r)
{
	struct plait_reactor *nobody = NULL;
	int rc = 0;

	if (!atomic_compare_exchange_strong(&owner, &nobody, r))
		return 0;
	atomic_store(&r->signals.arrived, false);
	for (int i = 0; i < N_SIGNALS && rc == 0; i++)
		rc = take(r, i);
	if (rc < 0)
		signal_release(r);
	return rc;
}

void signal_release(struct plait_reactor *r)
{
	if (atomic_load(&owner) != r)
		return;
	for (int i = 0; i < N_SIGNALS; i++) {
		if (r->signals.taken & 1u << i)
			give_back(r, i);
	}
	r->signals.taken = 0;
	atomic_store(&owner, NULL);
	wait_for_handlers();
}

static bool take_mark(atomic_bool *arrived)
{
	return atomic_load_explicit(arrived, memory_order_relaxed) &&
	       atomic_exchange(arrived, false);
}

bool signal_take_arrived(struct plait_reactor *r)
{
	return take_mark(&r->signals.arrived);
}

bool signal_take_dump(struct plait_reactor *r)
{
	return take_mark(&r->signals.dump_arrived);
}

void signal_done(struct plait_reactor *r)
{
	struct signals *s = &r->signals;
	struct sigaction now;

	if (atomic_load(&dumper) != r)
		return;
	if (s->dump_number != 0 && sigaction(s->dump_number, NULL, &now) == 0 &&
	    now.sa_handler == on_dump)
		sigaction(s->dump_number, &s->dump_old, NULL);
	s->dump_number = 0;
	atomic_store(&dumper, NULL);
	wait_for_handlers();
}

int plait_reactor_dump_on_signal(struct plait_reactor *r, int signal)
{
	struct sigaction action = { .sa_handler = on_dump,
				    .sa_flags = SA_RESTART };
	struct plait_reactor *nobody = NULL;
	int err;

	if (loop_is_forked(r))
		return -ECHILD;
	signal_done(r);
	if (!atomic_compare_exchange_strong(&dumper, &nobody, r))
		return -EBUSY;
	if (sigaction(signal, &action, &r->signals.dump_old) < 0) {
		err = errno;
		signal_done(r);
		return -err;
	}
	r->signals.dump_number = signal;
	return 0;
}
