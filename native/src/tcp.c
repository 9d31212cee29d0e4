/*
 * tcp.c - TCP connection tracking: what a segment may do, and what it does to a session.
 *
 * Two questions, asked in this order. Does the segment fit the connection: the window check follows what each side
 * has sent, acknowledged and offered (van Rooij, "Real Stateful TCP Packet Filtering in IP Filter", 2000; RFC 9293
 * 3.10.7.4, RFC 7323 2.3). It is enforced once both SYNs were seen, unless `asymmetric-path bypass` says that the
 * firewall may see half of the connection. And what becomes of its state: a table of states and segments; timers
 * belong to states, not to segments (fact sheet 1.5, 2.1). A session that began without a SYN (tcp-reject-non-syn
 * no) enters by the row NONE.
 *
 * A RST counts if its sequence number is exactly the next one expected (RFC 5961 3.2). One that is in the window
 * besides that is passed, since its receiver asks back, and leaves the connection a short time to go on.
 */
#include <errno.h>

#include "state.h"
#include "tcp_options.h"

enum segment { SEG_SYN, SEG_SYNACK, SEG_ACK, SEG_FIN, SEG_RST, SEG_COUNT };

static enum segment kind_of(uint8_t flags)
{
    if (flags & TCP_RST)
        return SEG_RST;
    if (flags & TCP_FIN)
        return SEG_FIN;
    if (flags & TCP_SYN)
        return flags & TCP_ACK ? SEG_SYNACK : SEG_SYN;
    return SEG_ACK;
}

/* ---- states ---------------------------------------------------------------------------------------- */

#define NO TCP_STATE_NONE
#define IN TCP_STATE_INIT
#define HS TCP_STATE_HANDSHAKE
#define ES TCP_STATE_ESTABLISHED
#define HC TCP_STATE_HALF_CLOSED_C2S
#define HR TCP_STATE_HALF_CLOSED_S2C
#define TW TCP_STATE_TIME_WAIT
#define UC TCP_STATE_UNVERIFIED_RST_C2S
#define UR TCP_STATE_UNVERIFIED_RST_S2C

/* A RST in this table is a verified one. Where nothing is enforced, an ACK of one side alone establishes. */
/* clang-format off */
static const uint8_t transition[TCP_STATE_COUNT][2][SEG_COUNT] = {
    /*                                    SYN  SYNACK ACK FIN RST */
    [TCP_STATE_NONE] = {               { IN, HS, ES, HC, TW },   /* first packet of the session */
                                       { NO, NO, NO, NO, NO } }, /* cannot be: the first packet is c2s */
    [TCP_STATE_INIT] = {               { IN, IN, ES, HC, TW },   /* retransmitted SYN; ACK: the answer went elsewhere */
                                       { HS, HS, IN, HR, TW } }, /* SYN: simultaneous open; ACK: a challenge */
    [TCP_STATE_HANDSHAKE] = {          { HS, HS, ES, HC, TW },
                                       { HS, HS, HS, HR, TW } }, /* server data before the last ACK */
    [TCP_STATE_ESTABLISHED] = {        { ES, ES, ES, HC, TW },
                                       { ES, ES, ES, HR, TW } },
    [TCP_STATE_HALF_CLOSED_C2S] = {    { HC, HC, HC, HC, TW },
                                       { HC, HC, HC, TW, TW } },
    [TCP_STATE_HALF_CLOSED_S2C] = {    { HR, HR, HR, TW, TW },
                                       { HR, HR, HR, HR, TW } },
    [TCP_STATE_TIME_WAIT] = {          { TW, TW, TW, TW, TW },   /* a new SYN never gets here: it is tcp-reuse */
                                       { TW, TW, TW, TW, TW } },
};
/* clang-format on */

static const uint8_t timers[TCP_STATE_COUNT] = {
    [TCP_STATE_NONE] = TIMER_tcp_init,
    [TCP_STATE_INIT] = TIMER_tcp_init,
    [TCP_STATE_HANDSHAKE] = TIMER_tcp_handshake,
    [TCP_STATE_ESTABLISHED] = TIMER_tcp,
    [TCP_STATE_HALF_CLOSED_C2S] = TIMER_tcp_half_closed,
    [TCP_STATE_HALF_CLOSED_S2C] = TIMER_tcp_half_closed,
    [TCP_STATE_TIME_WAIT] = TIMER_tcp_time_wait,
    [TCP_STATE_UNVERIFIED_RST_C2S] = TIMER_tcp_unverified_rst,
    [TCP_STATE_UNVERIFIED_RST_S2C] = TIMER_tcp_unverified_rst,
};

static bool is_closing(enum tcp_state state)
{
    return state == HC || state == HR || state == TW;
}

static bool is_unverified(enum tcp_state state)
{
    return state == UC || state == UR;
}

/* The one timer of older releases, from the first FIN or RST to the end (fact sheet 2.1, timeout-tcpwait). */
static bool has_tcpwait(const struct engine_config *config)
{
    return config->timeout_s[TIMER_tcpwait];
}

enum timer tcp_timer(const struct engine_config *config, enum tcp_state state)
{
    return is_closing(state) && has_tcpwait(config) ? TIMER_tcpwait : timers[state];
}

/* ---- windows --------------------------------------------------------------------------------------- */

static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static uint32_t later(uint32_t a, uint32_t b)
{
    return before(a, b) ? b : a;
}

static bool both_syns(const struct session *s)
{
    uint8_t both = TCP_SEEN_SYN_C2S | TCP_SEEN_SYN_S2C;
    return (s->seen & both) == both;
}

/* What a segment says: data from seq up to end, ack and window as far as they mean something. */
struct span {
    uint32_t seq, end, ack, window;
    bool has_ack;
};

static struct span span_of(const struct session *s, enum direction d, const struct packet *p)
{
    bool syn = p->tcp_flags & TCP_SYN, fin = p->tcp_flags & TCP_FIN;
    return (struct span){
        .seq = p->tcp_seq,
        .end = p->tcp_seq + (p->len - p->payload_offset) + syn + fin,
        .ack = p->tcp_ack,
        .window = (uint32_t)p->tcp_window << (syn || !both_syns(s) ? 0 : s->scale[d]),
        .has_ack = p->tcp_flags & TCP_ACK,
    };
}

/* The window scale option of a SYN; -1 where there is none. */
static int scale_option(const struct packet *p)
{
    const uint8_t *option = tcp_option_find(p, TCP_OPTION_WINDOW_SCALE, 3);
    if (!option)
        return -1;
    return option[2] < LARGEST_WINDOW_SCALE ? option[2] : LARGEST_WINDOW_SCALE;
}

/* Either end's zone says that the firewall may see half of a connection. */
static bool is_bypassed(const struct engine *e, const struct session *s)
{
    return e->may_bypass && (protection_of(e, s->port[C2S])->tcp_asymmetric_bypass ||
                             protection_of(e, s->port[S2C])->tcp_asymmetric_bypass);
}

static bool is_enforced(const struct engine *e, const struct session *s)
{
    return both_syns(s) && !is_bypassed(e, s);
}

static struct tcp_limits limits_of(const struct engine *e, const struct session *s, enum direction d)
{
    enum { OLDEST_ACK = 66000 }; /* an acknowledgement may be late by a window, and by this much in any case */
    const struct tcp_window *mine = &s->window[d], *other = &s->window[!d];
    return (struct tcp_limits){
        .highest_end = mine->max_end,
        .lowest_end = mine->end - other->max_window,
        .highest_ack = other->end,
        .lowest_ack = other->end - (mine->max_window > OLDEST_ACK ? mine->max_window : OLDEST_ACK),
        .enforced = is_enforced(e, s),
    };
}

static bool fits(const struct engine *e, const struct session *s, enum direction d, const struct span *g)
{
    struct tcp_limits limits = limits_of(e, s, d);
    return !before(limits.highest_end, g->seq) && !before(g->end, limits.lowest_end) &&
           (!g->has_ack || (!before(limits.highest_ack, g->ack) && !before(g->ack, limits.lowest_ack)));
}

static void begin_window(struct session *s, enum direction d, const struct packet *p, const struct span *g)
{
    struct tcp_window *mine = &s->window[d], *other = &s->window[!d];
    bool syn = p->tcp_flags & TCP_SYN;
    uint8_t seen_other = d == C2S ? TCP_SEEN_SYN_S2C : TCP_SEEN_SYN_C2S;
    *mine = (struct tcp_window){
        .end = g->end,
        .max_end = syn ? g->seq + 1 : g->end, /* data with a SYN may be refused (RFC 7413 3) */
        .max_window = g->window ? g->window : 1,
    };
    s->seen |= d == C2S ? TCP_SEEN_C2S : TCP_SEEN_S2C;
    if (!syn)
        return;
    s->seen |= d == C2S ? TCP_SEEN_SYN_C2S : TCP_SEEN_SYN_S2C;
    int scale = scale_option(p);
    enum { NO_SCALE = 0xff }; /* until the other side has said whether it scales */
    s->scale[d] = scale < 0 ? NO_SCALE : (uint8_t)scale;
    if (!(s->seen & seen_other))
        return;
    mine->max_end = g->end + other->max_window;
    other->max_end = later(other->max_end, other->end + mine->max_window);
    if (s->scale[C2S] == NO_SCALE || s->scale[S2C] == NO_SCALE) /* both or none (RFC 7323 2.2) */
        s->scale[C2S] = s->scale[S2C] = 0;
}

static inline void move_window(struct session *s, enum direction d, const struct span *g)
{
    struct tcp_window *mine = &s->window[d], *other = &s->window[!d];
    mine->end = later(mine->end, g->end);
    if (g->window > mine->max_window)
        mine->max_window = g->window;
    if (g->has_ack) {
        mine->max_ack = mine->max_ack ? later(mine->max_ack, g->ack) : g->ack;
        other->max_end = later(other->max_end, g->ack + g->window + !g->window); /* a closed window is probed */
    }
}

/* ---- segments -------------------------------------------------------------------------------------- */

/* Before the server's SYN-ACK there is no window, but little that may come. */
static uint32_t refuse_opening(const struct engine *e, const struct session *s, enum direction d, enum segment kind,
                               const struct span *g)
{
    const struct tcp_window *other = &s->window[!d];
    bool answers = g->has_ack && !before(g->ack, other->max_end) && !before(other->end, g->ack);
    if (d == S2C && kind == SEG_ACK) /* the server believes the connection exists (RFC 5961 4) */
        return e->config.tcp_allow_challenge_ack ? 0 : COUNTER_tcp_drop_challenge_ack;
    if (is_bypassed(e, s) || kind == SEG_SYN)
        return 0;
    if (d == C2S)
        return kind == SEG_RST && (g->seq == s->window[C2S].end || (other->max_ack && g->seq == other->max_ack))
                   ? 0
                   : COUNTER_tcp_drop_out_of_wnd;
    return (kind == SEG_SYNACK || kind == SEG_RST) && answers ? 0 : COUNTER_tcp_drop_out_of_wnd;
}

enum rst_verdict { RST_VERIFIED, RST_UNVERIFIED, RST_OUTSIDE };

static enum rst_verdict judge_rst(const struct engine *e, const struct session *s, enum direction d, uint32_t seq)
{
    const struct tcp_window *mine = &s->window[d], *other = &s->window[!d];
    uint32_t expected = other->max_ack ? other->max_ack : mine->end;
    enum tcp_state state = is_unverified(s->tcp_state) ? s->before_rst : s->tcp_state;
    bool sent_fin = state == (d == C2S ? HC : HR) || state == TW;
    if (is_bypassed(e, s) || s->tcp_state <= TCP_STATE_INIT || seq == expected || seq == mine->end)
        return RST_VERIFIED;
    if (sent_fin && seq == mine->end - 1) /* a closed socket answers what was sent before its FIN came */
        return RST_VERIFIED;
    if (!both_syns(s))
        return RST_UNVERIFIED;
    return before(seq, expected) || before(mine->max_end, seq) ? RST_OUTSIDE : RST_UNVERIFIED;
}

static enum end_reason rst_reason(enum direction d)
{
    return d == C2S ? END_REASON_tcp_rst_from_client : END_REASON_tcp_rst_from_server;
}

static uint32_t follow_rst(struct engine *e, struct session *s, enum direction d, const struct packet *p, bool *restart)
{
    enum rst_verdict verdict = judge_rst(e, s, d, p->tcp_seq);
    if (verdict == RST_OUTSIDE)
        return COUNTER_tcp_drop_out_of_wnd;
    if (verdict == RST_VERIFIED || s->tcp_state == TW) {
        *restart = s->tcp_state != TW && !(is_closing(s->tcp_state) && has_tcpwait(&e->config));
        s->tcp_state = TW;
    } else {
        count(e, COUNTER_tcp_rst_unverified);
        if (is_closing(s->tcp_state) && has_tcpwait(&e->config)) {
            *restart = false;
            return 0;
        }
        *restart = !is_unverified(s->tcp_state);
        if (*restart)
            s->before_rst = s->tcp_state;
        s->tcp_state = d == C2S ? UC : UR;
    }
    session_note_end(s, rst_reason(d));
    return 0;
}

/* Moves on by a segment that fits and is no RST; whether the timer starts again. After a RST that could not be
 * verified the state before it moves on unseen: the side that sent the RST takes it back by going on. */
static bool follow(const struct engine *e, struct session *s, enum direction d, enum segment kind)
{
    enum tcp_state old = s->tcp_state, state = transition[is_unverified(old) ? s->before_rst : old][d][kind];
    if (old == (d == C2S ? UC : UR)) {
        s->end_reason = END_REASON_unknown;
    } else if (is_unverified(old) && state != TW) {
        s->before_rst = (uint8_t)state;
        return false;
    }
    s->tcp_state = state;
    if (is_closing(state))
        session_note_end(s, END_REASON_tcp_fin);
    return old != TW && !(is_closing(old) && has_tcpwait(&e->config));
}

/* Out of the way of the many, so that those need few registers. */
static __attribute__((noinline)) uint32_t follow_any(struct engine *e, struct session *s, enum direction d,
                                                     const struct packet *p, bool *restart)
{
    enum segment kind = kind_of(p->tcp_flags);
    enum tcp_state old = s->tcp_state;
    struct span g = span_of(s, d, p);
    uint32_t reason = 0;
    if (old == TCP_STATE_INIT && s->seen & TCP_SEEN_SYN_C2S && (reason = refuse_opening(e, s, d, kind, &g)))
        return reason;
    if (kind == SEG_RST)
        return follow_rst(e, s, d, p, restart);
    if (kind == SEG_SYN && old > TCP_STATE_HANDSHAKE) {
        *restart = false; /* the other end answers with an ACK, and that with a RST (RFC 5961 4): then it is over */
        return 0;
    }
    if (is_enforced(e, s) && old > TCP_STATE_INIT && !fits(e, s, d, &g))
        return COUNTER_tcp_drop_out_of_wnd;
    if (is_bypassed(e, s) && both_syns(s) && !fits(e, s, d, &g))
        count(e, COUNTER_tcp_out_of_wnd_pass);
    if (old == TCP_STATE_INIT && d == S2C && kind == SEG_ACK) { /* a challenge: what it expects, the RST will have */
        s->window[S2C].max_ack = g.ack;
        *restart = false;
        return 0;
    }
    bool is_first_answer = p->tcp_flags & TCP_SYN && old <= TCP_STATE_INIT;
    if (!(s->seen & (d == C2S ? TCP_SEEN_C2S : TCP_SEEN_S2C)) || is_first_answer)
        begin_window(s, d, p, &g);
    move_window(s, d, &g);
    *restart = follow(e, s, d, kind);
    return 0;
}

uint32_t tcp_segment(struct engine *e, struct session *s, enum direction d, const struct packet *p, bool *restart)
{
    bool is_plain = !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
    if (s->tcp_state != ES || !is_plain || !is_enforced(e, s))
        return follow_any(e, s, d, p, restart);
    struct span g = span_of(s, d, p); /* data and acknowledgements of an established connection: nearly every segment */
    if (!fits(e, s, d, &g))
        return COUNTER_tcp_drop_out_of_wnd;
    move_window(s, d, &g);
    *restart = true;
    return 0;
}

uint32_t tcp_host_segment(struct session *s, const struct packet *p, bool *restart)
{
    static const uint8_t next[SEG_COUNT] = {
        [SEG_SYN] = HS, [SEG_SYNACK] = HS, [SEG_ACK] = ES, [SEG_FIN] = TW, [SEG_RST] = TW};
    enum segment kind = kind_of(p->tcp_flags);
    *restart = s->tcp_state != TW;
    if (kind == SEG_RST)
        session_note_end(s, END_REASON_tcp_rst_from_client);
    else if (kind == SEG_FIN)
        session_note_end(s, END_REASON_tcp_fin);
    if (s->tcp_state != TW && (kind != SEG_SYN || s->tcp_state <= HS))
        s->tcp_state = next[kind];
    return 0;
}

int engine_tcp_limits(struct engine *e, uint32_t id, struct tcp_limits out[2])
{
    engine_enter(e);
    bool found = id && id <= e->fresh && e->sessions[id].state == SESSION_ACTIVE &&
                 e->sessions[id].key[C2S].proto == PROTO_TCP;
    for (enum direction d = C2S; found && d <= S2C; d++)
        out[d] = limits_of(e, &e->sessions[id], d);
    engine_leave(e);
    return found ? 0 : -ENOENT;
}
