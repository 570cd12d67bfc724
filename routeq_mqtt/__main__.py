"""``python -m routeq_mqtt``: the command line."""

from routeq_mqtt.cli import main

main()
