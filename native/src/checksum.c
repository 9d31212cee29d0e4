/* checksum.c - the Internet checksum. Sums are kept in memory order, so no byte is ever swapped (RFC 1071, 2B). */
#include "checksum.h"

#include <arpa/inet.h>
#include <string.h>

/* The sum of `count` words of 32 bits, in the widest registers this machine has (chosen when the program is
 * loaded). Widened to 64 bits a sum cannot overflow within any packet, so no carry is ever handled. */
__attribute__((target_clones("avx512f", "avx2", "default"))) static uint64_t sum_words(
    const uint8_t *data, uint32_t count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, data + i * 4ull, 4);
        total += word;
    }
    return total;
}

uint64_t checksum_add(uint64_t sum, const uint8_t *data, uint32_t len)
{
    enum { SHORT = 64 }; /* addresses and headers: over before wide registers are set up */
    uint32_t last = 0;
    memcpy(&last, data + (len & ~3u), len & 3);
    if (len > SHORT)
        return sum + sum_words(data, len / 4) + last;
    for (const uint8_t *end = data + (len & ~3u); data < end; data += 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        sum += word;
    }
    return sum + last;
}

uint64_t checksum_add_pseudo(uint64_t sum, uint8_t family, const uint8_t *src, const uint8_t *dst, uint8_t proto,
                             uint32_t l4_len)
{
    uint32_t bytes = family == 4 ? 4 : 16;
    sum = checksum_add(checksum_add(sum, src, bytes), dst, bytes);
    return sum + htonl(l4_len) + htonl(proto);
}

uint16_t checksum_finish(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint64_t checksum_replace(uint8_t *start, uint32_t offset, const void *with, uint32_t len)
{
    uint8_t *at = start + offset;
    uint16_t old = checksum_finish(checksum_add(0, at, len)), new = (uint16_t)~checksum_finish(checksum_add(0, with, len));
    uint32_t difference = (uint32_t)old + new; /* `old` is already the complement */
    memcpy(at, with, len);
    if (offset % 2) { /* every byte is the other half of its word */
        difference = (difference & 0xffff) + (difference >> 16);
        difference = (difference << 8 & 0xff00) | difference >> 8;
    }
    return difference;
}

void checksum_adjust(uint8_t *checksum, uint64_t difference)
{
    uint16_t sum;
    memcpy(&sum, checksum, 2);
    sum = checksum_finish((uint16_t)~sum + difference);
    memcpy(checksum, &sum, 2);
}
