/* random.h - repeatable random numbers (xorshift64, Marsaglia 2003). */
#ifndef SIXTUPLE_RANDOM_H
#define SIXTUPLE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* not 0 */
};

static inline uint64_t random_next(struct random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

static inline uint32_t random_below(struct random *r, uint32_t limit)
{
    return (uint32_t)((random_next(r) >> 32) * limit >> 32);
}

#endif
