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

void verdict_drop(struct engine *e, uint64_t tag, uint32_t slot, enum counter reason)
{
    count(e, reason);
    verdict_add(e, VERDICT_DROP, tag, slot)->reason = (uint16_t)reason;
}

void verdict_forward(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot, uint16_t port)
{
    struct verdict *v = verdict_add(e, VERDICT_FORWARD, tag, slot);
    v->port = port;
    v->mark = e->config.ports[port].mark;
    v->data = p->data;
    v->len = p->len;
    e->stats.packets++;
    e->stats.bytes += p->len;
    count(e, COUNTER_pkt_sent);
}

/* ---- a packet of a session ------------------------------------------------------------------------ */

static bool opens_connection(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN;
}

/* Why packets to `address` cannot go on: the drop reason, or 0, and then *port is the way. */
static uint8_t look_up_way(const struct engine *e, const uint8_t *address, uint16_t zone, uint16_t *port)
{
    const struct route *route = e->fib ? fib_route(e->fib, address) : NULL;
    if (e->fib && !route)
        return COUNTER_flow_fwd_l3_noroute;
    uint16_t way = !e->fib ? *port : route->leaves ? route->port : 0;
    if (!port_takes(e, way)) /* a commit took it away, or it is none of the firewall's */
        return e->fib ? COUNTER_flow_fwd_zonechange : COUNTER_flow_no_interface;
    if (e->config.ports[way].zone != zone)
        return COUNTER_flow_fwd_zonechange;
    *port = way;
    return 0;
}

/* Forwarding is looked up again for every session after configuration or routes have changed: a session's packets
 * go where the routes lead now, as long as that is in the same zone. */
static void look_up_ways(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    s->generation = e->generation;
    for (enum direction d = C2S; d <= S2C; d++)
        s->blocked[d] = look_up_way(e, s->key[!d].src, s->key[!d].zone, &s->port[!d]);
    if (s->offload) /* with another way, or for good */
        offload_leave(e, slot);
}

static void session_packet(struct engine *e, uint32_t ref, const struct packet *p, uint64_t tag)
{
    uint32_t slot = ref / 2, reason = 0;
    enum direction direction = ref & 1;
    struct session *s = &e->sessions[slot];
    bool discard = s->state == SESSION_DISCARD, restart = !discard || !e->config.no_refresh_on_discard;
    if (!discard) {
        if (s->generation != e->generation)
            look_up_ways(e, slot);
        reason = s->blocked[direction];
        if (!reason && p->key.proto == PROTO_TCP)
            reason = tcp_segment(e, s, direction, p, &restart);
        if (reason) {
            verdict_drop(e, tag, slot, reason);
            return;
        }
    }
    s->packets[direction]++;
    s->bytes[direction] += p->len;
    session_touch(e, s);
    if (p->len > p->payload_offset)
        s->flags |= SESSION_SEEN_DATA;
    if (restart)
        session_refresh(e, slot);
    if (discard) {
        verdict_drop(e, tag, slot, COUNTER_flow_discard_drop);
        return;
    }
    verdict_forward(e, p, tag, slot, s->port[!direction]);
    if (s->offload && s->tcp_state > TCP_STATE_ESTABLISHED) /* the end of a connection is followed in software */
        offload_leave(e, slot);
    else if (!s->offload && e->offload.limit && restart) /* so its timer is the one that is configured */
        offload_enter(e, slot);
}

/* The live session of a reference, or NONE after ending one that is over. */
static uint32_t live_session(struct engine *e, uint32_t ref, const struct packet *p)
{
    uint32_t slot = ref / 2;
    if (session_is_over(e, slot))
        return NONE;
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
    if (!link_local_multicast && !is_local(e, p->key.dst)) { /* else the kernel would forward it unseen */
        verdict_drop(e, tag, 0, COUNTER_flow_icmp_no_session);
        return;
    }
    count(e, COUNTER_flow_host_pass);
    verdict_add(e, VERDICT_HOST, tag, 0)->mark = e->config.host_mark;
}

/* An ICMP error goes where the packet it quotes came from, if that packet's session lives (RFC 5508 4). */
static void icmp_error_packet(struct engine *e, const struct packet *p, uint64_t tag)
{
    uint32_t ref = flow_table_lookup(e, &p->about), slot = ref / 2;
    struct session *s = &e->sessions[slot];
    enum direction direction = ref & 1;
    if (!slot || slot > e->params.max_sessions || s->state != SESSION_ACTIVE || session_is_over(e, slot)) {
        verdict_drop(e, tag, 0, COUNTER_flow_icmp_no_session);
        return;
    }
    if (s->generation != e->generation)
        look_up_ways(e, slot);
    if (s->blocked[direction]) {
        verdict_drop(e, tag, slot, s->blocked[direction]);
        return;
    }
    count(e, COUNTER_flow_icmp_err_pass);
    verdict_forward(e, p, tag, slot, s->port[!direction]);
}

/* ---- the decision --------------------------------------------------------------------------------- */

void fastpath_place(const struct engine *e, struct packet *p, uint16_t port)
{
    p->key.zone = p->about.zone = e->config.ports[port].zone;
    p->hash = flow_table_hash(e, &p->key);
}

bool fastpath_decide(struct engine *e, const struct packet *p, uint64_t tag, uint32_t *ref)
{
    *ref = NONE;
    if (p->icmp_kind == ICMP_DISCOVERY) {
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
    if (p->key.proto == PROTO_TCP && !opens_connection(p)) {
        count(e, COUNTER_flow_tcp_non_syn);
        if (e->config.tcp_reject_non_syn) {
            verdict_drop(e, tag, 0, COUNTER_flow_tcp_non_syn_drop);
            return true;
        }
    }
    if (p->icmp_kind == ICMP_REPLY || p->icmp_kind == ICMP_OTHER) {
        verdict_drop(e, tag, 0, COUNTER_flow_icmp_no_session);
        return true;
    }
    return false;
}

bool port_takes(const struct engine *e, uint16_t port)
{
    return port < e->config.port_count && e->config.ports[port].zone;
}

/* Parses a packet and gives it its place; 0, or the drop reason. */
static uint32_t prepare(const struct engine *e, const struct input *in, struct packet *p)
{
    if (!port_takes(e, in->port))
        return COUNTER_flow_no_interface;
    bool needs_no_check = in->flags & (INPUT_CHECKSUM_TRUSTED | INPUT_CHECKSUM_UNFINISHED);
    uint32_t reason = packet_parse(in->data, in->len, in->link, needs_no_check, p);
    if (reason == COUNTER_flow_parse_l4_cksm && in->flags & INPUT_CHECKSUM_MAYBE_UNFINISHED &&
        !packet_parse(in->data, in->len, in->link, true, p) && packet_checksum_is_unfinished(p)) {
        p->unfinished = true;
        reason = 0;
    }
    if (reason)
        return reason;
    if (p->key.family == 6 && !(e->config.ports[in->port].ipv6 && e->config.ipv6_firewalling))
        return COUNTER_flow_ipv6_disabled;
    fastpath_place(e, p, in->port);
    flow_table_prefetch_bucket(e, p->hash);
    if (e->stats.offloaded)
        offload_prefetch_bucket(e, p->hash);
    return 0;
}

/* Returns true where the packet now waits for the slowpath as the first of its flow. */
static bool decide(struct engine *e, const struct input *in, const struct packet *p, uint32_t reason)
{
    uint32_t ref = NONE;
    count(e, COUNTER_pkt_recv);
    if (!reason) {
        if (p->unfinished)
            count(e, COUNTER_flow_l4_cksm_unfinished);
        if (fastpath_decide(e, p, in->tag, &ref))
            return false;
        if (ref)
            reason = undecided_park(e, ref, p, in->tag, in->port);
        else
            reason = undecided_open(e, p, in->tag, in->port);
    }
    if (reason)
        verdict_drop(e, in->tag, 0, reason);
    return !reason && !ref;
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
            if (e->verdict_count + e->held_count >= e->verdict_limit) /* every held packet will want one too */
                break;
            stop = decide(e, &group[i], &packets[i], reasons[i]) && stop_when_undecided;
        }
        taken += i;
        stop = stop || i < size;
    }
    engine_leave(e);
    return taken;
}
