/* The forwarding table against a dull list of its routes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "fib.h"
#include "random.h"

enum { MOST_ROUTES = 300 };

static bool matches(const struct route *route, const uint8_t address[16])
{
    for (int bit = 0; bit < route->length; bit++)
        if ((route->prefix[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8) & 1)
            return false;
    return true;
}

static bool is_v4(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return !memcmp(address, mapped, 12);
}

/* The longest one that matches, of several the first; routes to more than IPv4 are not for IPv4. */
static int64_t expected(const struct route *routes, uint32_t count, const uint8_t address[16])
{
    int64_t best = -1;
    for (uint32_t i = 0; i < count; i++)
        if (matches(&routes[i], address) && !(is_v4(address) && routes[i].length < 96) &&
            (best < 0 || routes[i].length > routes[best].length))
            best = i;
    return best;
}

static void check_address(const struct fib *fib, const struct route *routes, uint32_t count, const uint8_t address[16])
{
    int64_t wanted = expected(routes, count, address);
    CHECK(fib_lookup(fib, address) == wanted);
    const struct route *route = fib_route(fib, address);
    CHECK(wanted < 0 ? !route : route && route->port == routes[wanted].port && route->leaves == routes[wanted].leaves);
}

/* By so much more or less, as one number. */
static void add(uint8_t address[16], int by)
{
    for (int i = 15; i >= 0 && by; i--) {
        by += address[i];
        address[i] = (uint8_t)by;
        by >>= 8;
    }
}

/* The first and last address of a route and their neighbours, where an error would show. */
static void check_edges(const struct fib *fib, const struct route *routes, uint32_t count, const struct route *route)
{
    uint8_t first[16], last[16], near[16];
    for (int i = 0; i < 16; i++) {
        int bits = route->length - i * 8;
        uint8_t network = bits >= 8 ? 0xff : bits <= 0 ? 0 : (uint8_t)(0xff00 >> bits);
        first[i] = route->prefix[i] & network;
        last[i] = first[i] | (uint8_t)~network;
    }
    for (int by = -1; by <= 1; by++) {
        memcpy(near, first, 16);
        add(near, by);
        check_address(fib, routes, count, near);
        memcpy(near, last, 16);
        add(near, by);
        check_address(fib, routes, count, near);
    }
}

static void some_address(struct random *r, uint8_t out[16])
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    build_key_address(out, random_below(r, 2) ? 4 : 6, (uint32_t)random_next(r));
    if (random_below(r, 4) == 0) /* anywhere, often at an edge */
        for (int i = 0; i < 16; i++)
            out[i] = random_below(r, 2) ? edges[random_below(r, sizeof edges)] : (uint8_t)random_next(r);
}

/* Routes nest, touch, repeat, and carry bits behind their length. */
static void random_tables(uint64_t seed)
{
    static struct route routes[MOST_ROUTES];
    struct random r = {seed};
    uint32_t count = random_below(&r, seed % 3 ? 12 : MOST_ROUTES);
    for (uint32_t i = 0; i < count; i++) {
        struct route *route = &routes[i];
        *route = (struct route){.leaves = random_below(&r, 2), .port = (uint16_t)random_next(&r)};
        some_address(&r, route->prefix);
        route->length = (uint8_t)(is_v4(route->prefix) && random_below(&r, 8) ? 96 + random_below(&r, 33) : random_below(&r, 129));
        if (i && random_below(&r, 3)) { /* within or around another one, or beside it */
            const struct route *other = &routes[random_below(&r, i)];
            memcpy(route->prefix, other->prefix, 16);
            route->length = random_below(&r, 2) ? other->length : (uint8_t)random_below(&r, 129);
            if (route->length && random_below(&r, 2))
                route->prefix[(route->length - 1) / 8] ^= (uint8_t)(0x80 >> (route->length - 1) % 8);
        }
    }
    struct fib *fib = fib_new(routes, count, NULL, 0);
    CHECK(fib != NULL);
    for (uint32_t i = 0; i < count; i++)
        check_edges(fib, routes, count, &routes[i]);
    for (int i = 0; i < 200; i++) {
        uint8_t address[16];
        some_address(&r, address);
        check_address(fib, routes, count, address);
    }
    fib_free(fib);
}

/* Every length at once, each prefix within the one before, all of them ending (or beginning) at one address. */
static void every_length(void)
{
    for (int ones = 0; ones < 2; ones++)
        for (int mapped = 0; mapped < 2; mapped++) {
            struct route routes[129];
            for (int length = 0; length <= 128; length++) {
                routes[length] = (struct route){.length = (uint8_t)length, .leaves = true, .port = (uint16_t)length};
                if (mapped)
                    build_key_address(routes[length].prefix, 4, 0);
                for (int i = mapped ? 12 : 0; i < 16; i++)
                    routes[length].prefix[i] = ones ? 0xff : 0;
            }
            struct fib *fib = fib_new(routes, 129, NULL, 0);
            for (int length = 0; length <= 128; length++)
                check_edges(fib, routes, 129, &routes[length]);
            fib_free(fib);
        }
}

static int64_t v4_lookup(const struct fib *fib, uint32_t host)
{
    uint8_t address[16];
    build_key_address(address, 4, host);
    return fib_lookup(fib, address);
}

/* IPv4 has a default route of its own. */
static void families_are_apart(void)
{
    static const uint8_t other[16] = {0x20, 0x01}, below[16] = {[10] = 0xff, [11] = 0xfe, [12] = 0xff};
    struct route routes[] = {{.length = 0, .port = 1}, {.length = 80, .port = 2}, {.length = 96, .port = 3}};
    build_key_address(routes[2].prefix, 4, 0);
    struct fib *fib = fib_new(routes, 1, NULL, 0);
    CHECK(v4_lookup(fib, 7) == -1 && fib_lookup(fib, other) == 0);
    fib_free(fib);
    fib = fib_new(routes, 2, NULL, 0);
    CHECK(v4_lookup(fib, 7) == -1 && fib_lookup(fib, other) == 0 && fib_lookup(fib, below) == 1);
    fib_free(fib);
    fib = fib_new(routes, 3, NULL, 0);
    CHECK(v4_lookup(fib, 7) == 2 && fib_lookup(fib, other) == 0 && fib_lookup(fib, below) == 1);
    fib_free(fib);
}

static void first_of_the_same(void)
{
    struct route routes[5];
    for (int i = 0; i < 5; i++) {
        routes[i] = (struct route){.length = 64, .port = (uint16_t)i};
        build_key_address(routes[i].prefix, 6, (uint32_t)i); /* they differ behind their length alone */
    }
    struct fib *fib = fib_new(routes, 5, NULL, 0);
    CHECK(fib_lookup(fib, routes[4].prefix) == 0);
    fib_free(fib);
}

static void nothing_and_nonsense(void)
{
    static const uint8_t zero[16];
    struct fib *fib = fib_new(NULL, 0, NULL, 0);
    CHECK(fib != NULL && fib_lookup(fib, zero) == -1 && !fib_route(fib, zero) && v4_lookup(fib, 1) == -1);
    fib_free(fib);
    struct route routes[] = {{.length = 128}, {.length = 129}, {.length = 0}};
    errno = 0;
    CHECK(!fib_new(routes, 3, NULL, 0) && errno == EINVAL);
    errno = 0;
    CHECK(!fib_new(routes, UINT32_MAX, NULL, 0) && errno == EINVAL); /* it is not read */
    fib_free(NULL);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        random_tables(seed);
    every_length();
    families_are_apart();
    first_of_the_same();
    nothing_and_nonsense();
    return check_report();
}
