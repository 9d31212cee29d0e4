/*
 * block.c - the block table of the emulated hardware: sources that are dropped before anything else is looked at.
 *
 * An entry is of a source as it comes in by a zone, for all destinations or for one, and ends by itself. The table is as
 * bounded as hardware's: of a full set the entry that would end first goes. Which set a source belongs to nobody outside
 * can tell, so nobody can push a certain entry out.
 */
#include "siphash.h"
#include "state.h"

enum { SETS = 4096, WAYS = 4 };

struct block_key {
    uint8_t source[16], destination[16]; /* destination zeros: any */
    uint64_t zone;
};

struct block_entry {
    struct block_key key;
    int64_t until_ns; /* 0: never used */
    uint64_t dropped;
    uint32_t rule;
    uint8_t why;
};

struct blocks {
    int64_t until_ns[2]; /* when the last entry of a source, of a pair has ended at the latest */
    struct block_entry entries[SETS * WAYS];
};

uint64_t blocks_bytes(void)
{
    return sizeof(struct blocks);
}

static struct block_key key_of(const struct packet *p, bool by_pair)
{
    struct block_key key = {.zone = p->key.zone};
    memcpy(key.source, p->key.src, 16);
    if (by_pair)
        memcpy(key.destination, p->key.dst, 16);
    return key;
}

static struct block_entry *set_of(const struct engine *e, const struct block_key *key)
{
    return &e->blocks->entries[siphash13(e->hash_key, key, sizeof *key) % SETS * WAYS];
}

static bool hits(struct engine *e, const struct packet *p, bool by_pair)
{
    struct block_key key = key_of(p, by_pair);
    struct block_entry *set = set_of(e, &key);
    for (int way = 0; way < WAYS; way++)
        if (e->now_ns < set[way].until_ns && !memcmp(&set[way].key, &key, sizeof key)) {
            set[way].dropped++;
            return true;
        }
    return false;
}

bool block_finds(struct engine *e, const struct packet *p)
{
    const struct blocks *b = e->blocks;
    return (e->now_ns < b->until_ns[false] && hits(e, p, false)) || (e->now_ns < b->until_ns[true] && hits(e, p, true));
}

/* The entry of this key in its set, else the one that ends first. */
static struct block_entry *place_in(struct block_entry *set, const struct block_key *key)
{
    struct block_entry *place = set;
    for (int way = 0; way < WAYS; way++) {
        if (!memcmp(&set[way].key, key, sizeof *key))
            return &set[way];
        if (set[way].until_ns < place->until_ns)
            place = &set[way];
    }
    return place;
}

void block_add(struct engine *e, const struct packet *p, bool by_pair, uint32_t seconds, enum threat_type why, uint32_t rule)
{
    int64_t until_ns = e->now_ns + seconds * 1000000000ll;
    struct block_key key = key_of(p, by_pair);
    struct block_entry *entry = place_in(set_of(e, &key), &key);
    bool is_in_force = e->now_ns < entry->until_ns, is_same = !memcmp(&entry->key, &key, sizeof key);
    if (is_in_force && !is_same) /* of two, the one that lasts longer */
        count(e, COUNTER_flow_dos_block_full);
    if (until_ns <= entry->until_ns)
        return;
    *entry = (struct block_entry){.key = key, .until_ns = until_ns, .why = (uint8_t)why, .rule = rule,
                                  .dropped = is_in_force && is_same ? entry->dropped : 0};
    if (e->blocks->until_ns[by_pair] < until_ns)
        e->blocks->until_ns[by_pair] = until_ns;
    if (e->blocked_until_ns < until_ns)
        e->blocked_until_ns = until_ns;
}

/* ---- looking and clearing -------------------------------------------------------------------------- */

uint32_t engine_blocks(struct engine *e, uint32_t *cursor, struct blocked_source *out, uint32_t max)
{
    uint32_t n = 0, at = *cursor;
    engine_enter(e);
    for (; n < max && at < SETS * WAYS && e->now_ns < e->blocked_until_ns; at++) {
        const struct block_entry *entry = &e->blocks->entries[at];
        if (entry->until_ns <= e->now_ns)
            continue;
        struct blocked_source *b = &out[n++];
        *b = (struct blocked_source){.zone = (uint16_t)entry->key.zone, .why = entry->why, .rule = entry->rule,
                                     .until_ns = entry->until_ns, .dropped = entry->dropped};
        memcpy(b->source, entry->key.source, 16);
        memcpy(b->destination, entry->key.destination, 16);
    }
    *cursor = n == max && at < SETS * WAYS ? at : 0;
    engine_leave(e);
    return n;
}

uint32_t engine_unblock(struct engine *e, const uint8_t *source)
{
    uint32_t taken_out = 0;
    engine_enter(e);
    for (uint32_t at = 0; at < SETS * WAYS && e->now_ns < e->blocked_until_ns; at++) {
        struct block_entry *entry = &e->blocks->entries[at];
        if (entry->until_ns > e->now_ns && (!source || !memcmp(entry->key.source, source, 16))) {
            entry->until_ns = e->now_ns;
            taken_out++;
        }
    }
    if (!source)
        e->blocked_until_ns = e->blocks->until_ns[false] = e->blocks->until_ns[true] = e->now_ns;
    engine_leave(e);
    return taken_out;
}
