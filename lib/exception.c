/*
 * What stops the exceptions of C++ callbacks: see exception.h.
 *
 * The C++ ABI calls this a personality routine.  It calls nothing of the
 * unwinder, so C programs need no further library.  When it refuses, the throw
 * calls std::terminate(): the default handler prints what was thrown and
 * aborts.  The stack still stands then, so a debugger shows who threw.
 */
#include "lib/exception.h"

_Unwind_Reason_Code plait_i_exception_refuse(int version,
					     _Unwind_Action actions,
					     _Unwind_Exception_Class language,
					     struct _Unwind_Exception *e,
					     struct _Unwind_Context *context)
{
	static const char text[] =
		"plait: a callback must not throw an exception: see "
		"plait_cxx(7)\n";

	/* The thread ends: pthread_exit(), pthread_cancel(). */
	if (actions & _UA_FORCE_UNWIND)
		return _URC_CONTINUE_UNWIND;
	plait_i_base_say(text, sizeof(text) - 1);
	return _URC_FATAL_PHASE1_ERROR;
}
