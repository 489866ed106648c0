"""Reports: results in, text and files out."""
