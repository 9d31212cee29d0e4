/* reset.c - RST segments the firewall sends in the name of the host a segment was meant for. */
#include "segment.h"
#include "state.h"

/* Emits a RST of the flow `as`, by a port, to its neighbour `mac`. */
static void emit(struct engine *e, const struct flow_key *as, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t port,
                 const uint8_t *mac)
{
    struct held *h = e->config.ports[port].mode == PORT_TAP ? NULL : held_take(e);
    if (!h) {
        if (e->config.ports[port].mode != PORT_TAP)
            count(e, COUNTER_flow_emit_fail);
        return;
    }
    struct segment segment = {.as = as, .seq = seq, .ack = ack, .flags = flags, .ttl = 64};
    count(e, COUNTER_flow_action_close);
    verdict_emit(e, h, segment_write(h->packet.data, &segment), port, 0, mac);
}

void reset_sender(struct engine *e, const struct packet *p, uint16_t port)
{
    if (p->key.proto != PROTO_TCP || p->tcp_flags & TCP_RST)
        return;
    struct flow_key as = segment_answer(&p->key);
    uint32_t taken = p->len - p->payload_offset + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
    if (p->tcp_flags & TCP_ACK)
        emit(e, &as, TCP_RST, p->tcp_ack, 0, port, p->mac);
    else
        emit(e, &as, TCP_RST | TCP_ACK, 0, p->tcp_seq + taken, port, p->mac);
}

void reset_receiver(struct engine *e, const struct packet *p, uint16_t port)
{
    static const uint8_t unknown[6];
    if (p->key.proto == PROTO_TCP && !(p->tcp_flags & (TCP_SYN | TCP_RST)) && !p->egress && !p->cookie)
        emit(e, &p->key, TCP_RST, p->tcp_seq, 0, port, unknown);
}

void reset_ends(struct engine *e, const struct session *s, bool client, bool server)
{
    static const uint8_t unknown[6];
    const bool told[2] = {client, server}; /* who sends flow d is told */
    if (s->key[C2S].proto != PROTO_TCP || s->tcp_state == TCP_STATE_TIME_WAIT)
        return;
    for (enum direction d = C2S; d <= S2C; d++) {
        struct flow_key as = segment_answer(&s->key[d]);
        if (told[d] && port_takes(e, s->port[d]) && is_routed(e, s->port[d]))
            emit(e, &as, TCP_RST | TCP_ACK, d == C2S ? cookie_told(s, s->window[S2C].end) : s->window[C2S].end,
                 s->window[d].end, s->port[d], unknown);
    }
}
