"""Files through the API: read, sent in chunks, written with their predictions."""
