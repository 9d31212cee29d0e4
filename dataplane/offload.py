"""What the offload engines of platform families do: data, not code (fact sheet 3.1).

The offload engine forwards packets without telling the dataplane. It reports a flow, and only then
does the session's timer start again, after so many packets of that flow.
"""

from native import OffloadProfile

PROFILES = {
    # the vendor's figure, and half of it for UDP (seed 000)
    "pa-5000": OffloadProfile(packets=16, udp_packets=8, scan_ms=0, max_sessions=2_097_152),
    # a report also comes 8 s after a packet at the latest
    "pa-7000": OffloadProfile(packets=64, udp_packets=64, scan_ms=8000, max_sessions=4_194_304),
    "software": OffloadProfile(packets=0, udp_packets=0, scan_ms=0, max_sessions=0),
}
DEFAULT_PLATFORM = "pa-5000"
