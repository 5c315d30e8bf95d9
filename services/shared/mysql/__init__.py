"""What we know of MySQL and MariaDB."""
