/* The ring of threats: one a second of each kind, the rest counted. */
#include "check.h"
#include "protected.h"

struct kind {
    enum threat_type type;
    uint32_t what, rule, source;
    uint16_t port;
};

static void note(struct protected *t, const struct kind *kind, enum scan_action action, uint32_t reason)
{
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = kind->source, .dst = 0xfffffe, .payload = 1};
    uint8_t bytes[256];
    struct packet p;
    CHECK(!packet_parse(bytes, build_packet(bytes, &b), LINK_IP, 0, &p));
    p.port = kind->port;
    fastpath_place(t->engine, &p);
    engine_tick(t->engine, t->now_ns);
    threat_note(t->engine, &p, kind->type, kind->what, action, kind->rule, reason);
}

static void kinds_are_told_apart(void)
{
    static const struct {
        struct kind kind;
        bool is_another; /* than the first */
    } rows[] = {
        {{THREAT_FLOOD, 1, 0, 7, 1}, false}, {{THREAT_FLOOD, 1, 0, 8, 1}, false}, {{THREAT_FLOOD, 2, 0, 7, 1}, true},
        {{THREAT_FLOOD, 1, 5, 7, 1}, true}, {{THREAT_FLOOD, 1, 0, 7, 2}, true}, {{THREAT_PACKET, 1, 0, 7, 1}, true},
        {{THREAT_SCAN, 1, 0, 7, 1}, true}, {{THREAT_SCAN, 1, 0, 8, 1}, true},
    };
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat = {0};
    protected_configure(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        note(&t, &rows[i].kind, SCAN_ACTION_alert, 0);
        CHECK(protected_threats(&t, &threat) == (i == 0 || rows[i].is_another));
    }
    engine_free(t.engine);
}

/* Of a flood one line a second says all; that a source is blocked is told at once, of each. */
static void an_action_is_told_at_once(void)
{
    static const struct kind flood = {THREAT_FLOOD, 0, 0, 7, 1}, buffer = {THREAT_BUFFER, 0, 0, 7, 1};
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat = {0};
    protected_configure(&t);
    for (enum scan_action action = SCAN_ACTION_alert; action <= SCAN_ACTION_block_ip; action++) {
        note(&t, &flood, action, 0);
        CHECK(protected_threats(&t, &threat) == (action == SCAN_ACTION_alert || action == SCAN_ACTION_block_ip));
        note(&t, &buffer, action, 0);
        CHECK(protected_threats(&t, &threat) == 1 && threat.action == action);
    }
    for (size_t i = 0; i < 2; i++) {
        struct kind other = i ? buffer : flood;
        other.source++;
        note(&t, &other, SCAN_ACTION_block_ip, 0);
        CHECK(protected_threats(&t, &threat) == 1 && threat.key.src[15] == other.source);
    }
    engine_free(t.engine);
}

static void repeats_are_counted_with_the_next(void)
{
    static const struct kind flood = {THREAT_FLOOD, FLOOD_udp, 3, 7, 1};
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat = {0};
    protected_configure(&t);
    note(&t, &flood, SCAN_ACTION_alert, 0);
    CHECK(protected_threats(&t, &threat) == 1 && threat.repeat == 1 && threat.reason == 0 && threat.now_ns == t.now_ns);
    for (int i = 0; i < 41; i++, t.now_ns += SECOND / 42)
        note(&t, &flood, SCAN_ACTION_block, COUNTER_flow_dos_red_udp);
    CHECK(protected_threats(&t, &threat) == 0);
    t.now_ns += SECOND / 42 + SECOND % 42;
    note(&t, &flood, SCAN_ACTION_alert, 0);
    CHECK(protected_threats(&t, &threat) == 1 && threat.repeat == 42 && threat.reason == COUNTER_flow_dos_red_udp);
    CHECK(threat.action == SCAN_ACTION_block && threat.type == THREAT_FLOOD && threat.what == FLOOD_udp && threat.rule == 3);
    t.now_ns += 100 * SECOND;
    note(&t, &flood, SCAN_ACTION_alert, 0);
    CHECK(protected_threats(&t, &threat) == 1 && threat.repeat == 1 && threat.action == SCAN_ACTION_alert);
    engine_free(t.engine);
}

/* An attack that ends within the second, and one of which others take the place. */
static void the_rest_is_told_without_another_packet(void)
{
    static const struct kind flood = {THREAT_FLOOD, FLOOD_udp, 3, 7, 1};
    enum { OTHERS = 4000, NOTED = 30 };
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat = {0};
    protected_configure(&t);
    for (int is_crowded = 0; is_crowded < 2; is_crowded++, t.now_ns += 10 * SECOND) {
        int64_t last_ns = 0;
        for (int i = 0; i < NOTED; i++, t.now_ns += SECOND / 100) {
            last_ns = t.now_ns;
            note(&t, &flood, i == 7 ? SCAN_ACTION_block : SCAN_ACTION_alert, i == 7 ? COUNTER_flow_dos_red_udp : 0);
        }
        CHECK(protected_threats(&t, &threat) == 1 && threat.repeat == 1 && threat.action == SCAN_ACTION_alert);
        for (uint32_t n = 0; is_crowded && n < OTHERS; n++)
            note(&t, &(struct kind){THREAT_SCAN, 0, 0, 1 + n, 1}, SCAN_ACTION_alert, 0);
        CHECK(protected_threats(&t, &threat) == (is_crowded ? OTHERS + 1 : 0));
        t.now_ns += 2 * SECOND;
        engine_tick(t.engine, t.now_ns);
        CHECK(protected_threats(&t, &threat) == !is_crowded);
        CHECK(is_crowded || (threat.repeat == NOTED - 1 && threat.action == SCAN_ACTION_block && threat.rule == 3));
        CHECK(is_crowded || (threat.reason == COUNTER_flow_dos_red_udp && threat.now_ns == last_ns));
        CHECK(protected_threats(&t, &threat) == 0);
    }
    engine_free(t.engine);
}

static void a_full_ring_loses_new_ones(void)
{
    enum { RING = 4096, MORE = 1000 };
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat = {0};
    protected_configure(&t);
    for (int round = 0; round < 2; round++) {
        for (uint32_t n = 0; n < RING + MORE; n++)
            note(&t, &(struct kind){THREAT_SCAN, 0, 0, 1 + n, 1}, SCAN_ACTION_alert, 0);
        CHECK(protected_counter(&t, COUNTER_log_threat_lost) == (uint64_t)MORE * (round + 1));
        CHECK(protected_threats(&t, &threat) == RING && threat.key.src[14] == (RING >> 8 & 255) && threat.key.src[15] == 0);
        CHECK(protected_threats(&t, &threat) == 0);
        t.now_ns += SECOND;
    }
    engine_free(t.engine);
}

int main(void)
{
    kinds_are_told_apart();
    an_action_is_told_at_once();
    repeats_are_counted_with_the_next();
    the_rest_is_told_without_another_packet();
    a_full_ring_loses_new_ones();
    return check_report();
}
