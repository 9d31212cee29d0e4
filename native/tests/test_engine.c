/* An engine's life: sizes, configuration, verdict lists, and several engines side by side. */
#include "state.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "build.h"
#include "check.h"

static const struct engine_params good = {.max_sessions = 1, .max_undecided = 1, .max_held = 1, .max_events = 1};

static void sizes_that_make_no_sense(void)
{
    struct engine_params rows[10];
    for (int i = 0; i < 10; i++)
        rows[i] = good;
    rows[0].max_sessions = 0;
    rows[1].max_sessions = 1u << 30;
    rows[2].max_undecided = 0;
    rows[3].max_undecided = 65536;
    rows[4].max_held = 0;
    rows[5].max_held = (1u << 20) + 1;
    rows[6].max_events = 0;
    rows[7].max_events = 3;
    rows[8].now_ns = -1;
    rows[9].max_offloaded = 2;
    for (int i = 0; i < 10; i++) {
        errno = 0;
        CHECK(engine_new(&rows[i]) == NULL && errno == EINVAL);
    }
    engine_free(NULL);
}

static void smallest_engine(void)
{
    struct engine *e = build_engine(good);
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 3, .dport = 4};
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, 0) == 1);
    b.src = 9;
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, 0) == -1); /* the only buffer waits for its verdict */
    forget_verdicts(e);
    CHECK(build_session(e, &b, 1, 2, ACTION_allow, 0) == 0);
    engine_free(e);
}

static void before_it_is_configured_all_is_dropped(void)
{
    struct engine *e = engine_new(&good);
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 3, .dport = 4};
    for (uint32_t port = 0; port < 65536; port += 257) {
        build_feed(e, &b, (uint16_t)port, 0, port);
        struct verdict v = build_last_verdict(e);
        CHECK(v.reason == COUNTER_flow_no_interface && v.tag == port);
        forget_verdicts(e);
    }
    engine_free(e);
}

static void configuration_is_all_or_nothing(void)
{
    static struct port_config ports[MAX_PORTS + 1];
    struct engine *e = build_engine((struct engine_params){0});
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 3, .dport = 4};
    struct engine_config config = build_config();
    config.ports = ports, config.port_count = MAX_PORTS + 1;
    CHECK(engine_configure(e, &config) == -EINVAL);
    build_feed(e, &b, 1, 0, 1);
    CHECK(e->undecided_count == 1); /* port 1 is still in its zone */
    config.port_count = MAX_PORTS;
    CHECK(engine_configure(e, &config) == 0);
    build_feed(e, &b, 1, 0, 2);
    CHECK(build_last_verdict(e).reason == COUNTER_flow_no_interface);
    config.port_count = 0, config.ports = NULL;
    CHECK(engine_configure(e, &config) == 0);
    engine_free(e);
}

static uint32_t feed_drops(struct engine *e, uint32_t count)
{
    static uint8_t nothing[1];
    static struct input burst[2 * MAX_BURST];
    for (uint32_t i = 0; i < count; i++)
        burst[i] = (struct input){.tag = i, .data = nothing, .len = 0, .port = 1};
    return engine_input(e, burst, count, false);
}

static void bursts_and_room_for_verdicts(void)
{
    struct engine *e = build_engine((struct engine_params){.max_held = 4});
    uint32_t count;
    CHECK(feed_drops(e, 0) == 0);
    CHECK(feed_drops(e, 2 * MAX_BURST) == MAX_BURST);
    CHECK(feed_drops(e, MAX_BURST) == 4); /* the list has room for a burst and what may be held */
    CHECK(feed_drops(e, 1) == 0);
    engine_verdicts(e, &count);
    CHECK(count == MAX_BURST + 4);
    forget_verdicts(e);
    engine_verdicts(e, &count);
    CHECK(count == 0 && feed_drops(e, 1) == 1);
    engine_free(e);
}

/* Everything that may ever want a verdict before it is taken fits into the list. */
static void verdict_list_at_its_fullest(void)
{
    enum { HELD = 12 };
    struct engine *e = build_engine((struct engine_params){.max_held = HELD, .max_undecided = HELD});
    struct build b = {.family = 4, .proto = PROTO_TCP, .dst = 99, .sport = 1, .dport = 2, .flags = TCP_SYN};
    for (b.src = 1; b.src <= HELD / 2; b.src++)
        build_feed(e, &b, 1, 0, b.src);
    CHECK(feed_drops(e, MAX_BURST) == MAX_BURST);
    CHECK(feed_drops(e, MAX_BURST) == HELD - HELD / 2);
    struct undecided u[HELD];
    CHECK(engine_undecided(e, u, HELD) == HELD / 2);
    for (int i = 0; i < HELD / 2; i++) {
        struct session_spec spec = build_spec(&u[i].key, 2, ACTION_reset_both);
        CHECK(engine_install(e, u[i].handle, &spec) > 0);
    }
    uint32_t count;
    engine_verdicts(e, &count);
    CHECK(count == MAX_BURST + HELD / 2 + HELD && engine_counters(e)[COUNTER_flow_action_close] == HELD / 2);
    forget_verdicts(e);
    engine_free(e);
}

static void stop_after_the_first_undecided(void)
{
    static uint8_t bytes[4][BUILD_BYTES];
    struct engine *e = build_engine((struct engine_params){0});
    struct build one = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 3, .dport = 4}, two = one;
    two.src = 9;
    const struct build *order[4] = {&one, &one, &two, &one};
    struct input burst[4];
    for (int i = 0; i < 4; i++)
        burst[i] = (struct input){.tag = (uint64_t)i, .data = bytes[i], .len = build_packet(bytes[i], order[i]), .port = 1,
                                  .now_ns = i};
    CHECK(engine_input(e, burst, 4, true) == 1);
    CHECK(engine_input(e, burst + 1, 3, true) == 2); /* one parked, one new */
    CHECK(engine_input(e, burst + 3, 1, true) == 1);
    CHECK(e->now_ns == 3);
    engine_free(e);
}

/* The same history in engines of other keys and clocks, interleaved, comes to the same end. */
static void side_by_side(void)
{
    enum { ENGINES = 5 };
    struct engine *engines[ENGINES];
    struct engine_stats stats, first;
    for (int i = 0; i < ENGINES; i++)
        engines[i] = build_engine((struct engine_params){.max_sessions = 100, .hash_key = {(uint8_t)i}, .now_ns = i});
    for (uint32_t n = 1; n <= 120; n++)
        for (int i = 0; i < ENGINES; i++) {
            struct build b = {.family = n % 2 ? 4 : 6, .proto = n % 3 ? PROTO_UDP : PROTO_TCP, .src = n, .dst = 1000,
                              .sport = 1, .dport = 2, .flags = n % 3 ? 0 : TCP_SYN};
            build_session(engines[i], &b, 1, 2, n % 5 ? ACTION_allow : ACTION_deny, n * (SECOND / 2));
            forget_verdicts(engines[i]);
        }
    engine_stats(engines[0], &first);
    CHECK(first.allocated && first.tcp && first.udp && first.discard && first.installed == 120);
    for (int i = 1; i < ENGINES; i++) {
        engine_stats(engines[i], &stats);
        CHECK(!memcmp(&stats, &first, sizeof stats));
        CHECK(!memcmp(engine_counters(engines[i]), engine_counters(engines[0]), COUNTER_LIMIT * sizeof(uint64_t)));
    }
    for (int i = ENGINES - 1; i >= 0; i--)
        engine_free(engines[i]);
}

/* Verdicts stay readable until the next are taken, whatever the engine does in between. */
static void verdicts_stay_until_the_next(void)
{
    static uint8_t expected[BUILD_BYTES];
    struct engine *e = build_engine((struct engine_params){.max_held = 4});
    struct build b = {.family = 4, .proto = PROTO_UDP, .src = 1, .dst = 2, .sport = 3, .dport = 4, .payload = 100};
    uint32_t count, len = build_packet(expected, &b);
    for (int round = 0; round < 20; round++) {
        CHECK(build_session(e, &b, 1, 2, ACTION_allow, round * 100 * SECOND) > 0);
        const struct verdict *kept = engine_verdicts(e, &count);
        CHECK(count == 1 && kept->action == VERDICT_FORWARD);
        struct build other = b;
        for (other.src = 10; other.src < 13; other.src++) /* the pool's other buffers */
            build_feed(e, &other, 1, round * 100 * SECOND, 7);
        engine_tick(e, round * 100 * SECOND + SECOND);
        CHECK(kept->len == len && !memcmp(kept->data, expected, len));
        engine_verdicts(e, &count);
        CHECK(count == 3);
    }
    engine_free(e);
}

static void attention(void)
{
    struct engine *e = build_engine((struct engine_params){.max_events = 16});
    struct build b = {.family = 4, .proto = PROTO_UDP, .dst = 99, .sport = 3, .dport = 4};
    struct undecided u;
    struct event event;
    CHECK(!engine_wants_attention(e));
    b.src = 100;
    build_feed(e, &b, 1, 0, 1);
    CHECK(engine_wants_attention(e) && engine_undecided(e, &u, 1) == 1);
    CHECK(!engine_wants_attention(e)); /* handed out is looked at */
    engine_tick(e, SECOND);
    for (b.src = 1; b.src <= 5; b.src++) {
        CHECK(!engine_wants_attention(e));
        int64_t id = build_session(e, &b, 1, 2, ACTION_allow, SECOND);
        CHECK(id > 0 && engine_clear(e, (uint32_t)id) == 0);
        forget_verdicts(e);
    }
    CHECK(engine_wants_attention(e)); /* more than a quarter of the ring */
    CHECK(engine_events(e, &event, 1) == 1 && !engine_wants_attention(e));
    engine_free(e);
}

/* ---- one engine, several threads --------------------------------------------------------------------- */

enum { THREAD_TURNS = 300, THREAD_PACKETS = 16 };

struct shared {
    struct engine *engine;
    atomic_uint turns; /* of the answering thread */
    atomic_bool done;
    uint64_t packets, verdicts; /* the feeding thread's */
};

/* As the queue's loop: feeds bursts and takes verdicts. */
static void *feeding(void *argument)
{
    static uint8_t bytes[THREAD_PACKETS][256];
    struct shared *s = argument;
    uint32_t count;
    for (uint32_t round = 0; atomic_load(&s->turns) < THREAD_TURNS; round++) {
        struct input burst[THREAD_PACKETS];
        for (uint32_t i = 0; i < THREAD_PACKETS; i++) {
            struct build b = {.family = i & 1 ? 4 : 6, .proto = PROTO_UDP, .src = 1 + (round * 5 + i) % 50, .dst = 99,
                              .sport = 1, .dport = 2};
            burst[i] = (struct input){.data = bytes[i], .port = 1, .link = LINK_IP, .now_ns = round * (SECOND / 10)};
            burst[i].len = build_packet(bytes[i], &b);
        }
        s->packets += THREAD_PACKETS;
        for (uint32_t fed = 0; fed < THREAD_PACKETS;) {
            fed += engine_input(s->engine, burst + fed, THREAD_PACKETS - fed, false);
            engine_verdicts(s->engine, &count);
            s->verdicts += count;
        }
    }
    atomic_store(&s->done, true);
    return NULL;
}

/* As Python: answers, reads events, looks around, clears, configures. */
static void *answering(void *argument)
{
    static const struct route everywhere[] = {{.length = 0, .leaves = true, .port = 2}};
    struct fib *fib = fib_new(everywhere, 1, NULL, 0);
    struct shared *s = argument;
    struct undecided waiting[8];
    struct event events[8];
    struct session_view views[8];
    struct session_filter all = {0};
    struct engine_stats stats;
    for (uint32_t cursor = 0; !atomic_load(&s->done);) {
        uint32_t count = engine_undecided(s->engine, waiting, 8);
        unsigned turn = atomic_fetch_add(&s->turns, count > 0); /* the other thread may not have begun */
        for (uint32_t i = 0; i < count; i++) {
            struct session_spec spec = build_spec(&waiting[i].key, 2, turn % 7 ? ACTION_allow : ACTION_deny);
            engine_install(s->engine, waiting[i].handle, &spec);
        }
        while (engine_events(s->engine, events, 8))
            ;
        uint32_t found = engine_sessions(s->engine, &cursor, 16, &all, views, 8);
        if (found && turn % 5 == 0)
            engine_clear(s->engine, views[0].id);
        struct engine_config config = build_config();
        config.offload = turn & 1;
        config.offload_profile = (struct offload_profile){.udp_packets = 2, .packets = 2, .scan_ms = 500, .max_sessions = 20};
        if (turn % 11 == 0)
            build_configure(s->engine, &config);
        if (turn % 13 == 0)
            engine_set_fibs(s->engine, (const struct fib *[]){turn & 1 ? fib : NULL}, 1);
        engine_stats(s->engine, &stats);
        engine_next_timer_ns(s->engine);
    }
    engine_set_fibs(s->engine, (const struct fib *[]){NULL}, 1);
    fib_free(fib);
    return NULL;
}

static void threads_take_turns(void)
{
    struct shared s = {.engine = build_engine((struct engine_params){
                           .max_sessions = 30, .max_offloaded = 20, .max_held = 64, .max_undecided = 16, .answer_timeout_ms = 10000})};
    pthread_t feeder, answerer;
    CHECK(!pthread_create(&feeder, NULL, feeding, &s) && !pthread_create(&answerer, NULL, answering, &s));
    pthread_join(feeder, NULL);
    pthread_join(answerer, NULL);
    uint32_t count;
    engine_tick(s.engine, INT64_MAX / 2);
    engine_verdicts(s.engine, &count);
    struct engine_stats stats;
    engine_stats(s.engine, &stats);
    CHECK(s.verdicts + count == s.packets && engine_counters(s.engine)[COUNTER_pkt_recv] == s.packets);
    CHECK(!stats.allocated && !stats.held && !stats.undecided && stats.installed);
    engine_free(s.engine);
}

static void lists_have_names(void)
{
    for (uint32_t i = 0; i < SESSION_STATE_COUNT; i++)
        CHECK(session_state_name(i) != NULL);
    for (uint32_t i = 0; i < END_REASON_COUNT; i++)
        CHECK(end_reason_name(i) != NULL && end_reason_tracker(i) != NULL);
    CHECK(!session_state_name(SESSION_STATE_COUNT) && !tcp_state_name(TCP_STATE_COUNT) && !action_name(ACTION_COUNT));
    CHECK(!end_reason_name(END_REASON_COUNT) && !end_reason_tracker(UINT32_MAX) && !timer_info(TIMER_COUNT));
    CHECK(!counter_info(0) && !counter_info(COUNTER_LIMIT) && !counter_info(UINT32_MAX));
    struct engine *e = build_engine(good);
    engine_count(e, COUNTER_pkt_sent, 5);
    engine_count(e, COUNTER_LIMIT, 5);
    engine_count(e, UINT32_MAX, 5);
    CHECK(engine_counters(e)[COUNTER_pkt_sent] == 5);
    engine_free(e);
}

int main(void)
{
    sizes_that_make_no_sense();
    smallest_engine();
    before_it_is_configured_all_is_dropped();
    configuration_is_all_or_nothing();
    bursts_and_room_for_verdicts();
    verdict_list_at_its_fullest();
    stop_after_the_first_undecided();
    side_by_side();
    verdicts_stay_until_the_next();
    attention();
    threads_take_turns();
    lists_have_names();
    return check_report();
}
