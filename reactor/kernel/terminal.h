/*
 * The handlers of signals that give a terminal its mode back, beside those of
 * the loop.
 */
#ifndef REACTOR_TERMINAL_H
#define REACTOR_TERMINAL_H

#include <signal.h>
#include <stdbool.h>

/* Is the action that of the terminal?  Then the program's is the default. */
bool plait_i_terminal_has_action(int number, const struct sigaction *a);

/* The signal has the program's action again: while a terminal has a mode, its
   handler takes the place of the default. */
void plait_i_terminal_take_signal(int number);

#endif
