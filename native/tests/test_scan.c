/* Reconnaissance: what counts as one more, what each action does, and for how long. */
#include "check.h"
#include "protected.h"

enum { SCANNER = 7, VICTIM = 9, OTHER = 10 };

static struct build probe(enum scan scan, uint32_t n, uint32_t source, uint32_t victim)
{
    struct build b = {.family = 4, .proto = PROTO_TCP, .src = source, .dst = victim,
                      .sport = 999, .dport = (uint16_t)(1 + n), .flags = TCP_SYN};
    if (scan == SCAN_udp_port)
        b.proto = PROTO_UDP, b.flags = 0;
    if (scan == SCAN_host_sweep)
        b.dst = victim + n, b.dport = 80;
    if (scan == SCAN_ip_protocol)
        b.proto = (uint8_t)(100 + n), b.sport = b.dport = 0, b.flags = 0, b.payload = 8;
    return b;
}

static struct protected scanned(enum scan scan, enum scan_action action, uint32_t threshold)
{
    struct protected t = protected_new((struct engine_params){0});
    t.zone.scan[scan] = (struct scan_limits){.enabled = true, .action = (uint8_t)action, .interval_s = 5,
                                             .threshold = threshold, .block_s = 100};
    protected_configure(&t);
    return t;
}

/* The packet that reaches the threshold is the first that is dropped; nobody else's is. */
static void each_scan_is_found_and_ends(void)
{
    for (enum scan scan = 0; scan < SCAN_COUNT; scan++) {
        struct protected t = scanned(scan, SCAN_ACTION_block, 10);
        struct zone_stats stats;
        struct threat threat = {0};
        for (uint32_t n = 1; n <= 30; n++) {
            struct build b = probe(scan, n, SCANNER, VICTIM), bystander = probe(scan, 5, SCANNER + 1, VICTIM);
            CHECK(protected_try(&t, &b, 1) == (n < 10 ? 0 : COUNTER_flow_scan_drop));
            CHECK(protected_try(&t, &bystander, 1) == 0);
            CHECK(protected_try(&t, &b, 2) == 0);
        }
        CHECK(engine_zone_stats(t.engine, 1, &stats) == 0);
        for (enum scan i = 0; i < SCAN_COUNT; i++)
            CHECK(stats.scans[i] == (i == scan ? 21 : 0));
        CHECK(protected_threats(&t, &threat) == 1 && threat.type == THREAT_SCAN && threat.what == scan);
        CHECK(threat.action == SCAN_ACTION_block && threat.reason == COUNTER_flow_scan_drop && threat.rule == 0);
        struct build b = probe(scan, 1, SCANNER, VICTIM);
        t.now_ns += 5 * SECOND - 1; /* the interval began with the first probe */
        CHECK(protected_try(&t, &b, 1) == COUNTER_flow_scan_drop);
        t.now_ns += 1;
        CHECK(protected_try(&t, &b, 1) == 0);
        CHECK(protected_counter(&t, COUNTER_flow_scan_drop) == 22);
        engine_free(t.engine);
    }
}

static void the_same_again_is_no_scan(void)
{
    for (enum scan scan = 0; scan < SCAN_COUNT; scan++) {
        struct protected t = scanned(scan, SCAN_ACTION_block, 10);
        for (uint32_t n = 0; n < 500; n++) {
            struct build b = probe(scan, n % 8, SCANNER, VICTIM);
            CHECK(protected_try(&t, &b, 1) == 0);
        }
        engine_free(t.engine);
    }
}

static void slow_probes_are_no_scan(void)
{
    struct protected t = scanned(SCAN_tcp_port, SCAN_ACTION_block, 10);
    for (uint32_t n = 0; n < 100; n++, t.now_ns += SECOND) {
        struct build b = probe(SCAN_tcp_port, n, SCANNER, VICTIM);
        CHECK(protected_try(&t, &b, 1) == 0);
    }
    engine_free(t.engine);
}

/* A port scan is dropped as far as it goes on; what the source knows of other hosts it may use. */
static void a_port_scan_blocks_for_the_host_that_is_scanned(void)
{
    struct protected t = scanned(SCAN_tcp_port, SCAN_ACTION_block, 10);
    for (uint32_t n = 1; n <= 10; n++) {
        struct build b = probe(SCAN_tcp_port, n, SCANNER, VICTIM);
        protected_try(&t, &b, 1);
    }
    struct build known = probe(SCAN_tcp_port, 3, SCANNER, VICTIM), other = probe(SCAN_tcp_port, 3, SCANNER, OTHER),
                 new = probe(SCAN_tcp_port, 77, SCANNER, OTHER);
    CHECK(protected_try(&t, &known, 1) == COUNTER_flow_scan_drop);
    CHECK(protected_try(&t, &other, 1) == 0);
    CHECK(protected_try(&t, &new, 1) == COUNTER_flow_scan_drop);
    CHECK(protected_try(&t, &other, 1) == COUNTER_flow_scan_drop);
    engine_free(t.engine);
}

static void actions_differ(void)
{
    static const struct {
        enum scan_action action;
        bool by_pair;
        uint32_t reason, next, elsewhere; /* of the probe, what follows it, and what follows to another host */
        uint32_t threats, blocks;
    } rows[] = {
        {SCAN_ACTION_allow, false, 0, 0, 0, 0, 0},
        {SCAN_ACTION_alert, false, 0, 0, 0, 1, 0},
        {SCAN_ACTION_block, false, COUNTER_flow_scan_drop, COUNTER_flow_scan_drop, 0, 1, 0},
        {SCAN_ACTION_block_ip, true, COUNTER_flow_scan_drop, COUNTER_flow_dos_drop_ip_blocked, 0, 1, 1},
        {SCAN_ACTION_block_ip, false, COUNTER_flow_scan_drop, COUNTER_flow_dos_drop_ip_blocked,
         COUNTER_flow_dos_drop_ip_blocked, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct protected t = scanned(SCAN_udp_port, rows[i].action, 4);
        struct threat threat = {0};
        struct blocked_source blocked[4];
        t.zone.scan[SCAN_udp_port].by_pair = rows[i].by_pair;
        protected_configure(&t);
        for (uint32_t n = 1; n <= 3; n++) {
            struct build b = probe(SCAN_udp_port, n, SCANNER, VICTIM);
            CHECK(protected_try(&t, &b, 1) == 0);
        }
        struct build fourth = probe(SCAN_udp_port, 4, SCANNER, VICTIM), elsewhere = probe(SCAN_udp_port, 1, SCANNER, OTHER);
        CHECK(protected_try(&t, &fourth, 1) == rows[i].reason);
        CHECK(protected_try(&t, &fourth, 1) == rows[i].next);
        CHECK(protected_try(&t, &elsewhere, 1) == rows[i].elsewhere);
        CHECK(protected_threats(&t, &threat) == rows[i].threats);
        CHECK(!rows[i].threats || (threat.action == rows[i].action && threat.reason == rows[i].reason));
        uint32_t cursor = 0;
        CHECK(engine_blocks(t.engine, &cursor, blocked, 4) == rows[i].blocks && cursor == 0);
        CHECK(!rows[i].blocks || (blocked[0].why == THREAT_SCAN && blocked[0].until_ns == t.now_ns + 100 * SECOND));
        engine_free(t.engine);
    }
}

/* Flags no handshake has, and segments that belong to nothing, are probes too. */
static void refused_segments_are_probes(void)
{
    static const struct {
        uint8_t flags;
        uint32_t reason;
    } rows[] = {{0, COUNTER_tcp_flag_zero}, {TCP_FIN, COUNTER_flow_parse_tcp_flags},
                {TCP_FIN | TCP_PSH | TCP_URG, COUNTER_flow_parse_tcp_flags}, {TCP_ACK, COUNTER_flow_tcp_non_syn_drop}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum scan scan = SCAN_tcp_port; scan <= SCAN_host_sweep; scan++) {
            struct protected t = scanned(scan, SCAN_ACTION_block_ip, 10);
            struct threat threat;
            uint32_t own = 0;
            for (uint32_t n = 1; n <= 20; n++) {
                struct build b = probe(scan, n, SCANNER, VICTIM);
                b.flags = rows[i].flags;
                uint32_t reason = protected_try(&t, &b, 1);
                CHECK(reason == rows[i].reason || (n > 10 && reason == COUNTER_flow_dos_drop_ip_blocked));
                own += reason == rows[i].reason;
            }
            /* what the parser refuses it refuses of a blocked source as well */
            CHECK(own == (rows[i].reason == COUNTER_flow_tcp_non_syn_drop ? 10 : 20));
            struct build syn = probe(scan, 1, SCANNER, VICTIM);
            CHECK(protected_try(&t, &syn, 1) == COUNTER_flow_dos_drop_ip_blocked);
            CHECK(protected_threats(&t, &threat) == 1 && threat.action == SCAN_ACTION_block_ip);
            engine_free(t.engine);
        }
}

static void exempt_sources_may_scan(void)
{
    struct protected t = scanned(SCAN_tcp_port, SCAN_ACTION_block, 4);
    build_key_address(t.ranges[1].first, 4, SCANNER);
    build_key_address(t.ranges[1].last, 4, SCANNER + 2);
    t.zone.scan_exempt = (struct list){1, 1};
    protected_configure(&t);
    for (uint32_t source = SCANNER - 1; source <= SCANNER + 3; source++)
        for (uint32_t n = 1; n <= 8; n++) {
            struct build b = probe(SCAN_tcp_port, n, source, VICTIM + 100);
            bool is_exempt = source >= SCANNER && source <= SCANNER + 2;
            CHECK(protected_try(&t, &b, 1) == (is_exempt || n < 4 ? 0 : COUNTER_flow_scan_drop));
        }
    engine_free(t.engine);
}

/* However high the threshold, it is met within a few percent. */
static void thresholds_are_met(void)
{
    static const uint32_t thresholds[] = {2, 3, 16, 100, 500, 1024, 1025, 5000, 20000, 60000};
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++)
        for (uint32_t source = 1; source <= 3; source++) {
            struct protected t = scanned(SCAN_tcp_port, SCAN_ACTION_block, thresholds[i]);
            uint32_t n = 0, reason = 0;
            while (!reason && n < 65535) {
                struct build b = probe(SCAN_tcp_port, n++, source, VICTIM);
                reason = protected_try(&t, &b, 1);
            }
            uint32_t margin = thresholds[i] / 8;
            CHECK(reason == COUNTER_flow_scan_drop && n + margin >= thresholds[i] && n <= thresholds[i] + margin);
            engine_free(t.engine);
        }
}

/* More scanners than there are trackers: the latest is known, memory does not grow, and it is said. */
static void trackers_are_bounded(void)
{
    struct protected t = scanned(SCAN_udp_port, SCAN_ACTION_block, 6);
    for (uint32_t n = 1; n <= 100000; n++) {
        struct build b = probe(SCAN_udp_port, n % 5, 0x10000 + n, VICTIM);
        CHECK(protected_try(&t, &b, 1) == 0);
        if (n % 2000 == 0) { /* who scans meanwhile is found */
            struct build scanner = probe(SCAN_udp_port, n / 2000 % 8, SCANNER, VICTIM);
            protected_try(&t, &scanner, 1);
        }
    }
    CHECK(protected_counter(&t, COUNTER_flow_scan_drop) > 0);
    CHECK(protected_counter(&t, COUNTER_flow_dos_track_full) > 80000);
    engine_free(t.engine);
}

int main(void)
{
    each_scan_is_found_and_ends();
    the_same_again_is_no_scan();
    slow_probes_are_no_scan();
    a_port_scan_blocks_for_the_host_that_is_scanned();
    actions_differ();
    refused_segments_are_probes();
    exempt_sources_may_scan();
    thresholds_are_met();
    trackers_are_bounded();
    return check_report();
}
