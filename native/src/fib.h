/* fib.h - the forwarding table, to the rest of the engine. */
#ifndef SIXTUPLE_FIB_H
#define SIXTUPLE_FIB_H

#include "engine.h"

/* The most specific route to a 16-byte address, NULL where there is none. */
const struct route *fib_route(const struct fib *fib, const uint8_t *address);
/* The next hops of a route that has several: route->hop_count of them. */
const struct route_hop *fib_hops(const struct fib *fib, const struct route *route);

#endif
