/* queue_promises.h - what nfqueue_message.h promises of any bytes; tests and fuzz target assert it. */
#ifndef SIXTUPLE_QUEUE_PROMISES_H
#define SIXTUPLE_QUEUE_PROMISES_H

#include <stdlib.h>
#include <string.h>

#include "nfqueue_message.h"

enum { BEHIND = 8 }; /* bytes that stand behind a datagram in a receive buffer, from the one before */

static inline bool queue_same(const struct queued *a, const uint8_t *a_bytes, const struct queued *b,
                              const uint8_t *b_bytes)
{
    return a->id == b->id && a->ifindex == b->ifindex && a->data - a_bytes == b->data - b_bytes && a->len == b->len &&
           a->wire_len == b->wire_len && a->checksum_unfinished == b->checksum_unfinished &&
           a->checksum_unverified == b->checksum_unverified && a->own_out == b->own_out && a->error == b->error;
}

/* Reads a datagram where it ends with its allocation and where other bytes follow it. The first broken promise as
 * text, NULL where all are kept; *kind and *out are what was read, out->data an offset into the message. */
static inline const char *queue_promise_broken(const uint8_t *message, uint32_t len, enum queue_message *kind,
                                               struct queued *out, uint32_t *data_offset)
{
    uint8_t *exact = malloc(len ? len : 1), *followed = malloc(len + BEHIND);
    const char *broken = NULL;
    struct queued other;
    if (!exact || !followed)
        abort();
    memcpy(exact, message, len);
    memcpy(followed, message, len);
    memset(out, 0x5a, sizeof *out);
    memset(&other, 0xa5, sizeof other);
    *kind = queue_message_read(exact, len, out);
    *data_offset = (uint32_t)(out->data - exact);
    for (unsigned filler = 0; filler < 256 && !broken; filler += 0x33) {
        memset(followed + len, (int)filler, BEHIND);
        if (queue_message_read(followed, len, &other) != *kind || !queue_same(out, exact, &other, followed))
            broken = "what follows a message is not part of it";
    }
    if (memcmp(exact, message, len) || memcmp(followed, message, len))
        broken = "the message stays as it is";
    else if (*kind != QUEUE_PACKET && *kind != QUEUE_ANSWER && *kind != QUEUE_MALFORMED)
        broken = "it is one of three kinds";
    else if (*kind == QUEUE_PACKET && (*data_offset > len || out->len > len - *data_offset))
        broken = "the packet lies within the message";
    else if (*kind == QUEUE_PACKET && out->wire_len < out->len)
        broken = "a packet is at least as long as the part of it that came";
    else if (*kind == QUEUE_ANSWER && (out->error > 0 || out->error < -4095))
        broken = "an answer is 0 or a negative errno";
    free(followed);
    free(exact);
    return broken;
}

#endif
