/*
 * The tables of a simulated kernel for children and pipes, and for descriptors
 * that a program was given.
 */
#ifndef REACTOR_SIMULATION_CHILDREN_H
#define REACTOR_SIMULATION_CHILDREN_H

#include "reactor/kernel/child.h"
#include "reactor/kernel/end.h"

extern const struct kernel_children plait_i_simulated_children;
extern const struct kernel_ends plait_i_simulated_ends;

#endif
