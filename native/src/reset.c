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

static uint32_t write_ip(uint8_t *ip, const struct packet *p)
{
    if (p->key.family == 4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        put16(ip + 2, 20 + TCP_HEADER);
        put16(ip + 6, 0x4000); /* DF: nothing to fragment, so no identification either (RFC 6864) */
        ip[8] = 64;
        ip[9] = PROTO_TCP;
        memcpy(ip + 12, p->key.dst + 12, 4);
        memcpy(ip + 16, p->key.src + 12, 4);
        uint16_t sum = checksum_finish(checksum_add(0, ip, 20));
        memcpy(ip + 10, &sum, 2);
        return 20;
    }
    memset(ip, 0, 40);
    ip[0] = 0x60;
    put16(ip + 4, TCP_HEADER);
    ip[6] = PROTO_TCP;
    ip[7] = 64;
    memcpy(ip + 8, p->key.dst, 16);
    memcpy(ip + 24, p->key.src, 16);
    return 40;
}

void reset_sender(struct engine *e, const struct packet *p, uint16_t port)
{
    if (p->key.proto != PROTO_TCP || p->tcp_flags & TCP_RST)
        return;
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail);
        return;
    }
    uint8_t *ip = h->packet.data, *tcp = ip + write_ip(ip, p);
    uint32_t len = (uint32_t)(tcp - ip) + TCP_HEADER, skip = p->key.family == 4 ? 12 : 0;
    bool has_ack = p->tcp_flags & TCP_ACK;
    uint32_t taken = p->len - p->payload_offset + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, p->key.dport);
    put16(tcp + 2, p->key.sport);
    put32(tcp + 4, has_ack ? p->tcp_ack : 0);
    put32(tcp + 8, has_ack ? 0 : p->tcp_seq + taken);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = has_ack ? TCP_RST : TCP_RST | TCP_ACK;
    uint64_t sum = checksum_add_pseudo(0, p->key.family, p->key.dst + skip, p->key.src + skip, PROTO_TCP, TCP_HEADER);
    uint16_t checksum = checksum_finish(checksum_add(sum, tcp, TCP_HEADER));
    memcpy(tcp + 16, &checksum, 2);

    e->verdicts[e->verdict_count++] = (struct verdict){
        .action = VERDICT_EMIT, .data = ip, .len = len, .port = port, .changed = true};
    count(e, COUNTER_flow_action_close);
    held_finish(e, h);
}
