/*
 * What is told of a run that has failed: which one it was, what is wrong, what
 * had happened last, what is left, and how to repeat that run alone.
 *
 * The text is made at the moment of the failure, in the memory of the check.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "reactor/loop/loop.h"
#include "reactor/simulation/points.h"

enum { REPORT_NS_PER_S = 1000000000 };

const char plait_i_points_variable[] = "PLAIT_CANCEL_POINT";

const char *plait_i_way_name(unsigned how)
{
	static const char *const names[N_WAYS] = {
		"cancel", "free", "scope",  "deadline",
		"loss",	  "stop", "nested", "own",
	};

	return names[__builtin_ctz(how)];
}

static void report_print_head(const struct points *p, struct print *to)
{
	plait_i_print(to, "plait: cancel points: ");
	if (p->number == 0) {
		plait_i_print(to, "nobody ends the run");
		return;
	}
	plait_i_print(to, "point %zu, way %s", p->number,
		      plait_i_way_name(p->how));
	if (p->point.inside)
		plait_i_print(to, ", inside a callback");
	if (p->again)
		plait_i_print(to, ", and then once more on this reactor");
}

static void report_print(const struct points *p, struct print *to,
			 const char *text)
{
	report_print_head(p, to);
	plait_i_print(to, ", at %.3f s: %s\n", p->report.seconds, text);
	plait_i_print(to, "  what has happened last:\n");
	plait_i_live_print_tail(&p->live, to);
	if (p->live.left > 0) {
		plait_i_print(to, "  what is there and was not before:\n");
		plait_i_live_print_left(&p->live, to);
	}
	if (p->number != 0)
		plait_i_print(to, "  this point alone: %s=%zu/%s\n",
			      plait_i_points_variable, p->number,
			      plait_i_way_name(p->how));
}

static void report_say(struct points *p, const char *text)
{
	struct print to = { .to = plait_buf_new(PLAIT_BUF_UNBOUNDED) };
	size_t room = sizeof(p->report.text) - 1, n;

	if (to.to == NULL) {
		snprintf(p->report.text, room, "plait: %s\n", text);
		return;
	}
	report_print(p, &to, text);
	n = plait_buf_size(to.to);
	if (n > room)
		n = room;
	memcpy(p->report.text, plait_buf_data(to.to), n);
	p->report.text[n] = '\0';
	plait_buf_unref(&to.to);
}

void plait_i_points_fail(struct points *p, const char *fmt, ...)
{
	char text[600];
	va_list args;

	if (p->failed)
		return;
	p->failed = true;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	p->report.point = p->number;
	p->report.how = p->number != 0 ? p->how : 0;
	p->report.seconds = p->reactor != NULL
				    ? (double)plait_i_clock_read(p->reactor) /
					      REPORT_NS_PER_S
				    : 0;
	report_say(p, text);
}
