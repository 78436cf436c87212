/*
 * The kinds of failures of lookups, and the kinds that they descend from.  They
 * are declared in <plait/failure.h> and <plait/dns.h>.
 */
#include <plait/dns.h>

const struct plait_error plait_error_connect = {
	.name = "ConnectError",
	.text = "The connection could not be made.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_dns_lookup = {
	.name = "DNSLookupError",
	.text = "The lookup of a name has failed.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_dns_no_name = {
	.name = "DNSNoNameError",
	.text = "There is no such name.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_no_data = {
	.name = "DNSNoDataError",
	.text = "The name has no record of that type.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_server_failure = {
	.name = "DNSServerFailureError",
	.text = "The server could not find out.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_refused = {
	.name = "DNSRefusedError",
	.text = "The server does not answer us.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_timeout = {
	.name = "DNSTimeoutError",
	.text = "No server has answered in time.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_malformed = {
	.name = "DNSMalformedError",
	.text = "The answer of the server is no valid message.",
	.parent = &plait_error_dns_lookup,
};

const struct plait_error plait_error_dns_bad_name = {
	.name = "DNSBadNameError",
	.text = "The text is not a name that could be looked up.",
	.parent = &plait_error_dns_lookup,
};
