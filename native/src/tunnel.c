/*
 * tunnel.c - packets out of packets, and into them: GRE (RFC 2784), IP in IP of both families (RFC 2003, 4213, 2473),
 * VXLAN (RFC 7348).
 *
 * A tunnel is two addresses, and what comes from the one for the other is its own. On the way in nothing is copied: the
 * inner packet lies within the outer one. On the way out the packet is copied into a buffer of the engine's own, where
 * headers are put before it; it is cut first where it would not fit, since a packet of the engine's own is sent as it is.
 */
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "siphash.h"
#include "state.h"

enum { PROTO_IPV4 = 4, PROTO_IPV6 = 41, PROTO_GRE = 47, PROTO_FRAGMENT = 44 };
enum { IPV4_HEADER = 20, IPV6_HEADER = 40, GRE_HEADER = 4, UDP_HEADER = 8, VXLAN_HEADER = 8, ETHERNET = 14, FRAGMENT = 8 };
enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806, ETHERTYPE_IPV6 = 0x86dd };
enum { NOT_ECT, ECT_1, ECT_0, CE };
enum { DONT_FRAGMENT = 0x4000, MORE_FRAGMENTS = 0x2000, FRAGMENT_OFFSET = 0x1fff };
enum { LONGEST_DATAGRAM = 65535, USUAL_MTU = 1500 };

/* Who is at the other end of a VXLAN tunnel. */
struct neighbour {
    uint8_t peer[16], mac[6];
    uint32_t vni;
    uint16_t port; /* 0: nobody was heard */
};

struct tunnels {
    struct neighbour neighbours[MAX_TUNNELS];
};

static bool is_v4(const uint8_t *ip)
{
    return ip[0] >> 4 == 4;
}

/* An address as in a key is one of IPv4. */
static bool is_mapped(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return !memcmp(address, mapped, sizeof mapped);
}

static uint8_t tos_of(const uint8_t *ip)
{
    return is_v4(ip) ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

static void finish_v4(uint8_t *ip)
{
    put16(ip + 10, 0);
    uint16_t sum = checksum_finish(checksum_add(0, ip, (ip[0] & 15) * 4u));
    memcpy(ip + 10, &sum, 2);
}

/* The length in the IP header of a packet of so many bytes; its checksum, too. */
static void set_length(uint8_t *ip, uint32_t len)
{
    if (is_v4(ip)) {
        put16(ip + 2, len);
        finish_v4(ip);
    } else {
        put16(ip + 4, len - IPV6_HEADER);
    }
}

/* ---- configuration -------------------------------------------------------------------------------- */

uint64_t tunnels_bytes(void)
{
    return sizeof(struct tunnels);
}

static bool is_same(const struct neighbour *n, const struct tunnel_config *t)
{
    return n->port == t->port && n->vni == t->vni && !memcmp(n->peer, t->peer, 16);
}

void tunnels_configure(struct engine *e)
{
    struct tunnels known = *e->tunnels;
    memset(e->tunnels, 0, sizeof *e->tunnels);
    for (uint32_t i = 0; i < e->config.tunnel_count; i++)
        for (uint32_t k = 0; k < MAX_TUNNELS; k++)
            if (is_same(&known.neighbours[k], &e->config.tunnels[i]))
                e->tunnels->neighbours[i] = known.neighbours[k];
}

/* The place of the tunnel behind a port, plus 1; 0 where there is none. */
static uint32_t behind(const struct engine *e, uint16_t port)
{
    for (uint32_t i = 0; i < e->config.tunnel_count; i++)
        if (e->config.tunnels[i].port == port)
            return i + 1;
    return 0;
}

bool tunnel_is_behind(const struct engine *e, uint16_t port)
{
    return behind(e, port);
}

/* ---- out of a tunnel ------------------------------------------------------------------------------ */

/* RFC 6040 4.2: what the inner packet's ECN field becomes; CE may not get lost, so -1 where it would. */
static int merge_ecn(uint8_t outer, uint8_t inner)
{
    if (outer == CE)
        return inner == NOT_ECT ? -1 : CE;
    return outer == ECT_1 && inner == ECT_0 ? ECT_1 : inner;
}

static uint32_t open_gre(const struct packet *p, struct inner *inner)
{
    enum { CHECKSUM = 0x8000, REFUSED = 0x7c07 /* RFC 2784 2.2; key and sequence number nobody has configured */ };
    uint32_t len = p->len - p->l4_offset, flags, type, header = GRE_HEADER;
    uint8_t *gre = p->data + p->l4_offset;
    if (len < GRE_HEADER)
        return COUNTER_flow_tunnel_decap_err;
    flags = be16(gre);
    type = be16(gre + 2);
    if (flags & REFUSED || (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6))
        return COUNTER_flow_tunnel_decap_err;
    if (flags & CHECKSUM) {
        header += 4;
        if (len < header)
            return COUNTER_flow_tunnel_decap_err;
        bool is_final = (!p->gso || p->reassembled) && !p->unfinished; /* else it is computed when the packet is cut */
        if (is_final && checksum_finish(checksum_add(0, gre, len)))
            return COUNTER_flow_tunnel_decap_err;
    }
    *inner = (struct inner){.data = gre + header, .len = len - header};
    if (!inner->len || is_v4(inner->data) != (type == ETHERTYPE_IPV4))
        return COUNTER_flow_tunnel_decap_err;
    return 0;
}

static uint32_t open_ipip(const struct packet *p, struct inner *inner)
{
    *inner = (struct inner){.data = p->data + p->l4_offset, .len = p->len - p->l4_offset};
    if (!inner->len || is_v4(inner->data) != (p->key.proto == PROTO_IPV4))
        return COUNTER_flow_tunnel_decap_err;
    return 0;
}

static uint32_t open_vxlan(const struct tunnel_config *t, const struct packet *p, struct inner *inner)
{
    uint8_t *udp = p->data + p->l4_offset, *frame = udp + UDP_HEADER + VXLAN_HEADER;
    uint32_t len = be16(udp + 4);
    if (len < UDP_HEADER + VXLAN_HEADER + ETHERNET)
        return COUNTER_flow_tunnel_decap_err;
    len -= UDP_HEADER + VXLAN_HEADER;
    bool is_for_many = frame[0] & 1, is_ours = !memcmp(frame, t->mac, 6), is_from_many = frame[6] & 1;
    uint32_t type = be16(frame + 12);
    if ((!is_for_many && !is_ours) || is_from_many)
        return COUNTER_flow_tunnel_decap_err;
    if (type == ETHERTYPE_ARP) {
        *inner = (struct inner){.data = frame, .len = len, .link = LINK_ETHERNET, .is_frame = true};
        return 0;
    }
    *inner = (struct inner){.data = frame + ETHERNET, .len = len - ETHERNET};
    if ((type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6) || !inner->len || is_v4(inner->data) != (type == ETHERTYPE_IPV4))
        return COUNTER_flow_tunnel_decap_err;
    return 0;
}

/* Whether a packet between a tunnel's ends, which has come by a zone where its outer port is, is of its protocol. */
static bool is_for(const struct engine *e, const struct tunnel_config *t, const struct packet *p)
{
    if (memcmp(p->key.src, t->peer, 16) || memcmp(p->key.dst, t->local, 16) || is_bridged(e, p->port) ||
        e->config.ports[p->port].zone != e->config.ports[t->outer_port].zone)
        return false;
    if (t->type == TUNNEL_GRE)
        return p->key.proto == PROTO_GRE;
    if (t->type == TUNNEL_IPIP)
        return p->key.proto == PROTO_IPV4 || p->key.proto == PROTO_IPV6;
    return p->key.proto == PROTO_UDP && p->key.dport == t->udp_port;
}

/* RFC 7348 5: the identifier counts where the I flag says so. */
static bool is_of_network(const struct tunnel_config *t, const struct packet *p)
{
    enum { HAS_VNI = 0x08 };
    const uint8_t *vxlan = p->data + p->payload_offset;
    return be16(vxlan - UDP_HEADER + 4) >= UDP_HEADER + VXLAN_HEADER && vxlan[0] & HAS_VNI && be32(vxlan + 4) >> 8 == t->vni;
}

uint32_t tunnel_find(const struct engine *e, const struct packet *p, struct inner *inner)
{
    bool is_theirs = false;
    inner->len = 0;
    if (p->key.proto != PROTO_GRE && p->key.proto != PROTO_IPV4 && p->key.proto != PROTO_IPV6 && p->key.proto != PROTO_UDP)
        return 0;
    for (uint32_t i = 0; i < e->config.tunnel_count; i++) {
        const struct tunnel_config *t = &e->config.tunnels[i];
        if (!is_for(e, t, p))
            continue;
        is_theirs = true;
        if (t->type == TUNNEL_VXLAN && !is_of_network(t, p))
            continue;
        uint32_t reason = t->type == TUNNEL_GRE    ? open_gre(p, inner)
                          : t->type == TUNNEL_IPIP ? open_ipip(p, inner)
                                                   : open_vxlan(t, p, inner);
        int ecn = merge_ecn(p->outer_ecn, tos_of(p->data) & 3);
        inner->port = t->port;
        inner->tunnel = (uint16_t)(i + 1);
        inner->ecn = (uint8_t)(ecn & 3);
        return reason || ecn >= 0 ? reason : COUNTER_flow_tunnel_decap_err;
    }
    return is_theirs ? COUNTER_flow_tunnel_decap_err : 0;
}

/* A station's address; a frame comes from where the next one for it goes. */
static void learn(struct engine *e, uint32_t tunnel, const uint8_t *mac)
{
    const struct tunnel_config *t = &e->config.tunnels[tunnel];
    struct neighbour *n = &e->tunnels->neighbours[tunnel];
    n->port = t->port;
    n->vni = t->vni;
    memcpy(n->peer, t->peer, 16);
    memcpy(n->mac, mac, 6);
}

uint32_t tunnel_arrived(struct engine *e, const struct packet *p)
{
    uint8_t *ip = p->data, ecn = tos_of(ip) & 3;
    int merged = merge_ecn(p->outer_ecn, ecn);
    if (merged < 0)
        return COUNTER_flow_tunnel_decap_err;
    count(e, COUNTER_flow_tunnel_decap);
    if (e->config.tunnels[p->tunnel - 1].type == TUNNEL_VXLAN)
        learn(e, p->tunnel - 1u, ip - ETHERNET + 6);
    if (merged == ecn)
        return 0;
    if (is_v4(ip)) {
        ip[1] = (uint8_t)((ip[1] & ~3) | merged);
        finish_v4(ip);
    } else {
        ip[1] = (uint8_t)((ip[1] & ~0x30) | merged << 4);
    }
    return 0;
}

/* ---- into a tunnel -------------------------------------------------------------------------------- */

static uint32_t overhead(const struct tunnel_config *t)
{
    static const uint32_t headers[] = {
        [TUNNEL_GRE] = GRE_HEADER, [TUNNEL_IPIP] = 0, [TUNNEL_VXLAN] = UDP_HEADER + VXLAN_HEADER + ETHERNET};
    return (is_mapped(t->local) ? IPV4_HEADER : IPV6_HEADER) + headers[t->type];
}

/* The longest packet that may be put into a tunnel. */
static uint32_t longest_inner(const struct engine *e, const struct tunnel_config *t)
{
    uint32_t outer = e->config.ports[t->outer_port].mtu, inner = e->config.ports[t->port].mtu;
    outer = outer < LONGEST_DATAGRAM ? outer : LONGEST_DATAGRAM;
    outer = outer > overhead(t) ? outer - overhead(t) : 0;
    return inner < outer ? inner : outer;
}

/* RFC 7348 5: a source port that is the same for the packets of a flow, of the dynamic ones. */
static uint16_t flow_port(const struct engine *e, const uint8_t *ip)
{
    uint8_t of[40] = {0};
    uint32_t header = is_v4(ip) ? (ip[0] & 15) * 4u : IPV6_HEADER;
    uint8_t proto = is_v4(ip) ? ip[9] : ip[6];
    if (is_v4(ip))
        memcpy(of, ip + 12, 8);
    else
        memcpy(of, ip + 8, 32);
    bool is_fragment = is_v4(ip) && be16(ip + 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
    if ((proto == PROTO_TCP || proto == PROTO_UDP) && !is_fragment)
        memcpy(of + 32, ip + header, 4);
    of[36] = proto;
    return (uint16_t)(0xc000 | (siphash13(e->hash_key, of, sizeof of) & 0x3fff));
}

/* Makes room for a header of so many bytes before what is at data. */
static void push(uint8_t *data, uint32_t *len, uint32_t header)
{
    memmove(data + header, data, *len);
    memset(data, 0, header);
    *len += header;
}

static void push_udp(const struct tunnel_config *t, uint8_t *data, uint32_t *len, uint16_t sport)
{
    push(data, len, UDP_HEADER + VXLAN_HEADER);
    put16(data, sport);
    put16(data + 2, t->udp_port);
    put16(data + 4, *len);
    data[UDP_HEADER] = 0x08;
    put32(data + UDP_HEADER + 4, t->vni << 8);
}

/* The outer IP header, with the TOS and DF (RFC 2003 3.1) that the packet within gives it. */
static void push_ip(struct engine *e, const struct tunnel_config *t, uint8_t *data, uint32_t *len, uint8_t proto, uint8_t tos,
                    bool dont_fragment)
{
    tos = t->copy_tos ? tos : tos & 3; /* RFC 6040 4.1: ECN is copied in any case */
    if (is_mapped(t->local)) {
        push(data, len, IPV4_HEADER);
        data[0] = 0x45;
        data[1] = tos;
        if (dont_fragment) /* and so no identification (RFC 6864) */
            put16(data + 6, DONT_FRAGMENT);
        else
            put16(data + 4, (uint32_t)(engine_random(e) & 0xffff));
        data[8] = t->ttl;
        data[9] = proto;
        memcpy(data + 12, t->local + 12, 4);
        memcpy(data + 16, t->peer + 12, 4);
    } else {
        push(data, len, IPV6_HEADER);
        data[0] = (uint8_t)(0x60 | tos >> 4);
        data[1] = (uint8_t)(tos << 4);
        data[6] = proto;
        data[7] = t->ttl;
        memcpy(data + 8, t->local, 16);
        memcpy(data + 24, t->peer, 16);
        if (proto == PROTO_UDP) { /* of IPv4 it SHOULD be zero (RFC 7348 5) */
            uint8_t *udp = data + IPV6_HEADER;
            uint32_t udp_len = *len - IPV6_HEADER;
            uint64_t sum = checksum_add_pseudo(0, 6, t->local, t->peer, PROTO_UDP, udp_len);
            uint16_t checksum = checksum_finish(checksum_add(sum, udp, udp_len));
            checksum = checksum ? checksum : 0xffff;
            memcpy(udp + 6, &checksum, 2);
        }
    }
    set_length(data, *len);
}

/* Where a frame with the IP packet at ip goes; false where that is not known yet. */
static bool find_mac(const struct engine *e, uint32_t tunnel, const uint8_t *ip, uint8_t mac[6])
{
    static const uint8_t none[6];
    const struct tunnel_config *t = &e->config.tunnels[tunnel];
    const struct neighbour *n = &e->tunnels->neighbours[tunnel];
    if (is_v4(ip) && ip[16] >= 224 && ip[16] < 240) { /* RFC 1112 6.4 */
        memcpy(mac, (uint8_t[]){0x01, 0x00, 0x5e, ip[17] & 0x7f, ip[18], ip[19]}, 6);
    } else if (!is_v4(ip) && ip[24] == 0xff) { /* RFC 2464 7 */
        put16(mac, 0x3333);
        memcpy(mac + 2, ip + 36, 4);
    } else {
        bool is_set = memcmp(t->peer_mac, none, 6);
        memcpy(mac, is_set ? t->peer_mac : n->mac, 6);
        return is_set || n->port;
    }
    return true;
}

bool tunnel_wrap(struct engine *e, uint8_t *data, uint32_t *len, uint16_t *port)
{
    uint32_t place = behind(e, *port);
    if (!place)
        return false;
    const struct tunnel_config *t = &e->config.tunnels[place - 1];
    if (*len > longest_inner(e, t))
        return false;
    bool is_inner_v4 = is_v4(data), dont_fragment = !is_inner_v4 || be16(data + 6) & DONT_FRAGMENT;
    uint8_t tos = tos_of(data), proto = is_inner_v4 ? PROTO_IPV4 : PROTO_IPV6, mac[6];
    if (t->type == TUNNEL_GRE) {
        push(data, len, GRE_HEADER);
        put16(data + 2, is_inner_v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        proto = PROTO_GRE;
    } else if (t->type == TUNNEL_VXLAN) {
        uint16_t sport = flow_port(e, data);
        if (!find_mac(e, place - 1, data, mac))
            return false;
        push(data, len, ETHERNET);
        memcpy(data, mac, 6);
        memcpy(data + 6, t->mac, 6);
        put16(data + 12, is_inner_v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        push_udp(t, data, len, sport);
        proto = PROTO_UDP;
    }
    push_ip(e, t, data, len, proto, tos, dont_fragment);
    *port = t->outer_port;
    count(e, COUNTER_flow_tunnel_encap);
    return true;
}

/* ---- ARP in VXLAN (RFC 826) ----------------------------------------------------------------------- */

bool tunnel_takes(struct engine *e, const struct packet *p)
{
    enum { ARP = 28, REQUEST = 1, REPLY = 2 };
    static const uint8_t of_ethernet[6] = {0, 1, 8, 0, 6, 4}, nobody[4];
    const struct tunnel_config *t = &e->config.tunnels[p->tunnel - 1];
    const uint8_t *arp = p->data + ETHERNET;
    uint8_t target[16] = {[10] = 0xff, [11] = 0xff};
    if (p->len < ETHERNET + ARP || memcmp(arp, of_ethernet, sizeof of_ethernet))
        return false;
    count(e, COUNTER_flow_tunnel_decap);
    if (memcmp(arp + 14, nobody, 4)) /* else it asks whether an address is free */
        learn(e, p->tunnel - 1u, p->data + 6);
    memcpy(target + 12, arp + 24, 4);
    if (be16(arp + 6) != REQUEST || !is_local(e, target))
        return true;
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail);
        return true;
    }
    uint8_t *frame = h->packet.data, *answer = frame + ETHERNET;
    uint32_t len = ETHERNET + ARP;
    memcpy(frame, p->data + 6, 6);
    memcpy(frame + 6, t->mac, 6);
    put16(frame + 12, ETHERTYPE_ARP);
    memcpy(answer, of_ethernet, sizeof of_ethernet);
    put16(answer + 6, REPLY);
    memcpy(answer + 8, t->mac, 6);
    memcpy(answer + 14, arp + 24, 4);
    memcpy(answer + 18, arp + 8, 10);
    push_udp(t, frame, &len, 0xc000);
    push_ip(e, t, frame, &len, PROTO_UDP, 0, true);
    count(e, COUNTER_flow_tunnel_encap);
    verdict_emit(e, h, len, t->outer_port, 0, p->mac);
    return true;
}

/* ---- neighbour discovery in VXLAN (RFC 4861 7.2) --------------------------------------------------- */

bool tunnel_discovers(struct engine *e, const struct packet *p)
{
    enum { SOLICITATION = 135, ADVERTISEMENT = 136, SOLICITED = 0xe0, UNSOLICITED = 0xa0, LEN = IPV6_HEADER + 32 };
    static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1}, nobody[16];
    const struct tunnel_config *t = &e->config.tunnels[p->tunnel - 1];
    const uint8_t *target = p->data + p->payload_offset;
    if (t->type != TUNNEL_VXLAN || p->icmp_type != SOLICITATION || p->len < p->payload_offset + 16u || !is_local(e, target))
        return false;
    struct held *h = held_take(e);
    if (!h) {
        count(e, COUNTER_flow_emit_fail);
        return true;
    }
    bool is_asked = memcmp(p->key.src, nobody, 16); /* else somebody wants the address and has none yet */
    uint8_t *ip = h->packet.data, *icmp = ip + IPV6_HEADER;
    memset(ip, 0, LEN);
    ip[0] = 0x60;
    ip[6] = PROTO_ICMPV6;
    ip[7] = 255;
    memcpy(ip + 8, target, 16);
    memcpy(ip + 24, is_asked ? p->key.src : all_nodes, 16);
    set_length(ip, LEN);
    icmp[0] = ADVERTISEMENT;
    icmp[4] = is_asked ? SOLICITED : UNSOLICITED;
    memcpy(icmp + 8, target, 16);
    put16(icmp + 24, 0x0201); /* our link-layer address, eight bytes */
    memcpy(icmp + 26, t->mac, 6);
    uint64_t sum = checksum_add_pseudo(0, 6, ip + 8, ip + 24, PROTO_ICMPV6, LEN - IPV6_HEADER);
    uint16_t checksum = checksum_finish(checksum_add(sum, icmp, LEN - IPV6_HEADER));
    memcpy(icmp + 2, &checksum, 2);
    verdict_emit(e, h, LEN, p->port, 0, p->mac);
    return true;
}

/* ---- packets in pieces that fit ------------------------------------------------------------------- */

struct way {
    uint16_t port, mark;
    bool is_pinned;  /* leaves by that port and no other */
    bool is_routed;  /* which costs a hop */
};

/* Emits a piece with this header and this part of the payload. False where there is no buffer. */
static struct held *piece(struct engine *e, const struct way *way, const uint8_t *header, uint32_t header_len,
                          const uint8_t *payload, uint32_t len)
{
    struct held *h = held_take(e);
    if (!h)
        return NULL;
    uint8_t *ip = h->packet.data;
    memcpy(ip, header, header_len);
    memcpy(ip + header_len, payload, len);
    ip[is_v4(ip) ? 8 : 7] -= way->is_routed;
    return h;
}

static void leave(struct engine *e, const struct way *way, struct held *h, uint32_t len)
{
    static const uint8_t unknown[6];
    if (way->is_pinned)
        verdict_emit_by(e, h, len, way->port, way->mark);
    else
        verdict_emit(e, h, len, way->port, way->mark, unknown);
}

static void send_whole(struct engine *e, const struct packet *p, const struct way *way)
{
    struct held *h = piece(e, way, p->data, p->len, p->data, 0);
    set_length(h->packet.data, p->len);
    leave(e, way, h, p->len);
}

/* What a segmentation offload packet stands for. */
static void send_segments(struct engine *e, const struct packet *p, const struct way *way, uint32_t longest)
{
    enum { CWR = 0x80 };
    uint32_t header = p->payload_offset, mss = longest - header, payload = p->len - header;
    for (uint32_t at = 0, n = 0; at < payload; at += mss, n++) {
        uint32_t len = payload - at < mss ? payload - at : mss;
        struct held *h = piece(e, way, p->data, header, p->data + header + at, len);
        uint8_t *ip = h->packet.data, *tcp = ip + p->l4_offset;
        put32(tcp + 4, p->tcp_seq + at);
        if (at)
            tcp[13] &= (uint8_t)~CWR;
        if (at + len < payload)
            tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
        if (is_v4(ip))
            put16(ip + 4, be16(ip + 4) + n);
        set_length(ip, header + len);
        struct packet segment = *p;
        segment.data = ip;
        segment.len = header + len;
        packet_complete_checksum(&segment);
        leave(e, way, h, header + len);
    }
}

/* RFC 791 3.1: the options that every fragment has; the length of a header with them alone. */
static uint32_t keep_options(uint8_t *header, const uint8_t *ip)
{
    uint32_t end = (ip[0] & 15) * 4u, len = IPV4_HEADER;
    memcpy(header, ip, IPV4_HEADER);
    for (uint32_t at = IPV4_HEADER; at < end && ip[at];) {
        uint32_t option = ip[at] == 1 ? 1 : at + 1 < end ? ip[at + 1] : 0;
        if (!option || option > end - at || (option == 1 && ip[at] != 1))
            break;
        if (ip[at] & 0x80) {
            memcpy(header + len, ip + at, option);
            len += option;
        }
        at += option;
    }
    while (len % 4)
        header[len++] = 0;
    header[0] = (uint8_t)(0x40 | len / 4);
    return len;
}

static void send_fragments_v4(struct engine *e, const struct packet *p, const struct way *way, uint32_t longest)
{
    uint8_t later[60];
    uint32_t first_len = (p->data[0] & 15) * 4u, later_len = keep_options(later, p->data), payload = p->len - first_len;
    for (uint32_t at = 0, len; at < payload; at += len) {
        uint32_t header_len = at ? later_len : first_len, room = (longest - header_len) & ~7u;
        len = payload - at < room ? payload - at : room;
        struct held *h = piece(e, way, at ? later : p->data, header_len, p->data + first_len + at, len);
        put16(h->packet.data + 6, (at + len < payload ? MORE_FRAGMENTS : 0) | at / 8);
        set_length(h->packet.data, header_len + len);
        leave(e, way, h, header_len + len);
    }
}

/* What its sender had in fragments (RFC 8200 4.5). */
static void send_fragments_v6(struct engine *e, const struct packet *p, const struct way *way, uint32_t longest)
{
    uint8_t header[IPV6_HEADER + FRAGMENT] = {0};
    uint32_t payload = p->len - IPV6_HEADER, room = (longest - sizeof header) & ~7u;
    memcpy(header, p->data, IPV6_HEADER);
    header[6] = PROTO_FRAGMENT;
    header[IPV6_HEADER] = p->data[6];
    put32(header + IPV6_HEADER + 4, (uint32_t)engine_random(e));
    for (uint32_t at = 0, len; at < payload; at += len) {
        len = payload - at < room ? payload - at : room;
        put16(header + IPV6_HEADER + 2, at | (at + len < payload));
        struct held *h = piece(e, way, header, sizeof header, p->data + IPV6_HEADER + at, len);
        set_length(h->packet.data, (uint32_t)sizeof header + len);
        leave(e, way, h, (uint32_t)sizeof header + len);
    }
}

/* Sends a packet in pieces none of which is longer; 0, or the drop reason. */
static uint32_t send_pieces(struct engine *e, const struct packet *p, const struct way *way, uint32_t longest)
{
    static const uint32_t least = 128;
    bool is_segmented = p->key.proto == PROTO_TCP && p->gso && p->len > p->payload_offset;
    bool is_plain_v6 = p->key.family == 6 && p->l4_offset == IPV6_HEADER;
    bool was_in_fragments = p->reassembled && p->gso;
    if (way->is_routed && p->ttl <= 1)
        return COUNTER_flow_fwd_l3_ttl_zero;
    uint32_t each = longest < least + p->payload_offset ? 0 : longest - p->payload_offset - FRAGMENT - 8;
    uint32_t pieces = p->len <= longest ? 1 : each ? p->len / each + 1 : MOST_PIECES + 1;
    if (pieces > MOST_PIECES || pieces > e->params.max_held - e->held_count)
        return COUNTER_flow_tunnel_encap_err;
    if (p->unfinished && (pieces == 1 || !is_segmented))
        packet_complete_checksum(p);
    if (pieces == 1)
        send_whole(e, p, way);
    else if (is_segmented)
        send_segments(e, p, way, longest);
    else if (p->gso && !p->reassembled)
        return COUNTER_flow_tunnel_encap_err;
    else if (p->key.family == 4 && (!p->dont_fragment || was_in_fragments))
        send_fragments_v4(e, p, way, longest);
    else if (is_plain_v6 && was_in_fragments)
        send_fragments_v6(e, p, way, longest);
    else
        return COUNTER_ip_df_drop;
    return 0;
}

uint32_t tunnel_send(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark)
{
    uint32_t place = behind(e, port);
    if (!place)
        return COUNTER_flow_tunnel_no_encap;
    uint8_t mac[6];
    const struct tunnel_config *t = &e->config.tunnels[place - 1];
    if (t->type == TUNNEL_VXLAN && !find_mac(e, place - 1, p->data, mac))
        return COUNTER_flow_tunnel_encap_err;
    struct way way = {.port = port, .mark = mark, .is_routed = p->port != NONE}; /* else it is the machine's own */
    return send_pieces(e, p, &way, longest_inner(e, t));
}

uint32_t tunnel_emit(struct engine *e, const struct packet *p, uint16_t port, uint16_t mark, bool to_host)
{
    uint32_t mtu = to_host ? LONGEST_DATAGRAM : e->config.ports[port].mtu;
    struct way way = {.port = port, .mark = mark, .is_pinned = !to_host, .is_routed = !to_host};
    if (p->gso && p->tunnel && !to_host) { /* segments were no longer within the tunnel */
        uint32_t within = longest_inner(e, &e->config.tunnels[p->tunnel - 1]);
        mtu = within < mtu ? within : mtu;
    }
    if (to_host && !is_local(e, p->key.dst))
        return COUNTER_flow_icmp_no_session;
    return send_pieces(e, p, &way, mtu <= LONGEST_DATAGRAM ? mtu : USUAL_MTU);
}
