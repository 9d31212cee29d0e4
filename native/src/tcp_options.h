/* tcp_options.h - the options of a TCP segment, one after the other (RFC 9293 3.2). */
#ifndef SIXTUPLE_TCP_OPTIONS_H
#define SIXTUPLE_TCP_OPTIONS_H

#include "packet.h"

enum tcp_option {
    TCP_OPTION_END,
    TCP_OPTION_NOP,
    TCP_OPTION_MSS,
    TCP_OPTION_WINDOW_SCALE,   /* RFC 7323 2 */
    TCP_OPTION_SACK_PERMITTED, /* RFC 2018 2 */
    TCP_OPTION_SACK,           /* RFC 2018 3 */
    TCP_OPTION_TIMESTAMPS = 8, /* RFC 7323 3 */
    TCP_OPTION_MPTCP = 30,     /* RFC 8684 3 */
    TCP_OPTION_FAST_OPEN = 34, /* RFC 7413 2 */
    TCP_OPTION_EXPERIMENT = 254, /* RFC 6994 */
};

enum { TCP_HEADER = 20, LARGEST_TCP_OPTIONS = 40, LARGEST_WINDOW_SCALE = 14 };

/* Where a walk is. */
struct tcp_options {
    uint8_t *at, *end;
};

/* The options of a TCP segment that parsed. */
struct tcp_options tcp_options_of(const struct packet *p);
/* The next option that has a length: kind at [0], length at [1], and all of that length is there. NULL at the end,
 * or where the rest is malformed. */
uint8_t *tcp_option_next(struct tcp_options *walk);
/* The first option of a kind that is as long as it should be, or NULL. */
uint8_t *tcp_option_find(const struct packet *p, enum tcp_option kind, uint8_t len);

#endif
