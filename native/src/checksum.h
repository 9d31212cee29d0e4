/* checksum.h - the Internet checksum (RFC 1071). */
#ifndef SIXTUPLE_CHECKSUM_H
#define SIXTUPLE_CHECKSUM_H

#include <stdint.h>

/* Adds bytes to a running sum; only the last piece may have an odd length. */
uint64_t checksum_add(uint64_t sum, const uint8_t *data, uint32_t len);

/* Adds the pseudo header of an IPv4 or IPv6 packet (family 4 or 6; addresses point at 4 or 16 bytes). */
uint64_t checksum_add_pseudo(uint64_t sum, uint8_t family, const uint8_t *src, const uint8_t *dst, uint8_t proto,
                             uint32_t l4_len);

/* The checksum as it is stored in memory; 0 over data that contain a right checksum. */
uint16_t checksum_finish(uint64_t sum);

/* Puts other bytes in place of `len` that begin `offset` bytes behind the start of what is summed, even or odd; the
 * difference that makes to the sum (RFC 1624). */
uint64_t checksum_replace(uint8_t *start, uint32_t offset, const void *with, uint32_t len);

/* Corrects a complete checksum by such differences. */
void checksum_adjust(uint8_t *checksum, uint64_t difference);

#endif
