/*
 * bench_engine.c - the engine by itself: packets from memory in, verdicts dropped.
 *
 *     bench_engine [SESSIONS...]        one JSON object a line
 *
 * Every second session is IPv6, every second pair TCP; packets are 64 bytes long and lie in the order they
 * come in, of sessions in an order nobody could have cached. Setting up counts the first packet and its
 * answer, ageing what a tick takes to end every session, events included as far as the ring holds them. A
 * lookup is measured as the fastpath does it, hash included: memory is asked for a group of keys first; and
 * one at a time, which waits for memory each time.
 *
 * A packet is measured in software and offloaded: of all sessions, of TCP ones (whose windows are followed),
 * of UDP ones, and of no session at all. Where there are more sessions than the largest device offloads,
 * the measured ones are among those that are. Switching off takes them all back.
 *
 * The checksum is measured too, warm in the cache, in cycles of the time stamp counter where there is
 * one (0 elsewhere).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "build.h"
#include "checksum.h"
#include "random.h"
#include "state.h"

enum {
    PACKET_BYTES = 64,
    MEASURED_PACKETS = 2000000,
    ROUNDS = 3, /* the best of them counts: whatever else the machine does only takes away */
    MOST_OFFLOADED = 1 << 22,
    MEASURED_LOOKUPS = 1 << 20, /* with so many keys nothing stays in a cache that did not fit anyway */
    MOST_EVENTS = 1 << 20,
    LOOKUP_GROUP = 32,
    CHECKSUM_BYTES = 1 << 30,
};

struct bench {
    struct engine *engine;
    uint32_t sessions;
    uint32_t *order;
    uint8_t (*packets)[PACKET_BYTES];
    uint32_t packet_count;
    int64_t now_ns;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_bytes(void)
{
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

enum { UDP = 1, TCP = 2, BOTH = UDP | TCP };

/* A packet of each session of these protocols. */
static void build_all(struct bench *b, int protocols, uint8_t tcp_flags, uint16_t dport, bool back)
{
    static uint8_t bytes[BUILD_BYTES];
    b->packet_count = 0;
    for (uint32_t at = 0; at < b->sessions; at++) {
        uint32_t i = b->order[at];
        if (!(protocols & (i & 2 ? TCP : UDP)))
            continue;
        struct build p = {.family = i & 1 ? 6 : 4, .proto = i & 2 ? PROTO_TCP : PROTO_UDP, .src = 1 + i, .dst = 0xffff00,
                          .sport = (uint16_t)(1024 + i % 60000), .dport = dport, .flags = i & 2 ? tcp_flags : 0};
        if (back) {
            uint32_t host = p.src;
            p.src = p.dst, p.dst = host;
            uint16_t port = p.sport;
            p.sport = p.dport, p.dport = port;
        }
        p.payload = PACKET_BYTES - (i & 1 ? 40 : 20) - (i & 2 ? 20 : 8);
        if (build_packet(bytes, &p) != PACKET_BYTES)
            abort();
        memcpy(b->packets[b->packet_count++], bytes, PACKET_BYTES);
    }
}

static void answer_all(struct engine *e)
{
    static struct undecided waiting[MAX_BURST];
    uint32_t count = engine_undecided(e, waiting, MAX_BURST);
    for (uint32_t i = 0; i < count; i++) {
        struct session_spec spec = build_spec(&waiting[i].key, 2, ACTION_allow);
        if (engine_install(e, waiting[i].handle, &spec) <= 0)
            abort();
    }
}

/* Feeds as many packets of those that are built; seconds it took. */
static double feed_all(struct bench *b, uint32_t packets, uint16_t port)
{
    static struct input burst[MAX_BURST];
    uint32_t count;
    double began = seconds();
    for (uint32_t sent = 0; sent < packets;) {
        uint32_t size = packets - sent < MAX_BURST ? packets - sent : MAX_BURST;
        for (uint32_t i = 0; i < size; i++)
            burst[i] = (struct input){.data = b->packets[(sent + i) % b->packet_count], .len = PACKET_BYTES,
                                      .port = port, .link = LINK_IP, .now_ns = b->now_ns};
        if (engine_input(b->engine, burst, size, false) != size)
            abort();
        answer_all(b->engine);
        engine_verdicts(b->engine, &count);
        sent += size;
        b->now_ns += 1000;
    }
    return seconds() - began;
}

static void look_up_together(const struct engine *e, const struct flow_key *keys)
{
    uint64_t hashes[LOOKUP_GROUP];
    for (int i = 0; i < LOOKUP_GROUP; i++) {
        hashes[i] = flow_table_hash(e, &keys[i]);
        flow_table_prefetch_bucket(e, hashes[i]);
    }
    for (int i = 0; i < LOOKUP_GROUP; i++)
        flow_table_prefetch_records(e, hashes[i]);
    for (int i = 0; i < LOOKUP_GROUP; i++)
        if (!flow_table_lookup_hashed(e, &keys[i], hashes[i]))
            abort();
}

/* Nanoseconds a lookup, in groups and alone. */
static void measure_lookups(const struct bench *b, struct random *r, double *grouped_ns, double *alone_ns)
{
    struct flow_key *keys = malloc(MEASURED_LOOKUPS * sizeof *keys);
    if (!keys)
        abort();
    for (uint32_t i = 0; i < MEASURED_LOOKUPS; i++)
        keys[i] = b->engine->sessions[1 + random_below(r, b->sessions)].key[random_below(r, 2)];
    double began = seconds();
    for (uint32_t i = 0; i < MEASURED_LOOKUPS; i += LOOKUP_GROUP)
        look_up_together(b->engine, keys + i);
    *grouped_ns = (seconds() - began) * 1e9 / MEASURED_LOOKUPS;
    began = seconds();
    for (uint32_t i = 0; i < MEASURED_LOOKUPS; i++)
        if (!flow_table_lookup(b->engine, &keys[i]))
            abort();
    *alone_ns = (seconds() - began) * 1e9 / MEASURED_LOOKUPS;
    free(keys);
}

static uint64_t cycles(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return 0;
#endif
}

static void measure_checksum(uint32_t bytes)
{
    static uint8_t data[MAX_PACKET_BYTES];
    uint32_t times = CHECKSUM_BYTES / bytes;
    uint64_t sum = 0, started = cycles();
    double began = seconds();
    for (uint32_t i = 0; i < times; i++) {
        data[0] = (uint8_t)i; /* so that no sum can be taken from the one before */
        sum += checksum_finish(checksum_add(0, data, bytes));
    }
    double took_s = seconds() - began;
    uint64_t took = cycles() - started;
    double total = (double)bytes * times;
    /* the sum is printed so that it has to be computed */
    printf("{\"what\": \"checksum\", \"bytes\": %u, \"bytes_per_cycle\": %.2f, \"gb_per_s\": %.2f, "
           "\"sum\": %" PRIu64 "}\n",
           bytes, took ? total / (double)took : 0, total / took_s / 1e9, sum);
    fflush(stdout);
}

/* Nanoseconds a packet. */
static double measure_packets(struct bench *b, int protocols, uint16_t dport)
{
    double best_s = 1e9;
    build_all(b, protocols, TCP_ACK | TCP_PSH, dport, false);
    for (int round = 0; round < ROUNDS; round++) {
        double took_s = feed_all(b, MEASURED_PACKETS, 1);
        best_s = took_s < best_s ? took_s : best_s;
    }
    return best_s * 1e9 / MEASURED_PACKETS;
}

/* Under these names. */
static void print_packets(struct bench *b, const char *all, const char *tcp, const char *udp, const char *missing)
{
    printf(", \"%s\": %.1f", all, measure_packets(b, BOTH, 443));
    printf(", \"%s\": %.1f", tcp, measure_packets(b, TCP, 443));
    printf(", \"%s\": %.1f", udp, measure_packets(b, UDP, 443));
    printf(", \"%s\": %.1f", missing, measure_packets(b, TCP, 444));
}

static void switch_offload(struct bench *b, bool on)
{
    struct engine_config config = build_config();
    config.offload = on;
    config.offload_profile =
        (struct offload_profile){.udp_packets = 8, .packets = 16, .max_sessions = MOST_OFFLOADED};
    build_configure(b->engine, &config);
}

static void measure(uint32_t sessions)
{
    struct random r = {42};
    uint32_t events = 1;
    while (events < sessions && events < MOST_EVENTS)
        events *= 2;
    struct bench b = {.sessions = sessions, .now_ns = 0};
    b.order = malloc(sessions * sizeof *b.order);
    b.packets = malloc((size_t)sessions * PACKET_BYTES);
    if (!b.order || !b.packets)
        abort();
    for (uint32_t i = 0; i < sessions; i++)
        b.order[i] = i;
    for (uint32_t i = sessions - 1; i; i--) {
        uint32_t other = random_below(&r, i + 1), kept = b.order[i];
        b.order[i] = b.order[other];
        b.order[other] = kept;
    }
    build_all(&b, BOTH, TCP_SYN, 443, false);
    double before = resident_bytes();
    b.engine = build_engine((struct engine_params){
        .max_sessions = sessions, .max_undecided = 1024, .max_held = 2048, .max_events = events,
        .max_offloaded = sessions < MOST_OFFLOADED ? sessions : MOST_OFFLOADED});
    double setup_s = feed_all(&b, sessions, 1);
    build_all(&b, BOTH, TCP_SYN | TCP_ACK, 443, true);
    feed_all(&b, sessions, 2);
    build_all(&b, BOTH, TCP_ACK, 443, false);
    feed_all(&b, sessions, 1);
    double grouped_ns, alone_ns;
    measure_lookups(&b, &r, &grouped_ns, &alone_ns);
    printf("{\"what\": \"engine\", \"sessions\": %u, \"lookup_ns\": %.1f, \"lookup_alone_ns\": %.1f", sessions,
           grouped_ns, alone_ns);
    print_packets(&b, "packet_ns", "tcp_ns", "udp_ns", "missing_ns");
    switch_offload(&b, true);
    build_all(&b, BOTH, TCP_ACK, 443, false);
    feed_all(&b, sessions, 1);
    double bytes = resident_bytes() - before;
    struct engine_stats stats;
    engine_stats(b.engine, &stats);
    printf(", \"offloaded\": %u", stats.offloaded);
    print_packets(&b, "offloaded_ns", "offloaded_tcp_ns", "offloaded_udp_ns", "offloaded_missing_ns");
    double began = seconds();
    switch_offload(&b, false);
    double switch_s = seconds() - began;
    engine_stats(b.engine, &stats);
    if (stats.allocated != sessions || stats.offloaded || stats.packets != 4ull * sessions + 6ull * ROUNDS * MEASURED_PACKETS)
        abort();
    began = seconds();
    engine_tick(b.engine, b.now_ns + 4000 * SECOND);
    double ageing_s = seconds() - began;
    engine_stats(b.engine, &stats);
    if (stats.allocated)
        abort();
    printf(", \"switch_off_ms\": %.1f, \"setups_per_s\": %.0f, \"ageings_per_s\": %.0f, \"bytes_per_session\": %.0f}\n",
           switch_s * 1e3, sessions / setup_s, sessions / ageing_s, bytes / sessions);
    fflush(stdout);
    engine_free(b.engine);
    free(b.order);
    free(b.packets);
}

int main(int argc, char **argv)
{
    static const uint32_t usual[] = {1000, 10000, 100000, 1000000, 10000000};
    measure_checksum(1500);
    measure_checksum(65000);
    for (int i = 1; i < argc; i++) {
        char *end;
        unsigned long sessions = strtoul(argv[i], &end, 10);
        if (*end || sessions < 1 || sessions > 10000000) {
            fprintf(stderr, "%s: from 1 to 10000000 sessions\n", argv[i]);
            return 2;
        }
        measure((uint32_t)sessions);
    }
    for (unsigned i = 0; argc < 2 && i < sizeof usual / sizeof *usual; i++)
        measure(usual[i]);
    return 0;
}
