/* threat.c - the ring of threats, for the threat log. */
#include <errno.h>

#include "state.h"

struct threats {
    uint32_t unused;
};

uint64_t threats_bytes(void)
{
    return sizeof(struct threats);
}

void threats_init(struct engine *e)
{
    (void)e;
}

void threats_configure(struct engine *e)
{
    (void)e;
}

void threat_note(struct engine *e, const struct packet *p, enum threat_type type, uint32_t what, enum scan_action action,
                 uint32_t rule, uint32_t reason)
{
    (void)e, (void)p, (void)type, (void)what, (void)action, (void)rule, (void)reason;
}

uint32_t engine_threats(struct engine *e, struct threat *out, uint32_t max)
{
    (void)e, (void)out, (void)max;
    return 0;
}
