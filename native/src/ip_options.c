/*
 * ip_options.c - the options of IPv4 (RFC 791, 1108, 1393, 2113) and of IPv6 (RFC 8200 4.2), its routing headers.
 *
 * Nothing is refused here: what is malformed is a trait like what is merely unwanted, and a zone's profile says what
 * becomes of it (fact sheet 4.4).
 */
#include "ip_options.h"

/* ---- IPv4 --------------------------------------------------------------------------------------- */

enum { IPV4_END = 0, IPV4_NOP = 1, IPV4_COPIED = 0x80 };

/* By class and number, which is the type without the bit that says whether fragments have it too. */
enum {
    IPV4_SECURITY = 2,
    IPV4_LOOSE_SOURCE = 3,
    IPV4_EXTENDED_SECURITY = 5,
    IPV4_RECORD_ROUTE = 7,
    IPV4_STREAM_ID = 8,
    IPV4_STRICT_SOURCE = 9,
    IPV4_ROUTER_ALERT = 20,
    IPV4_TIMESTAMP = 68,
    IPV4_TRACEROUTE = 82,
};

static const struct ipv4_option {
    uint64_t trait;
    uint8_t number;
    bool is_copied, may_repeat;
} ipv4_options[] = {
    {TRAIT(security), IPV4_SECURITY, true, false},
    {TRAIT(security), IPV4_EXTENDED_SECURITY, true, true}, /* RFC 1108 2.2 */
    {TRAIT(loose_source_routing), IPV4_LOOSE_SOURCE, true, false},
    {TRAIT(strict_source_routing), IPV4_STRICT_SOURCE, true, false},
    {TRAIT(record_route), IPV4_RECORD_ROUTE, false, false},
    {TRAIT(stream_id), IPV4_STREAM_ID, true, false},
    {TRAIT(timestamp), IPV4_TIMESTAMP, false, false},
    {0, IPV4_ROUTER_ALERT, true, false},
    {0, IPV4_TRACEROUTE, false, false},
};
enum { IPV4_OPTIONS = sizeof ipv4_options / sizeof *ipv4_options };

/* A pointer counts from 1, stands at the beginning of a place (of `unit` bytes from `first` on) or behind the last. */
static bool points_well(uint32_t pointer, uint32_t first, uint32_t unit, uint32_t len)
{
    return pointer >= first && pointer <= len + 1 && !((pointer - first) % unit) && !((len + 1 - first) % unit);
}

static bool is_timestamp(const uint8_t *option, uint32_t len)
{
    if (len < 4)
        return false;
    uint8_t flag = option[3] & 15; /* times; addresses and times; times of given addresses */
    return (flag == 0 || flag == 1 || flag == 3) && points_well(option[2], 5, flag ? 8 : 4, len);
}

/* Whether an option has a length, and a pointer, that its kind may have. */
static bool is_well_formed(const uint8_t *option, uint32_t len, uint8_t number)
{
    switch (number) {
    case IPV4_SECURITY: /* RFC 1108 2.1, 2.2: with one byte at least */
    case IPV4_EXTENDED_SECURITY:
        return len >= 3;
    case IPV4_LOOSE_SOURCE:
    case IPV4_STRICT_SOURCE:
    case IPV4_RECORD_ROUTE:
        return len >= 3 && points_well(option[2], 4, 4, len);
    case IPV4_TIMESTAMP:
        return is_timestamp(option, len);
    case IPV4_STREAM_ID:
    case IPV4_ROUTER_ALERT:
        return len == 4;
    default: /* traceroute, RFC 1393 2.2 */
        return len == 12;
    }
}

static uint64_t ipv4_one_option(const uint8_t *option, uint32_t len, uint32_t *seen)
{
    uint8_t number = option[0] & (uint8_t)~IPV4_COPIED;
    for (uint32_t i = 0; i < IPV4_OPTIONS; i++) {
        const struct ipv4_option *known = &ipv4_options[i];
        if (known->number != number)
            continue;
        bool is_again = *seen >> i & 1 && !known->may_repeat;
        bool is_right = known->is_copied == !!(option[0] & IPV4_COPIED) && is_well_formed(option, len, number);
        *seen |= 1u << i;
        return known->trait | (is_again || !is_right ? TRAIT(malformed_option) : 0);
    }
    return TRAIT(unknown_option);
}

uint64_t ipv4_option_traits(const uint8_t *options, uint32_t len)
{
    uint64_t traits = 0;
    uint32_t seen = 0; /* of ipv4_options */
    for (uint32_t i = 0; i < len && options[i] != IPV4_END;) {
        if (options[i] == IPV4_NOP) {
            i++;
            continue;
        }
        if (i + 1 == len || options[i + 1] < 2 || options[i + 1] > len - i)
            return traits | TRAIT(malformed_option);
        traits |= ipv4_one_option(options + i, options[i + 1], &seen);
        i += options[i + 1];
    }
    return traits;
}

uint32_t ipv4_final_address(const uint8_t *options, uint32_t len)
{
    for (uint32_t i = 0; i < len && options[i] != IPV4_END;) {
        if (options[i] == IPV4_NOP) {
            i++;
            continue;
        }
        if (i + 1 == len || options[i + 1] < 2 || options[i + 1] > len - i)
            return 0;
        uint8_t number = options[i] & (uint8_t)~IPV4_COPIED, size = options[i + 1];
        if ((number == IPV4_LOOSE_SOURCE || number == IPV4_STRICT_SOURCE) && is_well_formed(options + i, size, number))
            return options[i + 2] < size ? i + size - 4 : 0;
        i += size;
    }
    return 0;
}

/* ---- IPv6 --------------------------------------------------------------------------------------- */

enum {
    IPV6_PAD1 = 0x00,
    IPV6_PADN = 0x01,
    IPV6_JUMBO = 0xc2,
    IPV6_HOME_ADDRESS = 0xc9,
    IPV6_OR_DISCARD = 0xc0, /* who does not know the option skips it only where both bits are 0 */
};

/* Those of a fixed length, and those that tell who does not know them to discard the packet: they are not unknown. */
static const struct {
    uint8_t type, len; /* 255: any */
    bool is_hop_by_hop;
} ipv6_options[] = {
    {0x04, 1, false},   /* tunnel encapsulation limit, RFC 2473 4.1.1 */
    {0x05, 2, true},    /* router alert, RFC 2711 2.1 */
    {IPV6_HOME_ADDRESS, 16, false}, /* home address, RFC 6275 6.3 */
    {0x63, 255, true},  /* RPL, RFC 6553 3 */
    {0x6d, 255, true},  /* MPL, RFC 7731 6.1 */
    {0xee, 2, true},    /* depth-first forwarding, RFC 6971 7 */
    {0x8b, 255, false}, /* ILNP nonce, RFC 6744 2 */
    {0x8c, 255, false}, /* line identification, RFC 6788 6 */
};
enum { IPV6_OPTIONS = sizeof ipv6_options / sizeof *ipv6_options };

static bool is_zero(const uint8_t *bytes, uint32_t len)
{
    uint8_t all = 0;
    for (uint32_t i = 0; i < len; i++)
        all |= bytes[i];
    return !all;
}

static bool is_valid_ipv6_option(uint8_t type, const uint8_t *data, uint32_t len, bool is_hop_by_hop)
{
    if (type == IPV6_PADN)
        return is_zero(data, len);
    for (uint32_t i = 0; i < IPV6_OPTIONS; i++)
        if (ipv6_options[i].type == type && ipv6_options[i].is_hop_by_hop == is_hop_by_hop)
            return ipv6_options[i].len == 255 || ipv6_options[i].len == len;
    return !(type & IPV6_OR_DISCARD);
}

uint64_t ipv6_option_traits(const uint8_t *header, uint32_t len, bool is_hop_by_hop)
{
    uint64_t traits = is_hop_by_hop ? TRAIT(ip6_hop_by_hop) : TRAIT(ip6_destination_options);
    for (uint32_t i = 2; i < len;) {
        if (header[i] == IPV6_PAD1) { /* has no length */
            i++;
            continue;
        }
        if (i + 1 == len || header[i + 1] > len - i - 2 ||
            !is_valid_ipv6_option(header[i], header + i + 2, header[i + 1], is_hop_by_hop))
            return traits | TRAIT(ip6_invalid_options);
        i += 2u + header[i + 1];
    }
    return traits;
}

bool ipv6_has_jumbo_option(const uint8_t *header, uint32_t len)
{
    for (uint32_t i = 2; i < len;) {
        if (header[i] == IPV6_JUMBO)
            return true;
        if (header[i] == IPV6_PAD1)
            i++;
        else if (i + 1 < len)
            i += 2u + header[i + 1];
        else
            return false;
    }
    return false;
}

uint64_t ipv6_routing_traits(const uint8_t *header)
{
    uint8_t type = header[2];
    bool is_reserved_set = false;
    uint64_t trait = 0; /* of type 2, Mobile IPv6's (RFC 6275 6.4), a profile says nothing but "routing header" */
    if (type == 0 || type == 2) { /* RFC 2460 4.4 */
        is_reserved_set = !is_zero(header + 4, 4);
        trait = type ? 0 : TRAIT(ip6_routing_0);
    } else if (type == 1) {
        trait = TRAIT(ip6_routing_1);
    } else if (type == 3) { /* RFC 6554 3: behind two prefix lengths and the padding, 20 bits */
        is_reserved_set = header[5] & 15 || header[6] || header[7];
        trait = TRAIT(ip6_routing_3);
    } else if (type < 253) {
        trait = TRAIT(ip6_routing_4_252);
    } else {
        trait = type == 253 ? TRAIT(ip6_routing_253) : type == 254 ? TRAIT(ip6_routing_254) : TRAIT(ip6_routing_255);
    }
    return TRAIT(ip6_routing) | trait | (is_reserved_set ? TRAIT(ip6_reserved_field) : 0);
}

uint32_t ipv6_home_address(const uint8_t *header, uint32_t len)
{
    for (uint32_t i = 2; i < len;) {
        if (header[i] == IPV6_PAD1) {
            i++;
            continue;
        }
        if (i + 1 == len || header[i + 1] > len - i - 2)
            return 0;
        if (header[i] == IPV6_HOME_ADDRESS && header[i + 1] == 16)
            return i + 2;
        i += 2u + header[i + 1];
    }
    return 0;
}

uint32_t ipv6_final_address(const uint8_t *header, uint32_t len, bool *is_known)
{
    enum { ADDRESSES = 8 }; /* where they begin */
    uint8_t type = header[2];
    bool is_left = header[3];
    *is_known = !is_left || type == 0 || type == 2 || type == 4;
    if (!is_left || !*is_known || len < ADDRESSES + 16)
        return 0;
    return type == 4 ? ADDRESSES : len - 16; /* segment routing has the last one first, RFC 8754 2 */
}
