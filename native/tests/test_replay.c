/* Captures through an engine: their order, where their packets come in, when they stop, and what is written. */
#define _GNU_SOURCE
#include "state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "build.h"
#include "check.h"
#include "random.h"

enum { RAW = 101, ETHERNET = 1, COOKED = 113, COOKED2 = 276, NULL_LINK = 0 };

static const uint64_t NO_PAUSE = UINT64_MAX;
static const int64_t FOREVER = INT64_MAX;

/* ---- capture files in memory ----------------------------------------------------------------------- */

struct file {
    int fd;
    char path[64];
};

static void file_append(const struct file *f, const void *data, size_t len)
{
    if (write(f->fd, data, len) != (ssize_t)len)
        abort();
}

static struct file file_new(uint32_t link)
{
    struct file f = {.fd = memfd_create("capture", 0)};
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    uint32_t header[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 1 << 18, link};
    file_append(&f, header, sizeof header);
    return f;
}

/* `whole` is the length on the wire, `len` of it captured. */
static void file_frame(const struct file *f, int64_t now_ns, const uint8_t *frame, uint32_t len, uint32_t whole)
{
    uint32_t record[4] = {(uint32_t)(now_ns / SECOND), (uint32_t)(now_ns % SECOND), len, whole};
    file_append(f, record, sizeof record);
    file_append(f, frame, len);
}

static void file_packet(const struct file *f, int64_t now_ns, const struct build *b)
{
    static uint8_t bytes[BUILD_BYTES];
    uint32_t len = build_packet(bytes, b);
    file_frame(f, now_ns, bytes, len, len);
}

static struct capture *file_open(const struct file *f)
{
    char error[256];
    struct capture *c = capture_open(f->path, error);
    if (!c)
        fprintf(stderr, "%s\n", error), abort();
    return c;
}

/* ---- a replay and its engine ----------------------------------------------------------------------- */

enum { MAX_SOURCES = 3 };

struct bench {
    struct engine *engine;
    struct capture *captures[MAX_SOURCES];
    uint32_t count;
    struct replay *replay;
    struct fib *fib;
};

/* Port n for the n-th file; with by_source the ports that routes say: 10.0/9 by port 1, the rest of 10/8 by port 2,
 * the documentation prefix of IPv6 by port 3. 10.0.0.1 is the firewall itself. */
static struct bench bench_new(const struct file *files, uint32_t count, bool by_source)
{
    struct bench b = {.engine = build_engine((struct engine_params){0}), .count = count};
    struct replay_source sources[MAX_SOURCES];
    for (uint32_t i = 0; i < count; i++) {
        b.captures[i] = file_open(&files[i]);
        sources[i] = (struct replay_source){b.captures[i], by_source, (uint16_t)(by_source ? 0 : i + 1)};
    }
    static const uint8_t own[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
    struct engine_config config = build_config();
    config.local_count = 1;
    config.local = own;
    build_configure(b.engine, &config);
    struct route routes[] = {
        {.prefix = {[10] = 0xff, [11] = 0xff, [12] = 10}, .length = 96 + 9, .leaves = true, .port = 1},
        {.prefix = {[10] = 0xff, [11] = 0xff, [12] = 10}, .length = 96 + 8, .leaves = true, .port = 2},
        {.prefix = {0x20, 0x01, 0x0d, 0xb8}, .length = 32, .leaves = true, .port = 3},
        {.prefix = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}, .length = 128, .leaves = false, .port = 0},
        {.prefix = {[10] = 0xff, [11] = 0xff, [12] = 172}, .length = 96 + 8, .leaves = false, .port = 0},
    };
    b.fib = fib_new(routes, sizeof routes / sizeof *routes, NULL, 0);
    engine_set_fibs(b.engine, (const struct fib *[]){b.fib}, 1);
    b.replay = replay_new(sources, count);
    if (!b.replay || !b.fib)
        abort();
    return b;
}

static void bench_free(struct bench *b)
{
    replay_free(b->replay);
    for (uint32_t i = 0; i < b->count; i++)
        capture_close(b->captures[i]);
    engine_free(b->engine);
    fib_free(b->fib);
}

static void answer(struct engine *e, enum action action)
{
    struct undecided u;
    CHECK(engine_undecided(e, &u, 1) == 1);
    struct session_spec spec = build_spec(&u.key, u.port == 1 ? 2 : 1, action);
    CHECK(engine_install(e, u.handle, &spec) >= 0);
}

/* Runs until something else than a decision is asked for; every session is allowed. */
static enum replay_stop run(struct bench *b, int64_t until_ns, uint64_t pause_at)
{
    enum replay_stop stop;
    while ((stop = replay_run(b->replay, b->engine, until_ns, pause_at)) == REPLAY_UNDECIDED)
        answer(b->engine, ACTION_allow);
    return stop;
}

static void forget_events(struct engine *e)
{
    struct event event;
    while (engine_events(e, &event, 1))
        ;
}

static const struct build udp = {.family = 4, .proto = PROTO_UDP, .src = 2, .dst = 0x800002, .sport = 9, .dport = 53,
                                 .payload = 4};

static struct build udp_from(uint32_t src)
{
    struct build b = udp;
    b.src = src;
    return b;
}

/* ---- order ----------------------------------------------------------------------------------------- */

enum { EACH = 700 }; /* more than two bursts */

struct expected {
    int64_t now_ns;
    uint16_t port;
    uint32_t src;
};

/* The dull way: again and again the earliest of the heads, of equal ones the first. */
static void captures_are_merged_as_by_hand(uint64_t seed)
{
    struct random r = {seed};
    struct file files[MAX_SOURCES];
    static struct expected heads[MAX_SOURCES][EACH];
    uint32_t at[MAX_SOURCES] = {0}, counts[MAX_SOURCES];
    for (uint32_t i = 0; i < MAX_SOURCES; i++) {
        files[i] = file_new(RAW);
        counts[i] = random_below(&r, EACH);
        int64_t now_ns = 1 + random_below(&r, 50);
        for (uint32_t n = 0; n < counts[i]; n++) {
            now_ns += (int64_t)random_below(&r, 4) - (random_below(&r, 20) == 0) * 9;
            now_ns = now_ns < 1 ? 1 : now_ns;
            heads[i][n] = (struct expected){now_ns, (uint16_t)(i + 1), 2 + i};
            struct build b = udp_from(2 + i);
            b.sport = (uint16_t)(n + 1);
            file_packet(&files[i], now_ns, &b);
        }
    }
    struct bench b = bench_new(files, MAX_SOURCES, false);
    int64_t latest_ns = 0;
    uint64_t late = 0, number = 0;
    for (;;) {
        const struct expected *next = NULL;
        uint32_t of = 0;
        for (uint32_t i = 0; i < MAX_SOURCES; i++)
            if (at[i] < counts[i] && (!next || heads[i][at[i]].now_ns < next->now_ns))
                next = &heads[of = i][at[i]];
        const struct input *in = replay_next(b.replay, b.engine);
        if (!next) {
            CHECK(!in);
            break;
        }
        late += next->now_ns < latest_ns;
        latest_ns = next->now_ns > latest_ns ? next->now_ns : latest_ns;
        CHECK(in && in->now_ns == latest_ns && in->port == next->port && in->tag == ++number);
        CHECK(in && in->data[20 + 1] + (in->data[20] << 8) == (int)++at[of]); /* its source port */
        while (run(&b, FOREVER, number) == REPLAY_EVENTS)
            forget_events(b.engine);
        CHECK(replay_stats(b.replay)->packets == number);
    }
    const struct replay_stats *stats = replay_stats(b.replay);
    CHECK(stats->packets == number && stats->late == late && stats->last_ns == latest_ns);
    CHECK(run(&b, FOREVER, NO_PAUSE) == REPLAY_END);
    bench_free(&b);
    for (uint32_t i = 0; i < MAX_SOURCES; i++)
        close(files[i].fd);
}

static void large_packets_come_in_smaller_bursts(void)
{
    struct file f = file_new(RAW);
    struct build b = udp;
    for (uint32_t n = 0; n < 40; n++) {
        b.payload = n % 2 ? 65000 : 10;
        file_packet(&f, n + 1, &b);
    }
    struct bench x = bench_new(&f, 1, false);
    CHECK(run(&x, FOREVER, NO_PAUSE) == REPLAY_END);
    CHECK(replay_stats(x.replay)->forwarded == 40 && replay_stats(x.replay)->last_ns == 40);
    bench_free(&x);
    close(f.fd);
}

/* ---- where it stops -------------------------------------------------------------------------------- */

static void it_stops_where_it_is_told(void)
{
    struct file f = file_new(RAW);
    for (int64_t n = 1; n <= 10; n++)
        file_packet(&f, n * SECOND, &udp);
    struct bench b = bench_new(&f, 1, false);
    const struct replay_stats *stats = replay_stats(b.replay);
    CHECK(stats->first_ns == 0 && replay_next(b.replay, b.engine)->now_ns == SECOND && stats->packets == 0);
    CHECK(run(&b, SECOND - 1, NO_PAUSE) == REPLAY_END && stats->packets == 0);
    CHECK(replay_run(b.replay, b.engine, SECOND, NO_PAUSE) == REPLAY_UNDECIDED && stats->packets == 1);
    CHECK(replay_run(b.replay, b.engine, FOREVER, NO_PAUSE) == REPLAY_UNDECIDED && stats->packets == 1);
    struct undecided nobody_answers;
    CHECK(engine_undecided(b.engine, &nobody_answers, 1) == 1);
    CHECK(replay_run(b.replay, b.engine, FOREVER, NO_PAUSE) == REPLAY_UNDECIDED && stats->packets == 2);
    CHECK(engine_counters(b.engine)[COUNTER_flow_undecided_timeout] == 1);
    bench_free(&b);

    b = bench_new(&f, 1, false);
    stats = replay_stats(b.replay);
    CHECK(run(&b, SECOND, NO_PAUSE) == REPLAY_END && stats->packets == 1 && stats->forwarded == 1);
    CHECK(run(&b, FOREVER, 1) == REPLAY_PAUSE && stats->packets == 1);
    CHECK(run(&b, FOREVER, 4) == REPLAY_PAUSE && stats->packets == 4);
    CHECK(run(&b, 6 * SECOND + 5, 7) == REPLAY_END && stats->packets == 6);
    CHECK(run(&b, 7 * SECOND, 7) == REPLAY_PAUSE && stats->packets == 7);
    CHECK(run(&b, FOREVER, NO_PAUSE) == REPLAY_END && stats->packets == 10 && stats->forwarded == 10);
    CHECK(stats->first_ns == SECOND && stats->last_ns == 10 * SECOND && stats->now_ns == 10 * SECOND);
    CHECK(!replay_next(b.replay, b.engine) && run(&b, FOREVER, NO_PAUSE) == REPLAY_END);
    bench_free(&b);
    close(f.fd);
}

static void nothing_overtakes_a_decision(void)
{
    struct file f = file_new(RAW);
    for (uint32_t n = 0; n < 50; n++) { /* a session now and then, its packets right behind it */
        struct build b = udp_from(2 + n / 7);
        file_packet(&f, SECOND + n, &b);
    }
    struct bench b = bench_new(&f, 1, false);
    uint32_t asked = 0;
    while (replay_run(b.replay, b.engine, FOREVER, NO_PAUSE) == REPLAY_UNDECIDED) {
        CHECK(b.engine->now_ns == SECOND + 7 * asked++);
        CHECK(replay_stats(b.replay)->packets == 7 * (asked - 1) + 1);
        answer(b.engine, ACTION_allow);
    }
    CHECK(asked == 8 && replay_stats(b.replay)->forwarded == 50);
    CHECK(engine_counters(b.engine)[COUNTER_flow_parked] == 0);
    bench_free(&b);
    close(f.fd);
}

static void events_pile_up(void)
{
    struct file f = file_new(RAW);
    for (uint32_t n = 0; n < 60; n++) {
        struct build b = udp_from(2 + n);
        file_packet(&f, (1 + n) * 40 * SECOND, &b);
    }
    struct bench b = bench_new(&f, 1, false);
    uint32_t seen = 0, stops = 0;
    struct event event;
    for (;; stops++) {
        enum replay_stop stop = run(&b, FOREVER, NO_PAUSE);
        while (engine_events(b.engine, &event, 1))
            seen++;
        if (stop == REPLAY_END)
            break;
        CHECK(stop == REPLAY_EVENTS);
    }
    CHECK(stops >= 3 && seen == 59);
    CHECK(engine_counters(b.engine)[COUNTER_log_event_lost] == 0);
    bench_free(&b);
    close(f.fd);
}

/* ---- the clock behind the last packet --------------------------------------------------------------- */

static void the_clock_runs_until_the_last_session_ends(void)
{
    struct file f = file_new(RAW);
    for (uint32_t n = 0; n < 40; n++) {
        struct build b = udp_from(2 + n);
        file_packet(&f, SECOND + n, &b);
    }
    struct bench b = bench_new(&f, 1, false);
    CHECK(run(&b, FOREVER, NO_PAUSE) == REPLAY_END);
    struct event event;
    int64_t end_ns = 0;
    uint32_t seen = 0;
    enum replay_stop stop;
    do {
        stop = replay_run_timers(b.replay, b.engine, FOREVER);
        for (; engine_events(b.engine, &event, 1); seen++)
            end_ns = event.session.end_ns > end_ns ? event.session.end_ns : end_ns;
    } while (stop == REPLAY_EVENTS);
    CHECK(stop == REPLAY_END && seen == 40 && end_ns == 31 * SECOND + 39);
    CHECK(replay_stats(b.replay)->now_ns >= end_ns && replay_stats(b.replay)->now_ns < end_ns + SECOND);
    CHECK(replay_run_timers(b.replay, b.engine, FOREVER) == REPLAY_END);
    bench_free(&b);
    close(f.fd);
}

static void the_clock_stops_at_a_time_exactly(void)
{
    struct file f = file_new(RAW);
    for (uint32_t n = 0; n < 3; n++) {
        struct build b = udp_from(2 + n);
        file_packet(&f, SECOND + n, &b);
    }
    for (int64_t until = 0; until < 4; until++) { /* n sessions have expired n nanoseconds past 31 s */
        struct bench b = bench_new(&f, 1, false);
        CHECK(run(&b, FOREVER, NO_PAUSE) == REPLAY_END);
        CHECK(replay_run_timers(b.replay, b.engine, 31 * SECOND - 1 + until) == REPLAY_END);
        CHECK(replay_stats(b.replay)->now_ns == 31 * SECOND - 1 + until);
        struct event event;
        uint32_t seen = 0;
        for (; engine_events(b.engine, &event, 1); seen++)
            CHECK(event.session.end_reason == END_REASON_aged_out && event.session.end_ns == 31 * SECOND + seen);
        CHECK(seen == until);
        bench_free(&b);
    }
    close(f.fd);
}

/* ---- where packets come in -------------------------------------------------------------------------- */

static void one_source(const uint8_t *frame, uint32_t len, uint32_t link, int port, bool unrouted)
{
    struct file f = file_new(link);
    file_frame(&f, 1, frame, len, len);
    struct bench b = bench_new(&f, 1, true);
    const struct input *in = replay_next(b.replay, b.engine);
    CHECK(in && in->port == port);
    run(&b, FOREVER, NO_PAUSE);
    CHECK(replay_stats(b.replay)->unrouted == unrouted);
    uint64_t no_interface = engine_counters(b.engine)[COUNTER_flow_no_interface];
    CHECK(no_interface == unrouted);
    bench_free(&b);
    close(f.fd);
}

static void source_addresses_say_where_packets_come_in(void)
{
    static uint8_t bytes[BUILD_BYTES], frame[BUILD_BYTES + 20];
    static const struct {
        struct build packet;
        uint16_t port;
        bool unrouted;
    } rows[] = {
        {{.family = 4, .src = 2, .dst = 3}, 1, false},
        {{.family = 4, .src = 0x800002, .dst = 3}, 2, false},
        {{.family = 6, .src = 2, .dst = 3}, 3, false},
        {{.family = 4, .src = 1, .dst = 3}, 1, false}, /* the firewall's own */
    };
    static const struct {
        uint32_t link, header, ethertype;
    } links[] = {{RAW, 0, 0}, {ETHERNET, 14, 12}, {COOKED, 16, 14}, {COOKED2, 20, 0}, {NULL_LINK, 4, 0}};
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct build b = rows[i].packet;
        b.proto = PROTO_UDP, b.sport = 1, b.dport = 2, b.payload = 3;
        uint32_t len = build_packet(bytes, &b);
        for (uint32_t l = 0; l < sizeof links / sizeof *links; l++) {
            memset(frame, 0, sizeof frame);
            if (links[l].header >= 14)
                build_be16(frame + links[l].ethertype, b.family == 4 ? 0x0800 : 0x86dd);
            memcpy(frame + links[l].header, bytes, len);
            one_source(frame, links[l].header + len, links[l].link, rows[i].port, rows[i].unrouted);
            for (uint32_t cut = 0; cut < links[l].header + (b.family == 4 ? 20u : 40u); cut++)
                one_source(frame, cut, links[l].link, 1, false); /* the parser's, to be counted for what it is */
        }
    }
}

/* An IPv4 packet with this source. */
static uint32_t from_address(uint8_t *bytes, uint32_t address)
{
    uint32_t len = build_packet(bytes, &udp);
    build_be32(bytes + 12, address);
    build_be16(bytes + 10, 0);
    build_be16(bytes + 10, ~build_sum(0, bytes, 20) & 0xffff);
    build_l4_checksum(bytes, len);
    return len;
}

static void sources_without_a_way(void)
{
    uint8_t bytes[BUILD_BYTES];
    one_source(bytes, from_address(bytes, 0xc0000201), RAW, 0, true);  /* no route */
    one_source(bytes, from_address(bytes, 0xac000001), RAW, 0, true);  /* a route that discards */
    one_source(bytes, from_address(bytes, 0x7f000001), RAW, 1, false); /* a martian is a martian */
    uint32_t len = from_address(bytes, 0xc0000201);
    bytes[10] ^= 1; /* the checksum */
    one_source(bytes, len, RAW, 1, false);

    struct build solicitation = {.family = 6, .proto = PROTO_ICMPV6, .icmp_type = 135, .dst = 3, .payload = 16};
    len = build_packet(bytes, &solicitation);
    bytes[7] = 255;
    memset(bytes + 8, 0, 16); /* nobody has an address yet */
    build_l4_checksum(bytes, len);
    one_source(bytes, len, RAW, 1, false);

    struct file f = file_new(RAW);
    for (uint32_t n = 0; n < 5; n++) {
        len = from_address(bytes, 0xc0000201 + n);
        file_frame(&f, 1 + n, bytes, len, len);
    }
    struct bench b = bench_new(&f, 1, true);
    run(&b, 3, NO_PAUSE);
    static const uint8_t first[4] = {192, 0, 2, 1};
    const struct replay_stats *stats = replay_stats(b.replay);
    CHECK(stats->unrouted == 3 && stats->dropped == 3 && !memcmp(stats->unrouted_source + 12, first, 4));
    bench_free(&b);
    close(f.fd);
}

/* ---- what was odd ------------------------------------------------------------------------------------ */

static void what_was_not_fed_is_not_counted(void)
{
    struct file f = file_new(RAW);
    uint8_t bytes[BUILD_BYTES];
    uint32_t len = build_packet(bytes, &udp);
    static const int64_t times[] = {5, 4, 6, 5, 7};
    for (uint32_t n = 0; n < 5; n++)
        file_frame(&f, times[n], bytes, n % 2 ? len : len - 1, n % 2 ? len : len + 1);
    struct bench b = bench_new(&f, 1, false);
    const struct replay_stats *stats = replay_stats(b.replay);
    static const struct {
        int64_t until_ns;
        uint64_t packets, late, cut;
    } rows[] = {{4, 0, 0, 0}, {5, 2, 1, 1}, {6, 4, 2, 2}, {7, 5, 2, 3}};
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(run(&b, rows[i].until_ns, NO_PAUSE) == REPLAY_END);
        CHECK(stats->packets == rows[i].packets && stats->late == rows[i].late && stats->cut == rows[i].cut);
    }
    CHECK(stats->dropped == 3 && engine_counters(b.engine)[COUNTER_flow_parse_ip_len] == 3);
    bench_free(&b);
    close(f.fd);
}

static void damage_ends_a_capture_and_not_the_others(void)
{
    struct file files[2] = {file_new(RAW), file_new(RAW)};
    for (int64_t n = 1; n <= 600; n++) {
        file_packet(&files[0], n, &udp);
        file_packet(&files[1], n, &udp);
    }
    file_append(&files[0], "half", 4);
    for (int64_t n = 601; n <= 900; n++)
        file_packet(&files[1], n, &udp);
    struct bench b = bench_new(files, 2, false);
    CHECK(run(&b, FOREVER, NO_PAUSE) == REPLAY_END && replay_stats(b.replay)->packets == 1500);
    CHECK(strlen(capture_error(b.captures[0])) && !strlen(capture_error(b.captures[1])));
    CHECK(capture_offset(b.captures[1]) == lseek(files[1].fd, 0, SEEK_END));
    bench_free(&b);
    close(files[0].fd);
    close(files[1].fd);
}

static void no_capture_at_all(void)
{
    struct bench b = bench_new(NULL, 0, false);
    CHECK(!replay_next(b.replay, b.engine) && run(&b, FOREVER, NO_PAUSE) == REPLAY_END);
    CHECK(replay_run_timers(b.replay, b.engine, FOREVER) == REPLAY_END);
    CHECK(replay_run_timers(b.replay, b.engine, SECOND) == REPLAY_END && b.engine->now_ns == SECOND);
    bench_free(&b);
}

/* ---- what leaves ------------------------------------------------------------------------------------- */

static void what_leaves_is_written_at_its_time(void)
{
    struct file in = file_new(RAW), out[2] = {file_new(RAW), file_new(RAW)};
    struct build syn = {.family = 4, .proto = PROTO_TCP, .src = 2, .dst = 0x800002, .sport = 9, .dport = 80,
                        .flags = TCP_SYN, .seq = 7};
    struct build refused = syn;
    refused.src = 3;
    for (int64_t n = 0; n < 300; n++) { /* more than a burst; the late ones leave when the clock says */
        struct build b = udp_from(n % 3 == 2 ? 4 : 5);
        b.sport = (uint16_t)(1 + n % 10);
        file_packet(&in, n % 10 == 5 ? 1 : 10 * (n + 1), n == 123 ? &refused : n == 200 ? &syn : &b);
    }
    struct bench b = bench_new(&in, 1, false);
    struct capture_writer *writers[2];
    char error[256];
    for (uint16_t n = 0; n < 2; n++) {
        writers[n] = capture_writer_open(out[n].path, error);
        replay_write(b.replay, n + 1, writers[n]);
    }
    enum replay_stop stop;
    while ((stop = replay_run(b.replay, b.engine, FOREVER, NO_PAUSE)) != REPLAY_END) {
        forget_events(b.engine);
        if (stop == REPLAY_UNDECIDED)
            answer(b.engine, replay_stats(b.replay)->packets == 124 ? ACTION_reset_client : ACTION_allow);
    }
    const struct replay_stats *stats = replay_stats(b.replay);
    CHECK(stats->emitted == 1 && stats->dropped >= 1 && stats->forwarded + stats->dropped == 300);
    CHECK(capture_writer_close(writers[0]) == 0 && capture_writer_close(writers[1]) == 0);

    struct input got[MAX_BURST];
    struct capture *back = file_open(&out[0]);
    CHECK(capture_read(back, got, MAX_BURST) == 1);
    CHECK(got[0].now_ns == 1240 && got[0].data[9] == PROTO_TCP && got[0].data[20 + 13] & TCP_RST);
    capture_close(back);
    back = file_open(&out[1]);
    int64_t latest_ns = 0;
    uint64_t seen = 0;
    for (int32_t n; (n = capture_read(back, got, MAX_BURST)) > 0; seen += (uint64_t)n)
        for (int32_t i = 0; i < n; i++) {
            CHECK(got[i].now_ns >= latest_ns && got[i].now_ns % 10 == 0);
            latest_ns = got[i].now_ns;
        }
    CHECK(seen == stats->forwarded && latest_ns == 3000);
    capture_close(back);
    bench_free(&b);
    close(in.fd);
    close(out[0].fd);
    close(out[1].fd);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++)
        captures_are_merged_as_by_hand(seed);
    large_packets_come_in_smaller_bursts();
    it_stops_where_it_is_told();
    nothing_overtakes_a_decision();
    events_pile_up();
    the_clock_runs_until_the_last_session_ends();
    the_clock_stops_at_a_time_exactly();
    source_addresses_say_where_packets_come_in();
    sources_without_a_way();
    what_was_not_fed_is_not_counted();
    damage_ends_a_capture_and_not_the_others();
    no_capture_at_all();
    what_leaves_is_written_at_its_time();
    return check_report();
}
