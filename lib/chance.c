/*
 * The marks of programs: whatever they do, the hook of a simulation does.
 */
#include "lib/chance.h"

_Thread_local struct chance_hook *plait_i_chance_hook
	__attribute__((tls_model("initial-exec")));

bool plait_maybe(double probability, const char *where)
{
	struct chance_hook *h = plait_i_chance_hook;

	return __builtin_expect(h != NULL, 0) &&
	       h->maybe(h, probability, where);
}

bool plait_sometimes(bool condition, const char *what, const char *where)
{
	struct chance_hook *h = plait_i_chance_hook;

	if (__builtin_expect(h != NULL, 0))
		h->sometimes(h, condition, what, where);
	return condition;
}
