/* Which thread an object belongs to: see owner.h. */
#include <stdatomic.h>

#include "lib/owner.h"

_Thread_local unsigned plait_i_owner_self
	__attribute__((tls_model("initial-exec")));

unsigned plait_i_owner_begin(void)
{
	static atomic_uint numbers;

	if (plait_i_owner_self == 0)
		plait_i_owner_self = atomic_fetch_add(&numbers, 1) + 1;
	return plait_i_owner_self;
}
