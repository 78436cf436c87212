/*
 * The inside of a failure, for those who make one without malloc(): a
 * deferred embeds the failure that a cancel needs, so that cancelling costs
 * no allocation and yet can say who asked.
 */
#ifndef LIB_FAILURE_H
#define LIB_FAILURE_H

#include <plait/failure.h>

struct plait_failure {
	unsigned refs; /* 0: static, never counted */
	int err;
	const struct plait_error *kind;
	const char *message; /* right behind the struct, or static */
	const char *where;
	const struct plait_failure *cause; /* a reference of this one's own */
	const char *cancelled_at, *reason; /* never NULL */
	plait_value detail;
	/* When the last reference has ended; NULL: free(). */
	void (*release)(struct plait_failure *f);
};

/* What a failure has in common with all that have nothing more to say. */
#define FAILURE_SILENT .message = "", .cancelled_at = "", .reason = ""

/* What plait_cancelled() and plait_no_memory() give. */
extern const struct plait_failure plait_i_failure_cancelled;
extern const struct plait_failure plait_i_failure_no_memory;

/*
 * An embedded one: one reference, no message, no cause.  release is told when
 * the last reference has ended; it may free what f lies in.
 */
void plait_i_failure_init(struct plait_failure *f,
			  const struct plait_error *kind, const char *where,
			  void (*release)(struct plait_failure *f));

/* The failure that a new value is, with the value's reference. */
static inline const struct plait_failure *failure_in(plait_value v)
{
	return plait_value_failure(&v);
}

/* As plait_fail_because(), for an errno as well. */
plait_value plait_i_failure_caused(const char *where,
				   const struct plait_error *kind, int err,
				   const struct plait_failure *cause,
				   const char *fmt, ...) PLAIT_PRINTF(5, 6);

/* As plait_fail_with(), for an errno as well. */
plait_value plait_i_failure_with(const char *where,
				 const struct plait_error *kind, int err,
				 plait_value detail, const char *fmt, ...)
	PLAIT_PRINTF(5, 6);

/* A cancellation that says that, as if a cancel of its own had made it. */
plait_value plait_i_failure_cancelled_by(const char *reason, const char *where);

#endif
