/*
 * Fuzz target: a small engine. The bytes are a history of packets, answers, ticks and commits; at its end
 * every packet has exactly one verdict, the counters add up, and nothing is left in any table.
 *
 *     0 packet   shape, hosts and ports, flags, ingress port        5 take the verdicts
 *     1 frame    link type, ingress port, length, bytes             6 take events
 *     2 install  which handle, action and egress, server's key      7 clear a session
 *     3 refuse   which handle, reason                               8 configure
 *     4 tick     nanoseconds as a power of two                      9 list sessions
 *
 * Packets and frames that follow each other are one burst.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "state.h"

enum { MAX_TAGS = 4096, MAX_HANDLES = 32, BURST = 80 /* more than two of the engine's groups */ };
static const int64_t LAST_NS = 1ll << 61;

struct history {
    const uint8_t *at, *end;
    struct engine *engine;
    int64_t now_ns;
    uint32_t tags;
    uint8_t verdicts[MAX_TAGS]; /* how many a tag got */
    uint64_t forwarded, to_host;
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

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void take_verdicts(struct history *h)
{
    uint32_t count;
    volatile uint8_t touched;
    const struct verdict *all = engine_verdicts(h->engine, &count);
    require(count <= MAX_BURST + 2 * h->engine->params.max_held);
    for (uint32_t i = 0; i < count; i++) {
        const struct verdict *v = &all[i];
        if (v->action == VERDICT_EMIT) {
            struct packet p;
            require(packet_parse((uint8_t *)v->data, v->len, LINK_IP, false, &p) == 0);
            continue;
        }
        require(v->tag < h->tags && h->verdicts[v->tag]++ == 0);
        require((v->action == VERDICT_DROP) == (v->reason != 0));
        h->forwarded += v->action == VERDICT_FORWARD;
        h->to_host += v->action == VERDICT_HOST;
        if (v->action == VERDICT_FORWARD) /* still the engine's or ours to read, to the last byte */
            touched = v->data[0], touched = v->data[v->len - 1];
    }
    (void)touched;
}

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
    h->burst[h->burst_size++] = (struct input){
        .data = copy, .len = len, .link = link, .port = port, .now_ns = h->now_ns, .flags = flags, .tag = h->tags++};
    if (h->burst_size == BURST)
        feed(h);
}

/* shape: bit 0 IPv6, bits 1-2 protocol, bit 3 the other way, bits 4-5 an ICMP error about such a packet */
static void built_packet(struct history *h)
{
    static uint8_t inner[BUILD_BYTES], bytes[BUILD_BYTES];
    uint8_t shape = next(h), hosts = next(h), flags = next(h), port = next(h) % 5;
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
    uint32_t len = build_packet(bytes, &b);
    if (shape >> 4 & 3) {
        memcpy(inner, bytes, len);
        len = build_icmp_error(bytes, 9, b.family == 4 ? 3 : 1, inner, len);
    }
    input(h, bytes, len, LINK_IP, port, 0);
}

static void raw_frame(struct history *h)
{
    uint8_t link = next(h), port = next(h) % 5;
    uint32_t len = next(h), left = (uint32_t)(h->end - h->at);
    len = len < left ? len : left;
    input(h, h->at, len, link & 7, port, link >> 3 & 3);
    h->at += len;
}

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

static void install(struct history *h)
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
    int64_t id = engine_install(h->engine, u->handle, &spec);
    require(id >= 0 || id == -ENOENT || id == -EINVAL);
    require(id <= (int64_t)h->engine->params.max_sessions);
    if (id == -EINVAL)
        return;
    require(engine_install(h->engine, u->handle, &spec) == -ENOENT);
    if (!(server & 4)) /* else it is answered once more later */
        forget(h, u);
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

static void configure(struct history *h)
{
    uint8_t choice = next(h);
    struct port_config ports[5];
    for (uint32_t port = 0; port < 5; port++)
        ports[port] = (struct port_config){.zone = choice & 64 ? 1 : (uint16_t)port, .ipv6 = !(choice >> port & 1)};
    struct engine_config config = build_config();
    config.port_count = choice & 32 ? 2 : 5;
    config.ports = ports;
    config.tcp_reject_non_syn = !(choice & 128);
    config.timeout_s[TIMER_udp] = 1 + choice;
    require(engine_configure(h->engine, &config) == 0);
}

static void list(struct history *h)
{
    struct session_view views[4];
    struct session_filter filter = {.fields = next(h), .source_port = 1, .state = SESSION_ACTIVE, .protocol = PROTO_TCP};
    uint32_t cursor = next(h), steps = 0;
    do
        require(engine_sessions(h->engine, &cursor, 3, &filter, views, 4) <= 4 && ++steps < 20);
    while (cursor);
}

static void take_events(struct history *h)
{
    struct event events[3];
    uint32_t count = engine_events(h->engine, events, 3);
    for (uint32_t i = 0; i < count; i++)
        require(events[i].type == EVENT_SESSION_START || events[i].type == EVENT_SESSION_END);
}

static void check_stats(struct engine *e)
{
    struct engine_stats s;
    engine_stats(e, &s);
    require(s.allocated <= s.max_sessions && s.allocated == s.tcp + s.udp + s.icmp + s.other);
    require(s.discard <= s.allocated && s.allocated == e->ager.count);
    require(s.held <= e->params.max_held && s.undecided <= e->params.max_undecided && s.undecided <= s.held);
}

static void check_end(struct history *h)
{
    struct engine *e = h->engine;
    const uint64_t *counters = engine_counters(e);
    uint64_t dropped = 0;
    struct engine_stats s;
    engine_stats(e, &s);
    require(!s.allocated && !s.discard && !s.undecided && !s.held);
    for (uint32_t tag = 0; tag < h->tags; tag++)
        require(h->verdicts[tag] == 1);
    for (uint32_t i = 0; i < COUNTER_LIMIT; i++)
        if (counter_info(i) && counter_info(i)->severity[0] == 'd')
            dropped += counters[i];
    require(counters[COUNTER_pkt_recv] == h->tags && h->tags == h->forwarded + h->to_host + dropped);
    require(counters[COUNTER_pkt_sent] == h->forwarded && counters[COUNTER_flow_host_pass] == h->to_host);
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
    static void (*const operations[])(struct history *) = {built_packet, raw_frame, install, refuse, tick};
    struct history *h = histories;
    memset(h, 0, sizeof *h);
    h->at = bytes;
    h->end = bytes + size;
    h->engine = build_engine((struct engine_params){
        .max_sessions = 6, .max_undecided = 3, .max_held = 20, .max_events = 4, .answer_timeout_ms = 500});
    h->engine->bucket_mask = 1; /* so that chains are common */
    while (h->at < h->end) {
        uint8_t operation = next(h) % 10;
        if (operation > 1)
            feed(h);
        if (operation < 5)
            operations[operation](h);
        else if (operation == 5)
            take_verdicts(h);
        else if (operation == 6)
            take_events(h);
        else if (operation == 7)
            engine_clear(h->engine, next(h));
        else if (operation == 8)
            configure(h);
        else
            list(h);
        check_stats(h->engine);
    }
    feed(h);
    engine_tick(h->engine, h->now_ns + SECOND); /* nobody answers any more */
    take_verdicts(h);
    engine_tick(h->engine, h->now_ns + 40 * 24 * 3600 * SECOND);
    check_end(h);
    engine_free(h->engine);
    return 0;
}
