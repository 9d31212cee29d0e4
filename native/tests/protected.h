/* protected.h - engines with protection for the C tests: zone 1 (port 1) has a profile, zones 2 and 3 have none. */
#ifndef SIXTUPLE_PROTECTED_H
#define SIXTUPLE_PROTECTED_H

#include "build.h"
#include "state.h"

struct protected {
    struct engine *engine;
    struct zone_protection zone;
    struct dos_rule rules[8];
    uint32_t rule_count;
    struct buffer_protection buffer;
    struct address_range ranges[4];
    uint16_t numbers[4];
    struct service_range services[2];
    int64_t now_ns;
    uint64_t tag;
};

static inline void protected_configure(struct protected *t)
{
    static const struct port_config ports[] = {
        {0},
        {.zone = 1, .ipv6 = true, .protection = 1, .address = {[0] = {[10] = 0xff, 0xff, 10, 0, 0, 201}}},
        {.zone = 2, .ipv6 = true, .address = {[0] = {[10] = 0xff, 0xff, 10, 0, 0, 202}}},
        {.zone = 3, .ipv6 = true},
    };
    static const uint8_t local[2][16] = {{[10] = 0xff, 0xff, 10, 0, 0, 201}, {[10] = 0xff, 0xff, 10, 0, 0, 202}};
    struct engine_config config = build_config();
    config.port_count = 4;
    config.ports = ports;
    config.local_count = 2;
    config.local = local[0];
    config.protection_count = 1;
    config.protections = &t->zone;
    config.dos_rule_count = t->rule_count;
    config.dos_rules = t->rules;
    config.buffer_protection = t->buffer;
    config.range_count = 4;
    config.ranges = t->ranges;
    config.number_count = 4;
    config.numbers = t->numbers;
    config.service_count = 2;
    config.services = t->services;
    if (engine_configure(t->engine, &config))
        abort();
}

/* Nothing is configured yet. */
static inline struct protected protected_new(struct engine_params params)
{
    params.max_undecided = params.max_undecided ? params.max_undecided : 4000;
    params.max_held = params.max_held ? params.max_held : 4000;
    params.max_sessions = params.max_sessions ? params.max_sessions : 4000;
    params.now_ns = 1000 * SECOND;
    struct protected t = {.engine = build_engine(params), .now_ns = params.now_ns,
                          .zone = {.zone = 1, .tcp_reject_non_syn = true}};
    return t;
}

/* Feeds a packet now; the verdict's reason, 0 where it waits or passes. What waited is dropped. */
static inline uint32_t protected_feed(struct protected *t, const struct build *b, uint16_t port)
{
    uint32_t count;
    build_feed(t->engine, b, port, t->now_ns, ++t->tag);
    const struct verdict *all = engine_verdicts(t->engine, &count);
    for (uint32_t i = 0; i < count; i++)
        if (all[i].tag == t->tag)
            return all[i].reason;
    return 0;
}

/* Refuses what waits, so that nothing is full. */
static inline void protected_refuse_all(struct protected *t)
{
    struct undecided u;
    while (engine_undecided(t->engine, &u, 1))
        engine_refuse(t->engine, u.handle, COUNTER_flow_policy_deny);
    forget_verdicts(t->engine);
}

/* Feeds a packet and refuses it where it waits. */
static inline uint32_t protected_try(struct protected *t, const struct build *b, uint16_t port)
{
    uint32_t reason = protected_feed(t, b, port);
    protected_refuse_all(t);
    return reason;
}

static inline uint64_t protected_counter(const struct protected *t, enum counter counter)
{
    return engine_counters(t->engine)[counter];
}

/* Threats since the last call; the last of them. */
static inline uint32_t protected_threats(struct protected *t, struct threat *last)
{
    struct threat page[64];
    uint32_t count, total = 0;
    while ((count = engine_threats(t->engine, page, 64))) {
        total += count;
        *last = page[count - 1];
    }
    return total;
}

#endif
