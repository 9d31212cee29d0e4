/* checks.c - packet-based protection. */
#include <errno.h>

#include "state.h"

struct checks {
    uint32_t unused;
};

uint64_t checks_bytes(void)
{
    return sizeof(struct checks);
}

void checks_init(struct engine *e)
{
    (void)e;
}

void checks_configure(struct engine *e)
{
    (void)e;
}

uint32_t checks_refuse_source(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return 0;
}

uint32_t checks_refuse(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return 0;
}

uint32_t checks_refuse_segment(struct engine *e, uint32_t slot, uint32_t direction, const struct packet *p)
{
    (void)e, (void)slot, (void)direction, (void)p;
    return 0;
}

void checks_session_ends(struct engine *e, uint32_t slot)
{
    (void)e, (void)slot;
}

bool checks_follow(const struct engine *e, uint16_t port)
{
    (void)e, (void)port;
    return false;
}

bool checks_strip(struct engine *e, struct packet *p)
{
    (void)e, (void)p;
    return false;
}

bool checks_suppress(struct engine *e, uint16_t port, enum protection which)
{
    (void)e, (void)port, (void)which;
    return false;
}
