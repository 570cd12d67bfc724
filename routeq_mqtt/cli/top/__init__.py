"""``routeq-mqtt top``: the bus in a terminal."""
