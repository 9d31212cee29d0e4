/* scan.h - reconnaissance: hosts that try too many ports, hosts or protocols. */
#ifndef SIXTUPLE_SCAN_H
#define SIXTUPLE_SCAN_H

#include "packet.h"

struct engine;

uint64_t scans_bytes(void);
/* Counts what a packet without a session tries. Whether it is to be dropped, and then it is counted in `dropped`. */
bool scan_refuses(struct engine *e, const struct packet *p, const struct zone_protection *zone, uint64_t dropped[SCAN_COUNT]);

#endif
