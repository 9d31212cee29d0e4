/* Rates, random early drop, and the flood protection of a zone. */
#include <errno.h>

#include "flood.h"

#include "check.h"
#include "protected.h"
#include "random.h"

static void a_steady_rate_is_measured(void)
{
    static const uint32_t rates[] = {1, 2, 10, 999, 20000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct meter m = {0};
        int64_t step_ns = SECOND / rates[i], now_ns = 77 * SECOND + 123;
        for (uint32_t n = 1; n <= 4 * rates[i]; n++, now_ns += step_ns) {
            uint32_t rate = meter_count(&m, now_ns);
            CHECK(n <= rates[i] ? rate == n : rate + 1 >= rates[i] && rate <= rates[i] + 1);
        }
        CHECK(meter_rate(&m, now_ns + SECOND) <= rates[i]);
        CHECK(meter_rate(&m, now_ns + 2 * SECOND) == 0);
    }
}

/* Whatever the times, the estimate is what of two whole seconds one can know. */
static void a_rate_is_within_what_was_counted(void)
{
    enum { PACKETS = 2000 };
    static int64_t times[PACKETS];
    struct random random = {42};
    struct meter m = {0};
    int64_t now_ns = 5;
    for (uint32_t n = 0; n < PACKETS; n++) {
        now_ns += (int64_t)random_below(&random, 1 << (random_below(&random, 31)));
        times[n] = now_ns;
        uint32_t rate = meter_count(&m, now_ns), in_two = 0, exact = 0;
        for (uint32_t i = 0; i <= n; i++) {
            in_two += times[i] > now_ns - 2 * SECOND;
            exact += times[i] > now_ns - SECOND;
        }
        CHECK(rate >= 1 && rate <= in_two && rate + m.before >= exact);
        CHECK(meter_rate(&m, now_ns) == rate);
    }
}

static void limits_are_judged(void)
{
    static const struct build syn = {.family = 4, .proto = PROTO_TCP, .src = 1, .dst = 2, .sport = 9, .dport = 80,
                                     .flags = TCP_SYN};
    static const struct {
        uint32_t activate, maximal, rate;
        bool cookies;
        uint32_t dropped_percent, cookie_percent;
    } rows[] = {
        {100, 200, 99, false, 0, 0}, {100, 200, 100, false, 0, 0}, {100, 200, 125, false, 25, 0},
        {100, 200, 175, false, 75, 0}, {100, 200, 200, false, 100, 0}, {100, 200, 201, false, 100, 0},
        {100, 100, 100, false, 0, 0}, {100, 100, 101, false, 100, 0}, {200, 100, 150, false, 100, 0},
        {1, 2000000, 1000000, false, 50, 0},
        {0, 200, 1, true, 0, 100}, {0, 200, 200, true, 0, 100}, {0, 200, 201, true, 100, 0}, {5, 200, 4, true, 0, 0},
        {5, 200, 5, true, 0, 100},
    };
    struct engine *e = build_engine((struct engine_params){0});
    uint8_t bytes[256];
    struct packet p;
    CHECK(!packet_parse(bytes, build_packet(bytes, &syn), LINK_IP, 0, &p));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum { DRAWS = 20000 };
        struct flood_limits limits = {.enabled = true, .syn_cookies = rows[i].cookies, .activate = rows[i].activate,
                                      .maximal = rows[i].maximal};
        uint32_t counts[3] = {0};
        for (int draw = 0; draw < DRAWS; draw++)
            counts[flood_judge(e, &limits, &p, rows[i].rate)]++;
        int32_t dropped = (int32_t)counts[ADMIT_NOT] - (int32_t)rows[i].dropped_percent * (DRAWS / 100);
        bool is_certain = rows[i].dropped_percent % 100 == 0;
        CHECK(is_certain ? dropped == 0 : dropped > -400 && dropped < 400); /* 6 standard deviations */
        CHECK(counts[ADMIT_WITH_COOKIE] == rows[i].cookie_percent * (DRAWS / 100));
    }
    engine_free(e);
}

/* ---- a zone's floods ------------------------------------------------------------------------------- */

static const struct kind {
    enum flood flood;
    enum counter reason;
    struct build packet;
} kinds[] = {
    {FLOOD_tcp_syn, COUNTER_flow_dos_red_tcp, {.family = 4, .proto = PROTO_TCP, .dst = 9, .dport = 80, .flags = TCP_SYN}},
    {FLOOD_tcp_syn, COUNTER_flow_dos_red_tcp, {.family = 6, .proto = PROTO_TCP, .dst = 9, .dport = 80, .flags = TCP_SYN}},
    {FLOOD_udp, COUNTER_flow_dos_red_udp, {.family = 4, .proto = PROTO_UDP, .dst = 9, .dport = 53, .payload = 3}},
    {FLOOD_udp, COUNTER_flow_dos_red_udp, {.family = 6, .proto = PROTO_UDP, .dst = 9, .dport = 53, .payload = 3}},
    {FLOOD_icmp, COUNTER_flow_dos_red_icmp, {.family = 4, .proto = PROTO_ICMP, .dst = 9, .dport = 1, .icmp_type = 8}},
    {FLOOD_icmpv6, COUNTER_flow_dos_red_icmp6, {.family = 6, .proto = PROTO_ICMPV6, .dst = 9, .dport = 1, .icmp_type = 128}},
    {FLOOD_other_ip, COUNTER_flow_dos_red_ip, {.family = 4, .proto = 47, .dst = 9, .payload = 20}},
    {FLOOD_other_ip, COUNTER_flow_dos_red_ip, {.family = 6, .proto = 132, .dst = 9, .payload = 20}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct build from_host(const struct kind *kind, uint32_t host)
{
    struct build b = kind->packet;
    b.src = 1000 + host;
    b.sport = (uint16_t)(b.proto == 47 || b.proto == 132 ? 0 : 1024 + host);
    return b;
}

static struct flood_stats stats_of(struct protected *t, enum flood flood)
{
    struct zone_stats stats;
    CHECK(engine_zone_stats(t->engine, 1, &stats) == 0);
    return stats.flood[flood];
}

static void a_flood_of_each_kind_is_refused_and_ends(void)
{
    for (int i = 0; i < KINDS; i++) {
        struct protected t = protected_new((struct engine_params){0});
        struct threat threat = {0};
        t.zone.flood[kinds[i].flood] = (struct flood_limits){.enabled = true, .alarm = 20, .activate = 50, .maximal = 60};
        protected_configure(&t);
        uint32_t dropped = 0, between = 0;
        for (uint32_t n = 1; n <= 200; n++, t.now_ns += 1000) {
            struct build b = from_host(&kinds[i], n);
            uint32_t reason = protected_try(&t, &b, 1);
            CHECK(reason == 0 || reason == kinds[i].reason);
            CHECK(n > 50 || reason == 0);
            CHECK(n < 60 || reason);
            dropped += reason != 0;
            between += reason && n < 60;
            struct build other = from_host(&kinds[(i + 2) % KINDS], n); /* what is no part of it passes */
            CHECK(kinds[(i + 2) % KINDS].flood == kinds[i].flood || protected_try(&t, &other, 1) == 0);
            struct build elsewhere = from_host(&kinds[i], n);
            CHECK(protected_try(&t, &elsewhere, 2) == 0);
        }
        CHECK(between > 0 && between < 9);
        struct flood_stats stats = stats_of(&t, kinds[i].flood);
        CHECK(stats.rate == 200 && stats.dropped == dropped && stats.cookies == 0);
        CHECK(protected_counter(&t, kinds[i].reason) == dropped);
        CHECK(protected_threats(&t, &threat) == 1);
        CHECK(threat.type == THREAT_FLOOD && threat.what == kinds[i].flood && threat.rule == 0 && threat.repeat == 1);
        CHECK(threat.key.zone == 1 && threat.port == 1 && threat.action == SCAN_ACTION_alert && threat.reason == 0);
        t.now_ns += SECOND;
        struct build b = from_host(&kinds[i], 300);
        protected_try(&t, &b, 1); /* the alarm is still on, and tells of what was dropped */
        CHECK(protected_threats(&t, &threat) == 1 && threat.repeat == 181 && threat.reason == kinds[i].reason);
        CHECK(threat.action == SCAN_ACTION_block);
        t.now_ns += 2 * SECOND;
        engine_tick(t.engine, t.now_ns);
        CHECK(stats_of(&t, kinds[i].flood).rate == 0);
        for (uint32_t n = 0; n < 20; n++)
            CHECK(protected_try(&t, &b, 1) == 0);
        engine_free(t.engine);
    }
}

static void packets_of_sessions_are_no_flood(void)
{
    for (int i = 0; i < KINDS; i++) {
        struct protected t = protected_new((struct engine_params){0});
        for (int flood = 0; flood < FLOOD_COUNT; flood++)
            t.zone.flood[flood] = (struct flood_limits){.enabled = true, .alarm = 2, .activate = 2, .maximal = 2};
        protected_configure(&t);
        struct build b = from_host(&kinds[i], 1);
        CHECK(build_session(t.engine, &b, 1, 2, ACTION_allow, t.now_ns) > 0);
        forget_verdicts(t.engine);
        for (int n = 0; n < 50; n++)
            CHECK(protected_feed(&t, &b, 1) == 0);
        CHECK(stats_of(&t, kinds[i].flood).rate == 1);
        engine_free(t.engine);
    }
}

/* An engine whose profile wants cookies asks for them, of SYN segments alone. */
static void cookies_are_asked_for(void)
{
    struct protected t = protected_new((struct engine_params){0});
    t.zone.flood[FLOOD_tcp_syn] =
        (struct flood_limits){.enabled = true, .syn_cookies = true, .alarm = 1000, .activate = 3, .maximal = 10};
    protected_configure(&t);
    uint32_t answered = 0;
    for (uint32_t n = 1; n <= 20; n++) {
        struct build b = from_host(&kinds[0], n);
        uint8_t bytes[256];
        struct packet p;
        CHECK(!packet_parse(bytes, build_packet(bytes, &b), LINK_IP, 0, &p));
        p.port = 1;
        p.cookie = 0;
        fastpath_place(t.engine, &p);
        uint32_t reason = 0;
        t.engine->now_ns = t.now_ns;
        CHECK(uses_cookies(t.engine, &p));
        enum admission admission = zone_admits(t.engine, &p, &reason);
        answered += admission == ADMIT_WITH_COOKIE;
        CHECK(admission == (n < 3 ? ADMIT : n <= 10 ? ADMIT_WITH_COOKIE : ADMIT_NOT));
        CHECK(reason == (n > 10 ? COUNTER_flow_dos_red_tcp : 0));
        p.port = 2;
        CHECK(!uses_cookies(t.engine, &p));
    }
    CHECK(stats_of(&t, FLOOD_tcp_syn).cookies == answered && answered == 8);
    engine_free(t.engine);
}

static void figures_outlive_a_commit(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct zone_stats stats;
    t.zone.flood[FLOOD_udp] = (struct flood_limits){.enabled = true, .alarm = 100, .activate = 2, .maximal = 2};
    protected_configure(&t);
    for (uint32_t n = 0; n < 10; n++) {
        struct build b = from_host(&kinds[2], n);
        protected_try(&t, &b, 1);
        protected_configure(&t);
    }
    CHECK(stats_of(&t, FLOOD_udp).rate == 10 && stats_of(&t, FLOOD_udp).dropped == 8);
    CHECK(engine_zone_stats(t.engine, 2, &stats) == -ENOENT);
    t.zone.zone = 3;
    protected_configure(&t);
    CHECK(engine_zone_stats(t.engine, 1, &stats) == -ENOENT);
    CHECK(engine_zone_stats(t.engine, 3, &stats) == 0 && stats.flood[FLOOD_udp].dropped == 0);
    engine_free(t.engine);
}

static void what_packets_are_refused_for_is_shown(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct zone_stats stats;
    t.zone.checks = 1ull << PROTECT_tcp_syn_data;
    protected_configure(&t);
    struct build b = from_host(&kinds[0], 1);
    b.payload = 5;
    CHECK(protected_try(&t, &b, 1) == COUNTER_flow_dos_pf_tcpsyndata);
    CHECK(engine_zone_stats(t.engine, 1, &stats) == 0);
    for (int which = 0; which < PROTECTION_COUNT; which++)
        CHECK(stats.checks[which] == (which == PROTECT_tcp_syn_data));
    engine_free(t.engine);
}

int main(void)
{
    a_steady_rate_is_measured();
    a_rate_is_within_what_was_counted();
    limits_are_judged();
    a_flood_of_each_kind_is_refused_and_ends();
    packets_of_sessions_are_no_flood();
    cookies_are_asked_for();
    figures_outlive_a_commit();
    what_packets_are_refused_for_is_shown();
    return check_report();
}
