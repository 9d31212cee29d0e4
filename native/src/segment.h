/* segment.h - TCP segments of the engine's own. */
#ifndef SIXTUPLE_SEGMENT_H
#define SIXTUPLE_SEGMENT_H

#include "packet.h"

struct segment {
    const struct flow_key *as; /* its addresses and ports */
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags, ttl;
    uint8_t traffic_class;
    uint8_t options_len; /* a multiple of 4 */
    const uint8_t *options;
};

/* Writes the whole packet, which has no payload; its length. */
uint32_t segment_write(uint8_t *ip, const struct segment *segment);

/* The key the other way round, in the same zone. */
struct flow_key segment_answer(const struct flow_key *key);

#endif
