/* overlap.h - what TCP senders have sent, for as long as somebody may send it again otherwise. */
#ifndef SIXTUPLE_OVERLAP_H
#define SIXTUPLE_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

/* The longest segment, and a power of two, so that a sequence number says where a byte is. */
enum { OVERLAP_BYTES = 1 << 16, OVERLAP_FLOWS = 256, OVERLAP_BUCKETS = 256 };

struct overlap_bytes {
    uint8_t bytes[OVERLAP_BYTES];
    uint64_t known[OVERLAP_BYTES / 64]; /* a bit for each byte that was seen */
};

struct overlap_flow {
    uint32_t ref;         /* of the flow; 0: free */
    uint32_t top;         /* behind the highest byte; what is kept ends here */
    uint16_t chain;       /* index + 1, as are the others: of the same bucket */
    uint16_t older, newer; /* by use; of a free one `older` is the next free one */
};

/* All zeros: nothing is kept. */
struct overlaps {
    uint16_t buckets[OVERLAP_BUCKETS];
    uint16_t oldest, newest, free, fresh; /* flows from fresh on were never used */
    struct overlap_flow flows[OVERLAP_FLOWS];
    struct overlap_bytes memory[OVERLAP_FLOWS]; /* touched when a flow needs it */
};

/* Whether any of these bytes, which begin at seq, was something else when it was sent before. */
bool overlap_differs(const struct overlaps *o, uint32_t ref, uint32_t seq, const uint8_t *data, uint32_t len);
/* Keeps them. False where something cannot be compared from now on: another flow was forgotten for this one, or the
 * bytes are too old to be kept. */
bool overlap_keep(struct overlaps *o, uint32_t ref, uint32_t seq, const uint8_t *data, uint32_t len);
void overlap_forget(struct overlaps *o, uint32_t ref);
void overlap_forget_all(struct overlaps *o);

#endif
