"""The lake and the warehouse: immutable Parquet, archived answers, and the DuckDB file that analysts open."""
