"""Sources: tables of a database, and files."""
