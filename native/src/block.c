/* block.c - the block table: sources that are dropped before anything else is looked at. */
#include <errno.h>

#include "state.h"

struct blocks {
    uint32_t unused;
};

uint64_t blocks_bytes(void)
{
    return sizeof(struct blocks);
}

void blocks_init(struct engine *e)
{
    (void)e;
}

void blocks_configure(struct engine *e)
{
    (void)e;
}

void block_add(struct engine *e, const struct packet *p, bool by_pair, uint32_t seconds, enum threat_type why, uint32_t rule)
{
    (void)e, (void)p, (void)by_pair, (void)seconds, (void)why, (void)rule;
}

bool block_hit(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return false;
}

uint32_t engine_blocks(struct engine *e, uint32_t *cursor, struct blocked_source *out, uint32_t max)
{
    (void)e, (void)out, (void)max;
    *cursor = 0;
    return 0;
}

uint32_t engine_unblock(struct engine *e, const uint8_t *source)
{
    (void)e, (void)source;
    return 0;
}
