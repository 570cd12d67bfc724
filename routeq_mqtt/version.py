"""The version of this library, said once."""

VERSION = "0.1.0"
