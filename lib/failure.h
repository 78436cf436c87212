/*
 * The inside of a failure, for code that makes a failure without malloc().  A
 * deferred embeds the failure that a cancel needs.  So cancelling needs no
 * allocation, and the failure still says who cancelled.
 */
#ifndef LIB_FAILURE_H
#define LIB_FAILURE_H

#include <plait/failure.h>

struct plait_failure {
	unsigned refs; /* 0: static, never counted */
	int err;
	const struct plait_error *kind;
	const char *message; /* right behind the struct, or static */
	const char *where; /* of a cancellation: where somebody has cancelled */
	const char *reason;		   /* NULL: nobody has cancelled */
	const struct plait_failure *cause; /* this failure holds a reference */
	plait_value detail;
	/* Called when the last reference has ended; NULL means free(). */
	void (*release)(struct plait_failure *f);
};

/* The fields of a failure that has nothing more to say. */
#define FAILURE_SILENT .message = ""

/* The failures of plait_cancelled() and plait_no_memory(). */
extern const struct plait_failure plait_i_failure_cancelled;
extern const struct plait_failure plait_i_failure_no_memory;

/* The reason that a program gives; NULL stands for the lack of memory. */
static inline const struct plait_failure *
failure_given(const struct plait_failure *why)
{
	return why != NULL ? why : &plait_i_failure_no_memory;
}

/*
 * Makes an embedded failure, with one reference, without message and cause.
 * release is called when the last reference has ended; it may free the memory
 * around f.
 */
void plait_i_failure_init(struct plait_failure *f,
			  const struct plait_error *kind, const char *where,
			  void (*release)(struct plait_failure *f));

/* Returns the failure in a new value, with the value's reference. */
static inline const struct plait_failure *failure_in(plait_value v)
{
	return plait_value_failure(&v);
}

/*
 * Makes a failure of all that a failure may have: err may be 0, cause NULL and
 * detail none.  Takes detail.
 */
plait_value plait_i_failure_of(const char *where,
			       const struct plait_error *kind, int err,
			       const struct plait_failure *cause,
			       plait_value detail, const char *fmt, ...)
	PLAIT_PRINTF(6, 7);

/* Makes a cancellation with this reason, as if a cancel had made it. */
plait_value plait_i_failure_cancelled_by(const char *reason, const char *where);

#endif
