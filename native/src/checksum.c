/* checksum.c - the Internet checksum. Sums are kept in memory order, so no byte is ever swapped (RFC 1071, 2B). */
#include "checksum.h"

#include <arpa/inet.h>
#include <string.h>

uint64_t checksum_add(uint64_t sum, const uint8_t *data, uint32_t len)
{
    uint32_t word;
    uint64_t total = 0; /* 2^32 words of 32 bit fit; a packet has 2^14 */
    for (; len >= 4; data += 4, len -= 4) {
        memcpy(&word, data, 4);
        total += word;
    }
    if (len) {
        word = 0;
        memcpy(&word, data, len);
        total += word;
    }
    return sum + total;
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
