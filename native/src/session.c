/*
 * session.c - the session slab: slots, their life and their end. A slot's number is the session's id.
 *
 *     INIT --install--> OPENING --both keys in the table--> ACTIVE or DISCARD --end--> CLOSING, CLOSED, FREE, INIT
 *
 * OPENING, CLOSING, CLOSED and FREE last no longer than the call they happen in (fact sheet 1.5), so a
 * slot that is over reads INIT and still shows its last session until it is used again.
 */
#include <string.h>

#include "state.h"

/* Freed slots rest until this many others were freed, so that an administrator can still look at them. */
enum { FREE_SLOTS_KEPT = 1024 };

static uint32_t *stat_of(struct engine *e, uint8_t proto)
{
    switch (proto) {
    case PROTO_TCP:
        return &e->stats.tcp;
    case PROTO_UDP:
        return &e->stats.udp;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        return &e->stats.icmp;
    default:
        return &e->stats.other;
    }
}

static uint32_t slot_take(struct engine *e)
{
    bool has_fresh = e->fresh < e->params.max_sessions;
    if (!e->free_count && !has_fresh)
        return NONE;
    if (has_fresh && e->free_count < FREE_SLOTS_KEPT)
        return ++e->fresh;
    uint32_t slot = e->free_head;
    e->free_head = e->sessions[slot].ager_next;
    e->free_count--;
    return slot;
}

static void slot_free(struct engine *e, uint32_t slot)
{
    e->sessions[slot].ager_next = NONE;
    if (e->free_count++)
        e->sessions[e->free_tail].ager_next = slot;
    else
        e->free_head = slot;
    e->free_tail = slot;
}

static void push_event(struct engine *e, enum event_type type, uint32_t slot)
{
    if (e->event_head - e->event_tail == e->params.max_events) {
        count(e, COUNTER_log_event_lost);
        return;
    }
    struct event *event = &e->events[e->event_head++ & (e->params.max_events - 1)];
    event->type = type;
    session_view(e, slot, &event->session);
}

/* A timer of the session's own goes before the configured one (fact sheet 2.3). */
static uint32_t timeout_of(const struct engine *e, const struct session *s)
{
    bool discard = s->state == SESSION_DISCARD;
    uint32_t own = discard ? s->discard_s : s->established_s;
    enum timer timer = discard ? TIMER_discard_default : TIMER_default;
    switch (s->key[C2S].proto) {
    case PROTO_TCP:
        timer = discard ? TIMER_discard_tcp : tcp_timer(&e->config, s->tcp_state);
        if (timer == TIMER_tcp_half_closed)
            own = s->half_closed_s;
        else if (timer == TIMER_tcp_time_wait)
            own = s->time_wait_s;
        else if (timer != TIMER_tcp && !discard)
            own = 0;
        break;
    case PROTO_UDP:
        timer = discard ? TIMER_discard_udp : TIMER_udp;
        break;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        timer = discard ? TIMER_discard_default : TIMER_icmp;
    }
    return own ? own : e->config.timeout_s[timer];
}

void session_restart_timer(struct engine *e, uint32_t slot, int64_t age_ns)
{
    struct session *s = &e->sessions[slot];
    int64_t at_ns = age_ns == e->age_ns ? e->now_ns : time_at(e, age_ns);
    session_note_longest(&s->longest_wait_ms, at_ns - s->refreshed_ns);
    s->refreshed_ns = at_ns;
    ager_set(e, slot, age_ns + s->timeout_s * 1000000000ll);
}

void session_refresh(struct engine *e, uint32_t slot)
{
    e->sessions[slot].timeout_s = timeout_of(e, &e->sessions[slot]);
    session_restart_timer(e, slot, e->age_ns);
}

void session_note_end(struct session *s, enum end_reason reason)
{
    if (reason < s->end_reason)
        s->end_reason = (uint8_t)reason;
}

/* Takes back what was begun. */
static void uninstall(struct engine *e, uint32_t slot)
{
    flow_table_remove(e, slot * 2 + C2S);
    e->sessions[slot].state = SESSION_INIT;
    slot_free(e, slot);
    count(e, COUNTER_session_freed);
}

/* What the two keys say of each other. */
static void note_translation(struct session *s)
{
    const struct flow_key *c2s = &s->key[C2S], *s2c = &s->key[S2C];
    s->flags &= (uint16_t)~(SESSION_SOURCE_NAT | SESSION_DESTINATION_NAT);
    if (memcmp(c2s->src, s2c->dst, 16) || c2s->sport != s2c->dport)
        s->flags |= SESSION_SOURCE_NAT;
    if (memcmp(c2s->dst, s2c->src, 16) || c2s->dport != s2c->sport)
        s->flags |= SESSION_DESTINATION_NAT;
}

uint32_t session_install(struct engine *e, const struct flow_key *c2s, uint16_t ingress_port,
                         const struct session_spec *spec, uint32_t *reason)
{
    if (e->config.vsys_max_sessions && e->stats.allocated >= e->config.vsys_max_sessions) {
        *reason = COUNTER_session_vsys_limit;
        return NONE;
    }
    uint32_t slot = slot_take(e);
    if (!slot) {
        *reason = COUNTER_session_alloc_fail;
        return NONE;
    }
    count(e, COUNTER_session_allocated);
    struct session *s = &e->sessions[slot];
    memset(s, 0, sizeof *s);
    s->state = SESSION_OPENING;
    s->key[C2S] = *c2s;
    s->key[S2C] = spec->s2c;
    s->port[C2S] = ingress_port;
    s->port[S2C] = spec->egress_port;
    s->rule = spec->rule;
    s->application = (uint16_t)spec->application;
    s->action = spec->action;
    s->flags = spec->flags;
    s->established_s = spec->timeouts.established_s;
    s->half_closed_s = spec->timeouts.half_closed_s;
    s->time_wait_s = spec->timeouts.time_wait_s;
    s->discard_s = spec->timeouts.discard_s;
    for (enum direction d = C2S; d <= S2C; d++) {
        s->mark[d] = (uint16_t)(spec->qos_class << MARK_CLASS_SHIFT | spec->path[d]);
        s->dscp[d] = spec->dscp[d];
    }
    s->nat_rule = spec->nat_rule;
    s->pbf_rule = spec->pbf_rule;
    s->qos_rule = spec->qos_rule;
    s->end_reason = END_REASON_unknown;
    s->ager_slot = NOT_IN_AGER;
    s->generation = (uint16_t)(e->generation - 1); /* the first packet has its ways looked up */
    s->start_ns = s->last_ns = s->refreshed_ns = e->now_ns;
    s->expires_ns = e->age_ns;
    flow_table_insert(e, slot * 2 + C2S);
    if (spec->action != ACTION_allow) {
        /* only what was denied: its reverse is somebody else's packet, and not theirs to forbid */
        s->state = SESSION_DISCARD;
        session_note_end(s, END_REASON_policy_deny);
        count(e, COUNTER_session_discard);
        e->stats.discard++;
    } else {
        s->oversubscription = spec->oversubscription;
        s->lease_pool = spec->lease_pool;
        s->nat_target = spec->nat_target;
        if (!nat_take(e, s)) {
            uninstall(e, slot);
            *reason = COUNTER_nat_port_alloc_fail;
            return NONE;
        }
        note_translation(s);
        uint32_t other = flow_table_lookup(e, &s->key[S2C]) / 2;
        if (other && other != slot && session_is_over(e, other))
            other = NONE;
        if (other && e->sessions[other].state == SESSION_DISCARD) {
            /* the server was denied to speak first; it may answer */
            session_end(e, other, e->now_ns, END_REASON_policy_deny);
        } else if (other) {
            /* packet flow sequence 3.9: the new instance is discarded */
            nat_give_back(e, s);
            uninstall(e, slot);
            *reason = COUNTER_session_install_error;
            return NONE;
        }
        flow_table_insert(e, slot * 2 + S2C);
        s->state = SESSION_ACTIVE;
        e->stats.translated += is_translated(s);
    }
    e->stats.allocated++;
    ++*stat_of(e, c2s->proto);
    e->stats.installed++;
    count(e, COUNTER_session_installed);
    session_refresh(e, slot);
    if (s->flags & SESSION_LOG_START)
        push_event(e, EVENT_SESSION_START, slot);
    return slot;
}

/* Takes away what a denied session has not: the server's flow and its translation. */
static void withdraw_server(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    flow_table_remove(e, slot * 2 + S2C);
    nat_give_back(e, s);
    e->stats.translated -= is_translated(s);
}

void session_deny(struct engine *e, uint32_t slot, enum action action, uint32_t rule)
{
    struct session *s = &e->sessions[slot];
    if (s->offload)
        offload_leave(e, slot);
    withdraw_server(e, slot);
    s->state = SESSION_DISCARD;
    s->action = (uint8_t)action;
    s->rule = rule;
    session_note_end(s, END_REASON_policy_deny);
    e->stats.discard++;
    count(e, COUNTER_session_discard);
    count(e, COUNTER_session_rematch_deny);
    session_refresh(e, slot);
}

void session_end(struct engine *e, uint32_t slot, int64_t end_ns, enum end_reason reason)
{
    struct session *s = &e->sessions[slot];
    session_note_end(s, reason);
    if (s->offload)
        offload_leave(e, slot);
    if (is_in_ager(s))
        ager_remove(e, slot);
    s->expires_ns = end_ns;
    flow_table_remove(e, slot * 2 + C2S);
    if (s->state == SESSION_DISCARD)
        e->stats.discard--;
    else
        withdraw_server(e, slot);
    if (s->dos_rule)
        dos_session_ends(e, s);
    checks_session_ends(e, slot);
    e->stats.allocated--;
    --*stat_of(e, s->key[C2S].proto);
    s->state = SESSION_CLOSED;
    push_event(e, EVENT_SESSION_END, slot);
    s->state = SESSION_INIT;
    slot_free(e, slot);
    count(e, COUNTER_session_freed);
}

bool session_is_over(struct engine *e, uint32_t slot)
{
    struct session *s = &e->sessions[slot];
    if (s->offload)
        offload_settle(e, slot);
    if (s->expires_ns > e->age_ns)
        return false;
    session_end(e, slot, time_at(e, s->expires_ns), END_REASON_aged_out);
    return true;
}

void session_view(struct engine *e, uint32_t slot, struct session_view *out)
{
    struct session *s = &e->sessions[slot];
    bool live = session_is_live(s);
    if (s->offload)
        offload_settle(e, slot);
    uint32_t longest_wait_ms = s->longest_wait_ms;
    session_note_longest(&longest_wait_ms, s->last_ns - s->refreshed_ns); /* negative after a report by time */
    const struct offload_record *r = s->offload ? &e->offload.records[s->offload] : NULL;
    *out = (struct session_view){
        .id = slot,
        .state = s->state,
        .tcp_state = s->tcp_state,
        .end_reason = s->end_reason,
        .action = s->action,
        .key = {s->key[0], s->key[1]},
        .packets = {s->packets[0], s->packets[1]},
        .bytes = {s->bytes[0], s->bytes[1]},
        .start_ns = s->start_ns,
        .last_ns = s->last_ns,
        .end_ns = live ? time_at(e, s->expires_ns) : s->expires_ns,
        .timeout_s = s->timeout_s,
        .rule = s->rule,
        .application = s->application,
        .longest_gap_ms = s->longest_gap_ms,
        .longest_wait_ms = longest_wait_ms,
        .port = {s->port[0], s->port[1]},
        .unreported = {r ? r->packets[0] : 0, r ? r->packets[1] : 0},
        .flags = s->flags & (SESSION_SYN_COOKIE | (SESSION_NO_ROOM - 1)), /* without the engine's own marks */
        .in_ager = is_in_ager(s),
        .offloaded = r,
        .nat_rule = s->nat_rule,
        .pbf_rule = s->pbf_rule,
        .qos_rule = s->qos_rule,
        .qos_class = (uint8_t)(s->mark[C2S] >> MARK_CLASS_SHIFT),
        .path = {(uint8_t)s->mark[C2S], (uint8_t)s->mark[S2C]},
    };
}
