/* promises.h - what packet.h promises of every packet that parsed; tests and fuzz targets assert it. */
#ifndef SIXTUPLE_PROMISES_H
#define SIXTUPLE_PROMISES_H

#include "ip_options.h"
#include "packet.h"

static inline bool has_trait(const struct packet *p, uint64_t trait)
{
    return p->traits & trait;
}

static inline const char *trait_promise_broken(const struct packet *p)
{
    const uint64_t of_options = TRAIT(strict_source_routing) | TRAIT(loose_source_routing) | TRAIT(timestamp) |
                                TRAIT(record_route) | TRAIT(security) | TRAIT(stream_id) | TRAIT(unknown_option) |
                                TRAIT(malformed_option);
    const uint64_t of_icmp = TRAIT(icmp_ping_zero_id) | TRAIT(icmp_large) | TRAIT(icmp_error);
    const uint64_t of_routing = TRAIT(ip6_routing_0) | TRAIT(ip6_routing_1) | TRAIT(ip6_routing_3) |
                                TRAIT(ip6_routing_4_252) | TRAIT(ip6_routing_253) | TRAIT(ip6_routing_254) |
                                TRAIT(ip6_routing_255);
    const uint64_t of_icmpv6 = TRAIT(ip6_small_mtu) | TRAIT(ip6_unreachable) | TRAIT(ip6_too_big) |
                               TRAIT(ip6_time_exceeded) | TRAIT(ip6_param_problem) | TRAIT(ip6_redirect);
    const uint64_t of_v6 = of_routing | of_icmpv6 | TRAIT(ip6_v4_compatible) | TRAIT(ip6_anycast_source) |
                           TRAIT(ip6_needless_fragment) | TRAIT(ip6_reserved_field) | TRAIT(ip6_invalid_options) |
                           TRAIT(ip6_hop_by_hop) | TRAIT(ip6_routing) | TRAIT(ip6_destination_options);
    const uint64_t of_tcp = TRAIT(tcp_syn_data) | TRAIT(tcp_synack_data);
    bool is_v4 = p->key.family == 4, is_icmp = is_v4 && p->key.proto == PROTO_ICMP;
    bool is_syn = p->tcp_flags & TCP_SYN && p->len > p->payload_offset, is_ack = p->tcp_flags & TCP_ACK;
    if (p->traits & ~(of_options | of_icmp | of_v6 | of_tcp | TRAIT(ip_frag) | TRAIT(icmp_frag)))
        return "traits are what a packet shows by itself";
    if (p->traits & (is_v4 ? of_v6 : of_options | of_icmp | TRAIT(icmp_frag)))
        return "traits are of the packet's family";
    if (has_trait(p, of_options) && p->l4_offset == 20)
        return "options have a place in the header";
    if (has_trait(p, TRAIT(ip_frag)) != p->is_fragment || has_trait(p, TRAIT(icmp_frag)) != (p->is_fragment && is_icmp))
        return "fragments have the trait of fragments";
    if (has_trait(p, TRAIT(tcp_syn_data)) != (is_syn && !is_ack) || has_trait(p, TRAIT(tcp_synack_data)) != (is_syn && is_ack))
        return "a SYN with data is seen";
    if (p->icmp_kind == ICMP_NONE ? has_trait(p, of_icmp | of_icmpv6)
                                  : has_trait(p, TRAIT(icmp_large)) != (is_icmp && p->len > 1024))
        return "traits of ICMP are those of its messages";
    if (has_trait(p, of_routing) && !has_trait(p, TRAIT(ip6_routing)))
        return "a type of routing header is one of a routing header";
    if (has_trait(p, TRAIT(ip6_needless_fragment)) && p->is_fragment)
        return "a needless fragment header is on a whole packet";
    if (!is_v4 && p->l4_offset == 40 &&
        has_trait(p, of_routing | TRAIT(ip6_routing) | TRAIT(ip6_hop_by_hop) | TRAIT(ip6_destination_options) |
                         TRAIT(ip6_invalid_options) | TRAIT(ip6_needless_fragment)))
        return "traits of extension headers are of a packet that has them";
    return NULL;
}

static inline const char *fragment_promise_broken(const struct packet *p)
{
    uint32_t bytes = p->len - p->l4_offset;
    if (p->payload_offset != p->l4_offset || !bytes)
        return "a fragment has a piece of the payload";
    if (p->more_fragments ? bytes % 8 != 0 : !p->fragment_offset)
        return "a fragment has another one before or behind it";
    if (p->fragment_offset % 8 || p->fragment_offset + bytes > 65535)
        return "a fragment lies within a datagram";
    if (p->key.sport || p->key.dport || p->tcp_flags || p->icmp_kind != ICMP_NONE || p->icmp_type)
        return "layer 4 of a fragment is not looked at";
    if (p->key.family == 4)
        return p->fragment_header || p->fragment_next ? "IPv4 has no fragment header" : trait_promise_broken(p);
    if (p->fragment_header < 40 || p->fragment_header + 8 != p->l4_offset || p->data[p->fragment_header] != p->key.proto)
        return "the fragment header announces what is behind it";
    if (p->fragment_next >= p->fragment_header || p->data[p->fragment_next] != 44)
        return "the fragment header is announced before it";
    return trait_promise_broken(p);
}

/* The first broken promise as text, NULL where all are kept. data, len: what was given to the parser. */
static inline const char *promise_broken(const struct packet *p, const uint8_t *data, uint32_t len)
{
    uint32_t l4_header = p->key.proto == PROTO_TCP ? 20 : 8;
    bool icmp = p->key.proto == (p->key.family == 4 ? PROTO_ICMP : PROTO_ICMPV6);
    if (p->data < data || p->data > data + len || p->len > (uint32_t)(data + len - p->data))
        return "the IP packet lies within what was given";
    if (p->key.family != 4 && p->key.family != 6)
        return "the family is 4 or 6";
    if (p->data[0] >> 4 != p->key.family)
        return "the family is the packet's version";
    if (p->l4_offset < (p->key.family == 4 ? 20 : 40) || p->l4_offset > p->len)
        return "layer 4 begins after the IP header, within the packet";
    if (p->payload_offset < p->l4_offset || p->payload_offset > p->len)
        return "the payload begins after layer 4's header, within the packet";
    if (p->key.zone || p->about.zone)
        return "zones are the caller's";
    if (!p->ttl)
        return "a TTL of zero is refused";
    bool is_within = p->sum_src + 16u <= p->l4_offset && p->sum_dst + 16u <= p->l4_offset;
    if (p->key.family == 4 ? p->sum_src || p->sum_dst || p->is_sum_unknown : !is_within)
        return "the addresses of layer 4's checksum are in an extension header";
    if (p->is_tagged ? !p->tag || p->tag > 4094 : p->tag)
        return "a tag is one of 1 to 4094";
    if (p->is_fragment)
        return fragment_promise_broken(p);
    if (p->more_fragments || p->fragment_offset || p->fragment_id || p->fragment_header || p->fragment_next)
        return "what is no fragment has nothing of one";
    if ((p->key.proto == PROTO_TCP || p->key.proto == PROTO_UDP || icmp) && p->payload_offset < p->l4_offset + l4_header)
        return "the whole layer 4 header is there";
    if (p->key.proto == PROTO_TCP ? !p->tcp_flags || !p->key.sport || !p->key.dport : p->tcp_flags || p->tcp_seq)
        return "TCP fields are there for TCP alone";
    if (icmp ? p->icmp_kind == ICMP_NONE : p->icmp_kind != ICMP_NONE || p->icmp_type)
        return "ICMP fields are there for ICMP alone";
    if (p->icmp_kind == ICMP_ERROR ? p->about.family != p->key.family : p->about.family)
        return "an error is about a flow of its own family";
    if (p->icmp_kind == ICMP_ERROR && memcmp(p->about.dst, p->key.dst, 16))
        return "an error goes to where the flow it is about goes";
    return trait_promise_broken(p);
}

#endif
