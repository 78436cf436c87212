/*
 * What a reactor writes to standard error: what is pending, when the signal of
 * plait_reactor_dump_on_signal() has come; and a line for each turn, if
 * PLAIT_DEBUG asks for it.
 */
#include <inttypes.h>
#include <stdio.h>

#include <plait/debug.h>

#include "lib/base.h"
#include "reactor/loop/parts.h"

/* Returns 0 or an error of plait_buf_append(). */
static int report_describe_pending(struct plait_buf *b)
{
	size_t before;
	int r = plait_buf_printf(b, "plait: pending deferreds:\n");

	if (r < 0)
		return r;
	before = plait_buf_size(b);
	r = plait_deferred_dump(b);
	if (r == 0 && plait_buf_size(b) == before)
		r = plait_buf_printf(b, "none\n");
	return r;
}

void plait_i_report_pending(void)
{
	static const char no_memory[] =
		"plait: no memory to say what is pending\n";
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (b != NULL && report_describe_pending(b) == 0)
		plait_i_base_say(plait_buf_data(b), plait_buf_size(b));
	else
		plait_i_base_say(no_memory, sizeof(no_memory) - 1);
	plait_buf_unref(&b);
}

void plait_i_report_turn(const struct plait_reactor *r)
{
	char line[128];
	int len;

	len = snprintf(
		line, sizeof(line),
		"plait: turn %" PRIu64 ": %u events, %u timers, %u calls\n",
		r->turns, r->counts.events, r->counts.timers, r->counts.calls);
	plait_i_base_say(line, (size_t)len);
}
