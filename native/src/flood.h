/*
 * flood.h - how many packets a second, and what limits say of that.
 *
 * A rate is that of a window of one second that slides: what was counted in this second, and of the one before it the
 * share that is still within the window.
 */
#ifndef SIXTUPLE_FLOOD_H
#define SIXTUPLE_FLOOD_H

#include "packet.h"
#include "protect.h"

struct meter {
    int64_t since_ns; /* when the second that is counted now began */
    uint32_t counted, before;
};

/* What of a zone or a rule is counted of one kind of flood. */
struct flood_figures {
    struct meter meter;
    uint64_t dropped, cookies;
};

/* Packets in the second up to now. */
uint32_t meter_rate(const struct meter *m, int64_t now_ns);
/* Counts one more; the rate with it. */
uint32_t meter_count(struct meter *m, int64_t now_ns);

/* Which flood a packet that may open a session is part of. */
enum flood flood_of(const struct packet *p);
/* The drop reason of a zone's limits. */
enum counter flood_reason(enum flood flood);
/* What limits say at a rate that a packet is part of. */
enum admission flood_judge(struct engine *e, const struct flood_limits *limits, const struct packet *p, uint32_t rate);
/* Raises the alarm of limits at a rate. */
void flood_alarm(struct engine *e, const struct flood_limits *limits, const struct packet *p, uint32_t rate,
                 enum admission admission, uint32_t rule, uint32_t reason);
void flood_show(const struct engine *e, const struct flood_figures figures[FLOOD_COUNT], struct flood_stats out[FLOOD_COUNT]);

#endif
