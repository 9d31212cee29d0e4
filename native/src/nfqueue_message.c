/* nfqueue_message.c - the kernel's queue messages, attribute by attribute. */
#include "nfqueue_message.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>

enum { MAX_ERRNO = 4095 }; /* linux/err.h */

static bool read_u32(const struct nlattr *attribute, uint32_t *out)
{
    if (mnl_attr_get_payload_len(attribute) != sizeof *out)
        return false;
    *out = ntohl(mnl_attr_get_u32(attribute));
    return true;
}

static enum queue_message read_packet(const struct nlmsghdr *message, struct queued *out)
{
    const struct nlattr *attribute = mnl_nlmsg_get_payload_offset(message, sizeof(struct nfgenmsg));
    const uint8_t *end = (const uint8_t *)message + message->nlmsg_len;
    bool has_id = false;
    uint32_t info = 0;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
        return QUEUE_MALFORMED;
    out->queue = ntohs(((const struct nfgenmsg *)mnl_nlmsg_get_payload(message))->res_id);
    /* mnl_attr_for_each goes up to the length rounded up, which is beyond the end */
    for (; mnl_attr_ok(attribute, (int)(end - (const uint8_t *)attribute)); attribute = mnl_attr_next(attribute)) {
        uint16_t len = mnl_attr_get_payload_len(attribute);
        void *payload = mnl_attr_get_payload(attribute);
        struct nfqnl_msg_packet_hdr header;
        struct nfqnl_msg_packet_hw address;
        switch (mnl_attr_get_type(attribute)) {
        case NFQA_PACKET_HDR:
            if (len < sizeof header)
                break;
            memcpy(&header, payload, sizeof header);
            out->id = ntohl(header.packet_id);
            out->is_own = header.hook == NF_INET_LOCAL_OUT;
            has_id = true;
            break;
        case NFQA_IFINDEX_INDEV:
            read_u32(attribute, &out->ifindex);
            break;
        case NFQA_IFINDEX_OUTDEV:
            read_u32(attribute, &out->own_out);
            break;
        case NFQA_MARK:
            read_u32(attribute, &out->mark);
            break;
        case NFQA_IFINDEX_PHYSINDEV:
            read_u32(attribute, &out->bridge_in);
            break;
        case NFQA_IFINDEX_PHYSOUTDEV:
            read_u32(attribute, &out->bridge_out);
            break;
        case NFQA_HWADDR:
            if (len < sizeof address)
                break;
            memcpy(&address, payload, sizeof address);
            if (ntohs(address.hw_addrlen) == sizeof out->mac)
                memcpy(out->mac, address.hw_addr, sizeof out->mac);
            break;
        case NFQA_SKB_INFO:
            read_u32(attribute, &info);
            break;
        case NFQA_CAP_LEN:
            read_u32(attribute, &out->wire_len);
            break;
        case NFQA_PAYLOAD:
            out->data = payload;
            out->len = len;
            break;
        }
    }
    if (!has_id) /* nobody could answer it */
        return QUEUE_MALFORMED;
    if (out->wire_len < out->len)
        out->wire_len = out->len;
    out->checksum_unfinished = info & NFQA_SKB_CSUMNOTREADY;
    out->checksum_unverified = info & NFQA_SKB_CSUM_NOTVERIFIED;
    out->gso = info & NFQA_SKB_GSO;
    return QUEUE_PACKET;
}

enum queue_message queue_message_read(uint8_t *bytes, uint32_t len, struct queued *out)
{
    const struct nlmsghdr *message = (const struct nlmsghdr *)bytes;
    *out = (struct queued){.data = bytes};
    /* mnl_nlmsg_ok takes a length past INT32_MAX for a negative one, which fits everywhere */
    if (len < sizeof *message || len > INT32_MAX || message->nlmsg_len < sizeof *message || message->nlmsg_len > len)
        return QUEUE_MALFORMED;
    if (message->nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
        return read_packet(message, out);
    if (message->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(message) < sizeof(struct nlmsgerr))
        return QUEUE_MALFORMED;
    int error = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error;
    if (error > 0 || error < -MAX_ERRNO)
        return QUEUE_MALFORMED;
    out->error = error;
    return QUEUE_ANSWER;
}
