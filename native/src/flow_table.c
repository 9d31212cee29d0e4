/*
 * flow_table.c - from a flow's key to its reference: a fixed table of cache-line buckets.
 *
 * A bucket holds seven tags beside their references, so that a lookup costs one line for the bucket and
 * one for the key it then compares in full. Flows that find their bucket full hang in a chain through
 * their own records. The hash is keyed and its key never leaves the engine.
 */
#include <assert.h>
#include <string.h>

#include "siphash.h"
#include "state.h"

uint64_t flow_table_buckets(const struct engine_params *params)
{
    /* five flows a bucket at the most leaves about one in eight chained when every slot is taken */
    uint64_t wanted = (2ull * params->max_sessions + params->max_undecided) / 5 + 1, buckets = 1;
    while (buckets < wanted)
        buckets *= 2;
    return buckets;
}

uint64_t flow_table_hash(const struct engine *e, const struct flow_key *key)
{
    _Static_assert(sizeof *key == 40, "the key is hashed as bytes and must have no padding");
    return siphash13(e->hash_key, key, sizeof *key);
}

static bool is_session(const struct engine *e, uint32_t ref)
{
    return ref / 2 <= e->params.max_sessions;
}

static const struct flow_key *key_at(const struct engine *e, uint32_t ref)
{
    if (is_session(e, ref))
        return &e->sessions[ref / 2].key[ref & 1];
    return &e->undecided[ref / 2 - e->params.max_sessions - 1].key;
}

static uint32_t *link_at(const struct engine *e, uint32_t ref)
{
    if (is_session(e, ref))
        return &e->sessions[ref / 2].link[ref & 1];
    return &e->undecided[ref / 2 - e->params.max_sessions - 1].link;
}

static bool keys_equal(const struct flow_key *a, const struct flow_key *b)
{
    return !memcmp(a, b, sizeof *a);
}

void flow_table_prefetch_bucket(const struct engine *e, uint64_t hash)
{
    __builtin_prefetch(&e->buckets[hash & e->bucket_mask]);
}

void flow_table_prefetch_records(const struct engine *e, uint64_t hash)
{
    const struct bucket *b = &e->buckets[hash & e->bucket_mask];
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (b->tag[i] == (uint32_t)(hash >> 32) && b->ref[i] && is_session(e, b->ref[i])) {
            const char *session = (const char *)&e->sessions[b->ref[i] / 2];
            __builtin_prefetch(session, 1);
            __builtin_prefetch(session + 64, 1);
            __builtin_prefetch(session + 128, 1);
            __builtin_prefetch(session + 192, 1);
        }
}

uint32_t flow_table_lookup_hashed(const struct engine *e, const struct flow_key *key, uint64_t hash)
{
    const struct bucket *b = &e->buckets[hash & e->bucket_mask];
    uint32_t tag = (uint32_t)(hash >> 32);
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (b->tag[i] == tag && b->ref[i] && keys_equal(key_at(e, b->ref[i]), key))
            return b->ref[i];
    for (uint32_t ref = b->overflow; ref; ref = *link_at(e, ref))
        if (keys_equal(key_at(e, ref), key))
            return ref;
    return NONE;
}

uint32_t flow_table_lookup(const struct engine *e, const struct flow_key *key)
{
    return flow_table_lookup_hashed(e, key, flow_table_hash(e, key));
}

void flow_table_insert(struct engine *e, uint32_t ref)
{
    uint64_t hash = flow_table_hash(e, key_at(e, ref));
    struct bucket *b = &e->buckets[hash & e->bucket_mask];
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (!b->ref[i]) {
            b->tag[i] = (uint32_t)(hash >> 32);
            b->ref[i] = ref;
            return;
        }
    *link_at(e, ref) = b->overflow;
    b->overflow = ref;
}

void flow_table_remove(struct engine *e, uint32_t ref)
{
    struct bucket *b = &e->buckets[flow_table_hash(e, key_at(e, ref)) & e->bucket_mask];
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (b->ref[i] == ref) {
            b->ref[i] = NONE;
            return;
        }
    uint32_t *at = &b->overflow;
    while (*at && *at != ref)
        at = link_at(e, *at);
    assert(*at); /* whoever removes a flow has inserted it */
    *at = *link_at(e, ref);
}
