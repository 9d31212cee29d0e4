/* siphash.h - SipHash-1-3 of whole 8-byte words: a keyed hash outsiders cannot aim (Aumasson, Bernstein 2012). */
#ifndef SIXTUPLE_SIPHASH_H
#define SIXTUPLE_SIPHASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t siphash_rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void siphash_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = siphash_rotate(v[1], 13) ^ v[0], v[0] = siphash_rotate(v[0], 32);
    v[2] += v[3], v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = siphash_rotate(v[1], 17) ^ v[2], v[2] = siphash_rotate(v[2], 32);
}

/* `len` is a multiple of 8. Little-endian hosts only, like the rest of the engine. */
static inline uint64_t siphash13(const uint64_t key[2], const void *data, uint32_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    const uint8_t *p = data;
    for (const uint8_t *end = p + len; p < end; p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        v[3] ^= word;
        siphash_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56;
    v[3] ^= last;
    siphash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    siphash_round(v), siphash_round(v), siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
