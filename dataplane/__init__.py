"""The dataplane: the slowpath, the logs and the edges around the C engine. Imports `native`, nothing above it."""
