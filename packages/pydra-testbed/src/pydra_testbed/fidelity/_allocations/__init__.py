"""Parts of the player of allocations: the world a scenario runs in, its objects, and what became of them."""
