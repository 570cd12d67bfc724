"""SQL statements by feature."""
