"""`doctor`: every precondition of running a driver on this node, looked at without changing any of them."""
