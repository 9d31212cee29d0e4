/* icmp_error.c - the ICMP and ICMPv6 errors a router owes a sender (RFC 792, RFC 1812 4.3, RFC 4443). */
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "state.h"

enum { ERRORS_PER_S = 1000, ICMP_HEADER = 8, LONGEST_V4 = 576, LONGEST_V6 = 1280 };

static const struct {
    uint8_t type[2], code[2]; /* of ICMP, of ICMPv6 */
} errors[] = {
    [ICMP_TIME_EXCEEDED] = {{11, 3}, {0, 0}},
    [ICMP_TOO_BIG] = {{3, 2}, {4, 0}},
    [ICMP_PROHIBITED] = {{3, 1}, {13, 1}},
};

static bool is_allowed(struct engine *e, struct allowance *allowance, uint32_t per_s)
{
    if (e->now_ns - allowance->since_ns >= 1000000000) {
        allowance->since_ns = e->now_ns;
        allowance->used = 0;
    }
    if (allowance->used >= per_s) {
        count(e, COUNTER_flow_icmp_err_limited);
        return false;
    }
    allowance->used++;
    return true;
}

/* No error about an error, nor to or about what is not one host's (RFC 1122 3.2.2, RFC 4443 2.4). */
static bool is_fitting(const struct packet *p, enum icmp_error error)
{
    bool is_v4 = p->key.family == 4, is_multicast = is_v4 ? p->key.dst[12] >= 224 : p->key.dst[0] == 0xff;
    if (p->icmp_kind != ICMP_NONE && p->icmp_kind != ICMP_REQUEST && p->icmp_kind != ICMP_REPLY)
        return false;
    return !is_multicast || (!is_v4 && error == ICMP_TOO_BIG);
}

static void write_v4(uint8_t *ip, uint32_t len, const uint8_t *from, const uint8_t *to)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    ip[1] = 0xc0; /* internetwork control (RFC 1812 4.3.2.5) */
    put16(ip + 2, len);
    put16(ip + 6, 0x4000); /* DF: nothing to fragment, so no identification either (RFC 6864) */
    ip[8] = 64;
    ip[9] = PROTO_ICMP;
    memcpy(ip + 12, from + 12, 4);
    memcpy(ip + 16, to + 12, 4);
    uint16_t sum = checksum_finish(checksum_add(0, ip, 20));
    memcpy(ip + 10, &sum, 2);
}

static void write_v6(uint8_t *ip, uint32_t len, const uint8_t *from, const uint8_t *to)
{
    memset(ip, 0, 40);
    ip[0] = 0x60;
    put16(ip + 4, len - 40);
    ip[6] = PROTO_ICMPV6;
    ip[7] = 64;
    memcpy(ip + 8, from, 16);
    memcpy(ip + 24, to, 16);
}

void icmp_error_emit(struct engine *e, const struct packet *p, uint16_t port, enum icmp_error error, uint32_t mtu)
{
    static const uint8_t none[16];
    bool is_v4 = p->key.family == 4;
    const uint8_t *from = e->config.ports[port].address[!is_v4];
    bool is_unreachable = error == ICMP_PROHIBITED;
    if (error != ICMP_PROHIBITED &&
        checks_suppress(e, port, error == ICMP_TIME_EXCEEDED ? PROTECT_suppress_time_exceeded : PROTECT_suppress_need_frag))
        return;
    if (!memcmp(from, none, 16) || !is_fitting(p, error) ||
        !is_allowed(e, is_unreachable ? &e->unreachables : &e->errors,
                    is_unreachable ? e->config.icmp_unreachable_per_s : ERRORS_PER_S))
        return;
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail);
        return;
    }
    uint32_t header = is_v4 ? 20 : 40, room = (is_v4 ? LONGEST_V4 : LONGEST_V6) - header - ICMP_HEADER;
    uint32_t quoted = p->len < room ? p->len : room, len = header + ICMP_HEADER + quoted;
    uint8_t *ip = h->packet.data, *icmp = ip + header;
    if (p->unfinished)
        packet_complete_checksum(p); /* what is quoted is what the network would have seen */
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = errors[error].type[!is_v4];
    icmp[1] = errors[error].code[!is_v4];
    put16(icmp + 6, mtu);
    memcpy(icmp + ICMP_HEADER, p->data, quoted);
    (is_v4 ? write_v4 : write_v6)(ip, len, from, p->key.src);
    uint64_t sum = is_v4 ? 0 : checksum_add_pseudo(0, 6, ip + 8, ip + 24, PROTO_ICMPV6, len - header);
    uint16_t checksum = checksum_finish(checksum_add(sum, icmp, len - header));
    memcpy(icmp + 2, &checksum, 2);
    count(e, COUNTER_flow_icmp_err_sent);
    verdict_emit(e, h, len, port, 0, p->mac);
}
