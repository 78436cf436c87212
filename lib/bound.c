/* Callbacks for languages whose functions cannot return a struct. */
#include <plait/bound.h>

#include "lib/base.h"
#include "lib/exception.h"

OUT_OF_LINE plait_value plait_bound_callback(plait_value *result, void *arg)
{
	const struct plait_bound *b = arg;

	b->fn(result, b->arg);
	exception_barrier();
	return *result;
}

OUT_OF_LINE plait_value plait_bound_canceller(struct plait_deferred *d,
					      void *arg)
{
	const struct plait_bound *b = arg;
	plait_value v = plait_cancelled();

	b->fn(&v, b->arg);
	exception_barrier();
	return v;
}

OUT_OF_LINE plait_value plait_bound_operation(void *arg)
{
	const struct plait_bound *b = arg;
	plait_value v = PLAIT_NONE;

	b->fn(&v, b->arg);
	exception_barrier();
	return v;
}
