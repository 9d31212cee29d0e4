/* TCP connection tracking against the rules said once more, as rules and not as a table. */
#include "state.h"

#include "check.h"

enum { FLAGS = 256 };

static enum tcp_state half_closed(enum direction by)
{
    return by == C2S ? TCP_STATE_HALF_CLOSED_C2S : TCP_STATE_HALF_CLOSED_S2C;
}

/* The first packet of a session goes c2s, so NONE knows that direction alone. */
static enum tcp_state expected(enum tcp_state state, enum direction direction, uint8_t flags)
{
    bool syn = flags & TCP_SYN, ack = flags & TCP_ACK;
    if (state == TCP_STATE_NONE && direction == S2C)
        return TCP_STATE_NONE;
    if (state == TCP_STATE_TIME_WAIT || flags & TCP_RST)
        return TCP_STATE_TIME_WAIT; /* over for good, whoever says so */
    if (flags & TCP_FIN)
        return state == half_closed(!direction) ? TCP_STATE_TIME_WAIT : half_closed(direction);
    if (state == TCP_STATE_NONE)
        return !syn ? TCP_STATE_ESTABLISHED : ack ? TCP_STATE_HANDSHAKE : TCP_STATE_INIT;
    if (state == TCP_STATE_INIT && direction == S2C && syn)
        return TCP_STATE_HANDSHAKE; /* the server's half: SYN-ACK, or a SYN of its own */
    if (state == TCP_STATE_HANDSHAKE && direction == C2S && !syn)
        return TCP_STATE_ESTABLISHED;
    return state;
}

static void every_state_direction_and_flag(void)
{
    for (enum tcp_state state = TCP_STATE_NONE; state < TCP_STATE_COUNT; state++)
        for (enum direction direction = C2S; direction <= S2C; direction++)
            for (unsigned flags = 0; flags < FLAGS; flags++)
                CHECK(tcp_next_state(state, direction, (uint8_t)flags) == expected(state, direction, (uint8_t)flags));
}

static void timers(void)
{
    CHECK(tcp_timer(TCP_STATE_NONE) == TIMER_tcp_init);
    CHECK(tcp_timer(TCP_STATE_INIT) == TIMER_tcp_init);
    CHECK(tcp_timer(TCP_STATE_HANDSHAKE) == TIMER_tcp_handshake);
    CHECK(tcp_timer(TCP_STATE_ESTABLISHED) == TIMER_tcp);
    CHECK(tcp_timer(TCP_STATE_HALF_CLOSED_C2S) == TIMER_tcp_half_closed);
    CHECK(tcp_timer(TCP_STATE_HALF_CLOSED_S2C) == TIMER_tcp_half_closed);
    CHECK(tcp_timer(TCP_STATE_TIME_WAIT) == TIMER_tcp_time_wait);
}

int main(void)
{
    every_state_direction_and_flag();
    timers();
    return check_report();
}
