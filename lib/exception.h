/*
 * A C++ callback that throws ends the program.  The exception would leave
 * deferreds that are running and lists that are half linked, so nobody could go
 * on behind it.
 */
#ifndef LIB_EXCEPTION_H
#define LIB_EXCEPTION_H

#include <unwind.h>

#include "lib/base.h"

/*
 * The unwinder asks this before an exception leaves a function with a barrier.
 * Nothing of the stack is unwound by then.
 */
__attribute__((visibility("hidden"))) _Unwind_Reason_Code
plait_i_exception_refuse(int version, _Unwind_Action actions,
			 _Unwind_Exception_Class language,
			 struct _Unwind_Exception *e,
			 struct _Unwind_Context *context);

/*
 * No exception passes a function that holds this.  It stands behind the call
 * of the program: a call that is the last act of a function may be compiled to
 * a jump, and then the function has no frame that could stop anything.
 *
 * The function must be OUT_OF_LINE.  A compiler that optimises at link time
 * could put it into a function of a C++ program, and stop exceptions there.
 *
 * This is no code.  It is an entry in the table that is read when something is
 * thrown, and only the assembler can write that entry for a C function.
 */
__attribute__((always_inline)) static inline void exception_barrier(void)
{
#if defined(__ELF__) && defined(__GCC_HAVE_DWARF2_CFI_ASM)
#if defined(__x86_64__)
	__asm__ volatile(".cfi_personality 0x1b, %c0"
			 :
			 : "i"(plait_i_exception_refuse));
#elif defined(__aarch64__)
	__asm__ volatile(".cfi_personality 0x1b, %c0"
			 :
			 : "Si"(plait_i_exception_refuse));
#endif
#endif
}

#endif
