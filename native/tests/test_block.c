/* The block table: whom an entry is of, how long, what goes when a set is full. */
#include "check.h"
#include "protected.h"
#include "random.h"

static struct build udp_of(uint32_t source, uint32_t destination)
{
    return (struct build){.family = source & 1 ? 6 : 4, .proto = PROTO_UDP, .src = source, .dst = destination, .sport = 1,
                          .dport = 2, .payload = 4};
}

static void block(struct protected *t, const struct build *b, bool by_pair, uint32_t seconds)
{
    uint8_t bytes[256];
    struct packet p;
    CHECK(!packet_parse(bytes, build_packet(bytes, b), LINK_IP, 0, &p));
    p.port = 1;
    fastpath_place(t->engine, &p);
    engine_tick(t->engine, t->now_ns);
    block_add(t->engine, &p, by_pair, seconds, THREAT_FLOOD, 17);
}

static uint32_t entries(struct protected *t, struct blocked_source *out, uint32_t max)
{
    uint32_t cursor = 0, count = 0;
    do {
        CHECK(count < max);
        count += engine_blocks(t->engine, &cursor, out + count, count + 3 < max ? 3 : max - count); /* pages of three */
    } while (cursor);
    return count;
}

static void entries_hold_for_whom_they_are_of(void)
{
    static const struct {
        bool by_pair;
        uint32_t source, destination;
        uint16_t port;
        bool is_blocked;
    } rows[] = {
        {false, 7, 9, 1, true}, {false, 7, 10, 1, true}, {false, 8, 9, 1, false}, {false, 7, 9, 2, false},
        {true, 7, 9, 1, true}, {true, 7, 10, 1, false}, {true, 8, 9, 1, false}, {true, 7, 9, 2, false},
        {true, 9, 7, 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct protected t = protected_new((struct engine_params){0});
        protected_configure(&t);
        struct build b = udp_of(7, 9), packet = udp_of(rows[i].source, rows[i].destination);
        uint32_t expected = rows[i].is_blocked ? COUNTER_flow_dos_drop_ip_blocked : 0;
        struct blocked_source found[2];
        CHECK(protected_try(&t, &packet, rows[i].port) == 0 && entries(&t, found, 2) == 0);
        block(&t, &b, rows[i].by_pair, 10);
        CHECK(protected_try(&t, &packet, rows[i].port) == expected);
        protected_configure(&t); /* a commit changes nothing */
        t.now_ns += 10 * SECOND - 1;
        CHECK(protected_try(&t, &packet, rows[i].port) == expected);
        CHECK(entries(&t, found, 2) == 1 && found[0].dropped == 2 * (expected != 0) && found[0].zone == 1);
        CHECK(found[0].rule == 17 && found[0].why == THREAT_FLOOD && found[0].until_ns == t.now_ns + 1);
        uint8_t none[16] = {0}, destination[16];
        build_key_address(destination, 6, 9);
        CHECK(!memcmp(found[0].destination, rows[i].by_pair ? destination : none, 16));
        t.now_ns += 1;
        CHECK(protected_try(&t, &packet, rows[i].port) == 0);
        CHECK(entries(&t, found, 2) == 0);
        engine_free(t.engine);
    }
}

static void packets_of_sessions_are_blocked_too(void)
{
    struct protected t = protected_new((struct engine_params){0});
    protected_configure(&t);
    struct build b = udp_of(7, 9);
    CHECK(build_session(t.engine, &b, 1, 2, ACTION_allow, t.now_ns) > 0);
    forget_verdicts(t.engine);
    CHECK(protected_feed(&t, &b, 1) == 0);
    block(&t, &b, false, 1);
    CHECK(protected_feed(&t, &b, 1) == COUNTER_flow_dos_drop_ip_blocked);
    t.now_ns += SECOND;
    CHECK(protected_feed(&t, &b, 1) == 0);
    engine_free(t.engine);
}

static void a_block_is_never_shortened(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct blocked_source found[2];
    protected_configure(&t);
    struct build b = udp_of(7, 9);
    block(&t, &b, false, 10);
    protected_try(&t, &b, 1);
    block(&t, &b, false, 5);
    CHECK(entries(&t, found, 2) == 1 && found[0].until_ns == t.now_ns + 10 * SECOND);
    block(&t, &b, false, 20);
    CHECK(entries(&t, found, 2) == 1 && found[0].until_ns == t.now_ns + 20 * SECOND && found[0].dropped == 1);
    CHECK(protected_counter(&t, COUNTER_flow_dos_block_full) == 0);
    engine_free(t.engine);
}

static void entries_are_taken_out(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct blocked_source found[8];
    uint8_t source[16];
    protected_configure(&t);
    for (uint32_t n = 0; n < 4; n++) {
        struct build b = udp_of(8 + 2 * (n & 1), 20 + n);
        block(&t, &b, n > 1, 10);
    }
    build_key_address(source, 4, 8);
    CHECK(entries(&t, found, 8) == 4);
    CHECK(engine_unblock(t.engine, source) == 2 && entries(&t, found, 8) == 2);
    struct build freed = udp_of(8, 20), blocked = udp_of(10, 21);
    CHECK(protected_try(&t, &freed, 1) == 0 && protected_try(&t, &blocked, 1) == COUNTER_flow_dos_drop_ip_blocked);
    CHECK(engine_unblock(t.engine, NULL) == 2 && engine_unblock(t.engine, NULL) == 0);
    CHECK(protected_try(&t, &blocked, 1) == 0);
    block(&t, &blocked, false, 1);
    CHECK(protected_try(&t, &blocked, 1) == COUNTER_flow_dos_drop_ip_blocked);
    engine_free(t.engine);
}

/* More sources than there is room for, in any order of their ends: those that last longest are in it, and of the others
 * is said that they are not. */
static void a_full_table_keeps_what_lasts_longest(void)
{
    enum { SOURCES = 60000, ENTRIES = 16384 };
    static struct blocked_source found[ENTRIES + 4];
    struct protected t = protected_new((struct engine_params){0});
    struct random random = {5};
    protected_configure(&t);
    for (uint32_t n = 0; n < SOURCES; n++) {
        struct build b = udp_of(2 * (n + 100), 9);
        block(&t, &b, false, n % 20 ? 1 + random_below(&random, 1000) : 5000);
    }
    uint32_t count = entries(&t, found, ENTRIES + 4), lasting = 0;
    for (uint32_t i = 0; i < count; i++)
        lasting += found[i].until_ns == t.now_ns + 5000 * SECOND;
    CHECK(count > ENTRIES * 9 / 10 && count <= ENTRIES);
    CHECK(count + protected_counter(&t, COUNTER_flow_dos_block_full) == SOURCES);
    CHECK(lasting > SOURCES / 20 * 99 / 100);
    engine_free(t.engine);
}

int main(void)
{
    entries_hold_for_whom_they_are_of();
    packets_of_sessions_are_blocked_too();
    a_block_is_never_shortened();
    entries_are_taken_out();
    a_full_table_keeps_what_lasts_longest();
    return check_report();
}
