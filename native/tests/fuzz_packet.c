/*
 * Fuzz target: the parser. The first byte chooses link type and flags, the rest is the frame; whatever
 * it is, it is refused with a drop reason or every promise of packet.h is kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "packet.h"
#include "promises.h"

enum { TRUSTED = 8, MEND_IPV4 = 16 }; /* a right header checksum gets the rest of a packet looked at */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void mend_ipv4(uint8_t *ip, size_t len)
{
    size_t header = len ? (ip[0] & 15) * 4u : 0;
    if (header < 20 || header > len || ip[0] >> 4 != 4)
        return;
    build_be16(ip + 10, 0);
    build_be16(ip + 10, ~build_sum(0, ip, (uint32_t)header) & 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t link_bytes[8] = {0, 14, 16, 20, 4};
    if (!size)
        return 0;
    uint8_t choice = *bytes++;
    uint32_t len = (uint32_t)--size, skip = link_bytes[choice & 7];
    uint8_t *data = malloc(len ? len : 1); /* as long as it says: one byte too far is seen */
    if (!data)
        abort();
    memcpy(data, bytes, len);
    if (choice & MEND_IPV4 && len > skip)
        mend_ipv4(data + skip, len - skip);
    struct packet p, again;
    memset(&p, 0x5a, sizeof p);
    memset(&again, 0xa5, sizeof again);
    uint8_t source[16];
    bool has_source = packet_source(data, len, choice & 7, source);
    uint32_t reason = packet_parse(data, len, choice & 7, choice & TRUSTED, &p);
    if (!reason && (!has_source || memcmp(source, p.key.src, 16)))
        abort();
    if (packet_parse(data, len, choice & 7, choice & TRUSTED, &again) != reason)
        abort();
    if (reason) {
        if (!counter_info(reason) || strcmp(counter_info(reason)->severity, "drop"))
            abort();
    } else {
        const char *broken = promise_broken(&p, data, len);
        if (broken) {
            fprintf(stderr, "not so: %s\n", broken);
            abort();
        }
        if (memcmp(&p, &again, sizeof p)) /* nothing is left over from before */
            abort();
    }
    /* a checksum the engine computed is one it takes */
    if ((choice & 7) == LINK_IP && packet_finish_checksum(data, len) && packet_parse(data, len, LINK_IP, false, &again))
        abort();
    free(data);
    return 0;
}
