"""What several tests share: packet builders, reference implementations, labs."""
