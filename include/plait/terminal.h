/*
 * The mode of a terminal.
 */
#ifndef PLAIT_TERMINAL_H
#define PLAIT_TERMINAL_H

#ifdef __cplusplus
extern "C" {
#endif

enum plait_terminal_mode {
	PLAIT_TERMINAL_AS_IT_WAS,
	/* Keys come one by one, and are not shown.  Ctrl-C and Ctrl-Z still
	   raise their signals. */
	PLAIT_TERMINAL_KEYS,
	/* ... and no key means anything: Ctrl-C is the byte 3. */
	PLAIT_TERMINAL_RAW
};

/*
 * Sets the mode of the terminal fd, of which the library keeps a copy.  Its
 * mode of before comes back with PLAIT_TERMINAL_AS_IT_WAS; when the program
 * exits; when a signal ends it whose action was the default; and while the
 * program is stopped by SIGTSTP.  When it goes on, its mode comes back.
 *
 * The process has one such terminal at a time.  Call this in one thread only.
 * Returns 0; -EBUSY if another terminal has a mode; -EINVAL if there is no such
 * mode; -ENOTTY if fd is no terminal; -EBADF, -EMFILE, -EIO and others of the
 * kernel.
 */
int plait_terminal_set_mode(int fd, enum plait_terminal_mode mode);

#ifdef __cplusplus
}
#endif

#endif
