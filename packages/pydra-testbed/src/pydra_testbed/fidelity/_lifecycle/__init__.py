"""The parts of the player of `lifecycle.jsonl`: inputs, the cluster, actions, what is seen, how it is compared."""
