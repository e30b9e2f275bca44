"""What the service says of itself: metrics, logs and traces. It imports none of our other rooms."""
