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

/* What is over ended when it expired, not when somebody cleared it. */
static void clearing_what_is_over(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    CHECK(open_session(e, 1, 0) == 1);
    engine_tick(e, 30 * SECOND + 1);
    CHECK(engine_clear(e, 1) == -ENOENT);
    CHECK(view_of(e, 1).state == SESSION_INIT && view_of(e, 1).end_reason == END_REASON_aged_out);
    CHECK(view_of(e, 1).end_ns == 30 * SECOND);
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
    end_reasons_by_priority();
    a_full_ring_is_counted();
    pages_and_filters();
    return check_report();
}
