/*
 * replay.c - captures through an engine, in the captures' own time.
 *
 *     capture --+                        +--> engine --> verdicts --> counted, written
 *     capture --+--> merged into bursts -+
 *     capture --+    and given a place
 *
 * A merged burst points into the captures' buffers. It ends where one of them has run empty, and they are
 * filled again only after every packet of the burst was fed and its verdict taken.
 */
#include <stdlib.h>
#include <string.h>

#include "state.h"

enum { EVENTS_PILED = 512 };

struct source {
    struct replay_source from;
    bool is_over;
    uint32_t at, count;
    struct input packets[MAX_BURST];
};

struct replay {
    struct replay_stats stats;
    struct verdict last;
    struct capture_writer *writers[MAX_PORTS];
    uint64_t numbered; /* packets given their tag: 1, 2, ... */
    int64_t merged_ns; /* time of the last one merged */
    uint32_t at, count; /* of the burst: fed so far, in all */
    struct input burst[MAX_BURST];
    struct {
        bool is_late, is_unrouted, is_by_source;
    } notes[MAX_BURST];
    uint32_t source_count;
    struct source sources[];
};

struct replay *replay_new(const struct replay_source *sources, uint32_t count)
{
    struct replay *r = calloc(1, sizeof *r + count * sizeof(struct source));
    if (!r)
        return NULL;
    r->source_count = count;
    for (uint32_t i = 0; i < count; i++)
        r->sources[i].from = sources[i];
    return r;
}

void replay_free(struct replay *r)
{
    free(r);
}

void replay_write(struct replay *r, uint16_t port, struct capture_writer *writer)
{
    if (port < MAX_PORTS)
        r->writers[port] = writer;
}

const struct replay_stats *replay_stats(const struct replay *r)
{
    return &r->stats;
}

/* ---- where a packet comes in ----------------------------------------------------------------------- */

static uint16_t first_port(const struct engine *e)
{
    for (uint16_t port = 1; port < e->config.port_count; port++)
        if (port_takes(e, port))
            return port;
    return 0;
}

/* The port by which the route to the source leaves, 0 where there is none. What the parser refuses, packets in the
 * firewall's own name and what hosts say before they have an address go in anywhere, to be counted as what they are. */
static uint16_t port_of_source(const struct engine *e, const struct input *in)
{
    uint8_t source[16];
    struct packet p;
    if (!packet_source(in->data, in->len, in->link, source))
        return first_port(e);
    const struct route *route = e->fibs[0] ? fib_route(e->fibs[0], source) : NULL;
    if (route && route->leaves && route->port)
        return route->port;
    if (is_local(e, source) || packet_parse(in->data, in->len, in->link, true, &p) || p.icmp_kind == ICMP_DISCOVERY)
        return first_port(e);
    return 0;
}

/* Takes the 802.1Q tag off. It says by which sub-interface frames passed where they were captured, both ways; where the port
 * is told by the source, the sub-interface is too. */
static void untag(struct input *in)
{
    static const uint8_t ethertype_vlan[] = {0x81, 0x00};
    if (in->link != LINK_ETHERNET || in->len < 18 || memcmp(in->data + 12, ethertype_vlan, 2) != 0)
        return;
    memmove(in->data + 4, in->data, 12);
    in->data += 4, in->len -= 4;
}

/* Makes the next packet of a capture what an edge would have received. */
static void place(struct replay *r, const struct engine *e, const struct replay_source *from)
{
    struct input *in = &r->burst[r->count];
    in->tag = ++r->numbered;
    in->flags |= INPUT_CHECKSUM_MAYBE_UNFINISHED;
    if (from->by_source)
        untag(in);
    in->port = from->by_source ? port_of_source(e, in) : from->port;
    r->notes[r->count].is_by_source = from->by_source;
    r->notes[r->count].is_unrouted = from->by_source && !in->port;
    r->notes[r->count].is_late = in->now_ns < r->merged_ns;
    if (in->now_ns < r->merged_ns)
        in->now_ns = r->merged_ns;
    r->merged_ns = in->now_ns;
}

static struct flow_key reversed(const struct flow_key *key)
{
    struct flow_key other = *key;
    memcpy(other.src, key->dst, 16);
    memcpy(other.dst, key->src, 16);
    other.sport = key->dport;
    other.dport = key->sport;
    return other;
}

/* The translated session whose client would see a flow of this key from the firewall; NULL where there is none. */
static const struct session *session_answered_by(const struct engine *e, const struct flow_key *seen)
{
    const struct route *route = e->fibs[0] ? fib_route(e->fibs[0], seen->dst) : NULL;
    struct flow_key c2s = reversed(seen);
    if (!route || !port_takes(e, route->port))
        return NULL;
    c2s.zone = e->config.ports[route->port].zone;
    uint32_t ref = flow_table_lookup(e, &c2s), slot = ref / 2;
    const struct session *s = &e->sessions[slot];
    bool is_client = slot && slot <= e->params.max_sessions && (ref & 1) == C2S && s->state == SESSION_ACTIVE;
    return is_client && is_translated(s) ? s : NULL;
}

/* A capture of the client's side has answers as the client saw them: makes of the next one what the firewall receives. */
static void untranslate(struct replay *r, struct engine *e)
{
    struct input *in = &r->burst[r->at];
    struct packet p;
    if (!r->notes[r->at].is_by_source || packet_parse(in->data, in->len, in->link, PARSE_TRUSTED, &p))
        return;
    bool is_error = p.icmp_kind == ICMP_ERROR;
    p.unfinished = packet_checksum_is_unfinished(&p);
    const struct session *s = session_answered_by(e, is_error ? &p.about : &p.key);
    if (!s)
        return;
    struct flow_key seen = reversed(&s->key[C2S]), received = reversed(&s->key[S2C]);
    if (is_error)
        rewrite_icmp_error(&p, &seen, &received);
    else
        rewrite_packet(e, &p, &received, 0, 0);
    in->port = s->port[S2C];
}

/* ---- bursts ---------------------------------------------------------------------------------------- */

static void refill(struct source *s)
{
    if (s->is_over || s->at < s->count)
        return;
    int32_t got = capture_read(s->from.capture, s->packets, MAX_BURST);
    s->is_over = got <= 0;
    s->count = s->is_over ? 0 : (uint32_t)got;
    s->at = 0;
}

/* The source of the earliest packet, NULL where that cannot be known before one is refilled, or all are over. */
static struct source *earliest(struct replay *r)
{
    struct source *found = NULL;
    for (struct source *s = r->sources; s < r->sources + r->source_count; s++) {
        if (s->is_over)
            continue;
        if (s->at == s->count)
            return NULL;
        if (!found || s->packets[s->at].now_ns < found->packets[found->at].now_ns)
            found = s;
    }
    return found;
}

static void merge(struct replay *r, struct engine *e)
{
    struct source *s;
    for (s = r->sources; s < r->sources + r->source_count; s++)
        refill(s);
    r->at = r->count = 0;
    engine_enter(e);
    while (r->count < MAX_BURST && (s = earliest(r))) {
        r->burst[r->count] = s->packets[s->at++];
        place(r, e, &s->from);
        r->count++;
    }
    engine_leave(e);
}

/* Packets of the burst that are to be fed next. */
static uint32_t ready(const struct replay *r, int64_t until_ns, uint64_t most)
{
    uint32_t left = r->count - r->at, n = 0;
    while (n < left && n < most && r->burst[r->at + n].now_ns <= until_ns)
        n++;
    return n;
}

/* ---- verdicts -------------------------------------------------------------------------------------- */

/* When what a verdict sends leaves: with the packet of the burst that caused it, or now. */
static int64_t leaving_ns(const struct replay *r, const struct verdict *v, const struct verdict *end)
{
    uint64_t first = r->burst[0].tag;
    for (; v < end; v++) /* the engine's own packets come before the verdict on the one they answer */
        if (r->at && v->tag >= first && v->tag - first < r->at)
            return r->burst[v->tag - first].now_ns;
    return r->stats.now_ns;
}

static void settle(struct replay *r, struct engine *e)
{
    uint32_t count;
    const struct verdict *v = engine_verdicts(e, &count), *end = v + count;
    engine_enter(e);
    r->stats.now_ns = e->now_ns;
    engine_leave(e);
    for (; v < end; v++) {
        bool leaves = v->action == VERDICT_FORWARD || v->action == VERDICT_EMIT;
        uint64_t *const counts[] = {
            [VERDICT_FORWARD] = &r->stats.forwarded,
            [VERDICT_DROP] = &r->stats.dropped,
            [VERDICT_HOST] = &r->stats.host,
            [VERDICT_CONSUMED] = &r->stats.consumed,
            [VERDICT_EMIT] = &r->stats.emitted,
        };
        ++*counts[v->action];
        if (v->action != VERDICT_EMIT)
            r->last = *v;
        if (leaves && r->writers[v->port])
            capture_writer_write(r->writers[v->port], v->data, v->len, leaving_ns(r, v, end));
    }
}

/* ---- the loop -------------------------------------------------------------------------------------- */

static void note_fed(struct replay *r, uint32_t n)
{
    struct replay_stats *stats = &r->stats;
    for (; n; n--, r->at++) {
        const struct input *in = &r->burst[r->at];
        if (!stats->packets++)
            stats->first_ns = in->now_ns;
        stats->last_ns = in->now_ns;
        stats->cut += !!(in->flags & INPUT_CUT);
        stats->late += r->notes[r->at].is_late;
        if (r->notes[r->at].is_unrouted && !stats->unrouted++)
            packet_source(in->data, in->len, in->link, stats->unrouted_source);
    }
}

/* Takes verdicts; says what somebody has to look at before more is done, REPLAY_END where there is nothing. */
static enum replay_stop look(struct replay *r, struct engine *e)
{
    settle(r, e);
    engine_enter(e);
    bool undecided = e->undecided_unseen;
    uint32_t events = e->event_head - e->event_tail;
    engine_leave(e);
    if (undecided)
        return REPLAY_UNDECIDED;
    return events > EVENTS_PILED || events > e->params.max_events / 4 ? REPLAY_EVENTS : REPLAY_END;
}

/* Whether packets have to be looked at one by one; the next one is then what the firewall receives. */
static bool has_translations(struct replay *r, struct engine *e)
{
    engine_enter(e);
    bool has = e->stats.translated;
    if (has)
        untranslate(r, e);
    engine_leave(e);
    return has;
}

const struct input *replay_next(struct replay *r, struct engine *e)
{
    if (r->at == r->count)
        merge(r, e);
    if (r->at == r->count)
        return NULL;
    has_translations(r, e);
    return &r->burst[r->at];
}

struct verdict replay_last(const struct replay *r)
{
    return r->last;
}

enum replay_stop replay_run(struct replay *r, struct engine *e, int64_t until_ns, uint64_t pause_at)
{
    enum replay_stop stop;
    while (!(stop = look(r, e))) {
        if (r->stats.packets >= pause_at)
            return REPLAY_PAUSE;
        if (r->at == r->count)
            merge(r, e);
        uint32_t n = ready(r, until_ns, pause_at - r->stats.packets);
        if (!n)
            return REPLAY_END;
        if (has_translations(r, e))
            n = 1;
        note_fed(r, engine_input(e, r->burst + r->at, n, true));
    }
    return stop;
}

/* Ends what has expired and the wheel, which turns in steps, has not come by. */
static void end_expired(struct engine *e)
{
    engine_enter(e);
    for (uint32_t slot = 1; slot <= e->fresh; slot++)
        if (e->sessions[slot].state != SESSION_INIT)
            session_is_over(e, slot);
    engine_leave(e);
}

enum replay_stop replay_run_timers(struct replay *r, struct engine *e, int64_t until_ns)
{
    enum replay_stop stop;
    int64_t due_ns;
    while (!(stop = look(r, e)) && (due_ns = engine_next_timer_ns(e)) < until_ns)
        engine_tick(e, due_ns);
    if (!stop && until_ns < INT64_MAX) {
        engine_tick(e, until_ns);
        end_expired(e);
        settle(r, e);
    }
    return stop;
}
