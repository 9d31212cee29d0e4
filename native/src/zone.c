/* zone.c - zone protection of packets that match no session (fact sheet 4.4), and what it has done. */
#include <errno.h>

#include "flood.h"
#include "scan.h"
#include "state.h"

struct zone_figures {
    uint16_t zone;
    struct flood_figures flood[FLOOD_COUNT];
    uint64_t scans[SCAN_COUNT], checks[PROTECTION_COUNT];
};

/* Figures have the places of the configuration's protections; a commit moves them from the one table to the other. */
struct zones {
    uint32_t count, current; /* places in use, the first of no zone; which table */
    struct zone_figures figures[2][MAX_PROTECTIONS + 1];
};

uint64_t zones_bytes(void)
{
    return sizeof(struct zones);
}

static struct zone_figures *figures_of(struct engine *e, uint16_t zone)
{
    struct zones *z = e->zones;
    for (uint32_t i = 1; i < z->count; i++)
        if (z->figures[z->current][i].zone == zone)
            return &z->figures[z->current][i];
    return NULL;
}

void zones_configure(struct engine *e)
{
    struct zones *z = e->zones;
    struct zone_figures *next = z->figures[!z->current];
    for (uint32_t i = 1; i <= e->config.protection_count; i++) {
        uint16_t zone = e->config.protections[i].zone;
        const struct zone_figures *old = figures_of(e, zone);
        next[i] = old ? *old : (struct zone_figures){.zone = zone};
    }
    z->current = !z->current;
    z->count = e->config.protection_count + 1;
}

enum admission zone_admits(struct engine *e, struct packet *p, uint32_t *reason)
{
    uint16_t place = e->config.ports[p->port].protection;
    if (!place)
        return ADMIT;
    const struct zone_protection *zone = &e->config.protections[place];
    struct zone_figures *figures = &e->zones->figures[e->zones->current][place];
    enum admission admission = ADMIT;
    enum flood flood = flood_of(p);
    if (zone->flood[flood].enabled) {
        struct flood_figures *f = &figures->flood[flood];
        uint32_t rate = meter_count(&f->meter, e->now_ns);
        admission = flood_judge(e, &zone->flood[flood], p, rate);
        f->dropped += admission == ADMIT_NOT;
        f->cookies += admission == ADMIT_WITH_COOKIE;
        flood_alarm(e, &zone->flood[flood], p, rate, admission, 0, flood_reason(flood));
    }
    uint32_t why = admission == ADMIT_NOT ? flood_reason(flood) : 0;
    if (!why)
        why = checks_refuse_source(e, p);
    if (!why && scan_refuses(e, p, zone, figures->scans)) /* behind the above: nobody is blocked in another's name */
        why = COUNTER_flow_scan_drop;
    if (!why)
        return admission;
    *reason = why;
    return ADMIT_NOT;
}

void scan_note_refused(struct engine *e, const struct packet *p)
{
    uint64_t not_counted[SCAN_COUNT] = {0}; /* it has a drop reason already */
    uint16_t place = e->config.ports[p->port].protection;
    if (place && !block_hit(e, p)) /* what the parser refuses comes here although it is blocked */
        scan_refuses(e, p, &e->config.protections[place], not_counted);
}

bool uses_cookies(const struct engine *e, const struct packet *p)
{
    const struct flood_limits *limits = &protection_of(e, p->port)->flood[FLOOD_tcp_syn];
    return (limits->enabled && limits->syn_cookies) || dos_uses_cookies(e, p->port);
}

void zone_count_check(struct engine *e, uint16_t port, enum protection which)
{
    e->zones->figures[e->zones->current][e->config.ports[port].protection].checks[which]++;
}

int engine_zone_stats(struct engine *e, uint16_t zone, struct zone_stats *out)
{
    engine_enter(e);
    const struct zone_figures *figures = figures_of(e, zone);
    if (figures) {
        flood_show(e, figures->flood, out->flood);
        memcpy(out->scans, figures->scans, sizeof out->scans);
        memcpy(out->checks, figures->checks, sizeof out->checks);
    }
    engine_leave(e);
    return figures ? 0 : -ENOENT;
}
