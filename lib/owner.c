/* Which thread an object belongs to: see owner.h. */
#include <stdatomic.h>

#include "lib/owner.h"

_Thread_local unsigned owner_self __attribute__((tls_model("initial-exec")));

unsigned owner_begin(void)
{
	static atomic_uint numbers;

	if (owner_self == 0)
		owner_self = atomic_fetch_add(&numbers, 1) + 1;
	return owner_self;
}
