/* SipHash-1-3 of the bytes 0, 1, 2, ... */
#include "siphash.h"

#include "check.h"

struct vector {
    uint32_t len;
    uint64_t hash;
};

/* Key zero: what hash() of CPython 3.11 and later says with PYTHONHASHSEED=0 (tests/native/test_siphash.py
 * asks it again). */
static const struct vector zero_key[] = {
    {8, 0xead411e67ebe2eea},
    {16, 0x8972188433a5c5b7},
    {24, 0x31185a47af932f3a},
    {40, 0x95bc321ab41d8206},
    {64, 0x75e05fd5bbc870c6},
};

/* Key 00 01 02 ... 0f, as the paper's test vectors have it. */
static const struct vector counting_key[] = {
    {0, 0xabac0158050fc4dc},
    {8, 0x369095118d299a8e},
    {40, 0xc1d2363299e41531},
    {56, 0xb4bcc0db243c6d75},
};

static void check_vectors(const uint64_t key[2], const struct vector *vectors, size_t count)
{
    uint8_t data[65];
    for (unsigned i = 0; i < sizeof data - 1; i++)
        data[i + 1] = (uint8_t)i; /* at an odd address: nothing may rely on alignment */
    for (size_t i = 0; i < count; i++)
        CHECK(siphash13(key, data + 1, vectors[i].len) == vectors[i].hash);
}

int main(void)
{
    uint64_t zero[2] = {0, 0}, counting[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    check_vectors(zero, zero_key, sizeof zero_key / sizeof *zero_key);
    check_vectors(counting, counting_key, sizeof counting_key / sizeof *counting_key);
    return check_report();
}
