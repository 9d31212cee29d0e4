/*
 * load.c - traffic for the benchmark: one server for everything, and a client for each column.
 *
 *     load serve   ADDRESS BOARD
 *     load streams ADDRESS BOARD WARM_MS WINDOW_MS COUNT      TCP streams, as fast as they go
 *     load packets ADDRESS BOARD WARM_MS WINDOW_MS            UDP packets of 64 bytes, one flow
 *     load connect ADDRESS BOARD WARM_MS WINDOW_MS SOURCE...  TCP connections, opened and closed
 *     load ping    ADDRESS BOARD WARM_MS WINDOW_MS            one byte there and back, one connection
 *     load nothing ADDRESS BOARD WARM_MS WINDOW_MS            no traffic: what else is going on?
 *
 * A client starts its traffic, lets WARM_MS go by, looks, looks again after WINDOW_MS and prints one
 * line of JSON on what happened between the two looks. What counts is what arrived at the server: its
 * figures come from the *board*, a small file both have mapped (client and server are on one machine).
 * Whatever happens, a client ends within its time and LIMIT_S. Clients keep to the first half of the
 * CPUs and the server to the second: left to the scheduler, the same traffic goes at one of several
 * speeds. What stands between them runs where it likes.
 *
 * A connection of `connect`: the client opens it, the server accepts it and closes it with a RST, which
 * tells the client that both have had it. So four packets go by (SYN, SYN-ACK, ACK, RST), neither side
 * is left in TIME-WAIT, and the client may use the port again; LANES * IN_FLIGHT are open at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SINK_PORT = 5001, PACKET_PORT, CONNECT_PORT, ECHO_PORT };
enum {
    LIMIT_S = 10,
    CHUNK_BYTES = 256 << 10,
    PAYLOAD_BYTES = 64 - 20 - 8, /* an IP packet of 64 bytes */
    BATCH = 64,
    ACCEPTORS = 2,
    LANES = 2,
    IN_FLIGHT = 64,
    MAX_PINGS = 4 << 20,
};

struct board {
    pid_t server;
    _Atomic uint64_t received_bytes; /* by the sink */
};

/* What there was when somebody looked. */
struct look {
    int64_t ns;
    double cpu_s, stolen_s;  /* since the machine started: its CPUs at work, and taken from it */
    uint64_t bytes, packets; /* that arrived at the server */
    uint64_t connections, failed;
};

static struct board *board;
static struct sockaddr_in server_address;
static _Atomic uint64_t connections, failed_connections;

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);
}

static void check(bool is_good, const char *what)
{
    if (!is_good)
        fail("%s: %s", what, strerror(errno));
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static void start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, run, argument);
    check(!errno, "starting a thread");
    pthread_detach(thread);
}

static void map_board(const char *path, bool is_server)
{
    int file = open(path, O_RDWR | (is_server ? O_CREAT | O_TRUNC : 0), 0600);
    check(file >= 0, path);
    check(!is_server || !ftruncate(file, sizeof *board), path);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    check(board != MAP_FAILED, path);
    close(file);
}

static void switch_on(int fd, int level, int option)
{
    check(!setsockopt(fd, level, option, &(int){1}, sizeof(int)), "setting a socket option");
}

/* What is unsent or unread when it closes is thrown away, and the other side is told by a RST. */
static void close_with_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    check(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), "setting SO_LINGER");
}

static void keep_to_half(bool is_second)
{
    cpu_set_t all, half;
    CPU_ZERO(&half);
    check(!sched_getaffinity(0, sizeof all, &all), "asking for the CPUs");
    int count = CPU_COUNT(&all);
    for (int cpu = 0, seen = 0; seen < count; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        bool in_second = seen++ >= count / 2;
        if (in_second == is_second || count == 1)
            CPU_SET(cpu, &half);
    }
    check(!sched_setaffinity(0, sizeof half, &half), "keeping to half of the CPUs");
}

/* ---- the server -------------------------------------------------------------------------------- */

static int bound(int type, uint16_t port)
{
    struct sockaddr_in address = server_address;
    address.sin_port = htons(port);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    check(fd >= 0, "opening a socket");
    switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
    switch_on(fd, SOL_SOCKET, SO_REUSEPORT);
    check(!bind(fd, (struct sockaddr *)&address, sizeof address), "binding a server's port");
    if (type == SOCK_STREAM) {
        close_with_reset(fd); /* connections inherit it */
        check(!listen(fd, 4096), "listening");
    }
    return fd;
}

static int accepted(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        check(errno == ECONNABORTED || errno == EINTR, "accepting");
    }
}

static void *swallow(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char *chunk = malloc(CHUNK_BYTES);
    check(chunk, "memory for a stream");
    for (ssize_t got; (got = recv(fd, chunk, CHUNK_BYTES, 0)) > 0;)
        atomic_fetch_add_explicit(&board->received_bytes, (uint64_t)got, memory_order_relaxed);
    free(chunk);
    close(fd);
    return NULL;
}

static void *echo(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char byte;
    switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
    while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
        ;
    close(fd);
    return NULL;
}

static void *serve_sink(void *listener)
{
    for (;;)
        start_thread(swallow, (void *)(intptr_t)accepted((int)(intptr_t)listener));
    return NULL;
}

static void *serve_echo(void *listener)
{
    for (;;)
        start_thread(echo, (void *)(intptr_t)accepted((int)(intptr_t)listener));
    return NULL;
}

static void *serve_connect(void *listener)
{
    for (;;)
        close(accepted((int)(intptr_t)listener));
    return NULL;
}

static void start_server(void *(*run)(void *), uint16_t port)
{
    start_thread(run, (void *)(intptr_t)bound(SOCK_STREAM, port));
}

/* A program that read every packet would take the CPU that is to be measured. So the socket refuses
 * all of them: the kernel counts each as an input error, after its checksum was found good. */
static void count_packets(void)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &nothing};
    int fd = bound(SOCK_DGRAM, PACKET_PORT);
    check(!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), "filtering");
}

static void serve(void)
{
    count_packets();
    start_server(serve_sink, SINK_PORT);
    start_server(serve_echo, ECHO_PORT);
    for (int i = 0; i < ACCEPTORS; i++)
        start_server(serve_connect, CONNECT_PORT);
    board->server = getpid();
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

/* ---- looking ----------------------------------------------------------------------------------- */

/* What all CPUs have done, by the first line of /proc/stat. */
static void look_at_cpus(struct look *look)
{
    uint64_t user, nice, system, idle, iowait, irq, softirq, steal;
    FILE *file = fopen("/proc/stat", "r");
    check(file, "/proc/stat");
    int found = fscanf(file,
                       "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64 " %" SCNu64,
                       &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal);
    fclose(file);
    if (found != 8)
        fail("/proc/stat does not start with the eight figures of `cpu`");
    double tick_s = 1 / (double)sysconf(_SC_CLK_TCK);
    look->cpu_s = (double)(user + nice + system + irq + softirq) * tick_s;
    look->stolen_s = (double)steal * tick_s;
}

/* UDP packets with a good checksum that reached the server's socket. */
static uint64_t packets_at_server(void)
{
    char path[64], line[512];
    uint64_t errors = 0, checksum_errors = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/net/snmp", board->server);
    FILE *file = fopen(path, "r");
    check(file, path);
    /* Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors ... */
    while (!found && fgets(line, sizeof line, file))
        found = sscanf(line, "Udp: %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &errors,
                       &checksum_errors) == 2;
    fclose(file);
    if (!found)
        fail("%s has no figures of UDP", path);
    return errors - checksum_errors;
}

static struct look look(void)
{
    struct look look = {0};
    look_at_cpus(&look);
    look.packets = packets_at_server();
    look.bytes = atomic_load(&board->received_bytes);
    look.connections = atomic_load(&connections);
    look.failed = atomic_load(&failed_connections);
    look.ns = now_ns();
    return look;
}

/* Ends the program, and with it the traffic that other threads make. */
static void measure(int64_t warm_ms, int64_t window_ms)
{
    sleep_ms(warm_ms);
    struct look before = look();
    sleep_ms(window_ms);
    struct look after = look();
    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.2f, \"stolen_seconds\": %.2f, \"bytes\": %" PRIu64
           ", \"packets\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"failed\": %" PRIu64 "}\n",
           (double)(after.ns - before.ns) / 1e9, after.cpu_s - before.cpu_s,
           after.stolen_s - before.stolen_s, after.bytes - before.bytes,
           after.packets - before.packets, after.connections - before.connections,
           after.failed - before.failed);
    fflush(stdout);
    _exit(0);
}

/* ---- the clients ------------------------------------------------------------------------------- */

static int connected(int type, uint16_t port)
{
    struct sockaddr_in to = server_address;
    struct timeval patience = {.tv_sec = LIMIT_S / 2};
    to.sin_port = htons(port);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    check(fd >= 0, "opening a socket");
    check(!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), "setting a timeout");
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        fail("port %u of the server: %s", port,
             errno == EINPROGRESS ? "no answer" : strerror(errno));
    return fd;
}

static void *send_stream(void *unused)
{
    (void)unused;
    int fd = connected(SOCK_STREAM, SINK_PORT);
    char *chunk = calloc(1, CHUNK_BYTES);
    check(chunk, "memory for a stream");
    close_with_reset(fd);
    while (send(fd, chunk, CHUNK_BYTES, MSG_NOSIGNAL) > 0)
        ;
    fail("a stream broke: %s", errno == EAGAIN ? "nothing moves" : strerror(errno));
    return NULL;
}

static void *send_packets(void *unused)
{
    (void)unused;
    static char payload[PAYLOAD_BYTES];
    struct iovec part = {.iov_base = payload, .iov_len = sizeof payload};
    struct mmsghdr batch[BATCH] = {0};
    int fd = connected(SOCK_DGRAM, PACKET_PORT);
    for (int i = 0; i < BATCH; i++)
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    for (;;)
        check(sendmmsg(fd, batch, BATCH, 0) > 0 || errno == ENOBUFS || errno == ECONNREFUSED,
              "sending packets");
    return NULL;
}

static void open_connection(int epoll, struct in_addr source)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = source}, to = server_address;
    to.sin_port = htons(CONNECT_PORT);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(fd >= 0, "opening a socket");
    switch_on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    check(!bind(fd, (struct sockaddr *)&from, sizeof from), "binding a source address");
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        check(errno == EINPROGRESS, "connecting");
    /* without an event asked for, errors and the end of the connection are told */
    struct epoll_event event = {.events = 0, .data.fd = fd};
    check(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "watching a socket");
}

static void *open_connections(void *argument)
{
    struct in_addr source = *(struct in_addr *)argument;
    struct epoll_event events[IN_FLIGHT];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll >= 0, "epoll");
    for (int i = 0; i < IN_FLIGHT; i++)
        open_connection(epoll, source);
    for (;;) {
        int ready = epoll_wait(epoll, events, IN_FLIGHT, -1);
        check(ready >= 0 || errno == EINTR, "epoll");
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd, error = 0;
            socklen_t length = sizeof error;
            check(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), "asking a socket");
            /* a reset of a connection that never was would be ECONNREFUSED */
            atomic_fetch_add_explicit(error == ECONNRESET ? &connections : &failed_connections, 1,
                                      memory_order_relaxed);
            close(fd);
            open_connection(epoll, source);
        }
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

static void ping(int64_t warm_ms, int64_t window_ms)
{
    static uint32_t took_ns[MAX_PINGS];
    uint32_t count = 0;
    char byte = 0;
    int fd = connected(SOCK_STREAM, ECHO_PORT);
    switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
    close_with_reset(fd);
    int64_t start = now_ns() + warm_ms * 1000000, end = start + window_ms * 1000000;
    for (int64_t sent = now_ns(); sent < end && count < MAX_PINGS;) {
        check(send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1, "ping");
        int64_t back = now_ns();
        if (sent >= start)
            took_ns[count++] = (uint32_t)(back - sent);
        sent = back;
    }
    if (!count)
        fail("no answer within the window");
    qsort(took_ns, count, sizeof *took_ns, by_size);
    printf("{\"exchanges\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", count,
           took_ns[count / 2] / 1e3, took_ns[(uint64_t)count * 99 / 100] / 1e3);
}

static int64_t number(const char *text, int64_t most)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < 1 || value > most)
        fail("%s is not a number from 1 to %" PRId64, text, most);
    return value;
}

static void set_address(struct in_addr *address, const char *text)
{
    if (inet_pton(AF_INET, text, address) != 1)
        fail("%s is no IPv4 address", text);
}

int main(int argc, char **argv)
{
    bool is_server = argc == 4 && !strcmp(argv[1], "serve");
    if (!is_server && argc < 6) {
        fputs("usage: load serve ADDRESS BOARD\n"
              "       load streams|packets|connect|ping|nothing ADDRESS BOARD WARM_MS WINDOW_MS"
              " [COUNT | SOURCE...]\n",
              stderr);
        return 2;
    }
    server_address.sin_family = AF_INET;
    set_address(&server_address.sin_addr, argv[2]);
    map_board(argv[3], is_server);
    keep_to_half(is_server);
    if (is_server)
        serve();

    const char *what = argv[1];
    int64_t warm_ms = number(argv[4], 60000), window_ms = number(argv[5], 600000);
    alarm((unsigned)((warm_ms + window_ms) / 1000 + LIMIT_S));
    if (!strcmp(what, "ping") && argc == 6) {
        ping(warm_ms, window_ms);
        return 0;
    }
    if (!strcmp(what, "streams") && argc == 7) {
        for (int64_t i = number(argv[6], 1024); i; i--)
            start_thread(send_stream, NULL);
    } else if (!strcmp(what, "packets") && argc == 6) {
        start_thread(send_packets, NULL);
    } else if (!strcmp(what, "connect") && argc > 6) {
        static struct in_addr sources[LANES];
        for (int i = 0; i < LANES; i++) {
            set_address(&sources[i], argv[6 + i % (argc - 6)]);
            start_thread(open_connections, &sources[i]);
        }
    } else if (strcmp(what, "nothing") || argc != 6) {
        fail("%s with %d more words is not known", what, argc - 6);
    }
    measure(warm_ms, window_ms);
}
