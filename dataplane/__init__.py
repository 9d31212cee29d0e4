"""The dataplane: slowpath, logs and edges around the C engine. Imports nothing but `native`."""
