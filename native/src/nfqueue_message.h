/* nfqueue_message.h - what the kernel's queue says, read without trusting it. */
#ifndef SIXTUPLE_NFQUEUE_MESSAGE_H
#define SIXTUPLE_NFQUEUE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

enum queue_message {
    QUEUE_PACKET,    /* a packet that wants a verdict */
    QUEUE_ANSWER,    /* to something we sent; `error` is 0 or negative */
    QUEUE_MALFORMED, /* nothing we understand */
};

struct queued {
    uint32_t id;
    uint16_t queue;
    uint32_t ifindex;  /* 0 where it was not said, as are the others */
    uint32_t bridge_in, bridge_out; /* the ports of a bridge between which it goes */
    uint8_t mac[6];    /* of its sender */
    uint8_t *data;     /* the IP packet, within the message */
    uint32_t len;
    uint32_t wire_len; /* more than len where the queue cut the packet off */
    bool checksum_unfinished, checksum_unverified, gso;
    uint32_t mark;
    bool is_own;       /* the machine itself sends it, */
    uint32_t own_out;  /* by this interface */
    int error;
};

/* Reads the message in the `len` bytes at `message`, which must be aligned to 4 bytes. Unknown attributes are
 * passed over; known ones of a wrong size count as missing. */
enum queue_message queue_message_read(uint8_t *message, uint32_t len, struct queued *out);

#endif
