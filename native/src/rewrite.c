/*
 * rewrite.c - what becomes of a packet's bytes on their way through: addresses, ports, DSCP, MSS.
 *
 * A session's two keys say everything: what comes in as one flow leaves as the other flow the other way round. A
 * checksum that is complete is adjusted by what changed (RFC 1624); one the kernel left unfinished is computed in full,
 * for a packet that is sent back changed is not touched any more.
 */
#include <arpa/inet.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "state.h"
#include "tcp_options.h"

/* Puts other bytes in place, an even number of them; the difference that makes to a checksum. */
static uint64_t replace(uint8_t *at, const void *with, uint32_t len)
{
    uint64_t difference = 0;
    for (uint32_t i = 0; i < len; i += 2) {
        uint16_t old, new;
        memcpy(&old, at + i, 2);
        memcpy(&new, (const uint8_t *)with + i, 2);
        difference += (uint32_t)(uint16_t)~old + new;
    }
    memcpy(at, with, len);
    return difference;
}

static uint64_t replace16(uint8_t *at, uint16_t with)
{
    uint16_t ordered = htons(with);
    return replace(at, &ordered, sizeof ordered);
}

/* Replaces the addresses of the IP header at ip. */
static uint64_t replace_addresses(uint8_t *ip, const uint8_t src[16], const uint8_t dst[16], uint8_t family)
{
    if (family == 6)
        return replace(ip + 8, src, 16) + replace(ip + 24, dst, 16);
    uint64_t difference = replace(ip + 12, src + 12, 4) + replace(ip + 16, dst + 12, 4);
    checksum_adjust(ip + 10, difference);
    return difference;
}

static bool is_icmp_request(uint8_t proto, const uint8_t *l4)
{
    return proto == PROTO_ICMP ? l4[0] == 8 || l4[0] == 13 || l4[0] == 15 || l4[0] == 17 : l4[0] == 128;
}

/* Replaces what stands for ports in the layer 4 header at l4. */
static uint64_t replace_ports(uint8_t *l4, uint8_t proto, uint16_t sport, uint16_t dport)
{
    if (proto == PROTO_TCP || proto == PROTO_UDP)
        return replace16(l4, sport) + replace16(l4 + 2, dport);
    if (proto == PROTO_ICMP || proto == PROTO_ICMPV6) /* the identifier; of a reply the ports are swapped */
        return replace16(l4 + 4, is_icmp_request(proto, l4) ? sport : dport);
    return 0;
}

/* Lowers the MSS option of a SYN. */
static uint64_t lower_mss(struct engine *e, const struct packet *p, uint16_t largest)
{
    const uint8_t lower[2] = {(uint8_t)(largest >> 8), (uint8_t)largest};
    uint8_t *option = tcp_option_find(p, TCP_OPTION_MSS, 4);
    if (!option || be16(option + 2) <= largest)
        return 0;
    count(e, COUNTER_tcp_mss_adjusted);
    return checksum_replace(p->data + p->l4_offset, (uint32_t)(option + 2 - p->data - p->l4_offset), lower, 2);
}

static void set_dscp(const struct packet *p, uint8_t dscp)
{
    uint8_t *ip = p->data;
    if (p->key.family == 4) {
        uint8_t first[2] = {ip[0], (uint8_t)(dscp << 2 | (ip[1] & 3))};
        checksum_adjust(ip + 10, replace(ip, first, 2));
    } else {
        ip[0] = (uint8_t)(0x60 | dscp >> 2);
        ip[1] = (uint8_t)(dscp << 6 | (ip[1] & 0x3f));
    }
}

bool rewrite_packet(struct engine *e, const struct packet *p, const struct flow_key *to, uint8_t dscp, uint16_t largest_mss)
{
    uint8_t *l4 = p->data + p->l4_offset;
    uint64_t difference = 0;
    bool marks = dscp && dscp - 1 != p->dscp;
    if (to) {
        uint64_t of_addresses = replace_addresses(p->data, to->dst, to->src, p->key.family);
        difference = p->key.proto == PROTO_ICMP ? 0 : of_addresses; /* no pseudo header */
        difference += replace_ports(l4, p->key.proto, to->dport, to->sport);
    }
    if (largest_mss && p->tcp_flags & TCP_SYN)
        difference += lower_mss(e, p, largest_mss);
    if (marks)
        set_dscp(p, (uint8_t)(dscp - 1));
    if (!to && !difference && !marks)
        return false;
    uint32_t at = packet_checksum_at(p);
    if (p->unfinished || p->sum_src || p->sum_dst) { /* nothing to adjust, or by other addresses than those replaced */
        packet_complete_checksum(p);
    } else if (at && difference) {
        checksum_adjust(l4 + at, difference);
        if (p->key.proto == PROTO_UDP && !l4[at] && !l4[at + 1]) /* zero would say that there is none */
            l4[at] = l4[at + 1] = 0xff;
    }
    return true;
}

/* The quoted packet is one of the flow `to` as it left on this side: reversed, it is of the flow `own`. */
static void rewrite_quoted(const struct packet *p, const struct flow_key *to)
{
    uint8_t *ip = p->data + p->l4_offset + 8, *l4 = p->data + p->quoted_l4_offset, proto = to->proto;
    uint32_t quoted = p->len - p->quoted_l4_offset;
    uint32_t at = proto == PROTO_TCP ? 16 : proto == PROTO_UDP ? 6 : 2;
    bool has_checksum = quoted >= at + 2 && (proto == PROTO_TCP || proto == PROTO_ICMP || proto == PROTO_ICMPV6 ||
                                             (proto == PROTO_UDP && (l4[6] || l4[7])));
    uint64_t difference = replace_addresses(ip, to->src, to->dst, p->key.family);
    if (proto == PROTO_ICMP)
        difference = 0;
    difference += replace_ports(l4, proto, to->sport, to->dport);
    if (has_checksum)
        checksum_adjust(l4 + at, difference);
}

bool rewrite_icmp_error(const struct packet *p, const struct flow_key *own, const struct flow_key *to)
{
    bool hides_source = memcmp(own->src, to->dst, 16), moves_target = memcmp(own->dst, to->src, 16);
    if (!hides_source && !moves_target && own->sport == to->dport && own->dport == to->sport)
        return false;
    /* whoever sent it stands behind the translated address, too, and is not to be seen from here */
    replace_addresses(p->data, hides_source ? to->dst : p->key.src, to->src, p->key.family);
    rewrite_quoted(p, to);
    packet_complete_checksum(p);
    return true;
}
