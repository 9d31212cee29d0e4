/* The session slab: slots, what they show, and the end of a session. */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "build.h"
#include "check.h"

/* A UDP packet of host n to host 0xffff. */
static struct build udp_of(uint32_t n)
{
    return (struct build){.family = 4, .proto = PROTO_UDP, .src = n, .dst = 0xffff, .sport = 1000, .dport = 53};
}

static int64_t open_session(struct engine *e, uint32_t n, int64_t now_ns)
{
    struct build b = udp_of(n);
    int64_t id = build_session(e, &b, 1, 2, ACTION_allow, now_ns);
    forget_verdicts(e);
    return id;
}

static struct session_view view_of(struct engine *e, int64_t id)
{
    struct session_view view = {0};
    CHECK(engine_session(e, (uint32_t)id, &view) == 0);
    return view;
}

static void slots_are_reused_in_the_order_they_were_freed(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 3});
    CHECK(open_session(e, 1, 0) == 1 && open_session(e, 2, 0) == 2);
    CHECK(engine_clear(e, 2) == 0 && engine_clear(e, 1) == 0);
    CHECK(engine_clear(e, 1) == -ENOENT && engine_clear(e, 3) == -ENOENT && engine_clear(e, 0) == -ENOENT);
    CHECK(open_session(e, 3, 0) == 3); /* never used slots first: the others can still be looked at */
    CHECK(open_session(e, 4, 0) == 2 && open_session(e, 5, 0) == 1);
    CHECK(open_session(e, 6, 0) == 0 && engine_counters(e)[COUNTER_session_alloc_fail] == 1);
    CHECK(engine_clear(e, 4) == -ENOENT && engine_clear(e, UINT32_MAX) == -ENOENT);
    engine_free(e);
}

static void free_slots_rest(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 3000, .max_events = 8});
    for (uint32_t n = 1; n <= 1100; n++) {
        int64_t id = open_session(e, n, 0);
        CHECK(id == n || (n > 1024 && id == n - 1024)); /* 1,024 freed slots rest, then the oldest serves again */
        CHECK(engine_clear(e, (uint32_t)id) == 0);
    }
    CHECK(view_of(e, 100).state == SESSION_INIT && e->fresh == 1024);
    engine_free(e);
}

static void a_free_slot_shows_its_last_session(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct session_view view;
    CHECK(engine_session(e, 0, &view) == -ENOENT && engine_session(e, 1, &view) == -ENOENT);
    int64_t id = open_session(e, 1, 5 * SECOND);
    view = view_of(e, id);
    CHECK(view.state == SESSION_ACTIVE && view.in_ager && view.end_reason == END_REASON_unknown);
    CHECK(view.start_ns == 5 * SECOND && view.end_ns == 35 * SECOND && view.timeout_s == 30);
    engine_tick(e, 40 * SECOND);
    view = view_of(e, id);
    CHECK(view.state == SESSION_INIT && !view.in_ager && view.end_reason == END_REASON_aged_out);
    CHECK(view.end_ns == 35 * SECOND && view.packets[C2S] == 1 && view.key[C2S].sport == 1000);
    CHECK(engine_session(e, 2, &view) == -ENOENT && engine_session(e, UINT32_MAX, &view) == -ENOENT);
    engine_free(e);
}

static void duplicate_keys(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct undecided u;
    struct build first = udp_of(1), other = udp_of(2);
    CHECK(build_session(e, &first, 1, 2, ACTION_allow, 0) == 1);
    build_feed(e, &other, 1, 0, 9);
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, 2, ACTION_allow);
    spec.s2c = e->sessions[1].key[S2C]; /* its answers would be the other session's */
    CHECK(engine_install(e, u.handle, &spec) == 0);
    struct verdict v = build_last_verdict(e);
    CHECK(v.reason == COUNTER_session_install_error && v.tag == 9);
    spec.s2c = u.key; /* nor can a session be its own answer */
    forget_verdicts(e);
    build_feed(e, &other, 1, 0, 10);
    CHECK(engine_undecided(e, &u, 1) == 1 && engine_install(e, u.handle, &spec) == 0);
    const uint64_t *counters = engine_counters(e);
    CHECK(counters[COUNTER_session_install_error] == 2);
    CHECK(counters[COUNTER_session_allocated] == 3 && counters[COUNTER_session_freed] == 2);
    struct engine_stats stats;
    engine_stats(e, &stats);
    CHECK(stats.allocated == 1 && stats.udp == 1 && stats.installed == 1);
    /* the failed attempts left nothing behind */
    CHECK(!flow_table_lookup(e, &u.key));
    engine_free(e);
}

/* The wheel comes by up to a tick late; a session that is over does not keep a new one out. */
static void a_session_that_is_over_is_no_duplicate(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct undecided u;
    struct build b = udp_of(1);
    int64_t expires = 30 * SECOND;
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, 0) == 1);
    forget_verdicts(e);
    build_feed(e, &b, 3, expires, 2); /* the same packet by another zone: same answers, another key */
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, 2, ACTION_allow);
    CHECK(engine_install(e, u.handle, &spec) == 2);
    CHECK(build_last_verdict(e).action == VERDICT_FORWARD);
    CHECK(view_of(e, 1).state == SESSION_INIT && view_of(e, 1).end_ns == expires);
    CHECK(view_of(e, 1).end_reason == END_REASON_aged_out);
    engine_free(e);
}

/* What is over ended when it expired, not when somebody cleared it or looked at it. */
static void clearing_what_is_over(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    CHECK(open_session(e, 1, 0) == 1 && open_session(e, 2, 0) == 2);
    engine_tick(e, 30 * SECOND + 1);
    CHECK(view_of(e, 2).state == SESSION_INIT && view_of(e, 2).end_ns == 30 * SECOND);
    CHECK(engine_clear(e, 1) == -ENOENT);
    CHECK(view_of(e, 1).state == SESSION_INIT && view_of(e, 1).end_reason == END_REASON_aged_out);
    CHECK(view_of(e, 1).end_ns == 30 * SECOND);
    engine_free(e);
}

/* ---- timers of a session's own -------------------------------------------------------------------------- */

/* A session of host n with these timers, after its first packet. */
static int64_t open_timed(struct engine *e, uint32_t n, uint8_t proto, enum action action, struct session_timeouts own)
{
    struct build b = udp_of(n);
    struct undecided u;
    b.proto = proto;
    b.flags = proto == PROTO_TCP ? TCP_SYN : 0;
    b.icmp_type = 8;
    build_feed(e, &b, 1, e->now_ns, 1);
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, 2, action);
    spec.timeouts = own;
    int64_t id = engine_install(e, u.handle, &spec);
    forget_verdicts(e);
    return id;
}

static void timers_of_its_own(void)
{
    enum { OWN = 7777, LONGEST = 15999999 };
    static const struct row {
        uint8_t proto;
        enum action action;
        struct session_timeouts own;
        uint32_t timeout_s;
    } rows[] = {
        {PROTO_UDP, ACTION_allow, {.established_s = OWN}, OWN},
        {PROTO_ICMP, ACTION_allow, {.established_s = OWN}, OWN},
        {47, ACTION_allow, {.established_s = OWN}, OWN},
        {PROTO_UDP, ACTION_allow, {.established_s = LONGEST}, LONGEST},
        {PROTO_UDP, ACTION_allow, {.half_closed_s = 1, .time_wait_s = 2, .discard_s = 3}, 30},
        {PROTO_TCP, ACTION_allow, {OWN, OWN, 600, OWN}, 5}, /* before it is established, the global ones */
        {PROTO_UDP, ACTION_deny, {.discard_s = OWN}, OWN},
        {PROTO_TCP, ACTION_deny, {.discard_s = OWN}, OWN},
        {PROTO_ICMP, ACTION_deny, {.discard_s = LONGEST}, LONGEST},
        {PROTO_TCP, ACTION_deny, {.established_s = OWN, .half_closed_s = OWN, .time_wait_s = 600}, 90},
    };
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct engine *e = build_engine((struct engine_params){.now_ns = 3});
        int64_t id = open_timed(e, i + 1, rows[i].proto, rows[i].action, rows[i].own), end = 3 + rows[i].timeout_s * SECOND;
        CHECK(view_of(e, id).timeout_s == rows[i].timeout_s && view_of(e, id).end_ns == end);
        engine_tick(e, end - 1);
        CHECK(session_is_live(&e->sessions[id]));
        engine_tick(e, end + SECOND);
        CHECK(view_of(e, id).end_ns == end && view_of(e, id).state == SESSION_INIT);
        engine_free(e);
    }
}

static void timers_of_a_tcp_session(void)
{
    static const struct row {
        uint8_t flags;
        bool back;
        uint32_t own_s, global_s;
    } rows[] = {
        {TCP_SYN | TCP_ACK, true, 10, 10}, {TCP_ACK, false, 1000, 3600}, {TCP_FIN | TCP_ACK, true, 200, 120},
        {TCP_FIN | TCP_ACK, false, 300, 15},
    };
    for (int own = 0; own < 2; own++) {
        struct engine *e = build_engine((struct engine_params){0});
        struct session_timeouts timeouts = {1000, 200, 300, 400};
        int64_t id = open_timed(e, 1, PROTO_TCP, ACTION_allow, own ? timeouts : (struct session_timeouts){0});
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct build b = udp_of(1);
            b.proto = PROTO_TCP;
            b.flags = rows[i].flags;
            if (rows[i].back)
                b = (struct build){.family = 4, .proto = PROTO_TCP, .src = 0xffff, .dst = 1, .sport = 53, .dport = 1000,
                                   .flags = b.flags};
            if (i == 3)
                b.seq = 1, b.ack = 2; /* of the server's FIN */
            build_feed(e, &b, rows[i].back ? 2 : 1, e->now_ns + SECOND, 1);
            CHECK(build_last_verdict(e).action == VERDICT_FORWARD);
            forget_verdicts(e);
            CHECK(view_of(e, id).timeout_s == (own ? rows[i].own_s : rows[i].global_s));
        }
        CHECK(view_of(e, id).tcp_state == TCP_STATE_TIME_WAIT);
        struct engine_config config = build_config(); /* the one timer of older releases knows no others */
        config.timeout_s[TIMER_tcpwait] = 33;
        build_configure(e, &config);
        engine_clear(e, (uint32_t)id);
        id = open_timed(e, 2, PROTO_TCP, ACTION_allow, timeouts);
        struct build fin = udp_of(2);
        fin.proto = PROTO_TCP, fin.flags = TCP_RST, fin.seq = 1;
        build_feed(e, &fin, 1, e->now_ns, 1);
        CHECK(view_of(e, id).tcp_state == TCP_STATE_TIME_WAIT && view_of(e, id).timeout_s == 33);
        engine_free(e);
    }
}

static void timers_that_make_no_sense(void)
{
    static const struct session_timeouts rows[] = {
        {.established_s = 16000000}, {.half_closed_s = UINT32_MAX}, {.time_wait_s = 601}, {.discard_s = 16000000}};
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = udp_of(1);
    struct undecided u;
    build_feed(e, &b, 1, 0, 1);
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, 2, ACTION_allow);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        spec.timeouts = rows[i];
        CHECK(engine_install(e, u.handle, &spec) == -EINVAL);
    }
    spec.timeouts = (struct session_timeouts){15999999, 15999999, 600, 15999999};
    CHECK(engine_install(e, u.handle, &spec) == 1); /* the handle was not used up */
    engine_free(e);
}

/* ---- limits ------------------------------------------------------------------------------------------------- */

static void maximum_of_the_virtual_system(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct engine_config config = build_config();
    config.vsys_max_sessions = 2;
    build_configure(e, &config);
    CHECK(open_session(e, 1, 0) == 1);
    struct build denied = udp_of(2);
    CHECK(build_session(e, &denied, 1, 2, ACTION_deny, 0) == 2); /* counts, too */
    forget_verdicts(e);
    struct build b = udp_of(3);
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, 0) == 0);
    CHECK(build_last_verdict(e).reason == COUNTER_session_vsys_limit);
    forget_verdicts(e);
    denied = udp_of(4); /* is denied all the same, and leaves no session */
    CHECK(build_session(e, &denied, 1, 2, ACTION_deny, 0) == 0);
    CHECK(build_last_verdict(e).reason == COUNTER_flow_policy_deny);
    forget_verdicts(e);
    const uint64_t *counters = engine_counters(e);
    CHECK(counters[COUNTER_session_discard_full] == 1 && counters[COUNTER_session_allocated] == 2 && e->fresh == 2);
    engine_clear(e, 2);
    CHECK(open_session(e, 3, 0) == 3);
    config.vsys_max_sessions = 1; /* below what there is: nobody has to go, nobody may come */
    build_configure(e, &config);
    CHECK(open_session(e, 5, 0) == 0 && view_of(e, 1).state == SESSION_ACTIVE);
    config.vsys_max_sessions = 0;
    build_configure(e, &config);
    CHECK(open_session(e, 6, 0) == 4);
    engine_free(e);
}

/* Whoever is denied cannot fill it, and it is what counts as crowded. */
static void denied_and_crowded_in_the_virtual_system(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct engine_config config = build_config();
    config.vsys_max_sessions = 10;
    config.accelerated_aging = (struct accelerated_aging){.threshold_percent = 80, .factor = 2};
    build_configure(e, &config);
    for (uint32_t n = 1; n <= 12; n++) {
        struct build b = udp_of(n);
        CHECK((build_session(e, &b, 1, 2, ACTION_deny, 0) > 0) == (n <= 8));
        forget_verdicts(e);
    }
    struct engine_stats stats;
    engine_tick(e, 1);
    engine_stats(e, &stats);
    CHECK(stats.aging_accelerated && stats.allocated == 8);
    CHECK(open_session(e, 20, 1) == 9 && open_session(e, 21, 1) == 10 && open_session(e, 22, 1) == 0);
    engine_free(e);
}

static void end_reasons_by_priority(void)
{
    struct session s = {.end_reason = END_REASON_unknown};
    session_note_end(&s, END_REASON_aged_out);
    CHECK(s.end_reason == END_REASON_aged_out);
    session_note_end(&s, END_REASON_tcp_fin);
    session_note_end(&s, END_REASON_aged_out);
    CHECK(s.end_reason == END_REASON_tcp_fin);
    session_note_end(&s, END_REASON_tcp_rst_from_server);
    session_note_end(&s, END_REASON_tcp_fin);
    CHECK(s.end_reason == END_REASON_tcp_rst_from_server);
    session_note_end(&s, END_REASON_policy_deny);
    session_note_end(&s, END_REASON_tcp_rst_from_client);
    CHECK(s.end_reason == END_REASON_policy_deny);
}

static void a_full_ring_is_counted(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 10, .max_events = 4});
    struct event events[10];
    for (uint32_t n = 1; n <= 6; n++)
        open_session(e, n, 0);
    engine_tick(e, 100 * SECOND);
    CHECK(engine_counters(e)[COUNTER_log_event_lost] == 2);
    CHECK(engine_events(e, events, 3) == 3 && engine_events(e, events + 3, 7) == 1 && !engine_events(e, events, 1));
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < i; j++)
            CHECK(events[i].session.id != events[j].session.id);
    open_session(e, 7, 100 * SECOND); /* and the ring goes round */
    engine_tick(e, 200 * SECOND);
    CHECK(engine_events(e, events, 10) == 1 && engine_counters(e)[COUNTER_log_event_lost] == 2);
    engine_free(e);
}

static void pages_and_filters(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 30});
    struct session_view views[30];
    struct session_filter filter = {0};
    for (uint32_t n = 1; n <= 20; n++)
        open_session(e, n, 0);
    engine_clear(e, 7);
    uint32_t cursor = 0, seen = 0, last = 0;
    do {
        uint32_t found = engine_sessions(e, &cursor, 4, &filter, views, 3);
        CHECK(found <= 3);
        for (uint32_t i = 0; i < found; i++) {
            CHECK(views[i].id > last && views[i].id != 7);
            last = views[i].id;
        }
        seen += found;
    } while (cursor);
    CHECK(seen == 19);
    cursor = 21;
    CHECK(engine_sessions(e, &cursor, 100, &filter, views, 30) == 0 && cursor == 0);
    cursor = UINT32_MAX;
    CHECK(engine_sessions(e, &cursor, 100, &filter, views, 30) == 0 && cursor == 0);

    struct build b = udp_of(5);
    build_key_address(filter.source, 4, b.src);
    filter.fields = FILTER_SOURCE | FILTER_SOURCE_PORT | FILTER_DESTINATION_PORT | FILTER_PROTOCOL | FILTER_FROM |
                    FILTER_TO | FILTER_STATE | FILTER_RULE | FILTER_APPLICATION | FILTER_DESTINATION;
    build_key_address(filter.destination, 4, b.dst);
    filter.source_port = 1000, filter.destination_port = 53, filter.protocol = PROTO_UDP;
    filter.from = 1, filter.to = 2, filter.state = SESSION_ACTIVE;
    cursor = 0;
    CHECK(engine_sessions(e, &cursor, 100, &filter, views, 30) == 1 && views[0].id == 5);
    filter.to = 3;
    cursor = 0;
    CHECK(engine_sessions(e, &cursor, 100, &filter, views, 30) == 0);

    filter.fields = 0;
    engine_tick(e, 30 * SECOND); /* over, though the wheel has not come by */
    cursor = 0;
    CHECK(engine_sessions(e, &cursor, 100, &filter, views, 30) == 0);
    engine_free(e);
}

int main(void)
{
    slots_are_reused_in_the_order_they_were_freed();
    free_slots_rest();
    a_free_slot_shows_its_last_session();
    duplicate_keys();
    a_session_that_is_over_is_no_duplicate();
    clearing_what_is_over();
    timers_of_its_own();
    timers_of_a_tcp_session();
    timers_that_make_no_sense();
    maximum_of_the_virtual_system();
    denied_and_crowded_in_the_virtual_system();
    end_reasons_by_priority();
    a_full_ring_is_counted();
    pages_and_filters();
    return check_report();
}
