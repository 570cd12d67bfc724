"""Sets Django up where it is imported: in a process of ``executor="process"``, before its jobs."""

import django

django.setup()
