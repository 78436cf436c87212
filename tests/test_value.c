/*
 * Values: what a slot does with what it holds, and that reading one as what
 * it is not is the end of the program.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

static const struct plait_type thing_type = { .name = "thing" };
static const struct plait_type apple_type = { .name = "apple" };

GROUP("slot", .setup = steps_setup);

TEST(zeroed_value_is_none, PURE)
{
	plait_value v = { NULL, NULL };

	ck_assert(plait_value_is_none(&v));
	ck_assert(!plait_value_is_failure(&v));
}

TEST(taking_empties_the_slot, PURE)
{
	plait_value slot = tracked("v");
	plait_value v = plait_value_take(&slot);

	ck_assert(plait_value_is_none(&slot));
	ck_assert_uint_eq(tracked_live(), 1);
	plait_value_free(&v);
	ck_assert_uint_eq(tracked_live(), 0);
}

TEST(freeing_a_slot_twice_frees_once, PURE)
{
	plait_value slot = tracked("v");

	plait_value_free(&slot);
	ck_assert(plait_value_is_none(&slot));
	plait_value_free(&slot);
	ck_assert_str_eq(trace(), "~v");
}

static plait_value *slot_of_nosy;

static void nosy_free(void *ptr)
{
	ck_assert(plait_value_is_none(slot_of_nosy));
	plait_value_free(slot_of_nosy);
	++*(int *)ptr;
}

static const struct plait_type nosy_type = {
	.name = "nosy",
	.free = nosy_free,
};

TEST(free_of_a_type_finds_the_slot_empty_already, PURE)
{
	int freed = 0;
	plait_value slot = plait_value_make(&nosy_type, &freed);

	slot_of_nosy = &slot;
	plait_value_free(&slot);
	ck_assert_int_eq(freed, 1);
}

TEST(type_without_free_is_just_forgotten, PURE)
{
	int x;
	plait_value slot = plait_value_make(&thing_type, &x);

	plait_value_free(&slot);
	ck_assert(plait_value_is_none(&slot));
}

GROUP("type");

TEST(numbers_and_text_need_no_memory, PURE)
{
	unsigned long calls = heap_calls();
	plait_value n = plait_int(INTPTR_MIN), t = plait_text("poem");

	ck_assert(plait_value_int(&n) == INTPTR_MIN);
	ck_assert_str_eq(plait_value_text(&t), "poem");
	plait_value_free(&n);
	plait_value_free(&t);
	ck_assert_uint_eq(heap_calls(), calls);
}

TEST(get_gives_the_pointer_of_the_right_type, PURE)
{
	int x;
	plait_value v = plait_value_make(&thing_type, &x);

	ck_assert(plait_value_is(&v, &thing_type));
	ck_assert(!plait_value_is(&v, &apple_type));
	ck_assert_ptr_eq(plait_value_get(&v, &thing_type), &x);
}

static void as_buf(void *v)
{
	plait_value_buf(v);
}

static void as_int(void *v)
{
	plait_value_int(v);
}

static void as_text(void *v)
{
	plait_value_text(v);
}

static void as_failure(void *v)
{
	plait_value_failure(v);
}

static void as_none(void *v)
{
	plait_value_get(v, NULL);
}

static void as_apple(void *v)
{
	plait_value_get(v, &apple_type);
}

static unsigned counted;

static void counted_free(void *ptr)
{
	counted--;
}

static void *counted_ref(void *ptr)
{
	counted++;
	return ptr;
}

static const struct plait_type counted_type = {
	.name = "counted",
	.free = counted_free,
	.ref = counted_ref,
};

TEST(further_reference_is_freed_on_its_own, PURE)
{
	plait_value v = plait_value_make(&counted_type, &counted), other;

	counted = 1;
	other = plait_value_ref(&v);
	ck_assert_uint_eq(counted, 2);
	plait_value_free(&v);
	plait_value_free(&other);
	ck_assert_uint_eq(counted, 0);
}

TEST(what_needs_no_freeing_is_just_copied, PURE)
{
	plait_value none = PLAIT_NONE, five = plait_int(5), v;

	v = plait_value_ref(&none);
	ck_assert(plait_value_is_none(&v));
	v = plait_value_ref(&five);
	ck_assert_int_eq(plait_value_int(&v), 5);
}

TEST(failure_and_its_reference_are_one, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "no");
	plait_value other = plait_value_ref(&v);

	ck_assert_ptr_eq(plait_value_failure(&v), plait_value_failure(&other));
	plait_value_free(&v);
	ck_assert_str_eq(plait_failure_message(plait_value_failure(&other)),
			 "no");
	plait_value_free(&other);
}

static void share_what_has_one_owner(void *arg)
{
	plait_value v = tracked("v");

	plait_value_ref(&v);
}

TEST(sharing_what_has_but_one_owner_aborts, PURE)
{
	assert_aborts(share_what_has_one_owner, NULL,
		      "a value of type tracked can have only one owner");
}

/* Each function that insists on a type, as a program calls it. */
static void read_wrongly(void *arg)
{
	plait_value v = tracked("v"), *slot = &v;
	struct plait_deferred *d = NULL;

	switch (*(int *)arg) {
	case 0:
		plait_value_get(slot, &plait_int_type);
		break;
	case 1:
		plait_value_int(slot);
		break;
	case 2:
		plait_value_text(slot);
		break;
	case 3:
		plait_value_failure(slot);
		break;
	case 4:
		plait_value_buf(slot);
		break;
	case 5:
		plait_value_values(slot);
		break;
	case 6:
		plait_value_indexed(slot);
		break;
	case 7:
		plait_value_client(slot);
		break;
	case 8:
		plait_client_take(slot);
		break;
	case 9:
		d = plait_failed(v);
		break;
	case 10:
		plait_value_ref(slot);
		break;
	case 11:
		plait_then_write(slot, NULL);
		break;
	}
	plait_deferred_free(&d);
}

enum { WRONG_READERS = 12, FIRST_LINE = __LINE__ - 39 };

TEST(wrong_type_names_the_line_of_the_program, PURE, TIMES(WRONG_READERS))
{
	char says[128];

	snprintf(says, sizeof(says), "plait: %s:%d: ", __FILE__,
		 FIRST_LINE + 3 * _i);
	if (_i == WRONG_READERS - 1)
		snprintf(says, sizeof(says), "plait: plait_then_write(): ");
	assert_aborts(read_wrongly, &_i, says);
}

TEST(reading_another_type_aborts_and_names_both, PURE)
{
	plait_value n = plait_int(1), none = PLAIT_NONE;
	plait_value gone = plait_cancelled();

	assert_aborts(as_buf, &n, "value is an int, not a buf\n");
	assert_aborts(as_int, &none, "value is none, not an int\n");
	assert_aborts(as_text, &n, "value is an int, not a text\n");
	assert_aborts(as_failure, &n, "value is an int, not a failure\n");
	assert_aborts(as_none, &gone, "value is a failure, not none\n");
	assert_aborts(as_apple, &gone, "value is a failure, not an apple\n");
}

static const char *str(plait_value v)
{
	static char buf[32];
	int len = plait_value_str(&v, buf, sizeof(buf));

	ck_assert_int_eq(len, (int)strlen(buf));
	plait_value_free(&v);
	return buf;
}

GROUP("text");

TEST(every_value_has_a_text, PURE)
{
	ck_assert_str_eq(str(PLAIT_NONE), "none");
	ck_assert_str_eq(str(plait_int(-42)), "-42");
	ck_assert_str_eq(str(plait_text("poem")), "poem");
	ck_assert_str_eq(str(plait_text(NULL)), "");
	ck_assert_str_eq(str(plait_value_make(&thing_type, NULL)), "<thing>");
	ck_assert_str_eq(str(plait_cancelled()), "CancelledError");
	ck_assert_str_eq(str(plait_buf_value(plait_buf_copy("ab", 2))), "ab");
}

TEST(text_that_is_cut_says_how_long_it_would_be, PURE)
{
	plait_value v = plait_text("midnight");
	char buf[4];

	ck_assert_int_eq(plait_value_str(&v, buf, sizeof(buf)), 8);
	ck_assert_str_eq(buf, "mid");
	ck_assert_int_eq(plait_value_str(&v, NULL, 0), 8);
}

static void die(void *arg)
{
	plait_die("here.c:1", "%s", (const char *)arg);
}

static void assert_falsehood(void *arg)
{
	plait_assert(arg != NULL);
}

GROUP("death");

TEST(dying_says_where_and_why_in_one_line, PURE)
{
	char text[] = "no such thing";
	const char *said;

	ck_assert_int_eq(child_run(die, text, &said), CHILD_ABORTED);
	ck_assert_str_eq(said, "plait: here.c:1: no such thing\n");
}

TEST(dying_of_a_long_story_cuts_it, PURE)
{
	char text[2000];
	const char *said;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(child_run(die, text, &said), CHILD_ABORTED);
	ck_assert_uint_lt(strlen(said), 600);
	ck_assert_int_eq(said[strlen(said) - 1], '\n');
}

static void die_of_bad_format(void *arg)
{
	static const wchar_t no_character[] = { 0x7fffffff, 0 };

	plait_die("here.c:1", "%ls", no_character);
}

TEST(dying_works_even_if_the_story_cannot_be_told, PURE)
{
	assert_aborts(die_of_bad_format, NULL, "plait: here.c:1: ");
}

static void die_interrupted(void *arg)
{
	fault_call("write", 2, EINTR);
	plait_die("here.c:1", "still heard");
}

TEST(dying_is_heard_though_a_signal_interrupts, PURE)
{
	assert_aborts(die_interrupted, NULL, "plait: here.c:1: still heard\n");
}

TEST(assertion_prints_its_condition, PURE)
{
	assert_aborts(assert_falsehood, NULL, ": arg != NULL\n");
}

TEST(version_that_runs_is_the_version_compiled_for, PURE)
{
	char text[32];

	ck_assert_str_eq(plait_version(), PLAIT_VERSION);
	snprintf(text, sizeof(text), "%d.%d.%d", PLAIT_VERSION_NUMBER >> 16,
		 PLAIT_VERSION_NUMBER >> 8 & 0xff, PLAIT_VERSION_NUMBER & 0xff);
	ck_assert_str_eq(plait_version(), text);
}
