/* capture.c - capture files, read and written through libpcap. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

enum { LONGEST_LINK_HEADER = 20 /* cooked, version 2 */, FRAME_BYTES = LONGEST_LINK_HEADER + LONGEST_PACKET };
/* A burst of usual packets, one behind the other, so that they stay in the processor's cache; fewer large ones. */
enum { BURST_BYTES = 512 << 10, FILE_BUFFER_BYTES = 256 << 10 };

/* A time past this one (2200-01-01) is nonsense: nanoseconds since 1970 and the longest timer must add up. */
static const int64_t LATEST_S = 7258118400;

struct capture {
    pcap_t *pcap;
    enum link_type link;
    bool damaged;
    uint64_t untimed;
    char error[PCAP_ERRBUF_SIZE];
    uint8_t data[BURST_BYTES];
};

static int link_of(int datalink)
{
    switch (datalink) {
    case DLT_EN10MB:
        return LINK_ETHERNET;
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6:
        return LINK_IP;
    case DLT_LINUX_SLL:
        return LINK_COOKED;
    case DLT_LINUX_SLL2:
        return LINK_COOKED2;
    case DLT_NULL:
    case DLT_LOOP:
        return LINK_NULL;
    default:
        return -1;
    }
}

struct capture *capture_open(const char *path, char *error)
{
    struct capture *c = malloc(sizeof *c);
    if (!c) {
        snprintf(error, PCAP_ERRBUF_SIZE, "%s", strerror(ENOMEM));
        return NULL;
    }
    c->damaged = false;
    c->untimed = 0;
    c->error[0] = '\0';
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!file) {
        snprintf(error, PCAP_ERRBUF_SIZE, "%s", strerror(errno));
        free(c);
        return NULL;
    }
    setvbuf(file, NULL, _IOFBF, FILE_BUFFER_BYTES);
    c->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error);
    if (!c->pcap) {
        if (file != stdin)
            fclose(file);
        free(c);
        return NULL;
    }
    int link = link_of(pcap_datalink(c->pcap));
    if (link < 0) {
        const char *name = pcap_datalink_val_to_name(pcap_datalink(c->pcap));
        snprintf(error, PCAP_ERRBUF_SIZE, "link type %s is not supported: Ethernet, raw IP, Linux cooked or null is",
                 name ? name : "unknown");
        capture_close(c);
        return NULL;
    }
    c->link = link;
    return c;
}

int32_t capture_read(struct capture *c, struct input *out, uint32_t max)
{
    struct pcap_pkthdr *header;
    const u_char *bytes;
    uint32_t n = 0, used = 0;
    if (max > MAX_BURST)
        max = MAX_BURST;
    while (n < max && used + FRAME_BYTES <= BURST_BYTES && !c->damaged) {
        int got = pcap_next_ex(c->pcap, &header, &bytes);
        if (got == PCAP_ERROR_BREAK)
            break;
        if (got != 1) {
            snprintf(c->error, sizeof c->error, "%s", pcap_geterr(c->pcap));
            c->damaged = true; /* what was read so far is given first */
            break;
        }
        bool is_sane = header->ts.tv_sec >= 0 && header->ts.tv_sec < LATEST_S;
        /* tv_usec has nanoseconds: asked for above */
        int64_t now_ns = is_sane ? header->ts.tv_sec * 1000000000ll + header->ts.tv_usec : -1;
        if (now_ns < 0) {
            c->untimed++;
            continue;
        }
        uint32_t len = header->caplen < FRAME_BYTES ? header->caplen : FRAME_BYTES;
        out[n++] = (struct input){
            .data = memcpy(c->data + used, bytes, len),
            .len = len,
            .link = (uint8_t)c->link,
            .flags = len < header->len ? INPUT_CUT : 0,
            .now_ns = now_ns,
        };
        used += len;
    }
    return n || !c->damaged ? (int32_t)n : -1;
}

uint64_t capture_untimed(const struct capture *c)
{
    return c->untimed;
}

const char *capture_error(const struct capture *c)
{
    return c->error;
}

int64_t capture_offset(const struct capture *c)
{
    return ftell(pcap_file(c->pcap));
}

void capture_close(struct capture *c)
{
    if (!c)
        return;
    pcap_close(c->pcap);
    free(c);
}

struct capture_writer {
    pcap_t *pcap;
    pcap_dumper_t *dumper;
};

struct capture_writer *capture_writer_open(const char *path, char *error)
{
    struct capture_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->pcap = pcap_open_dead_with_tstamp_precision(DLT_RAW, MAX_PACKET_BYTES, PCAP_TSTAMP_PRECISION_NANO))) {
        snprintf(error, PCAP_ERRBUF_SIZE, "%s", strerror(ENOMEM));
        free(w);
        return NULL;
    }
    FILE *file = fopen(path, "wb");
    if (!file || !(w->dumper = pcap_dump_fopen(w->pcap, file))) {
        snprintf(error, PCAP_ERRBUF_SIZE, "%s", file ? pcap_geterr(w->pcap) : strerror(errno));
        pcap_close(w->pcap);
        free(w);
        return NULL;
    }
    return w;
}

void capture_writer_write(struct capture_writer *w, const uint8_t *data, uint32_t len, int64_t now_ns)
{
    struct pcap_pkthdr header = {
        .ts = {.tv_sec = now_ns / 1000000000, .tv_usec = now_ns % 1000000000},
        .caplen = len,
        .len = len,
    };
    pcap_dump((u_char *)w->dumper, &header, data);
}

int capture_writer_close(struct capture_writer *w)
{
    int failed = pcap_dump_flush(w->dumper) || ferror(pcap_dump_file(w->dumper)) ? -1 : 0;
    pcap_dump_close(w->dumper);
    pcap_close(w->pcap);
    free(w);
    return failed;
}
