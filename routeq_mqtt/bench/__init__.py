"""How fast a bus is: the same workloads for `routeq-mqtt bench`, `make bench` and the peers."""
