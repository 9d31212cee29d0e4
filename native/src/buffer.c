/*
 * buffer.c - packet buffer protection: what one source may fill of the packets that wait for the slowpath.
 *
 * From the activation rate on a source may hold no more than is still free: so however few sources fill the buffers, there
 * is always room for the first packets of another one (dynamic thresholds; Choudhury, Hahne 1998). Packets are dropped from
 * half of that on, the more often the nearer.
 *
 * How much a source holds is counted at two places, by two keyed hashes, and the less is right but for sources that meet
 * others at both.
 */
#include "siphash.h"
#include "state.h"

enum { CELLS = 8192, OFFENDER_SETS = 64, WAYS = 4 };
static const int64_t PAUSE_NS = 1000000000; /* after which a source has stopped */

/* A source that holds too much, found by a keyed hash, which stands for it. */
struct offender {
    uint64_t id;
    int64_t since_ns, last_ns;
};

struct buffers {
    uint32_t held[2][CELLS];
    struct offender offenders[OFFENDER_SETS * WAYS];
};

uint64_t buffers_bytes(void)
{
    return sizeof(struct buffers);
}

static uint64_t id_of(const struct engine *e, const struct packet *p)
{
    return siphash13(e->hash_key, p->key.src, sizeof p->key.src);
}

static void add(struct engine *e, const struct packet *p, int32_t by)
{
    uint64_t id = id_of(e, p);
    e->buffers->held[0][id % CELLS] += (uint32_t)by;
    e->buffers->held[1][(id >> 32) % CELLS] += (uint32_t)by;
}

void buffer_holds(struct engine *e, const struct packet *p)
{
    add(e, p, 1);
}

void buffer_releases(struct engine *e, const struct packet *p)
{
    add(e, p, -1);
}

static uint32_t held_of(const struct engine *e, uint64_t id)
{
    uint32_t a = e->buffers->held[0][id % CELLS], b = e->buffers->held[1][(id >> 32) % CELLS];
    return a < b ? a : b;
}

/* The scarcer of handles and buffers; of these, those behind a verdict are nobody's share any more. */
static uint32_t percent_used(const struct engine *e, uint32_t *free)
{
    uint32_t handles = e->params.max_undecided - e->undecided_count, packets = e->params.max_held - e->held_count;
    uint64_t of_handles = e->undecided_count * 100ull / e->params.max_undecided;
    uint64_t of_packets = (e->held_count - e->held_over) * 100ull / e->params.max_held;
    *free = handles < packets ? handles : packets;
    return (uint32_t)(of_handles > of_packets ? of_handles : of_packets);
}

/* Since when a source has held too much. */
static int64_t offends_since(struct engine *e, uint64_t id)
{
    struct offender *set = &e->buffers->offenders[id % OFFENDER_SETS * WAYS], *found = set;
    for (int way = 0; way < WAYS && found->id != id; way++)
        if (set[way].id == id || set[way].last_ns < found->last_ns)
            found = &set[way];
    if (found->id != id || e->now_ns - found->last_ns >= PAUSE_NS)
        *found = (struct offender){.id = id, .since_ns = e->now_ns};
    found->last_ns = e->now_ns;
    return found->since_ns;
}

/* What becomes of a packet whose source holds too much: 0, or the drop reason. */
static uint32_t refuse(struct engine *e, const struct packet *p, uint64_t id, uint32_t held, uint32_t free)
{
    const struct buffer_protection *config = &e->config.buffer_protection;
    uint32_t share = free / 2;
    bool is_over = held > share, blocks = config->block_duration_s && !config->monitor_only;
    if (!is_over)
        return 0;
    if (blocks && e->now_ns - offends_since(e, id) >= config->block_hold_s * 1000000000ll) {
        block_add(e, p, false, config->block_duration_s, THREAT_BUFFER, 0);
        count(e, COUNTER_pkt_buf_protect_block_ip);
        threat_note(e, p, THREAT_BUFFER, 0, SCAN_ACTION_block_ip, 0, COUNTER_pkt_buf_protect_discard);
        return COUNTER_pkt_buf_protect_discard;
    }
    if (((engine_random(e) >> 32) * (share + 1ull) >> 32) + share >= held)
        return 0;
    threat_note(e, p, THREAT_BUFFER, 0, config->monitor_only ? SCAN_ACTION_alert : SCAN_ACTION_block, 0,
                config->monitor_only ? 0 : COUNTER_pkt_buf_protect_red);
    return config->monitor_only ? 0 : COUNTER_pkt_buf_protect_red;
}

uint32_t buffer_refuses(struct engine *e, const struct packet *p)
{
    const struct buffer_protection *config = &e->config.buffer_protection;
    if (!config->enabled || !protection_of(e, p->port)->buffer_protection)
        return 0;
    uint32_t free, percent = percent_used(e, &free);
    if (percent >= config->alert_percent)
        threat_note(e, p, THREAT_BUFFER, 0, SCAN_ACTION_alert, 0, 0);
    if (percent < config->activate_percent)
        return 0;
    uint64_t id = id_of(e, p);
    return refuse(e, p, id, held_of(e, id), free);
}
