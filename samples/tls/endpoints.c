/*
 * Linked into a sample that takes endpoints, this lets it take those of the
 * kind tls as well, such as
 *
 *	get-poetry tls:poetry.example:10000
 *
 * The sample itself needs no TLS, and is built without this where libplait-tls
 * is not.  A program of your own calls the function at the beginning of main().
 */
#include <stdlib.h>

#include <plait/tls.h>

__attribute__((constructor)) static void endpoints_begin(void)
{
	if (plait_tls_register_endpoints() < 0)
		abort();
}
