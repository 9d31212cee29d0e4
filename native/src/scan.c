/*
 * scan.c - reconnaissance (fact sheet 4.4): how many different ports, hosts or protocols a source has tried within an
 * interval.
 *
 * What it has tried is remembered as bits of a keyed hash, so that the same thing again does not count, and a source takes
 * as much memory whatever it does. A bit that is set for the first time counts for as many things as would on average have
 * been tried until that happens: the bitmap's size by what is still free of it (linear counting; Whang et al. 1990, in the
 * form of Ting 2014). Of more things than there are bits only some are looked at, each for as many.
 *
 * A tracker of one source and kind is found by a keyed hash, which stands for it; of a full set the one that was used the
 * longest time ago goes.
 */
#include "scan.h"

#include "siphash.h"
#include "state.h"

enum { SETS = 2048, WAYS = 8, BITS = 1024, FRACTION = 8 /* bits of an estimate */ };

struct tracker {
    int64_t ends_ns; /* of the interval */
    uint64_t tried;  /* an estimate, with a fraction */
    uint32_t set;    /* bits */
    bool is_scan;
    uint8_t target[16]; /* where it has last tried something new since then */
    uint64_t bits[BITS / 64];
};

struct tracker_set {
    uint64_t id[WAYS]; /* 0: never used */
    int64_t seen_ns[WAYS];
    struct tracker trackers[WAYS];
};

struct scans {
    struct tracker_set sets[SETS];
};

uint64_t scans_bytes(void)
{
    return sizeof(struct scans);
}

static struct tracker *tracker_of(struct engine *e, const struct packet *p, enum scan scan)
{
    struct {
        uint8_t source[16];
        uint64_t zone, scan;
    } key = {.zone = p->key.zone, .scan = scan};
    memcpy(key.source, p->key.src, 16);
    uint64_t id = siphash13(e->hash_key, &key, sizeof key);
    struct tracker_set *set = &e->scans->sets[id % SETS];
    int place = 0;
    for (int way = 0; way < WAYS; way++) {
        if (set->id[way] == id) {
            set->seen_ns[way] = e->now_ns;
            return &set->trackers[way];
        }
        if (set->seen_ns[way] < set->seen_ns[place])
            place = way;
    }
    if (set->trackers[place].ends_ns > e->now_ns)
        count(e, COUNTER_flow_dos_track_full);
    set->id[place] = id;
    set->seen_ns[place] = e->now_ns;
    set->trackers[place].ends_ns = 0;
    return &set->trackers[place];
}

/* What a packet tries, as a number nobody outside knows. */
static uint64_t attempt_of(const struct engine *e, const struct packet *p, enum scan scan)
{
    struct {
        uint8_t host[16];
        uint64_t number, scan;
    } attempt = {.scan = scan};
    if (scan == SCAN_host_sweep)
        memcpy(attempt.host, p->key.dst, 16);
    else
        attempt.number = scan == SCAN_ip_protocol ? p->key.proto : p->key.dport;
    return siphash13(e->hash_key, &attempt, sizeof attempt);
}

/* Whether it is tried for the first time in this interval, as far as that can be told. */
static bool remember(struct tracker *t, uint64_t attempt, uint32_t threshold)
{
    uint32_t at = attempt % BITS, sampled = 0;
    while (threshold >> sampled > BITS)
        sampled++;
    if (attempt >> 32 & ((1u << sampled) - 1) || t->bits[at / 64] >> at % 64 & 1)
        return false;
    t->bits[at / 64] |= 1ull << at % 64;
    t->tried += (uint64_t)((BITS << FRACTION) / (BITS - t->set++)) << sampled;
    return true;
}

/* Whether the packet is part of a scan. Of ports that is what tries one more of them, and everything for the host that was
 * scanned last. */
static bool is_part(struct engine *e, const struct packet *p, enum scan scan, const struct scan_limits *limits)
{
    struct tracker *t = tracker_of(e, p, scan);
    if (t->ends_ns <= e->now_ns)
        *t = (struct tracker){.ends_ns = e->now_ns + limits->interval_s * 1000000000ll};
    bool is_new = remember(t, attempt_of(e, p, scan), limits->threshold);
    t->is_scan |= t->tried >> FRACTION >= limits->threshold;
    bool is_of_ports = scan == SCAN_tcp_port || scan == SCAN_udp_port;
    if (!t->is_scan || (is_of_ports && !is_new && memcmp(t->target, p->key.dst, 16)))
        return false;
    memcpy(t->target, p->key.dst, 16);
    return true;
}

/* Whether the packet is to be dropped. */
static bool look_for(struct engine *e, const struct packet *p, enum scan scan, const struct scan_limits *limits)
{
    if (!limits->enabled || limits->action == SCAN_ACTION_allow || !is_part(e, p, scan, limits))
        return false;
    bool is_dropped = limits->action != SCAN_ACTION_alert;
    threat_note(e, p, THREAT_SCAN, scan, limits->action, 0, is_dropped ? COUNTER_flow_scan_drop : 0);
    if (limits->action == SCAN_ACTION_block_ip)
        block_add(e, p, limits->by_pair, limits->block_s, THREAT_SCAN, 0);
    return is_dropped;
}

static bool is_exempt(const struct engine *e, const struct packet *p, const struct list *ranges)
{
    for (uint32_t i = ranges->first; i < ranges->first + ranges->count; i++)
        if (is_within(p->key.src, &e->config.ranges[i]))
            return true;
    return false;
}

bool scan_refuses(struct engine *e, const struct packet *p, const struct zone_protection *zone, uint64_t dropped[SCAN_COUNT])
{
    enum scan of_protocol = p->key.proto == PROTO_TCP ? SCAN_tcp_port : p->key.proto == PROTO_UDP ? SCAN_udp_port :
                            SCAN_ip_protocol;
    bool is_icmp = p->key.proto == PROTO_ICMP || p->key.proto == PROTO_ICMPV6, is_dropped = false;
    if (is_exempt(e, p, &zone->scan_exempt))
        return false;
    for (enum scan scan = 0; scan < SCAN_COUNT; scan++) {
        bool is_asked = scan == SCAN_host_sweep || (scan == of_protocol && !is_icmp);
        if (!is_asked || !look_for(e, p, scan, &zone->scan[scan]))
            continue;
        dropped[scan] += !is_dropped;
        is_dropped = true;
    }
    return is_dropped;
}
