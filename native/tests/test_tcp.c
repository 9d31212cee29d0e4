/* TCP connection tracking: states against the rules said once more, as rules and not as a table; then windows. */
#include "build.h"
#include "state.h"

#include "check.h"

enum { FLAGS = 256 };

static struct engine *engine;

static void set_bypass(bool is_bypassed)
{
    static struct zone_protection protection;
    protection.tcp_asymmetric_bypass = engine->may_bypass = is_bypassed;
    engine->config.protections = &protection;
}

/* ---- states, where no sequence number is enforced ------------------------------------------------------- */

static enum tcp_state half_closed(enum direction by)
{
    return by == C2S ? TCP_STATE_HALF_CLOSED_C2S : TCP_STATE_HALF_CLOSED_S2C;
}

static bool is_unverified(enum tcp_state state)
{
    return state == TCP_STATE_UNVERIFIED_RST_C2S || state == TCP_STATE_UNVERIFIED_RST_S2C;
}

/* The first packet of a session goes c2s, so NONE knows that direction alone. */
static enum tcp_state expected(enum tcp_state state, enum direction direction, uint8_t flags)
{
    bool syn = flags & TCP_SYN, ack = flags & TCP_ACK;
    enum direction reset_by = state == TCP_STATE_UNVERIFIED_RST_C2S ? C2S : S2C;
    if (state == TCP_STATE_TIME_WAIT || flags & TCP_RST)
        return TCP_STATE_TIME_WAIT; /* over for good, whoever says so */
    if (syn && !ack && !(flags & TCP_FIN) && state > TCP_STATE_HANDSHAKE)
        return state; /* the other end's to answer */
    if (is_unverified(state)) { /* established before, see below; only who reset it can go on */
        if (direction != reset_by)
            return state;
        state = TCP_STATE_ESTABLISHED;
    }
    if (state == TCP_STATE_NONE && direction == S2C)
        return TCP_STATE_NONE;
    if (flags & TCP_FIN)
        return state == half_closed(!direction) ? TCP_STATE_TIME_WAIT : half_closed(direction);
    if (state == TCP_STATE_NONE)
        return !syn ? TCP_STATE_ESTABLISHED : ack ? TCP_STATE_HANDSHAKE : TCP_STATE_INIT;
    if (state == TCP_STATE_INIT && direction == S2C && syn)
        return TCP_STATE_HANDSHAKE; /* the server's half: SYN-ACK, or a SYN of its own */
    if ((state == TCP_STATE_INIT || state == TCP_STATE_HANDSHAKE) && direction == C2S && !syn)
        return TCP_STATE_ESTABLISHED;
    return state;
}

static struct packet packet_of(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window, uint32_t payload)
{
    static uint8_t bytes[40 + 70000];
    struct packet p = {.data = bytes, .len = 40 + payload, .l4_offset = 20, .payload_offset = 40, .tcp_flags = flags,
                       .tcp_seq = seq, .tcp_ack = ack, .tcp_window = window};
    p.key.proto = PROTO_TCP;
    return p;
}

static void every_state_direction_and_flag(void)
{
    set_bypass(true);
    engine->config.tcp_allow_challenge_ack = true;
    for (enum tcp_state state = TCP_STATE_NONE; state < TCP_STATE_COUNT; state++)
        for (enum direction direction = C2S; direction <= S2C; direction++)
            for (unsigned flags = 0; flags < FLAGS; flags++) {
                if (state == TCP_STATE_NONE && direction == S2C)
                    continue;
                struct session s = {.tcp_state = (uint8_t)state, .before_rst = TCP_STATE_ESTABLISHED,
                                    .end_reason = END_REASON_unknown};
                struct packet p = packet_of((uint8_t)flags, 1, 1, 100, 0);
                bool restart;
                CHECK(tcp_segment(engine, &s, direction, &p, &restart) == 0);
                CHECK(s.tcp_state == expected(state, direction, (uint8_t)flags));
                CHECK(!restart || s.tcp_state != TCP_STATE_TIME_WAIT || state != TCP_STATE_TIME_WAIT);
            }
    set_bypass(false);
    engine->config.tcp_allow_challenge_ack = false;
}

static void timers(void)
{
    struct engine_config *config = &engine->config;
    CHECK(tcp_timer(config, TCP_STATE_NONE) == TIMER_tcp_init);
    CHECK(tcp_timer(config, TCP_STATE_INIT) == TIMER_tcp_init);
    CHECK(tcp_timer(config, TCP_STATE_HANDSHAKE) == TIMER_tcp_handshake);
    CHECK(tcp_timer(config, TCP_STATE_ESTABLISHED) == TIMER_tcp);
    CHECK(tcp_timer(config, TCP_STATE_HALF_CLOSED_C2S) == TIMER_tcp_half_closed);
    CHECK(tcp_timer(config, TCP_STATE_HALF_CLOSED_S2C) == TIMER_tcp_half_closed);
    CHECK(tcp_timer(config, TCP_STATE_TIME_WAIT) == TIMER_tcp_time_wait);
    CHECK(tcp_timer(config, TCP_STATE_UNVERIFIED_RST_C2S) == TIMER_tcp_unverified_rst);
    config->timeout_s[TIMER_tcpwait] = 30;
    CHECK(tcp_timer(config, TCP_STATE_ESTABLISHED) == TIMER_tcp);
    for (enum tcp_state state = TCP_STATE_HALF_CLOSED_C2S; state <= TCP_STATE_TIME_WAIT; state++)
        CHECK(tcp_timer(config, state) == TIMER_tcpwait);
    config->timeout_s[TIMER_tcpwait] = 0;
}

/* ---- windows ---------------------------------------------------------------------------------------------- */

/* Client's numbers begin at 1000, the server's at 5000; both offer 100 bytes, `scale` as shift or -1. */
static struct session handshake(int client_scale, int server_scale)
{
    struct session s = {.end_reason = END_REASON_unknown};
    int scales[] = {client_scale, server_scale, -1};
    struct packet p[] = {packet_of(TCP_SYN, 1000, 0, 100, 0), packet_of(TCP_SYN | TCP_ACK, 5000, 1001, 100, 0),
                         packet_of(TCP_ACK, 1001, 5001, 100, 0)};
    for (int i = 0; i < 3; i++) {
        bool restart;
        if (scales[i] >= 0) {
            uint8_t option[] = {1, 3, 3, (uint8_t)scales[i]};
            memcpy(p[i].data + 40, option, sizeof option);
            p[i].payload_offset += sizeof option, p[i].len += sizeof option;
        }
        CHECK(tcp_segment(engine, &s, i == 1 ? S2C : C2S, &p[i], &restart) == 0 && restart);
    }
    CHECK(s.tcp_state == TCP_STATE_ESTABLISHED);
    return s;
}

static uint32_t send(struct session *s, enum direction d, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t payload)
{
    struct packet p = packet_of(flags, seq, ack, 100, payload);
    bool restart;
    return tcp_segment(engine, s, d, &p, &restart);
}

static void data_in_and_out_of_window(void)
{
    static const struct row {
        enum direction d;
        uint32_t seq, ack, payload;
        bool passes;
    } rows[] = {
        {C2S, 1001, 5001, 100, true},  {S2C, 5001, 1001, 100, true},
        {C2S, 1101, 5001, 1, true},  /* the byte behind the window probes it */
        {C2S, 1102, 5001, 1, false}, {C2S, 1101 + 70000, 5001, 1, false},
        {C2S, 1001 - 100, 5001, 0, true}, /* as old as the window is wide */
        {C2S, 1001 - 101, 5001, 0, false}, {C2S, 1001, 5002, 0, false}, /* acknowledges what was never sent */
        {C2S, 1001, 5001 - 66000, 0, true}, {C2S, 1001, 5001 - 66001, 0, false},
        {S2C, 5001 + 101, 1001, 1, false}, {S2C, 5001, 1002, 0, false},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct session s = handshake(-1, -1);
        uint32_t reason = send(&s, rows[i].d, TCP_ACK, rows[i].seq, rows[i].ack, rows[i].payload);
        CHECK(reason == (rows[i].passes ? 0 : COUNTER_tcp_drop_out_of_wnd));
    }
}

static void windows_grow_with_acknowledgements(void)
{
    struct session s = handshake(-1, -1);
    for (uint32_t seq = 1001; seq < 1001 + 5000; seq += 100) {
        CHECK(send(&s, C2S, TCP_ACK, seq + 101, 5001, 1) != 0);
        CHECK(send(&s, C2S, TCP_ACK, seq, 5001, 100) == 0);
        CHECK(send(&s, S2C, TCP_ACK, 5001, seq + 100, 0) == 0);
    }
}

/* Sequence numbers pass 2^32. */
static void numbers_wrap(void)
{
    struct session s = {.end_reason = END_REASON_unknown};
    CHECK(send(&s, C2S, TCP_SYN, UINT32_MAX - 10, 0, 0) == 0);
    CHECK(send(&s, S2C, TCP_SYN | TCP_ACK, UINT32_MAX, UINT32_MAX - 9, 0) == 0);
    CHECK(send(&s, C2S, TCP_ACK, UINT32_MAX - 9, 0, 50) == 0);
    CHECK(send(&s, S2C, TCP_ACK, 0, 40, 50) == 0);
    CHECK(send(&s, C2S, TCP_ACK, 40 + 102, 50, 1) == COUNTER_tcp_drop_out_of_wnd);
    CHECK(send(&s, C2S, TCP_ACK, 40, 50, 100) == 0);
}

static void scaling(void)
{
    struct session both = handshake(4, 3), one = handshake(4, -1);
    CHECK(send(&both, S2C, TCP_ACK, 5001, 1001, 0) == 0);           /* offers 100 << 3 */
    CHECK(send(&both, C2S, TCP_ACK, 1001 + 800, 5001, 1) == 0);
    CHECK(send(&both, C2S, TCP_ACK, 1001 + 902, 5001, 1) != 0);
    CHECK(send(&both, S2C, TCP_ACK, 5001 + 1600, 1001, 1) == 0);    /* the handshake's last ACK offered 100 << 4 */
    CHECK(send(&one, S2C, TCP_ACK, 5001, 1001, 0) == 0);
    CHECK(send(&one, C2S, TCP_ACK, 1001 + 102, 5001, 1) != 0);      /* nobody scales */
    struct session largest = handshake(255, 255);
    CHECK(largest.scale[C2S] == 14 && largest.scale[S2C] == 14);
}

static void options_that_make_no_sense(void)
{
    static const uint8_t options[][4] = {{3, 0, 3, 3}, {3, 1, 3, 3}, {3, 200, 3, 3}, {2, 4, 3, 3}, {0, 3, 3, 3}, {1, 1, 1, 3}};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        struct session s = {.end_reason = END_REASON_unknown};
        struct packet p = packet_of(TCP_SYN, 1, 0, 100, 0);
        bool restart;
        memcpy(p.data + 40, options[i], 4);
        p.payload_offset += 4, p.len += 4;
        CHECK(tcp_segment(engine, &s, C2S, &p, &restart) == 0);
        CHECK(send(&s, S2C, TCP_SYN | TCP_ACK, 1, 2, 0) == 0 && !s.scale[C2S] && !s.scale[S2C]);
    }
}

static void opening(void)
{
    static const struct row {
        enum direction d;
        uint8_t flags;
        uint32_t seq, ack, reason;
        enum tcp_state after;
    } rows[] = {
        {C2S, TCP_SYN, 1000, 0, 0, TCP_STATE_INIT},
        {C2S, TCP_SYN, 77777, 0, 0, TCP_STATE_INIT}, /* it tries again with another number */
        {S2C, TCP_SYN, 9, 0, 0, TCP_STATE_HANDSHAKE},
        {S2C, TCP_SYN | TCP_ACK, 9, 1001, 0, TCP_STATE_HANDSHAKE},
        {S2C, TCP_SYN | TCP_ACK, 9, 1002, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {S2C, TCP_SYN | TCP_ACK, 9, 1000, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {S2C, TCP_ACK, 9, 88, COUNTER_tcp_drop_challenge_ack, TCP_STATE_INIT},
        {S2C, TCP_FIN | TCP_ACK, 9, 1001, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {S2C, TCP_RST | TCP_ACK, 0, 1001, 0, TCP_STATE_TIME_WAIT},
        {S2C, TCP_RST | TCP_ACK, 0, 1002, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {S2C, TCP_RST, 0, 0, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {C2S, TCP_RST, 1001, 0, 0, TCP_STATE_TIME_WAIT},
        {C2S, TCP_RST, 1002, 0, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
        {C2S, TCP_ACK, 1001, 9, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_INIT},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct session s = {.end_reason = END_REASON_unknown};
        CHECK(send(&s, C2S, TCP_SYN, 1000, 0, 0) == 0);
        CHECK(send(&s, rows[i].d, rows[i].flags, rows[i].seq, rows[i].ack, 0) == rows[i].reason);
        CHECK(s.tcp_state == rows[i].after);
    }
    struct session s = {.end_reason = END_REASON_unknown}; /* data with the SYN: all of it taken, or none */
    CHECK(send(&s, C2S, TCP_SYN, 1000, 0, 50) == 0);
    struct session other = s;
    CHECK(send(&s, S2C, TCP_SYN | TCP_ACK, 9, 1001, 0) == 0 && send(&other, S2C, TCP_SYN | TCP_ACK, 9, 1051, 0) == 0);
}

/* The server still has the connection the client opens again: its challenge is answered with the RST it asks for. */
static void challenge(void)
{
    struct session s = {.end_reason = END_REASON_unknown};
    engine->config.tcp_allow_challenge_ack = true;
    CHECK(send(&s, C2S, TCP_SYN, 1000, 0, 0) == 0 && send(&s, S2C, TCP_ACK, 9, 424242, 0) == 0);
    CHECK(s.tcp_state == TCP_STATE_INIT);
    CHECK(send(&s, C2S, TCP_RST, 424243, 0, 0) == COUNTER_tcp_drop_out_of_wnd);
    CHECK(send(&s, C2S, TCP_RST, 424242, 0, 0) == 0 && s.tcp_state == TCP_STATE_TIME_WAIT);
    engine->config.tcp_allow_challenge_ack = false;
}

static void resets(void)
{
    static const struct row {
        enum direction d;
        uint32_t seq, reason;
        enum tcp_state after;
    } rows[] = {
        {C2S, 1011, 0, TCP_STATE_TIME_WAIT}, /* what it would send next */
        {C2S, 1006, 0, TCP_STATE_TIME_WAIT}, /* what the server expects next */
        {C2S, 1007, 0, TCP_STATE_UNVERIFIED_RST_C2S},
        {C2S, 1106, 0, TCP_STATE_UNVERIFIED_RST_C2S}, /* the window's end */
        {C2S, 1107, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_ESTABLISHED},
        {C2S, 1005, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_ESTABLISHED},
        {S2C, 5001, 0, TCP_STATE_TIME_WAIT},
        {S2C, 5002, 0, TCP_STATE_UNVERIFIED_RST_S2C},
        {S2C, 5000, COUNTER_tcp_drop_out_of_wnd, TCP_STATE_ESTABLISHED},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct session s = handshake(-1, -1);
        CHECK(send(&s, C2S, TCP_ACK, 1001, 5001, 10) == 0 && send(&s, S2C, TCP_ACK, 5001, 1006, 0) == 0);
        CHECK(send(&s, rows[i].d, TCP_RST, rows[i].seq, 0, 0) == rows[i].reason);
        CHECK(s.tcp_state == rows[i].after);
        bool noted = s.end_reason == (rows[i].d == C2S ? END_REASON_tcp_rst_from_client : END_REASON_tcp_rst_from_server);
        CHECK(noted == !rows[i].reason);
    }
}

/* Data that crosses the FIN is answered with a RST of the FIN's own number (RFC 9293 3.10.7.1). */
static void reset_behind_a_fin(void)
{
    struct session s = handshake(-1, -1);
    CHECK(send(&s, S2C, TCP_FIN | TCP_ACK, 5001, 1001, 0) == 0 && send(&s, C2S, TCP_ACK, 1001, 5002, 0) == 0);
    struct session other = s;
    CHECK(send(&s, S2C, TCP_RST, 5001, 0, 0) == 0 && s.tcp_state == TCP_STATE_TIME_WAIT);
    CHECK(send(&other, S2C, TCP_RST, 5000, 0, 0) == COUNTER_tcp_drop_out_of_wnd);
    CHECK(send(&other, C2S, TCP_RST, 1000, 0, 0) == COUNTER_tcp_drop_out_of_wnd); /* no FIN of its own */
    CHECK(send(&other, C2S, TCP_RST, 1050, 0, 0) == 0 && other.tcp_state == TCP_STATE_UNVERIFIED_RST_C2S);
    CHECK(send(&other, S2C, TCP_RST, 5001, 0, 0) == 0 && other.tcp_state == TCP_STATE_TIME_WAIT); /* its FIN is not forgotten */
}

/* A RST that was forged: the other side asks back, and the connection goes on. */
static void life_after_a_reset(void)
{
    struct session s = handshake(-1, -1);
    struct packet again = packet_of(TCP_RST, 1051, 0, 0, 0), question = packet_of(TCP_ACK, 5001, 1001, 100, 0);
    bool restart;
    CHECK(send(&s, C2S, TCP_RST, 1050, 0, 0) == 0 && s.tcp_state == TCP_STATE_UNVERIFIED_RST_C2S);
    CHECK(tcp_segment(engine, &s, C2S, &again, &restart) == 0 && !restart);
    CHECK(tcp_segment(engine, &s, S2C, &question, &restart) == 0 && !restart);
    CHECK(s.tcp_state == TCP_STATE_UNVERIFIED_RST_C2S && s.end_reason == END_REASON_tcp_rst_from_client);
    CHECK(send(&s, C2S, TCP_ACK, 1001, 5001, 10) == 0);
    CHECK(s.tcp_state == TCP_STATE_ESTABLISHED && s.end_reason == END_REASON_unknown);
    CHECK(send(&s, S2C, TCP_FIN | TCP_ACK, 5001, 1011, 0) == 0 && send(&s, S2C, TCP_RST, 5010, 0, 0) == 0);
    CHECK(s.tcp_state == TCP_STATE_UNVERIFIED_RST_S2C);
    CHECK(send(&s, S2C, TCP_ACK, 5002, 1011, 0) == 0);
    CHECK(s.tcp_state == TCP_STATE_HALF_CLOSED_S2C && s.end_reason == END_REASON_tcp_fin);
}

/* A host that has forgotten the connection opens it anew: both ends settle it. */
static void syn_of_an_established_connection(void)
{
    struct session s = handshake(-1, -1);
    struct packet syn = packet_of(TCP_SYN, 424242, 0, 100, 0);
    bool restart = true;
    CHECK(tcp_segment(engine, &s, C2S, &syn, &restart) == 0 && !restart && s.tcp_state == TCP_STATE_ESTABLISHED);
    CHECK(send(&s, S2C, TCP_ACK, 5001, 1001, 0) == 0);
    CHECK(send(&s, C2S, TCP_RST, 1001, 0, 0) == 0 && s.tcp_state == TCP_STATE_TIME_WAIT);
}

static void bypass(void)
{
    struct session s = handshake(-1, -1);
    uint64_t before = engine->counters[COUNTER_tcp_out_of_wnd_pass];
    set_bypass(true);
    CHECK(send(&s, C2S, TCP_ACK, 1001 + 70000, 5001, 10) == 0);
    CHECK(engine->counters[COUNTER_tcp_out_of_wnd_pass] == before + 1);
    CHECK(send(&s, S2C, TCP_RST, 12345, 0, 0) == 0 && s.tcp_state == TCP_STATE_TIME_WAIT);
    struct session half = {.end_reason = END_REASON_unknown}; /* the answers go another way */
    CHECK(send(&half, C2S, TCP_SYN, 1000, 0, 0) == 0 && send(&half, C2S, TCP_ACK, 1001, 9, 10) == 0);
    CHECK(half.tcp_state == TCP_STATE_ESTABLISHED);
    CHECK(send(&half, C2S, TCP_ACK, 1001 + 99999, 9, 10) == 0);
    set_bypass(false);
}

int main(void)
{
    engine = build_engine((struct engine_params){0});
    every_state_direction_and_flag();
    timers();
    data_in_and_out_of_window();
    windows_grow_with_acknowledgements();
    numbers_wrap();
    scaling();
    options_that_make_no_sense();
    opening();
    challenge();
    resets();
    reset_behind_a_fin();
    life_after_a_reset();
    syn_of_an_established_connection();
    bypass();
    engine_free(engine);
    return check_report();
}
