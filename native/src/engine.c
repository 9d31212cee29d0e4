/* engine.c - an engine's memory, configuration and clock, and the ways to look at it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scan.h"
#include "state.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hashes and ports assume a little-endian host");

/* ---- memory --------------------------------------------------------------------------------------- */

static uint64_t reserve(uint64_t *total, uint64_t bytes)
{
    uint64_t at = *total;
    *total = (at + bytes + 63) & ~63ull; /* cache lines */
    return at;
}

static bool params_are_sane(const struct engine_params *p)
{
    return p->max_sessions && p->max_sessions < 1u << 30 && p->max_undecided && p->max_undecided <= 65535 &&
           p->max_offloaded <= p->max_sessions && p->max_held && p->max_held <= 1u << 20 &&
           p->max_fragments <= 1u << 20 && p->max_events && !(p->max_events & (p->max_events - 1)) && p->now_ns >= 0;
}

/* What holds until there is a configuration. */
static const struct zone_protection unprotected[1] = {{.tcp_reject_non_syn = true}};

struct engine *engine_new(const struct engine_params *params)
{
    if (!params_are_sane(params)) {
        errno = EINVAL;
        return NULL;
    }
    uint64_t total = 0, buckets = flow_table_buckets(params);
    reserve(&total, sizeof(struct engine));
    uint64_t bucket_at = reserve(&total, buckets * sizeof(struct bucket));
    uint64_t session_at = reserve(&total, (params->max_sessions + 1ull) * sizeof(struct session));
    uint64_t offload_bucket_count = offload_buckets(params);
    uint64_t offload_bucket_at = reserve(&total, offload_bucket_count * sizeof(struct offload_bucket));
    uint64_t record_at = reserve(&total, (params->max_offloaded + 1ull) * sizeof(struct offload_record));
    uint64_t undecided_at = reserve(&total, params->max_undecided * sizeof(struct undecided_slot));
    uint64_t held_at = reserve(&total, params->max_held * sizeof(struct held));
    /* the limit; packets of the engine's own, each in a buffer; and what only ever waits: fragments, and the whole of some for
     * as long as it takes to make that theirs */
    uint64_t verdict_count = MAX_BURST + params->max_held + params->max_held + params->max_fragments + 1ull;
    uint64_t verdict_bytes = verdict_count * sizeof(struct verdict);
    uint64_t verdict_at = reserve(&total, verdict_bytes), taken_at = reserve(&total, verdict_bytes);
    uint64_t event_at = reserve(&total, params->max_events * sizeof(struct event));
    uint64_t data_at = reserve(&total, (uint64_t)params->max_held * HELD_BYTES);
    uint64_t nat_at = reserve(&total, nat_bytes());
    uint64_t tunnels_at = reserve(&total, tunnels_bytes());
    uint64_t blocks_at = reserve(&total, blocks_bytes());
    uint64_t threats_at = reserve(&total, threats_bytes());
    uint64_t checks_at = reserve(&total, checks_bytes());
    uint64_t zones_at = reserve(&total, zones_bytes());
    uint64_t scans_at = reserve(&total, scans_bytes());
    uint64_t dos_at = reserve(&total, dos_bytes());
    uint64_t buffers_at = reserve(&total, buffers_bytes());
    uint64_t fragments_at = reserve(&total, fragments_bytes(params));

    /* pages are taken from the kernel when they are first touched */
    uint8_t *region = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return NULL;
    /* where sessions are many, address translation costs as much as memory itself; a refusal costs nothing */
    madvise(region, undecided_at, MADV_HUGEPAGE);
    struct engine *e = (struct engine *)region;
    pthread_mutex_init(&e->gate, NULL);
    pthread_mutex_init(&e->inside, NULL);
    e->params = *params;
    e->region_bytes = total;
    e->now_ns = e->age_ns = params->now_ns;
    e->rate_age_ns = e->age_ns;
    e->age_rate = e->past_rate = 1;
    memcpy(e->hash_key, params->hash_key, sizeof e->hash_key);
    e->buckets = (struct bucket *)(region + bucket_at);
    e->bucket_mask = buckets - 1;
    e->sessions = (struct session *)(region + session_at);
    e->ager.now_tick = (uint64_t)params->now_ns >> TICK_SHIFT;
    e->offload.buckets = (struct offload_bucket *)(region + offload_bucket_at);
    e->offload.bucket_mask = offload_bucket_count - 1;
    e->offload.records = (struct offload_record *)(region + record_at);
    e->undecided = (struct undecided_slot *)(region + undecided_at);
    for (uint32_t i = params->max_undecided; i; i--) {
        e->undecided[i - 1].next = e->undecided_free;
        e->undecided_free = i;
    }
    e->held = (struct held *)(region + held_at);
    for (uint32_t i = params->max_held; i; i--) {
        e->held[i - 1].next = e->held_free;
        e->held_free = i;
    }
    e->held_data = region + data_at;
    e->nat = (struct nat *)(region + nat_at);
    e->verdicts = (struct verdict *)(region + verdict_at);
    e->verdicts_taken = (struct verdict *)(region + taken_at);
    e->tunnels = (struct tunnels *)(region + tunnels_at);
    e->blocks = (struct blocks *)(region + blocks_at);
    e->threats = (struct threats *)(region + threats_at);
    e->checks = (struct checks *)(region + checks_at);
    e->zones = (struct zones *)(region + zones_at);
    e->scans = (struct scans *)(region + scans_at);
    e->dos = (struct dos *)(region + dos_at);
    e->buffers = (struct buffers *)(region + buffers_at);
    e->fragments = (struct fragments *)(region + fragments_at);
    e->verdict_limit = MAX_BURST + params->max_held;
    e->events = (struct event *)(region + event_at);
    for (uint32_t timer = 0; timer < TIMER_COUNT; timer++)
        e->config.timeout_s[timer] = timer_info(timer)->default_s;
    e->config.tcp_reject_non_syn = e->config.ipv6_firewalling = true;
    e->config.accelerated_aging.factor = 1;
    e->config.protections = unprotected;
    fragments_init(e);
    return e;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    free(e->tables);
    pthread_mutex_destroy(&e->inside);
    pthread_mutex_destroy(&e->gate);
    munmap(e, e->region_bytes);
}

/* ---- configuration -------------------------------------------------------------------------------- */

static bool ports_are_sane(const struct engine_config *c)
{
    for (uint32_t i = 0; i < c->port_count; i++)
        if (c->ports[i].virtual_router >= MAX_VIRTUAL_ROUTERS || c->ports[i].mode > PORT_TUNNEL)
            return false;
    return true;
}

static bool list_is_sane(const struct list *list, uint32_t count)
{
    return list->first <= count && list->count <= count - list->first;
}

static bool protections_are_sane(const struct engine_config *c)
{
    for (uint32_t i = 0; i < c->protection_count; i++)
        if (!list_is_sane(&c->protections[i].scan_exempt, c->range_count))
            return false;
    for (uint32_t i = 0; i < c->port_count; i++)
        if (c->ports[i].protection > c->protection_count)
            return false;
    for (uint32_t i = 0; i < c->dos_rule_count; i++) {
        const struct dos_rule *r = &c->dos_rules[i];
        const struct list *const of_numbers[] = {&r->from_zones, &r->from_ports, &r->to_zones, &r->to_ports};
        for (int n = 0; n < 4; n++)
            if (!list_is_sane(of_numbers[n], c->number_count))
                return false;
        if (!list_is_sane(&r->source, c->range_count) || !list_is_sane(&r->destination, c->range_count) ||
            !list_is_sane(&r->services, c->service_count) || r->action > DOS_PROTECT || r->classified_by > DOS_BY_BOTH)
            return false;
    }
    for (uint32_t i = 0; i < c->tunnel_count; i++) {
        const struct tunnel_config *t = &c->tunnels[i];
        if (t->port >= c->port_count || c->ports[t->port].mode != PORT_TUNNEL || t->outer_port >= c->port_count ||
            t->type > TUNNEL_VXLAN)
            return false;
    }
    return c->protection_count <= MAX_PROTECTIONS && c->dos_rule_count <= MAX_DOS_RULES && c->tunnel_count <= MAX_TUNNELS;
}

static bool config_is_sane(const struct engine_config *c)
{
    const struct offload_profile *profile = &c->offload_profile;
    const struct accelerated_aging *aging = &c->accelerated_aging;
    return c->port_count <= MAX_PORTS && ports_are_sane(c) && protections_are_sane(c) && aging->factor &&
           aging->factor <= 16 && aging->threshold_percent <= 100 &&
           (aging->threshold_percent || aging->factor == 1) && profile->packets <= MAX_REPORT_PACKETS &&
           profile->udp_packets <= MAX_REPORT_PACKETS && !profile->packets == !profile->udp_packets;
}

/* Has every session look up its ways again at its next packet. */
static void next_generation(struct engine *e)
{
    if (++e->generation == UINT16_MAX) { /* numbers begin anew; no session may seem to have looked already */
        for (uint32_t slot = 1; slot <= e->fresh; slot++)
            e->sessions[slot].generation = UINT16_MAX;
        for (uint32_t record = 1; record <= e->offload.fresh; record++)
            e->offload.records[record].generation = UINT16_MAX;
        e->generation = 0;
    }
}

/* One comparison tells whether a packet may be too long for its port: no limit is the largest one, and by a tunnel
 * interface without a tunnel nothing leaves. */
static void set_longest(const struct engine_config *c, struct port_config *ports)
{
    for (uint32_t i = 0; i < c->port_count; i++) {
        bool has_tunnel = false;
        for (uint32_t t = 0; t < c->tunnel_count; t++)
            has_tunnel |= c->tunnels[t].port == i;
        if (ports[i].mode == PORT_TUNNEL && !has_tunnel)
            ports[i].mtu = 0;
        else if ((ports[i].mode != PORT_LAYER3 && ports[i].mode != PORT_TUNNEL) || !ports[i].mtu)
            ports[i].mtu = UINT32_MAX;
    }
}

struct table {
    const void **place; /* in a struct engine_config */
    uint64_t bytes;
};

/* Has a configuration point to copies of its tables, in one piece of memory; NULL where there is none. */
static void *copy_tables(struct engine_config *c)
{
    const struct table tables[] = {
        {(const void **)&c->ports, c->port_count * sizeof *c->ports},
        {(const void **)&c->protections, (c->protection_count + 1) * sizeof *c->protections},
        {(const void **)&c->dos_rules, c->dos_rule_count * sizeof *c->dos_rules},
        {(const void **)&c->tunnels, c->tunnel_count * sizeof *c->tunnels},
        {(const void **)&c->local, c->local_count * 16ull},
        {(const void **)&c->ranges, c->range_count * sizeof *c->ranges},
        {(const void **)&c->numbers, c->number_count * sizeof *c->numbers},
        {(const void **)&c->services, c->service_count * sizeof *c->services},
    };
    uint64_t total = 0;
    for (uint32_t i = 0; i < sizeof tables / sizeof *tables; i++)
        reserve(&total, tables[i].bytes);
    uint8_t *memory = malloc(total + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; memory && i < sizeof tables / sizeof *tables; i++) {
        uint8_t *copy = memory + reserve(&at, tables[i].bytes);
        if (tables[i].bytes)
            memcpy(copy, *tables[i].place, tables[i].bytes);
        *tables[i].place = copy;
    }
    return memory;
}

static struct zone_protection protection_without_profile(const struct engine_config *c)
{
    return (struct zone_protection){
        .checks = (uint64_t)c->strip_mptcp << PROTECT_strip_mptcp,
        .tcp_reject_non_syn = c->tcp_reject_non_syn,
        .tcp_asymmetric_bypass = c->tcp_asymmetric_bypass,
    };
}

int engine_configure(struct engine *e, const struct engine_config *config)
{
    if (!config_is_sane(config))
        return -EINVAL;
    struct engine_config taken = *config;
    struct zone_protection protections[MAX_PROTECTIONS + 1] = {0};
    protections[0] = protection_without_profile(config);
    if (config->protection_count)
        memcpy(protections + 1, config->protections, config->protection_count * sizeof *protections);
    taken.protections = protections;
    void *tables = copy_tables(&taken);
    if (!tables)
        return -ENOMEM;
    set_longest(&taken, (struct port_config *)taken.ports);
    engine_enter(e);
    void *old = e->tables;
    e->tables = tables;
    e->config = taken;
    e->may_bypass = false;
    for (uint32_t i = 0; i <= taken.protection_count; i++)
        e->may_bypass |= taken.protections[i].tcp_asymmetric_bypass;
    next_generation(e);
    offload_configure(e);
    nat_configure(e);
    tunnels_configure(e);
    checks_configure(e);
    zones_configure(e);
    dos_configure(e);
    engine_leave(e);
    free(old);
    return 0;
}

void engine_set_fibs(struct engine *e, const struct fib *const *fibs, uint32_t count)
{
    engine_enter(e);
    for (uint32_t i = 0; i < MAX_VIRTUAL_ROUTERS; i++)
        e->fibs[i] = i < count ? fibs[i] : NULL;
    next_generation(e);
    engine_leave(e);
}

/* ---- clock ----------------------------------------------------------------------------------------- */

/* While so much of the table is in use, the ager's clock is faster than time (fact sheet 2.2): every idle session,
 * however long it has been idle, has the rest of its timeout divided. */
static uint32_t wanted_rate(const struct engine *e)
{
    /* that far ahead of time, the clock and a timeout still add up in the year 2200 */
    static const int64_t LONGEST_LEAD_NS = 60ll * 365 * 24 * 3600 * 1000000000;
    const struct accelerated_aging *aging = &e->config.accelerated_aging;
    bool is_crowded = e->stats.allocated * 100ull >= session_capacity(e) * (uint64_t)aging->threshold_percent;
    return is_crowded && e->age_ns - e->now_ns < LONGEST_LEAD_NS ? aging->factor : 1;
}

static void set_rate(struct engine *e)
{
    uint32_t rate = wanted_rate(e);
    if (rate == e->age_rate)
        return;
    if (e->age_rate == 1)
        count(e, COUNTER_session_aging_accelerated);
    if (e->age_ns > e->rate_age_ns) { /* else the rate that ends has not been in force */
        e->past_rate = e->age_rate;
        e->rate_age_ns = e->age_ns;
    }
    e->age_rate = rate;
}

/* One step while aging is accelerated: to the next time the ager has work, for sessions that end make room and that
 * may end the acceleration. */
static void advance_accelerated(struct engine *e, int64_t now_ns)
{
    int64_t next_ns = ager_next_ns(e);
    int64_t step_ns = next_ns == INT64_MAX ? INT64_MAX : divide_up(next_ns - e->age_ns, e->age_rate);
    if (step_ns > now_ns - e->now_ns)
        step_ns = now_ns - e->now_ns;
    e->now_ns += step_ns;
    e->age_ns += step_ns * e->age_rate;
    ager_run(e);
}

void engine_advance(struct engine *e, int64_t now_ns)
{
    set_rate(e);
    while (e->age_rate > 1 && e->now_ns < now_ns) {
        advance_accelerated(e, now_ns);
        set_rate(e);
    }
    if (now_ns > e->now_ns) {
        e->age_ns += now_ns - e->now_ns;
        e->now_ns = now_ns;
    }
    ager_run(e);
    undecided_expire(e);
    fragment_expire(e);
}

void engine_tick(struct engine *e, int64_t now_ns)
{
    engine_enter(e);
    engine_advance(e, now_ns);
    engine_leave(e);
}

int64_t engine_next_timer_ns(struct engine *e)
{
    engine_enter(e);
    set_rate(e);
    int64_t age = ager_next_ns(e), session = age == INT64_MAX ? age : time_at(e, age);
    int64_t handle = undecided_next_ns(e), fragment = fragment_next_ns(e), first = session < handle ? session : handle;
    engine_leave(e);
    return first < fragment ? first : fragment;
}

/* ---- what came out --------------------------------------------------------------------------------- */

const struct verdict *engine_verdicts(struct engine *e, uint32_t *count)
{
    engine_enter(e);
    fragment_verdicts_taken(e);
    while (e->held_taken) {
        uint32_t at = e->held_taken;
        struct held *h = &e->held[at - 1];
        e->held_taken = h->next;
        h->next = e->held_free;
        e->held_free = at;
        e->held_count--;
        e->held_over--;
    }
    e->held_taken = e->held_done;
    e->held_done = NONE;
    struct verdict *taken = e->verdicts;
    e->verdicts = e->verdicts_taken;
    e->verdicts_taken = taken;
    *count = e->verdict_count;
    e->verdict_count = 0;
    engine_leave(e);
    return taken;
}

bool engine_has_verdicts(struct engine *e)
{
    engine_enter(e);
    bool has = e->verdict_count;
    engine_leave(e);
    return has;
}

bool engine_wants_attention(struct engine *e)
{
    engine_enter(e);
    bool wants = e->undecided_unseen || e->event_head - e->event_tail > e->params.max_events / 4;
    engine_leave(e);
    return wants;
}

uint32_t engine_events(struct engine *e, struct event *out, uint32_t max)
{
    uint32_t n = 0;
    engine_enter(e);
    while (n < max && e->event_tail != e->event_head)
        out[n++] = e->events[e->event_tail++ & (e->params.max_events - 1)];
    if (e->event_tail == e->event_head) /* back to memory that was used before, however large the ring */
        e->event_tail = e->event_head = 0;
    engine_leave(e);
    return n;
}

/* ---- looking and clearing -------------------------------------------------------------------------- */

static bool is_live(const struct engine *e, uint32_t id)
{
    return id && id <= e->params.max_sessions && e->sessions[id].state != SESSION_INIT;
}

static bool matches(const struct session *s, const struct session_filter *f)
{
    const struct flow_key *c2s = &s->key[C2S], *s2c = &s->key[S2C];
    return (!(f->fields & FILTER_SOURCE) || !memcmp(c2s->src, f->source, 16)) &&
           (!(f->fields & FILTER_DESTINATION) || !memcmp(c2s->dst, f->destination, 16)) &&
           (!(f->fields & FILTER_SOURCE_PORT) || c2s->sport == f->source_port) &&
           (!(f->fields & FILTER_DESTINATION_PORT) || c2s->dport == f->destination_port) &&
           (!(f->fields & FILTER_PROTOCOL) || c2s->proto == f->protocol) &&
           (!(f->fields & FILTER_FROM) || c2s->zone == f->from) &&
           (!(f->fields & FILTER_TO) || s2c->zone == f->to) &&
           (!(f->fields & FILTER_STATE) || s->state == f->state) &&
           (!(f->fields & FILTER_RULE) || s->rule == f->rule) &&
           (!(f->fields & FILTER_APPLICATION) || s->application == f->application) &&
           (!(f->fields & FILTER_NAT_RULE) || s->nat_rule == f->nat_rule) &&
           (!(f->fields & FILTER_NAT) || (s->flags & (SESSION_SOURCE_NAT | SESSION_DESTINATION_NAT)) == f->nat);
}

uint32_t engine_sessions(struct engine *e, uint32_t *cursor, uint32_t scan, const struct session_filter *filter,
                         struct session_view *out, uint32_t max)
{
    uint32_t n = 0, id = *cursor ? *cursor : 1;
    engine_enter(e);
    for (; scan && n < max && id <= e->fresh; id++, scan--) {
        const struct session *s = &e->sessions[id];
        if (s->state != SESSION_INIT && !session_is_over(e, id) && matches(s, filter))
            session_view(e, id, &out[n++]);
    }
    *cursor = id <= e->fresh ? id : 0;
    engine_leave(e);
    return n;
}

int engine_session(struct engine *e, uint32_t id, struct session_view *out)
{
    engine_enter(e);
    bool was_used = id && id <= e->fresh;
    if (was_used && is_live(e, id))
        session_is_over(e, id);
    if (was_used)
        session_view(e, id, out);
    engine_leave(e);
    return was_used ? 0 : -ENOENT;
}

int engine_clear(struct engine *e, uint32_t id)
{
    engine_enter(e);
    bool live = is_live(e, id) && !session_is_over(e, id);
    if (live)
        session_end(e, id, e->now_ns, END_REASON_unknown);
    engine_leave(e);
    return live ? 0 : -ENOENT;
}

int engine_deny(struct engine *e, uint32_t id, enum action action, uint32_t rule)
{
    int result = 0;
    if (action == ACTION_allow || action >= ACTION_COUNT)
        return -EINVAL;
    engine_enter(e);
    if (!is_live(e, id) || session_is_over(e, id) || e->sessions[id].state != SESSION_ACTIVE)
        result = -ENOENT;
    else {
        reset_ends(e, &e->sessions[id], action == ACTION_reset_client || action == ACTION_reset_both,
                   action == ACTION_reset_server || action == ACTION_reset_both);
        session_deny(e, id, action, rule);
    }
    engine_leave(e);
    return result;
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
    engine_enter(e);
    *out = e->stats;
    out->max_sessions = e->params.max_sessions;
    out->undecided = e->undecided_count;
    out->held = e->held_count - e->held_over;
    out->aging_accelerated = e->age_rate > 1;
    fragment_stats(e, &out->fragments, &out->fragment_bytes);
    engine_leave(e);
}

const uint64_t *engine_counters(const struct engine *e)
{
    return e->counters;
}

void engine_count(struct engine *e, uint32_t counter, uint64_t by)
{
    engine_enter(e);
    if (counter < COUNTER_LIMIT)
        e->counters[counter] += by;
    engine_leave(e);
}
