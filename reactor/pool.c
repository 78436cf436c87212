/*
 * Memory that the connections of a reactor share, so that an idle one holds
 * none: the buffer that all read into, and free blocks for unsent output.
 */
#include <stdlib.h>

#include "reactor/reactor.h"

enum { FREE_BLOCKS = 8 };

void *loop_read_buffer(struct plait_reactor *r)
{
	if (r->pool.read_buffer == NULL)
		r->pool.read_buffer = malloc(LOOP_READ_SIZE);
	return r->pool.read_buffer;
}

void *loop_block_get(struct plait_reactor *r)
{
	void **block = r->pool.blocks;

	if (block == NULL)
		return malloc(LOOP_BLOCK_SIZE);
	r->pool.blocks = *block;
	r->pool.n_blocks--;
	return block;
}

void loop_block_put(struct plait_reactor *r, void *block)
{
	void **next = block;

	if (r->pool.n_blocks >= FREE_BLOCKS) {
		free(block);
		return;
	}
	*next = r->pool.blocks;
	r->pool.blocks = block;
	r->pool.n_blocks++;
}

void pool_done(struct plait_reactor *r)
{
	free(r->pool.read_buffer);
	while (r->pool.blocks != NULL) {
		void **block = r->pool.blocks;

		r->pool.blocks = *block;
		free(block);
	}
}
