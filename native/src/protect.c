/* protect.c - memory and configuration of everything protect.h promises. */
#include <errno.h>

#include "state.h"

struct protect {
    uint32_t unused;
};

uint64_t protect_bytes(void)
{
    return sizeof(struct protect);
}

void protect_init(struct engine *e)
{
    (void)e;
}

void protect_configure(struct engine *e)
{
    (void)e;
}

bool block_hit(struct engine *e, const struct packet *p)
{
    (void)e, (void)p;
    return false;
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

enum admission zone_admits(struct engine *e, struct packet *p, uint32_t *reason)
{
    (void)e, (void)p, (void)reason;
    return ADMIT;
}

enum admission dos_admits(struct engine *e, struct packet *p, uint32_t *reason)
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

void dos_session_begins(struct engine *e, struct session *s, const struct packet *p)
{
    (void)e, (void)s, (void)p;
}

void dos_session_ends(struct engine *e, struct session *s)
{
    (void)e, (void)s;
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

uint32_t engine_threats(struct engine *e, struct threat *out, uint32_t max)
{
    (void)e, (void)out, (void)max;
    return 0;
}

int engine_zone_stats(struct engine *e, uint16_t zone, struct zone_stats *out)
{
    (void)e, (void)zone, (void)out;
    return -ENOENT;
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
