/*
 * The kinds of failures of connecting and of connections, declared in
 * <plait/failure.h>.  ConnectError and what lookups add to it are in names/.
 */
#include "reactor/net/errors.h"

const struct plait_error plait_error_connection_refused = {
	.name = "ConnectionRefusedError",
	.text = "Nobody listens at that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_no_route = {
	.name = "NoRouteError",
	.text = "There is no route to that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_tcp_timed_out = {
	.name = "TCPTimedOutError",
	.text = "The system got no answer from that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_bind = {
	.name = "ConnectBindError",
	.text = "The connection could not start from the wanted address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_user = {
	.name = "UserError",
	.text = "The program itself stopped the attempt.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_connect_timeout = {
	.name = "ConnectTimeoutError",
	.text = "The connection was not made in time.",
	.parent = &plait_error_user,
};

const struct plait_error plait_error_connection_closed = {
	.name = "ConnectionClosed",
	.text = "The connection is over.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_connection_done = {
	.name = "ConnectionDone",
	.text = "The connection was closed cleanly.",
	.parent = &plait_error_connection_closed,
};

const struct plait_error plait_error_connection_lost = {
	.name = "ConnectionLost",
	.text = "The connection broke off.",
	.parent = &plait_error_connection_closed,
};

const struct plait_error plait_error_connection_aborted = {
	.name = "ConnectionAborted",
	.text = "The program itself aborted the connection.",
	.parent = &plait_error_connection_lost,
};

const struct plait_error plait_error_descriptors_lost = {
	.name = "DescriptorsLost",
	.text = "Descriptors that the peer has handed over were not taken.",
	.parent = &plait_error_connection_lost,
};

const struct plait_failure plait_i_failure_connection_done = {
	.kind = &plait_error_connection_done,
	.where = "",
	FAILURE_SILENT,
};

plait_value plait_connection_done(void)
{
	return plait_value_make(
		&plait_failure_type,
		(void *)(uintptr_t)&plait_i_failure_connection_done);
}
