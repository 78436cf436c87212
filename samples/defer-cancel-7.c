/*
 * A canceller may return a failure of another kind, even of a kind that the
 * program defines: a kind is the address of a constant.
 */
#include <stdio.h>

#include "common/program.h"

static const struct plait_error error = {
	.name = "Error",
	.text = "Something went wrong in this program.",
	.parent = &plait_error_any,
};

static plait_value cancel(struct plait_deferred *d, void *arg)
{
	printf("I need to cancel this deferred: <Deferred at %p>\n", (void *)d);
	puts("Firing the deferred with an error");
	return plait_fail(&error, "error!");
}

static plait_value got_result(plait_value *result, void *arg)
{
	say("callback got", result);
	return PLAIT_NONE;
}

static plait_value got_failure(plait_value *failure, void *arg)
{
	say("errback got", failure);
	return PLAIT_NONE;
}

int main(int argc, char **argv)
{
	struct program p = { .about = "Answers a cancel with an error." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, cancel, NULL);
	plait_deferred_add_callbacks(d, got_result, NULL, got_failure, NULL);
	plait_deferred_cancel(d);
	puts("done");

	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	return 0;
}
