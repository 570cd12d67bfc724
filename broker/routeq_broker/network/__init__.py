"""Sockets: listeners, connections, websockets."""
