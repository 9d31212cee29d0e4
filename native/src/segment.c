/* segment.c - TCP segments of the engine's own. */
#include "segment.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "tcp_options.h"

static uint32_t write_ip(uint8_t *ip, const struct segment *segment, uint32_t l4_len)
{
    const struct flow_key *as = segment->as;
    if (as->family == 4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        ip[1] = segment->traffic_class;
        put16(ip + 2, 20 + l4_len);
        put16(ip + 6, 0x4000); /* DF: nothing to fragment, so no identification either (RFC 6864) */
        ip[8] = segment->ttl;
        ip[9] = PROTO_TCP;
        memcpy(ip + 12, as->src + 12, 4);
        memcpy(ip + 16, as->dst + 12, 4);
        uint16_t sum = checksum_finish(checksum_add(0, ip, 20));
        memcpy(ip + 10, &sum, 2);
        return 20;
    }
    memset(ip, 0, 40);
    put16(ip, 0x6000u | segment->traffic_class << 4);
    put16(ip + 4, l4_len);
    ip[6] = PROTO_TCP;
    ip[7] = segment->ttl;
    memcpy(ip + 8, as->src, 16);
    memcpy(ip + 24, as->dst, 16);
    return 40;
}

uint32_t segment_write(uint8_t *ip, const struct segment *segment)
{
    const struct flow_key *as = segment->as;
    uint32_t len = TCP_HEADER + segment->options_len, skip = as->family == 4 ? 12 : 0;
    uint8_t *tcp = ip + write_ip(ip, segment, len);
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, as->sport);
    put16(tcp + 2, as->dport);
    put32(tcp + 4, segment->seq);
    put32(tcp + 8, segment->ack);
    tcp[12] = (uint8_t)(len / 4 << 4);
    tcp[13] = segment->flags;
    put16(tcp + 14, segment->window);
    if (segment->options_len)
        memcpy(tcp + TCP_HEADER, segment->options, segment->options_len);
    uint64_t sum = checksum_add_pseudo(0, as->family, as->src + skip, as->dst + skip, PROTO_TCP, len);
    uint16_t checksum = checksum_finish(checksum_add(sum, tcp, len));
    memcpy(tcp + 16, &checksum, 2);
    return (uint32_t)(tcp - ip) + len;
}

struct flow_key segment_answer(const struct flow_key *key)
{
    struct flow_key answer = *key;
    memcpy(answer.src, key->dst, 16);
    memcpy(answer.dst, key->src, 16);
    answer.sport = key->dport;
    answer.dport = key->sport;
    return answer;
}
