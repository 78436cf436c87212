/*
 * What the fuzz targets have in common: each is one function that libFuzzer
 * calls with bytes that it makes up.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Aborts if the library does what it must not.  0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes that are left. */
struct fuzz {
	const uint8_t *data;
	size_t left;
};

/* The next byte; 0 when there are no more. */
static inline unsigned fuzz_byte(struct fuzz *f)
{
	if (f->left == 0)
		return 0;
	f->left--;
	return *f->data++;
}

#endif
