/* The timing wheel against a plain list of expiry times, and the ager's clock against a plain list of its rates. */
#include "state.h"

#include <string.h>

#include "build.h"
#include "check.h"
#include "random.h"

enum { SESSIONS = 50 };

static const int64_t TICK = 1ll << TICK_SHIFT;
static const int64_t YEAR = 365ll * 24 * 3600 * SECOND;

struct model {
    struct engine *engine;
    int64_t expires_ns[SESSIONS + 1]; /* 0: no session in this slot */
    uint32_t live;
};

static void model_install(struct model *m, uint32_t number, int64_t expires_ns)
{
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = number, .dst = 0xffff, .sport = 1, .dport = 2};
    struct flow_key key = build_key(&b, 1);
    struct session_spec spec = build_spec(&key, 2, ACTION_allow);
    uint32_t reason, slot = session_install(m->engine, &key, 1, &spec, &reason);
    if (!CHECK(slot && !m->expires_ns[slot]))
        return;
    ager_set(m->engine, slot, expires_ns);
    m->expires_ns[slot] = expires_ns;
    m->live++;
}

/* Each session that expired by the last whole tick ended, at its own time and once; the others live. */
static void model_compare(struct model *m)
{
    struct event event;
    int64_t whole = m->engine->now_ns / TICK * TICK;
    while (engine_events(m->engine, &event, 1)) {
        uint32_t id = event.session.id;
        CHECK(event.type == EVENT_SESSION_END && event.session.end_reason == END_REASON_aged_out);
        CHECK(m->expires_ns[id] && event.session.end_ns == m->expires_ns[id]);
        CHECK(event.session.end_ns <= m->engine->now_ns);
        m->expires_ns[id] = 0;
        m->live--;
    }
    int64_t earliest = INT64_MAX;
    for (uint32_t slot = 1; slot <= SESSIONS; slot++)
        if (m->expires_ns[slot]) {
            CHECK(m->expires_ns[slot] > whole);
            earliest = m->expires_ns[slot] < earliest ? m->expires_ns[slot] : earliest;
        }
    int64_t next = ager_next_ns(m->engine);
    CHECK(m->engine->ager.count == m->live);
    CHECK(m->live ? next > m->engine->now_ns && next < earliest + TICK : next == INT64_MAX);
}

static int64_t some_time(struct random *r)
{
    /* as likely within a tick as within the whole range of an administrator's timers (185 days) */
    return (int64_t)(random_next(r) >> (64 - 20 - random_below(r, 35)));
}

static void history(uint64_t seed, int64_t start_ns)
{
    struct random r = {seed};
    struct model m = {.engine = build_engine((struct engine_params){.max_sessions = SESSIONS, .now_ns = start_ns})};
    int64_t now = start_ns;
    uint32_t number = 0;
    for (int step = 0; step < 400; step++) {
        uint32_t slot = 1 + random_below(&r, SESSIONS);
        switch (random_below(&r, 4)) {
        case 0:
            if (m.live < SESSIONS)
                model_install(&m, ++number, now + 1 + some_time(&r));
            break;
        case 1: /* a packet: later, or earlier after a FIN */
            if (m.expires_ns[slot])
                ager_set(m.engine, slot, m.expires_ns[slot] = now + 1 + some_time(&r));
            break;
        case 2:
            if (m.expires_ns[slot]) {
                struct event event;
                session_end(m.engine, slot, now, END_REASON_unknown);
                CHECK(engine_events(m.engine, &event, 1) == 1 && event.session.id == slot);
                m.expires_ns[slot] = 0;
                m.live--;
            }
            break;
        default:
            now += some_time(&r);
            engine_tick(m.engine, now);
        }
        model_compare(&m);
    }
    /* sleeping until next_timer each time gets through every session in few steps */
    for (uint32_t slot = 1; slot <= SESSIONS; slot++)
        if (m.expires_ns[slot])
            ager_set(m.engine, slot, m.expires_ns[slot] = now + 1 + (int64_t)(random_next(&r) >> 22) /* 73 minutes */);
    for (int step = 0; m.live && step < 256 + SESSIONS + 2; step++) {
        engine_tick(m.engine, ager_next_ns(m.engine));
        model_compare(&m);
    }
    CHECK(!m.live);
    engine_free(m.engine);
}

/* On both sides of every level's edge, and one tick around it. */
static void edges(void)
{
    for (int level = 0; level <= WHEEL_LEVELS; level++)
        for (int64_t off = -2; off <= 2; off++)
            for (int64_t begin = 0; begin < 3; begin++) {
                int64_t start = begin * 255 * TICK + begin;
                int64_t expires = ((1ll << (WHEEL_BITS * level)) + off) * TICK + start;
                if (expires <= start || expires < 0)
                    continue;
                struct model m = {.engine = build_engine((struct engine_params){.max_sessions = SESSIONS,
                                                                               .now_ns = start})};
                model_install(&m, 1, expires);
                engine_tick(m.engine, expires - 1);
                model_compare(&m);
                CHECK(m.live == 1);
                engine_tick(m.engine, expires + TICK);
                model_compare(&m);
                CHECK(m.live == 0);
                engine_free(m.engine);
            }
}

/* A machine that slept: everything ends at its own time, in one tick. */
static void long_sleep(int64_t sleep_ns)
{
    struct model m = {.engine = build_engine((struct engine_params){.max_sessions = SESSIONS})};
    for (uint32_t i = 1; i <= SESSIONS; i++)
        model_install(&m, i, i * i * 3600 * SECOND + i);
    engine_tick(m.engine, sleep_ns);
    model_compare(&m);
    CHECK(!m.live);
    model_install(&m, SESSIONS + 1, sleep_ns + 1);
    engine_tick(m.engine, sleep_ns + TICK);
    model_compare(&m);
    CHECK(!m.live);
    engine_free(m.engine);
}

/* Time never goes back. */
static void backwards(void)
{
    struct model m = {.engine = build_engine((struct engine_params){.now_ns = 100 * TICK})};
    model_install(&m, 1, 101 * TICK);
    engine_tick(m.engine, 0);
    model_compare(&m);
    CHECK(m.live == 1 && m.engine->now_ns == 100 * TICK);
    engine_free(m.engine);
}

/* ---- accelerated aging ------------------------------------------------------------------------------------ */

enum { MAX_PIECES = 4096 };

/* From a time and a reading of the ager's clock on, it had this rate. */
struct piece {
    int64_t time_ns, age_ns;
    uint32_t rate;
};

struct accelerated {
    struct engine *engine;
    uint32_t factor;
    int64_t now_ns, age_ns;
    struct piece pieces[MAX_PIECES];
    uint32_t piece_count;
    int64_t expires_ns[SESSIONS + 1]; /* on the ager's clock; 0: no session in this slot */
    uint32_t live;
};

static void set_factor(struct accelerated *a, uint32_t factor)
{
    struct engine_config config = build_config();
    config.accelerated_aging = (struct accelerated_aging){.threshold_percent = 75, .factor = factor};
    build_configure(a->engine, &config);
    a->factor = factor;
}

static uint32_t accelerated_rate(struct accelerated *a)
{
    uint32_t rate = a->live * 100 >= 75 * SESSIONS ? a->factor : 1;
    struct piece *last = &a->pieces[a->piece_count - 1];
    if (last->rate != rate && last->age_ns == a->age_ns)
        last->rate = rate;
    else if (last->rate != rate && CHECK(a->piece_count < MAX_PIECES))
        a->pieces[a->piece_count++] = (struct piece){a->now_ns, a->age_ns, rate};
    return rate;
}

static void accelerated_check_end(struct accelerated *a, const struct session_view *view)
{
    int64_t expires = a->expires_ns[view->id];
    uint32_t at = a->piece_count - 1;
    while (at && a->pieces[at].age_ns >= expires)
        at--;
    const struct piece *p = &a->pieces[at];
    int64_t end = p->time_ns + (expires - p->age_ns + p->rate - 1) / p->rate;
    CHECK(view->end_reason == END_REASON_aged_out && view->end_ns <= a->now_ns);
    /* two changes since, within a tick: that is what exactness ends at */
    CHECK(at + 2 >= a->piece_count ? view->end_ns == end : view->end_ns > end - TICK && view->end_ns < end + TICK);
    a->expires_ns[view->id] = 0;
    a->live--;
}

/* Until `to` as the ager does it: crowded, from one tick that ends sessions to the next. */
static void accelerated_tick(struct accelerated *a, int64_t to_ns)
{
    uint32_t rate;
    do {
        int64_t step = to_ns - a->now_ns;
        rate = accelerated_rate(a);
        for (uint32_t slot = 1; rate > 1 && slot <= SESSIONS; slot++)
            if (a->expires_ns[slot]) {
                int64_t tick = (a->expires_ns[slot] + TICK - 1) / TICK * TICK, wait = (tick - a->age_ns + rate - 1) / rate;
                step = wait < step ? wait : step;
            }
        a->now_ns += step;
        a->age_ns += step * rate;
        for (uint32_t slot = 1; slot <= SESSIONS; slot++)
            if (a->expires_ns[slot] && (a->expires_ns[slot] + TICK - 1) / TICK * TICK <= a->age_ns)
                a->live--;
        /* they end below, when the engine says so; until then they are only not counted */
        uint32_t counted = a->live;
        a->live = 0;
        for (uint32_t slot = 1; slot <= SESSIONS; slot++)
            a->live += a->expires_ns[slot] != 0;
        engine_tick(a->engine, a->now_ns);
        struct event event;
        while (engine_events(a->engine, &event, 1))
            accelerated_check_end(a, &event.session);
        CHECK(a->live == counted && a->engine->ager.count == counted);
        CHECK(a->engine->now_ns == a->now_ns && a->engine->age_ns == a->age_ns);
    } while (a->now_ns < to_ns);
}

static void accelerated_history(uint64_t seed)
{
    static struct accelerated models[1]; /* large */
    struct random r = {seed};
    struct accelerated *a = models;
    int64_t start = (int64_t)(seed % 3) * YEAR + (int64_t)seed;
    *a = (struct accelerated){.engine = build_engine((struct engine_params){.max_sessions = SESSIONS, .now_ns = start}),
                              .now_ns = start, .age_ns = start, .pieces = {{start, start, 1}}, .piece_count = 1};
    set_factor(a, 2 + (uint32_t)seed % 15);
    uint32_t number = 0;
    for (int step = 0; step < 300; step++) {
        switch (random_below(&r, 12)) {
        case 0: /* one goes, for another reason */
        {
            struct event event;
            uint32_t slot = 1 + random_below(&r, SESSIONS);
            if (!a->expires_ns[slot])
                break;
            bool was_over = engine_clear(a->engine, slot);
            CHECK(engine_events(a->engine, &event, 1) == 1 && was_over == (a->expires_ns[slot] <= a->age_ns));
            if (was_over)
                accelerated_check_end(a, &event.session);
            else
                a->expires_ns[slot] = 0, a->live--;
            break;
        }
        case 1:
        case 2:
            accelerated_tick(a, a->now_ns + (some_time(&r) >> random_below(&r, 24)));
            break;
        case 3:
            if (random_below(&r, 10) == 0)
                set_factor(a, 1 + random_below(&r, 16));
            break;
        default:
            if (a->live == SESSIONS)
                break;
            struct build b = {.family = 4, .proto = PROTO_UDP, .src = ++number, .dst = 0xffff, .sport = 1, .dport = 2};
            struct flow_key key = build_key(&b, 1);
            struct session_spec spec = build_spec(&key, 2, ACTION_allow);
            uint32_t reason, slot = session_install(a->engine, &key, 1, &spec, &reason);
            CHECK(slot && !a->expires_ns[slot]);
            a->expires_ns[slot] = a->age_ns + 1 + some_time(&r);
            ager_set(a->engine, slot, a->expires_ns[slot]);
            a->live++;
        }
    }
    for (uint32_t slot = 1; slot <= SESSIONS; slot++)
        if (a->expires_ns[slot]) {
            a->expires_ns[slot] = a->age_ns + 1 + (int64_t)(random_next(&r) >> 22) /* 73 minutes */;
            ager_set(a->engine, slot, a->expires_ns[slot]);
        }
    /* sleeping until next_timer each time gets through every session in few steps */
    for (int step = 0; a->live && step < 256 + 2 * SESSIONS + 2; step++) { /* looked at too early once at most */
        int64_t next = engine_next_timer_ns(a->engine);
        if (!CHECK(next > a->now_ns))
            break;
        accelerated_tick(a, next);
    }
    CHECK(!a->live);
    engine_free(a->engine);
}

/* Every session has the rest of its timeout divided, and that ends where it does not help any more. */
static void crowded(void)
{
    struct model m = {.engine = build_engine((struct engine_params){.max_sessions = 4})};
    struct engine_stats stats;
    struct engine_config config = build_config();
    config.accelerated_aging = (struct accelerated_aging){.threshold_percent = 75, .factor = 3};
    build_configure(m.engine, &config);
    for (uint32_t i = 1; i <= 3; i++) {
        struct build b = {.family = 4, .proto = PROTO_UDP, .src = i, .dst = 0xffff, .sport = 1, .dport = 2};
        CHECK(build_session(m.engine, &b, 1, 2, ACTION_allow, (i - 1) * 10 * SECOND) == i);
    }
    engine_tick(m.engine, 20 * SECOND + 1); /* the first has 10 s of its 30 left, the others 20 and 30 */
    engine_stats(m.engine, &stats);
    CHECK(stats.aging_accelerated && engine_counters(m.engine)[COUNTER_session_aging_accelerated] == 1);
    struct session_view view;
    engine_session(m.engine, 1, &view);
    CHECK(view.end_ns == 20 * SECOND + 10 * SECOND / 3 + 1); /* rounded up */
    engine_tick(m.engine, view.end_ns - 1);
    engine_session(m.engine, 1, &view);
    CHECK(view.state == SESSION_ACTIVE);
    engine_tick(m.engine, view.end_ns);
    engine_session(m.engine, 1, &view);
    CHECK(view.state == SESSION_INIT && view.end_ns == m.engine->now_ns);
    engine_tick(m.engine, 200 * SECOND); /* two sessions are no crowd: from there on a second is a second */
    engine_session(m.engine, 2, &view);
    CHECK(view.end_ns == 20 * SECOND + 10 * SECOND / 3 + 1 + 10 * SECOND - 2); /* 1 ns of rounding was three */
    engine_stats(m.engine, &stats);
    CHECK(!stats.allocated && !stats.aging_accelerated);
    engine_free(m.engine);
}

/* The clock may run ahead, but not so far that it breaks. */
static void far_ahead(void)
{
    const int64_t start = 227 * YEAR, ahead = 60 * YEAR - 1; /* of captures, times until 2200 are taken */
    struct engine *e = build_engine((struct engine_params){.max_sessions = 1, .now_ns = start});
    struct engine_config config = build_config();
    config.timeout_s[TIMER_udp] = timer_info(TIMER_udp)->max_s;
    config.accelerated_aging = (struct accelerated_aging){.threshold_percent = 50, .factor = 16};
    build_configure(e, &config);
    e->age_ns = e->rate_age_ns = start + ahead; /* after four years of acceleration, not lived through here */
    e->ager.now_tick = (uint64_t)e->age_ns >> TICK_SHIFT;
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 1, .dport = 2};
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, start) == 1);
    forget_verdicts(e);
    for (int64_t now = start; now < 230 * YEAR; now += 10 * 24 * 3600 * SECOND) {
        build_feed(e, &b, 1, now, 1);
        CHECK(build_last_verdict(e).session == 1);
        forget_verdicts(e);
        CHECK(e->sessions[1].expires_ns > e->age_ns && e->age_ns >= e->now_ns);
    }
    engine_tick(e, 231 * YEAR);
    CHECK(!e->ager.count);
    engine_free(e);
}

/* Nobody looks for years while the table is crowded: that costs no more than it must. */
static void crowded_sleep(void)
{
    struct accelerated a = {.engine = build_engine((struct engine_params){.max_sessions = SESSIONS})};
    struct model m = {.engine = a.engine};
    set_factor(&a, 16);
    for (uint32_t i = 1; i <= SESSIONS; i++)
        model_install(&m, i, (15999999 - i) * SECOND);
    engine_tick(a.engine, 4 * 3600 * SECOND);
    CHECK(a.engine->ager.count == SESSIONS && a.engine->age_ns == 64 * 3600 * SECOND);
    engine_tick(a.engine, 100 * YEAR);
    CHECK(!a.engine->ager.count);
    engine_free(a.engine);
}

static void acceleration_that_makes_no_sense(void)
{
    static const struct row {
        uint32_t threshold, factor;
        int result;
    } rows[] = {{0, 1, 0}, {100, 1, 0}, {1, 16, 0}, {100, 2, 0}, {0, 2, -22}, {101, 1, -22}, {80, 0, -22}, {80, 17, -22}};
    struct engine *e = build_engine((struct engine_params){0});
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct engine_config config = build_config();
        config.accelerated_aging = (struct accelerated_aging){rows[i].threshold, rows[i].factor};
        CHECK(engine_configure(e, &config) == rows[i].result);
    }
    engine_free(e);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 25; seed++)
        history(seed, (int64_t)(seed % 3) * YEAR + (int64_t)seed);
    edges();
    long_sleep(YEAR);
    long_sleep(200 * YEAR);
    backwards();
    for (uint64_t seed = 1; seed <= 60; seed++)
        accelerated_history(seed);
    crowded();
    far_ahead();
    crowded_sleep();
    acceleration_that_makes_no_sense();
    return check_report();
}
