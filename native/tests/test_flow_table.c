/* The flow table against a plain list, in tables so small that most flows hang in overflow chains. */
#include "state.h"

#include <string.h>

#include "build.h"
#include "check.h"
#include "random.h"

enum { SESSIONS = 40, UNDECIDED = 8, FLOWS = SESSIONS * 2 + UNDECIDED };

/* The model: which references are in the table. Reference i + 2 is flow i. */
struct model {
    bool present[FLOWS];
};

static struct flow_key *key_of(struct engine *e, uint32_t flow)
{
    return flow < SESSIONS * 2 ? &e->sessions[1 + flow / 2].key[flow & 1] : &e->undecided[flow - SESSIONS * 2].key;
}

/* Undecided packets have one reference each, so their odd ones are not used. */
static uint32_t ref_of(uint32_t flow)
{
    return flow < SESSIONS * 2 ? flow + 2 : (SESSIONS + 1 + flow - SESSIONS * 2) * 2;
}

/* Keys that differ in one field only, taken in turn. */
static void write_key(struct flow_key *key, uint32_t flow)
{
    memset(key, 0, sizeof *key);
    key->family = 4;
    uint16_t part = (uint16_t)(flow / 6 + 1);
    switch (flow % 6) {
    case 0: key->src[15] = (uint8_t)part; break;
    case 1: key->dst[0] = (uint8_t)part; break;
    case 2: key->sport = part; break;
    case 3: key->dport = part; break;
    case 4: key->zone = part; break;
    default: key->proto = (uint8_t)part; break;
    }
}

static void compare(struct engine *e, const struct model *m)
{
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        struct flow_key key;
        write_key(&key, flow);
        CHECK(flow_table_lookup(e, &key) == (m->present[flow] ? ref_of(flow) : NONE));
    }
}

static void histories(uint64_t bucket_mask, uint64_t seed)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = SESSIONS, .max_undecided = UNDECIDED});
    struct model m = {0};
    struct random r = {seed};
    e->bucket_mask = bucket_mask; /* fewer buckets than there are is as good as full ones */
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        write_key(key_of(e, flow), flow);
    for (int step = 0; step < 2000; step++) {
        uint32_t flow = random_below(&r, FLOWS);
        if (m.present[flow])
            flow_table_remove(e, ref_of(flow));
        else
            flow_table_insert(e, ref_of(flow));
        m.present[flow] = !m.present[flow];
        if (step % 10 == 0)
            compare(e, &m);
    }
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        if (m.present[flow]) {
            flow_table_remove(e, ref_of(flow));
            m.present[flow] = false;
        }
    compare(e, &m);
    for (uint64_t i = 0; i <= bucket_mask; i++)
        CHECK(!e->buckets[i].overflow);
    engine_free(e);
}

/* All of a full table's flows in one bucket, taken out first to last and last to first. */
static void one_bucket(bool backwards)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = SESSIONS, .max_undecided = UNDECIDED});
    struct model m;
    memset(&m, true, sizeof m);
    e->bucket_mask = 0;
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        write_key(key_of(e, flow), flow);
        flow_table_insert(e, ref_of(flow));
    }
    compare(e, &m);
    for (uint32_t i = 0; i < FLOWS; i++) {
        uint32_t flow = backwards ? FLOWS - 1 - i : i;
        flow_table_remove(e, ref_of(flow));
        m.present[flow] = false;
        compare(e, &m);
    }
    engine_free(e);
}

static void sizes(void)
{
    static const uint32_t rows[][2] = {{1, 1}, {64, 8}, {1000, 1}, {262144, 1024}, {10000000, 65535}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct engine_params params = {.max_sessions = rows[i][0], .max_undecided = rows[i][1]};
        uint64_t buckets = flow_table_buckets(&params), flows = 2ull * rows[i][0] + rows[i][1];
        CHECK(buckets && !(buckets & (buckets - 1)));
        CHECK(buckets * BUCKET_SLOTS >= flows && buckets <= flows);
    }
}

/* The same key lands elsewhere under another hash key. */
static void hash_is_keyed(void)
{
    uint32_t moved = 0;
    struct engine *one = build_engine((struct engine_params){.max_sessions = 1000, .hash_key = {1}});
    struct engine *two = build_engine((struct engine_params){.max_sessions = 1000, .hash_key = {2}});
    for (uint32_t flow = 0; flow < 64; flow++) {
        struct engine *both[2] = {one, two};
        uint64_t at[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            write_key(&both[i]->sessions[1].key[0], flow);
            flow_table_insert(both[i], 2);
            for (uint64_t b = 0; b <= both[i]->bucket_mask; b++)
                if (both[i]->buckets[b].ref[0])
                    at[i] = b;
            flow_table_remove(both[i], 2);
        }
        moved += at[0] != at[1];
    }
    CHECK(moved > 55);
    engine_free(one);
    engine_free(two);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        histories(0, seed);
        histories(1, seed);
        histories(15, seed);
    }
    one_bucket(false);
    one_bucket(true);
    sizes();
    hash_is_keyed();
    return check_report();
}
