/* DoS rules: which one holds, rates of all together and of each, sessions, and commits while they live. */
#include <errno.h>

#include "check.h"
#include "protected.h"
#include "random.h"

static struct build udp_of(uint32_t source, uint32_t destination)
{
    return (struct build){.family = 4, .proto = PROTO_UDP, .src = source, .dst = destination, .sport = 1000, .dport = 53,
                          .payload = 4};
}

static struct dos_stats stats_of(struct protected *t, uint32_t number)
{
    struct dos_stats stats = {0};
    CHECK(engine_dos_stats(t->engine, number, &stats) == 0);
    return stats;
}

/* A table with one route: hosts 0x010000 to 0x01ffff are behind port 2, 0x020000 to 0x02ffff behind port 3, of two hops. */
static struct fib *some_routes(void)
{
    struct route routes[2] = {{.length = 112, .leaves = true, .port = 2}, {.length = 112, .hop_count = 1}};
    static const struct route_hop hops[] = {{.port = 3}};
    build_key_address(routes[0].prefix, 4, 0x010000);
    build_key_address(routes[1].prefix, 4, 0x020000);
    return fib_new(routes, 2, hops, 1);
}

/* ---- which rule ------------------------------------------------------------------------------------- */

static void a_rule_matches_by_every_field(void)
{
    enum { NUMBER_1, NUMBER_2 };
    static const struct list zone_1 = {0, 1}, zone_2 = {1, 1}, zones = {0, 2}, range = {1, 2}, service = {0, 1};
    static const struct {
        struct dos_rule rule;
        uint16_t port;
        struct build packet;
        bool matches;
    } rows[] = {
        {{0}, 1, {.src = 5, .dst = 0x010001}, true},
        {{.from_zones = zone_1}, 1, {.src = 5, .dst = 0x010001}, true},
        {{.from_zones = zone_1}, 2, {.src = 5, .dst = 0x010001}, false},
        {{.from_zones = zones}, 2, {.src = 5, .dst = 0x010001}, true},
        {{.from_ports = zone_2}, 1, {.src = 5, .dst = 0x010001}, false},
        {{.from_ports = zone_2}, 2, {.src = 5, .dst = 0x010001}, true},
        {{.to_zones = zone_2}, 1, {.src = 5, .dst = 0x010001}, true},
        {{.to_zones = zone_2}, 1, {.src = 5, .dst = 0x020001}, false},
        {{.to_ports = zone_2}, 1, {.src = 5, .dst = 0x010001}, true},
        {{.to_ports = zone_2}, 1, {.src = 5, .dst = 0x020001}, false},
        {{.to_zones = zones}, 1, {.src = 5, .dst = 0x030001}, false}, /* no route */
        {{.to_zones = zone_2}, 1, {.src = 5, .dst = 202}, true},      /* the firewall's own, of port 2 */
        {{.to_zones = zone_2}, 3, {.src = 5, .dst = 201}, false},
        {{.to_zones = zone_1}, 3, {.src = 5, .dst = 201}, true},
        {{.source = range}, 1, {.src = 10, .dst = 0x010001}, true},
        {{.source = range}, 1, {.src = 19, .dst = 0x010001}, true},
        {{.source = range}, 1, {.src = 20, .dst = 0x010001}, false},
        {{.source = range}, 1, {.src = 33, .dst = 0x010001}, true}, /* the second one */
        {{.source = range, .negate_source = true}, 1, {.src = 15, .dst = 0x010001}, false},
        {{.source = range, .negate_source = true}, 1, {.src = 9, .dst = 0x010001}, true},
        {{.destination = range}, 1, {.src = 5, .dst = 12}, true},
        {{.destination = range}, 1, {.src = 12, .dst = 5}, false},
        {{.destination = range, .negate_destination = true}, 1, {.src = 5, .dst = 12}, false},
        {{.destination = range, .negate_destination = true}, 1, {.src = 12, .dst = 5}, true},
        {{.negate_source = true, .negate_destination = true}, 1, {.src = 12, .dst = 5}, true}, /* of nothing */
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 53, .sport = 1000}, true},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 59, .sport = 1000}, true},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 60, .sport = 1000}, false},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 52, .sport = 1000}, false},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 53, .sport = 999}, false},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 53, .sport = 1000, .proto = PROTO_TCP}, false},
        {{.services = service}, 1, {.src = 5, .dst = 6, .dport = 53, .sport = 1000, .proto = 47}, false},
    };
    struct fib *fib = some_routes();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int before = 0; before < 2; before++) { /* as the first rule, and behind one that never matches */
            struct protected t = protected_new((struct engine_params){0});
            t.numbers[NUMBER_1] = 1;
            t.numbers[NUMBER_2] = 2;
            for (int r = 1; r <= 2; r++) {
                build_key_address(t.ranges[r].first, 4, r == 1 ? 10 : 30);
                build_key_address(t.ranges[r].last, 4, r == 1 ? 19 : 39);
            }
            t.services[0] = (struct service_range){PROTO_UDP, 1000, 2000, 53, 59};
            t.rules[0] = (struct dos_rule){.number = 8, .source = {3, 1}}; /* zeros: nobody's address */
            t.rules[before] = rows[i].rule;
            t.rules[before].number = 9;
            t.rules[before].action = DOS_DENY;
            t.rule_count = 1 + (uint32_t)before;
            protected_configure(&t);
            engine_set_fibs(t.engine, (const struct fib *[]){fib}, 1);
            struct build b = rows[i].packet;
            b.family = 4;
            b.proto = b.proto ? b.proto : PROTO_UDP;
            b.flags = b.proto == PROTO_TCP ? TCP_SYN : 0;
            b.payload = 4;
            uint32_t reason = protected_try(&t, &b, rows[i].port);
            if (!CHECK(reason == (rows[i].matches ? COUNTER_flow_dos_rule_deny : 0)))
                fprintf(stderr, "row %zu\n", i);
            CHECK(stats_of(&t, 9).denied == rows[i].matches);
            engine_dos_in_force(t.engine, 9, false);
            CHECK(protected_try(&t, &b, rows[i].port) == 0);
            protected_configure(&t);
            CHECK(protected_try(&t, &b, rows[i].port) == 0); /* it stays out */
            engine_dos_in_force(t.engine, 9, true);
            CHECK(protected_try(&t, &b, rows[i].port) == reason);
            engine_free(t.engine);
        }
    fib_free(fib);
}

static void the_first_rule_holds(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct dos_limits nothing = {.enabled = true, .flood[FLOOD_udp] = {.enabled = true}};
    t.rules[0] = (struct dos_rule){.number = 1, .action = DOS_ALLOW, .source = {0, 1}, .aggregate = nothing};
    t.rules[1] = (struct dos_rule){.number = 2, .action = DOS_DENY, .source = {1, 1}};
    t.rules[2] = (struct dos_rule){.number = 3, .action = DOS_PROTECT, .aggregate = nothing};
    t.rule_count = 3;
    for (uint32_t i = 0; i < 2; i++) {
        build_key_address(t.ranges[i].first, 4, 10 + i);
        build_key_address(t.ranges[i].last, 4, 11);
    }
    protected_configure(&t);
    static const uint32_t reasons[] = {0, 0, COUNTER_flow_dos_rule_drop_aggr};
    for (uint32_t source = 10; source <= 12; source++) {
        struct build b = udp_of(source, 1);
        CHECK(protected_try(&t, &b, 1) == reasons[source - 10]);
    }
    CHECK(stats_of(&t, 1).allowed == 2 && stats_of(&t, 2).denied == 0 && stats_of(&t, 3).flood[FLOOD_udp].dropped == 1);
    engine_free(t.engine);
}

/* ---- rates -------------------------------------------------------------------------------------------- */

static void rates_of_all_count_together(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct threat threat;
    t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT,
                                   .aggregate = {.enabled = true, .block_s[FLOOD_udp] = 50, .flood[FLOOD_udp] =
                                                     {.enabled = true, .alarm = 8, .activate = 10, .maximal = 10}}};
    t.rule_count = 1;
    protected_configure(&t);
    for (uint32_t n = 1; n <= 15; n++) {
        struct build b = udp_of(100 + n, 7 + n), syn = udp_of(200, 7 + n);
        syn.proto = PROTO_TCP, syn.flags = TCP_SYN;
        CHECK(protected_try(&t, &b, 1 + n % 2) == (n <= 10 ? 0 : COUNTER_flow_dos_rule_drop_aggr));
        CHECK(protected_try(&t, &syn, 1) == 0);
    }
    struct dos_stats stats = stats_of(&t, 5);
    CHECK(stats.flood[FLOOD_udp].rate == 15 && stats.flood[FLOOD_udp].dropped == 5 && stats.tracked == 0);
    CHECK(stats.flood[FLOOD_tcp_syn].rate == 15 && stats.flood[FLOOD_tcp_syn].dropped == 0);
    CHECK(protected_threats(&t, &threat) == 2 && threat.rule == 5 && threat.type == THREAT_FLOOD); /* one of each zone */
    engine_free(t.engine);
}

static void rates_of_each_are_their_own(void)
{
    static const struct {
        enum dos_classified_by by;
        bool source_counts, destination_counts;
        uint32_t blocked, elsewhere; /* the source then, for this destination and for another */
    } rows[] = {
        {DOS_BY_SOURCE, true, false, COUNTER_flow_dos_drop_ip_blocked, COUNTER_flow_dos_drop_ip_blocked},
        {DOS_BY_DESTINATION, false, true, COUNTER_flow_dos_rule_drop_classified, 0},
        {DOS_BY_BOTH, true, true, COUNTER_flow_dos_drop_ip_blocked, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct protected t = protected_new((struct engine_params){0});
        struct blocked_source found;
        uint32_t cursor = 0, blocks = rows[i].by != DOS_BY_DESTINATION;
        t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT, .classified_by = (uint8_t)rows[i].by,
                                       .classified = {.enabled = true, .block_s[FLOOD_udp] = 30, .flood[FLOOD_udp] =
                                                          {.enabled = true, .alarm = 100, .activate = 4, .maximal = 4}}};
        t.rule_count = 1;
        protected_configure(&t);
        for (uint32_t n = 1; n <= 4; n++)
            for (uint32_t who = 0; who < 2; who++) {
                struct build same = udp_of(100 + who, 7 + who), spread = udp_of(200 + n, 300 + n);
                CHECK(protected_try(&t, &same, 1) == 0 && protected_try(&t, &spread, 1) == 0);
            }
        CHECK(stats_of(&t, 5).tracked == 6);
        struct build fifth = udp_of(100, 7), by_source = udp_of(100, 50), by_destination = udp_of(60, 7);
        if (rows[i].source_counts != rows[i].destination_counts) { /* the other side does not matter */
            struct build other = rows[i].source_counts ? by_source : by_destination;
            CHECK(protected_try(&t, &other, 1) == COUNTER_flow_dos_rule_drop_classified);
        } else {
            CHECK(protected_try(&t, &by_source, 1) == 0 && protected_try(&t, &by_destination, 1) == 0);
            CHECK(protected_try(&t, &fifth, 1) == COUNTER_flow_dos_rule_drop_classified);
        }
        CHECK(protected_try(&t, &fifth, 1) == rows[i].blocked);
        CHECK(protected_try(&t, &by_source, 1) == rows[i].elsewhere);
        CHECK(engine_blocks(t.engine, &cursor, &found, 1) == blocks);
        CHECK(!blocks || (found.rule == 5 && found.until_ns == t.now_ns + 30 * SECOND && found.why == THREAT_FLOOD));
        t.now_ns += 30 * SECOND;
        CHECK(protected_try(&t, &fifth, 1) == 0);
        engine_free(t.engine);
    }
}

/* What a host's own limits refuse the others still have. */
static void one_host_cannot_use_up_the_rate_of_all(void)
{
    struct flood_limits own = {.enabled = true, .alarm = 99, .activate = 5, .maximal = 5},
                        all = {.enabled = true, .alarm = 99, .activate = 20, .maximal = 20};
    struct protected t = protected_new((struct engine_params){0});
    t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT,
                                   .aggregate = {.enabled = true, .flood[FLOOD_udp] = all},
                                   .classified = {.enabled = true, .flood[FLOOD_udp] = own}};
    t.rule_count = 1;
    protected_configure(&t);
    struct build loud = udp_of(1, 2);
    for (int n = 0; n < 1000; n++)
        protected_try(&t, &loud, 1);
    for (uint32_t n = 1; n <= 20; n++) {
        struct build b = udp_of(100 + n, 2);
        CHECK(protected_try(&t, &b, 1) == (n <= 15 ? 0 : COUNTER_flow_dos_rule_drop_aggr));
    }
    CHECK(stats_of(&t, 5).flood[FLOOD_udp].dropped == 995 + 5);
    engine_free(t.engine);
}

/* More hosts than there are entries. Those with sessions stay. */
static void entries_are_bounded(void)
{
    struct protected t = protected_new((struct engine_params){0});
    t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT, .classified = {.enabled = true, .max_sessions = 1}};
    t.rule_count = 1;
    protected_configure(&t);
    struct build first = udp_of(1, 2), again = udp_of(1, 3);
    CHECK(build_session(t.engine, &first, 1, 2, ACTION_allow, t.now_ns) > 0);
    forget_verdicts(t.engine);
    for (uint32_t n = 0; n < 100000; n++) {
        struct build b = udp_of(100 + n, 2);
        CHECK(protected_try(&t, &b, 1) == 0);
    }
    CHECK(protected_counter(&t, COUNTER_flow_dos_track_full) > 80000);
    CHECK(stats_of(&t, 5).tracked > 15000 && stats_of(&t, 5).tracked <= 16384);
    CHECK(protected_try(&t, &again, 1) == COUNTER_flow_dos_cl_max_sess_limit);
    engine_free(t.engine);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

static void sessions_are_limited(void)
{
    static const struct {
        uint32_t all, own; /* limits; 0: none */
        uint32_t source;   /* of the fourth session; the others are of 1, 1 and 2 */
        uint32_t reason;
    } rows[] = {
        {3, 0, 9, COUNTER_flow_dos_ag_max_sess_limit}, {4, 0, 9, 0}, {0, 2, 1, COUNTER_flow_dos_cl_max_sess_limit},
        {0, 2, 2, 0}, {3, 2, 1, COUNTER_flow_dos_ag_max_sess_limit}, {0, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct protected t = protected_new((struct engine_params){0});
        struct threat threat = {0};
        static const uint32_t sources[] = {1, 1, 2};
        int64_t id = 0;
        t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT,
                                       .aggregate = {.enabled = true, .max_sessions = rows[i].all},
                                       .classified = {.enabled = true, .max_sessions = rows[i].own}};
        t.rule_count = 1;
        protected_configure(&t);
        for (uint32_t n = 0; n < 3; n++) {
            struct build b = udp_of(sources[n], 100 + n);
            id = build_session(t.engine, &b, 1, 2, ACTION_allow, t.now_ns);
            CHECK(id > 0);
            forget_verdicts(t.engine);
        }
        struct build b = udp_of(rows[i].source, 200);
        CHECK(protected_try(&t, &b, 1) == rows[i].reason);
        CHECK(stats_of(&t, 5).sessions == 3 && stats_of(&t, 5).limited == (rows[i].reason != 0));
        CHECK(protected_threats(&t, &threat) == (rows[i].reason != 0));
        CHECK(!rows[i].reason || (threat.type == THREAT_SESSION_LIMIT && threat.reason == rows[i].reason));
        for (int64_t slot = 1; slot <= id; slot++)
            CHECK(engine_clear(t.engine, (uint32_t)slot) == 0);
        CHECK(stats_of(&t, 5).sessions == 0 && protected_try(&t, &b, 1) == 0);
        engine_free(t.engine);
    }
}

/* Packets that wait are no sessions, and those that are installed in the meantime count. */
static void the_limit_holds_when_it_is_answered(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct undecided waiting[5];
    uint32_t installed = 0, count;
    t.rules[0] = (struct dos_rule){.number = 5, .action = DOS_PROTECT,
                                   .classified = {.enabled = true, .max_sessions = 3}};
    t.rule_count = 1;
    protected_configure(&t);
    for (uint32_t n = 0; n < 5; n++) {
        struct build b = udp_of(1, 100 + n);
        CHECK(protected_feed(&t, &b, 1) == 0);
    }
    CHECK(engine_undecided(t.engine, waiting, 5) == 5 && stats_of(&t, 5).sessions == 0);
    CHECK(engine_refuse(t.engine, waiting[0].handle, COUNTER_flow_policy_deny) == 0);
    for (uint32_t n = 1; n < 5; n++) {
        struct session_spec spec = build_spec(&waiting[n].key, 2, n == 1 ? ACTION_drop : ACTION_allow);
        installed += engine_install(t.engine, waiting[n].handle, &spec) > 0;
    }
    CHECK(installed == 4 && stats_of(&t, 5).sessions == 3); /* the denied one is none */
    CHECK(engine_verdicts(t.engine, &count) && count == 5);
    struct build more = udp_of(1, 300);
    CHECK(protected_try(&t, &more, 1) == COUNTER_flow_dos_cl_max_sess_limit);
    CHECK(engine_clear(t.engine, 2) == 0);
    for (uint32_t n = 0; n < 2; n++) {
        struct build b = udp_of(1, 400 + n);
        CHECK(protected_feed(&t, &b, 1) == 0);
    }
    CHECK(engine_undecided(t.engine, waiting, 5) == 2);
    for (uint32_t n = 0; n < 2; n++) {
        struct session_spec spec = build_spec(&waiting[n].key, 2, ACTION_allow);
        CHECK((engine_install(t.engine, waiting[n].handle, &spec) > 0) == (n == 0));
    }
    CHECK(build_last_verdict(t.engine).reason == COUNTER_flow_dos_cl_max_sess_limit);
    engine_free(t.engine);
}

/* Random histories of sessions and commits; a count beside the engine's says the same of every rule. */
static void commits_do_not_lose_sessions(void)
{
    enum { STEPS = 4000, SLOTS = 64, RULES = 5 };
    struct random random = {77};
    struct protected t = protected_new((struct engine_params){.max_sessions = SLOTS});
    uint32_t rule_of[SLOTS + 1] = {0}, next_number = 1;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t choice = random_below(&random, 20);
        if (choice == 0) { /* some rules stay, others come and go, in any order */
            t.rule_count = random_below(&random, RULES + 1);
            next_number += random_below(&random, 2);
            for (uint32_t i = 0; i < t.rule_count; i++) {
                uint32_t number = next_number + i * 7 % RULES;
                t.rules[i] = (struct dos_rule){.number = number, .action = random_below(&random, 4) ? DOS_PROTECT : DOS_ALLOW,
                                               .classified_by = (uint8_t)random_below(&random, 3), .services = {i % 2, 1},
                                               .aggregate.enabled = true, .classified.enabled = random_below(&random, 2)};
            }
            for (int i = 0; i < 2; i++)
                t.services[i] = (struct service_range){PROTO_UDP, 0, 65535, (uint16_t)(50 + i), (uint16_t)(50 + i)};
            protected_configure(&t);
        } else if (choice < 12) {
            struct build b = udp_of(1 + random_below(&random, 4), 100 + step);
            b.dport = (uint16_t)(50 + random_below(&random, 3));
            int64_t id = build_session(t.engine, &b, 1, 2, ACTION_allow, t.now_ns);
            if (id > 0) {
                rule_of[id] = 0;
                for (uint32_t i = t.rule_count; i--;)
                    if (t.services[i % 2].dport_first == b.dport)
                        rule_of[id] = t.rules[i].action == DOS_PROTECT ? t.rules[i].number : 0;
            }
        } else if (choice < 16) {
            engine_clear(t.engine, 1 + random_below(&random, SLOTS));
        } else {
            t.now_ns += (int64_t)random_below(&random, 5) * SECOND;
            engine_tick(t.engine, t.now_ns);
        }
        protected_refuse_all(&t);
        for (uint32_t i = 0; i < t.rule_count; i++) {
            uint32_t expected = 0;
            for (uint32_t id = 1; id <= SLOTS; id++)
                expected += t.engine->sessions[id].state == SESSION_ACTIVE && rule_of[id] == t.rules[i].number;
            CHECK(stats_of(&t, t.rules[i].number).sessions == expected);
        }
    }
    t.rule_count = 1;
    t.rules[0] = (struct dos_rule){.number = next_number, .action = DOS_PROTECT};
    protected_configure(&t);
    for (uint32_t id = 1; id <= SLOTS; id++)
        engine_clear(t.engine, id);
    CHECK(stats_of(&t, next_number).sessions == 0);
    engine_free(t.engine);
}

/* Far more rules come and go than there are places; the last ones count. */
static void places_are_used_again(void)
{
    struct protected t = protected_new((struct engine_params){0});
    struct build b = udp_of(1, 2);
    struct dos_stats stats;
    t.rule_count = 1;
    t.rules[0] = (struct dos_rule){.action = DOS_DENY};
    for (uint32_t number = 1; number <= 10000; number++) {
        t.rules[0].number = number;
        protected_configure(&t);
    }
    CHECK(protected_try(&t, &b, 1) == COUNTER_flow_dos_rule_deny && stats_of(&t, 10000).denied == 1);
    CHECK(engine_dos_stats(t.engine, 9999, &stats) == -ENOENT);
    engine_dos_in_force(t.engine, 9999, false); /* of nobody */
    CHECK(protected_try(&t, &b, 1) == COUNTER_flow_dos_rule_deny);
    engine_free(t.engine);
}

int main(void)
{
    a_rule_matches_by_every_field();
    the_first_rule_holds();
    rates_of_all_count_together();
    rates_of_each_are_their_own();
    one_host_cannot_use_up_the_rate_of_all();
    entries_are_bounded();
    sessions_are_limited();
    the_limit_holds_when_it_is_answered();
    commits_do_not_lose_sessions();
    places_are_used_again();
    return check_report();
}
