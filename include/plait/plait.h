/*
 * All of plait.  Programs that want less include the headers by name.
 */
#ifndef PLAIT_PLAIT_H
#define PLAIT_PLAIT_H

#include <plait/address.h>
#include <plait/adopt.h>
#include <plait/backoff.h>
#include <plait/base.h>
#include <plait/bound.h>
#include <plait/buf.h>
#include <plait/chance.h>
#include <plait/client.h>
#include <plait/client_service.h>
#include <plait/cooperator.h>
#include <plait/datagram.h>
#include <plait/debug.h>
#include <plait/deferred.h>
#include <plait/deferred_list.h>
#include <plait/dns.h>
#include <plait/endpoint.h>
#include <plait/event.h>
#include <plait/failure.h>
#include <plait/file_watch.h>
#include <plait/inherit.h>
#include <plait/input.h>
#include <plait/intn.h>
#include <plait/later.h>
#include <plait/limit.h>
#include <plait/line.h>
#include <plait/list.h>
#include <plait/lock.h>
#include <plait/looping_call.h>
#include <plait/netstring.h>
#include <plait/process.h>
#include <plait/process_job.h>
#include <plait/pipe.h>
#include <plait/pool.h>
#include <plait/protocol.h>
#include <plait/queue.h>
#include <plait/react.h>
#include <plait/reaper.h>
#include <plait/reactor.h>
#include <plait/reconnect.h>
#include <plait/resolver.h>
#include <plait/retry.h>
#include <plait/run.h>
#include <plait/scope.h>
#include <plait/shared.h>
#include <plait/signal.h>
#include <plait/tcp.h>
#include <plait/throttle.h>
#include <plait/idle_timeout.h>
#include <plait/timer.h>
#include <plait/transport.h>
#include <plait/transport_ops.h>
#include <plait/udp.h>
#include <plait/unix.h>
#include <plait/value.h>
#include <plait/wrap.h>

#endif
