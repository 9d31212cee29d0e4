/*
 * fib.c - the forwarding table: from an address to the most specific route.
 *
 * Prefixes either nest or lie apart, so they cut the addresses into segments that each belong to one route;
 * a lookup is a bisection, whatever the prefixes' lengths. Addresses are 16 bytes, IPv4 mapped into ::ffff:0:0/96,
 * where routes of IPv6 end: no ::/0 forwards IPv4.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fib.h"

typedef unsigned __int128 address_t;

enum { ADDRESS_BITS = 128, V4_BITS = 96, MAX_ROUTES = 1 << 24 };
static const int32_t NO_ROUTE = -1;

struct segment {
    address_t start;
    int32_t route;
};

struct fib {
    struct route *routes;
    struct route_hop *hops; /* behind the routes */
    uint32_t count;
    struct segment segments[];
};

/* A prefix with the number of its route. */
struct span {
    address_t first, last;
    int32_t route;
};

static address_t number_of(const uint8_t bytes[16])
{
    address_t value = 0;
    for (int i = 0; i < 16; i++)
        value = value << 8 | bytes[i];
    return value;
}

static struct span span_of(const uint8_t prefix[16], uint8_t length, int32_t route)
{
    address_t host = length == ADDRESS_BITS ? 0 : ~(address_t)0 >> length, first = number_of(prefix) & ~host;
    return (struct span){.first = first, .last = first | host, .route = route};
}

/* By address, the wider one first, of equal ones the first route. */
static int compare_spans(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    if (a->last != b->last)
        return a->last > b->last ? -1 : 1;
    return (uint32_t)a->route < (uint32_t)b->route ? -1 : 1; /* NO_ROUTE comes last */
}

static void add_segment(struct fib *fib, address_t start, int32_t route)
{
    if (fib->count && fib->segments[fib->count - 1].start == start)
        fib->count--;
    fib->segments[fib->count++] = (struct segment){start, route};
}

static void cut(struct fib *fib, const struct span *spans, uint32_t n)
{
    const struct span *open[ADDRESS_BITS + 2]; /* each within the one before */
    int depth = 0;
    add_segment(fib, 0, NO_ROUTE);
    for (uint32_t i = 0; i <= n; i++) {
        while (depth && (i == n || open[depth - 1]->last < spans[i].first)) {
            address_t after = open[--depth]->last + 1;
            if (after) /* there are addresses behind it */
                add_segment(fib, after, depth ? open[depth - 1]->route : NO_ROUTE);
        }
        if (i == n || (depth && open[depth - 1]->last == spans[i].last && open[depth - 1]->first == spans[i].first))
            continue; /* the same prefix again */
        open[depth++] = &spans[i];
        add_segment(fib, spans[i].first, spans[i].route);
    }
}

struct fib *fib_new(const struct route *routes, uint32_t count, const struct route_hop *hops, uint32_t hop_count)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};
    if (count > MAX_ROUTES || hop_count > MAX_ROUTES) {
        errno = EINVAL;
        return NULL;
    }
    struct span *spans = malloc((count + 1ull) * sizeof *spans);
    struct fib *fib = malloc(sizeof *fib + (2ull * count + 3) * sizeof(struct segment));
    struct route *copy = malloc((count + 1ull) * sizeof *copy + hop_count * sizeof *hops);
    bool sane = true;
    if (spans && fib && copy) {
        for (uint32_t i = 0; i < count; i++) {
            sane = sane && routes[i].length <= ADDRESS_BITS && routes[i].hop <= hop_count &&
                   routes[i].hop_count <= hop_count - routes[i].hop;
            if (sane)
                spans[i] = span_of(routes[i].prefix, routes[i].length, (int32_t)i);
            copy[i] = routes[i];
        }
        spans[count] = span_of(v4, V4_BITS, NO_ROUTE);
        *fib = (struct fib){.routes = copy, .hops = (struct route_hop *)(copy + count)};
        if (hop_count)
            memcpy(fib->hops, hops, hop_count * sizeof *hops);
        if (sane) {
            qsort(spans, count + 1ull, sizeof *spans, compare_spans);
            cut(fib, spans, count + 1);
            free(spans);
            return fib;
        }
    }
    errno = sane ? ENOMEM : EINVAL;
    free(spans);
    free(fib);
    free(copy);
    return NULL;
}

void fib_free(struct fib *fib)
{
    if (!fib)
        return;
    free(fib->routes);
    free(fib);
}

int64_t fib_lookup(const struct fib *fib, const uint8_t *address)
{
    address_t wanted = number_of(address);
    uint32_t low = 0, high = fib->count; /* the segment is in low..high-1; the first one starts at zero */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (fib->segments[middle].start <= wanted)
            low = middle;
        else
            high = middle;
    }
    return fib->segments[low].route;
}

const struct route *fib_route(const struct fib *fib, const uint8_t *address)
{
    int64_t index = fib_lookup(fib, address);
    return index < 0 ? NULL : &fib->routes[index];
}

const struct route_hop *fib_hops(const struct fib *fib, const struct route *route)
{
    return fib->hops + route->hop;
}
