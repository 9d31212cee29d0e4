/* verdict.c - what becomes of a packet, and the packets of the engine's own, in the list an edge takes. */
#include <string.h>

#include "state.h"

struct verdict *verdict_add(struct engine *e, enum verdict_action action, uint64_t tag, uint32_t slot)
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

void verdict_host(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot)
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
