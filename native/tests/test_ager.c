/* The timing wheel against a plain list of expiry times. */
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

int main(void)
{
    for (uint64_t seed = 1; seed <= 25; seed++)
        history(seed, (int64_t)(seed % 3) * YEAR + (int64_t)seed);
    edges();
    long_sleep(YEAR);
    long_sleep(200 * YEAR);
    backwards();
    return check_report();
}
