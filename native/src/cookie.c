/* cookie.c - SYN cookies. */
#include "state.h"

bool cookie_answer(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return false;
}

bool cookie_accept(struct engine *e, struct packet *p)
{
    (void)e, (void)p;
    return false;
}

void cookie_open(struct engine *e, uint32_t slot, struct packet *p, uint64_t tag)
{
    (void)p;
    verdict_drop(e, tag, slot, COUNTER_flow_dos_syncookie_full);
}

bool cookie_inbound(struct engine *e, uint32_t slot, enum direction direction, struct packet *p, uint64_t tag, bool *changed)
{
    (void)e, (void)slot, (void)direction, (void)p, (void)tag, (void)changed;
    return false;
}

bool cookie_outbound(struct engine *e, const struct session *s, enum direction direction, struct packet *p)
{
    (void)e, (void)s, (void)direction, (void)p;
    return false;
}
