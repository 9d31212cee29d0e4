/* reset.c - RST segments the firewall sends in the name of the host a segment was meant for. */
#include <arpa/inet.h>
#include <string.h>

#include "checksum.h"
#include "state.h"

enum { TCP_HEADER = 20 };

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

static uint32_t write_ip(uint8_t *ip, const struct flow_key *as)
{
    if (as->family == 4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        put16(ip + 2, 20 + TCP_HEADER);
        put16(ip + 6, 0x4000); /* DF: nothing to fragment, so no identification either (RFC 6864) */
        ip[8] = 64;
        ip[9] = PROTO_TCP;
        memcpy(ip + 12, as->src + 12, 4);
        memcpy(ip + 16, as->dst + 12, 4);
        uint16_t sum = checksum_finish(checksum_add(0, ip, 20));
        memcpy(ip + 10, &sum, 2);
        return 20;
    }
    memset(ip, 0, 40);
    ip[0] = 0x60;
    put16(ip + 4, TCP_HEADER);
    ip[6] = PROTO_TCP;
    ip[7] = 64;
    memcpy(ip + 8, as->src, 16);
    memcpy(ip + 24, as->dst, 16);
    return 40;
}

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
    uint8_t *ip = h->packet.data, *tcp = ip + write_ip(ip, as);
    uint32_t len = (uint32_t)(tcp - ip) + TCP_HEADER, skip = as->family == 4 ? 12 : 0;
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, as->sport);
    put16(tcp + 2, as->dport);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = flags;
    uint64_t sum = checksum_add_pseudo(0, as->family, as->src + skip, as->dst + skip, PROTO_TCP, TCP_HEADER);
    uint16_t checksum = checksum_finish(checksum_add(sum, tcp, TCP_HEADER));
    memcpy(tcp + 16, &checksum, 2);
    count(e, COUNTER_flow_action_close);
    verdict_emit(e, h, len, port, 0, mac);
}

/* The key the other way round. */
static struct flow_key answer_to(const struct flow_key *key)
{
    struct flow_key answer = *key;
    memcpy(answer.src, key->dst, 16);
    memcpy(answer.dst, key->src, 16);
    answer.sport = key->dport;
    answer.dport = key->sport;
    return answer;
}

void reset_sender(struct engine *e, const struct packet *p, uint16_t port)
{
    if (p->key.proto != PROTO_TCP || p->tcp_flags & TCP_RST)
        return;
    struct flow_key as = answer_to(&p->key);
    uint32_t taken = p->len - p->payload_offset + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
    if (p->tcp_flags & TCP_ACK)
        emit(e, &as, TCP_RST, p->tcp_ack, 0, port, p->mac);
    else
        emit(e, &as, TCP_RST | TCP_ACK, 0, p->tcp_seq + taken, port, p->mac);
}

void reset_receiver(struct engine *e, const struct packet *p, uint16_t port)
{
    static const uint8_t unknown[6];
    if (p->key.proto == PROTO_TCP && !(p->tcp_flags & (TCP_SYN | TCP_RST)) && !p->egress)
        emit(e, &p->key, TCP_RST, p->tcp_seq, 0, port, unknown);
}

void reset_ends(struct engine *e, const struct session *s, bool client, bool server)
{
    static const uint8_t unknown[6];
    const bool told[2] = {client, server}; /* who sends flow d is told */
    if (s->key[C2S].proto != PROTO_TCP || s->tcp_state == TCP_STATE_TIME_WAIT)
        return;
    for (enum direction d = C2S; d <= S2C; d++) {
        struct flow_key as = answer_to(&s->key[d]);
        if (told[d] && port_takes(e, s->port[d]) && is_routed(e, s->port[d]))
            emit(e, &as, TCP_RST | TCP_ACK, s->window[!d].end, s->window[d].end, s->port[d], unknown);
    }
}
