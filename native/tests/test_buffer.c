/* Packet buffer protection: nobody fills the packets that wait for the slowpath alone. */
#include "check.h"
#include "protected.h"
#include "random.h"

enum { HANDLES = 100, HELD = 200 };

static struct build first_packet(uint32_t source, uint32_t n)
{
    return (struct build){.family = 4, .proto = PROTO_UDP, .src = source, .dst = 0xfff000 + n / 60000, .sport = (uint16_t)(n % 60000),
                          .dport = 53, .payload = 4};
}

static struct protected small(struct buffer_protection buffer)
{
    struct protected t = protected_new((struct engine_params){.max_undecided = HANDLES, .max_held = HELD});
    t.buffer = buffer;
    t.zone.buffer_protection = true;
    protected_configure(&t);
    return t;
}

static const struct buffer_protection usual = {
    .enabled = true, .alert_percent = 50, .activate_percent = 80, .block_hold_s = 10, .block_duration_s = 60};

/* However many sources fill the queue as fast as they can, another one's first packets wait; without it they do not. */
static void nobody_keeps_others_out(void)
{
    static const struct {
        bool is_enabled, is_of_zone;
        uint32_t sources;
        bool has_room;
    } rows[] = {{true, true, 1, true}, {true, true, 2, true}, {true, true, 5, true}, {true, true, 10, true},
                {false, true, 1, false}, {true, false, 1, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer_protection buffer = usual;
        buffer.enabled = rows[i].is_enabled;
        struct protected t = small(buffer);
        t.zone.buffer_protection = rows[i].is_of_zone;
        protected_configure(&t);
        uint64_t full = 0;
        for (uint32_t n = 0; n < 5000; n++) {
            struct build b = first_packet(1 + n % rows[i].sources, n);
            full += protected_feed(&t, &b, 1) == COUNTER_flow_undecided_full;
            if (n % 1000 == 999) { /* a host that asks seldom */
                struct build other = first_packet(1000 + n, n);
                CHECK((protected_feed(&t, &other, 1) == 0) == rows[i].has_room);
            }
        }
        struct engine_stats stats;
        engine_stats(t.engine, &stats);
        CHECK((full == 0) == rows[i].has_room && stats.undecided >= HANDLES * 80 / 100);
        CHECK((protected_counter(&t, COUNTER_pkt_buf_protect_red) > 0) == rows[i].has_room);
        protected_refuse_all(&t);
        struct build b = first_packet(1, 5001); /* all is given back */
        for (uint32_t n = 0; n < HANDLES * 80 / 100; n++, b.sport++)
            CHECK(protected_feed(&t, &b, 1) == 0);
        engine_free(t.engine);
    }
}

static void below_activation_nothing_is_dropped(void)
{
    struct protected t = small(usual);
    struct threat threat;
    for (uint32_t n = 1; n <= 80; n++) {
        struct build b = first_packet(1, n);
        CHECK(protected_feed(&t, &b, 1) == 0);
        CHECK(protected_threats(&t, &threat) == (n == 51)); /* the first that comes while half is in use */
    }
    CHECK(threat.type == THREAT_BUFFER && threat.action == SCAN_ACTION_alert && threat.reason == 0);
    struct build b = first_packet(1, 81);
    CHECK(protected_feed(&t, &b, 1) == COUNTER_pkt_buf_protect_red); /* it holds 80, and 20 are free */
    engine_free(t.engine);
}

/* Packets that are parked behind others count as well. */
static void parked_packets_count(void)
{
    struct protected t = protected_new((struct engine_params){.max_undecided = HANDLES, .max_held = 20});
    t.buffer = usual;
    t.zone.buffer_protection = true;
    protected_configure(&t);
    struct build b = first_packet(1, 1), other = first_packet(2, 1);
    for (uint32_t n = 0; n < 16; n++)
        CHECK(protected_feed(&t, &b, 1) == 0);
    CHECK(protected_feed(&t, &b, 1) == COUNTER_pkt_buf_protect_red);
    CHECK(protected_feed(&t, &other, 1) == 0);
    engine_free(t.engine);
}

/* The nearer a source is to what is free, the more often it is dropped. */
static void dropping_is_gradual(void)
{
    enum { ROUNDS = 3000 };
    struct protected t = small(usual);
    uint32_t dropped[4] = {0};
    for (uint32_t n = 0; n < 80; n++) { /* 20 are free: of sources that hold 5, 10, 15, 20, and of others */
        struct build b = first_packet(n < 5 ? 1 : n < 15 ? 2 : n < 30 ? 3 : n < 50 ? 4 : 100 + n, n);
        CHECK(protected_feed(&t, &b, 1) == 0);
    }
    for (uint32_t i = 0; i < 4 * ROUNDS; i++) {
        struct build b = first_packet(1 + i % 4, 1000);
        uint8_t bytes[256];
        struct packet p;
        CHECK(!packet_parse(bytes, build_packet(bytes, &b), LINK_IP, 0, &p));
        p.port = 1;
        fastpath_place(t.engine, &p);
        dropped[i % 4] += buffer_refuses(t.engine, &p) != 0;
    }
    engine_free(t.engine);
    CHECK(dropped[0] == 0 && dropped[1] == 0); /* up to half of what is free */
    CHECK(dropped[2] > ROUNDS * 5 / 11 - 200 && dropped[2] < ROUNDS * 5 / 11 + 200);
    CHECK(dropped[3] > ROUNDS * 10 / 11 - 150 && dropped[3] < ROUNDS * 10 / 11 + 150);
}

static void who_goes_on_is_blocked(void)
{
    static const struct {
        uint32_t hold_s, duration_s, gap_ms; /* between its packets */
        bool monitor_only;
        bool is_blocked;
    } rows[] = {{10, 60, 500, false, true}, {0, 60, 500, false, true}, {10, 60, 1500, false, false},
                {10, 0, 500, false, false}, {10, 60, 500, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer_protection buffer = usual;
        buffer.block_hold_s = rows[i].hold_s;
        buffer.block_duration_s = rows[i].duration_s;
        buffer.monitor_only = rows[i].monitor_only;
        struct protected t = protected_new((struct engine_params){.max_undecided = HANDLES, .max_held = HELD,
                                                                  .answer_timeout_ms = 3600 * 1000});
        t.buffer = buffer;
        t.zone.buffer_protection = true;
        protected_configure(&t);
        for (uint32_t n = 0; n < 80; n++) {
            struct build b = first_packet(1, n);
            CHECK(protected_feed(&t, &b, 1) == 0);
        }
        int64_t began_ns = t.now_ns, blocked_ns = 0;
        for (uint32_t n = 100; n < 125; n++, t.now_ns += rows[i].gap_ms * 1000000ll) {
            struct build b = first_packet(1, n);
            uint32_t reason = protected_feed(&t, &b, 1);
            if (reason == COUNTER_pkt_buf_protect_discard)
                blocked_ns = blocked_ns ? blocked_ns : t.now_ns;
            else
                CHECK(rows[i].monitor_only ? reason == 0 || reason == COUNTER_flow_undecided_full :
                      reason == (blocked_ns ? COUNTER_flow_dos_drop_ip_blocked : COUNTER_pkt_buf_protect_red));
        }
        CHECK((blocked_ns != 0) == rows[i].is_blocked);
        CHECK(!blocked_ns || blocked_ns == began_ns + rows[i].hold_s * SECOND);
        CHECK(protected_counter(&t, COUNTER_pkt_buf_protect_block_ip) == rows[i].is_blocked);
        struct threat threat;
        CHECK(protected_threats(&t, &threat) > 1 && threat.type == THREAT_BUFFER);
        struct blocked_source found;
        uint32_t cursor = 0;
        CHECK(engine_blocks(t.engine, &cursor, &found, 1) == rows[i].is_blocked);
        CHECK(!blocked_ns || (found.why == THREAT_BUFFER && found.until_ns == blocked_ns + 60 * SECOND));
        engine_free(t.engine);
    }
}

/* After any history nothing is held of anybody. */
static void nothing_leaks(void)
{
    struct protected t = small(usual);
    struct random random = {9};
    for (uint32_t n = 0; n < 20000; n++) {
        struct build b = first_packet(1 + random_below(&random, 5), random_below(&random, 40));
        struct undecided u;
        protected_feed(&t, &b, 1);
        uint32_t choice = random_below(&random, 10);
        if (choice < 4 && engine_undecided(t.engine, &u, 1)) {
            struct session_spec spec = build_spec(&u.key, 2, choice ? ACTION_allow : ACTION_drop);
            engine_install(t.engine, u.handle, &spec);
        } else if (choice == 5) {
            t.now_ns += SECOND / 4;
            t.zone.zone = (uint16_t)(1 + random_below(&random, 2));
            protected_configure(&t);
        }
        forget_verdicts(t.engine);
    }
    engine_tick(t.engine, t.now_ns + 100 * SECOND);
    forget_verdicts(t.engine);
    const uint32_t *cells = (const uint32_t *)t.engine->buffers;
    for (uint32_t i = 0; i < 2 * 8192; i++)
        CHECK(cells[i] == 0);
    engine_free(t.engine);
}

int main(void)
{
    nobody_keeps_others_out();
    below_activation_nothing_is_dropped();
    parked_packets_count();
    dropping_is_gradual();
    who_goes_on_is_blocked();
    nothing_leaks();
    return check_report();
}
