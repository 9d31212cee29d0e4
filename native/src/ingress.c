/*
 * ingress.c - from what an edge delivers to a packet that has its place: its port, what is in it, whose datagram it is a
 * piece of (packet flow sequence, section 2).
 *
 * What needs nothing but the packet and the configuration is done for a whole group of packets first; the rest in their
 * order.
 */
#include <string.h>

#include "state.h"

/* Between bridged ports IPv6 that is not inspected is passed on, or, of a tap, dropped. */
static bool is_v6_taken(const struct engine *e, uint16_t port)
{
    const struct port_config *config = &e->config.ports[port];
    if (config->mode == PORT_LAYER2 || config->mode == PORT_VIRTUAL_WIRE)
        return true;
    return e->config.ipv6_firewalling && (config->ipv6 || config->mode == PORT_TAP);
}

/* The sub-interface of a port that has frames with this 802.1Q tag; 0 where none is configured. */
static uint16_t tagged_port(const struct engine *e, uint16_t parent, uint16_t tag)
{
    for (uint16_t port = 1; port < e->config.port_count; port++)
        if (e->config.ports[port].parent == parent && e->config.ports[port].tag == tag && port_takes(e, port))
            return port;
    return 0;
}

/* Whether frames with a tag that come by a port in no zone may be those of a sub-interface. */
static bool has_tagged_ports(const struct engine *e, uint16_t parent)
{
    for (uint16_t port = 1; parent && port < e->config.port_count; port++)
        if (e->config.ports[port].parent == parent)
            return true;
    return false;
}

/* How a packet within another one is parsed: nobody has verified its checksum, but the sending machine may have left it
 * to the last hop. */
static uint32_t parse_inner(const struct inner *inner, bool may_be_unfinished, struct packet *p)
{
    uint32_t reason = packet_parse(inner->data, inner->len, inner->link, 0, p);
    if (reason != COUNTER_flow_parse_l4_cksm || !may_be_unfinished)
        return reason;
    if (packet_parse(inner->data, inner->len, inner->link, PARSE_TRUSTED, p) || !packet_checksum_is_unfinished(p))
        return COUNTER_flow_parse_l4_cksm;
    p->unfinished = true;
    return 0;
}

/* Goes on with what is in a parsed packet, if that has arrived for a tunnel. */
static uint32_t enter_tunnels(const struct engine *e, struct packet *p)
{
    uint8_t family = p->key.family;
    bool was_reframed = p->reframed, was_in_fragments = false;
    for (int depth = 0;; depth++) {
        struct inner inner;
        uint32_t reason = tunnel_find(e, p, &inner);
        if (reason || !inner.len)
            return reason;
        if (depth == MAX_TUNNEL_DEPTH)
            return COUNTER_flow_tunnel_nest;
        struct packet outer = *p;
        if (inner.is_frame) {
            p->data = inner.data;
            p->len = inner.len;
            p->tunnel = inner.tunnel;
            return COUNTER_flow_parse_ethertype;
        }
        reason = parse_inner(&inner, outer.unfinished || (outer.gso && !outer.reassembled), p);
        p->rebuilt = true;
        p->gso = outer.gso && !outer.reassembled;
        /* No fragment of the outer packet can carry it back. Nor can a large packet of segments: to tell how long they are
         * the kernel would read a TCP header where that of the inner packet was. */
        was_in_fragments |= outer.reassembled;
        p->reframed = was_in_fragments || (p->gso && p->key.proto == PROTO_TCP) || was_reframed != (p->key.family != family);
        p->port = inner.port;
        p->tunnel = inner.tunnel;
        p->outer_ecn = inner.ecn;
        if (reason)
            return reason;
        if (!port_takes(e, p->port))
            return COUNTER_flow_no_interface;
    }
}

/* What is the same for every packet from outside once it is parsed: its port, what is in it, its place. */
static uint32_t settle(const struct engine *e, struct packet *p, uint16_t port)
{
    p->port = p->is_tagged ? tagged_port(e, port, p->tag) : port;
    if (!p->port)
        return COUNTER_flow_rcv_dot1q_tag_err;
    uint32_t reason = e->config.tunnel_count && !p->is_fragment ? enter_tunnels(e, p) : 0;
    if (reason)
        return reason;
    if (p->key.family == 6 && !is_v6_taken(e, p->port))
        return COUNTER_flow_ipv6_disabled;
    fastpath_place(e, p);
    return 0;
}

/* Parses a packet and gives it its place; 0, or the drop reason. */
static uint32_t prepare(const struct engine *e, const struct input *in, struct packet *p)
{
    bool is_own = in->flags & INPUT_FROM_HOST;
    p->key.family = 0; /* nothing is parsed yet */
    p->tunnel = NONE;
    bool is_taken = is_own || port_takes(e, in->port);
    if (!is_taken && !has_tagged_ports(e, in->port))
        return COUNTER_flow_no_interface;
    uint32_t how = (in->flags & (INPUT_CHECKSUM_TRUSTED | INPUT_CHECKSUM_UNFINISHED) ? PARSE_TRUSTED : 0) |
                   (is_own ? PARSE_TRUSTED | PARSE_OWN : 0);
    uint32_t reason = packet_parse(in->data, in->len, in->link, how, p);
    if (!reason) {
        p->unfinished = in->flags & INPUT_CHECKSUM_UNFINISHED;
    } else if (reason == COUNTER_flow_parse_l4_cksm && in->flags & INPUT_CHECKSUM_MAYBE_UNFINISHED &&
               !packet_parse(in->data, in->len, in->link, PARSE_TRUSTED, p) && packet_checksum_is_unfinished(p)) {
        p->unfinished = true;
        reason = 0;
    }
    p->port = in->port;
    if (reason)
        return reason;
    if (!is_taken && !p->is_tagged)
        return COUNTER_flow_no_interface;
    p->gso = in->flags & INPUT_GSO;
    p->is_broadcast = in->flags & INPUT_BROADCAST;
    p->egress = in->egress;
    memcpy(p->mac, in->mac, sizeof p->mac);
    if (is_own)
        return 0;
    reason = settle(e, p, in->port);
    if (reason)
        return reason;
    flow_table_prefetch_bucket(e, p->hash);
    if (e->stats.offloaded)
        offload_prefetch_bucket(e, p->hash);
    return 0;
}

static void decide_own(struct engine *e, const struct input *in, struct packet *p, uint32_t reason)
{
    bool enters_tunnel = !reason && port_takes(e, p->egress) && e->config.ports[p->egress].mode == PORT_TUNNEL;
    if (enters_tunnel)
        reason = tunnel_send(e, p, p->egress, 0);
    if (reason)
        verdict_drop(e, in->tag, NONE, reason);
    else if (enters_tunnel)
        verdict_consumed(e, in->tag, NONE);
    else
        fastpath_own_error(e, p, in->tag);
}

static bool decide_fragment(struct engine *e, struct packet *p, uint64_t tag);

/* What the parser refused. Flags that no connection has may be those of a scan. */
static void refuse(struct engine *e, struct packet *p, uint64_t tag, uint32_t reason)
{
    if (reason == COUNTER_tcp_flag_zero || reason == COUNTER_flow_parse_tcp_flags) {
        fastpath_place(e, p);
        scan_note_refused(e, p);
    }
    if (reason == COUNTER_flow_parse_ethertype && p->tunnel && tunnel_takes(e, p))
        verdict_consumed(e, tag, NONE);
    else
        verdict_drop(e, tag, NONE, reason);
}

/* Decides a packet that has its place, or reassembles its datagram. True where it now waits for the slowpath as the
 * first of its flow. */
static bool decide_placed(struct engine *e, struct packet *p, uint64_t tag)
{
    uint32_t ref = NONE, reason = p->tunnel ? tunnel_arrived(e, p) : 0;
    if (!reason)
        reason = block_hit(e, p) ? COUNTER_flow_dos_drop_ip_blocked : checks_refuse(e, p);
    if (!reason && p->is_fragment)
        return decide_fragment(e, p, tag);
    if (!reason) {
        if (fastpath_decide(e, p, tag, &ref))
            return false;
        reason = ref ? undecided_park(e, ref, p, tag) : undecided_open(e, p, tag);
    }
    if (reason)
        verdict_drop(e, tag, NONE, reason);
    return !reason && !ref;
}

/* A fragment waits for the others; the one that completes its datagram has that decided, as if it had come whole. */
static bool decide_fragment(struct engine *e, struct packet *p, uint64_t tag)
{
    struct datagram whole;
    uint32_t reason = fragment_add(e, p, tag, &whole);
    if (reason) {
        verdict_drop(e, tag, NONE, reason);
        return false;
    }
    if (!whole.len)
        return false;
    reason = packet_parse(whole.data, whole.len, LINK_IP, 0, p);
    if (!reason && p->is_fragment) /* a second fragment header (RFC 8200 4.1: one at most) */
        reason = COUNTER_flow_parse_ip6_ext_hdr;
    p->gso = p->reassembled = true; /* how long the pieces are, the kernel knows */
    p->more_packets = (uint16_t)(whole.fragments - 1);
    p->more_bytes = whole.bytes - whole.len;
    p->reframed = whole.is_reframed;
    p->is_broadcast = whole.is_broadcast;
    p->egress = whole.egress;
    memcpy(p->mac, whole.mac, sizeof p->mac);
    p->port = whole.port;
    if (!reason)
        reason = settle(e, p, whole.port);
    if (!reason && p->is_fragment) /* found in a tunnel: a datagram has one verdict, and its fragments cannot wait for others */
        reason = COUNTER_flow_tunnel_nest;
    if (reason) {
        refuse(e, p, whole.tag, reason);
        return false;
    }
    return decide_placed(e, p, whole.tag);
}

/* Returns true where the packet now waits for the slowpath as the first of its flow. */
static bool decide(struct engine *e, const struct input *in, struct packet *p, uint32_t reason)
{
    if (in->flags & INPUT_FROM_HOST) {
        decide_own(e, in, p, reason);
        return false;
    }
    count(e, COUNTER_pkt_recv);
    if (reason) {
        refuse(e, p, in->tag, reason);
        return false;
    }
    if (p->unfinished && in->flags & INPUT_CHECKSUM_MAYBE_UNFINISHED)
        count(e, COUNTER_flow_l4_cksm_unfinished);
    return decide_placed(e, p, in->tag);
}

/* Memory is asked for a whole group of packets before the first of them is decided, so that with millions of
 * sessions the packets wait for memory together and not one after the other. */
uint32_t engine_input(struct engine *e, const struct input *burst, uint32_t n, bool stop_when_undecided)
{
    enum { GROUP = 32 };
    struct packet packets[GROUP];
    uint32_t reasons[GROUP], taken = 0;
    bool stop = false;
    if (n > MAX_BURST)
        n = MAX_BURST;
    engine_enter(e);
    while (taken < n && !stop) {
        const struct input *group = burst + taken;
        uint32_t size = n - taken < GROUP ? n - taken : GROUP, i;
        for (i = 0; i < size; i++)
            reasons[i] = prepare(e, &group[i], &packets[i]);
        for (i = 0; i < size; i++)
            if (!reasons[i] && !(e->stats.offloaded && offload_prefetch_records(e, packets[i].hash)))
                flow_table_prefetch_records(e, packets[i].hash);
        for (i = 0; i < size && !stop; i++) {
            if (group[i].now_ns > e->now_ns)
                engine_advance(e, group[i].now_ns);
            /* every held packet will want one too; fragments that wait have room of their own */
            if (e->verdict_count + e->held_count >= e->verdict_limit)
                break;
            /* what a tunnel takes in pieces needs buffers, which come back with the verdicts */
            if (e->config.tunnel_count && e->held_over && e->params.max_held - e->held_count < MOST_PIECES)
                break;
            stop = decide(e, &group[i], &packets[i], reasons[i]) && stop_when_undecided;
        }
        taken += i;
        stop = stop || i < size;
    }
    engine_leave(e);
    return taken;
}
