/*
 * undecided.c - packets that wait for the slowpath: handles, and the packets held behind them.
 *
 * The first packet of a flow opens a handle; its key goes into the flow table, so that the packets that
 * follow it find the handle and park there instead of asking again. Everything is bounded: handles,
 * packets held in all, packets behind one handle, and the time the slowpath may take.
 *
 * A handle is its slot's generation and index, so an answer that comes too late finds nothing.
 */
#include <errno.h>
#include <string.h>

#include "state.h"

static uint32_t ref_of(const struct engine *e, uint32_t index)
{
    return (e->params.max_sessions + 1 + index) * 2;
}

static uint32_t handle_of(const struct engine *e, uint32_t index)
{
    return (uint32_t)e->undecided[index].generation << 16 | index;
}

/* The index behind a handle, max_undecided where it is not outstanding. */
static uint32_t index_of(const struct engine *e, uint32_t handle)
{
    uint32_t index = handle & 0xffff;
    if (index < e->params.max_undecided && e->undecided[index].outstanding && handle_of(e, index) == handle)
        return index;
    return e->params.max_undecided;
}

/* ---- held packets -------------------------------------------------------------------------------- */

struct held *held_take(struct engine *e)
{
    uint32_t at = e->held_free;
    if (!at)
        return NULL;
    struct held *h = &e->held[at - 1];
    e->held_free = h->next;
    e->held_count++;
    h->next = NONE;
    h->packet.data = e->held_data + (uint64_t)(at - 1) * HELD_BYTES;
    return h;
}

void held_finish(struct engine *e, struct held *h)
{
    e->held_over++;
    h->next = e->held_done;
    e->held_done = (uint32_t)(h - e->held) + 1;
}

/* Gives a held packet up: its verdict is reached. */
static void finish(struct engine *e, struct held *h)
{
    buffer_releases(e, &h->packet);
    held_finish(e, h);
}

static struct held *hold(struct engine *e, const struct packet *p, uint64_t tag)
{
    struct held *h = held_take(e);
    if (!h)
        return NULL;
    uint8_t *buffer = h->packet.data;
    h->packet = *p;
    h->packet.data = memcpy(buffer, p->data, p->len);
    h->tag = tag;
    buffer_holds(e, &h->packet);
    return h;
}

/* ---- handles ------------------------------------------------------------------------------------- */

static void append(struct engine *e, struct undecided_slot *u, struct held *h)
{
    uint32_t at = (uint32_t)(h - e->held) + 1;
    if (u->last)
        e->held[u->last - 1].next = at;
    else
        u->first = at;
    u->last = at;
    u->held_count++;
}

uint32_t undecided_park(struct engine *e, uint32_t ref, const struct packet *p, uint64_t tag)
{
    struct undecided_slot *u = &e->undecided[ref / 2 - e->params.max_sessions - 1];
    uint32_t reason = u->held_count > MAX_PARKED ? COUNTER_flow_parked_full : buffer_refuses(e, p);
    if (reason)
        return reason;
    struct held *h = hold(e, p, tag);
    if (!h)
        return COUNTER_flow_undecided_full;
    append(e, u, h);
    count(e, COUNTER_flow_parked);
    return 0;
}

uint32_t undecided_open(struct engine *e, const struct packet *p, uint64_t tag)
{
    uint32_t at = e->undecided_free, reason = buffer_refuses(e, p);
    if (reason)
        return reason;
    struct held *h = at ? hold(e, p, tag) : NULL;
    if (!h)
        return COUNTER_flow_undecided_full;
    struct undecided_slot *u = &e->undecided[at - 1];
    e->undecided_free = u->next;
    u->outstanding = true;
    u->key = p->key;
    u->first = u->last = NONE;
    u->held_count = 0;
    u->deadline_ns = e->now_ns + e->params.answer_timeout_ms * 1000000ll;
    append(e, u, h);
    u->next = NONE;
    u->prev = e->undecided_last;
    if (u->prev)
        e->undecided[u->prev - 1].next = at;
    else
        e->undecided_first = at;
    e->undecided_last = at;
    if (!e->undecided_unseen)
        e->undecided_unseen = at;
    e->undecided_count++;
    flow_table_insert(e, ref_of(e, at - 1));
    count(e, COUNTER_flow_undecided);
    return 0;
}

/* Closes the handle and returns its packets, oldest first (index + 1, linked by next). */
static uint32_t close_handle(struct engine *e, uint32_t index)
{
    struct undecided_slot *u = &e->undecided[index];
    uint32_t at = index + 1, packets = u->first;
    if (flow_table_lookup(e, &u->key) == ref_of(e, index))
        flow_table_remove(e, ref_of(e, index));
    if (e->undecided_unseen == at)
        e->undecided_unseen = u->next;
    *(u->prev ? &e->undecided[u->prev - 1].next : &e->undecided_first) = u->next;
    *(u->next ? &e->undecided[u->next - 1].prev : &e->undecided_last) = u->prev;
    u->outstanding = false;
    u->generation++;
    u->next = e->undecided_free;
    e->undecided_free = at;
    e->undecided_count--;
    return packets;
}

static uint32_t release_dropped(struct engine *e, uint32_t at, uint32_t slot, enum counter reason)
{
    struct held *h = &e->held[at - 1];
    uint32_t next = h->next;
    verdict_drop(e, h->tag, slot, reason);
    finish(e, h);
    return next;
}

/* Sends a held packet through the fastpath again, which now knows its session. */
static uint32_t release(struct engine *e, uint32_t at)
{
    struct held *h = &e->held[at - 1];
    uint32_t next = h->next, ref = NONE, reason = 0;
    if (!port_takes(e, h->packet.port)) { /* a commit took the port away while the packet waited */
        reason = COUNTER_flow_no_interface;
    } else {
        fastpath_place(e, &h->packet);
        /* where this needs the slowpath again, the session ended in the meantime (a reset among the parked
         * ones), and this packet opens the next one */
        if (!fastpath_decide(e, &h->packet, h->tag, &ref))
            reason = ref ? undecided_park(e, ref, &h->packet, h->tag) : undecided_open(e, &h->packet, h->tag);
    }
    if (reason)
        verdict_drop(e, h->tag, 0, reason);
    finish(e, h);
    return next;
}

/* The ACK of a cookie becomes the SYN that the server has not seen yet. */
static uint32_t release_cookie(struct engine *e, uint32_t at, uint32_t slot)
{
    struct held *h = &e->held[at - 1];
    uint32_t next = h->next;
    if (port_takes(e, h->packet.port))
        cookie_open(e, slot, &h->packet, h->tag);
    else
        verdict_drop(e, h->tag, slot, COUNTER_flow_no_interface);
    finish(e, h);
    return next;
}

void undecided_expire(struct engine *e)
{
    while (e->undecided_first && e->undecided[e->undecided_first - 1].deadline_ns <= e->now_ns)
        for (uint32_t at = close_handle(e, e->undecided_first - 1); at;)
            at = release_dropped(e, at, 0, COUNTER_flow_undecided_timeout);
}

int64_t undecided_next_ns(const struct engine *e)
{
    return e->undecided_first ? e->undecided[e->undecided_first - 1].deadline_ns : INT64_MAX;
}

/* ---- the answers --------------------------------------------------------------------------------- */

uint32_t engine_undecided(struct engine *e, struct undecided *out, uint32_t max)
{
    uint32_t n = 0;
    engine_enter(e);
    for (; n < max && e->undecided_unseen; n++) {
        const struct undecided_slot *u = &e->undecided[e->undecided_unseen - 1];
        const struct held *h = &e->held[u->first - 1];
        out[n] = (struct undecided){
            .handle = handle_of(e, e->undecided_unseen - 1),
            .len = h->packet.len,
            .now_ns = e->now_ns,
            .key = u->key,
            .port = h->packet.port,
            .ttl = h->packet.ttl,
            .dscp = h->packet.dscp,
            .tcp_flags = h->packet.cookie ? TCP_SYN : h->packet.tcp_flags, /* what the ACK of a cookie stands for */
            .icmp_type = h->packet.icmp_type,
            .icmp_code = h->packet.icmp_code,
            .egress = h->packet.egress,
        };
        memcpy(out[n].mac, h->packet.mac, sizeof out[n].mac);
        e->undecided_unseen = u->next;
    }
    engine_leave(e);
    return n;
}

/* The reference of the packet with this key that waits for the slowpath, or NONE. */
static uint32_t undecided_ref(const struct engine *e, const struct flow_key *key)
{
    uint32_t ref = flow_table_lookup(e, key);
    return ref / 2 > e->params.max_sessions ? ref : NONE;
}

static bool is_sane(const struct engine *e, const struct session_spec *spec)
{
    enum { LONGEST_S = 15999999, LONGEST_TIME_WAIT_S = 600 };
    const struct session_timeouts *t = &spec->timeouts;
    return spec->action < ACTION_COUNT && spec->egress_port < e->config.port_count && spec->qos_class < 16 &&
           spec->nat_target < MAX_NAT_TARGETS && spec->application <= UINT16_MAX &&
           (spec->s2c.family == 4 || spec->s2c.family == 6) && t->established_s <= LONGEST_S &&
           t->half_closed_s <= LONGEST_S && t->time_wait_s <= LONGEST_TIME_WAIT_S && t->discard_s <= LONGEST_S;
}

/* Drops what was denied and leaves a session in discard state that drops what follows. Denied packets must not
 * keep allowed ones out of the table: they get no session in its last fifth. */
static int64_t deny(struct engine *e, const struct flow_key *c2s, uint32_t at, const struct session_spec *spec)
{
    const struct held *first = &e->held[at - 1];
    uint32_t slot = NONE, reason;
    bool has_room = e->stats.allocated < session_capacity(e) - session_capacity(e) / 5;
    if (!(spec->flags & SESSION_UNKEPT)) {
        if (has_room)
            slot = session_install(e, c2s, first->packet.port, spec, &reason);
        if (!slot)
            count(e, COUNTER_session_discard_full);
    }
    if (slot) {
        e->sessions[slot].packets[C2S] += 1u + first->packet.more_packets;
        e->sessions[slot].bytes[C2S] += first->packet.len + first->packet.more_bytes;
    }
    bool can_tell = port_takes(e, first->packet.port); /* a commit may have taken it away while the packet waited */
    if (can_tell && (spec->action == ACTION_reset_client || spec->action == ACTION_reset_both))
        reset_sender(e, &first->packet, first->packet.port);
    if (spec->action == ACTION_reset_server || spec->action == ACTION_reset_both)
        reset_receiver(e, &first->packet, spec->egress_port);
    if (can_tell && spec->flags & SESSION_ICMP_UNREACHABLE)
        icmp_error_emit(e, &first->packet, first->packet.port, ICMP_PROHIBITED, 0);
    at = release_dropped(e, at, slot, COUNTER_flow_policy_deny);
    while (at)
        at = slot ? release(e, at) : release_dropped(e, at, slot, COUNTER_flow_policy_deny);
    return slot;
}

static int64_t install(struct engine *e, uint32_t handle, const struct session_spec *spec)
{
    uint32_t index = index_of(e, handle), reason;
    if (index == e->params.max_undecided)
        return -ENOENT;
    if (!is_sane(e, spec))
        return -EINVAL;
    struct flow_key c2s = e->undecided[index].key;
    uint32_t at = close_handle(e, index);
    if (spec->action != ACTION_allow)
        return deny(e, &c2s, at, spec);
    uint32_t server = undecided_ref(e, &spec->s2c); /* both ends spoke first: that packet waits too */
    if (server)
        flow_table_remove(e, server);
    uint32_t slot = NONE;
    reason = dos_refuses_session(e, &e->held[at - 1].packet); /* others may have been installed while it waited */
    if (!reason)
        slot = session_install(e, &c2s, e->held[at - 1].packet.port, spec, &reason);
    if (!slot) {
        if (server)
            flow_table_insert(e, server);
        while (at)
            at = release_dropped(e, at, 0, reason);
        return 0;
    }
    if (e->held[at - 1].packet.dos_rule)
        dos_session_begins(e, &e->sessions[slot], &e->held[at - 1].packet);
    if (e->held[at - 1].packet.cookie && !(spec->flags & SESSION_HOST)) /* the firewall itself knows nothing of cookies */
        at = release_cookie(e, at, slot);
    while (at)
        at = release(e, at);
    if (server) /* this session is its answer */
        for (at = close_handle(e, server / 2 - e->params.max_sessions - 1); at;)
            at = release(e, at);
    return slot;
}

int64_t engine_install(struct engine *e, uint32_t handle, const struct session_spec *spec)
{
    engine_enter(e);
    int64_t result = install(e, handle, spec);
    engine_leave(e);
    return result;
}

static int refuse(struct engine *e, uint32_t handle, uint32_t reason)
{
    uint32_t index = index_of(e, handle);
    const struct counter_info *info = counter_info(reason);
    if (index == e->params.max_undecided)
        return -ENOENT;
    if (!info || info->severity[0] != 'd')
        return -EINVAL;
    for (uint32_t at = close_handle(e, index); at;)
        at = release_dropped(e, at, 0, reason);
    return 0;
}

int engine_refuse(struct engine *e, uint32_t handle, uint32_t reason)
{
    engine_enter(e);
    int result = refuse(e, handle, reason);
    engine_leave(e);
    return result;
}
