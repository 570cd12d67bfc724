"""``python -m routeq_mqtt.cli``."""

from routeq_mqtt.cli import main

main()
