/*
 * The functions of libplait-tls, each called with its handles NULL, as
 * test_null.c does it for libplait; scripts/check-null reads the rows.
 */
#include <plait/tls.h>

#include "tests/harness.h"

#define GIVES(function, parameter, value, ...)                                 \
	ck_assert_msg((__VA_ARGS__) == (value), "%s", #function)

TEST(a_null_failure_has_no_numbers, PURE)
{
	GIVES(plait_tls_failure_alert, f, -1, plait_tls_failure_alert(NULL));
	GIVES(plait_tls_failure_verify_error, f, 0,
	      plait_tls_failure_verify_error(NULL));
}
