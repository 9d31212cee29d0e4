/*
 * overlap.c - what TCP senders have sent: the last 64 KiB of each flow, in a ring that sequence numbers are places in.
 *
 *     known  ......########....#####|         a bit for each byte; holes are segments that have not come yet
 *            ^ top - 65536          ^ top
 *
 * There are so many rings and no more; the flow that was silent longest gives its own to one that has none. Flows are
 * found by their reference in a table of chains.
 */
#include "overlap.h"

#include <stddef.h>
#include <string.h>

enum { WORD = 64 };

static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* ---- flows ------------------------------------------------------------------------------------------ */

static uint16_t *bucket_of(struct overlaps *o, uint32_t ref)
{
    return &o->buckets[ref % OVERLAP_BUCKETS];
}

static uint16_t find(const struct overlaps *o, uint32_t ref)
{
    uint16_t at = o->buckets[ref % OVERLAP_BUCKETS];
    while (at && o->flows[at - 1].ref != ref)
        at = o->flows[at - 1].chain;
    return at;
}

static void unlink_use(struct overlaps *o, uint16_t at)
{
    struct overlap_flow *f = &o->flows[at - 1];
    *(f->older ? &o->flows[f->older - 1].newer : &o->oldest) = f->newer;
    *(f->newer ? &o->flows[f->newer - 1].older : &o->newest) = f->older;
}

static void link_newest(struct overlaps *o, uint16_t at)
{
    struct overlap_flow *f = &o->flows[at - 1];
    f->older = o->newest;
    f->newer = 0;
    *(o->newest ? &o->flows[o->newest - 1].newer : &o->oldest) = at;
    o->newest = at;
}

static void release(struct overlaps *o, uint16_t at)
{
    struct overlap_flow *f = &o->flows[at - 1];
    uint16_t *link = bucket_of(o, f->ref);
    while (*link != at)
        link = &o->flows[*link - 1].chain;
    *link = f->chain;
    unlink_use(o, at);
    *f = (struct overlap_flow){.older = o->free};
    o->free = at;
}

/* A ring for a flow that has none, empty, as if all bytes before seq had been sent. */
static uint16_t take(struct overlaps *o, uint32_t ref, uint32_t seq, bool *took_away)
{
    *took_away = !o->free && o->fresh == OVERLAP_FLOWS;
    if (*took_away)
        release(o, o->oldest);
    uint16_t at = o->free;
    if (at)
        o->free = o->flows[at - 1].older;
    else
        at = ++o->fresh;
    uint16_t *bucket = bucket_of(o, ref);
    o->flows[at - 1] = (struct overlap_flow){.ref = ref, .top = seq, .chain = *bucket};
    *bucket = at;
    link_newest(o, at);
    memset(o->memory[at - 1].known, 0, sizeof o->memory[at - 1].known);
    return at;
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* The bits of a word, from one on and so many at most; how many is said. */
static uint64_t bits_from(uint32_t place, uint32_t left, uint32_t *count)
{
    uint32_t first = place % WORD;
    *count = left < WORD - first ? left : WORD - first;
    return (*count == WORD ? ~0ull : (1ull << *count) - 1) << first;
}

static void mark(struct overlap_bytes *m, uint32_t seq, uint32_t len, bool is_known)
{
    for (uint32_t n; len; seq += n, len -= n) {
        uint32_t place = seq % OVERLAP_BYTES;
        uint64_t bits = bits_from(place, len, &n), *word = &m->known[place / WORD];
        *word = is_known ? *word | bits : *word & ~bits;
    }
}

/* What is too old to be kept is cut off; false where that is all of it. */
static bool cut_old(const struct overlap_flow *f, uint32_t *seq, const uint8_t **data, uint32_t *len)
{
    uint32_t bottom = f->top - OVERLAP_BYTES;
    if (!before(*seq, bottom))
        return true;
    uint32_t old = bottom - *seq;
    if (old >= *len)
        return false;
    *seq += old, *data += old, *len -= old;
    return true;
}

bool overlap_differs(const struct overlaps *o, uint32_t ref, uint32_t seq, const uint8_t *data, uint32_t len)
{
    uint16_t at = find(o, ref);
    if (!at)
        return false;
    const struct overlap_flow *f = &o->flows[at - 1];
    const struct overlap_bytes *m = &o->memory[at - 1];
    if (!before(seq, f->top) || !cut_old(f, &seq, &data, &len))
        return false;
    if (len > f->top - seq)
        len = f->top - seq;
    for (uint32_t n; len; seq += n, data += n, len -= n) {
        uint32_t place = seq % OVERLAP_BYTES;
        uint64_t bits = bits_from(place, len, &n), known = m->known[place / WORD] & bits;
        if (!known || !memcmp(m->bytes + place, data, n))
            continue;
        for (uint32_t i = 0; i < n; i++)
            if (known >> (place + i) % WORD & 1 && m->bytes[place + i] != data[i])
                return true;
    }
    return false;
}

bool overlap_keep(struct overlaps *o, uint32_t ref, uint32_t seq, const uint8_t *data, uint32_t len)
{
    uint16_t at = find(o, ref);
    bool took_away = false;
    if (at) {
        unlink_use(o, at);
        link_newest(o, at);
    } else {
        at = take(o, ref, seq, &took_away);
    }
    struct overlap_flow *f = &o->flows[at - 1];
    struct overlap_bytes *m = &o->memory[at - 1];
    const uint8_t *begin = data;
    if (!cut_old(f, &seq, &data, &len))
        return false;
    if (before(f->top, seq)) { /* a hole; what was in its place is too old now */
        uint32_t hole = seq - f->top;
        mark(m, f->top, hole < OVERLAP_BYTES ? hole : OVERLAP_BYTES, false);
    }
    if (before(f->top, seq + len))
        f->top = seq + len;
    uint32_t place = seq % OVERLAP_BYTES, first = len < OVERLAP_BYTES - place ? len : OVERLAP_BYTES - place;
    memcpy(m->bytes + place, data, first);
    memcpy(m->bytes, data + first, len - first);
    mark(m, seq, len, true);
    return !took_away && data == begin;
}

void overlap_forget(struct overlaps *o, uint32_t ref)
{
    uint16_t at = o->oldest ? find(o, ref) : 0;
    if (at)
        release(o, at);
}

void overlap_forget_all(struct overlaps *o)
{
    memset(o, 0, offsetof(struct overlaps, flows));
}
