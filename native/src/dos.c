/*
 * dos.c - DoS protection rules (fact sheet 4.9).
 *
 * A rule is a bit: of each port the rules that packets entering by it may match, and of each port those of packets that
 * would leave by it, so only rules in both are looked at. What a rule has counted has a place of its own, which it keeps by
 * its number through commits, and after it is gone while sessions remain that began by it.
 *
 * A host or pair with rates of its own is an entry of a bounded table, found by a keyed hash, which stands for it. Of a full
 * set the one that was used the longest time ago goes, unless it has sessions.
 *
 * What a host's own limits refuse does not count in what all of them may do together: else one could use that up.
 */
#include <errno.h>

#include "flood.h"
#include "siphash.h"
#include "state.h"

enum { WORDS = MAX_DOS_RULES / 64, PLACES = 4 * MAX_DOS_RULES, SETS = 2048, WAYS = 8 };
static const int64_t IDLE_NS = 2000000000; /* after which no rate is left */

struct rule_figures {
    uint32_t number, rule; /* index in the configuration */
    bool is_configured, is_out;
    uint32_t sessions;
    struct flood_figures flood[FLOOD_COUNT];
    uint64_t denied, allowed, limited;
};

struct entry {
    uint64_t id; /* 0: never used */
    int64_t seen_ns;
    uint32_t sessions;
    uint16_t place;
    struct meter meters[FLOOD_COUNT];
};

struct dos {
    bool asks_egress;
    bool has_cookies[MAX_PORTS]; /* some rule for packets that enter by it */
    uint64_t in_force[WORDS];
    uint64_t from[MAX_PORTS][WORDS], to[MAX_PORTS][WORDS]; /* to[0]: of packets that leave by none */
    uint16_t place_of[MAX_DOS_RULES];
    uint32_t place_count; /* places above were never used */
    struct rule_figures figures[PLACES];
    struct entry entries[SETS * WAYS];
};

uint64_t dos_bytes(void)
{
    return sizeof(struct dos);
}

/* ---- configuration -------------------------------------------------------------------------------- */

static bool has_number(const struct engine_config *c, const struct list *list, uint16_t number)
{
    for (uint32_t i = list->first; i < list->first + list->count; i++)
        if (c->numbers[i] == number)
            return true;
    return false;
}

static bool takes_port(const struct engine_config *c, const struct list *zones, const struct list *ports, uint16_t port)
{
    if (!zones->count && !ports->count)
        return true;
    return port && (has_number(c, ports, port) || has_number(c, zones, c->ports[port].zone));
}

static struct rule_figures *figures_of(struct dos *d, uint32_t number)
{
    for (uint32_t place = 0; place < d->place_count; place++)
        if (d->figures[place].number == number)
            return &d->figures[place];
    return NULL;
}

/* A place for a rule that has none. Sessions of a rule that is gone, where there is no other place, count for this one. */
static struct rule_figures *new_figures(struct dos *d)
{
    struct rule_figures *found = NULL;
    for (uint32_t place = 0; place < d->place_count; place++) {
        struct rule_figures *f = &d->figures[place];
        if (!f->is_configured && (!found || f->sessions < found->sessions))
            found = f;
    }
    if ((!found || found->sessions) && d->place_count < PLACES)
        found = &d->figures[d->place_count++];
    *found = (struct rule_figures){.sessions = found->sessions};
    return found;
}

static void settle_figures(struct dos *d, const struct engine_config *c)
{
    for (uint32_t place = 0; place < d->place_count; place++)
        d->figures[place].is_configured = false;
    for (uint32_t i = 0; i < c->dos_rule_count; i++) {
        struct rule_figures *f = figures_of(d, c->dos_rules[i].number);
        if (f)
            f->is_configured = true;
    }
    for (uint32_t i = 0; i < c->dos_rule_count; i++) {
        uint32_t number = c->dos_rules[i].number;
        struct rule_figures *f = figures_of(d, number);
        if (!f)
            f = new_figures(d);
        f->number = number;
        f->rule = i;
        f->is_configured = true;
        d->place_of[i] = (uint16_t)(f - d->figures);
        d->in_force[i / 64] |= (uint64_t)!f->is_out << i % 64;
    }
}

static bool has_cookies(const struct dos_limits *limits)
{
    return limits->enabled && limits->flood[FLOOD_tcp_syn].enabled && limits->flood[FLOOD_tcp_syn].syn_cookies;
}

void dos_configure(struct engine *e)
{
    struct dos *d = e->dos;
    const struct engine_config *c = &e->config;
    memset(d->in_force, 0, sizeof d->in_force);
    memset(d->from, 0, c->port_count * sizeof *d->from);
    memset(d->to, 0, (c->port_count + !c->port_count) * sizeof *d->to);
    memset(d->has_cookies, 0, sizeof d->has_cookies);
    d->asks_egress = false;
    settle_figures(d, c);
    for (uint32_t i = 0; i < c->dos_rule_count; i++) {
        const struct dos_rule *r = &c->dos_rules[i];
        uint64_t bit = 1ull << i % 64;
        bool cookies = r->action == DOS_PROTECT && (has_cookies(&r->aggregate) || has_cookies(&r->classified));
        for (uint32_t port = 0; port < c->port_count; port++) {
            if (takes_port(c, &r->from_zones, &r->from_ports, (uint16_t)port)) {
                d->from[port][i / 64] |= bit;
                d->has_cookies[port] |= cookies;
            }
            if (takes_port(c, &r->to_zones, &r->to_ports, (uint16_t)port))
                d->to[port][i / 64] |= bit;
        }
        d->asks_egress |= r->to_zones.count || r->to_ports.count;
    }
}

bool dos_uses_cookies(const struct engine *e, uint16_t port)
{
    return e->dos->has_cookies[port];
}

/* ---- which rule ----------------------------------------------------------------------------------- */

/* The port that has an address of the firewall, where it is one that is known by port. */
static uint16_t owner_of(const struct engine *e, const struct packet *p)
{
    for (uint32_t port = 1; port < e->config.port_count; port++)
        if (port_takes(e, (uint16_t)port) && !memcmp(e->config.ports[port].address[p->key.family == 6], p->key.dst, 16))
            return (uint16_t)port;
    return p->port;
}

/* By which port a packet would leave before anything is translated; 0: by none. */
static uint16_t egress_of(const struct engine *e, const struct packet *p)
{
    uint16_t port = p->egress;
    if (!is_bridged(e, p->port)) {
        if (is_local(e, p->key.dst))
            return owner_of(e, p);
        const struct fib *fib = e->fibs[e->config.ports[p->port].virtual_router];
        const struct route *route = fib ? fib_route(fib, p->key.dst) : NULL;
        port = !route ? 0 : route->hop_count ? fib_hops(fib, route)->port : route->leaves ? route->port : 0;
    }
    return port_takes(e, port) ? port : 0;
}

static bool is_in(const struct engine *e, const struct list *ranges, bool negate, const uint8_t address[16])
{
    if (!ranges->count)
        return true;
    for (uint32_t i = ranges->first; i < ranges->first + ranges->count; i++)
        if (is_within(address, &e->config.ranges[i]))
            return !negate;
    return negate;
}

static bool is_service(const struct engine *e, const struct list *services, const struct flow_key *key)
{
    if (!services->count)
        return true;
    for (uint32_t i = services->first; i < services->first + services->count; i++) {
        const struct service_range *s = &e->config.services[i];
        if (s->proto == key->proto && key->sport >= s->sport_first && key->sport <= s->sport_last &&
            key->dport >= s->dport_first && key->dport <= s->dport_last)
            return true;
    }
    return false;
}

static bool matches(const struct engine *e, const struct dos_rule *r, const struct packet *p)
{
    return is_service(e, &r->services, &p->key) && is_in(e, &r->source, r->negate_source, p->key.src) &&
           is_in(e, &r->destination, r->negate_destination, p->key.dst);
}

/* The first rule that matches; NULL where none does. */
static const struct dos_rule *rule_for(const struct engine *e, const struct packet *p)
{
    const struct dos *d = e->dos;
    const uint64_t *from = d->from[p->port], *to = d->to[d->asks_egress ? egress_of(e, p) : 0];
    for (uint32_t word = 0; word * 64 < e->config.dos_rule_count; word++)
        for (uint64_t left = from[word] & to[word] & d->in_force[word]; left; left &= left - 1) {
            const struct dos_rule *r = &e->config.dos_rules[word * 64 + (uint32_t)__builtin_ctzll(left)];
            if (matches(e, r, p))
                return r;
        }
    return NULL;
}

static uint16_t place_of(const struct engine *e, const struct dos_rule *r)
{
    return e->dos->place_of[r - e->config.dos_rules];
}

/* ---- hosts with rates of their own ---------------------------------------------------------------- */

/* What a packet is classified by has this entry; NULL where its set is full of hosts with sessions. */
static struct entry *entry_of(struct engine *e, const struct dos_rule *r, const struct packet *p)
{
    struct {
        uint64_t place;
        uint8_t source[16], destination[16];
    } key = {.place = place_of(e, r)};
    if (r->classified_by != DOS_BY_DESTINATION)
        memcpy(key.source, p->key.src, 16);
    if (r->classified_by != DOS_BY_SOURCE)
        memcpy(key.destination, p->key.dst, 16);
    uint64_t id = siphash13(e->hash_key, &key, sizeof key);
    struct entry *set = &e->dos->entries[id % SETS * WAYS], *oldest = NULL;
    for (int way = 0; way < WAYS; way++) {
        if (set[way].id == id) {
            set[way].seen_ns = e->now_ns;
            return &set[way];
        }
        if (!set[way].sessions && (!oldest || set[way].seen_ns < oldest->seen_ns))
            oldest = &set[way];
    }
    if (!oldest || (oldest->id && e->now_ns - oldest->seen_ns < IDLE_NS))
        count(e, COUNTER_flow_dos_track_full);
    if (oldest)
        *oldest = (struct entry){.id = id, .seen_ns = e->now_ns, .place = place_of(e, r)};
    return oldest;
}

/* ---- what a rule says ------------------------------------------------------------------------------ */

/* Whether so many packets a second block who sends them: a host of its own limits. Of a destination many are the sources. */
static bool is_blocking(const struct dos_rule *r, const struct dos_limits *limits, enum flood flood, uint32_t rate)
{
    return limits == &r->classified && r->classified_by != DOS_BY_DESTINATION && limits->block_s[flood] &&
           rate > limits->flood[flood].maximal;
}

/* Counts in a meter, and what its limits say; the packet may be refused or asked for a cookie already. */
static enum admission ask(struct engine *e, const struct dos_rule *r, const struct dos_limits *limits, struct meter *m,
                          const struct packet *p, enum counter reason)
{
    enum flood flood = flood_of(p);
    const struct flood_limits *l = &limits->flood[flood];
    uint32_t rate = meter_count(m, e->now_ns);
    if (!limits->enabled || !l->enabled)
        return ADMIT;
    enum admission admission = flood_judge(e, l, p, rate);
    if (is_blocking(r, limits, flood, rate)) {
        block_add(e, p, r->classified_by == DOS_BY_BOTH, limits->block_s[flood], THREAT_FLOOD, r->number);
        threat_note(e, p, THREAT_FLOOD, flood, SCAN_ACTION_block_ip, r->number, reason);
    } else {
        flood_alarm(e, l, p, rate, admission, r->number, reason);
    }
    return admission;
}

/* The stricter of what the host's own limits say and those of all together. */
static enum admission ask_rates(struct engine *e, const struct dos_rule *r, struct entry *entry, const struct packet *p,
                                uint32_t *reason)
{
    enum flood flood = flood_of(p);
    struct flood_figures *f = &e->dos->figures[place_of(e, r)].flood[flood];
    enum admission own = ADMIT, all = ADMIT;
    if (entry)
        own = ask(e, r, &r->classified, &entry->meters[flood], p, COUNTER_flow_dos_rule_drop_classified);
    *reason = COUNTER_flow_dos_rule_drop_classified;
    if (own != ADMIT_NOT)
        all = ask(e, r, &r->aggregate, &f->meter, p, COUNTER_flow_dos_rule_drop_aggr);
    if (all == ADMIT_NOT)
        *reason = COUNTER_flow_dos_rule_drop_aggr;
    enum admission admission = own > all ? own : all;
    f->dropped += admission == ADMIT_NOT;
    f->cookies += admission == ADMIT_WITH_COOKIE;
    return admission;
}

/* Whether one more session is too many: 0, or the drop reason. */
static uint32_t refuse_session(struct engine *e, const struct dos_rule *r, const struct entry *entry, const struct packet *p)
{
    struct rule_figures *f = &e->dos->figures[place_of(e, r)];
    const struct dos_limits *all = &r->aggregate, *own = &r->classified;
    uint32_t reason = 0;
    if (all->enabled && all->max_sessions && f->sessions >= all->max_sessions)
        reason = COUNTER_flow_dos_ag_max_sess_limit;
    else if (entry && own->max_sessions && entry->sessions >= own->max_sessions)
        reason = COUNTER_flow_dos_cl_max_sess_limit;
    if (!reason)
        return 0;
    f->limited++;
    threat_note(e, p, THREAT_SESSION_LIMIT, 0, SCAN_ACTION_block, r->number, reason);
    return reason;
}

enum admission dos_admits(struct engine *e, struct packet *p, uint32_t *reason)
{
    const struct dos_rule *r = e->config.dos_rule_count ? rule_for(e, p) : NULL;
    p->dos_rule = 0;
    if (!r)
        return ADMIT;
    struct rule_figures *f = &e->dos->figures[place_of(e, r)];
    if (r->action == DOS_DENY) {
        f->denied++;
        *reason = COUNTER_flow_dos_rule_deny;
        return ADMIT_NOT;
    }
    f->allowed += r->action == DOS_ALLOW;
    if (r->action == DOS_ALLOW)
        return ADMIT;
    struct entry *entry = r->classified.enabled ? entry_of(e, r, p) : NULL;
    uint32_t why = 0;
    /* of an ACK that proved a cookie the SYN was counted */
    enum admission admission = p->cookie ? ADMIT : ask_rates(e, r, entry, p, &why);
    if (admission != ADMIT_NOT && (why = refuse_session(e, r, entry, p)))
        admission = ADMIT_NOT;
    if (admission == ADMIT_NOT)
        *reason = why;
    p->dos_rule = (uint16_t)(place_of(e, r) + 1);
    return admission;
}

/* ---- sessions --------------------------------------------------------------------------------------- */

/* The rule by which a packet was admitted; NULL where a commit took it away while the packet waited, or what it does. */
static const struct dos_rule *rule_of(const struct engine *e, const struct packet *p)
{
    const struct rule_figures *f = p->dos_rule ? &e->dos->figures[p->dos_rule - 1] : NULL;
    const struct dos_rule *r = f && f->is_configured ? &e->config.dos_rules[f->rule] : NULL;
    return r && r->action == DOS_PROTECT ? r : NULL;
}

uint32_t dos_refuses_session(struct engine *e, const struct packet *p)
{
    const struct dos_rule *r = rule_of(e, p);
    return r ? refuse_session(e, r, r->classified.enabled ? entry_of(e, r, p) : NULL, p) : 0;
}

void dos_session_begins(struct engine *e, struct session *s, const struct packet *p)
{
    const struct dos_rule *r = rule_of(e, p);
    if (!r)
        return;
    struct entry *entry = r->classified.enabled ? entry_of(e, r, p) : NULL;
    s->dos_rule = (uint16_t)(place_of(e, r) + 1);
    e->dos->figures[s->dos_rule - 1].sessions++;
    if (entry) {
        s->dos_entry = (uint32_t)(entry - e->dos->entries) + 1;
        entry->sessions++;
    }
}

void dos_session_ends(struct engine *e, struct session *s)
{
    e->dos->figures[s->dos_rule - 1].sessions--;
    if (s->dos_entry)
        e->dos->entries[s->dos_entry - 1].sessions--;
}

/* ---- looking --------------------------------------------------------------------------------------- */

static uint32_t tracked_by(const struct engine *e, uint16_t place)
{
    uint32_t tracked = 0;
    for (uint32_t i = 0; i < SETS * WAYS; i++) {
        const struct entry *entry = &e->dos->entries[i];
        tracked += entry->id && entry->place == place && (entry->sessions || e->now_ns - entry->seen_ns < IDLE_NS);
    }
    return tracked;
}

int engine_dos_stats(struct engine *e, uint32_t number, struct dos_stats *out)
{
    engine_enter(e);
    const struct rule_figures *f = figures_of(e->dos, number);
    bool is_configured = f && f->is_configured;
    if (is_configured) {
        *out = (struct dos_stats){.sessions = f->sessions, .tracked = tracked_by(e, (uint16_t)(f - e->dos->figures)),
                                  .denied = f->denied, .allowed = f->allowed, .limited = f->limited};
        flood_show(e, f->flood, out->flood);
    }
    engine_leave(e);
    return is_configured ? 0 : -ENOENT;
}

void engine_dos_in_force(struct engine *e, uint32_t number, bool in_force)
{
    engine_enter(e);
    struct rule_figures *f = figures_of(e->dos, number);
    if (f && f->is_configured) {
        uint64_t bit = 1ull << f->rule % 64, *word = &e->dos->in_force[f->rule / 64];
        f->is_out = !in_force;
        *word = in_force ? *word | bit : *word & ~bit;
    }
    engine_leave(e);
}
