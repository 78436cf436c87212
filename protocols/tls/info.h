/* What a connection has agreed on, as the program sees it. */
#ifndef PROTOCOLS_TLS_INFO_H
#define PROTOCOLS_TLS_INFO_H

#include "protocols/tls/connection.h"

/*
 * Fills in *ret; what it borrows is in *memory, which the caller frees. Returns
 * 0 or -ENOMEM.
 */
int plait_i_tls_info_make(const struct tls *t, struct plait_tls_info *ret,
			  void **memory);

#endif
