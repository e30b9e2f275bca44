"""Files: whole or not at all, one writer at a time; tables and YAML."""
