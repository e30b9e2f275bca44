"""Point-in-time join, Parquet to Parquet."""
