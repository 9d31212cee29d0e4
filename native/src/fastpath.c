/*
 * fastpath.c - a packet's way: parse, find its session, follow it; or hand it to the slowpath.
 *
 * Everything that needs no policy is decided here. A packet of a session in DISCARD is dropped, one of an
 * ACTIVE session moves its state and timer and is forwarded. A packet without a session goes to the
 * slowpath only if it may open one.
 */
#include <string.h>

#include "state.h"

/* ---- verdicts ------------------------------------------------------------------------------------ */

static struct verdict *verdict_add(struct engine *e, enum verdict_action action, uint64_t tag, uint32_t slot)
{
    struct verdict *v = &e->verdicts[e->verdict_count++];
    *v = (struct verdict){.action = (uint8_t)action, .tag = tag, .session = slot};
    return v;
}

/* The verdict just added is complete: that on a datagram becomes those on its fragments. */
static void verdict_done(struct engine *e, uint64_t tag)
{
    if (is_datagram(tag))
        fragment_release(e);
}

void verdict_drop(struct engine *e, uint64_t tag, uint32_t slot, enum counter reason)
{
    count(e, reason);
    verdict_add(e, VERDICT_DROP, tag, slot)->reason = (uint16_t)reason;
    verdict_done(e, tag);
}

void verdict_consumed(struct engine *e, uint64_t tag, uint32_t slot)
{
    verdict_add(e, VERDICT_CONSUMED, tag, slot);
    verdict_done(e, tag);
}

/* What goes back changed has a complete checksum. */
static inline void complete_rebuilt(const struct packet *p)
{
    if (p->rebuilt && p->unfinished)
        packet_complete_checksum(p);
}

void verdict_forward(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot, uint16_t port, uint16_t mark,
                     bool changed)
{
    if (e->config.ports[port].mode == PORT_TAP) {
        verdict_drop(e, tag, slot, COUNTER_flow_tap_drop);
        return;
    }
    bool by_tunnel = e->config.ports[port].mode == PORT_TUNNEL;
    if (by_tunnel || p->reframed) {
        uint32_t reason = by_tunnel ? tunnel_send(e, p, port, mark) : tunnel_emit(e, p, port, mark, false);
        if (reason) {
            verdict_drop(e, tag, slot, reason);
            return;
        }
        verdict_consumed(e, tag, slot);
    } else {
        struct verdict *v = verdict_add(e, VERDICT_FORWARD, tag, slot);
        v->port = port;
        v->mark = e->config.ports[port].mark | mark;
        v->data = p->data;
        v->len = p->len;
        v->changed = changed || p->rebuilt;
        complete_rebuilt(p);
        verdict_done(e, tag);
    }
    e->stats.packets++;
    e->stats.bytes += p->len;
    count(e, COUNTER_pkt_sent);
}

static void verdict_host(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot)
{
    if (p->reframed) {
        uint32_t reason = tunnel_emit(e, p, 0, 0, true);
        if (reason)
            verdict_drop(e, tag, slot, reason);
        else
            verdict_consumed(e, tag, slot);
        return;
    }
    struct verdict *v = verdict_add(e, VERDICT_HOST, tag, slot);
    v->mark = e->config.host_mark;
    v->data = p->data;
    v->len = p->len;
    v->changed = p->rebuilt;
    complete_rebuilt(p);
    verdict_done(e, tag);
}

/* Adds the verdict on a packet of the engine's own; NULL where there is a tunnel behind the port that it cannot enter. */
static struct verdict *emit_add(struct engine *e, struct held *h, uint32_t len, uint16_t port, uint16_t mark)
{
    bool enters = true;
    for (int depth = 0; enters && e->config.ports[port].mode == PORT_TUNNEL; depth++) {
        enters = depth < MAX_TUNNEL_DEPTH && tunnel_wrap(e, h->packet.data, &len, &port);
        mark &= (uint16_t)~MARK_PATH; /* of the inner packet */
    }
    held_finish(e, h);
    if (!enters) {
        count(e, COUNTER_flow_emit_fail);
        return NULL;
    }
    struct verdict *v = verdict_add(e, VERDICT_EMIT, 0, NONE);
    v->data = h->packet.data;
    v->len = len;
    v->port = port;
    v->mark = e->config.host_mark | mark;
    v->changed = true;
    return v;
}

void verdict_emit(struct engine *e, struct held *h, uint32_t len, uint16_t port, uint16_t mark, const uint8_t *mac)
{
    struct verdict *v = emit_add(e, h, len, port, mark);
    if (v && is_bridged(e, port))
        memcpy(v->mac, mac, sizeof v->mac);
}

void verdict_emit_by(struct engine *e, struct held *h, uint32_t len, uint16_t port, uint16_t mark)
{
    struct verdict *v = emit_add(e, h, len, port, mark);
    if (v)
        v->is_pinned = true;
}

void verdict_answer(struct engine *e, struct held *h, uint32_t len, const struct packet *p, uint64_t tag)
{
    const struct port_config *port = &e->config.ports[p->port];
    bool takes_its_place = port->mode == PORT_LAYER3 && !p->rebuilt && !is_datagram(tag);
    verdict_emit(e, h, len, p->port, 0, p->mac);
    if (!takes_its_place) {
        verdict_consumed(e, tag, NONE);
        return;
    }
    struct verdict *answer = &e->verdicts[e->verdict_count - 1], *v = verdict_add(e, VERDICT_CONSUMED, tag, NONE);
    answer->is_answer = v->is_answer = true;
    v->data = answer->data;
    v->len = answer->len;
    v->port = p->port;
    v->mark = port->mark;
}

/* ---- a packet of a session ------------------------------------------------------------------------ */

static bool opens_connection(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN;
}

/* Where a session's packets go by a route: its own next hop as long as there is that one, else one of them. */
static void follow_route(const struct fib *fib, const struct route *route, uint32_t slot, uint16_t *port, uint16_t *mark)
{
    const struct route_hop *hops = fib_hops(fib, route);
    if (!route->hop_count) {
        *port = route->leaves ? route->port : 0;
        *mark &= (uint16_t)~MARK_PATH;
        return;
    }
    for (uint32_t i = 0; i < route->hop_count; i++)
        if (hops[i].port == *port && hops[i].path == (uint8_t)*mark)
            return;
    const struct route_hop *hop = &hops[slot % route->hop_count];
    *port = hop->port;
    *mark = (uint16_t)((*mark & ~MARK_PATH) | hop->path);
}

/* Why packets that come in by `ingress` cannot go to `address` in `zone`: the drop reason, or 0, and then *port and
 * *mark are the way. */
static uint8_t look_up_way(const struct engine *e, uint16_t ingress, const uint8_t *address, uint16_t zone, uint32_t slot,
                           bool is_fixed, uint16_t *port, uint16_t *mark)
{
    const struct fib *fib = port_takes(e, ingress) ? e->fibs[e->config.ports[ingress].virtual_router] : NULL;
    uint16_t way = *port;
    if (fib && !is_fixed && !is_bridged(e, ingress)) {
        const struct route *route = fib_route(fib, address);
        if (!route)
            return COUNTER_flow_fwd_l3_noroute;
        follow_route(fib, route, slot, &way, mark);
    }
    if (!port_takes(e, way)) /* a commit took it away, or it is none of the firewall's */
        return fib ? COUNTER_flow_fwd_zonechange : COUNTER_flow_no_interface;
    if (e->config.ports[way].zone != zone)
        return COUNTER_flow_fwd_zonechange;
    *port = way;
    return 0;
}

/* Forwarding is looked up again for every session after configuration or routes have changed: a session's packets
 * go where the routes lead now, as long as that is in the same zone. */
static void look_up_ways(struct engine *e, uint32_t slot)
{
    static const uint16_t fixed[2] = {SESSION_FIXED_C2S, SESSION_FIXED_S2C};
    struct session *s = &e->sessions[slot];
    s->generation = e->generation;
    if (s->flags & SESSION_HOST) {
        s->blocked[C2S] = is_local(e, s->key[C2S].dst) ? 0 : COUNTER_flow_fwd_zonechange;
        return;
    }
    const uint16_t ingress[2] = {s->port[C2S], s->port[S2C]};
    for (enum direction d = C2S; d <= S2C; d++)
        s->blocked[d] = look_up_way(e, ingress[d], s->key[!d].src, s->key[!d].zone, slot, s->flags & fixed[d],
                                    &s->port[!d], &s->mark[d]);
    if (s->offload) /* with another way, or for good */
        offload_leave(e, slot);
}

/* Whether a port leads where the session's packets of this direction go. */
static bool is_in_zone(const struct engine *e, const struct session *s, enum direction direction, uint16_t egress)
{
    return port_takes(e, egress) && e->config.ports[egress].zone == s->key[!direction].zone;
}

/* Between bridged ports the bridge says where a packet goes. */
static uint32_t follow_bridge(struct engine *e, uint32_t slot, enum direction direction, uint16_t egress)
{
    struct session *s = &e->sessions[slot];
    if (!is_in_zone(e, s, direction, egress))
        return COUNTER_flow_fwd_zonechange;
    s->port[!direction] = egress;
    if (s->offload)
        offload_leave(e, slot);
    return 0;
}

bool is_routed(const struct engine *e, uint16_t port)
{
    return e->config.ports[port].mode == PORT_LAYER3 || e->config.ports[port].mode == PORT_TUNNEL;
}

/* Why a packet cannot leave by a port, as it came: 0, or the drop reason, and its sender is told. Out of the way of
 * the many: asked only where the hop limit or the length may be a reason. */
static __attribute__((noinline)) uint32_t refuse_egress(struct engine *e, const struct packet *p, uint16_t ingress,
                                                        uint16_t egress)
{
    const struct port_config *out = &e->config.ports[egress];
    if (out->mode == PORT_TUNNEL && !tunnel_is_behind(e, egress))
        return COUNTER_flow_tunnel_no_encap;
    if (!is_routed(e, egress) || !is_routed(e, ingress))
        return 0;
    if (p->ttl <= 1) {
        icmp_error_emit(e, p, ingress, ICMP_TIME_EXCEEDED, 0);
        return COUNTER_flow_fwd_l3_ttl_zero;
    }
    if (p->len <= out->mtu || p->gso) /* of segments only the kernel knows the length */
        return 0;
    count(e, COUNTER_flow_fwd_mtu_exceeded);
    if (!p->dont_fragment) /* the kernel does it */
        return 0;
    icmp_error_emit(e, p, ingress, ICMP_TOO_BIG, out->mtu);
    return COUNTER_ip_df_drop;
}

static uint16_t largest_mss(const struct engine *e, const struct packet *p, uint16_t ingress, uint16_t egress)
{
    uint16_t in = e->config.ports[ingress].largest_mss[p->key.family == 6];
    uint16_t out = e->config.ports[egress].largest_mss[p->key.family == 6];
    return in && (!out || in < out) ? in : out;
}

static void session_packet(struct engine *e, uint32_t ref, struct packet *p, uint64_t tag)
{
    uint32_t slot = ref / 2, reason = 0;
    enum direction direction = ref & 1;
    struct session *s = &e->sessions[slot];
    uint16_t port = p->port;
    bool changed = false, is_proxied = s->flags & SESSION_SYN_COOKIE;
    bool discard = s->state == SESSION_DISCARD, restart = !discard || !e->config.no_refresh_on_discard;
    bool is_host = s->flags & SESSION_HOST;
    if (!discard) {
        if (s->generation != e->generation)
            look_up_ways(e, slot);
        reason = s->blocked[direction];
        if (!reason && p->egress && p->egress != s->port[!direction])
            reason = follow_bridge(e, slot, direction, p->egress);
        if (!reason && !is_host && (p->ttl <= 1 || p->len > e->config.ports[s->port[!direction]].mtu))
            reason = refuse_egress(e, p, port, s->port[!direction]);
        if (!reason && is_proxied && cookie_inbound(e, slot, direction, p, tag, &changed))
            return;
        bool is_concerned = p->key.proto == PROTO_TCP && checks_concern(e, p);
        if (!reason && is_concerned)
            reason = checks_refuse_segment(e, slot, direction, p);
        if (!reason && p->key.proto == PROTO_TCP)
            reason = is_host ? tcp_host_segment(s, p, &restart) : tcp_segment(e, s, direction, p, &restart);
        if (!reason && is_concerned)
            changed |= checks_pass_segment(e, slot, direction, p);
        if (reason) {
            verdict_drop(e, tag, slot, reason);
            return;
        }
    }
    s->packets[direction] += 1u + p->more_packets;
    s->bytes[direction] += p->len + p->more_bytes;
    session_touch(e, s);
    if (p->len > p->payload_offset)
        s->flags |= SESSION_SEEN_DATA;
    if (restart)
        session_refresh(e, slot);
    if (discard) {
        verdict_drop(e, tag, slot, COUNTER_flow_discard_drop);
        return;
    }
    if (is_host) {
        count(e, COUNTER_flow_host_session_pass);
        p->rebuilt |= changed;
        verdict_host(e, p, tag, slot);
        return;
    }
    bool may_offload = !s->offload && e->offload.limit && restart; /* so its timer is the one that is configured */
    bool is_syn = p->tcp_flags & TCP_SYN;
    if (is_proxied)
        changed |= cookie_outbound(e, slot, direction, p);
    if (is_translated(s) || s->dscp[direction] || is_syn)
        changed |= rewrite_packet(e, p, is_translated(s) ? &s->key[!direction] : NULL, s->dscp[direction],
                                  is_syn ? largest_mss(e, p, port, s->port[!direction]) : 0);
    verdict_forward(e, p, tag, slot, s->port[!direction], s->mark[direction], changed);
    if (s->offload && s->tcp_state > TCP_STATE_ESTABLISHED) /* the end of a connection is followed in software */
        offload_leave(e, slot);
    else if (may_offload)
        offload_enter(e, slot);
}

/* Whether a packet that the bridge sends on to several zones was denied to another one than it goes to now. */
static bool is_denied_elsewhere(const struct engine *e, const struct session *s, const struct packet *p)
{
    return s->state == SESSION_DISCARD && port_takes(e, p->egress) && !is_in_zone(e, s, C2S, p->egress);
}

/* The live session of a reference, or NONE after ending one that is over. */
static uint32_t live_session(struct engine *e, uint32_t ref, const struct packet *p)
{
    uint32_t slot = ref / 2;
    if (session_is_over(e, slot))
        return NONE;
    if (is_denied_elsewhere(e, &e->sessions[slot], p)) {
        session_end(e, slot, e->now_ns, END_REASON_policy_deny);
        return NONE;
    }
    if (e->sessions[slot].tcp_state == TCP_STATE_TIME_WAIT && opens_connection(p)) {
        session_end(e, slot, e->now_ns, END_REASON_tcp_reuse);
        return NONE;
    }
    return ref;
}

/* ---- packets that are not about a session of their own --------------------------------------------- */

bool is_local(const struct engine *e, const uint8_t address[16])
{
    uint32_t low = 0, high = e->config.local_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = memcmp(address, e->config.local + middle * 16ull, 16);
        if (!order)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static void discovery_packet(struct engine *e, const struct packet *p, uint64_t tag)
{
    bool link_local_multicast = p->key.dst[0] == 0xff && (p->key.dst[1] & 15) == 2;
    if (p->tunnel && tunnel_discovers(e, p)) {
        verdict_consumed(e, tag, NONE);
        return;
    }
    /* the kernel would take what comes by a tunnel for something of the outer packet's link */
    if (p->tunnel || (!link_local_multicast && !is_local(e, p->key.dst))) { /* else the kernel would forward it unseen */
        verdict_drop(e, tag, 0, COUNTER_flow_icmp_no_session);
        return;
    }
    count(e, COUNTER_flow_host_pass);
    verdict_host(e, p, tag, NONE);
}

/* An ICMP reply or error without a session: what the machine itself has asked for, or nobody. Between bridged
 * ports it asks for nothing: what is addressed to it would only go on. */
static void unasked_packet(struct engine *e, const struct packet *p, uint64_t tag)
{
    if (is_bridged(e, p->port) || !is_local(e, p->key.dst)) {
        verdict_drop(e, tag, 0, COUNTER_flow_icmp_no_session);
        return;
    }
    count(e, COUNTER_flow_host_pass);
    verdict_host(e, p, tag, NONE);
}

/* The session an ICMP error speaks about, as the reference of the flow it goes with; NONE where there is none. */
static uint32_t session_about(struct engine *e, const struct flow_key *about)
{
    uint32_t ref = flow_table_lookup(e, about), slot = ref / 2;
    bool is_live = slot && slot <= e->params.max_sessions && e->sessions[slot].state == SESSION_ACTIVE;
    return is_live && !session_is_over(e, slot) ? ref : NONE;
}

/* Makes an ICMP error that goes the way of a flow what its receiver understands; whether anything was changed. */
static bool translate_error(const struct session *s, enum direction direction, const struct packet *p)
{
    bool changed = s->flags & SESSION_SYN_COOKIE && cookie_quoted(s, direction, p);
    if (is_translated(s))
        changed |= rewrite_icmp_error(p, &s->key[direction], &s->key[!direction]);
    return changed;
}

/* An ICMP error goes where the packet it quotes came from, if that packet's session lives (RFC 5508 4). */
static void icmp_error_packet(struct engine *e, const struct packet *p, uint64_t tag)
{
    uint32_t ref = session_about(e, &p->about), slot = ref / 2;
    struct session *s = &e->sessions[slot];
    enum direction direction = ref & 1;
    if (!ref || s->flags & SESSION_HOST) {
        unasked_packet(e, p, tag);
        return;
    }
    if (s->generation != e->generation)
        look_up_ways(e, slot);
    uint32_t reason = s->blocked[direction];
    if (!reason && p->egress && !is_in_zone(e, s, direction, p->egress))
        reason = COUNTER_flow_fwd_zonechange;
    if (reason) {
        verdict_drop(e, tag, slot, reason);
        return;
    }
    count(e, COUNTER_flow_icmp_err_pass);
    bool changed = translate_error(s, direction, p);
    verdict_forward(e, p, tag, slot, s->port[!direction], s->mark[direction], changed);
}

/* Whether the profile of the zone that an error of the machine's own kernel would leave to says that none is sent. */
static bool is_suppressed(struct engine *e, const struct packet *p, uint16_t port)
{
    bool is_v4 = p->key.family == 4;
    if (p->icmp_type == (is_v4 ? 11 : 3))
        return checks_suppress(e, port, PROTECT_suppress_time_exceeded);
    return p->icmp_type == (is_v4 ? 3 : 2) && (!is_v4 || p->icmp_code == 4) &&
           checks_suppress(e, port, PROTECT_suppress_need_frag);
}

/* An error of the machine's own kernel about a packet it was to forward, so after translation: it is for who sent the
 * packet before. Of the zone that packet was to leave by nothing is said, so all are asked. */
static void own_error_packet(struct engine *e, struct packet *p, uint64_t tag)
{
    uint32_t ref = NONE;
    for (uint32_t port = 1; port < e->config.port_count && !ref && p->icmp_kind == ICMP_ERROR; port++) {
        p->about.zone = e->config.ports[port].zone;
        ref = p->about.zone ? session_about(e, &p->about) : NONE;
    }
    struct session *s = &e->sessions[ref / 2];
    enum direction direction = ref & 1;
    if (ref && is_suppressed(e, p, s->port[!direction])) {
        verdict_consumed(e, tag, ref / 2);
        return;
    }
    struct verdict *v = verdict_add(e, VERDICT_HOST, tag, ref / 2);
    v->mark = e->config.host_mark;
    if (!ref || !translate_error(s, direction, p))
        return;
    count(e, COUNTER_flow_icmp_err_host);
    v->mark |= s->mark[direction];
    v->data = p->data;
    v->len = p->len;
    v->changed = true;
}

/* Between the ports of a bridge, of no session. */
static void pass_bridge(struct engine *e, const struct packet *p, uint64_t tag)
{
    if (!port_takes(e, p->egress)) {
        verdict_drop(e, tag, NONE, COUNTER_flow_no_interface);
        return;
    }
    count(e, COUNTER_flow_fwd_bridge_pass);
    verdict_forward(e, p, tag, NONE, p->egress, 0, false);
}

/* What a bridge passes on without anybody looking (fact sheet 4.3). */
static bool passes_bridge(const struct engine *e, const struct packet *p, const struct port_config *port)
{
    const uint8_t *dst = p->key.dst;
    bool is_v4 = p->key.family == 4;
    /* a bridge knows no subnets; but a packet for one host does not get by in a frame for all of them */
    bool is_local_broadcast = is_v4 && p->is_broadcast && dst[15] == 255;
    bool is_broadcast = is_local_broadcast || (is_v4 && !memcmp(dst + 12, "\xff\xff\xff\xff", 4));
    bool is_multicast = is_v4 ? dst[12] >= 224 && dst[12] < 240 : dst[0] == 0xff;
    if (port->mode != PORT_LAYER2 && port->mode != PORT_VIRTUAL_WIRE)
        return false;
    if (!is_v4 && !e->config.ipv6_firewalling)
        return true;
    return (is_multicast || is_broadcast) && (port->mode == PORT_LAYER2 || !port->multicast_firewalling);
}

/* ---- the decision --------------------------------------------------------------------------------- */

void fastpath_place(const struct engine *e, struct packet *p)
{
    p->key.zone = p->about.zone = e->config.ports[p->port].zone;
    p->hash = flow_table_hash(e, &p->key);
}

/* A packet that matches no session and may open one: whether protection has decided it. */
static bool is_kept_out(struct engine *e, struct packet *p, uint64_t tag)
{
    uint32_t reason = COUNTER_flow_dos_syncookie_full;
    enum admission admission = p->cookie ? ADMIT : zone_admits(e, p, &reason); /* the SYN was counted */
    enum admission by_rule = admission == ADMIT_NOT ? ADMIT_NOT : dos_admits(e, p, &reason);
    if (admission < by_rule)
        admission = by_rule;
    if (admission == ADMIT || (admission == ADMIT_WITH_COOKIE && !cookie_fits(e, p)))
        return false;
    if (admission != ADMIT_WITH_COOKIE || !cookie_answer(e, p, tag))
        verdict_drop(e, tag, NONE, reason);
    return true;
}

/* A segment without a session that does not open a connection: whether that decides it. */
static bool is_stray(struct engine *e, struct packet *p, uint64_t tag)
{
    if (uses_cookies(e, p) && cookie_accept(e, p))
        return false;
    count(e, COUNTER_flow_tcp_non_syn);
    if (!protection_of(e, p->port)->tcp_reject_non_syn)
        return false;
    scan_note_refused(e, p);
    verdict_drop(e, tag, NONE, COUNTER_flow_tcp_non_syn_drop);
    return true;
}

bool fastpath_decide(struct engine *e, struct packet *p, uint64_t tag, uint32_t *ref)
{
    uint16_t port = p->port;
    *ref = NONE;
    if (is_bridged(e, port) && passes_bridge(e, p, &e->config.ports[port])) {
        pass_bridge(e, p, tag);
        return true;
    }
    if (p->icmp_kind == ICMP_DISCOVERY && !is_bridged(e, port)) {
        discovery_packet(e, p, tag);
        return true;
    }
    if (p->icmp_kind == ICMP_ERROR) {
        icmp_error_packet(e, p, tag);
        return true;
    }
    if (e->stats.offloaded && offload_packet(e, p, tag))
        return true;
    *ref = flow_table_lookup_hashed(e, &p->key, p->hash);
    if (*ref / 2 > e->params.max_sessions)
        return false; /* behind the packet that is being decided */
    if (*ref)
        *ref = live_session(e, *ref, p);
    if (*ref) {
        session_packet(e, *ref, p, tag);
        return true;
    }
    if (p->key.proto == PROTO_TCP && !opens_connection(p) && is_stray(e, p, tag))
        return true;
    if (p->icmp_kind == ICMP_DISCOVERY) { /* between the hosts of a bridge */
        pass_bridge(e, p, tag);
        return true;
    }
    if (p->icmp_kind == ICMP_REPLY) {
        unasked_packet(e, p, tag);
        return true;
    }
    if (p->icmp_kind == ICMP_OTHER) {
        verdict_drop(e, tag, NONE, COUNTER_flow_icmp_no_session);
        return true;
    }
    return is_kept_out(e, p, tag);
}

/* Between bridged ports IPv6 that is not inspected is passed on, or, of a tap, dropped. */
static bool is_v6_taken(const struct engine *e, uint16_t port)
{
    const struct port_config *config = &e->config.ports[port];
    if (config->mode == PORT_LAYER2 || config->mode == PORT_VIRTUAL_WIRE)
        return true;
    return e->config.ipv6_firewalling && (config->ipv6 || config->mode == PORT_TAP);
}

bool is_bridged(const struct engine *e, uint16_t port)
{
    uint8_t mode = e->config.ports[port].mode;
    return mode == PORT_LAYER2 || mode == PORT_VIRTUAL_WIRE || mode == PORT_TAP;
}

bool port_takes(const struct engine *e, uint16_t port)
{
    return port < e->config.port_count && e->config.ports[port].zone;
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
        own_error_packet(e, p, in->tag);
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
