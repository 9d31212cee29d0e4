/*
 * Fuzz target: a small engine. The bytes are a history of packets, answers, ticks and commits; at its end
 * every packet has exactly one verdict, the counters add up, and nothing is left in any table. Sessions end
 * with exactly those packets and bytes that were forwarded for them, or dropped because they are to be discarded.
 *
 *     0 packet   shape, hosts and ports, flags, ingress port        7 clear a session
 *     1 frame    link type, ingress port, length, bytes             8 configure ports and timers
 *     2 install  which handle, action and egress, server's key      9 list sessions
 *     3 refuse   which handle, reason                              10 segment: as a packet; numbers, window, options
 *     4 tick     nanoseconds as a power of two                     11 configure the offload engine
 *     5 take the verdicts                                          12 configure TCP, aging and limits
 *     6 take events                                                13 routes
 *    14 install translated: as 2, then what translation needs      15 deny a session
 *    16 configure modes, MTU and MSS of the ports                  17 what the edge says of the packets that follow
 *    18 a lease                                                   19 configure protection, DoS rules, buffers
 *    20 look at what is blocked, clear it; rules in and out of force
 *
 * Packets, segments and frames that follow each other are one burst.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "require.h"
#include "state.h"

enum {
    MAX_TAGS = 4096,
    MAX_HANDLES = 32,
    BURST = 80, /* more than two of the engine's groups */
    SESSIONS = 6,
    PORTS = 5,
    MAX_ROUTES = 4,
    OPERATIONS = 21,
    RULES = 3,
    POOL = 7,
};
static const int64_t LAST_NS = 1ll << 61;

/* What the verdicts say of a session. */
struct book {
    uint64_t packets, bytes;
};

struct history {
    const uint8_t *at, *end;
    struct engine *engine;
    int64_t now_ns;
    uint32_t tags;
    uint8_t verdicts[MAX_TAGS]; /* how many a tag got */
    uint32_t lengths[MAX_TAGS]; /* of the IP packet */
    bool is_error[MAX_TAGS];    /* passes with a session and is no packet of it */
    bool is_sound[MAX_TAGS];    /* its checksums were right, or are to be computed */
    uint64_t forwarded, to_host, consumed, own;
    uint8_t how, egress;             /* what the edge says: of enum input_flag, and a bridge's port */
    struct book books[SESSIONS + 1]; /* of the session in a slot, or the last one until its end was seen */
    uint64_t unseen;                 /* sessions whose end was not */
    struct port_config ports[PORTS];
    struct engine_config config;
    struct zone_protection zones[2];
    struct dos_rule rules[RULES];
    struct fib *fib;
    struct input burst[BURST];
    uint32_t burst_size;
    struct undecided handles[MAX_HANDLES]; /* handed out at some time: some are answered or expired */
    uint32_t handle_count;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t next(struct history *h)
{
    return h->at < h->end ? *h->at++ : 0;
}

static void take_verdicts(struct history *h)
{
    uint32_t count;
    volatile uint8_t touched;
    const struct verdict *all = engine_verdicts(h->engine, &count);
    require(count <= MAX_BURST + 2 * h->engine->params.max_held + h->engine->params.max_fragments);
    for (uint32_t i = 0; i < count; i++) {
        const struct verdict *v = &all[i];
        if (v->action == VERDICT_EMIT) {
            struct packet p;
            uint32_t reason = packet_parse((uint8_t *)v->data, v->len, LINK_IP, 0, &p);
            /* the client translated to its server, or one of them to what is none */
            require(!reason || reason == COUNTER_flow_parse_land || reason == COUNTER_flow_parse_martian ||
                    reason == COUNTER_flow_parse_ip6_mcast_source || reason == COUNTER_flow_parse_tcp_port);
            continue;
        }
        require(v->tag < h->tags && h->verdicts[v->tag]++ == 0);
        require((v->action == VERDICT_DROP) == (v->reason != 0));
        require(v->session <= SESSIONS && (v->action != VERDICT_FORWARD || v->len == h->lengths[v->tag]));
        bool is_kept = v->reason == COUNTER_flow_discard_drop || v->reason == COUNTER_flow_policy_deny ||
                       v->reason == COUNTER_flow_tap_drop;
        if (v->session && !h->is_error[v->tag] && (v->action != VERDICT_DROP || is_kept)) {
            h->books[v->session].packets++;
            h->books[v->session].bytes += h->lengths[v->tag];
        }
        h->forwarded += v->action == VERDICT_FORWARD;
        h->to_host += v->action == VERDICT_HOST;
        h->consumed += v->action == VERDICT_CONSUMED;
        if (v->action == VERDICT_FORWARD) /* still the engine's or ours to read, to the last byte */
            touched = v->data[0], touched = v->data[v->len - 1];
        if (v->changed && h->is_sound[v->tag]) {
            struct packet p;
            uint32_t reason = packet_parse((uint8_t *)v->data, v->len, LINK_IP, PARSE_OWN, &p);
            /* translated to what is none */
            require(!reason || reason == COUNTER_flow_parse_martian || reason == COUNTER_flow_parse_ip6_mcast_source ||
                    reason == COUNTER_flow_parse_tcp_port);
        }
    }
    (void)touched;
}

/* ---- books --------------------------------------------------------------------------------------------- */

static bool agree(const struct book *b, uint64_t c2s_packets, uint64_t s2c_packets, uint64_t bytes)
{
    return b->packets == c2s_packets + s2c_packets && b->bytes == bytes;
}

static void see_event(struct history *h, const struct event *event)
{
    const struct session_view *view = &event->session;
    require(event->type == EVENT_SESSION_START || event->type == EVENT_SESSION_END);
    require(view->id && view->id <= SESSIONS && view->start_ns <= view->last_ns && view->last_ns <= h->engine->now_ns);
    if (event->type == EVENT_SESSION_START) {
        require(view->state == SESSION_ACTIVE || view->state == SESSION_DISCARD);
        return;
    }
    require(view->state == SESSION_CLOSED && !view->in_ager && !view->offloaded);
    require(!view->unreported[C2S] && !view->unreported[S2C] && view->end_ns <= h->engine->now_ns);
    require(view->end_ns >= view->last_ns - (1ll << TICK_SHIFT)); /* see time_at */
    require(agree(&h->books[view->id], view->packets[C2S], view->packets[S2C], view->bytes[C2S] + view->bytes[S2C]));
    h->books[view->id] = (struct book){0};
}

static void take_events(struct history *h, uint32_t max)
{
    struct event events[3];
    take_verdicts(h); /* what an event is compared with */
    uint32_t count = engine_events(h->engine, events, max);
    for (uint32_t i = 0; i < count; i++)
        see_event(h, &events[i]);
}

/* Nothing is on its way any more; before a slot may serve again. */
static void close_books(struct history *h)
{
    struct engine *e = h->engine;
    do
        take_events(h, 3);
    while (e->event_head != e->event_tail);
    for (uint32_t slot = 1; slot <= SESSIONS; slot++) {
        const struct session *s = &e->sessions[slot];
        struct book *b = &h->books[slot];
        if (s->state == SESSION_INIT) { /* its end was told, or there was no room */
            h->unseen += b->packets != 0;
            *b = (struct book){0};
            continue;
        }
        struct offload_record none = {0}, *r = s->offload ? &e->offload.records[s->offload] : &none;
        require(agree(b, s->packets[C2S] + r->packets[C2S], s->packets[S2C] + r->packets[S2C],
                      s->bytes[C2S] + s->bytes[S2C] + r->bytes[C2S] + r->bytes[S2C]));
    }
    require(h->unseen <= e->counters[COUNTER_log_event_lost]);
}

/* ---- packets ------------------------------------------------------------------------------------------- */

static void feed(struct history *h)
{
    uint32_t fed = 0;
    bool stop = h->burst_size & 1;
    while (fed < h->burst_size) {
        uint32_t left = h->burst_size - fed, taken = engine_input(h->engine, h->burst + fed, left, stop);
        require(taken <= left);
        if (!taken) /* no room: after the verdicts are taken there is */
            take_verdicts(h);
        fed += taken;
    }
    take_verdicts(h); /* before the frames go away */
    for (uint32_t i = 0; i < h->burst_size; i++)
        free(h->burst[i].data);
    h->burst_size = 0;
}

static void input(struct history *h, const uint8_t *data, uint32_t len, uint8_t link, uint8_t port, uint8_t flags)
{
    if (h->tags == MAX_TAGS)
        return;
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    struct packet p;
    flags |= h->how;
    bool is_own = flags & INPUT_FROM_HOST;
    if (!packet_parse(copy, len, link, flags || is_own ? PARSE_TRUSTED | PARSE_OWN : 0, &p)) {
        h->lengths[h->tags] = p.len;
        h->is_error[h->tags] = p.icmp_kind == ICMP_ERROR;
        h->is_sound[h->tags] = flags & INPUT_CHECKSUM_UNFINISHED || !packet_parse(copy, len, link, PARSE_OWN, &p);
    }
    h->own += is_own;
    h->burst[h->burst_size++] = (struct input){
        .data = copy, .len = len, .link = link, .port = port, .now_ns = h->now_ns, .flags = flags, .tag = h->tags++,
        .egress = h->egress};
    if (h->burst_size == BURST)
        feed(h);
}

/* shape: bit 0 IPv6, bits 1-2 protocol, bit 3 the other way */
static struct build build_of(uint8_t shape, uint8_t hosts, uint8_t flags)
{
    struct build b = {.family = shape & 1 ? 6 : 4, .src = 1 + (hosts & 3), .dst = 5 + (hosts >> 2 & 3),
                      .sport = 1 + (hosts >> 4 & 3), .dport = 1 + (hosts >> 6), .flags = flags, .payload = flags >> 6};
    uint8_t icmp = b.family == 4 ? PROTO_ICMP : PROTO_ICMPV6;
    b.proto = (const uint8_t[]){PROTO_TCP, PROTO_UDP, icmp, 47}[shape >> 1 & 3];
    if (b.proto == icmp)
        b.icmp_type = flags & 1 ? (b.family == 4 ? 0 : 129) : b.family == 4 ? 8 : 128;
    if (shape & 8) {
        uint32_t host = b.src;
        b.src = b.dst, b.dst = host;
        uint16_t number = b.sport;
        b.sport = b.dport, b.dport = number;
    }
    return b;
}

/* bits 4-5 of the shape: an ICMP error about such a packet */
static void built_packet(struct history *h)
{
    static uint8_t inner[BUILD_BYTES], bytes[BUILD_BYTES];
    uint8_t shape = next(h), hosts = next(h), flags = next(h), port = next(h) % PORTS;
    struct build b = build_of(shape, hosts, flags);
    uint32_t len = build_packet(bytes, &b);
    if (shape >> 4 & 3) {
        memcpy(inner, bytes, len);
        len = build_icmp_error(bytes, 9, b.family == 4 ? 3 : 1, inner, len);
    }
    input(h, bytes, len, LINK_IP, port, 0);
}

/* A number near enough to be right, or far away. */
static uint32_t sequence(struct history *h)
{
    uint32_t by = (uint32_t)(int8_t)next(h);
    return by << (next(h) & 31);
}

static void segment(struct history *h)
{
    static uint8_t bytes[BUILD_BYTES];
    uint8_t shape = next(h), hosts = next(h), flags = next(h), port = next(h) % PORTS, words;
    struct build b = build_of(shape & 9, hosts, flags); /* TCP */
    b.seq = sequence(h);
    b.ack = sequence(h);
    uint32_t header = b.family == 4 ? 20 : 40, len = build_packet(bytes, &b);
    uint8_t *tcp = bytes + header;
    build_be16(tcp + 14, (uint32_t)next(h) << (shape >> 4 & 8));
    words = next(h) & 3; /* of options */
    memmove(tcp + 20 + words * 4, tcp + 20, len - header - 20);
    for (int i = 0; i < words * 4; i++)
        tcp[20 + i] = next(h);
    tcp[12] = (uint8_t)((5 + words) << 4);
    len += words * 4u;
    if (b.family == 4) {
        build_be16(bytes + 2, len);
        build_be16(bytes + 10, 0);
        build_be16(bytes + 10, ~build_sum(0, bytes, 20) & 0xffff);
    } else {
        build_be16(bytes + 4, len - header);
    }
    build_l4_checksum(bytes, len);
    input(h, bytes, len, LINK_IP, port, 0);
}

static void raw_frame(struct history *h)
{
    uint8_t link = next(h), port = next(h) % PORTS;
    uint32_t len = next(h), left = (uint32_t)(h->end - h->at);
    len = len < left ? len : left;
    input(h, h->at, len, link & 7, port, link >> 3 & 3);
    h->at += len;
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static const struct undecided *some_handle(struct history *h)
{
    if (h->handle_count < MAX_HANDLES)
        h->handle_count += engine_undecided(h->engine, h->handles + h->handle_count, MAX_HANDLES - h->handle_count);
    uint8_t which = next(h);
    return h->handle_count ? &h->handles[which % h->handle_count] : NULL;
}

static void forget(struct history *h, const struct undecided *u)
{
    h->handles[u - h->handles] = h->handles[--h->handle_count];
}

static void translate(struct history *h, const struct undecided *u, struct session_spec *spec)
{
    uint8_t choice = next(h), more = next(h);
    if (choice & 1)
        build_key_address(spec->s2c.dst, u->key.family, 200 + (choice >> 1 & 1));
    spec->oversubscription = choice >> 2 & 3;
    if (choice & 16)
        spec->s2c.sport = more;
    spec->lease_pool = choice & 32 ? POOL : 0;
    spec->nat_target = choice >> 6;
    spec->qos_class = more & 31; /* more than there may be, too */
    spec->dscp[C2S] = more >> 1 & 63;
    spec->path[S2C] = more;
    spec->flags |= (uint16_t)((more & 3) << 7 | (more & 4 ? SESSION_ICMP_UNREACHABLE : 0) | (more == 8 ? SESSION_HOST : 0));
}

static void answer(struct history *h, bool is_translated)
{
    const struct undecided *u = some_handle(h);
    uint8_t choice = next(h), server = next(h);
    if (!u)
        return;
    struct session_spec spec = build_spec(&u->key, 1 + (choice & 3), choice >> 2 & 7);
    if (server & 1) /* translated */
        spec.s2c.dport = 1 + (server >> 1 & 3);
    if (server & 8)
        spec.s2c.src[15] = server >> 4;
    if (server & 0x80)
        spec.flags = SESSION_LOG_START;
    if (choice & 0x20) { /* timers of its own */
        spec.timeouts.established_s = (uint32_t)next(h) << 8;
        spec.timeouts.half_closed_s = next(h);
        spec.timeouts.time_wait_s = (uint32_t)next(h) * 3; /* more than there may be, too */
        spec.timeouts.discard_s = next(h);
    }
    if (choice & 0x40)
        spec.flags |= SESSION_UNKEPT;
    if (is_translated)
        translate(h, u, &spec);
    close_books(h);
    int64_t id = engine_install(h->engine, u->handle, &spec);
    require(id >= 0 || id == -ENOENT || id == -EINVAL);
    require(id <= (int64_t)h->engine->params.max_sessions);
    if (id == -EINVAL)
        return;
    require(engine_install(h->engine, u->handle, &spec) == -ENOENT);
    if (!(server & 4)) /* else it is answered once more later */
        forget(h, u);
}

static void install(struct history *h)
{
    answer(h, false);
}

static void install_translated(struct history *h)
{
    answer(h, true);
}

static void deny(struct history *h)
{
    uint8_t choice = next(h);
    uint32_t id = 1 + choice % SESSIONS;
    enum action action = choice >> 4 & 7;
    bool is_active = h->engine->sessions[id].state == SESSION_ACTIVE;
    take_verdicts(h); /* resets need room */
    int result = engine_deny(h->engine, id, action, 9);
    if (action == ACTION_allow || action >= ACTION_COUNT)
        require(result == -EINVAL);
    else
        require(is_active ? result == 0 || result == -ENOENT : result == -ENOENT);
    take_verdicts(h);
}

static void edge_says(struct history *h)
{
    static const uint8_t flags[] = {0, INPUT_CHECKSUM_UNFINISHED, INPUT_GSO, INPUT_CHECKSUM_UNFINISHED | INPUT_GSO,
                                    INPUT_FROM_HOST, INPUT_CHECKSUM_MAYBE_UNFINISHED};
    uint8_t choice = next(h);
    h->how = flags[(choice & 7) % (sizeof flags)];
    h->egress = choice >> 3 & 7;
}

static void lease(struct history *h)
{
    uint8_t source[16], choice = next(h);
    build_key_address(source, choice & 1 ? 6 : 4, 1 + (choice >> 1 & 3));
    int64_t index = engine_nat_lease(h->engine, POOL, 2, source);
    require(index == -ENOSPC || index == 0 || index == 1);
    require(engine_nat_leases(h->engine, POOL) <= 2);
}

static void refuse(struct history *h)
{
    const struct undecided *u = some_handle(h);
    uint8_t reason = next(h);
    if (u && engine_refuse(h->engine, u->handle, reason) != -EINVAL)
        forget(h, u);
}

static void tick(struct history *h)
{
    int64_t by = 1ll << next(h) % 60;
    h->now_ns = h->now_ns + by < LAST_NS ? h->now_ns + by : h->now_ns;
    engine_tick(h->engine, h->now_ns);
    require(engine_next_timer_ns(h->engine) > h->now_ns);
}

/* ---- configuration --------------------------------------------------------------------------------------- */

static void configure_ports(struct history *h)
{
    uint8_t choice = next(h);
    for (uint32_t port = 0; port < PORTS; port++)
        h->ports[port] = (struct port_config){.zone = choice & 64 ? 1 : (uint16_t)port, .ipv6 = !(choice >> port & 1)};
    h->config.port_count = choice & 32 ? 2 : PORTS;
    h->config.tcp_reject_non_syn = !(choice & 128);
    h->config.timeout_s[TIMER_udp] = 1 + choice;
    require(engine_configure(h->engine, &h->config) == 0);
}

static void configure_egress(struct history *h)
{
    for (uint32_t port = 1; port < PORTS; port++) {
        struct port_config *p = &h->ports[port];
        uint8_t choice = next(h);
        p->mode = choice % (PORT_TUNNEL + 1);
        p->multicast_firewalling = choice & 8;
        p->mtu = choice & 16 ? 40 + (choice >> 5) * 20u : 0;
        p->largest_mss[choice >> 5 & 1] = choice & 64 ? 100 : 0;
        p->virtual_router = choice >> 7;
        build_key_address(p->address[0], 4, choice & 32 ? 100 + port : 0);
        build_key_address(p->address[1], 6, 100 + port);
    }
    h->config.icmp_unreachable_per_s = next(h);
    h->config.nat_reserve_s = next(h);
    require(engine_configure(h->engine, &h->config) == 0);
}

static void configure_offload(struct history *h)
{
    uint8_t choice = next(h);
    struct engine_config config = h->config;
    config.offload = choice & 1;
    config.offload_profile = (struct offload_profile){.udp_packets = choice >> 1 & 3, .packets = choice >> 3 & 3,
                                                      .scan_ms = (choice >> 5 & 3) * 1000u, .max_sessions = next(h) & 7};
    bool is_sane = !config.offload_profile.udp_packets == !config.offload_profile.packets;
    require(engine_configure(h->engine, &config) == (is_sane ? 0 : -EINVAL));
    if (is_sane)
        h->config = config;
}

static void configure_sessions(struct history *h)
{
    uint8_t choice = next(h), aging = next(h);
    struct engine_config config = h->config;
    config.tcp_asymmetric_bypass = choice & 1;
    config.tcp_allow_challenge_ack = choice & 2;
    config.no_refresh_on_discard = choice & 4;
    config.ipv6_firewalling = !(choice & 8);
    config.timeout_s[TIMER_tcpwait] = choice & 16 ? 7 : 0;
    config.vsys_max_sessions = choice >> 5;
    config.accelerated_aging = (struct accelerated_aging){.factor = aging & 31, .threshold_percent = (aging >> 5) * 15u};
    bool is_sane = config.accelerated_aging.factor && config.accelerated_aging.factor <= 16 &&
                   config.accelerated_aging.threshold_percent <= 100 &&
                   (config.accelerated_aging.factor == 1 || config.accelerated_aging.threshold_percent);
    require(engine_configure(h->engine, &config) == (is_sane ? 0 : -EINVAL));
    if (is_sane)
        h->config = config;
}

static struct flood_limits some_flood(struct history *h)
{
    uint8_t choice = next(h);
    return (struct flood_limits){.enabled = choice & 1, .syn_cookies = choice & 2, .alarm = choice >> 2 & 3,
                                 .activate = choice >> 4 & 3, .maximal = (choice >> 6) * 2u};
}

static struct dos_limits some_limits(struct history *h)
{
    uint8_t choice = next(h);
    struct dos_limits limits = {.enabled = choice & 1, .max_sessions = choice >> 1 & 3};
    for (int flood = 0; flood < FLOOD_COUNT; flood++) {
        limits.flood[flood] = some_flood(h);
        limits.block_s[flood] = choice >> 3;
    }
    return limits;
}

/* Tables of numbers, ranges and services that lists are pieces of; a list may be empty or all of it. */
static struct list some_list(uint8_t choice)
{
    return (struct list){choice & 1, choice >> 1 & 1};
}

static void configure_protection(struct history *h)
{
    static const uint16_t numbers[] = {1, 2};
    static struct address_range ranges[2];
    static const struct service_range services[] = {{PROTO_TCP, 0, 65535, 0, 2}, {PROTO_UDP, 1, 2, 0, 65535}};
    uint8_t choice = next(h);
    build_key_address(ranges[0].first, 4, 1), build_key_address(ranges[0].last, 4, 2);
    build_key_address(ranges[1].first, 6, 1), build_key_address(ranges[1].last, 6, 6);
    h->config.numbers = numbers, h->config.ranges = ranges, h->config.services = services;
    h->config.number_count = h->config.range_count = h->config.service_count = 2;
    h->config.protection_count = choice % 3;
    h->config.protections = h->zones;
    for (uint32_t i = 0; i < h->config.protection_count; i++) {
        uint8_t more = next(h);
        h->zones[i] = (struct zone_protection){.zone = (uint16_t)(1 + i), .tcp_reject_non_syn = more & 1,
                                               .buffer_protection = more & 2, .scan_exempt = some_list(more >> 2)};
        for (int flood = 0; flood < FLOOD_COUNT; flood++)
            h->zones[i].flood[flood] = some_flood(h);
        for (int scan = 0; scan < SCAN_COUNT; scan++) {
            uint8_t how = next(h);
            h->zones[i].scan[scan] = (struct scan_limits){.enabled = how & 1, .by_pair = how & 2, .action = how >> 2 & 3,
                                                          .threshold = 1 + (how >> 4 & 3), .interval_s = 1 + (how >> 6),
                                                          .block_s = 1 + more};
        }
    }
    for (uint32_t port = 0; port < PORTS; port++)
        h->ports[port].protection = (uint16_t)(port % (h->config.protection_count + 1));
    uint8_t buffer = next(h);
    h->config.buffer_protection = (struct buffer_protection){
        .enabled = buffer & 1, .monitor_only = buffer & 2, .alert_percent = (buffer >> 2 & 3) * 25u,
        .activate_percent = (buffer >> 4 & 3) * 25u, .block_hold_s = buffer >> 6 & 1, .block_duration_s = buffer >> 7};
    h->config.dos_rule_count = choice >> 2 & 3;
    h->config.dos_rules = h->rules;
    for (uint32_t i = 0; i < h->config.dos_rule_count; i++) {
        uint8_t what = next(h), lists = next(h), more = next(h);
        h->rules[i] = (struct dos_rule){
            .number = 1 + (choice >> 4 & 1) * 2u + i, .action = what % 3, .classified_by = (what >> 2) % 3,
            .negate_source = what & 64, .negate_destination = what & 128, .from_zones = some_list(lists),
            .from_ports = some_list(lists >> 2), .to_zones = some_list(lists >> 4), .to_ports = some_list(lists >> 6),
            .source = some_list(more), .destination = some_list(more >> 2), .services = some_list(more >> 4),
            .aggregate = some_limits(h), .classified = some_limits(h)};
    }
    require(engine_configure(h->engine, &h->config) == 0);
}

/* What is in the block table, in pages of two; as many are taken out. */
static void look_at_blocks(struct history *h)
{
    struct blocked_source blocked[2];
    uint8_t choice = next(h), source[16];
    uint32_t cursor = 0, total = 0, count;
    do {
        count = engine_blocks(h->engine, &cursor, blocked, 2);
        require(count <= 2 && (count || !cursor));
        for (uint32_t i = 0; i < count; i++)
            require(blocked[i].until_ns > h->engine->now_ns && blocked[i].zone && blocked[i].why);
        total += count;
    } while (cursor);
    build_key_address(source, choice & 1 ? 6 : 4, 1 + (choice >> 1 & 3));
    uint32_t of_source = engine_unblock(h->engine, source);
    require(of_source <= total && (choice & 8 || engine_unblock(h->engine, NULL) == total - of_source));
    engine_dos_in_force(h->engine, choice >> 4 & 3, choice & 64);
}

static void change_routes(struct history *h)
{
    struct route routes[MAX_ROUTES];
    uint32_t count = next(h) % (MAX_ROUTES + 1);
    struct fib *old = h->fib;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t choice = next(h);
        routes[i] = (struct route){.port = choice & 7, .leaves = choice & 8};
        build_key_address(routes[i].prefix, choice & 16 ? 6 : 4, 1 + (choice >> 5));
        routes[i].length = choice & 128 ? 128 : choice & 16 ? 0 : 96;
    }
    h->fib = count ? fib_new(routes, count, NULL, 0) : NULL;
    if (count && !h->fib)
        abort();
    engine_set_fibs(h->engine, (const struct fib *[]){h->fib}, 1);
    fib_free(old);
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static void list(struct history *h)
{
    struct session_view views[4];
    struct session_filter filter = {.fields = next(h), .source_port = 1, .state = SESSION_ACTIVE, .protocol = PROTO_TCP};
    uint32_t cursor = next(h), steps = 0;
    do {
        uint32_t count = engine_sessions(h->engine, &cursor, 3, &filter, views, 4);
        require(count <= 4 && ++steps < 20);
        for (uint32_t i = 0; i < count; i++)
            require(views[i].end_ns > h->engine->now_ns && views[i].in_ager);
    } while (cursor);
    close_books(h);
}

static void check_offload(const struct engine *e)
{
    const struct offload *o = &e->offload;
    uint32_t sessions = 0, flows = 0, free = 0;
    for (uint32_t slot = 1; slot <= SESSIONS; slot++) {
        const struct session *s = &e->sessions[slot];
        if (!s->offload)
            continue;
        sessions++;
        require(s->state == SESSION_ACTIVE && s->offload <= o->fresh && o->records[s->offload].slot == slot);
        require(s->key[C2S].proto != PROTO_TCP || s->tcp_state == TCP_STATE_ESTABLISHED);
    }
    for (uint64_t i = 0; i <= o->bucket_mask; i++)
        for (int way = 0; way < OFFLOAD_WAYS; way++)
            flows += o->buckets[i].ref[way] != NONE;
    for (uint32_t record = o->free; record; record = o->records[record].slot)
        require(++free <= o->fresh);
    require(e->stats.offloaded == sessions && flows == 2 * sessions && free + sessions == o->fresh);
    require(o->fresh <= e->params.max_offloaded);
}

static void check_stats(const struct history *h)
{
    struct engine *e = h->engine;
    struct engine_stats s;
    engine_stats(e, &s);
    require(s.allocated <= s.max_sessions && s.allocated == s.tcp + s.udp + s.icmp + s.other);
    require(s.discard <= s.allocated && s.allocated == e->ager.count);
    require(s.held <= e->params.max_held && s.undecided <= e->params.max_undecided && s.undecided <= s.held);
    for (uint32_t slot = 1; slot <= SESSIONS; slot++)
        require(e->sessions[slot].state == SESSION_INIT || e->sessions[slot].ager_tick > e->ager.now_tick);
    check_offload(e);
}

/* No rule counts a session that is over, no source holds a packet, and every threat makes sense. */
static void check_protection(struct engine *e)
{
    struct threat threats[16];
    struct dos_stats stats;
    struct zone_stats zone;
    uint32_t count;
    for (uint32_t number = 0; number < 8; number++)
        require(engine_dos_stats(e, number, &stats) == -ENOENT || !stats.sessions);
    for (uint16_t number = 0; number < PORTS; number++)
        require(engine_zone_stats(e, number, &zone) == (number && number <= e->config.protection_count ? 0 : -ENOENT));
    const uint32_t *held = (const uint32_t *)e->buffers;
    for (uint32_t i = 0; i < 2 * 8192; i++)
        require(!held[i]);
    while ((count = engine_threats(e, threats, 16)))
        for (uint32_t i = 0; i < count; i++)
            require(threats[i].type && threats[i].type <= THREAT_BUFFER && threats[i].repeat && threats[i].key.zone &&
                    (!threats[i].reason || threats[i].reason == COUNTER_flow_dos_syncookie_sent ||
                     counter_info(threats[i].reason)->severity[0] == 'd'));
}

static void check_end(struct history *h)
{
    struct engine *e = h->engine;
    const uint64_t *counters = engine_counters(e);
    uint64_t dropped = 0;
    struct engine_stats s;
    engine_stats(e, &s);
    require(!s.allocated && !s.discard && !s.undecided && !s.held && !s.offloaded && !s.fragments && !s.fragment_bytes);
    check_protection(e);
    for (uint32_t tag = 0; tag < h->tags; tag++)
        require(h->verdicts[tag] == 1);
    for (uint32_t i = 0; i < COUNTER_LIMIT; i++)
        if (counter_info(i) && counter_info(i)->severity[0] == 'd')
            dropped += counters[i];
    require(counters[COUNTER_pkt_recv] + h->own == h->tags && h->tags == h->forwarded + h->to_host + h->consumed + dropped);
    require(counters[COUNTER_pkt_sent] == h->forwarded);
    require(counters[COUNTER_flow_host_pass] + counters[COUNTER_flow_host_session_pass] <= h->to_host);
    require(counters[COUNTER_nat_dynamic_port_xlat] == counters[COUNTER_nat_dynamic_port_release] && !s.translated);
    for (uint16_t target = 0; target < 4; target++)
        require(!engine_nat_target(e, target));
    require(counters[COUNTER_pkt_offloaded] <= h->forwarded + counters[COUNTER_flow_tap_drop]);
    require(s.packets == h->forwarded);
    require(counters[COUNTER_session_allocated] == counters[COUNTER_session_freed]);
    for (uint64_t i = 0; i <= e->bucket_mask; i++) {
        require(!e->buckets[i].overflow);
        for (int j = 0; j < BUCKET_SLOTS; j++)
            require(!e->buckets[i].ref[j]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct history histories[1]; /* large */
    static void (*const operations[OPERATIONS])(struct history *) = {
        [0] = built_packet, [1] = raw_frame, [2] = install, [3] = refuse, [4] = tick, [5] = take_verdicts,
        [8] = configure_ports, [9] = list, [10] = segment, [11] = configure_offload, [12] = configure_sessions,
        [13] = change_routes, [14] = install_translated, [15] = deny, [16] = configure_egress, [17] = edge_says,
        [18] = lease, [19] = configure_protection, [20] = look_at_blocks};
    struct history *h = histories;
    memset(h, 0, sizeof *h);
    h->at = bytes;
    h->end = bytes + size;
    h->engine = build_engine((struct engine_params){
        .max_sessions = SESSIONS, .max_offloaded = 4, .max_undecided = 3, .max_held = 20, .max_events = 4,
        .answer_timeout_ms = 500});
    h->engine->bucket_mask = 1; /* so that chains are common */
    h->engine->offload.bucket_mask = 1; /* and full buckets */
    h->config = h->engine->config;
    memcpy(h->ports, h->config.ports, h->config.port_count * sizeof *h->ports);
    h->config.ports = h->ports;
    while (h->at < h->end) {
        uint8_t operation = next(h) % OPERATIONS;
        if (operation > 1 && operation != 10)
            feed(h);
        if (operations[operation])
            operations[operation](h);
        else if (operation == 6)
            take_events(h, 3);
        else
            engine_clear(h->engine, next(h));
        check_stats(h);
    }
    feed(h);
    engine_tick(h->engine, h->now_ns + SECOND); /* nobody answers any more */
    take_verdicts(h);
    engine_tick(h->engine, h->now_ns + 40 * 24 * 3600 * SECOND);
    close_books(h);
    check_end(h);
    engine_free(h->engine);
    fib_free(h->fib);
    return 0;
}
