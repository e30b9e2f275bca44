"""From a source database or files to the offline and the online store."""
