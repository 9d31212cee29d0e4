/*
 * nfqueue.c - packets from the kernel's queue and verdicts back to it, in one loop without Python.
 *
 * Segments that open TCP connections have a queue of their own, the next one, a short one with its own socket: a flood of
 * them fills that, and packets of known sessions neither get lost nor wait behind it. While both have packets, few are
 * taken of it at a time.
 *
 * Raw nfnetlink: one datagram is one packet, a burst is one recvmmsg; verdicts go back in as few sendmsg as
 * fit the socket, a payload only where it changed. The kernel is asked for whole GSO packets (up to 64 KiB,
 * their checksums unfinished) and told not to report overruns: what it could not deliver it dropped or, with
 * fail-open, let pass.
 *
 *     poll: queue or wake? --> recvmmsg --> engine_input --> engine_verdicts --> sendmsg
 *                                  ^                              ^
 *     other threads: engine_install, engine_tick -----------------+  then nfqueue_wake
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "nfqueue_message.h"
#include "packet.h"

enum {
    BURST = 64,
    BURST_OF_OPENING = 16, /* while there are others */
    LOOK_EVERY = 8,        /* bursts of the others, while there were none */
    ERROR_BYTES = 256,
    CONFIG_BYTES = 256, /* any configuration message */
    COPY_RANGE = 65531, /* what a netlink attribute holds */
    /* headers and the other attributes need under 300 bytes; the odd number of cache lines keeps the starts of
     * the buffers out of each other's cache sets */
    BUFFER_BYTES = 66 * 1024 + 64 * 5,
    VERDICT_BYTES = sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg) + NLA_HDRLEN +
                    sizeof(struct nfqnl_msg_verdict_hdr) + NLA_HDRLEN + sizeof(uint32_t),
    TAG_OPENING = 32, /* bit of a tag above the kernel's packet number: it came by the second queue */
    MARK_BROADCAST = 1,       /* dataplane/marks.py */
    SEND_VERDICTS = 256,      /* a sendmsg carries at most so many verdicts */
    SEND_BYTES = 512 * 1024,  /* and about so many bytes of payload */
};

struct port_map {
    uint32_t count;
    struct nfqueue_port ports[];
};

enum { ALL, OPENING, QUEUES }; /* every packet but those; segments that open connections */

struct nfqueue {
    struct mnl_socket *sockets[QUEUES]; /* OPENING: NULL where there is no such queue */
    struct engine *engine;
    uint16_t number;
    uint8_t mode;
    int bell, wake;
    int raw4, raw6, frames; /* for packets of the engine's own */
    atomic_bool stopping, has_rung;
    pthread_mutex_t map_lock;
    struct port_map *map;
    struct nfqueue_stats stats;

    struct mmsghdr messages[BURST];
    struct iovec receive[BURST];
    struct input inputs[BURST];
    uint8_t *buffers; /* BURST * BUFFER_BYTES */

    struct verdict plain[BURST]; /* of the modes without an engine */
    struct iovec send[SEND_VERDICTS * 3];
    uint8_t headers[SEND_VERDICTS][VERDICT_BYTES + NLA_HDRLEN];
};

static struct nlmsghdr *message_start(void *buffer, uint16_t queue, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(message, sizeof *generic);
    *generic = (struct nfgenmsg){.version = NFNETLINK_V0, .res_id = htons(queue)};
    return message;
}

/* ---- bell and wake ----------------------------------------------------------------------------------- */

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* full means it is ringing already */
}

static void silence(int fd)
{
    uint64_t rings;
    ssize_t got = read(fd, &rings, sizeof rings);
    (void)got; /* empty means it was not ringing */
}

void nfqueue_wake(struct nfqueue *q)
{
    if (q->engine && engine_has_verdicts(q->engine))
        ring(q->wake);
}

void nfqueue_stop(struct nfqueue *q)
{
    atomic_store(&q->stopping, true);
    ring(q->wake);
}

int nfqueue_bell(const struct nfqueue *q)
{
    return q->bell;
}

void nfqueue_hear(struct nfqueue *q)
{
    silence(q->bell);
    atomic_store(&q->has_rung, false);
}

void nfqueue_stats(const struct nfqueue *q, struct nfqueue_stats *out)
{
    *out = q->stats;
}

/* ---- receiving --------------------------------------------------------------------------------------- */

static const struct nfqueue_port *interface_of(const struct port_map *map, uint16_t port)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (map->ports[i].port == port)
            return &map->ports[i];
    return NULL;
}

static uint16_t port_of(const struct port_map *map, uint32_t ifindex)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (map->ports[i].ifindex == ifindex)
            return map->ports[i].port;
    return 0;
}

/* Fills `in` from a datagram; false where it holds no packet. */
static bool read_datagram(struct nfqueue *q, int queue, uint8_t *data, uint32_t len, struct input *in)
{
    struct queued queued;
    switch (queue_message_read(data, len, &queued)) {
    case QUEUE_ANSWER:
        q->stats.refused += queued.error != 0;
        return false;
    case QUEUE_MALFORMED:
        q->stats.malformed++;
        return false;
    case QUEUE_PACKET:
        break;
    }
    uint8_t checksum = queued.checksum_unfinished    ? INPUT_CHECKSUM_UNFINISHED
                       : queued.checksum_unverified ? 0
                                                    : INPUT_CHECKSUM_TRUSTED;
    *in = (struct input){
        .tag = queued.id | (uint64_t)queue << TAG_OPENING,
        .data = queued.data,
        .len = queued.len,
        .port = port_of(q->map, queued.bridge_in ? queued.bridge_in : queued.ifindex),
        .link = LINK_IP,
        .flags = (uint8_t)(checksum | (queued.gso ? INPUT_GSO : 0) | (queued.is_own ? INPUT_FROM_HOST : 0) |
                           (queued.bridge_in && queued.mark == MARK_BROADCAST ? INPUT_BROADCAST : 0)),
        .egress = queued.bridge_out || queued.is_own
                      ? port_of(q->map, queued.is_own ? queued.own_out : queued.bridge_out)
                      : 0,
    };
    memcpy(in->mac, queued.mac, sizeof in->mac);
    q->stats.cut += queued.wire_len > queued.len; /* the parser finds it shorter than it says and drops it */
    return true;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* The packets that wait in a queue, at most so many, in q->inputs; their number, or -errno. */
static int receive(struct nfqueue *q, int queue, uint32_t most)
{
    int got = recvmmsg(mnl_socket_get_fd(q->sockets[queue]), q->messages, most, MSG_DONTWAIT, NULL), n = 0;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
    int64_t now = now_ns();
    pthread_mutex_lock(&q->map_lock);
    for (int i = 0; i < got; i++)
        if (read_datagram(q, queue, q->receive[i].iov_base, q->messages[i].msg_len, &q->inputs[n]))
            q->inputs[n++].now_ns = now;
    pthread_mutex_unlock(&q->map_lock);
    q->stats.packets += (uint64_t)n;
    q->stats.bursts += n > 0;
    return n;
}

/* ---- sending ------------------------------------------------------------------------------------------ */

/* As a frame to a neighbour on a bridged port, where no route leads. */
static bool send_frame(struct nfqueue *q, const struct verdict *v, uint32_t ifindex)
{
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(v->data[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6),
        .sll_ifindex = (int)ifindex,
        .sll_halen = sizeof v->mac,
    };
    memcpy(to.sll_addr, v->mac, sizeof v->mac);
    return sendto(q->frames, v->data, v->len, 0, (struct sockaddr *)&to, sizeof to) >= 0;
}

/* As a packet, by the routes; by this interface where one is named. */
static bool send_packet(struct nfqueue *q, const struct verdict *v, uint32_t ifindex)
{
    struct sockaddr_in to4 = {.sin_family = AF_INET};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    bool is_v4 = v->data[0] >> 4 == 4;
    memcpy(&to4.sin_addr, v->data + 16, 4);
    if (!is_v4)
        memcpy(&to6.sin6_addr, v->data + 24, 16);
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control = {0};
    struct iovec data = {(void *)v->data, v->len};
    struct msghdr message = {
        .msg_name = is_v4 ? (void *)&to4 : (void *)&to6,
        .msg_namelen = is_v4 ? sizeof to4 : sizeof to6,
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct in_pktinfo by4 = {.ipi_ifindex = (int)ifindex};
    struct in6_pktinfo by6 = {.ipi6_ifindex = ifindex};
    uint32_t by = is_v4 ? sizeof by4 : sizeof by6;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof v->mark), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_MARK};
    memcpy(CMSG_DATA(header), &v->mark, sizeof v->mark); /* so that the hook knows it for ours */
    message.msg_controllen = CMSG_SPACE(sizeof v->mark);
    if (ifindex) {
        header = (struct cmsghdr *)(control.bytes + message.msg_controllen);
        *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(by),
                                   .cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                   .cmsg_type = is_v4 ? IP_PKTINFO : IPV6_PKTINFO};
        memcpy(CMSG_DATA(header), is_v4 ? (void *)&by4 : (void *)&by6, by);
        message.msg_controllen += CMSG_SPACE(by);
    }
    return sendmsg(is_v4 ? q->raw4 : q->raw6, &message, 0) >= 0;
}

static void emit(struct nfqueue *q, const struct verdict *v)
{
    static const uint8_t none[6];
    pthread_mutex_lock(&q->map_lock);
    const struct nfqueue_port *port = interface_of(q->map, v->port);
    uint32_t ifindex = port ? port->ifindex : 0;
    bool own_table = port && port->own_table;
    pthread_mutex_unlock(&q->map_lock);
    bool is_frame = memcmp(v->mac, none, sizeof none);
    if (!(is_frame ? send_frame(q, v, ifindex) : send_packet(q, v, own_table || v->is_pinned ? ifindex : 0)))
        q->stats.emit_failed++; /* no neighbour, no route back: the sender will have to time out */
}

static int queue_of(uint64_t tag)
{
    return tag >> TAG_OPENING & 1;
}

/* Writes verdict v as a message into q->headers[n]; adds its pieces to q->send and returns how many. */
static uint32_t write_verdict(struct nfqueue *q, const struct verdict *v, uint32_t n, struct iovec *pieces)
{
    static const uint8_t padding[4];
    uint8_t *buffer = q->headers[n];
    struct nlmsghdr *message = message_start(buffer, (uint16_t)(q->number + queue_of(v->tag)), NFQNL_MSG_VERDICT, 0);
    bool goes_on = v->action == VERDICT_FORWARD || v->action == VERDICT_HOST || v->is_answer;
    struct nfqnl_msg_verdict_hdr header = {
        .verdict = htonl(goes_on ? NF_ACCEPT : NF_DROP),
        .id = htonl((uint32_t)v->tag),
    };
    mnl_attr_put(message, NFQA_VERDICT_HDR, sizeof header, &header);
    mnl_attr_put_u32(message, NFQA_MARK, htonl(v->mark));
    pieces[0] = (struct iovec){buffer, VERDICT_BYTES};
    if (!(v->changed || v->is_answer) || !goes_on)
        return 1;
    struct nlattr *payload = (struct nlattr *)(buffer + VERDICT_BYTES);
    uint32_t pad = MNL_ALIGN(v->len) - v->len;
    payload->nla_type = NFQA_PAYLOAD;
    payload->nla_len = (uint16_t)(NLA_HDRLEN + v->len);
    message->nlmsg_len += NLA_HDRLEN + v->len + pad;
    pieces[0].iov_len += NLA_HDRLEN;
    pieces[1] = (struct iovec){(void *)v->data, v->len};
    pieces[2] = (struct iovec){(void *)padding, pad};
    return pad ? 3 : 2;
}

static void flush(struct nfqueue *q, int queue, uint32_t pieces)
{
    struct msghdr message = {.msg_iov = q->send, .msg_iovlen = pieces};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    message.msg_name = &kernel;
    message.msg_namelen = sizeof kernel;
    if (pieces && sendmsg(mnl_socket_get_fd(q->sockets[queue]), &message, 0) < 0)
        q->stats.send_failed++;
}

static void send_verdicts(struct nfqueue *q, const struct verdict *verdicts, uint32_t count)
{
    uint32_t n = 0, pieces = 0, bytes = 0;
    int queue = ALL; /* of what is collected: verdicts go where the packets came from */
    for (uint32_t i = 0; i < count; i++) {
        const struct verdict *v = &verdicts[i];
        if (v->action == VERDICT_EMIT) {
            if (!v->is_answer) /* else the packet that is answered is turned round: much cheaper than a raw socket */
                emit(q, v);
            continue;
        }
        if (n == SEND_VERDICTS || bytes >= SEND_BYTES || queue_of(v->tag) != queue) {
            flush(q, queue, pieces);
            n = pieces = bytes = 0;
            queue = queue_of(v->tag);
        }
        pieces += write_verdict(q, v, n++, q->send + pieces);
        bytes += v->changed || v->is_answer ? v->len : 0;
    }
    flush(q, queue, pieces);
}

/* ---- opening and closing ------------------------------------------------------------------------------ */

/* Sends a configuration message and waits for its answer; 0 or -errno. Packets that come before it are
 * dropped: nothing is decided yet. */
static int configure(struct nfqueue *q, int queue, struct nlmsghdr *message)
{
    if (mnl_socket_sendto(q->sockets[queue], message, message->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        struct queued queued;
        ssize_t got = mnl_socket_recvfrom(q->sockets[queue], q->buffers, BUFFER_BYTES);
        if (got < 0)
            return -errno;
        switch (queue_message_read(q->buffers, (uint32_t)got, &queued)) {
        case QUEUE_ANSWER:
            return queued.error;
        case QUEUE_PACKET:
            send_verdicts(q, &(struct verdict){.action = VERDICT_DROP,
                                               .tag = queued.id | (uint64_t)queue << TAG_OPENING}, 1);
            break;
        case QUEUE_MALFORMED:
            break;
        }
    }
}

static int send_command(struct nfqueue *q, int queue, uint8_t number)
{
    uint8_t buffer[CONFIG_BYTES] = {0};
    struct nlmsghdr *message = message_start(buffer, (uint16_t)(q->number + queue), NFQNL_MSG_CONFIG, NLM_F_ACK);
    struct nfqnl_msg_config_cmd command = {.command = number};
    mnl_attr_put(message, NFQA_CFG_CMD, sizeof command, &command);
    return configure(q, queue, message);
}

/* 0 or -errno, -EBUSY where somebody else has the queue. */
static int bind_queue(struct nfqueue *q, int queue)
{
    int refused = send_command(q, queue, NFQNL_CFG_CMD_BIND);
    /* the kernel says EPERM then, too; a command without any effect tells who may not from who comes too late */
    if (refused == -EPERM && send_command(q, queue, NFQNL_CFG_CMD_PF_BIND) == 0)
        return -EBUSY;
    return refused;
}

static struct nlmsghdr *flags_message(const struct nfqueue *q, int queue, void *buffer, bool fail_open, uint16_t flags)
{
    struct nlmsghdr *message = message_start(buffer, (uint16_t)(q->number + queue), NFQNL_MSG_CONFIG, flags);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO | (fail_open ? NFQA_CFG_F_FAIL_OPEN : 0)));
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
    return message;
}

static int set_up_queue(struct nfqueue *q, int queue, bool fail_open, uint32_t packets)
{
    uint8_t buffer[CONFIG_BYTES] = {0};
    struct nlmsghdr *message = flags_message(q, queue, buffer, fail_open, NLM_F_ACK);
    struct nfqnl_msg_config_params copy = {.copy_range = htonl(COPY_RANGE), .copy_mode = NFQNL_COPY_PACKET};
    mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof copy, &copy);
    mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(packets));
    return configure(q, queue, message);
}

int nfqueue_set_fail_open(struct nfqueue *q, bool fail_open)
{
    /* without an acknowledgement: the loop reads this socket, and counts a refusal */
    for (int queue = ALL; queue < QUEUES && q->sockets[queue]; queue++) {
        uint8_t buffer[CONFIG_BYTES] = {0};
        struct nlmsghdr *message = flags_message(q, queue, buffer, fail_open, 0);
        if (mnl_socket_sendto(q->sockets[queue], message, message->nlmsg_len) < 0)
            return -errno;
    }
    return 0;
}

static void set_buffer(int fd, int forced, int ordinary, int bytes)
{
    /* forced needs CAP_NET_ADMIN; an ordinary user of a namespace gets as much as the system allows */
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes))
        setsockopt(fd, SOL_SOCKET, ordinary, &bytes, sizeof bytes);
}

static int raw_socket(int family)
{
    int on = 1, fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd >= 0 && family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof on)) {
        close(fd);
        fd = -1;
    }
    return fd; /* IPv4 raw sockets of this protocol always bring their header */
}

/* Opens a socket and binds its queue; NULL, or what could not be had. */
static const char *open_queue(struct nfqueue *q, int queue, const struct nfqueue_params *params, uint32_t packets)
{
    int on = 1;
    struct mnl_socket *socket = q->sockets[queue] = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
        return "netfilter's netlink socket";
    int fd = mnl_socket_get_fd(socket);
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, (int)params->socket_bytes);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, (int)params->socket_bytes);
    if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on))
        return "the queue socket's options";
    int refused = bind_queue(q, queue);
    if (!refused)
        refused = set_up_queue(q, queue, params->fail_open, packets);
    errno = -refused;
    return refused ? "the queue" : NULL;
}

static const char *open_sockets(struct nfqueue *q, const struct nfqueue_params *params)
{
    const char *failed = open_queue(q, ALL, params, params->queue_packets);
    if (!failed && params->opening_packets)
        failed = open_queue(q, OPENING, params, params->opening_packets);
    if (failed)
        return failed;
    q->raw4 = raw_socket(AF_INET);
    q->raw6 = raw_socket(AF_INET6);
    if (q->raw4 < 0 || (q->raw6 < 0 && errno != EAFNOSUPPORT))
        return "raw sockets";
    q->frames = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* of no protocol: it hears nothing */
    if (q->frames < 0)
        return "a packet socket";
    return NULL;
}

static const char *advice(int error)
{
    switch (error) {
    case EBUSY:
        return " (another program holds it: choose another with --queue)";
    case EPERM:
        return " (CAP_NET_ADMIN and CAP_NET_RAW are needed: run as root)";
    case EINVAL:
    case EPROTONOSUPPORT:
        return " (the kernel has to have nfnetlink_queue)";
    default:
        return "";
    }
}

struct nfqueue *nfqueue_open(const struct nfqueue_params *params, struct engine *engine, char *error)
{
    struct nfqueue *q = calloc(1, sizeof *q);
    const char *failed = "memory";
    if (!q) {
        snprintf(error, ERROR_BYTES, "cannot have memory: %s", strerror(ENOMEM));
        return NULL;
    }
    q->bell = q->wake = q->raw4 = q->raw6 = q->frames = -1;
    pthread_mutex_init(&q->map_lock, NULL);
    q->engine = engine;
    q->number = params->queue;
    q->mode = params->mode;
    q->buffers = mmap(NULL, BURST * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    q->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    q->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    q->map = calloc(1, sizeof *q->map);
    if (q->buffers != MAP_FAILED && q->bell >= 0 && q->wake >= 0 && q->map)
        failed = open_sockets(q, params);
    if (failed) {
        snprintf(error, ERROR_BYTES, "cannot have %s: %s%s", failed, strerror(errno), advice(errno));
        nfqueue_close(q);
        return NULL;
    }
    for (int i = 0; i < BURST; i++) {
        q->receive[i] = (struct iovec){q->buffers + i * BUFFER_BYTES, BUFFER_BYTES};
        q->messages[i].msg_hdr = (struct msghdr){.msg_iov = &q->receive[i], .msg_iovlen = 1};
    }
    return q;
}

void nfqueue_close(struct nfqueue *q)
{
    int descriptors[] = {q->bell, q->wake, q->raw4, q->raw6, q->frames};
    for (int queue = ALL; queue < QUEUES; queue++)
        if (q->sockets[queue])
            mnl_socket_close(q->sockets[queue]); /* which unbinds the queue: the kernel drops what waits */
    for (int i = 0; i < 5; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    if (q->buffers && q->buffers != MAP_FAILED)
        munmap(q->buffers, BURST * BUFFER_BYTES);
    pthread_mutex_destroy(&q->map_lock);
    free(q->map);
    free(q);
}

int nfqueue_set_ports(struct nfqueue *q, const struct nfqueue_port *ports, uint32_t count)
{
    struct port_map *map = malloc(sizeof *map + count * sizeof *ports);
    if (!map)
        return -ENOMEM;
    map->count = count;
    if (count)
        memcpy(map->ports, ports, count * sizeof *ports);
    pthread_mutex_lock(&q->map_lock);
    struct port_map *old = q->map;
    q->map = map;
    pthread_mutex_unlock(&q->map_lock);
    free(old);
    return 0;
}

/* ---- the loop ----------------------------------------------------------------------------------------- */

static void through_engine(struct nfqueue *q, uint32_t n)
{
    for (uint32_t fed = 0, count;;) {
        fed += engine_input(q->engine, q->inputs + fed, n - fed, false);
        const struct verdict *verdicts = engine_verdicts(q->engine, &count);
        send_verdicts(q, verdicts, count);
        if (fed == n)
            return;
    }
}

static void through_nothing(struct nfqueue *q, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct input *in = &q->inputs[i];
        bool changed = q->mode == NFQUEUE_REWRITE && packet_finish_checksum(in->data, in->len);
        q->plain[i] = (struct verdict){
            .action = VERDICT_FORWARD, .tag = in->tag, .data = in->data, .len = in->len, .changed = changed};
    }
    send_verdicts(q, q->plain, n);
}

/* Takes what waits in a queue; how many packets, or -errno with a message. */
static int run_once(struct nfqueue *q, int queue, uint32_t most, char *error)
{
    int n = receive(q, queue, most);
    if (n < 0)
        snprintf(error, ERROR_BYTES, "reading the queue: %s", strerror(-n));
    else if (q->mode == NFQUEUE_ENGINE)
        through_engine(q, (uint32_t)n);
    else
        through_nothing(q, (uint32_t)n);
    return n;
}

int nfqueue_run(struct nfqueue *q, char *error)
{
    struct pollfd sources[] = {{q->wake, POLLIN, 0}, {mnl_socket_get_fd(q->sockets[ALL]), POLLIN, 0}, {-1, POLLIN, 0}};
    bool may_wait = true;
    int n, opening = 0;
    if (q->sockets[OPENING])
        sources[2].fd = mnl_socket_get_fd(q->sockets[OPENING]);
    for (uint32_t turn = 0; !atomic_load(&q->stopping); turn++) {
        if (may_wait && poll(sources, 3, -1) < 0 && errno != EINTR) {
            snprintf(error, ERROR_BYTES, "waiting for the queue: %s", strerror(errno));
            return -errno;
        }
        if (may_wait && sources[0].revents)
            silence(q->wake);
        if (may_wait && (sources[1].revents | sources[2].revents) & (POLLHUP | POLLNVAL)) {
            snprintf(error, ERROR_BYTES, "the queue's socket is gone");
            return -ENOTCONN;
        }
        n = run_once(q, ALL, BURST, error);
        bool looks = opening || !n || turn % LOOK_EVERY == 0; /* a look costs a system call */
        opening = 0;
        if (n >= 0 && looks && q->sockets[OPENING])
            opening = run_once(q, OPENING, n ? BURST_OF_OPENING : BURST, error);
        if (n < 0 || opening < 0)
            return n < 0 ? n : opening;
        if (q->mode == NFQUEUE_ENGINE && engine_wants_attention(q->engine) && !atomic_exchange(&q->has_rung, true))
            ring(q->bell);
        may_wait = !n && !opening; /* after packets there may be more: look before waiting */
    }
    return 0;
}
