/* flood.c - rates, and what limits say of them; see flood.h. */
#include "flood.h"
#include "state.h"

static const int64_t WINDOW_NS = 1000000000;

/* Has the second that is counted be one that includes now. */
static struct meter meter_at(const struct meter *m, int64_t now_ns)
{
    int64_t passed_ns = now_ns - m->since_ns;
    if (passed_ns < WINDOW_NS)
        return *m;
    if (passed_ns < 2 * WINDOW_NS)
        return (struct meter){.since_ns = m->since_ns + WINDOW_NS, .before = m->counted};
    return (struct meter){.since_ns = now_ns};
}

static uint32_t rate_of(const struct meter *m, int64_t now_ns)
{
    uint64_t left_ns = (uint64_t)(m->since_ns + WINDOW_NS - now_ns);
    return m->counted + (uint32_t)(m->before * left_ns / (uint64_t)WINDOW_NS);
}

uint32_t meter_rate(const struct meter *m, int64_t now_ns)
{
    struct meter current = meter_at(m, now_ns);
    return rate_of(&current, now_ns);
}

uint32_t meter_count(struct meter *m, int64_t now_ns)
{
    *m = meter_at(m, now_ns);
    m->counted++;
    return rate_of(m, now_ns);
}

enum flood flood_of(const struct packet *p)
{
    switch (p->key.proto) {
    case PROTO_TCP:
        return FLOOD_tcp_syn;
    case PROTO_UDP:
        return FLOOD_udp;
    case PROTO_ICMP:
        return FLOOD_icmp;
    case PROTO_ICMPV6:
        return FLOOD_icmpv6;
    default:
        return FLOOD_other_ip;
    }
}

enum counter flood_reason(enum flood flood)
{
    static const enum counter reasons[FLOOD_COUNT] = {
        [FLOOD_tcp_syn] = COUNTER_flow_dos_red_tcp, [FLOOD_udp] = COUNTER_flow_dos_red_udp,
        [FLOOD_icmp] = COUNTER_flow_dos_red_icmp, [FLOOD_icmpv6] = COUNTER_flow_dos_red_icmp6,
        [FLOOD_other_ip] = COUNTER_flow_dos_red_ip};
    return reasons[flood];
}

/* Random early drop (fact sheet 4.4): how likely grows linearly from `activate` to `maximal`. A connection that begins
 * without a SYN, where that may be, cannot be asked for a cookie. */
enum admission flood_judge(struct engine *e, const struct flood_limits *limits, const struct packet *p, uint32_t rate)
{
    if (rate > limits->maximal)
        return ADMIT_NOT;
    if (rate < limits->activate)
        return ADMIT;
    if (limits->syn_cookies)
        return p->tcp_flags & TCP_SYN ? ADMIT_WITH_COOKIE : ADMIT;
    uint64_t chance = (engine_random(e) >> 32) * (limits->maximal - limits->activate) >> 32;
    return chance < rate - limits->activate ? ADMIT_NOT : ADMIT;
}

void flood_alarm(struct engine *e, const struct flood_limits *limits, const struct packet *p, uint32_t rate,
                 enum admission admission, uint32_t rule, uint32_t reason)
{
    if (rate < limits->alarm)
        return;
    bool is_dropped = admission == ADMIT_NOT;
    threat_note(e, p, THREAT_FLOOD, flood_of(p), is_dropped ? SCAN_ACTION_block : SCAN_ACTION_alert, rule,
                is_dropped ? reason : admission == ADMIT_WITH_COOKIE ? COUNTER_flow_dos_syncookie_sent : 0);
}

void flood_show(const struct engine *e, const struct flood_figures figures[FLOOD_COUNT], struct flood_stats out[FLOOD_COUNT])
{
    for (int flood = 0; flood < FLOOD_COUNT; flood++)
        out[flood] = (struct flood_stats){.rate = meter_rate(&figures[flood].meter, e->now_ns),
                                          .dropped = figures[flood].dropped, .cookies = figures[flood].cookies};
}
