/*
 * ager.c - when sessions expire: a hierarchical timing wheel.
 *
 * A packet only moves its session's expires_ns; the wheel finds out when it gets to the session and
 * puts it back where it belongs now. So a packet costs one store, a quiet session is looked at once per
 * timeout, and the cost of a tick does not depend on the number of sessions.
 *
 *     level 0: 256 ticks of 67 ms     level 1: 256 times 17 s     level 2: 73 minutes     level 3: 13 days
 *
 * The ager has a clock of its own: time, except while aging is accelerated (engine.c).
 *
 * A session's tick is its expiry rounded up, and the table is asked before the wheel comes by (fastpath.c
 * looks at expires_ns), so timers are exact to the nanosecond for every packet and every log entry.
 */
#include <assert.h>

#include "state.h"

enum { SLOT_MASK = WHEEL_SLOTS - 1 };

static uint64_t tick_of(int64_t ns)
{
    return ((uint64_t)ns + (1ull << TICK_SHIFT) - 1) >> TICK_SHIFT;
}

static void link_session(struct engine *e, uint32_t slot)
{
    struct ager *a = &e->ager;
    struct session *s = &e->sessions[slot];
    uint64_t tick = s->ager_tick, delta = tick - a->now_tick;
    int level = 0;
    while (level < WHEEL_LEVELS - 1 && delta >> (WHEEL_BITS * (level + 1)))
        level++;
    if (delta >> (WHEEL_BITS * WHEEL_LEVELS))
        tick = a->now_tick + (1ull << (WHEEL_BITS * WHEEL_LEVELS)) - 1; /* looked at early and put back */
    uint32_t at = tick >> (WHEEL_BITS * level) & SLOT_MASK, *head = &a->head[level][at];
    s->ager_slot = (uint16_t)(level * WHEEL_SLOTS + (int)at);
    s->ager_prev = NONE;
    s->ager_next = *head;
    if (*head)
        e->sessions[*head].ager_prev = slot;
    *head = slot;
    a->occupied[level][at / 64] |= 1ull << at % 64;
}

static void unlink_session(struct engine *e, uint32_t slot)
{
    struct ager *a = &e->ager;
    struct session *s = &e->sessions[slot];
    int level = s->ager_slot / WHEEL_SLOTS, at = s->ager_slot & SLOT_MASK;
    if (s->ager_next)
        e->sessions[s->ager_next].ager_prev = s->ager_prev;
    if (s->ager_prev)
        e->sessions[s->ager_prev].ager_next = s->ager_next;
    else if (!(a->head[level][at] = s->ager_next))
        a->occupied[level][at / 64] &= ~(1ull << at % 64);
}

void ager_look(struct engine *e, uint32_t slot, int64_t at_ns)
{
    struct session *s = &e->sessions[slot];
    uint64_t tick = tick_of(at_ns);
    if (is_in_ager(s) && tick >= s->ager_tick)
        return;
    if (is_in_ager(s))
        unlink_session(e, slot);
    else
        e->ager.count++;
    s->ager_tick = tick > e->ager.now_tick ? tick : e->ager.now_tick + 1;
    link_session(e, slot);
}

void ager_set(struct engine *e, uint32_t slot, int64_t expires_ns)
{
    e->sessions[slot].expires_ns = expires_ns;
    ager_look(e, slot, expires_ns);
}

void ager_remove(struct engine *e, uint32_t slot)
{
    assert(is_in_ager(&e->sessions[slot]));
    unlink_session(e, slot);
    e->sessions[slot].ager_slot = NOT_IN_AGER;
    e->ager.count--;
}

static uint32_t take_list(struct engine *e, int level, uint32_t at)
{
    struct ager *a = &e->ager;
    uint32_t first = a->head[level][at];
    a->head[level][at] = NONE;
    a->occupied[level][at / 64] &= ~(1ull << at % 64);
    return first;
}

/* The first occupied slot from `from` on, WHEEL_SLOTS where there is none. */
static uint32_t next_occupied(const struct ager *a, int level, uint32_t from)
{
    for (uint32_t word = from / 64; word < WHEEL_SLOTS / 64; word++) {
        uint64_t bits = a->occupied[level][word];
        if (word == from / 64)
            bits &= ~0ull << from % 64;
        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return WHEEL_SLOTS;
}

/* Hands the sessions of the higher levels' current slots down; call when now_tick enters a new window. */
static void cascade(struct engine *e)
{
    for (int level = 1; level < WHEEL_LEVELS; level++) {
        uint32_t at = e->ager.now_tick >> (WHEEL_BITS * level) & SLOT_MASK;
        for (uint32_t slot = take_list(e, level, at), next; slot; slot = next) {
            next = e->sessions[slot].ager_next;
            link_session(e, slot);
        }
        if (at)
            break;
    }
}

static void run_slot(struct engine *e, uint32_t at)
{
    for (uint32_t slot = take_list(e, 0, at), next; slot; slot = next) {
        struct session *s = &e->sessions[slot];
        next = s->ager_next;
        /* out of the wheel while it is looked at: what it has not reported may refresh it */
        s->ager_slot = NOT_IN_AGER;
        e->ager.count--;
        uint64_t tick = tick_of(s->expires_ns);
        if (tick <= e->ager.now_tick && session_is_over(e, slot))
            continue;
        if (!is_in_ager(s)) /* packets came since */
            ager_set(e, slot, s->expires_ns);
        if (s->flags & SESSION_SYN_COOKIE)
            cookie_remind(e, slot);
    }
}

void ager_run(struct engine *e)
{
    struct ager *a = &e->ager;
    uint64_t to = (uint64_t)e->age_ns >> TICK_SHIFT;
    while (a->now_tick < to) {
        if (!a->count) {
            a->now_tick = to;
            return;
        }
        uint64_t tick = a->now_tick + 1;
        if (tick & SLOT_MASK) /* within the window: on to the next slot with sessions, or to the window's end */
            tick = (tick & ~(uint64_t)SLOT_MASK) + next_occupied(a, 0, tick & SLOT_MASK);
        if (tick > to) {
            a->now_tick = to;
            return;
        }
        a->now_tick = tick;
        if (!(tick & SLOT_MASK))
            cascade(e);
        run_slot(e, tick & SLOT_MASK);
    }
}

int64_t ager_next_ns(const struct engine *e)
{
    const struct ager *a = &e->ager;
    if (!a->count)
        return INT64_MAX;
    uint32_t from = (a->now_tick + 1) & SLOT_MASK;
    uint64_t tick = a->now_tick + 1;
    if (from)
        tick = (tick & ~(uint64_t)SLOT_MASK) + next_occupied(a, 0, from);
    return (int64_t)(tick << TICK_SHIFT);
}
