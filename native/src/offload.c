/*
 * offload.c - the emulated hardware: forwards packets of established sessions and seldom speaks of it.
 *
 * It has a flow table of its own, as large as the device's, of buckets with a fixed number of ways; a session that
 * finds no room stays in software. It counts packets per flow, and only when a flow's count reaches the profile's
 * figure, or a packet has waited for the profile's scan interval, it reports: the session's statistics grow by what
 * was counted and its timer starts again (fact sheet 3.1). So a session can age out although packets flow.
 *
 * What the hardware does not understand fully - SYN, FIN, RST, IP options, a TTL that ends here, more than the MTU -
 * goes up to the fastpath. TCP windows are followed here as there, so that offloading changes timers and nothing else.
 *
 * Reports by time happen when somebody looks: at the next packet, at expiry, in a listing. They carry the time they
 * were due, so nobody can tell. The scan timer runs on the ager's clock: while aging is accelerated, so is scanning,
 * and no report is later than the interval says.
 */
#include <string.h>

#include "state.h"

static const struct flow_key *key_at(const struct engine *e, uint32_t ref)
{
    return &e->offload.records[ref / 2].key[ref & 1];
}

/* ---- the flow table --------------------------------------------------------------------------------- */

uint64_t offload_buckets(const struct engine_params *params)
{
    /* with two flows a bucket one in sixty finds all five ways taken when the engine is full */
    uint64_t buckets = 1;
    while (buckets < params->max_offloaded)
        buckets *= 2;
    return buckets;
}

static struct offload_bucket *bucket_at(const struct engine *e, uint64_t hash)
{
    return &e->offload.buckets[hash & e->offload.bucket_mask];
}

void offload_prefetch_bucket(const struct engine *e, uint64_t hash)
{
    __builtin_prefetch(bucket_at(e, hash));
}

bool offload_prefetch_records(const struct engine *e, uint64_t hash)
{
    const struct offload_bucket *b = bucket_at(e, hash);
    bool found = false;
    for (int i = 0; i < OFFLOAD_WAYS; i++)
        if (b->tag[i] == (uint32_t)(hash >> 32) && b->ref[i]) {
            const char *record = (const char *)&e->offload.records[b->ref[i] / 2];
            __builtin_prefetch(record, 1);
            __builtin_prefetch(record + 64, 1);
            __builtin_prefetch((const char *)&e->sessions[b->slot[i]] + 192, 1);
            found = true;
        }
    return found;
}

static uint32_t find(const struct engine *e, const struct flow_key *key, uint64_t hash)
{
    const struct offload_bucket *b = bucket_at(e, hash);
    for (int i = 0; i < OFFLOAD_WAYS; i++)
        if (b->tag[i] == (uint32_t)(hash >> 32) && b->ref[i] && !memcmp(key_at(e, b->ref[i]), key, sizeof *key))
            return b->ref[i];
    return NONE;
}

static bool insert(struct engine *e, uint32_t ref, uint32_t slot)
{
    uint64_t hash = flow_table_hash(e, key_at(e, ref));
    struct offload_bucket *b = bucket_at(e, hash);
    for (int i = 0; i < OFFLOAD_WAYS; i++)
        if (!b->ref[i]) {
            b->tag[i] = (uint32_t)(hash >> 32);
            b->ref[i] = ref;
            b->slot[i] = slot;
            return true;
        }
    return false;
}

static void remove_flow(struct engine *e, uint32_t ref)
{
    struct offload_bucket *b = bucket_at(e, flow_table_hash(e, key_at(e, ref)));
    for (int i = 0; i < OFFLOAD_WAYS; i++)
        if (b->ref[i] == ref)
            b->ref[i] = NONE;
}

static uint32_t record_take(struct engine *e)
{
    struct offload *o = &e->offload;
    uint32_t record = o->free;
    if (!record)
        return ++o->fresh;
    o->free = o->records[record].slot;
    return record;
}

static void record_free(struct engine *e, uint32_t record)
{
    e->offload.records[record].slot = e->offload.free;
    e->offload.free = record;
}

/* ---- reports ---------------------------------------------------------------------------------------- */

/* Adds what was counted to the session's statistics. */
static void collect(struct session *s, struct offload_record *r, enum direction d)
{
    s->packets[d] += r->packets[d];
    s->bytes[d] += r->bytes[d];
    r->packets[d] = 0;
    r->bytes[d] = 0;
    if (r->seen_data)
        s->flags |= SESSION_SEEN_DATA;
}

/* A changed timer is taken up by the session's next packet: after a commit that one goes through software. */
static void report(struct engine *e, struct offload_record *r, enum direction d, int64_t age_ns)
{
    collect(&e->sessions[r->slot], r, d);
    session_restart_timer(e, r->slot, age_ns);
    count(e, COUNTER_offload_report);
}

void offload_settle(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    struct offload_record *r = &e->offload.records[s->offload];
    int64_t scan_ns = e->offload.scan_ns;
    if (!scan_ns)
        return;
    enum direction first = r->packets[S2C] && (!r->packets[C2S] || r->first_ns[S2C] < r->first_ns[C2S]) ? S2C : C2S;
    for (int i = 0; i < 2; i++) {
        enum direction d = i ? !first : first;
        int64_t due_ns = r->first_ns[d] + scan_ns;
        if (r->packets[d] && due_ns <= e->age_ns && due_ns < s->expires_ns)
            report(e, r, d, due_ns);
    }
}

/* ---- coming and going ------------------------------------------------------------------------------- */

static bool is_eligible(const struct engine *e, const struct session *s)
{
    uint8_t proto = s->key[C2S].proto;
    if (s->state != SESSION_ACTIVE || s->blocked[C2S] || s->blocked[S2C] || s->flags & SESSION_HOST)
        return false;
    if (e->config.ports[s->port[S2C]].mode == PORT_TAP) /* nothing to forward */
        return false;
    if (s->flags & SESSION_SYN_COOKIE) /* the hardware translates no sequence numbers */
        return false;
    if (proto == PROTO_TCP && (checks_follow(e, s->port[C2S]) || checks_follow(e, s->port[S2C])))
        return false;
    if (proto == PROTO_TCP)
        return s->tcp_state == TCP_STATE_ESTABLISHED;
    return proto != PROTO_ICMP && proto != PROTO_ICMPV6; /* a session of two packets */
}

void offload_enter(struct engine *e, uint32_t slot)
{
    enum { RETRY_PACKETS = 64 }; /* until a session whose bucket was full looks again: that costs more than a packet */
    struct session *s = &e->sessions[slot];
    struct offload *o = &e->offload;
    if (!is_eligible(e, s) || (s->flags & SESSION_NO_WAY && (s->packets[C2S] + s->packets[S2C]) % RETRY_PACKETS))
        return;
    uint32_t record = NONE;
    s->flags &= (uint16_t)~SESSION_NO_WAY;
    if (e->stats.offloaded < o->limit) {
        record = record_take(e);
        const struct offload_profile *profile = &e->config.offload_profile;
        o->records[record] = (struct offload_record){
            .key = {s->key[C2S], s->key[S2C]},
            .slot = slot,
            .port = {s->port[C2S], s->port[S2C]},
            .report_packets = (uint16_t)(s->key[C2S].proto == PROTO_UDP ? profile->udp_packets : profile->packets),
            .generation = s->generation,
            .mark = {s->mark[C2S], s->mark[S2C]},
            .dscp = {s->dscp[C2S], s->dscp[S2C]},
            .translates = is_translated(s),
        };
        bool fits = insert(e, record * 2 + C2S, slot) && insert(e, record * 2 + S2C, slot);
        if (!fits) {
            remove_flow(e, record * 2 + C2S);
            record_free(e, record);
            record = NONE;
            s->flags |= SESSION_NO_WAY;
        }
    }
    if (!record) {
        if (!(s->flags & SESSION_NO_ROOM))
            count(e, COUNTER_session_offload_full);
        s->flags |= SESSION_NO_ROOM;
        return;
    }
    s->offload = record;
    s->flags |= SESSION_OFFLOADED;
    e->stats.offloaded++;
    count(e, COUNTER_session_offloaded);
}

void offload_leave(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    uint32_t record = s->offload;
    struct offload_record *r = &e->offload.records[record];
    offload_settle(e, slot);
    collect(s, r, C2S);
    collect(s, r, S2C);
    remove_flow(e, record * 2 + C2S);
    remove_flow(e, record * 2 + S2C);
    record_free(e, record);
    s->offload = NONE;
    e->stats.offloaded--;
}

/* Where many leave at once, all buckets are cleared and none has to be looked up. */
static void pull_back_all(struct engine *e)
{
    struct offload *o = &e->offload;
    bool many = e->stats.offloaded > o->bucket_mask / 8;
    if (!e->stats.offloaded)
        return;
    for (uint32_t record = 1; record <= o->fresh; record++) {
        struct offload_record *r = &o->records[record];
        struct session *s = &e->sessions[r->slot];
        if (s->offload != record) /* the record is free */
            continue;
        offload_settle(e, r->slot);
        collect(s, r, C2S);
        collect(s, r, S2C);
        if (!many) {
            remove_flow(e, record * 2 + C2S);
            remove_flow(e, record * 2 + S2C);
        }
        s->offload = NONE;
        count(e, COUNTER_session_pulled_back);
    }
    if (many)
        memset(o->buckets, 0, (o->bucket_mask + 1) * sizeof *o->buckets);
    o->fresh = o->free = NONE;
    e->stats.offloaded = 0;
}

void offload_configure(struct engine *e)
{
    struct offload *o = &e->offload;
    const struct offload_profile *profile = &e->config.offload_profile;
    bool is_on = e->config.offload && profile->packets;
    int64_t scan_ns = profile->scan_ms * 1000000ll;
    o->limit = is_on ? profile->max_sessions : 0;
    if (o->limit > e->params.max_offloaded)
        o->limit = e->params.max_offloaded;
    if (!is_on || scan_ns != o->scan_ns) /* what was counted is not due by another device's interval */
        pull_back_all(e);
    o->scan_ns = scan_ns;
}

/* ---- a packet ---------------------------------------------------------------------------------------- */

static bool is_understood(const struct packet *p)
{
    uint32_t plain_header = p->key.family == 4 ? 20 : 40;
    return p->ttl > 1 && p->l4_offset == plain_header && !p->reassembled && !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

static bool is_too_long(const struct engine *e, const struct packet *p, uint16_t egress)
{
    uint32_t mtu = e->config.ports[egress].mtu;
    return p->len > mtu && (!p->gso || !mtu); /* 0: there is no tunnel behind it */
}

bool offload_packet(struct engine *e, const struct packet *p, uint64_t tag)
{
    uint32_t ref = find(e, &p->key, p->hash);
    if (!ref || !is_understood(p))
        return false;
    struct offload_record *r = &e->offload.records[ref / 2];
    struct session *s = &e->sessions[r->slot];
    enum direction d = ref & 1;
    uint32_t slot = r->slot, reason;
    bool restart;
    uint16_t port = r->port[!d];
    if (r->generation != e->generation || (p->egress && p->egress != port) || is_too_long(e, p, port))
        return false;
    offload_settle(e, slot);
    if (s->expires_ns <= e->age_ns)
        return false;
    if (p->key.proto == PROTO_TCP && (reason = tcp_segment(e, s, d, p, &restart))) {
        verdict_drop(e, tag, slot, reason);
        return true;
    }
    session_touch(e, s);
    if (!r->packets[d])
        r->first_ns[d] = e->age_ns;
    r->packets[d]++;
    r->bytes[d] += p->len;
    r->seen_data |= p->len > p->payload_offset;
    if (r->packets[d] >= r->report_packets)
        report(e, r, d, e->age_ns);
    count(e, COUNTER_pkt_offloaded);
    bool changed = (r->translates || r->dscp[d]) && rewrite_packet(e, p, r->translates ? &r->key[!d] : NULL, r->dscp[d], 0);
    verdict_forward(e, p, tag, slot, port, r->mark[d], changed);
    return true;
}
