/*
 * The children that this process has from plait: see family.h.
 *
 * The list belongs to the process, as children do.  A child of the process has
 * none of them, so it begins with an empty list.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "reactor/child/family.h"

static pthread_mutex_t family_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plait_list family_members = { &family_members, &family_members };
static unsigned family_expected; /* children that are being made */

/* ---- forks --------------------------------------------------------------- */

static void family_before_fork(void)
{
	pthread_mutex_lock(&family_lock);
}

static void family_in_parent(void)
{
	pthread_mutex_unlock(&family_lock);
}

static void family_in_child(void)
{
	struct plait_list *l;

	while ((l = plait_list_first(&family_members)) != NULL)
		plait_list_remove(l);
	family_expected = 0;
	pthread_mutex_unlock(&family_lock);
}

/* If two threads come here together, the second may fork a moment too early. */
static int family_watch_forks(void)
{
	static atomic_bool watching;
	int rc = 0;

	if (!atomic_exchange(&watching, true))
		rc = -pthread_atfork(family_before_fork, family_in_parent,
				     family_in_child);
	if (rc < 0)
		atomic_store(&watching, false);
	return rc;
}

/* ---- members ------------------------------------------------------------- */

int plait_i_family_expect(void)
{
	int rc = family_watch_forks();

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&family_lock);
	family_expected++;
	pthread_mutex_unlock(&family_lock);
	return 0;
}

void plait_i_family_join(struct family_member *m, pid_t pid)
{
	pthread_mutex_lock(&family_lock);
	family_expected--;
	m->pid = pid;
	if (pid > 0)
		plait_list_append(&family_members, &m->link);
	pthread_mutex_unlock(&family_lock);
}

void plait_i_family_leave(struct family_member *m)
{
	pthread_mutex_lock(&family_lock);
	plait_list_remove(&m->link);
	pthread_mutex_unlock(&family_lock);
}

/* ---- who is who ---------------------------------------------------------- */

static bool family_knows(pid_t pid)
{
	struct plait_list *l;

	plait_list_for_each (l, &family_members) {
		if (plait_container(l, struct family_member, link)->pid == pid)
			return true;
	}
	return false;
}

bool plait_i_family_has(pid_t pid)
{
	bool has;

	pthread_mutex_lock(&family_lock);
	has = family_knows(pid);
	pthread_mutex_unlock(&family_lock);
	return has;
}

bool plait_i_family_hold_stranger(pid_t pid)
{
	pthread_mutex_lock(&family_lock);
	if (family_expected == 0 && !family_knows(pid))
		return true;
	pthread_mutex_unlock(&family_lock);
	return false;
}

void plait_i_family_go_on(void)
{
	pthread_mutex_unlock(&family_lock);
}
