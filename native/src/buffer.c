/* buffer.c - packet buffer protection: what one source may fill. */
#include <errno.h>

#include "state.h"

struct buffers {
    uint32_t unused;
};

uint64_t buffers_bytes(void)
{
    return sizeof(struct buffers);
}

void buffers_init(struct engine *e)
{
    (void)e;
}

void buffers_configure(struct engine *e)
{
    (void)e;
}

uint32_t buffer_refuses(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return 0;
}

void buffer_holds(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
}

void buffer_releases(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
}
