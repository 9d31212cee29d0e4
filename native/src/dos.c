/* dos.c - DoS protection rules. */
#include <errno.h>

#include "state.h"

struct dos {
    uint32_t unused;
};

uint64_t dos_bytes(void)
{
    return sizeof(struct dos);
}

void dos_init(struct engine *e)
{
    (void)e;
}

void dos_configure(struct engine *e)
{
    (void)e;
}

enum admission dos_admits(struct engine *e, struct packet *p, uint32_t *reason)
{
    (void)e, (void)p, (void)reason;
    return ADMIT;
}

void dos_session_begins(struct engine *e, struct session *s, const struct packet *p)
{
    (void)e, (void)s, (void)p;
}

void dos_session_ends(struct engine *e, struct session *s)
{
    (void)e, (void)s;
}

int engine_dos_stats(struct engine *e, uint32_t number, struct dos_stats *out)
{
    (void)e, (void)number, (void)out;
    return -ENOENT;
}

void engine_dos_in_force(struct engine *e, uint32_t number, bool in_force)
{
    (void)e, (void)number, (void)in_force;
}
