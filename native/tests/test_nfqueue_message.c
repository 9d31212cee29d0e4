/* Messages of the kernel's queue: right ones field by field, and every way to be wrong. */
#include "nfqueue_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>

#include "check.h"
#include "queue_promises.h"
#include "random.h"

enum {
    PACKET = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET,
    ATTRIBUTES = sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg), /* where they begin */
    MESSAGE_BYTES = 70 * 1024,
    ID = 0x01020304,
    IFINDEX = 0x05060708,
};

struct message {
    uint8_t bytes[MESSAGE_BYTES];
    uint32_t len;
};

static void put(struct message *m, const void *data, uint32_t len)
{
    memcpy(m->bytes + m->len, data, len);
    m->len += len;
}

static void finish(struct message *m)
{
    memcpy(m->bytes, &m->len, sizeof m->len);
}

static struct message *start(uint16_t type)
{
    static struct message m;
    struct nlmsghdr header = {.nlmsg_type = type};
    struct nfgenmsg generic = {.nfgen_family = 2, .res_id = htons(7)};
    memset(&m, 0xa5, sizeof m);
    m.len = 0;
    put(&m, &header, sizeof header);
    put(&m, &generic, sizeof generic);
    finish(&m);
    return &m;
}

/* An attribute that says it is `said` bytes long, with `len` bytes of data and its padding. */
static void attribute_that_says(struct message *m, uint16_t type, uint16_t said, const void *data, uint32_t len)
{
    static const uint8_t padding[4];
    uint16_t header[2] = {said, type};
    put(m, header, sizeof header);
    put(m, data, len);
    put(m, padding, NLA_ALIGN(len) - len);
    finish(m);
}

static void attribute(struct message *m, uint16_t type, const void *data, uint32_t len)
{
    attribute_that_says(m, type, (uint16_t)(NLA_HDRLEN + len), data, len);
}

static void attribute_u32(struct message *m, uint16_t type, uint32_t value)
{
    value = htonl(value);
    attribute(m, type, &value, sizeof value);
}

static void packet_header(struct message *m)
{
    struct nfqnl_msg_packet_hdr header = {.packet_id = htonl(ID), .hw_protocol = htons(0x0800), .hook = 0};
    attribute(m, NFQA_PACKET_HDR, &header, sizeof header);
}

static uint8_t payload[65531]; /* counts up */

static struct message *whole(uint32_t payload_len)
{
    struct message *m = start(PACKET);
    packet_header(m);
    attribute_u32(m, NFQA_IFINDEX_INDEV, IFINDEX);
    attribute_u32(m, NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO);
    attribute(m, NFQA_PAYLOAD, payload, payload_len);
    return m;
}

/* Reads the message, which has to keep the promises. */
static enum queue_message read_len(const struct message *m, uint32_t len, struct queued *out, uint32_t *offset)
{
    enum queue_message kind;
    const char *broken = queue_promise_broken(m->bytes, len, &kind, out, offset);
    if (!CHECK(broken == NULL))
        fprintf(stderr, "not so: %s\n", broken);
    return kind;
}

static enum queue_message read_all(const struct message *m, struct queued *out, uint32_t *offset)
{
    return read_len(m, m->len, out, offset);
}

static void fields(void)
{
    static const uint32_t lens[] = {0, 1, 2, 3, 4, 1500, 65531};
    for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct message *m = whole(lens[i]);
        struct queued q;
        uint32_t offset;
        CHECK(read_all(m, &q, &offset) == QUEUE_PACKET);
        CHECK(q.id == ID && q.ifindex == IFINDEX && q.len == lens[i] && q.wire_len == lens[i] && q.error == 0);
        CHECK(q.checksum_unfinished && !q.checksum_unverified);
        CHECK(!memcmp(m->bytes + offset, payload, lens[i]));
    }
}

static void without_padding_at_the_end(void)
{
    struct message *m = whole(5);
    struct queued q;
    uint32_t offset;
    m->len -= 3; /* a message may end with its last attribute's data */
    finish(m);
    CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.len == 5);
}

static void what_is_not_said(void)
{
    struct message *m = start(PACKET);
    struct queued q;
    uint32_t offset;
    packet_header(m);
    CHECK(read_all(m, &q, &offset) == QUEUE_PACKET);
    CHECK(q.id == ID && q.ifindex == 0 && q.len == 0 && q.wire_len == 0);
    CHECK(!q.checksum_unfinished && !q.checksum_unverified);
}

static void checksum_flags(void)
{
    for (uint32_t flags = 0; flags < 16; flags++) {
        struct message *m = start(PACKET);
        struct queued q;
        uint32_t offset;
        packet_header(m);
        attribute_u32(m, NFQA_SKB_INFO, flags | 0xfffffff0);
        CHECK(read_all(m, &q, &offset) == QUEUE_PACKET);
        CHECK(q.checksum_unfinished == !!(flags & NFQA_SKB_CSUMNOTREADY));
        CHECK(q.checksum_unverified == !!(flags & NFQA_SKB_CSUM_NOTVERIFIED));
    }
}

static void lengths_of_cut_packets(void)
{
    static const struct {
        uint32_t said, found;
    } rows[] = {{70000, 70000}, {0xffffffff, 0xffffffff}, {100, 100}, {99, 100}, {0, 100}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message *m = whole(100);
        struct queued q;
        uint32_t offset;
        attribute_u32(m, NFQA_CAP_LEN, rows[i].said);
        CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.len == 100 && q.wire_len == rows[i].found);
    }
}

static void unknown_attributes_are_passed_over(void)
{
    struct message *m = start(PACKET);
    struct queued q;
    uint32_t offset;
    attribute(m, 0x3fff, payload, 13);
    attribute(m, NFQA_UNSPEC, payload, 0);
    packet_header(m);
    attribute(m, NFQA_HWADDR, payload, 12);
    attribute(m, NFQA_VLAN | NLA_F_NESTED, payload, 20);
    attribute(m, NFQA_PAYLOAD, payload, 21);
    attribute(m, NFQA_TIMESTAMP, payload, 16);
    CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.id == ID && q.len == 21 && q.ifindex == 0);
    CHECK(!memcmp(m->bytes + offset, payload, 21));
}

static void sizes_that_do_not_fit_count_as_missing(void)
{
    static const uint16_t numbers[] = {NFQA_IFINDEX_INDEV, NFQA_IFINDEX_OUTDEV, NFQA_SKB_INFO, NFQA_CAP_LEN};
    struct queued q;
    uint32_t offset;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (uint32_t len = 0; len <= 9; len++) {
            struct message *m = start(PACKET);
            packet_header(m);
            attribute(m, numbers[i], "\xff\xff\xff\xff\xff\xff\xff\xff\xff", len);
            bool is_there = len == 4;
            CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.id == ID);
            CHECK((q.ifindex != 0) == (is_there && numbers[i] == NFQA_IFINDEX_INDEV));
            CHECK((q.own_out != 0) == (is_there && numbers[i] == NFQA_IFINDEX_OUTDEV));
            CHECK(q.checksum_unfinished == (is_there && numbers[i] == NFQA_SKB_INFO));
            CHECK((q.wire_len != 0) == (is_there && numbers[i] == NFQA_CAP_LEN));
        }
    for (uint32_t len = 0; len < sizeof(struct nfqnl_msg_packet_hdr); len++) {
        struct message *m = start(PACKET);
        attribute(m, NFQA_PACKET_HDR, "\1\2\3\4\5\6\7", len);
        attribute(m, NFQA_PAYLOAD, payload, 20);
        CHECK(read_all(m, &q, &offset) == QUEUE_MALFORMED);
    }
}

static void absurd_attribute_lengths(void)
{
    static const uint16_t said[] = {0, 1, 2, 3, 25, 28, 0x7fff, 0x8000, 0xfffc, 0xffff};
    struct queued q;
    uint32_t offset;
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        struct message *m = start(PACKET);
        packet_header(m);
        attribute_that_says(m, NFQA_PAYLOAD, said[i], payload, 20);
        CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.id == ID && q.len == 0);
        m = start(PACKET);
        attribute_that_says(m, NFQA_PAYLOAD, said[i], payload, 20);
        packet_header(m); /* nobody can say where it begins */
        enum queue_message kind = read_all(m, &q, &offset);
        CHECK(kind == QUEUE_MALFORMED || said[i] == 25 || said[i] == 28);
    }
}

/* Cut anywhere, with a header that knows and with one that does not. */
static void truncations(void)
{
    struct queued q;
    uint32_t offset;
    for (uint32_t size = 20; size < 24; size++) {
        struct message *m = whole(size);
        uint32_t len = m->len, id_known = ATTRIBUTES + NLA_HDRLEN + sizeof(struct nfqnl_msg_packet_hdr);
        for (uint32_t cut = 0; cut < len; cut++)
            CHECK(read_len(m, cut, &q, &offset) == QUEUE_MALFORMED);
        for (m->len = 0; m->len < len; m->len++) {
            finish(m);
            CHECK(read_all(m, &q, &offset) == (m->len < id_known ? QUEUE_MALFORMED : QUEUE_PACKET));
            CHECK(m->len < id_known || q.id == ID);
        }
    }
}

static void lengths_of_the_message(void)
{
    static const uint32_t said[] = {0, 1, 15, 16, 19, 0x7fffffff, 0x80000000, 0xffffffff};
    struct queued q;
    uint32_t offset;
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        struct message *m = whole(20);
        memcpy(m->bytes, &said[i], sizeof *said);
        CHECK(read_all(m, &q, &offset) == QUEUE_MALFORMED);
    }
    struct message *m = whole(20);
    m->len += 100; /* another message may follow; it is not read */
    CHECK(read_all(m, &q, &offset) == QUEUE_PACKET && q.len == 20);
    CHECK(queue_message_read(m->bytes, 0x80000000, &q) == QUEUE_MALFORMED);
    CHECK(queue_message_read(m->bytes, 0xffffffff, &q) == QUEUE_MALFORMED);
}

static void other_types(void)
{
    struct queued q;
    uint32_t offset;
    for (uint32_t type = 0; type < 0x10000; type += type < 0x400 ? 1 : 0x3f) {
        struct message *m = whole(20);
        uint16_t written = (uint16_t)type;
        memcpy(m->bytes + 4, &written, sizeof written);
        enum queue_message wanted = written == PACKET ? QUEUE_PACKET : QUEUE_MALFORMED;
        if (written != NLMSG_ERROR)
            CHECK(read_all(m, &q, &offset) == wanted);
    }
}

static struct message *answer(int32_t error, uint32_t more)
{
    struct message *m = start(NLMSG_ERROR);
    m->len = sizeof(struct nlmsghdr);
    put(m, &error, sizeof error);
    put(m, payload, sizeof(struct nlmsghdr) + more); /* what it answers */
    finish(m);
    return m;
}

static void answers(void)
{
    struct queued q;
    uint32_t offset;
    for (uint32_t more = 0; more < 300; more++)
        CHECK(read_all(answer(-EBUSY, more), &q, &offset) == QUEUE_ANSWER && q.error == -EBUSY);
    struct message *m = answer(-EPERM, 0);
    for (uint32_t len = m->len; m->len > 0;) {
        CHECK(read_all(m, &q, &offset) == (m->len < len ? QUEUE_MALFORMED : QUEUE_ANSWER));
        m->len--;
        finish(m);
    }
    static const struct {
        int32_t error;
        enum queue_message kind;
    } rows[] = {
        {0, QUEUE_ANSWER},           {-1, QUEUE_ANSWER},           {-4095, QUEUE_ANSWER},
        {-4096, QUEUE_MALFORMED},    {1, QUEUE_MALFORMED},         {EBUSY, QUEUE_MALFORMED},
        {INT32_MAX, QUEUE_MALFORMED}, {INT32_MIN, QUEUE_MALFORMED},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(read_all(answer(rows[i].error, 4), &q, &offset) == rows[i].kind);
        CHECK(rows[i].kind != QUEUE_ANSWER || q.error == rows[i].error);
    }
}

static void random_bytes(void)
{
    static struct message m;
    struct random r = {7};
    struct queued q;
    uint32_t offset;
    for (int round = 0; round < 20000; round++) {
        m.len = random_below(&r, 120);
        for (uint32_t i = 0; i < m.len; i++)
            m.bytes[i] = (uint8_t)random_next(&r);
        if (round & 1 && m.len >= ATTRIBUTES) { /* a message of ours, its attributes random */
            memcpy(m.bytes, start(PACKET)->bytes, ATTRIBUTES);
            finish(&m);
            for (uint32_t i = ATTRIBUTES; i + 4 <= m.len; i += 4)
                if (random_below(&r, 2)) {
                    uint16_t header[2] = {(uint16_t)random_below(&r, 24), (uint16_t)random_below(&r, 24)};
                    memcpy(m.bytes + i, header, sizeof header);
                }
        }
        read_all(&m, &q, &offset);
    }
}

/* A right message with any one byte changed. */
static void single_bytes_changed(void)
{
    struct message *m = whole(20);
    struct queued q;
    uint32_t offset;
    for (uint32_t at = 0; at < m->len; at++)
        for (unsigned change = 1; change < 256; change++) {
            m->bytes[at] ^= (uint8_t)change;
            read_all(m, &q, &offset);
            m->bytes[at] ^= (uint8_t)change;
        }
}

int main(void)
{
    for (unsigned i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i + 1);
    fields();
    without_padding_at_the_end();
    what_is_not_said();
    checksum_flags();
    lengths_of_cut_packets();
    unknown_attributes_are_passed_over();
    sizes_that_do_not_fit_count_as_missing();
    absurd_attribute_lengths();
    truncations();
    lengths_of_the_message();
    other_types();
    answers();
    random_bytes();
    single_bytes_changed();
    return check_report();
}
