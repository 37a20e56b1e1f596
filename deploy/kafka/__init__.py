"""What a cluster of one's own needs to let our processes in."""
