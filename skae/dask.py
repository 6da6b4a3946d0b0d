"""Scores of dask's arrays and frames."""
