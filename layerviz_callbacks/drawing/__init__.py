"""Drawing in another process: what the two say to each other, and that process itself."""
