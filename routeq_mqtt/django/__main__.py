"""``python -m routeq_mqtt.django worker``: what `manage.py routeq` starts for ``--processes``."""

import sys

import django

from routeq_mqtt.cli import main
from routeq_mqtt.django.management.commands.routeq import ENTRY, NAME

if __name__ == "__main__":
    django.setup()
    main(sys.argv[1:], name=NAME, entry=ENTRY)
