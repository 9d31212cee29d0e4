/*
 * Fuzz target: fragments, their times and answers, against an engine with little room for them. Every fragment has
 * exactly one verdict in the end; what leaves are whole datagrams, each fragment once, with nothing missing, nothing
 * twice and checksums that are right; nothing is left in any table.
 *
 *     0 fragment  family, host, identification, port; offset, bytes and what they are; more
 *     1 datagram  as 0, then sizes: fragments of one right packet, in some order, perhaps one of them twice
 *     2 answer    install a session (translated), deny, or refuse
 *     3 tick      nanoseconds as a power of two      4 take the verdicts      5 clear the sessions
 *     6 headers   IPv6 or IPv4: the next fragments' own bytes in front of layer 4
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "require.h"
#include "state.h"

enum { MAX_TAGS = 2048, FRAGMENTS = 12, SESSIONS = 4, OPERATIONS = 7, LAST_S = 1 << 28, ASSEMBLED = 1 << 17 };

struct history {
    const uint8_t *at, *end;
    struct engine *engine;
    int64_t now_ns;
    uint32_t tags, offset[MAX_TAGS], bytes[MAX_TAGS], len[MAX_TAGS];
    uint8_t verdicts[MAX_TAGS];
    bool more[MAX_TAGS];
    const struct verdict *taken; /* what was taken last, and the sum of it */
    uint32_t taken_count, sum;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t next(struct history *h)
{
    return h->at < h->end ? *h->at++ : 0;
}

static bool goes_on(const struct verdict *v)
{
    return v->action == VERDICT_FORWARD || v->action == VERDICT_HOST;
}

static uint32_t sum_of(const struct verdict *all, uint32_t count)
{
    uint32_t sum = count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t b = 0; goes_on(&all[i]) && b < all[i].len; b++)
            sum = sum * 31 + all[i].data[b];
    return sum;
}

static uint32_t payload_of(const uint8_t *ip)
{
    return ip[0] >> 4 == 4 ? 20 : 48;
}

/* The verdicts from `first` on are those of one datagram: how many; what they have joins without gap or overlap, to a
 * packet that parses, checksum and all. */
static uint32_t check_datagram(const struct history *h, const struct verdict *first, uint32_t left)
{
    static uint8_t whole[ASSEMBLED], seen[ASSEMBLED];
    uint32_t total = 0, end = 0, n = 0, header = first->data[0] >> 4 == 4 ? 20 : 40;
    bool has_last = false;
    memset(seen, 0, sizeof seen);
    while (!has_last || total < end) {
        require(n < left && goes_on(&first[n]) && first[n].changed == first->changed);
        const uint8_t *ip = first[n].data;
        uint32_t tag = (uint32_t)first[n].tag;
        struct packet p;
        require(packet_parse((uint8_t *)ip, first[n].len, LINK_IP, PARSE_OWN, &p) == 0 && p.is_fragment);
        require(!memcmp(ip + (header == 20 ? 12 : 8), first->data + (header == 20 ? 12 : 8), header == 20 ? 8 : 32));
        require(p.fragment_offset == h->offset[tag] && p.more_fragments == h->more[tag]);
        if (!h->more[tag]) {
            require(!has_last);
            has_last = true;
            end = h->offset[tag] + h->bytes[tag];
        }
        memcpy(whole + header + h->offset[tag], ip + payload_of(ip), h->bytes[tag]);
        require(!memchr(seen + h->offset[tag], 1, h->bytes[tag]));
        memset(seen + h->offset[tag], 1, h->bytes[tag]);
        if (!h->offset[tag]) {
            memcpy(whole, ip, header);
            if (header == 40)
                whole[6] = ip[40];
        }
        total += h->bytes[tag];
        n++;
    }
    require(total == end);
    if (header == 40) {
        build_be16(whole + 4, end);
    } else {
        build_be16(whole + 2, header + end);
        build_be16(whole + 6, 0);
        build_be16(whole + 10, 0);
        build_be16(whole + 10, ~build_sum(0, whole, header) & 0xffff);
    }
    struct packet p;
    require(packet_parse(whole, header + end, LINK_IP, PARSE_OWN, &p) == 0);
    return n;
}

static void take_verdicts(struct history *h)
{
    uint32_t count, n;
    require(sum_of(h->taken, h->taken_count) == h->sum); /* nobody wrote there in the meantime */
    const struct verdict *all = engine_verdicts(h->engine, &count);
    const struct engine_params *params = &h->engine->params;
    require(count <= MAX_BURST + 2 * params->max_held + params->max_fragments);
    for (uint32_t i = 0; i < count; i++) {
        const struct verdict *v = &all[i];
        require(v->action != VERDICT_EMIT && v->tag < h->tags && h->verdicts[v->tag]++ == 0);
        require((v->action == VERDICT_DROP) == (v->reason != 0));
        require(!goes_on(v) || v->len == h->len[v->tag]);
    }
    for (uint32_t i = 0; i < count; i += n)
        n = goes_on(&all[i]) ? check_datagram(h, &all[i], count - i) : 1;
    h->taken = all;
    h->taken_count = count;
    h->sum = sum_of(all, count);
}

static void feed(struct history *h, const uint8_t *whole, uint32_t offset, uint32_t bytes, bool more, uint32_t id, uint16_t port)
{
    static uint8_t packet[BUILD_BYTES + 8];
    if (h->tags == MAX_TAGS || (!offset && !more)) /* the latter is none */
        return;
    uint32_t len = build_fragment(packet, whole, offset, bytes, more, id);
    uint8_t *copy = malloc(len); /* its bytes are nobody's when the call is over */
    if (!copy)
        abort();
    memcpy(copy, packet, len);
    h->offset[h->tags] = offset;
    h->bytes[h->tags] = bytes;
    h->len[h->tags] = len;
    h->more[h->tags] = more;
    struct input in = {.tag = h->tags++, .data = copy, .len = len, .port = port, .link = LINK_IP, .now_ns = h->now_ns};
    if (!engine_input(h->engine, &in, 1, false)) {
        take_verdicts(h);
        require(engine_input(h->engine, &in, 1, false) == 1);
    }
    free(copy);
}

struct choice {
    struct build build;
    uint32_t id;
    uint16_t port;
};

static struct choice choose(struct history *h)
{
    uint8_t shape = next(h);
    struct choice c = {.id = 1 + (shape >> 2 & 1), .port = 1 + (shape >> 3 & 1)};
    c.build = (struct build){.family = shape & 1 ? 6 : 4, .proto = shape & 2 ? PROTO_TCP : PROTO_UDP, .src = 1 + (shape >> 4 & 3),
                             .dst = 9, .sport = 7, .dport = 8, .flags = TCP_SYN};
    if (shape & 64)
        c.build.src |= 0x10000; /* another network */
    if (shape & 128)
        c.build.proto = 47;
    return c;
}

static void fragment(struct history *h)
{
    static uint8_t whole[BUILD_BYTES];
    struct choice c = choose(h);
    uint32_t offset = next(h), bytes = 1 + next(h), size = next(h);
    bool more = size & 1;
    if (size & 2) /* to where the longest ends */
        offset += 8192 - 256;
    offset *= 8;
    if (more)
        bytes = (bytes + 7) & ~7u;
    if (size & 4) /* a jumbo frame */
        bytes += 4096;
    if (offset + bytes > 65535)
        return;
    c.build.payload = offset + bytes < 60000 ? offset + bytes : 60000;
    build_packet(whole, &c.build);
    feed(h, whole, offset < 60000 ? offset : 0, offset < 60000 && offset + bytes <= 60000 ? bytes : 8, more, c.id, c.port);
}

/* A right packet, cut where the bytes say. */
static void datagram(struct history *h)
{
    enum { CUTS = 6 };
    static uint8_t whole[BUILD_BYTES];
    struct choice c = choose(h);
    uint8_t order = next(h), twice = next(h);
    uint32_t ends[CUTS + 1], count = 0, at = 0;
    c.build.payload = next(h) * 8u + (twice >> 5);
    if (twice & 16)
        c.build.payload *= 31;
    uint32_t header = c.build.family == 4 ? 20 : 40, total = build_packet(whole, &c.build) - header;
    while (count < CUTS && at < total) {
        at += (1 + next(h)) * (twice & 16 ? 256u : 8u);
        ends[count++] = at < total ? at : total;
    }
    if (count < 2)
        return;
    ends[count - 1] = total;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t which = (i * (order & 1 ? count - 1 : 1) + (order >> 1)) % count; /* forwards, backwards, begun within */
        uint32_t from = which ? ends[which - 1] : 0;
        feed(h, whole, from, ends[which] - from, which < count - 1, c.id, c.port);
        if ((twice & 15) == i)
            feed(h, whole, from, ends[which] - from, which < count - 1, c.id, c.port);
    }
}

static void answer(struct history *h)
{
    struct undecided u;
    uint8_t choice = next(h);
    if (!engine_undecided(h->engine, &u, 1))
        return;
    struct session_spec spec = build_spec(&u.key, 1 + (choice & 1), choice & 2 ? ACTION_deny : ACTION_allow);
    if (choice & 4)
        build_key_address(spec.s2c.dst, u.key.family, 200);
    if (choice & 8)
        spec.s2c.sport = 0x1234;
    if (choice & 16)
        spec.dscp[C2S] = 1 + (choice >> 5) * 8;
    if (choice == 255)
        engine_refuse(h->engine, u.handle, COUNTER_flow_policy_nofwd);
    else
        engine_install(h->engine, u.handle, &spec);
}

static void tick(struct history *h)
{
    int64_t by = 1ll << next(h) % 40;
    if (h->now_ns / SECOND > LAST_S)
        return;
    h->now_ns += by;
    engine_tick(h->engine, h->now_ns);
    require(engine_next_timer_ns(h->engine) > h->now_ns);
}

static void clear(struct history *h)
{
    for (uint32_t id = 1; id <= SESSIONS; id++)
        engine_clear(h->engine, id);
}

/* Layer 4 that is not there, or not what it should be: the checksum is wrong then, so nothing may leave. */
static void headers(struct history *h)
{
    uint8_t whole[256] = {0}, bytes = (uint8_t)(8 + (next(h) & 56));
    struct build b = {.family = 6, .proto = PROTO_UDP, .src = 3, .dst = 9, .sport = 7, .dport = 8};
    build_packet(whole, &b);
    whole[6] = next(h);
    for (uint32_t i = 0; i < bytes; i++)
        whole[40 + i] = next(h);
    uint8_t choice = next(h);
    feed(h, whole, choice >> 4 << 3, bytes, choice & 1, 3, 1);
}

static void check_stats(const struct history *h)
{
    struct engine_stats s;
    uint32_t waiting = 0;
    engine_stats(h->engine, &s);
    for (uint32_t tag = 0; tag < h->tags; tag++)
        waiting += !h->verdicts[tag];
    require(s.fragments <= FRAGMENTS && s.fragments <= waiting && (s.fragments != 0) == (s.fragment_bytes != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct history histories[1]; /* large */
    static void (*const operations[OPERATIONS])(struct history *) = {fragment, datagram, answer, tick, take_verdicts, clear,
                                                                     headers};
    struct history *h = histories;
    struct engine_stats s;
    memset(h, 0, sizeof *h);
    h->at = bytes;
    h->end = bytes + size;
    h->engine = build_engine((struct engine_params){
        .max_sessions = SESSIONS, .max_undecided = 2, .max_held = 4, .max_fragments = FRAGMENTS, .max_events = 4});
    while (h->at < h->end) {
        operations[next(h) % OPERATIONS](h);
        check_stats(h);
    }
    engine_tick(h->engine, h->now_ns + SECOND); /* nobody answers any more */
    take_verdicts(h);
    engine_tick(h->engine, h->now_ns + FRAGMENT_TIMEOUT_S * SECOND);
    take_verdicts(h);
    for (uint32_t tag = 0; tag < h->tags; tag++)
        require(h->verdicts[tag] == 1);
    engine_stats(h->engine, &s);
    require(!s.fragments && !s.fragment_bytes && !s.held);
    require(engine_counters(h->engine)[COUNTER_pkt_recv] == h->tags);
    engine_free(h->engine);
    return 0;
}
