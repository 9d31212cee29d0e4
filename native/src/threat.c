/*
 * threat.c - the ring of threats, for the threat log.
 *
 * One a second of each kind goes in: an attack must not write the log as fast as it sends packets. Kinds told lately are
 * kept in a small table by a keyed hash, which stands for them: that two have the same of 64 bits will not happen. What
 * they have not told yet is told with the next packet, or when none has come for a second.
 */
#include "siphash.h"
#include "state.h"

enum { RING = 4096, SETS = 128, WAYS = 4 };
static const int64_t PAUSE_NS = 1000000000;

struct told {
    uint64_t kind; /* 0: never used */
    int64_t at_ns;
    struct threat untold; /* packets since then, where there are some: the last, one's reason, the severest action */
};

struct threats {
    uint32_t head, tail; /* free running, from 0 whenever all were taken */
    int64_t looked_ns;   /* for what is left to tell */
    struct told told[SETS * WAYS];
    struct threat ring[RING];
};

uint64_t threats_bytes(void)
{
    return sizeof(struct threats);
}

/* A flood's alarm and what is dropped of it are one; that somebody is blocked does not wait for the next time. */
static uint64_t kind_of(const struct engine *e, const struct packet *p, enum threat_type type, uint32_t what,
                        enum scan_action action, uint32_t rule)
{
    bool is_blocked = action == SCAN_ACTION_block_ip;
    struct {
        uint64_t type, what, action, rule, zone;
        uint8_t source[16];
    } kind = {.type = type, .what = what, .action = type == THREAT_FLOOD && !is_blocked ? 0 : action, .rule = rule,
              .zone = p->key.zone};
    if (type == THREAT_SCAN || is_blocked)
        memcpy(kind.source, p->key.src, 16);
    return siphash13(e->hash_key, &kind, sizeof kind);
}

static void tell(struct engine *e, struct told *told)
{
    struct threats *t = e->threats;
    if (t->head - t->tail == RING)
        count(e, COUNTER_log_threat_lost);
    else
        t->ring[t->head++ % RING] = told->untold;
    told->untold = (struct threat){0};
    told->at_ns = e->now_ns;
}

/* What is told of this kind; the oldest of its set makes room for it. */
static struct told *told_of(struct engine *e, uint64_t kind)
{
    struct told *set = &e->threats->told[kind % SETS * WAYS], *oldest = set;
    for (int way = 0; way < WAYS; way++) {
        if (set[way].kind == kind)
            return &set[way];
        if (set[way].at_ns < oldest->at_ns)
            oldest = &set[way];
    }
    if (oldest->untold.repeat)
        tell(e, oldest);
    *oldest = (struct told){0};
    return oldest;
}

void threat_note(struct engine *e, const struct packet *p, enum threat_type type, uint32_t what, enum scan_action action,
                 uint32_t rule, uint32_t reason)
{
    uint64_t kind = kind_of(e, p, type, what, action, rule);
    struct told *told = told_of(e, kind);
    struct threat *untold = &told->untold;
    *untold = (struct threat){
        .now_ns = e->now_ns, .key = p->key, .rule = rule, .repeat = untold->repeat + (untold->repeat < UINT32_MAX),
        .port = p->port, .reason = reason ? (uint16_t)reason : untold->reason, .type = (uint8_t)type, .what = (uint8_t)what,
        .action = untold->action < action ? (uint8_t)action : untold->action};
    if (!told->kind || e->now_ns - told->at_ns >= PAUSE_NS)
        tell(e, told);
    told->kind = kind;
}

static void tell_what_is_left(struct engine *e)
{
    struct threats *t = e->threats;
    if (e->now_ns - t->looked_ns < PAUSE_NS)
        return;
    t->looked_ns = e->now_ns;
    for (struct told *told = t->told; told < t->told + SETS * WAYS; told++)
        if (told->untold.repeat && e->now_ns - told->at_ns >= PAUSE_NS)
            tell(e, told);
}

uint32_t engine_threats(struct engine *e, struct threat *out, uint32_t max)
{
    struct threats *t = e->threats;
    uint32_t n = 0;
    engine_enter(e);
    tell_what_is_left(e);
    while (n < max && t->tail != t->head)
        out[n++] = t->ring[t->tail++ % RING];
    if (t->tail == t->head)
        t->tail = t->head = 0;
    engine_leave(e);
    return n;
}
