"""Requests and orders: what users ask of the scheduler."""
