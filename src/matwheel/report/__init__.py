"""The report: what a run found, on one page that needs nothing but a browser."""
