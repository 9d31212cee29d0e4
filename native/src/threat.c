/*
 * threat.c - the ring of threats, for the threat log.
 *
 * One a second of each kind goes in: an attack must not write the log as fast as it sends packets. Kinds told lately are
 * kept in a small table by a keyed hash, which stands for them: that two have the same of 64 bits will not happen.
 */
#include "siphash.h"
#include "state.h"

enum { RING = 4096, SETS = 128, WAYS = 4 };
static const int64_t PAUSE_NS = 1000000000;

struct told {
    uint64_t kind;   /* 0: never used */
    int64_t at_ns;
    uint32_t untold; /* packets since then */
    uint16_t reason; /* of one of them that was dropped, and the severest action */
    uint8_t action;
};

struct threats {
    uint32_t head, tail; /* free running, from 0 whenever all were taken */
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
    struct {
        uint64_t type, what, action, rule, zone;
        uint8_t source[16];
    } kind = {.type = type, .what = what, .action = type == THREAT_FLOOD ? 0 : action, .rule = rule, .zone = p->key.zone};
    if (type == THREAT_SCAN)
        memcpy(kind.source, p->key.src, 16);
    return siphash13(e->hash_key, &kind, sizeof kind);
}

/* When this kind was told last; the oldest of its set makes room for it. */
static struct told *told_of(struct threats *t, uint64_t kind)
{
    struct told *set = &t->told[kind % SETS * WAYS], *oldest = set;
    for (int way = 0; way < WAYS; way++) {
        if (set[way].kind == kind)
            return &set[way];
        if (set[way].at_ns < oldest->at_ns)
            oldest = &set[way];
    }
    *oldest = (struct told){0};
    return oldest;
}

void threat_note(struct engine *e, const struct packet *p, enum threat_type type, uint32_t what, enum scan_action action,
                 uint32_t rule, uint32_t reason)
{
    struct threats *t = e->threats;
    uint64_t kind = kind_of(e, p, type, what, action, rule);
    struct told *told = told_of(t, kind);
    told->untold += told->untold < UINT32_MAX;
    if (reason)
        told->reason = (uint16_t)reason;
    if (told->action < action)
        told->action = (uint8_t)action;
    if (told->kind && e->now_ns - told->at_ns < PAUSE_NS)
        return;
    if (t->head - t->tail == RING)
        count(e, COUNTER_log_threat_lost);
    else
        t->ring[t->head++ % RING] = (struct threat){
            .now_ns = e->now_ns, .key = p->key, .rule = rule, .repeat = told->untold, .port = p->port,
            .reason = told->reason, .type = (uint8_t)type, .what = (uint8_t)what, .action = told->action};
    *told = (struct told){.kind = kind, .at_ns = e->now_ns};
}

uint32_t engine_threats(struct engine *e, struct threat *out, uint32_t max)
{
    struct threats *t = e->threats;
    uint32_t n = 0;
    engine_enter(e);
    while (n < max && t->tail != t->head)
        out[n++] = t->ring[t->tail++ % RING];
    if (t->tail == t->head)
        t->tail = t->head = 0;
    engine_leave(e);
    return n;
}
