/* zone.c - zone protection of packets that match no session: floods, scans, spoofed sources. */
#include <errno.h>

#include "state.h"

struct zones {
    uint32_t unused;
};

uint64_t zones_bytes(void)
{
    return sizeof(struct zones);
}

void zones_init(struct engine *e)
{
    (void)e;
}

void zones_configure(struct engine *e)
{
    (void)e;
}

enum admission zone_admits(struct engine *e, struct packet *p, uint32_t *reason)
{
    (void)e, (void)p, (void)reason;
    return ADMIT;
}

void scan_note_refused(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
}

bool uses_cookies(const struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return false;
}

int engine_zone_stats(struct engine *e, uint16_t zone, struct zone_stats *out)
{
    (void)e, (void)zone, (void)out;
    return -ENOENT;
}
