/*
 * packet.c - the one parser: link layer, IPv4, IPv6 with extension headers, TCP, UDP, ICMP, ICMPv6.
 *
 * A parse either gives a packet every field of which may be used without another length check, or the
 * one reason why not. Nothing is guessed: what cannot be verified is refused. A fragment is parsed as
 * far as it is one; what it carries is looked at when the datagram is whole (fragment.c).
 */
#include "packet.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "ip_options.h"

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_QINQ = 0x88a8,
    ETHERTYPE_QINQ_OLD = 0x9100,
    TAG_BYTES = 4, /* of 802.1Q: what the tag says, and the type of what follows */
    TAG_VID = 0x0fff, /* its last value is reserved */
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    L4_MINIMUM = 8, /* of UDP, ICMP, ICMPv6, an extension header, and of what an ICMP error quotes */
    AH_MINIMUM = 12, /* RFC 4302 2 */
    MAX_EXTENSION_HEADERS = 8, /* RFC 8200 names six that may follow each other; each once, one of them twice */
    LARGEST_ICMP = 1024, /* what is longer is large (fact sheet 4.4) */
};

/* The extension headers of RFC 7045 4, but ESP, behind which nothing can be read, and the two for experiments, of which
 * nobody knows how long they are. */
enum {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_AH = 51,
    NEXT_NONE = 59,
    NEXT_DESTINATION = 60,
    NEXT_MOBILITY = 135,
    NEXT_HIP = 139,
    NEXT_SHIM6 = 140,
};

enum { IPV4_DONT_FRAGMENT = 0x4000, IPV4_MORE_FRAGMENTS = 0x2000, IPV4_OFFSET = 0x1fff };

enum { IPV6_OFFSET = 0xfff8, IPV6_MORE_FRAGMENTS = 1 };

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static void map_v4(uint8_t out[16], const uint8_t *address)
{
    memcpy(out, v4_mapped, 12);
    memcpy(out + 12, address, 4);
}

/* ---- link layer: find the IP header ------------------------------------------------------------- */

/* `family` becomes what the link layer claims, 0 where it claims nothing; `tag` the VLAN identifier, 0 for a frame
 * without one or with a priority alone (IEEE 802.1Q 9.6). */
static uint32_t skip_link(enum link_type link, uint8_t **data, uint32_t *len, int *family, uint16_t *tag)
{
    static const struct {
        uint32_t header, ethertype;
    } links[] = {
        [LINK_ETHERNET] = {14, 12},
        [LINK_COOKED] = {16, 14},
        [LINK_COOKED2] = {20, 0},
    };
    *family = 0;
    *tag = 0;
    if (link == LINK_IP)
        return 0;
    if (link == LINK_NULL) {
        /* four bytes of the capturing machine's AF_ value, in its byte order: the version nibble says it better */
        if (*len < 4)
            return COUNTER_flow_parse_l2_hdr;
        *data += 4, *len -= 4;
        return 0;
    }
    if (link > LINK_NULL || *len < links[link].header)
        return COUNTER_flow_parse_l2_hdr;
    uint16_t ethertype = be16(*data + links[link].ethertype);
    *data += links[link].header, *len -= links[link].header;
    if (ethertype == ETHERTYPE_VLAN) {
        if (*len < TAG_BYTES)
            return COUNTER_flow_parse_l2_hdr;
        *tag = be16(*data) & TAG_VID;
        ethertype = be16(*data + 2);
        *data += TAG_BYTES, *len -= TAG_BYTES;
    }
    if (*tag == TAG_VID || ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ || ethertype == ETHERTYPE_QINQ_OLD)
        return COUNTER_flow_rcv_dot1q_tag_err; /* no interface has two tags */
    if (ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6)
        return COUNTER_flow_parse_ethertype;
    *family = ethertype == ETHERTYPE_IPV4 ? 4 : 6;
    return 0;
}

/* ---- layer 3 ------------------------------------------------------------------------------------ */

/* A piece of a datagram is refused where no datagram could have it: empty, or not the last and of a length the next
 * one's offset cannot continue. */
static uint32_t refuse_fragment(uint32_t bytes, bool more)
{
    return !bytes || (more && bytes % 8) ? COUNTER_flow_ipfrag_drop : 0;
}

static bool is_martian_v4(const uint8_t *src, const uint8_t *dst)
{
    /* the minimal set (fact sheet 4.1): what can never be a host's address on a wire */
    return src[0] == 0 || src[0] == 127 || src[0] >= 224 || dst[0] == 0 || dst[0] == 127;
}

enum v6_kind { V6_ORDINARY, V6_UNSPECIFIED, V6_LOOPBACK, V6_MAPPED, V6_COMPATIBLE };

static enum v6_kind kind_of_v6(const uint8_t *address)
{
    uint64_t first;
    memcpy(&first, address, sizeof first);
    uint32_t middle = be32(address + 8), last = be32(address + 12);
    if (first || (middle && middle != 0xffff))
        return V6_ORDINARY;
    if (middle)
        return V6_MAPPED;
    return last > 1 ? V6_COMPATIBLE : last ? V6_LOOPBACK : V6_UNSPECIFIED;
}

static bool is_martian_v6(enum v6_kind src, enum v6_kind dst)
{
    return src == V6_LOOPBACK || src == V6_MAPPED || dst == V6_LOOPBACK || dst == V6_MAPPED || dst == V6_UNSPECIFIED;
}

/* An interface identifier reserved for anycast (RFC 2526 2). The anycast address of a subnet's routers is not told from
 * a host's: that takes the prefixes of whoever sent the packet. */
static bool is_reserved_anycast(const uint8_t *address)
{
    return address[15] & 0x80 && be32(address + 8) == 0xfdffffff && (be32(address + 12) | 0x7f) == 0xffffffff;
}

static uint32_t parse_ipv4(struct packet *p, uint32_t available, uint32_t how)
{
    const uint8_t *ip = p->data;
    if (available < IPV4_HEADER)
        return COUNTER_flow_parse_ip_hdr;
    uint32_t header = (ip[0] & 15) * 4u, total = be16(ip + 2), fragment = be16(ip + 6);
    if (header < IPV4_HEADER || header > available || total < header)
        return COUNTER_flow_parse_ip_hdr;
    if (checksum_finish(checksum_add(0, ip, header)))
        return COUNTER_flow_parse_ip_cksm;
    if (!ip[9])
        return COUNTER_flow_parse_ip_proto;
    if (!ip[8])
        return COUNTER_flow_parse_ip_ttl;
    if (!(how & PARSE_OWN) && !memcmp(ip + 12, ip + 16, 4))
        return COUNTER_flow_parse_land;
    if ((fragment & IPV4_OFFSET) * 8u + total > 65535)
        return COUNTER_flow_parse_ping_of_death;
    if (is_martian_v4(ip + 12, ip + 16))
        return COUNTER_flow_parse_martian;
    if (total > available)
        return COUNTER_flow_parse_ip_len;
    if (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET)) {
        p->is_fragment = true;
        p->more_fragments = fragment & IPV4_MORE_FRAGMENTS;
        p->fragment_offset = (uint16_t)((fragment & IPV4_OFFSET) * 8);
        p->fragment_id = be16(ip + 4);
        p->traits |= TRAIT(ip_frag) | (ip[9] == PROTO_ICMP ? TRAIT(icmp_frag) : 0);
        if (refuse_fragment(total - header, p->more_fragments))
            return COUNTER_flow_ipfrag_drop;
    }
    if (header > IPV4_HEADER) {
        uint32_t final = ipv4_final_address(ip + IPV4_HEADER, header - IPV4_HEADER);
        p->traits |= ipv4_option_traits(ip + IPV4_HEADER, header - IPV4_HEADER);
        p->sum_dst = (uint16_t)(final ? IPV4_HEADER + final : 0);
    }
    p->len = total;
    p->l4_offset = (uint16_t)header;
    p->ttl = ip[8];
    p->dscp = ip[1] >> 2;
    p->dont_fragment = fragment & IPV4_DONT_FRAGMENT;
    map_v4(p->key.src, ip + 12);
    map_v4(p->key.dst, ip + 16);
    p->key.proto = ip[9];
    p->key.family = 4;
    return 0;
}

/* What the extension headers of an IPv6 packet lead to. */
struct extensions {
    uint32_t end;         /* behind the last one: layer 4, or the piece of a fragment */
    uint32_t fragment;    /* where the fragment header is; 0: none */
    uint32_t fragment_at; /* the field that announces it */
    uint32_t source, destination; /* layer 4's (RFC 8200 8.1) where they are not the IP header's; 0 */
    bool is_destination_unknown;
    uint8_t proto;
    uint64_t traits;
};

static bool is_extension(uint8_t next)
{
    switch (next) {
    case NEXT_HOP_BY_HOP: case NEXT_ROUTING: case NEXT_FRAGMENT: case NEXT_AH: case NEXT_DESTINATION:
    case NEXT_MOBILITY: case NEXT_HIP: case NEXT_SHIM6:
        return true;
    default:
        return false;
    }
}

/* Of mobility, HIP and shim6: a message that carries nothing is what the packet is about, so layer 4. */
static bool is_message(uint8_t type, const uint8_t *header)
{
    return type >= NEXT_MOBILITY && header[0] == NEXT_NONE;
}

/* Bytes, by the header's own length field; 8 of each are there. */
static uint32_t extension_bytes(uint8_t type, const uint8_t *header)
{
    if (type == NEXT_FRAGMENT)
        return 8;
    return type == NEXT_AH ? (header[1] + 2u) * 4 : 8 + header[1] * 8u;
}

static uint64_t extension_traits(uint8_t type, const uint8_t *header, uint32_t size)
{
    bool is_reserved_set;
    switch (type) {
    case NEXT_HOP_BY_HOP:
    case NEXT_DESTINATION:
        return ipv6_option_traits(header, size, type == NEXT_HOP_BY_HOP);
    case NEXT_ROUTING:
        return ipv6_routing_traits(header);
    case NEXT_FRAGMENT:
        is_reserved_set = header[1] || header[3] & 6;
        break;
    case NEXT_AH:
        is_reserved_set = header[2] || header[3];
        break;
    default: /* RFC 6275 6.1.1; the reserved bits of the others depend on their version */
        is_reserved_set = type == NEXT_MOBILITY && header[3];
    }
    return is_reserved_set ? TRAIT(ip6_reserved_field) : 0;
}

static void find_upper_addresses(struct extensions *x, uint8_t type, const uint8_t *header, uint32_t at, uint32_t size)
{
    bool is_known = true;
    uint32_t home = type == NEXT_DESTINATION ? ipv6_home_address(header, size) : 0;
    uint32_t final = type == NEXT_ROUTING ? ipv6_final_address(header, size, &is_known) : 0;
    if (home)
        x->source = at + home;
    if (final)
        x->destination = at + final;
    x->is_destination_unknown |= !is_known;
}

/* Walks the extension headers of the IPv6 packet of `len` bytes at ip; of a fragment those before its piece. 0, or the
 * drop reason. */
static uint32_t skip_extensions(const uint8_t *ip, uint32_t len, struct extensions *x)
{
    uint8_t next = ip[6];
    uint32_t at = IPV6_HEADER, next_at = 6;
    *x = (struct extensions){0};
    for (int n = 0; is_extension(next); n++) {
        const uint8_t *header = ip + at;
        uint8_t type = next;
        if (n == MAX_EXTENSION_HEADERS || (type == NEXT_HOP_BY_HOP && n) || (type == NEXT_FRAGMENT && x->fragment))
            return COUNTER_flow_parse_ip6_ext_order;
        if (len - at < L4_MINIMUM)
            return COUNTER_flow_parse_ip6_ext_hdr;
        uint32_t size = extension_bytes(type, header);
        if (size > len - at || (type == NEXT_AH && size < AH_MINIMUM))
            return COUNTER_flow_parse_ip6_ext_hdr;
        if (type == NEXT_HOP_BY_HOP && ipv6_has_jumbo_option(header, size))
            return COUNTER_flow_parse_ip6_jumbo;
        x->traits |= extension_traits(type, header, size);
        find_upper_addresses(x, type, header, at, size);
        if (is_message(type, header))
            break;
        if (type == NEXT_FRAGMENT) {
            x->fragment = at;
            x->fragment_at = next_at;
        }
        next = header[0];
        next_at = at;
        at += size;
        if (type == NEXT_FRAGMENT && be16(header + 2) & (IPV6_OFFSET | IPV6_MORE_FRAGMENTS))
            break;
    }
    x->end = at;
    x->proto = next;
    return 0;
}

static uint32_t parse_fragment_header(struct packet *p, const struct extensions *x, uint32_t total)
{
    const uint8_t *header = p->data + x->fragment;
    uint32_t fragment = be16(header + 2), bytes = total - x->end, offset = fragment & IPV6_OFFSET;
    if (!(fragment & (IPV6_OFFSET | IPV6_MORE_FRAGMENTS))) { /* an atomic fragment (RFC 6946) is a whole packet */
        p->traits |= TRAIT(ip6_needless_fragment);
        return 0;
    }
    /* RFC 8200 4.5: the length of the whole counts the headers before this one */
    if (x->fragment - IPV6_HEADER + offset + bytes > 65535)
        return COUNTER_flow_parse_ping_of_death;
    p->traits |= TRAIT(ip_frag);
    p->is_fragment = true;
    p->more_fragments = fragment & IPV6_MORE_FRAGMENTS;
    p->fragment_offset = (uint16_t)offset;
    p->fragment_id = be32(header + 4);
    p->fragment_header = (uint16_t)x->fragment;
    p->fragment_next = (uint16_t)x->fragment_at;
    return refuse_fragment(bytes, p->more_fragments);
}

static uint32_t parse_ipv6(struct packet *p, uint32_t available, uint32_t how)
{
    const uint8_t *ip = p->data;
    if (available < IPV6_HEADER)
        return COUNTER_flow_parse_ip_hdr;
    uint32_t total = IPV6_HEADER + be16(ip + 4);
    struct extensions x;
    if (!ip[7])
        return COUNTER_flow_parse_ip_ttl;
    if (!(how & PARSE_OWN) && !memcmp(ip + 8, ip + 24, 16))
        return COUNTER_flow_parse_land;
    enum v6_kind src = kind_of_v6(ip + 8), dst = kind_of_v6(ip + 24);
    if (ip[8] == 0xff)
        return COUNTER_flow_parse_ip6_mcast_source;
    if (is_martian_v6(src, dst))
        return COUNTER_flow_parse_martian;
    if (total > available)
        return COUNTER_flow_parse_ip_len;
    if (!be16(ip + 4) && ip[6] == NEXT_HOP_BY_HOP)
        return COUNTER_flow_parse_ip6_jumbo;
    uint32_t reason = skip_extensions(ip, total, &x);
    if (!reason && x.fragment)
        reason = parse_fragment_header(p, &x, total);
    if (reason)
        return reason;
    if (src == V6_COMPATIBLE || dst == V6_COMPATIBLE)
        p->traits |= TRAIT(ip6_v4_compatible);
    if (is_reserved_anycast(ip + 8))
        p->traits |= TRAIT(ip6_anycast_source);
    p->traits |= x.traits;
    p->len = total;
    p->l4_offset = (uint16_t)x.end;
    p->sum_src = (uint16_t)x.source;
    p->sum_dst = (uint16_t)x.destination;
    p->is_sum_unknown = x.is_destination_unknown;
    p->key.proto = x.proto;
    p->ttl = ip[7];
    p->dscp = (uint8_t)((ip[0] << 4 | ip[1] >> 4) >> 2 & 63);
    memcpy(p->key.src, ip + 8, 16);
    memcpy(p->key.dst, ip + 24, 16);
    p->key.family = 6;
    p->dont_fragment = true;
    return 0;
}

/* ---- layer 4 ------------------------------------------------------------------------------------ */

/* Of the pseudo header over layer 4's `len` bytes. */
static uint64_t sum_pseudo(const struct packet *p, uint32_t len)
{
    bool is_v4 = p->key.family == 4;
    const uint8_t *src = p->data + (p->sum_src ? p->sum_src : is_v4 ? 12 : 8);
    const uint8_t *dst = p->data + (p->sum_dst ? p->sum_dst : is_v4 ? 16 : 24);
    return checksum_add_pseudo(0, p->key.family, src, dst, p->key.proto, len);
}

static bool checksum_is_wrong(const struct packet *p, uint32_t len, bool pseudo)
{
    if (p->is_sum_unknown)
        return false;
    return checksum_finish(checksum_add(pseudo ? sum_pseudo(p, len) : 0, p->data + p->l4_offset, len)) != 0;
}

static bool tcp_flags_are_valid(uint8_t flags)
{
    switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) { /* PSH and ECN go with anything */
    case TCP_SYN:
    case TCP_SYN | TCP_URG:
    case TCP_SYN | TCP_ACK:
    case TCP_RST:
    case TCP_RST | TCP_ACK:
    case TCP_FIN | TCP_ACK:
    case TCP_FIN | TCP_ACK | TCP_URG:
    case TCP_ACK:
    case TCP_ACK | TCP_URG:
        return true;
    default:
        return false;
    }
}

static uint32_t parse_tcp(struct packet *p, uint32_t len, bool trusted)
{
    const uint8_t *tcp = p->data + p->l4_offset;
    if (len < TCP_HEADER)
        return COUNTER_flow_parse_tcp_hdr;
    uint32_t header = (tcp[12] >> 4) * 4u;
    if (header < TCP_HEADER || header > len)
        return COUNTER_flow_parse_tcp_offset;
    if (!trusted && checksum_is_wrong(p, len, true))
        return COUNTER_flow_parse_l4_cksm;
    p->key.sport = be16(tcp);
    p->key.dport = be16(tcp + 2);
    if (!p->key.sport || !p->key.dport)
        return COUNTER_flow_parse_tcp_port;
    p->tcp_flags = tcp[13];
    if (!(p->tcp_flags & 63))
        return COUNTER_tcp_flag_zero;
    if (!tcp_flags_are_valid(p->tcp_flags))
        return COUNTER_flow_parse_tcp_flags;
    p->tcp_seq = be32(tcp + 4);
    p->tcp_ack = be32(tcp + 8);
    p->tcp_window = be16(tcp + 14);
    p->payload_offset = (uint16_t)(p->l4_offset + header);
    if (p->tcp_flags & TCP_SYN && len > header)
        p->traits |= p->tcp_flags & TCP_ACK ? TRAIT(tcp_synack_data) : TRAIT(tcp_syn_data);
    return 0;
}

static uint32_t parse_udp(struct packet *p, uint32_t len, bool trusted)
{
    const uint8_t *udp = p->data + p->l4_offset;
    if (len < L4_MINIMUM)
        return COUNTER_flow_parse_udp_hdr;
    uint32_t udp_len = be16(udp + 4);
    if (udp_len < L4_MINIMUM || udp_len > len)
        return COUNTER_flow_parse_udp_len;
    bool unsummed = !udp[6] && !udp[7];
    if (unsummed ? p->key.family == 6 : !trusted && checksum_is_wrong(p, udp_len, true))
        return COUNTER_flow_parse_l4_cksm; /* RFC 8200 8.1: IPv6 hosts discard a zero UDP checksum */
    p->key.sport = be16(udp);
    p->key.dport = be16(udp + 2);
    p->payload_offset = (uint16_t)(p->l4_offset + L4_MINIMUM);
    return 0;
}

static enum icmp_kind kind_of_icmp(uint8_t type)
{
    switch (type) {
    case 8: case 13: case 15: case 17: /* echo, timestamp, information, address mask */
        return ICMP_REQUEST;
    case 0: case 14: case 16: case 18:
        return ICMP_REPLY;
    case 3: case 11: case 12: /* unreachable, time exceeded, parameter problem */
        return ICMP_ERROR;
    default:
        return ICMP_OTHER;
    }
}

static enum icmp_kind kind_of_icmpv6(const struct packet *p)
{
    switch (p->icmp_type) {
    case 128:
        return ICMP_REQUEST;
    case 129:
        return ICMP_REPLY;
    case 1: case 2: case 3: case 4:
        return ICMP_ERROR;
    case 130: case 131: case 132: case 143: /* multicast listener discovery, RFC 3810 */
        return p->ttl == 1 ? ICMP_DISCOVERY : ICMP_OTHER;
    case 133: case 134: case 135: case 136: /* neighbour discovery, RFC 4861: 255 proves it comes from the link */
        return p->ttl == 255 ? ICMP_DISCOVERY : ICMP_OTHER;
    default:
        return ICMP_OTHER;
    }
}

/* Ports of an ICMP message with identifier and sequence number, seen from its sender. */
static void icmp_ports(struct flow_key *key, const uint8_t *icmp, enum icmp_kind kind)
{
    uint16_t id = be16(icmp + 4), sequence = be16(icmp + 6);
    key->sport = kind == ICMP_REQUEST ? id : sequence;
    key->dport = kind == ICMP_REQUEST ? sequence : id;
}

/* Reads the packet an ICMP error quotes (at least its IP header and eight bytes more) into `about`: the key
 * of the flow in the other direction, which is the one that arrives where the error does. The quoted
 * packet's addresses must fit the error's receiver. */
static bool parse_quoted(struct packet *p, const uint8_t *ip, uint32_t len)
{
    struct packet quoted = {.data = (uint8_t *)ip};
    struct flow_key *key = &quoted.key;
    uint32_t offset;
    if (p->key.family == 4) {
        if (len < IPV4_HEADER || ip[0] >> 4 != 4)
            return false;
        offset = (ip[0] & 15) * 4u;
        if (offset < IPV4_HEADER || be16(ip + 6) & IPV4_OFFSET)
            return false;
        map_v4(key->src, ip + 12);
        map_v4(key->dst, ip + 16);
        key->proto = ip[9];
    } else {
        struct extensions x;
        if (len < IPV6_HEADER || ip[0] >> 4 != 6 || skip_extensions(ip, len, &x))
            return false;
        if (x.fragment && be16(ip + x.fragment + 2) & IPV6_OFFSET)
            return false;
        offset = x.end;
        key->proto = x.proto;
        memcpy(key->src, ip + 8, 16);
        memcpy(key->dst, ip + 24, 16);
    }
    if (len < offset || len - offset < L4_MINIMUM || memcmp(key->src, p->key.dst, 16))
        return false;
    const uint8_t *l4 = ip + offset;
    if (key->proto == PROTO_TCP || key->proto == PROTO_UDP) {
        key->sport = be16(l4);
        key->dport = be16(l4 + 2);
    } else if (key->proto == PROTO_ICMP || key->proto == PROTO_ICMPV6) {
        quoted.icmp_type = l4[0];
        enum icmp_kind kind = key->proto == PROTO_ICMP ? kind_of_icmp(l4[0]) : kind_of_icmpv6(&quoted);
        if (kind != ICMP_REQUEST && kind != ICMP_REPLY)
            return false; /* no errors about errors */
        icmp_ports(key, l4, kind);
    }
    p->quoted_l4_offset = (uint16_t)(l4 - p->data);
    memcpy(p->about.src, key->dst, 16);
    memcpy(p->about.dst, key->src, 16);
    p->about.sport = key->dport;
    p->about.dport = key->sport;
    p->about.proto = key->proto;
    p->about.family = p->key.family;
    return true;
}

/* Of ICMP alone: ICMPv6 has elements of its own, and needs its long and its error messages for path MTU discovery. */
static uint64_t icmp_traits(const struct packet *p, const uint8_t *icmp)
{
    uint64_t traits = p->len > LARGEST_ICMP ? TRAIT(icmp_large) : 0;
    switch (p->icmp_type) {
    case 3: case 4: case 5: case 11: case 12: /* the errors of RFC 1122 3.2.2, redirects among them */
        return traits | TRAIT(icmp_error);
    case 8:
        return be16(icmp + 4) ? traits : traits | TRAIT(icmp_ping_zero_id);
    default:
        return traits;
    }
}

/* Whether a redirect is one that a host would take (RFC 4861 8.1), what it quotes included. */
static bool is_valid_redirect(const struct packet *p, const uint8_t *icmp, uint32_t len)
{
    enum { REDIRECT_HEADER = 40, OPTION_REDIRECTED = 4, BEFORE_QUOTED = 8 };
    const uint8_t *target = icmp + 8, *about = icmp + 24, *src = p->key.src;
    if (len < REDIRECT_HEADER || p->ttl != 255 || p->icmp_code || src[0] != 0xfe || (src[1] & 0xc0) != 0x80)
        return false;
    if (about[0] == 0xff || ((target[0] != 0xfe || (target[1] & 0xc0) != 0x80) && memcmp(target, about, 16)))
        return false;
    for (uint32_t i = REDIRECT_HEADER; i < len;) {
        uint32_t size = len - i < 2 ? 0 : icmp[i + 1] * 8u;
        if (!size || size > len - i)
            return false;
        struct packet scratch = *p;
        if (icmp[i] == OPTION_REDIRECTED && !parse_quoted(&scratch, icmp + i + BEFORE_QUOTED, size - BEFORE_QUOTED))
            return false;
        i += size;
    }
    return true;
}

static uint64_t icmpv6_traits(const struct packet *p, const uint8_t *icmp, uint32_t len)
{
    enum { SMALLEST_MTU = 1280 }; /* RFC 8200 5 */
    bool is_invalid = p->icmp_kind == ICMP_OTHER; /* of an error: what it quotes does not parse */
    uint64_t traits = 0;
    switch (p->icmp_type) {
    case 1:
        return is_invalid ? TRAIT(ip6_unreachable) : 0;
    case 2:
        traits = be32(icmp + 4) < SMALLEST_MTU ? TRAIT(ip6_small_mtu) : 0;
        return is_invalid ? traits | TRAIT(ip6_too_big) : traits;
    case 3:
        return is_invalid ? TRAIT(ip6_time_exceeded) : 0;
    case 4:
        return is_invalid ? TRAIT(ip6_param_problem) : 0;
    case 137:
        return is_valid_redirect(p, icmp, len) ? 0 : TRAIT(ip6_redirect);
    default:
        return 0;
    }
}

static uint32_t parse_icmp(struct packet *p, uint32_t len, bool trusted)
{
    const uint8_t *icmp = p->data + p->l4_offset;
    bool is_v6 = p->key.proto == PROTO_ICMPV6;
    if (len < L4_MINIMUM)
        return COUNTER_flow_parse_l4_hdr;
    if (!trusted && checksum_is_wrong(p, len, is_v6))
        return COUNTER_flow_parse_l4_cksm;
    p->icmp_type = icmp[0];
    p->icmp_code = icmp[1];
    p->payload_offset = (uint16_t)(p->l4_offset + L4_MINIMUM);
    p->icmp_kind = is_v6 ? kind_of_icmpv6(p) : kind_of_icmp(icmp[0]);
    if (p->icmp_kind == ICMP_REQUEST || p->icmp_kind == ICMP_REPLY)
        icmp_ports(&p->key, icmp, p->icmp_kind);
    else if (p->icmp_kind == ICMP_ERROR && !parse_quoted(p, icmp + L4_MINIMUM, len - L4_MINIMUM))
        p->icmp_kind = ICMP_OTHER;
    p->traits |= is_v6 ? icmpv6_traits(p, icmp, len) : icmp_traits(p, icmp);
    return 0;
}

bool packet_checksum_is_unfinished(const struct packet *p)
{
    uint8_t proto = p->key.proto;
    if (p->is_fragment || p->is_sum_unknown || (proto != PROTO_TCP && proto != PROTO_UDP))
        return false;
    uint16_t pseudo = (uint16_t)~checksum_finish(sum_pseudo(p, p->len - p->l4_offset)), found;
    memcpy(&found, p->data + p->l4_offset + (proto == PROTO_TCP ? 16 : 6), sizeof found);
    return found == pseudo;
}

uint32_t packet_checksum_at(const struct packet *p)
{
    const uint8_t *l4 = p->data + p->l4_offset;
    if (p->is_fragment || p->is_sum_unknown)
        return 0;
    if (p->key.proto == PROTO_TCP)
        return 16;
    if (p->key.proto == PROTO_UDP)
        return l4[6] || l4[7] ? 6 : 0;
    return p->icmp_kind != ICMP_NONE ? 2 : 0;
}

void packet_complete_checksum(const struct packet *p)
{
    uint8_t *l4 = p->data + p->l4_offset;
    uint32_t at = packet_checksum_at(p), len = p->key.proto == PROTO_UDP ? be16(l4 + 4) : p->len - p->l4_offset;
    if (!at)
        return;
    memset(l4 + at, 0, 2);
    uint64_t sum = p->key.proto == PROTO_ICMP ? 0 : sum_pseudo(p, len);
    uint16_t checksum = checksum_finish(checksum_add(sum, l4, len));
    if (!checksum && p->key.proto == PROTO_UDP)
        checksum = 0xffff; /* zero would say that there is none */
    memcpy(l4 + at, &checksum, 2);
}

bool packet_finish_checksum(uint8_t *data, uint32_t len)
{
    struct packet p;
    if (packet_parse(data, len, LINK_IP, PARSE_TRUSTED, &p) || !packet_checksum_at(&p))
        return false;
    packet_complete_checksum(&p);
    return true;
}

bool packet_source(uint8_t *data, uint32_t len, enum link_type link, uint8_t out[16])
{
    int family;
    uint16_t tag;
    if (skip_link(link, &data, &len, &family, &tag) || !len)
        return false;
    uint8_t version = data[0] >> 4;
    if (version == 4 && len >= IPV4_HEADER)
        map_v4(out, data + 12);
    else if (version == 6 && len >= IPV6_HEADER)
        memcpy(out, data + 8, 16);
    else
        return false;
    return true;
}

uint32_t packet_parse(uint8_t *data, uint32_t len, enum link_type link, uint32_t how, struct packet *out)
{
    int family;
    uint16_t tag;
    uint32_t reason = skip_link(link, &data, &len, &family, &tag);
    if (reason)
        return reason;
    if (!len)
        return COUNTER_flow_parse_ip_hdr;
    uint8_t version = data[0] >> 4;
    if ((version != 4 && version != 6) || (family && version != family))
        return COUNTER_flow_parse_ip_version;

    memset(out, 0, sizeof *out);
    out->data = data;
    out->tag = tag;
    out->is_tagged = tag;
    reason = version == 4 ? parse_ipv4(out, len, how) : parse_ipv6(out, len, how);
    if (reason)
        return reason;

    uint32_t l4_len = out->len - out->l4_offset;
    out->payload_offset = out->l4_offset;
    bool icmp_fits = out->key.proto == (version == 4 ? PROTO_ICMP : PROTO_ICMPV6);
    if (out->is_fragment)
        reason = 0;
    else if (out->key.proto == PROTO_TCP)
        reason = parse_tcp(out, l4_len, how & PARSE_TRUSTED);
    else if (out->key.proto == PROTO_UDP)
        reason = parse_udp(out, l4_len, how & PARSE_TRUSTED);
    else if (icmp_fits)
        reason = parse_icmp(out, l4_len, how & PARSE_TRUSTED);
    if (reason)
        return reason;
    if (version == 6 && kind_of_v6(out->key.src) == V6_UNSPECIFIED && out->icmp_kind != ICMP_DISCOVERY)
        return COUNTER_flow_parse_martian; /* :: asks for an address, nothing else */
    return 0;
}

uint32_t packet_describe(const struct input *in, struct packet_info *out)
{
    struct packet p;
    bool trusted = in->flags & (INPUT_CHECKSUM_TRUSTED | INPUT_CHECKSUM_UNFINISHED);
    uint32_t reason = packet_parse(in->data, in->len, in->link, trusted, &p);
    if (reason == COUNTER_flow_parse_l4_cksm && in->flags & INPUT_CHECKSUM_MAYBE_UNFINISHED &&
        !packet_parse(in->data, in->len, in->link, true, &p) && packet_checksum_is_unfinished(&p))
        reason = 0;
    if (reason)
        return reason;
    *out = (struct packet_info){
        .key = p.key,
        .len = p.len,
        .payload = p.len - p.payload_offset,
        .tcp_seq = p.tcp_seq,
        .tcp_ack = p.tcp_ack,
        .tcp_window = p.tcp_window,
        .ttl = p.ttl,
        .dscp = p.dscp,
        .tcp_flags = p.tcp_flags,
        .icmp_type = p.icmp_type,
        .icmp_code = p.icmp_code,
        .is_fragment = p.is_fragment,
        .more_fragments = p.more_fragments,
        .fragment_offset = p.fragment_offset,
        .tag = p.tag,
        .fragment_id = p.fragment_id,
        .traits = p.traits,
    };
    return 0;
}
