/* Packets that wait for the slowpath: order, bounds, late answers, and both ends speaking first. */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "build.h"
#include "check.h"

static const struct build syn = {.family = 4, .proto = PROTO_TCP, .src = 1, .dst = 2, .sport = 1000, .dport = 80,
                                 .flags = TCP_SYN, .seq = 0x01020304};

static struct build udp_of(uint32_t n)
{
    return (struct build){.family = 6, .proto = PROTO_UDP, .src = n, .dst = 0xffff, .sport = 1000, .dport = 53,
                          .payload = 10};
}

static struct build reversed(struct build b)
{
    return (struct build){.family = b.family, .proto = b.proto, .src = b.dst, .dst = b.src, .sport = b.dport,
                          .dport = b.sport, .flags = b.flags, .payload = b.payload};
}

static uint64_t counter(struct engine *e, enum counter number)
{
    return engine_counters(e)[number];
}

static struct engine_stats stats_of(struct engine *e)
{
    struct engine_stats stats;
    engine_stats(e, &stats);
    return stats;
}

/* Verdicts in order as their tags; all must have this action and reason. */
static void check_verdicts(struct engine *e, enum verdict_action action, uint32_t reason, const uint64_t *tags,
                           uint32_t count)
{
    uint32_t found;
    const struct verdict *all = engine_verdicts(e, &found);
    CHECK(found == count);
    for (uint32_t i = 0; i < found && i < count; i++)
        CHECK(all[i].action == action && all[i].reason == reason && all[i].tag == tags[i]);
    forget_verdicts(e);
}

static uint32_t only_handle(struct engine *e)
{
    struct undecided u[2];
    CHECK(engine_undecided(e, u, 2) == 1);
    return u[0].handle;
}

static void packets_of_a_flow_wait_in_order(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = udp_of(1);
    for (uint64_t tag = 1; tag <= 5; tag++)
        build_feed(e, &b, 1, 0, tag);
    struct undecided u;
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct flow_key key = build_key(&b, 1);
    CHECK(!memcmp(&u.key, &key, sizeof key) && u.port == 1 && u.len == 58 && u.ttl == 58 && u.dscp == 11);
    CHECK(counter(e, COUNTER_flow_undecided) == 1 && counter(e, COUNTER_flow_parked) == 4);
    CHECK(stats_of(e).undecided == 1 && stats_of(e).held == 5);
    check_verdicts(e, 0, 0, NULL, 0);
    struct session_spec spec = build_spec(&u.key, 2, ACTION_allow);
    CHECK(engine_install(e, u.handle, &spec) == 1);
    CHECK(engine_install(e, u.handle, &spec) == -ENOENT);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){1, 2, 3, 4, 5}, 5);
    CHECK(stats_of(e).undecided == 0 && stats_of(e).held == 0);
    struct session_view view;
    CHECK(!engine_session(e, 1, &view) && view.packets[C2S] == 5 && view.bytes[C2S] == 5 * 58);
    engine_free(e);
}

static void refused_with_everything_behind_it(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = udp_of(1);
    for (uint64_t tag = 1; tag <= 3; tag++)
        build_feed(e, &b, 1, 0, tag);
    uint32_t handle = only_handle(e);
    CHECK(engine_refuse(e, handle, COUNTER_pkt_recv) == -EINVAL && engine_refuse(e, handle, 1000) == -EINVAL);
    CHECK(engine_refuse(e, handle + 1, COUNTER_flow_policy_deny) == -ENOENT);
    CHECK(engine_refuse(e, handle, COUNTER_flow_policy_deny) == 0);
    CHECK(engine_refuse(e, handle, COUNTER_flow_policy_deny) == -ENOENT);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_policy_deny, (uint64_t[]){1, 2, 3}, 3);
    CHECK(counter(e, COUNTER_flow_policy_deny) == 3);
    engine_free(e);
}

static void answers_that_make_no_sense(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = udp_of(1);
    build_feed(e, &b, 1, 0, 1);
    uint32_t handle = only_handle(e);
    struct flow_key key = build_key(&b, 1);
    struct session_spec good = build_spec(&key, 2, ACTION_allow), bad;
    bad = good, bad.action = ACTION_COUNT;
    CHECK(engine_install(e, handle, &bad) == -EINVAL);
    bad = good, bad.egress_port = 4;
    CHECK(engine_install(e, handle, &bad) == -EINVAL);
    bad = good, bad.s2c.family = 5;
    CHECK(engine_install(e, handle, &bad) == -EINVAL);
    CHECK(engine_install(e, handle, &good) == 1); /* the handle was still outstanding */
    engine_free(e);
}

static void bounds(void)
{
    struct engine *e = build_engine((struct engine_params){.max_undecided = 3, .max_held = 40});
    struct build b = udp_of(1);
    for (uint64_t tag = 0; tag < MAX_PARKED + 3; tag++) /* one that asks, MAX_PARKED behind it, two too many */
        build_feed(e, &b, 1, 0, tag);
    CHECK(counter(e, COUNTER_flow_parked) == MAX_PARKED && counter(e, COUNTER_flow_parked_full) == 2);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_parked_full, (uint64_t[]){MAX_PARKED + 1, MAX_PARKED + 2}, 2);

    for (uint32_t n = 2; n <= 4; n++)
        build_feed(e, &(struct build){.family = 4, .proto = PROTO_UDP, .src = n, .dst = 9, .sport = 1, .dport = 2}, 1, 0, n);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_undecided_full, (uint64_t[]){4}, 1);

    b = udp_of(2);
    b.family = 4, b.dst = 9, b.sport = 1, b.dport = 2;
    for (uint64_t tag = 0; tag < MAX_PARKED; tag++)
        build_feed(e, &b, 1, 0, tag);
    b.src = 3;
    for (uint64_t tag = 0; tag < 10; tag++) /* 40 in all: 17, 17, and 6 of these 11 */
        build_feed(e, &b, 1, 0, 100 + tag);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_undecided_full, (uint64_t[]){105, 106, 107, 108, 109}, 5);
    CHECK(stats_of(e).held == 40 && stats_of(e).undecided == 3);

    engine_tick(e, SECOND);
    CHECK(counter(e, COUNTER_flow_undecided_timeout) == 40);
    forget_verdicts(e);
    CHECK(stats_of(e).held == 0 && stats_of(e).undecided == 0 && engine_next_timer_ns(e) == INT64_MAX);
    engine_free(e);
}

static void handles_expire(void)
{
    struct engine *e = build_engine((struct engine_params){.answer_timeout_ms = 250});
    struct build one = udp_of(1), two = udp_of(2);
    struct undecided u[3];
    build_feed(e, &one, 1, 0, 1);
    build_feed(e, &two, 1, 1000, 2);
    build_feed(e, &one, 1, 2000, 3);
    CHECK(engine_next_timer_ns(e) == 250000000 && engine_undecided(e, u, 1) == 1);
    engine_tick(e, 249999999);
    check_verdicts(e, 0, 0, NULL, 0);
    engine_tick(e, 250000000);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_undecided_timeout, (uint64_t[]){1, 3}, 2);
    struct session_spec spec = build_spec(&u[0].key, 2, ACTION_allow);
    CHECK(engine_install(e, u[0].handle, &spec) == -ENOENT);
    build_feed(e, &one, 1, 250000500, 4); /* the slot serves again under another handle */
    CHECK(engine_undecided(e, u + 1, 2) == 2 && u[1].key.src[15] == 2 && u[2].handle != u[0].handle);
    CHECK(engine_install(e, u[0].handle, &spec) == -ENOENT && engine_install(e, u[2].handle, &spec) > 0);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){4}, 1);
    /* one that was never handed out expires as well, and is not handed out then */
    build_feed(e, &(struct build){.family = 4, .proto = PROTO_UDP, .src = 5, .dst = 6}, 1, 250000600, 5);
    engine_tick(e, SECOND);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_undecided_timeout, (uint64_t[]){2, 5}, 2);
    CHECK(engine_undecided(e, u, 3) == 0);
    engine_free(e);
}

/* The answer to one end is the other's too. */
static void both_ends_speak_first(int asked_first)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build there = udp_of(1), back = reversed(there);
    struct undecided u[2];
    build_feed(e, &there, 1, 0, 1);
    build_feed(e, &back, 2, 0, 2);
    build_feed(e, &there, 1, 0, 3);
    build_feed(e, &back, 2, 0, 4);
    CHECK(engine_undecided(e, u, 2) == 2);
    int other = !asked_first;
    struct session_spec spec = build_spec(&u[asked_first].key, (uint16_t)(2 - asked_first), ACTION_allow);
    struct session_spec late = build_spec(&u[other].key, (uint16_t)(2 - other), ACTION_allow);
    CHECK(engine_install(e, u[asked_first].handle, &spec) == 1);
    CHECK(engine_install(e, u[other].handle, &late) == -ENOENT);
    CHECK(engine_refuse(e, u[other].handle, COUNTER_flow_policy_deny) == -ENOENT);
    uint32_t count;
    const struct verdict *all = engine_verdicts(e, &count);
    CHECK(count == 4);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(all[i].tag == (asked_first ? (uint64_t[]){2, 4, 1, 3} : (uint64_t[]){1, 3, 2, 4})[i]);
        CHECK(all[i].action == VERDICT_FORWARD && all[i].session == 1);
        CHECK(all[i].port == (all[i].tag & 1 ? 2 : 1));
    }
    forget_verdicts(e);
    struct session_view view;
    CHECK(!engine_session(e, 1, &view) && view.packets[C2S] == 2 && view.packets[S2C] == 2);
    CHECK(stats_of(e).held == 0 && stats_of(e).undecided == 0 && stats_of(e).allocated == 1);
    engine_clear(e, 1);
    CHECK(!flow_table_lookup(e, &u[0].key) && !flow_table_lookup(e, &u[1].key));
    engine_free(e);
}

/* A denial is one end's alone, and an allowed answer to a denied first packet ends what the denial left. */
static void one_end_is_denied(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build there = udp_of(1), back = reversed(there);
    struct undecided u[2];
    struct session_view view;
    build_feed(e, &there, 1, 0, 1);
    build_feed(e, &back, 2, 0, 2);
    CHECK(engine_undecided(e, u, 2) == 2);
    struct session_spec denied = build_spec(&u[0].key, 2, ACTION_deny), allowed = build_spec(&u[1].key, 1, ACTION_allow);
    CHECK(engine_install(e, u[0].handle, &denied) == 1);
    CHECK(engine_install(e, u[1].handle, &allowed) == 2);
    CHECK(!engine_session(e, 1, &view) && view.state == SESSION_INIT && view.end_reason == END_REASON_policy_deny);
    CHECK(flow_table_lookup(e, &u[0].key) == 2 * 2 + S2C && flow_table_lookup(e, &u[1].key) == 2 * 2 + C2S);
    CHECK(stats_of(e).allocated == 1 && stats_of(e).discard == 0 && stats_of(e).undecided == 0);
    forget_verdicts(e);
    build_feed(e, &there, 1, 0, 3);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){3}, 1);
    engine_free(e);
}

/* Where one end gets no session, the other is still asked about. */
static void both_ends_speak_first_to_a_full_table(void)
{
    struct engine *e = build_engine((struct engine_params){.max_sessions = 1});
    struct build there = udp_of(1), back = reversed(there), third = udp_of(9);
    struct undecided u[2];
    CHECK(build_session(e, &third, 1, 2, ACTION_allow, 0) == 1);
    forget_verdicts(e);
    build_feed(e, &there, 1, 0, 1);
    build_feed(e, &back, 2, 0, 2);
    CHECK(engine_undecided(e, u, 2) == 2);
    struct session_spec spec = build_spec(&u[0].key, 2, ACTION_allow), other = build_spec(&u[1].key, 1, ACTION_allow);
    CHECK(engine_install(e, u[0].handle, &spec) == 0);
    check_verdicts(e, VERDICT_DROP, COUNTER_session_alloc_fail, (uint64_t[]){1}, 1);
    build_feed(e, &back, 2, 0, 3);
    CHECK(stats_of(e).undecided == 1 && stats_of(e).held == 2); /* it parked */
    engine_clear(e, 1);
    CHECK(engine_install(e, u[1].handle, &other) == 1);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){2, 3}, 2);
    engine_free(e);
}

/* A reset among the parked packets ends the connection; the SYN behind it opens the next one. */
static void connection_over_while_its_packets_wait(void)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = syn;
    build_feed(e, &b, 1, 0, 1);
    b.flags = TCP_RST, b.seq = syn.seq + 1;
    build_feed(e, &b, 1, 0, 2);
    b.flags = TCP_SYN, b.seq = 0x99999999;
    build_feed(e, &b, 1, 0, 3);
    build_feed(e, &b, 1, 0, 4);
    struct undecided u;
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, 2, ACTION_allow);
    CHECK(engine_install(e, u.handle, &spec) == 1);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){1, 2}, 2);
    struct event event;
    CHECK(engine_events(e, &event, 1) == 1 && event.session.end_reason == END_REASON_tcp_rst_from_client);
    CHECK(engine_undecided(e, &u, 1) == 1 && stats_of(e).held == 2);
    CHECK(engine_install(e, u.handle, &spec) == 2);
    check_verdicts(e, VERDICT_FORWARD, 0, (uint64_t[]){3, 4}, 2);
    engine_free(e);
}

/* What waits may have lost its port when it is answered. */
static void ports_gone_while_packets_wait(void)
{
    static const struct port_config two_ports[] = {{0}, {.zone = 1, .ipv6 = true}};
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = udp_of(1);
    struct undecided u;
    build_feed(e, &b, 3, 0, 1);
    build_feed(e, &b, 3, 0, 2);
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct engine_config config = build_config();
    config.port_count = 2, config.ports = two_ports;
    CHECK(engine_configure(e, &config) == 0);
    struct session_spec spec = build_spec(&u.key, 1, ACTION_allow);
    CHECK(engine_install(e, u.handle, &spec) == 1);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_no_interface, (uint64_t[]){1, 2}, 2);
    CHECK(stats_of(e).held == 0);
    engine_free(e);
}

/* The bytes a held packet is released with are its own, however long it and its neighbours are. */
static void held_bytes(void)
{
    struct engine *e = build_engine((struct engine_params){.max_held = 4});
    static uint8_t bytes[BUILD_BYTES];
    const uint32_t payloads[] = {65527, 65527, 0, 65527}; /* of UDP: the first are 65,575 bytes long */
    for (uint32_t n = 0; n < 4; n++) {
        struct build b = udp_of(n + 1);
        b.payload = payloads[n];
        build_feed(e, &b, 1, 0, n);
    }
    struct undecided u[4];
    CHECK(engine_undecided(e, u, 4) == 4);
    for (uint32_t n = 0; n < 4; n++) {
        struct session_spec spec = build_spec(&u[n].key, 2, ACTION_allow);
        CHECK(engine_install(e, u[n].handle, &spec) > 0);
        struct verdict v = build_last_verdict(e);
        struct build b = udp_of(n + 1);
        b.payload = payloads[n];
        uint32_t len = build_packet(bytes, &b);
        CHECK(v.action == VERDICT_FORWARD && v.len == len && !memcmp(v.data, bytes, len));
    }
    engine_free(e);
}

static void resets(uint8_t family, enum action action, uint8_t flags, bool answered)
{
    struct engine *e = build_engine((struct engine_params){0});
    struct engine_config config = build_config();
    config.tcp_reject_non_syn = false;
    build_configure(e, &config);
    struct build b = syn;
    b.family = family, b.flags = flags, b.ack = 0x0a0b0c0d, b.payload = 3;
    CHECK(build_session(e, &b, 1, 2, action, 0) == 1);
    uint32_t count;
    const struct verdict *v = engine_verdicts(e, &count);
    CHECK(count == (answered ? 2 : 1) && v[count - 1].action == VERDICT_DROP);
    CHECK(v[count - 1].reason == COUNTER_flow_policy_deny && v[count - 1].session == 1);
    CHECK(counter(e, COUNTER_flow_action_close) == answered);
    if (answered) {
        struct packet p;
        CHECK(v->action == VERDICT_EMIT && v->port == 1 && v->changed);
        CHECK(packet_parse((uint8_t *)v->data, v->len, LINK_IP, false, &p) == 0);
        struct build answer = reversed(b);
        struct flow_key key = build_key(&answer, 0);
        CHECK(!memcmp(&p.key, &key, sizeof key) && p.payload_offset == p.len);
        if (flags & TCP_ACK) /* RFC 9293 3.10.7.1 */
            CHECK(p.tcp_flags == TCP_RST && p.tcp_seq == b.ack);
        else
            CHECK(p.tcp_flags == (TCP_RST | TCP_ACK) && p.tcp_seq == 0 && p.tcp_ack == b.seq + 3 + !!(flags & TCP_SYN));
    }
    forget_verdicts(e);
    CHECK(stats_of(e).held == 0);
    engine_free(e);
}

static void reset_without_a_buffer(void)
{
    struct engine *e = build_engine((struct engine_params){.max_held = 1});
    CHECK(build_session(e, &syn, 1, 2, ACTION_reset_both, 0) == 1);
    check_verdicts(e, VERDICT_DROP, COUNTER_flow_policy_deny, (uint64_t[]){1}, 1);
    CHECK(counter(e, COUNTER_flow_emit_fail) == 1 && stats_of(e).held == 0);
    engine_free(e);
}

int main(void)
{
    packets_of_a_flow_wait_in_order();
    refused_with_everything_behind_it();
    answers_that_make_no_sense();
    bounds();
    handles_expire();
    for (int asked_first = 0; asked_first < 2; asked_first++) {
        both_ends_speak_first(asked_first);
    }
    one_end_is_denied();
    both_ends_speak_first_to_a_full_table();
    connection_over_while_its_packets_wait();
    ports_gone_while_packets_wait();
    held_bytes();
    for (uint8_t family = 4; family <= 6; family += 2) {
        resets(family, ACTION_reset_both, TCP_SYN, true);
        resets(family, ACTION_reset_client, TCP_ACK, true);
        resets(family, ACTION_reset_client, TCP_SYN | TCP_ACK, true);
        resets(family, ACTION_reset_both, TCP_RST, false); /* RFC 9293: a reset is not answered */
        resets(family, ACTION_reset_server, TCP_SYN, false); /* the server never saw anything */
        resets(family, ACTION_deny, TCP_SYN, false);
        resets(family, ACTION_drop, TCP_SYN, false);
    }
    reset_without_a_buffer();
    return check_report();
}
