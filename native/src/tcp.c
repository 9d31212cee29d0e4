/*
 * tcp.c - TCP connection tracking: what a segment does to a session.
 *
 * Rows are the state, columns the direction and kind of the segment. Timers belong to states, not to
 * segments (fact sheet 1.5, 2.1). A session that began without a SYN (tcp-reject-non-syn no) enters by
 * the row NONE.
 */
#include "state.h"

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

#define NO TCP_STATE_NONE
#define IN TCP_STATE_INIT
#define HS TCP_STATE_HANDSHAKE
#define ES TCP_STATE_ESTABLISHED
#define HC TCP_STATE_HALF_CLOSED_C2S
#define HR TCP_STATE_HALF_CLOSED_S2C
#define TW TCP_STATE_TIME_WAIT

/* clang-format off */
static const uint8_t transition[TCP_STATE_COUNT][2][SEG_COUNT] = {
    /*                                  SYN  SYNACK ACK FIN RST */
    [TCP_STATE_NONE] = {            { IN, HS, ES, HC, TW },   /* first packet of the session */
                                    { NO, NO, NO, NO, NO } }, /* cannot be: the first packet is c2s */
    [TCP_STATE_INIT] = {            { IN, IN, IN, HC, TW },   /* retransmitted SYN, stray ACK */
                                    { HS, HS, IN, HR, TW } }, /* SYN: simultaneous open; ACK: answer to an old SYN */
    [TCP_STATE_HANDSHAKE] = {       { HS, HS, ES, HC, TW },
                                    { HS, HS, HS, HR, TW } }, /* server data before the last ACK */
    [TCP_STATE_ESTABLISHED] = {     { ES, ES, ES, HC, TW },
                                    { ES, ES, ES, HR, TW } },
    [TCP_STATE_HALF_CLOSED_C2S] = { { HC, HC, HC, HC, TW },
                                    { HC, HC, HC, TW, TW } },
    [TCP_STATE_HALF_CLOSED_S2C] = { { HR, HR, HR, TW, TW },
                                    { HR, HR, HR, HR, TW } },
    [TCP_STATE_TIME_WAIT] = {       { TW, TW, TW, TW, TW },   /* a new SYN never gets here: it is tcp-reuse */
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
};

enum tcp_state tcp_next_state(enum tcp_state state, enum direction direction, uint8_t flags)
{
    return transition[state][direction][kind_of(flags)];
}

enum timer tcp_timer(enum tcp_state state)
{
    return timers[state];
}
