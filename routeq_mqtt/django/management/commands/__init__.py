"""`manage.py routeq`."""
