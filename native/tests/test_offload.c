/* The offload engine: who is in it, what it reports and when, and that nothing it counted is lost. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "random.h"

enum { CLIENT = 1, SERVER = 2, HOST = 0xffff };

static const struct offload_profile by_count = {.udp_packets = 8, .packets = 16, .max_sessions = 100};
static const struct offload_profile by_time = {.udp_packets = 64, .packets = 64, .scan_ms = 8000, .max_sessions = 100};

static struct engine_config config_of(struct offload_profile profile)
{
    struct engine_config config = build_config();
    config.offload = true;
    config.offload_profile = profile;
    return config;
}

static struct engine *engine_of(struct offload_profile profile, uint32_t max_offloaded)
{
    struct engine *e = build_engine((struct engine_params){.max_offloaded = max_offloaded});
    struct engine_config config = config_of(profile);
    build_configure(e, &config);
    return e;
}

static uint64_t counter(struct engine *e, enum counter number)
{
    return engine_counters(e)[number];
}

static struct session_view view_of(struct engine *e, int64_t id)
{
    struct session_view view = {0};
    CHECK(engine_session(e, (uint32_t)id, &view) == 0);
    return view;
}

/* A packet of client n; TCP ones carry no data. */
static struct build from_client(uint32_t n, uint8_t proto)
{
    return (struct build){.family = n & 1 ? 6 : 4, .proto = proto, .src = n, .dst = HOST, .sport = 1000, .dport = 53,
                          .flags = proto == PROTO_TCP ? TCP_ACK : 0};
}

static struct build from_server(uint32_t n, uint8_t proto)
{
    return (struct build){.family = n & 1 ? 6 : 4, .proto = proto, .src = HOST, .dst = n, .sport = 53, .dport = 1000,
                          .flags = proto == PROTO_TCP ? TCP_ACK : 0, .payload = proto == PROTO_TCP ? 0 : 4};
}

static struct verdict send(struct engine *e, const struct build *b, int64_t now_ns)
{
    build_feed(e, b, b->src == HOST ? SERVER : CLIENT, now_ns, 1);
    struct verdict v = build_last_verdict(e);
    forget_verdicts(e);
    return v;
}

/* A session of client n that is in the offload engine where there is room for it. */
static int64_t open_session(struct engine *e, uint32_t n, uint8_t proto, int64_t now_ns)
{
    struct build b = from_client(n, proto), back = from_server(n, proto);
    b.flags = proto == PROTO_TCP ? TCP_SYN : 0;
    int64_t id = build_session(e, &b, CLIENT, SERVER, ACTION_allow, now_ns);
    forget_verdicts(e);
    if (proto == PROTO_TCP) {
        back.flags = TCP_SYN | TCP_ACK;
        b.flags = TCP_ACK;
        CHECK(send(e, &back, now_ns).action == VERDICT_FORWARD && send(e, &b, now_ns).action == VERDICT_FORWARD);
    }
    return id;
}

static void nothing_is_left(struct engine *e)
{
    CHECK(!e->stats.offloaded);
    for (uint64_t i = 0; i <= e->offload.bucket_mask; i++)
        for (int way = 0; way < OFFLOAD_WAYS; way++)
            CHECK(!e->offload.buckets[i].ref[way]);
    uint32_t free = 0;
    for (uint32_t record = e->offload.free; record; record = e->offload.records[record].slot)
        free++;
    CHECK(free == e->offload.fresh);
}

/* ---- reports ------------------------------------------------------------------------------------------- */

static void at_the_threshold(void)
{
    for (uint32_t n = 1; n <= 4; n++) { /* both families, both thresholds */
        uint8_t proto = n <= 2 ? PROTO_UDP : PROTO_TCP;
        uint32_t threshold = proto == PROTO_UDP ? 8 : 16, software = proto == PROTO_UDP ? 1 : 2;
        struct engine *e = engine_of(by_count, 10);
        struct build b = from_client(n, proto), back = from_server(n, proto);
        int64_t id = open_session(e, n, proto, 0), timeout = (proto == PROTO_UDP ? 30 : 3600) * SECOND;
        struct session_view view = view_of(e, id);
        CHECK(view.offloaded && view.packets[C2S] == software && !view.unreported[C2S] && view.end_ns == timeout);
        for (uint16_t i = 1; i < threshold; i++) {
            CHECK(send(e, &b, i * SECOND).session == id && send(e, &back, i * SECOND).port == CLIENT);
            view = view_of(e, id);
            CHECK(view.unreported[C2S] == i && view.unreported[S2C] == i && view.end_ns == timeout);
            CHECK(view.packets[C2S] == software && view.last_ns == i * SECOND);
        }
        CHECK(counter(e, COUNTER_offload_report) == 0);
        send(e, &back, 20 * SECOND);
        view = view_of(e, id);
        CHECK(view.unreported[C2S] == threshold - 1 && view.unreported[S2C] == 0); /* each flow for itself */
        CHECK(view.packets[C2S] == software && view.packets[S2C] == threshold + software - 1);
        CHECK(view.end_ns == 20 * SECOND + timeout && view.longest_wait_ms == 20000);
        send(e, &b, 21 * SECOND);
        view = view_of(e, id);
        CHECK(view.unreported[C2S] == 0 && view.packets[C2S] == threshold + software);
        CHECK(view.end_ns == 21 * SECOND + timeout && counter(e, COUNTER_offload_report) == 2);
        CHECK(counter(e, COUNTER_pkt_offloaded) == 2 * threshold);
        engine_free(e);
    }
}

static void by_scan_at_its_time(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct build b = from_client(1, PROTO_UDP), back = from_server(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, 10 * SECOND);
    send(e, &back, 11 * SECOND);
    engine_tick(e, 18 * SECOND - 1);
    struct session_view view = view_of(e, id);
    CHECK(view.unreported[C2S] == 1 && view.unreported[S2C] == 1 && view.end_ns == 30 * SECOND);
    engine_tick(e, 18 * SECOND);
    view = view_of(e, id);
    CHECK(view.unreported[C2S] == 0 && view.unreported[S2C] == 1 && view.packets[C2S] == 2 && view.end_ns == 48 * SECOND);
    CHECK(view.longest_wait_ms == 18000 && view.longest_gap_ms == 10000);
    engine_tick(e, 47 * SECOND); /* nobody has looked when it was due */
    view = view_of(e, id);
    CHECK(view.unreported[S2C] == 0 && view.packets[S2C] == 1 && view.end_ns == 49 * SECOND);
    engine_tick(e, 60 * SECOND);
    view = view_of(e, id);
    CHECK(view.state == SESSION_INIT && view.end_ns == 49 * SECOND && counter(e, COUNTER_offload_report) == 2);
    nothing_is_left(e);
    engine_free(e);
}

/* The timer never starts earlier than it has already started. */
static void a_late_scan_of_one_flow_after_a_report_of_the_other(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct build b = from_client(1, PROTO_UDP), back = from_server(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, 0);
    for (int i = 1; i <= 64; i++)
        send(e, &back, 5 * SECOND + i * (SECOND / 16)); /* the last one at 9 s, when that of the client was due at 8 s */
    engine_tick(e, 100 * SECOND);
    struct session_view view = view_of(e, id);
    CHECK(view.end_ns == 39 * SECOND && view.packets[C2S] == 2 && view.packets[S2C] == 64);
    CHECK(view.longest_wait_ms == 8000);
    engine_free(e);
}

/* The same with a packet that goes through software. */
static void a_late_scan_after_a_packet_in_software(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct build b = from_client(1, PROTO_TCP), back = from_server(1, PROTO_TCP);
    int64_t id = open_session(e, 1, PROTO_TCP, 0);
    send(e, &b, 0);
    back.flags = TCP_SYN | TCP_ACK;
    CHECK(send(e, &back, 9 * SECOND).action == VERDICT_FORWARD && view_of(e, id).offloaded);
    engine_tick(e, 4000 * SECOND);
    CHECK(view_of(e, id).end_ns == 3609 * SECOND);
    engine_free(e);
}

/* A session that only looks over because nobody has looked stays where it is. */
static void a_packet_of_the_other_flow_finds_a_report_that_is_due(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct build b = from_client(1, PROTO_UDP), back = from_server(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, 10 * SECOND);                                        /* due at 18 s, so it lives until 48 s */
    CHECK(send(e, &back, 30 * SECOND).action == VERDICT_FORWARD);    /* when the timer had run out without */
    struct session_view view = view_of(e, id);
    CHECK(view.unreported[S2C] == 1 && view.end_ns == 48 * SECOND && counter(e, COUNTER_pkt_offloaded) == 2);
    engine_free(e);
}

static void a_wait_is_never_negative(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct build b = from_client(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, SECOND);
    engine_tick(e, 10 * SECOND); /* the timer started at 9 s; the last packet came at 1 s */
    CHECK(view_of(e, id).longest_wait_ms == 9000);
    engine_free(e);
}

/* One session's packets in an engine somebody looks into all the time, one nobody does, and a model that reports
 * each flow the moment it is due: the same end, the same figures. */
static void whoever_looks(uint64_t seed, struct offload_profile profile, uint32_t rest_s)
{
    enum { PACKETS = 60 };
    struct random r = {seed};
    struct engine *engines[] = {engine_of(profile, 1), engine_of(profile, 1)};
    struct build packets[2] = {from_client(1, PROTO_UDP), from_server(1, PROTO_UDP)};
    int64_t now = 0, refreshed = 0, last = 0, due[2] = {0}, ended = 0, scan = profile.scan_ms * 1000000ll;
    int64_t longest_wait = 0, longest_gap = 0;
    uint32_t unreported[2] = {0}, total[2] = {1, 0};
    for (int i = 0; i < 2; i++)
        open_session(engines[i], 1, PROTO_UDP, 0);
    for (int i = 0; i <= PACKETS; i++) {
        now += i == PACKETS ? 1000 * SECOND : (int64_t)(random_next(&r) % (uint64_t)(rest_s * SECOND));
        for (;;) { /* what is due until now, in order */
            int64_t next = INT64_MAX;
            for (int d = 0; d < 2; d++)
                if (scan && unreported[d] && due[d] < next)
                    next = due[d];
            if (next > now || next >= refreshed + 30 * SECOND)
                break;
            for (int d = 0; d < 2; d++)
                if (unreported[d] && due[d] == next)
                    unreported[d] = 0;
            longest_wait = next - refreshed > longest_wait ? next - refreshed : longest_wait;
            refreshed = next;
        }
        if (now >= refreshed + 30 * SECOND) {
            ended = refreshed + 30 * SECOND;
            break;
        }
        enum direction d = random_below(&r, 4) ? C2S : S2C;
        total[d]++;
        due[d] = unreported[d]++ ? due[d] : now + scan;
        longest_gap = now - last > longest_gap ? now - last : longest_gap;
        last = now;
        if (unreported[d] == profile.udp_packets) {
            unreported[d] = 0;
            longest_wait = now - refreshed > longest_wait ? now - refreshed : longest_wait;
            refreshed = now;
        }
        for (int j = 0; j < 2; j++)
            CHECK(send(engines[j], &packets[d], now).session == 1);
        for (int look = 0; look < 3; look++) {
            engine_tick(engines[0], now + look * SECOND / 2);
            now = engines[0]->now_ns;
            struct session_view view = view_of(engines[0], 1);
            CHECK(view.packets[C2S] + view.unreported[C2S] == total[C2S]);
            CHECK(view.packets[S2C] + view.unreported[S2C] == total[S2C]);
        }
    }
    longest_wait = last - refreshed > longest_wait ? last - refreshed : longest_wait;
    for (int i = 0; i < 2; i++) {
        engine_tick(engines[i], now);
        struct session_view view = view_of(engines[i], 1);
        CHECK(view.state == SESSION_INIT && view.end_ns == ended && view.last_ns == last);
        CHECK(view.packets[C2S] == total[C2S] && view.packets[S2C] == total[S2C]);
        CHECK(view.longest_wait_ms == longest_wait / 1000000 && view.longest_gap_ms == longest_gap / 1000000);
        nothing_is_left(engines[i]);
        engine_free(engines[i]);
    }
}

/* While aging is accelerated the scan timer is, too; reports that were due before that carry their own time. */
static void scan_and_accelerated_aging(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 4, .max_offloaded = 4});
    struct engine_config config = config_of(by_time);
    config.accelerated_aging = (struct accelerated_aging){.threshold_percent = 75, .factor = 10};
    config.timeout_s[TIMER_udp] = 1000;
    build_configure(e, &config);
    struct build b = from_client(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, 10 * SECOND); /* due at 18 s */
    open_session(e, 2, PROTO_UDP, 900 * SECOND);
    open_session(e, 3, PROTO_UDP, 900 * SECOND); /* from here on a second counts as ten */
    engine_tick(e, 911 * SECOND);
    CHECK(view_of(e, id).state == SESSION_ACTIVE && view_of(e, id).end_ns == 900 * SECOND + 118 * SECOND / 10);
    engine_tick(e, 1000 * SECOND);
    CHECK(view_of(e, id).end_reason == END_REASON_aged_out && view_of(e, id).end_ns == 900 * SECOND + 118 * SECOND / 10);
    engine_free(e);
}

/* ---- coming and going ------------------------------------------------------------------------------------- */

/* Every way out of it takes along what it has counted. */
static void nothing_counted_is_lost(void)
{
    enum way_out { CLEAR, AGE_OUT, SWITCH_OFF, COMMIT, FIN, WAYS_COUNT };
    for (enum way_out way = CLEAR; way < WAYS_COUNT; way++) {
        uint8_t proto = way == FIN ? PROTO_TCP : PROTO_UDP;
        uint64_t software = proto == PROTO_TCP ? 2 : 1;
        struct engine *e = engine_of(by_count, 10);
        struct engine_config config = config_of(by_count);
        struct build b = from_client(1, proto), back = from_server(1, proto);
        uint32_t len = way == FIN ? 60 : 48, back_len = way == FIN ? 60 : 52;
        int64_t id = open_session(e, 1, proto, 0);
        for (int i = 0; i < 5; i++)
            send(e, &b, 0);
        for (int i = 0; i < 3; i++)
            send(e, &back, 0);
        CHECK(view_of(e, id).unreported[C2S] == 5 && view_of(e, id).unreported[S2C] == 3);
        uint64_t more = 0;
        switch (way) {
        case CLEAR:
            engine_clear(e, (uint32_t)id);
            break;
        case AGE_OUT:
            engine_tick(e, 3700 * SECOND);
            break;
        case SWITCH_OFF:
            config.offload = false;
            build_configure(e, &config);
            CHECK(counter(e, COUNTER_session_pulled_back) == 1 && view_of(e, id).state == SESSION_ACTIVE);
            CHECK(view_of(e, id).end_ns == 30 * SECOND); /* the timer goes on from where it was */
            break;
        case COMMIT:
            build_configure(e, &config);
            CHECK(view_of(e, id).unreported[C2S] == 5); /* until its next packet */
            send(e, &b, 0);
            more = 1;
            CHECK(view_of(e, id).offloaded && counter(e, COUNTER_session_offloaded) == 2);
            break;
        default:
            b.flags = TCP_FIN | TCP_ACK;
            send(e, &b, 0);
            more = 1;
            CHECK(!view_of(e, id).offloaded && view_of(e, id).tcp_state == TCP_STATE_HALF_CLOSED_C2S);
        }
        struct session_view view = view_of(e, id);
        CHECK(view.packets[C2S] == software + 5 + more && view.packets[S2C] == software - 1 + 3);
        CHECK(view.bytes[C2S] == (software + 5 + more) * len && view.bytes[S2C] == (software - 1 + 3) * back_len);
        CHECK(!view.unreported[C2S] && !view.unreported[S2C] && view.flags & SESSION_OFFLOADED);
        if (way != COMMIT)
            nothing_is_left(e);
        engine_tick(e, 8000 * SECOND);
        nothing_is_left(e);
        CHECK(view_of(e, id).packets[C2S] == software + 5 + more);
        engine_free(e);
    }
}

static void data_seen_by_the_hardware(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct build back = from_server(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &back, 0);
    CHECK(!(view_of(e, id).flags & SESSION_SEEN_DATA)); /* not reported yet */
    engine_clear(e, (uint32_t)id);
    CHECK(view_of(e, id).flags & SESSION_SEEN_DATA);
    engine_free(e);
}

static void full_by_number(void)
{
    for (int is_profile = 0; is_profile < 2; is_profile++) { /* the profile's limit, then the memory's */
        struct offload_profile profile = by_count;
        profile.max_sessions = is_profile ? 2 : 100;
        struct engine *e = engine_of(profile, is_profile ? 10 : 2);
        struct build third = from_client(3, PROTO_UDP);
        int64_t id = 0;
        for (uint32_t n = 1; n <= 3; n++)
            id = open_session(e, n, PROTO_UDP, 0);
        send(e, &third, 0);
        CHECK(!view_of(e, id).offloaded && e->stats.offloaded == 2);
        CHECK(counter(e, COUNTER_session_offload_full) == 1); /* a session counts once */
        CHECK(send(e, &third, SECOND).action == VERDICT_FORWARD && view_of(e, id).end_ns == 31 * SECOND);
        engine_clear(e, 1);
        send(e, &third, 2 * SECOND);
        CHECK(view_of(e, id).offloaded && e->stats.offloaded == 2 && e->offload.fresh == 2);
        engine_free(e);
    }
}

static void full_by_ways(void)
{
    struct engine *e = engine_of(by_count, 10);
    e->offload.bucket_mask = 0; /* one bucket: room for five flows */
    for (uint32_t n = 1; n <= 3; n++)
        open_session(e, n, PROTO_UDP, 0);
    CHECK(e->stats.offloaded == 2 && counter(e, COUNTER_session_offload_full) == 1 && !view_of(e, 3).offloaded);
    struct build third = from_client(3, PROTO_UDP), back = from_server(3, PROTO_UDP);
    CHECK(send(e, &third, SECOND).session == 3 && send(e, &back, SECOND).session == 3); /* no flow of it stayed behind */
    CHECK(counter(e, COUNTER_pkt_offloaded) == 0 && view_of(e, 3).packets[S2C] == 1);
    engine_clear(e, 1);
    send(e, &third, SECOND);
    CHECK(!view_of(e, 3).offloaded); /* it looks again now and then */
    for (int i = 0; i < 64 && !view_of(e, 3).offloaded; i++)
        send(e, &third, SECOND);
    CHECK(view_of(e, 3).offloaded && counter(e, COUNTER_session_offload_full) == 1);
    engine_tick(e, 100 * SECOND);
    nothing_is_left(e);
    engine_free(e);
}

/* Records serve again, for other sessions, and nothing of the last one shows. */
static void records_are_reused(void)
{
    struct random r = {7};
    struct engine *e = engine_of(by_time, 4);
    int64_t now = 0;
    for (uint32_t n = 1; n <= 300; n++) {
        int64_t id = open_session(e, n, PROTO_UDP, now);
        struct build b = from_client(n, PROTO_UDP);
        CHECK(e->stats.offloaded <= 4 && e->offload.fresh <= 4);
        if (view_of(e, id).offloaded) {
            uint32_t packets = random_below(&r, 5);
            for (uint32_t i = 0; i < packets; i++)
                send(e, &b, now);
            CHECK(view_of(e, id).unreported[C2S] == packets && view_of(e, id).unreported[S2C] == 0);
        }
        uint32_t other = 1 + random_below(&r, 40);
        engine_clear(e, other);
        now += random_below(&r, 3) * SECOND;
    }
    engine_tick(e, now + 100 * SECOND);
    nothing_is_left(e);
    engine_free(e);
}

static void who_may_be_offloaded(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct build echo = from_client(1, PROTO_ICMPV6), gre = from_client(2, 47), syn = from_client(3, PROTO_TCP),
                 denied = from_client(4, PROTO_UDP);
    echo.icmp_type = 128;
    syn.flags = TCP_SYN;
    int64_t icmp_id = build_session(e, &echo, CLIENT, SERVER, ACTION_allow, 0);
    forget_verdicts(e);
    int64_t gre_id = build_session(e, &gre, CLIENT, SERVER, ACTION_allow, 0);
    forget_verdicts(e);
    int64_t tcp_id = build_session(e, &syn, CLIENT, SERVER, ACTION_allow, 0);
    forget_verdicts(e);
    int64_t denied_id = build_session(e, &denied, CLIENT, SERVER, ACTION_deny, 0);
    forget_verdicts(e);
    CHECK(!view_of(e, icmp_id).offloaded && view_of(e, gre_id).offloaded);
    CHECK(!view_of(e, tcp_id).offloaded && !view_of(e, denied_id).offloaded); /* not established; not allowed */
    CHECK(send(e, &denied, 0).reason == COUNTER_flow_discard_drop && e->stats.offloaded == 1);
    for (int i = 0; i < 15; i++)
        send(e, &gre, SECOND);
    CHECK(view_of(e, gre_id).unreported[C2S] == 15); /* the threshold of all that is not UDP */
    send(e, &gre, SECOND);
    CHECK(view_of(e, gre_id).unreported[C2S] == 0);
    engine_free(e);
}

/* ---- packets ------------------------------------------------------------------------------------------------- */

/* A frame of a TCP session of client 1, IPv6, changed by whoever calls. */
static struct verdict send_frame(struct engine *e, uint8_t *frame, uint32_t len, int64_t now_ns)
{
    struct input in = {.data = frame, .len = len, .port = CLIENT, .link = LINK_IP, .now_ns = now_ns};
    CHECK(engine_input(e, &in, 1, false) == 1);
    struct verdict v = build_last_verdict(e);
    forget_verdicts(e);
    return v;
}

static void what_it_does_not_understand_goes_to_software(void)
{
    static uint8_t frame[BUILD_BYTES];
    static const uint8_t flags[] = {TCP_FIN | TCP_ACK, TCP_RST, TCP_SYN, TCP_SYN | TCP_ACK};
    struct build b = from_client(1, PROTO_TCP);
    for (unsigned i = 0; i < sizeof flags + 1; i++) {
        struct engine *e = engine_of(by_count, 10);
        int64_t id = open_session(e, 1, PROTO_TCP, 0);
        uint64_t before = view_of(e, id).packets[C2S];
        b.flags = i < sizeof flags ? flags[i] : TCP_ACK;
        uint32_t len = build_packet(frame, &b);
        if (i == sizeof flags) { /* a hop-by-hop header of padding */
            static const uint8_t padding[8] = {PROTO_TCP, 0, 1, 4};
            memmove(frame + 48, frame + 40, len - 40);
            memcpy(frame + 40, padding, sizeof padding);
            frame[6] = 0;
            build_be16(frame + 4, len - 40 + 8);
            len += 8;
        }
        CHECK(send_frame(e, frame, len, SECOND).action == VERDICT_FORWARD);
        struct session_view view = view_of(e, id);
        CHECK(counter(e, COUNTER_pkt_offloaded) == 0 && view.packets[C2S] == before + 1 && !view.unreported[C2S]);
        CHECK(view.offloaded == (i >= 2)); /* the end of a connection is followed in software */
        engine_free(e);
    }
}

static void windows_count_in_hardware_too(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct build b = from_client(1, PROTO_TCP);
    int64_t id = open_session(e, 1, PROTO_TCP, 0);
    b.seq = 1 << 20, b.ack = 1;
    struct verdict v = send(e, &b, SECOND);
    CHECK(v.reason == COUNTER_tcp_drop_out_of_wnd && v.session == id);
    CHECK(view_of(e, id).last_ns == 0 && !view_of(e, id).unreported[C2S] && !counter(e, COUNTER_pkt_offloaded));
    engine_free(e);
}

/* At the very nanosecond it expires a session is over for the hardware as for software. */
static void a_packet_at_the_end(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct build b = from_client(1, PROTO_UDP);
    struct undecided u;
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    CHECK(send(e, &b, 30 * SECOND - 1).session == id && counter(e, COUNTER_pkt_offloaded) == 1);
    build_feed(e, &b, CLIENT, 30 * SECOND, 2);
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_view view = view_of(e, id);
    CHECK(view.state == SESSION_INIT && view.end_ns == 30 * SECOND && view.packets[C2S] == 2);
    nothing_is_left(e);
    engine_free(e);
}

/* ---- configuration and routes ---------------------------------------------------------------------------------- */

/* Ports 2 and 3 in one zone, port 1 in another. */
static void configure_two_ways(struct engine *e, const struct engine_config *template)
{
    static const struct port_config ports[] = {
        {0},
        {.zone = 1, .ipv6 = true, .mark = 0x1000},
        {.zone = 2, .ipv6 = true, .mark = 0x2000},
        {.zone = 2, .ipv6 = true, .mark = 0x3000},
    };
    struct engine_config config = *template;
    config.port_count = 4;
    config.ports = ports;
    CHECK(engine_configure(e, &config) == 0);
}

static struct fib *fib_to_server(uint8_t family, uint16_t port)
{
    struct route routes[] = {{.length = 128, .leaves = true, .port = port}, {.length = 0, .leaves = true, .port = CLIENT}};
    build_key_address(routes[0].prefix, family, HOST);
    return fib_new(routes, 2, NULL, 0);
}

static void routes_move_offloaded_sessions(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct engine_config config = config_of(by_count);
    configure_two_ways(e, &config);
    struct fib *second = fib_to_server(6, 2), *third = fib_to_server(6, 3), *client = fib_to_server(6, CLIENT);
    struct build b = from_client(1, PROTO_UDP), back = from_server(1, PROTO_UDP);
    engine_set_fibs(e, (const struct fib *[]){second}, 1);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    CHECK(send(e, &b, 0).port == 2 && counter(e, COUNTER_pkt_offloaded) == 1);
    engine_set_fibs(e, (const struct fib *[]){third}, 1);
    CHECK(view_of(e, id).unreported[C2S] == 1);
    CHECK(send(e, &b, 0).port == 3 && counter(e, COUNTER_pkt_offloaded) == 1); /* it leaves, looks, and enters again */
    CHECK(send(e, &b, 0).port == 3 && counter(e, COUNTER_pkt_offloaded) == 2 && view_of(e, id).port[S2C] == 3);
    engine_set_fibs(e, (const struct fib *[]){client}, 1);
    CHECK(send(e, &b, 0).reason == COUNTER_flow_fwd_zonechange && send(e, &back, 0).action == VERDICT_FORWARD);
    CHECK(!view_of(e, id).offloaded && view_of(e, id).packets[C2S] == 4);
    engine_set_fibs(e, (const struct fib *[]){second}, 1);
    CHECK(send(e, &b, 0).port == 2 && view_of(e, id).offloaded);
    engine_set_fibs(e, (const struct fib *[]){NULL}, 1);
    CHECK(send(e, &b, 0).port == 2);
    engine_free(e);
    fib_free(second), fib_free(third), fib_free(client);
}

/* Numbers of configurations begin anew after 65,535 of them; no session may seem to have looked already. */
static void generations_wrap(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct engine_config config = config_of(by_count);
    configure_two_ways(e, &config);
    struct fib *second = fib_to_server(6, 2), *third = fib_to_server(6, 3);
    struct build b = from_client(1, PROTO_UDP), quiet = from_client(3, PROTO_UDP);
    engine_set_fibs(e, (const struct fib *[]){second}, 1);
    open_session(e, 1, PROTO_UDP, 0);
    open_session(e, 3, PROTO_UDP, 0); /* has no packet until the number it looked at comes again */
    uint16_t looked = e->generation;
    for (uint32_t i = 1; i < 1u << 16; i++) {
        engine_set_fibs(e, (const struct fib *[]){i & 1 ? third : second}, 1);
        if (i % 1000 == 0)
            CHECK(send(e, &b, 0).port == (i & 1 ? 3 : 2));
        if (e->generation == looked) {
            CHECK(send(e, &quiet, 0).port == (i & 1 ? 3 : 2));
            CHECK(i == UINT16_MAX && counter(e, COUNTER_session_offloaded) == 2 + i / 1000 + 1);
        }
    }
    CHECK(e->generation == looked);
    engine_free(e);
    fib_free(second), fib_free(third);
}

/* Another device counts otherwise; a flow of it is the new one's at its next packet. */
static void another_profile(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct engine_config config = config_of(by_count);
    struct build b = from_client(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    config.offload_profile.udp_packets = 3;
    build_configure(e, &config);
    send(e, &b, 0);
    for (int i = 0; i < 2; i++)
        send(e, &b, SECOND);
    CHECK(view_of(e, id).unreported[C2S] == 2 && view_of(e, id).end_ns == 30 * SECOND);
    send(e, &b, SECOND);
    CHECK(view_of(e, id).unreported[C2S] == 0 && view_of(e, id).end_ns == 31 * SECOND);
    send(e, &b, 2 * SECOND);
    config.offload_profile.scan_ms = 1000;
    build_configure(e, &config); /* what was counted without a scan timer is not due by one */
    engine_tick(e, 20 * SECOND);
    CHECK(!view_of(e, id).offloaded && view_of(e, id).end_ns == 31 * SECOND && view_of(e, id).packets[C2S] == 6);
    send(e, &b, 21 * SECOND);
    CHECK(view_of(e, id).offloaded);
    config.offload_profile = (struct offload_profile){0}; /* none */
    CHECK(!engine_configure(e, &config) && !view_of(e, id).offloaded && e->offload.limit == 0);
    nothing_is_left(e);
    config.offload_profile = (struct offload_profile){.packets = 16};
    CHECK(engine_configure(e, &config) != 0);
    config.offload_profile = (struct offload_profile){.packets = 16, .udp_packets = MAX_REPORT_PACKETS + 1};
    CHECK(engine_configure(e, &config) != 0);
    engine_free(e);
}

/* What was due before a commit is reported by the timers from before, though nobody looked in between. */
static void due_before_a_commit(void)
{
    for (int off = 0; off < 2; off++) {
        struct engine *e = engine_of(by_time, 10);
        struct engine_config config = config_of(by_time);
        struct build b = from_client(1, PROTO_UDP);
        int64_t id = open_session(e, 1, PROTO_UDP, 0);
        send(e, &b, SECOND); /* due at 9 s */
        engine_tick(e, 20 * SECOND);
        config.timeout_s[TIMER_udp] = 1000;
        config.offload = !off;
        build_configure(e, &config);
        CHECK(view_of(e, id).end_ns == 39 * SECOND && view_of(e, id).offloaded == !off);
        engine_free(e);
    }
}

/* A timer that is made shorter is taken up by the next packet, as in software; not by the report of one before. */
static void due_after_a_commit(void)
{
    struct engine *e = engine_of(by_time, 10);
    struct engine_config config = config_of(by_time);
    struct build b = from_client(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    send(e, &b, SECOND);
    config.timeout_s[TIMER_udp] = 2;
    build_configure(e, &config);
    engine_tick(e, 20 * SECOND);
    CHECK(view_of(e, id).unreported[C2S] == 0 && view_of(e, id).end_ns == 39 * SECOND);
    send(e, &b, 20 * SECOND);
    CHECK(view_of(e, id).end_ns == 22 * SECOND);
    engine_free(e);
}

/* Nor does it go back with its old timer after a packet that starts none. */
static void a_stray_syn_after_a_commit(void)
{
    struct engine *e = engine_of(by_count, 10);
    struct engine_config config = config_of(by_count);
    struct build syn = from_client(1, PROTO_TCP), ack = syn;
    int64_t id = open_session(e, 1, PROTO_TCP, 0);
    config.timeout_s[TIMER_tcp] = 100;
    build_configure(e, &config);
    syn.flags = TCP_SYN;
    CHECK(send(e, &syn, SECOND).action == VERDICT_FORWARD && view_of(e, id).timeout_s == 3600);
    CHECK(send(e, &ack, SECOND).action == VERDICT_FORWARD && view_of(e, id).timeout_s == 100 && view_of(e, id).offloaded);
    engine_free(e);
}

/* The longest report: as many of the largest packets as a flow counts. */
static void the_most_a_flow_counts(void)
{
    struct offload_profile profile = {.udp_packets = MAX_REPORT_PACKETS, .packets = MAX_REPORT_PACKETS, .max_sessions = 1};
    static uint8_t frame[BUILD_BYTES];
    struct engine *e = engine_of(profile, 1);
    struct build b = from_client(1, PROTO_UDP);
    int64_t id = open_session(e, 1, PROTO_UDP, 0);
    b.payload = 65535 - 8;
    uint32_t len = build_packet(frame, &b), count;
    struct input burst[MAX_BURST];
    for (uint32_t i = 0; i < MAX_BURST; i++)
        burst[i] = (struct input){.data = frame, .len = len, .port = CLIENT, .link = LINK_IP,
                                  .flags = INPUT_CHECKSUM_TRUSTED};
    for (uint32_t sent = 0; sent < MAX_REPORT_PACKETS; sent += MAX_BURST) {
        CHECK(engine_input(e, burst, MAX_BURST, false) == MAX_BURST);
        engine_verdicts(e, &count);
    }
    struct session_view view = view_of(e, id);
    CHECK(len == 65575 && view.unreported[C2S] == 0 && view.packets[C2S] == 1ull + MAX_REPORT_PACKETS);
    CHECK(view.bytes[C2S] == 48 + (uint64_t)MAX_REPORT_PACKETS * len);
    engine_free(e);
}

int main(void)
{
    at_the_threshold();
    by_scan_at_its_time();
    a_late_scan_of_one_flow_after_a_report_of_the_other();
    a_late_scan_after_a_packet_in_software();
    a_packet_of_the_other_flow_finds_a_report_that_is_due();
    a_wait_is_never_negative();
    for (uint64_t seed = 1; seed <= 300; seed++) {
        whoever_looks(seed, by_time, 1 + seed % 29);
        whoever_looks(seed, by_count, 1 + seed % 10);
        whoever_looks(seed, (struct offload_profile){3, 3, 12000, 1}, 1 + seed % 29);
    }
    scan_and_accelerated_aging();
    nothing_counted_is_lost();
    data_seen_by_the_hardware();
    full_by_number();
    full_by_ways();
    records_are_reused();
    who_may_be_offloaded();
    what_it_does_not_understand_goes_to_software();
    windows_count_in_hardware_too();
    a_packet_at_the_end();
    routes_move_offloaded_sessions();
    generations_wrap();
    another_profile();
    due_before_a_commit();
    due_after_a_commit();
    a_stray_syn_after_a_commit();
    the_most_a_flow_counts();
    return check_report();
}
