/*
 * Fuzz target: messages of the kernel's queue. The first byte says whether the header is mended to the
 * length there is, the rest is the datagram; whatever it is, every promise of nfqueue_message.h is kept.
 */
#include <stdio.h>

#include "queue_promises.h"

enum { MEND_LENGTH = 1 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!size)
        return 0;
    uint8_t choice = *bytes++;
    uint32_t len = (uint32_t)--size, offset;
    uint8_t *message = malloc(len ? len : 1);
    if (!message)
        abort();
    memcpy(message, bytes, len);
    if (choice & MEND_LENGTH && len >= sizeof len)
        memcpy(message, &len, sizeof len);
    enum queue_message kind;
    struct queued queued;
    const char *broken = queue_promise_broken(message, len, &kind, &queued, &offset);
    free(message);
    if (broken) {
        fprintf(stderr, "not so: %s\n", broken);
        abort();
    }
    return 0;
}
